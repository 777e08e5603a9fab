package schema

import (
	"bytes"
	"errors"
	"math/bits"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// ErrRefused ends a scan whose document the schema does not allow; the Machine's Failure says why.
var ErrRefused = errors.New("schema: refused")

// ErrTooDeep ends a scan whose document goes down further than anybody may follow.
var ErrTooDeep = errors.New("schema: nested too deeply")

// maxDepth is where encoding/json stops.
const maxDepth = 10_000

// Failure is the first place where a document departs from its schema.
type Failure struct {
	// Keyword is the keyword that failed; "case" for a name that differs from a known one only by case.
	Keyword string
	// At is the offset of the offending value.
	At int
	// NameStart and NameEnd are the span of the name of a member that is not allowed, between its quotes; 0 for none.
	NameStart, NameEnd int32

	missing *needed
	format  *string
	// tag says that a constant of the value at At is wrong, mismatch that its kind, its constant or that of one of its members
	// is: the value was not meant to be this alternative.
	tag, mismatch bool
}

// Missing returns the first absent member, for required and its relatives, else "".
func (f *Failure) Missing() string {
	if f.missing == nil {
		return ""
	}
	return f.missing.name
}

// Format returns the name of the format that a string does not have, else "".
func (f *Failure) Format() string {
	if f.format == nil {
		return ""
	}
	return *f.format
}

// Machine runs a Program along a scan. It is a [jsonscan.Visitor] and keeps its memory from one scan to the next. It is not
// safe for concurrent use.
type Machine struct {
	root    *plan
	fold    bool
	exact   bool
	refused bool
	failure Failure
	work    int // steps that looked at something, for the test that bounds them

	depth   int // containers open
	skip    int // those among them, innermost, about which nobody asks
	frames  []frame
	runs    []run
	evals   []eval
	links   []link
	marks   []mark
	items   []items
	fails   []Failure
	bits    []uint64
	text    []byte // the text of the string that is looked at
	name    []byte // the text of the member name that is looked at
	folded  []byte
	scratch []byte
	table   []entry
	members []member  // of objects that are compared
	whys    []Failure // of the steps of a plan that is applied to a scalar
	reason  Failure   // why local was false
	settled []verdict
	runOf   []int32 // by plan: the run that was begun for it last
	helpers []int   // steps that apply
	matched []uint64
}

// frame is an open container about which somebody asks.
type frame struct {
	start  int
	object bool
	base   marker // where its own part of the stacks begins
	runs   int    // where its runs end
	n      int    // elements so far
}

// marker is the height of the stacks.
type marker struct{ runs, evals, links, marks, items, fails, bits int }

// run is a plan that is applied to an open container.
type run struct {
	plan  *plan
	first int // its evaluations
	live  int // two masks in bits: the steps that are still of interest, and those that have failed but look out for constants
	must  bool
	dead  bool // it has failed
	// suspect says that steps of this run, or what they asked for below, have met a name that differs from a declared one only by
	// case.
	suspect bool
	owner   link
}

// eval is the state of one step.
type eval struct {
	fail     int32 // an index of fails, -1 while it has not failed
	n        int32 // members so far
	contains int32
	bits     int32 // where the presence of its names is noted, from the masks of the run on
	marks    int32 // the first of its marks, or for an array of its items; -1 for none
	seen     bool  // help has been here
	suspect  int32 // an index of fails: a variant of a declared name, -1 for none
	// matched is the first of the items that contains matched.
	matched int32
}

// link is somebody who waits for the verdict of a run: a step of a run of the container around it.
type link struct {
	run, step int32
	role      role
	next      int32 // another one, -1 for none
	// what the verdict is about
	nameStart, nameEnd int32
	index              int32
}

type role uint8

const (
	must      role = iota // the step fails with the run
	contained             // the step counts the runs that do not fail
	rest                  // the step remembers those that fail, until it knows what others have looked at
)

// mark is a member that is remembered.
type mark struct {
	nameStart, nameEnd int32
	next               int32
}

// items are those of 64 elements that are remembered.
type items struct {
	set  uint64
	base int32 // the index of the first of the 64
	next int32
}

// remember adds an item to the list that begins at *first.
func (m *Machine) remember(first *int32, index int32) {
	base := index &^ 63
	if *first < 0 || m.items[*first].base != base {
		m.items = append(m.items, items{base: base, next: *first})
		*first = int32(len(m.items) - 1)
	}
	m.items[*first].set |= 1 << (index & 63)
}

// Start prepares m for one scan of a document. fold says that member names which differ only by case from a name that a schema
// declares are refused where that schema applies; exact that the scan refuses a name that occurs twice.
func (m *Machine) Start(p *Program, fold, exact bool) {
	m.root, m.fold, m.exact = p.root, fold, exact
	m.refused, m.failure = false, Failure{}
	m.depth, m.skip, m.work = 0, 0, 0
	if len(m.runOf) < p.plans {
		m.runOf = make([]int32, p.plans)
	}
	m.frames = m.frames[:0]
	m.cut(marker{})
}

// Failure returns why the scan ended with [ErrRefused].
func (m *Machine) Failure() Failure { return m.failure }

// Small reports whether m is worth keeping: a giant document leaves giant stacks behind. What a document within the default
// limits of package validate needs is kept, such as the table of 10,000 elements of an array and the text of a string of 256 KB.
func (m *Machine) Small() bool {
	return cap(m.evals)+cap(m.marks)+cap(m.items)+cap(m.table)+cap(m.members) <= 1<<16 && cap(m.settled) <= 1<<12 &&
		cap(m.text)+cap(m.name)+cap(m.scratch)+cap(m.folded) <= 1<<19
}

func (m *Machine) mark() marker {
	return marker{len(m.runs), len(m.evals), len(m.links), len(m.marks), len(m.items), len(m.fails), len(m.bits)}
}

func (m *Machine) cut(at marker) {
	m.runs, m.evals, m.links = m.runs[:at.runs], m.evals[:at.evals], m.links[:at.links]
	m.marks, m.items, m.fails, m.bits = m.marks[:at.marks], m.items[:at.items], m.fails[:at.fails], m.bits[:at.bits]
}

// value is what a scalar is, as far as it was looked at.
type value struct {
	kind       jsonscan.Kind
	start, end int
	raw        []byte // a string without its quotes
	text       []byte // the same, decoded
	decoded    bool
	copied     string // the same, for formats: one copy, however many ask
}

// Visit implements [jsonscan.Visitor].
func (m *Machine) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	switch k {
	case jsonscan.ObjectEnd, jsonscan.ArrayEnd:
		m.depth--
		if m.skip > 0 {
			m.skip--
			return nil
		}
		m.close(p.Data(), end)
	case jsonscan.ObjectStart, jsonscan.ArrayStart:
		if m.depth++; m.depth > maxDepth {
			return ErrTooDeep
		}
		if m.skip > 0 {
			m.skip++
			return nil
		}
		m.open(p, k, start)
	default:
		if m.skip > 0 {
			return nil
		}
		v := value{kind: k, start: start, end: end, raw: p.Data()[start:end]}
		if k == jsonscan.String {
			v.raw = v.raw[1 : len(v.raw)-1]
		}
		m.ask(p, &v)
	}
	if m.refused {
		return ErrRefused
	}
	return nil
}

// open begins a container.
func (m *Machine) open(p *jsonscan.Path, k jsonscan.Kind, start int) {
	f := frame{start: start, object: k == jsonscan.ObjectStart}
	runs, links := len(m.runs), len(m.links)
	v := value{kind: k, start: start}
	m.ask(p, &v)
	f.base = m.mark() // what the steps outside have written so far is theirs
	f.base.runs, f.base.links = runs, links
	if len(m.runs) == f.base.runs {
		m.skip = 1
		return
	}
	alive := false
	for r := f.base.runs; r < len(m.runs); r++ {
		m.begin(r, &f)
		alive = alive || !m.runs[r].dead
	}
	if m.refused {
		return
	}
	if !alive {
		m.settle(&f)
		m.skip = 1
		return
	}
	f.runs = len(m.runs)
	m.frames = append(m.frames, f)
}

// begin starts the evaluations of a run.
func (m *Machine) begin(r int, f *frame) {
	run := &m.runs[r]
	run.first = len(m.evals)
	m.work += len(run.plan.steps)
	kind := tArray
	if f.object {
		kind = tObject
	}
	run.live = len(m.bits)
	m.evals = append(m.evals, run.plan.fresh...)
	m.bits = append(m.bits, run.plan.bits...)
	for i := range run.plan.steps {
		n := run.plan.steps[i].n
		switch {
		case n.always < 0:
			m.fail(r, i, Failure{Keyword: n.denies, At: f.start})
		case n.types&kind == 0:
			m.fail(r, i, Failure{Keyword: "type", At: f.start, mismatch: true})
		case n.enum != nil && (f.object && !n.enum.objects || !f.object && !n.enum.arrays):
			m.fail(r, i, Failure{Keyword: n.enumK, At: f.start, tag: true, mismatch: true})
		}
	}
}

// ask finds out who asks about the value that begins, and answers for a scalar.
func (m *Machine) ask(p *jsonscan.Path, v *value) {
	if len(m.frames) == 0 {
		m.demand(m.root.steps[0].n, link{run: -1, next: -1}, true, v)
		return
	}
	f := &m.frames[len(m.frames)-1]
	level := p.Depth() - 1
	if !f.object {
		i := f.n
		f.n++
		for r := f.base.runs; r < f.runs; r++ {
			if !m.runs[r].dead {
				m.element(r, i, v)
			}
		}
		return
	}
	raw, _ := p.Key(level)
	name := raw
	if p.Escaped(level) {
		m.name = jsonscan.AppendUnquoted(m.name[:0], raw)
		name = m.name
	}
	// The name is a part of the scanned bytes up to their very end, so its capacity says where it begins.
	nameStart := cap(p.Data()) - cap(raw)
	for r := f.base.runs; r < f.runs; r++ {
		if !m.runs[r].dead {
			m.member(r, f, name, nameStart, nameStart+len(raw), v)
		}
	}
}

// element applies run r to the element with index i.
func (m *Machine) element(r, i int, v *value) {
	p := m.runs[r].plan
	steps := p.steps
	for s := m.next(r, p.items, -1); s >= 0; s = m.next(r, p.items, s) {
		m.work++
		n := steps[s].n
		if n.maxItems >= 0 && i >= n.maxItems {
			m.fail(r, s, Failure{Keyword: "maxItems", At: m.top().start})
			continue
		}
		l := link{run: int32(r), step: int32(s), next: -1, index: int32(i)}
		sure := m.runs[r].must && steps[s].must
		looked := true
		switch {
		case i < len(n.prefix):
			m.demand(n.prefix[i], l, sure, v)
		case n.items == nil:
			looked = false
		default:
			m.demand(n.items, l, sure, v)
		}
		if n.contains != nil {
			l.role = contained
			m.demand(n.contains, l, false, v)
		}
		if n.restItems != nil && !looked {
			l.role = rest
			m.demand(n.restItems, l, false, v)
		}
	}
}

// next returns the step of run r after the given one that is of interest, wants to see what comes, or looks out for constants;
// -1 for none.
func (m *Machine) next(r int, want mask, after int) int {
	live := m.runs[r].live
	for w := (after + 1) >> 6; w < len(want); w++ {
		set := m.bits[live+w]&want[w] | m.bits[live+len(want)+w]
		if w == (after+1)>>6 {
			set &= ^uint64(0) << ((after + 1) & 63)
		}
		if set != 0 {
			return w<<6 + bits.TrailingZeros64(set)
		}
	}
	return -1
}

// masks returns the two masks of a run.
func (m *Machine) masks(run *run) (live, watch mask) {
	w := len(run.plan.members)
	return m.bits[run.live : run.live+w], m.bits[run.live+w : run.live+2*w]
}

func (m *Machine) top() *frame { return &m.frames[len(m.frames)-1] }

// member applies run r to a member of the object f.
func (m *Machine) member(r int, f *frame, name []byte, nameStart, nameEnd int, v *value) {
	p := m.runs[r].plan
	steps := p.steps
	row, known := p.names[string(name)]
	for s := m.next(r, p.members, -1); s >= 0; s = m.next(r, p.members, s) {
		m.work++
		n := steps[s].n
		var pr *property
		if known {
			pr = p.properties[row*len(steps)+s]
		}
		if m.evals[m.runs[r].first+s].fail >= 0 {
			m.tagged(r, s, pr, v)
			continue
		}
		e := &m.evals[m.runs[r].first+s]
		if e.n++; n.maxProps >= 0 && int(e.n) > n.maxProps {
			m.fail(r, s, Failure{Keyword: "maxProperties", At: f.start})
			continue
		}
		l := link{run: int32(r), step: int32(s), next: -1, nameStart: int32(nameStart), nameEnd: int32(nameEnd)}
		sure := m.runs[r].must && steps[s].must
		looked := pr != nil && pr.declared
		if pr != nil && pr.bit >= 0 {
			m.bits[m.runs[r].live+int(e.bits)+pr.bit>>6] |= 1 << (pr.bit & 63)
		}
		if looked {
			m.demand(pr.node, l, sure, v)
		}
		for i := range n.patterns {
			if n.patterns[i].re.Match(name) {
				m.demand(n.patterns[i].node, l, sure, v)
				looked = true
			}
		}
		if !looked && m.fold && (known && p.variants[row*len(steps)+s] || !known && m.variant(n, name)) {
			m.suspect(r, s, Failure{Keyword: "case", At: f.start, NameStart: l.nameStart, NameEnd: l.nameEnd})
			if sure {
				continue
			}
		}
		if n.propertyNames != nil {
			named := value{kind: jsonscan.String, raw: name, text: name, decoded: true}
			if m.scalar(n.propertyNames.plan, &named) != nil {
				m.fail(r, s, Failure{Keyword: "propertyNames", At: f.start, NameStart: l.nameStart, NameEnd: l.nameEnd})
				continue
			}
		}
		if n.additional != nil && !looked {
			looked = true
			if n.additional.always < 0 {
				m.fail(r, s, Failure{Keyword: "additionalProperties", At: f.start, NameStart: l.nameStart, NameEnd: l.nameEnd})
				continue
			}
			m.demand(n.additional, l, sure, v)
		}
		if n.restProps != nil && !looked {
			l.role = rest
			m.demand(n.restProps, l, false, v)
		}
	}
}

// tagged lets a step that has failed see whether a constant says that the object was meant to be something else: a client
// that sent an image with a typo wants to read of the typo, not that it is no text.
func (m *Machine) tagged(r, s int, pr *property, v *value) {
	if v.kind == jsonscan.ObjectStart || v.kind == jsonscan.ArrayStart {
		return
	}
	if pr != nil && pr.declared && pr.node.enum != nil && !m.listed(pr.node.enum, v) {
		m.fails[m.evals[m.runs[r].first+s].fail].mismatch = true
		_, watch := m.masks(&m.runs[r])
		watch[s>>6] &^= 1 << (s & 63)
	}
}

// variant reports whether name, which n does not declare, differs from a declared one only by case.
func (m *Machine) variant(n *node, name []byte) bool {
	if n.folded == nil {
		return false
	}
	// Names are decoded here; a backslash of theirs is no escape.
	if bytes.IndexByte(name, '\\') >= 0 {
		m.scratch = jsonscan.AppendQuoted(m.scratch[:0], name, false)
		name = m.scratch
	}
	m.folded = jsonscan.AppendFolded(m.folded[:0], name)
	_, ok := n.folded[string(m.folded)]
	return ok
}

// demand applies n to the value that begins, for the sake of l. A scalar is answered at once.
func (m *Machine) demand(n *node, l link, sure bool, v *value) {
	if n.always > 0 && l.role != contained {
		return
	}
	sure = sure && l.role == must
	if v.kind != jsonscan.ObjectStart && v.kind != jsonscan.ArrayStart {
		why := m.scalar(n.plan, v)
		switch {
		case why != nil:
			m.answer(l, false, *why)
		case l.role != must || l.run >= 0 && m.runs[l.run].plan.steps[l.step].decider:
			m.answer(l, true, Failure{})
		}
		return
	}
	from := 0
	if len(m.frames) > 0 {
		from = m.top().runs
	}
	if r := int(m.runOf[n.plan.id]); r >= from && r < len(m.runs) && m.runs[r].plan == n.plan {
		have := &m.runs[r]
		have.must = have.must || sure
		l.next = have.owner.next
		have.owner.next = int32(len(m.links))
		m.links = append(m.links, l)
		return
	}
	m.runOf[n.plan.id] = int32(len(m.runs))
	m.runs = append(m.runs, run{plan: n.plan, must: sure, owner: l})
}

// suspect records that step s of run r has met a name that differs from a declared one only by case. Where the step applies for
// sure that is the end. Elsewhere it is if the step turns out to apply: an alternative that fails says nothing about its names,
// and one that failed because of them would let another one through.
func (m *Machine) suspect(r, s int, why Failure) {
	if m.runs[r].must && m.runs[r].plan.steps[s].must {
		m.fail(r, s, why)
		return
	}
	if e := &m.evals[m.runs[r].first+s]; e.suspect < 0 {
		m.fails = append(m.fails, why)
		e.suspect = int32(len(m.fails) - 1)
		m.runs[r].suspect = true
	}
}

// suspicion returns what the steps of run r that apply have met, nil for nothing.
func (m *Machine) suspicion(r int, object bool) *Failure {
	run := &m.runs[r]
	if !run.suspect {
		return nil
	}
	m.applying(r, 0, object)
	for _, s := range m.helpers {
		if i := m.evals[run.first+s].suspect; i >= 0 {
			return &m.fails[i]
		}
	}
	return nil
}

// answer tells l the verdict. why is the reason of a refusal; of a value that is right, a suspicion, or nothing.
func (m *Machine) answer(l link, ok bool, why Failure) {
	if l.run < 0 {
		if why.Keyword != "" && !m.refused {
			m.refused, m.failure = true, why
		}
		return
	}
	if ok && why.Keyword != "" {
		m.suspect(int(l.run), int(l.step), why)
	}
	r, s := int(l.run), int(l.step)
	e := &m.evals[m.runs[r].first+s]
	switch l.role {
	case must:
		if !ok {
			why.mismatch, why.tag = why.tag, false
			m.fail(r, s, why)
		} else if st := &m.runs[r].plan.steps[s]; st.decider && m.exact && l.nameEnd > 0 { // a member, not an element
			live, _ := m.masks(&m.runs[r])
			live.remove(st.settles)
		}
	case contained:
		if !ok {
			return
		}
		n := m.runs[r].plan.steps[s].n
		if e.contains++; n.maxContains >= 0 && int(e.contains) > n.maxContains {
			m.fail(r, s, Failure{Keyword: "maxContains", At: m.startOf(r)})
			return
		}
		if m.runs[r].plan.tracks {
			m.remember(&e.matched, l.index)
		}
	case rest:
		switch {
		case ok:
		case l.nameEnd == 0:
			m.remember(&e.marks, l.index)
		default:
			m.marks = append(m.marks, mark{l.nameStart, l.nameEnd, e.marks})
			e.marks = int32(len(m.marks) - 1)
		}
	}
}

// startOf returns where the container of run r begins.
func (m *Machine) startOf(r int) int {
	for i := len(m.frames) - 1; i >= 0; i-- {
		if m.frames[i].base.runs <= r {
			return m.frames[i].start
		}
	}
	return 0
}

// fail records that step s of run r has failed, and all that fails with it.
func (m *Machine) fail(r, s int, why Failure) {
	run := &m.runs[r]
	e := &m.evals[run.first+s]
	if e.fail >= 0 {
		return
	}
	m.fails = append(m.fails, why)
	e.fail = int32(len(m.fails) - 1)
	live, watch := m.masks(run)
	live.remove(run.plan.steps[s].kills)
	if run.plan.steps[s].tags && !why.mismatch {
		watch.set(s)
	}
	for _, parent := range run.plan.steps[s].parents {
		m.fail(r, parent, why)
	}
	if s != 0 {
		return
	}
	run.dead = true
	if run.must && !m.refused {
		m.refused, m.failure = true, why
	}
}
