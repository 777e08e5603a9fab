package schema

import (
	"bytes"
	"errors"
	"slices"
	"unicode/utf8"

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

// Machine runs a Program along a scan. It is a [jsonscan.Visitor] and keeps its memory from one scan to the next. It is not
// safe for concurrent use.
type Machine struct {
	root    *plan
	fold    bool
	refused bool
	failure Failure

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
	lookers []looker
	whys    []Failure
	settled []verdict
	runOf   []int32 // by plan: the run that was begun for it last
	members []member

	work int // what was looked at, for the test that bounds it
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
	must  bool
	dead  bool // it has failed
	owner link
}

// eval is the state of one step.
type eval struct {
	fail     int32 // an index of fails, -1 while it has not failed
	off      bool  // nobody needs the verdict any more
	seen     bool  // gather has been here
	n        int32 // members so far
	contains int32
	bits     int32
	marks    int32 // the first of its marks, or for an array of its items, -1 for none
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

// Start prepares m for one scan of a document. fold says that member names which differ from a declared name only by case
// are refused wherever the schema applies for sure.
func (m *Machine) Start(p *Program, fold bool) {
	m.root, m.fold = p.root, fold
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
	return cap(m.evals)+cap(m.marks)+cap(m.items)+cap(m.table)+cap(m.members) <= 1<<16 && cap(m.settled) <= 1<<12 && cap(m.text)+cap(m.name)+cap(m.scratch)+cap(m.folded) <= 1<<19
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
	str        string // the same, for formats: one copy, however many ask
}

func (v *value) string(text []byte) string {
	if v.str == "" {
		v.str = string(text)
	}
	return v.str
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
	kind := tArray
	if f.object {
		kind = tObject
	}
	m.work += len(run.plan.steps)
	for i := range run.plan.steps {
		e := eval{fail: -1, marks: -1, matched: -1}
		if n := run.plan.steps[i].n; f.object && n.bits > 0 {
			e.bits = int32(len(m.bits))
			for range (n.bits + 63) / 64 {
				m.bits = append(m.bits, 0)
			}
		}
		m.evals = append(m.evals, e)
	}
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

// ready reports whether step i of run r needs to look at what comes.
func (m *Machine) ready(r, i int) bool {
	run := &m.runs[r]
	e := &m.evals[run.first+i]
	if e.off || e.fail >= 0 {
		return false
	}
	st := &run.plan.steps[i]
	if st.owner >= 0 {
		if o := &m.evals[run.first+st.owner]; o.off || o.fail >= 0 {
			e.off = true
			return false
		}
	}
	if st.guard >= 0 && m.evals[run.first+st.guard].fail >= 0 {
		e.off = true
		return false
	}
	return true
}

// element applies run r to the element with index i.
func (m *Machine) element(r, i int, v *value) {
	steps := m.runs[r].plan.steps
	m.work += len(steps)
	for s := range steps {
		if !m.ready(r, s) {
			continue
		}
		n := steps[s].n
		if n.always > 0 {
			continue
		}
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

func (m *Machine) top() *frame { return &m.frames[len(m.frames)-1] }

// member applies run r to a member of the object f.
func (m *Machine) member(r int, f *frame, name []byte, nameStart, nameEnd int, v *value) {
	steps := m.runs[r].plan.steps
	m.work += len(steps)
	for s := range steps {
		n := steps[s].n
		if !m.ready(r, s) {
			m.tagged(r, s, n, name, v)
			continue
		}
		if n.always > 0 {
			continue
		}
		e := &m.evals[m.runs[r].first+s]
		if e.n++; n.maxProps >= 0 && int(e.n) > n.maxProps {
			m.fail(r, s, Failure{Keyword: "maxProperties", At: f.start})
			continue
		}
		l := link{run: int32(r), step: int32(s), next: -1, nameStart: int32(nameStart), nameEnd: int32(nameEnd)}
		sure := m.runs[r].must && steps[s].must
		pr, known := n.names[string(name)]
		looked := known && pr.declared
		if known && pr.bit >= 0 {
			m.bits[int(e.bits)+pr.bit>>6] |= 1 << (pr.bit & 63)
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
		if !looked && sure && m.fold && m.variant(n, name) {
			m.fail(r, s, Failure{Keyword: "case", At: f.start, NameStart: l.nameStart, NameEnd: l.nameEnd})
			continue
		}
		if n.propertyNames != nil {
			named := value{kind: jsonscan.String, raw: name, text: name, decoded: true}
			if ok, _ := m.scalar(n.propertyNames.plan, &named); !ok {
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
func (m *Machine) tagged(r, s int, n *node, name []byte, v *value) {
	e := &m.evals[m.runs[r].first+s]
	if e.fail < 0 || m.fails[e.fail].mismatch || v.kind == jsonscan.ObjectStart || v.kind == jsonscan.ArrayStart {
		return
	}
	pr := n.names[string(name)]
	if pr.declared && pr.node.enum != nil && !m.listed(pr.node.enum, v) {
		m.fails[e.fail].mismatch = true
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
		ok, why := m.scalar(n.plan, v)
		m.answer(l, ok, why)
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

// answer tells l the verdict.
func (m *Machine) answer(l link, ok bool, why Failure) {
	if l.run < 0 {
		if !ok && !m.refused {
			m.refused, m.failure = true, why
		}
		return
	}
	r, s := int(l.run), int(l.step)
	e := &m.evals[m.runs[r].first+s]
	switch l.role {
	case must:
		if !ok {
			why.mismatch, why.tag = why.tag, false
			m.fail(r, s, why)
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

// close ends the innermost container about which somebody asks.
func (m *Machine) close(data []byte, end int) {
	f := m.frames[len(m.frames)-1]
	raw := data[f.start:end]
	for r := f.runs - 1; r >= f.base.runs; r-- {
		for s := len(m.runs[r].plan.steps) - 1; s >= 0; s-- {
			m.finish(r, s, &f, raw, data)
		}
	}
	m.frames = m.frames[:len(m.frames)-1]
	if !m.refused {
		m.settle(&f)
	}
}

// verdict is what a run's owner hears.
type verdict struct {
	l   link
	ok  bool
	why Failure
}

// settle hands the verdicts of a container's runs to those who asked, and forgets the runs.
func (m *Machine) settle(f *frame) {
	// Verdicts make the steps outside write to the stacks that are cut here, so they are taken out first.
	if len(m.runs) == f.base.runs+1 && len(m.links) == f.base.links { // nearly always: one schema, asked for once
		run := &m.runs[f.base.runs]
		l, i := run.owner, m.evals[run.first].fail
		var why Failure
		if i >= 0 {
			why = m.fails[i]
		}
		m.cut(f.base)
		m.answer(l, i < 0, why)
		return
	}
	list := m.settled[:0]
	for r := f.base.runs; r < len(m.runs); r++ {
		run := &m.runs[r]
		var why Failure
		ok := true
		if i := m.evals[run.first].fail; i >= 0 {
			ok, why = false, m.fails[i]
		}
		for l := run.owner; ; l = m.links[l.next] {
			list = append(list, verdict{l, ok, why})
			if l.next < 0 {
				break
			}
		}
	}
	m.settled = list
	m.cut(f.base)
	for i := range list {
		m.answer(list[i].l, list[i].ok, list[i].why)
	}
}

// finish decides step s of run r at the end of its container. The steps after s are decided.
func (m *Machine) finish(r, s int, f *frame, raw, data []byte) {
	run := &m.runs[r]
	st := &run.plan.steps[s]
	n := st.n
	e := &m.evals[run.first+s]
	if e.fail >= 0 || n.always > 0 {
		return
	}
	fail := func(keyword string) { m.fail(r, s, Failure{Keyword: keyword, At: f.start}) }
	if f.object {
		for i := range n.required {
			if !m.present(e, n.required[i].bit) {
				m.fail(r, s, Failure{Keyword: "required", At: f.start, missing: &n.required[i]})
				return
			}
		}
		if n.minProps > int(e.n) {
			fail("minProperties")
			return
		}
		for i := range n.dependent {
			d := &n.dependent[i]
			if !m.present(e, d.bit) {
				continue
			}
			for j := range d.needs {
				if !m.present(e, d.needs[j].bit) {
					m.fail(r, s, Failure{Keyword: d.keyword, At: f.start, missing: &d.needs[j]})
					return
				}
			}
		}
		for i := range n.whenPresent {
			if why := m.why(run, st.whenPresent[i]); why != nil && m.present(e, n.whenPresent[i].bit) {
				m.fail(r, s, *why)
				return
			}
		}
	} else {
		if n.minItems > f.n {
			fail("minItems")
			return
		}
		if n.contains != nil && int(e.contains) < n.minContains {
			keyword := "contains"
			if n.minContains > 1 {
				keyword = "minContains"
			}
			fail(keyword)
			return
		}
		if n.unique && f.n > 1 && !m.distinct(raw, f.n) {
			fail("uniqueItems")
			return
		}
	}
	if n.enum != nil && !n.enum.has(raw, &m.scratch) {
		m.fail(r, s, Failure{Keyword: n.enumK, At: f.start, tag: true, mismatch: true})
		return
	}
	if !run.plan.single {
		if why, ok := m.combine(st, f.start, func(i int) *Failure { return m.why(run, i) }); !ok {
			m.fail(r, s, why)
			return
		}
	}
	if e.marks >= 0 {
		m.unevaluated(r, s, f, data)
	}
}

func (m *Machine) present(e *eval, bit int) bool { return m.bits[int(e.bits)+bit>>6]>>(bit&63)&1 == 1 }

// why returns the failure of a step, nil when it has not failed.
func (m *Machine) why(run *run, step int) *Failure {
	if i := m.evals[run.first+step].fail; i >= 0 {
		return &m.fails[i]
	}
	return nil
}

// combine decides what the verdicts of other steps mean for st. why returns the failure of a step, or nil.
func (m *Machine) combine(st *step, at int, why func(int) *Failure) (Failure, bool) {
	if len(st.any) > 0 {
		if fits(st.any, why) == 0 {
			return alternative(st.any, why, "anyOf", at), false
		}
	}
	if len(st.one) > 0 {
		switch n := fits(st.one, why); {
		case n == 0:
			return alternative(st.one, why, "oneOf", at), false
		case n > 1:
			return Failure{Keyword: "oneOf", At: at}, false
		}
	}
	if st.not >= 0 && why(st.not) == nil {
		return Failure{Keyword: "not", At: at}, false
	}
	if st.ifs >= 0 {
		branch := st.then
		if why(st.ifs) != nil {
			branch = st.els
		}
		if branch >= 0 {
			if f := why(branch); f != nil {
				return *f, false
			}
		}
	}
	return Failure{}, true
}

// fits counts the steps that have not failed, up to two.
func fits(steps []int, why func(int) *Failure) (n int) {
	for _, i := range steps {
		if why(i) == nil {
			if n++; n == 2 {
				break
			}
		}
	}
	return n
}

// alternative picks what to report when no alternative fits: the failure of the only one that was meant, or that none fits.
func alternative(steps []int, why func(int) *Failure, keyword string, at int) Failure {
	var meant *Failure
	for _, i := range steps {
		switch f := why(i); {
		case f.mismatch:
		case meant != nil:
			return Failure{Keyword: keyword, At: at}
		default:
			meant = f
		}
	}
	if meant == nil {
		return Failure{Keyword: keyword, At: at, mismatch: true}
	}
	return *meant
}

// unevaluated decides about the members or items that nobody had looked at when they came: some step that turned out to be
// right may have.
func (m *Machine) unevaluated(r, s int, f *frame, data []byte) {
	steps := m.runs[r].plan.steps
	for i := range steps {
		m.evals[m.runs[r].first+i].seen = false
	}
	m.lookers = m.lookers[:0]
	m.gather(r, s, f.object)
	first := m.evals[m.runs[r].first+s].marks
	if !f.object {
		for i := first; i >= 0; i = m.items[i].next {
			if m.itemsLeft(steps, int32(s), m.items[i]) {
				m.fail(r, s, Failure{Keyword: "unevaluatedItems", At: f.start})
				return
			}
		}
		return
	}
	for i := first; i >= 0; i = m.marks[i].next {
		k := m.marks[i]
		m.name = jsonscan.AppendUnquoted(m.name[:0], data[k.nameStart:k.nameEnd])
		m.work += len(m.lookers)
		if !slices.ContainsFunc(m.lookers, func(l looker) bool { return l.step != int32(s) && steps[l.step].n.looksAtName(m.name) }) {
			m.fail(r, s, Failure{Keyword: "unevaluatedProperties", At: f.start, NameStart: k.nameStart, NameEnd: k.nameEnd})
			return
		}
	}
}

// itemsLeft reports whether nobody has looked at one of these items of step s.
func (m *Machine) itemsLeft(steps []step, s int32, these items) bool {
	m.work += len(m.lookers)
	for j := range m.lookers {
		l := &m.lookers[j]
		if n := steps[l.step].n; l.step != s { // itself it has looked only through contains
			if n.items != nil || n.restItems != nil {
				return false
			}
			if k := len(n.prefix) - int(these.base); k >= 64 {
				return false
			} else if k > 0 {
				these.set &^= 1<<k - 1
			}
		}
		// Items are listed last ones first, here as well as there.
		for l.matched >= 0 && m.items[l.matched].base > these.base {
			l.matched = m.items[l.matched].next
		}
		if l.matched >= 0 && m.items[l.matched].base == these.base {
			these.set &^= m.items[l.matched].set
		}
	}
	return these.set != 0
}

// looker is a step that applies and is right, so that what it has looked at counts.
type looker struct{ step, matched int32 }

// gather collects the lookers of step s: each once, however many ways lead to it.
func (m *Machine) gather(r, s int, object bool) {
	run := &m.runs[r]
	st := &run.plan.steps[s]
	e := &m.evals[run.first+s]
	e.seen = true
	m.lookers = append(m.lookers, looker{int32(s), e.matched})
	visit := func(i int) {
		if e := &m.evals[run.first+max(i, 0)]; i >= 0 && e.fail < 0 && !e.seen {
			m.gather(r, i, object)
		}
	}
	for _, list := range [...][]int{st.all, st.any, st.one} {
		for _, i := range list {
			visit(i)
		}
	}
	if st.ifs >= 0 {
		if m.evals[run.first+st.ifs].fail >= 0 {
			visit(st.els)
		} else {
			visit(st.ifs)
			visit(st.then)
		}
	}
	for i, w := range st.whenPresent {
		if object && m.present(e, st.n.whenPresent[i].bit) {
			visit(w)
		}
	}
}

func (n *node) looksAtName(name []byte) bool {
	if n.additional != nil || n.restProps != nil || n.names[string(name)].declared {
		return true
	}
	return slices.ContainsFunc(n.patterns, func(p patternProperty) bool { return p.re.Match(name) })
}

// scalar applies a plan to a scalar.
func (m *Machine) scalar(p *plan, v *value) (bool, Failure) {
	if p.single {
		why := m.local(p.steps[0].n, v)
		return why.Keyword == "", why
	}
	m.whys = slices.Grow(m.whys[:0], len(p.steps))
	whys := m.whys[:len(p.steps)]
	m.work += len(whys)
	why := func(i int) *Failure {
		if whys[i].Keyword == "" {
			return nil
		}
		return &whys[i]
	}
	for s := len(p.steps) - 1; s >= 0; s-- {
		st := &p.steps[s]
		whys[s] = m.local(st.n, v)
		for _, i := range st.all {
			if whys[s].Keyword == "" {
				whys[s] = whys[i]
			}
		}
		if whys[s].Keyword == "" {
			if f, ok := m.combine(st, v.start, why); !ok {
				whys[s] = f
			}
		}
	}
	return whys[0].Keyword == "", whys[0]
}

// local applies one node to a scalar. Without a failure the keyword is empty.
func (m *Machine) local(n *node, v *value) Failure {
	if n.always != 0 {
		if n.always < 0 {
			return Failure{Keyword: n.denies, At: v.start}
		}
		return Failure{}
	}
	if t := kindTypes[v.kind]; n.types&t == 0 {
		if v.kind != jsonscan.Number || n.types&tInteger == 0 || !m.integer(v.raw) {
			return Failure{Keyword: "type", At: v.start, mismatch: true}
		}
	}
	if !n.scalars {
		return Failure{}
	}
	if n.enum != nil && !m.listed(n.enum, v) {
		return Failure{Keyword: n.enumK, At: v.start, tag: true, mismatch: true}
	}
	keyword := ""
	switch v.kind {
	case jsonscan.Number:
		keyword = m.number(n, v.raw)
	case jsonscan.String:
		keyword = m.string(n, v)
	}
	return Failure{Keyword: keyword, At: v.start}
}

func (m *Machine) integer(raw []byte) bool {
	if _, ok := wholeNumber(raw); ok {
		return true
	}
	d, rest := parseDecimal(m.scratch[:0], raw)
	m.scratch = rest
	return d.integer()
}

// decode gives v its text.
func (m *Machine) decode(v *value) []byte {
	if !v.decoded {
		v.text, v.decoded = v.raw, true
		if bytes.IndexByte(v.raw, '\\') >= 0 {
			m.text = jsonscan.AppendUnquoted(slices.Grow(m.text[:0], len(v.raw)), v.raw)
			v.text = m.text
		}
	}
	return v.text
}

// listed reports whether a scalar is in the set.
func (m *Machine) listed(s *values, v *value) bool {
	switch v.kind {
	case jsonscan.Null:
		return s.null
	case jsonscan.True:
		return s.yes
	case jsonscan.False:
		return s.no
	case jsonscan.String:
		if len(s.strings) == 1 {
			return string(m.decode(v)) == s.one
		}
		_, ok := s.strings[string(m.decode(v))]
		return ok
	case jsonscan.Number:
		if len(s.numbers) == 0 {
			return false
		}
		d, rest := parseDecimal(m.scratch[:0], v.raw)
		m.scratch = rest
		_, ok := slices.BinarySearchFunc(s.numbers, d, decimal.cmp)
		return ok
	}
	return false
}

// number returns the keyword that a number fails, "" for none.
func (m *Machine) number(n *node, raw []byte) string {
	if n.minimum == nil && n.maximum == nil && n.multipleOf == nil {
		return ""
	}
	whole, ok := wholeNumber(raw)
	var d decimal
	if !ok || n.multipleOf != nil || n.minimum != nil && !n.minimum.isWhole || n.maximum != nil && !n.maximum.isWhole {
		ok = false
		d, m.scratch = parseDecimal(m.scratch[:0], raw)
	}
	cmp := func(b *bound) int {
		switch {
		case !ok:
			return d.cmp(b.value)
		case whole < b.whole:
			return -1
		case whole > b.whole:
			return 1
		}
		return 0
	}
	if b := n.minimum; b != nil {
		if c := cmp(b); c < 0 || c == 0 && b.exclusive {
			return b.keyword
		}
	}
	if b := n.maximum; b != nil {
		if c := cmp(b); c > 0 || c == 0 && b.exclusive {
			return b.keyword
		}
	}
	if n.multipleOf != nil && !d.multiple(*n.multipleOf) {
		return "multipleOf"
	}
	return ""
}

// string returns the keyword that a string fails, "" for none.
func (m *Machine) string(n *node, v *value) string {
	if n.minLength > 0 || n.maxLen >= 0 {
		// A character takes one to six bytes as written (twelve for an escaped surrogate pair, which is one character), so that
		// the length mostly settles it without counting.
		if len(v.raw)/12 < n.minLength || n.maxLen >= 0 && len(v.raw) > n.maxLen {
			switch chars := utf8.RuneCount(m.decode(v)); {
			case chars < n.minLength:
				return "minLength"
			case n.maxLen >= 0 && chars > n.maxLen:
				return "maxLength"
			}
		}
	}
	if n.pattern != nil && !n.pattern.Match(m.decode(v)) {
		return "pattern"
	}
	if n.format != nil && !n.format(v.string(m.decode(v))) {
		return "format"
	}
	return ""
}
