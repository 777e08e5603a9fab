package schema

import (
	"slices"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// close ends the innermost container about which somebody asks.
func (m *Machine) close(data []byte, end int) {
	f := m.frames[len(m.frames)-1]
	raw := data[f.start:end]
	for r := f.runs - 1; r >= f.base.runs; r-- {
		live, _ := m.masks(&m.runs[r])
		for s := len(m.runs[r].plan.steps) - 1; s >= 0; s-- {
			if live.has(s) {
				m.finish(r, s, &f, raw, data)
			}
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
		} else if s := m.suspicion(f.base.runs, f.object); s != nil {
			why = *s
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
		} else if s := m.suspicion(r, f.object); s != nil {
			why = *s
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
	if n.always > 0 {
		return
	}
	fail := func(keyword string) { m.fail(r, s, Failure{Keyword: keyword, At: f.start}) }
	if f.object {
		for i := range n.required {
			if !m.present(run, e, n.required[i].bit) {
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
			if !m.present(run, e, d.bit) {
				continue
			}
			for j := range d.needs {
				if !m.present(run, e, d.needs[j].bit) {
					m.fail(r, s, Failure{Keyword: d.keyword, At: f.start, missing: &d.needs[j]})
					return
				}
			}
		}
		for i := range n.whenPresent {
			if why := m.why(run, st.whenPresent[i]); why != nil && m.present(run, e, n.whenPresent[i].bit) {
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

func (m *Machine) present(run *run, e *eval, bit int) bool {
	return m.bits[run.live+int(e.bits)+bit>>6]>>(bit&63)&1 == 1
}

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
	run := &m.runs[r]
	m.applying(r, s, f.object)
	first := m.evals[run.first+s].marks
	if f.object {
		for i := first; i >= 0; i = m.marks[i].next {
			k := m.marks[i]
			m.name = jsonscan.AppendUnquoted(m.name[:0], data[k.nameStart:k.nameEnd])
			m.work += len(m.helpers)
			if !slices.ContainsFunc(m.helpers, func(i int) bool { return i != s && run.plan.steps[i].n.looksAtName(m.name) }) {
				m.fail(r, s, Failure{Keyword: "unevaluatedProperties", At: f.start, NameStart: k.nameStart, NameEnd: k.nameEnd})
				return
			}
		}
		return
	}
	prefix := 0
	for _, i := range m.helpers {
		n := run.plan.steps[i].n
		if prefix = max(prefix, len(n.prefix)); i != s && (n.items != nil || n.restItems != nil) {
			return // all of them
		}
	}
	for i := first; i >= 0; i = m.items[i].next {
		left := m.items[i]
		if w := int(left.base) >> 6; w < len(m.matched) {
			left.set &^= m.matched[w]
		}
		if k := prefix - int(left.base); k >= 64 {
			continue
		} else if k > 0 {
			left.set &^= 1<<k - 1
		}
		if m.work++; left.set != 0 {
			m.fail(r, s, Failure{Keyword: "unevaluatedItems", At: f.start})
			return
		}
	}
}

// applying gathers in helpers step s of run r, which is right, and the steps that apply through it and are right, each once however
// many ways lead to it: what they have looked at is looked at.
func (m *Machine) applying(r, s int, object bool) {
	run := &m.runs[r]
	for i := range run.plan.steps {
		m.evals[run.first+i].seen = false
	}
	m.helpers, m.matched = m.helpers[:0], m.matched[:0]
	m.help(r, s, object)
}

func (m *Machine) help(r, s int, object bool) {
	run := &m.runs[r]
	st := &run.plan.steps[s]
	e := &m.evals[run.first+s]
	e.seen = true
	m.helpers = append(m.helpers, s)
	if !object {
		for i := e.matched; i >= 0; i = m.items[i].next {
			k := &m.items[i]
			for len(m.matched) <= int(k.base)>>6 {
				m.matched = append(m.matched, 0)
			}
			m.matched[k.base>>6] |= k.set
		}
	}
	visit := func(i int) {
		if i < 0 || m.evals[run.first+i].fail >= 0 || m.evals[run.first+i].seen {
			return
		}
		m.help(r, i, object)
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
		if object && m.present(run, e, st.n.whenPresent[i].bit) {
			visit(w)
		}
	}
}

// looksAtName reports whether n says something about a member of that name.
func (n *node) looksAtName(name []byte) bool {
	if n.additional != nil || n.restProps != nil || n.names[string(name)].declared {
		return true
	}
	return slices.ContainsFunc(n.patterns, func(p patternProperty) bool { return p.re.Match(name) })
}
