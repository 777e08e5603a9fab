package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// Options is what a schema may rely on.
type Options struct {
	// Resources are further schema documents by absolute URL, decoded as Compile's doc. Nothing else can be referred to.
	Resources map[string]any
	// Formats are the formats that are asserted; others are annotations.
	Formats map[string]func(string) bool
}

// Program is a compiled schema. It is immutable and safe for concurrent use.
type Program struct {
	root  *plan
	plans int
}

// Compile compiles doc, a schema as encoding/json with UseNumber decodes it, which is valid against its meta-schema.
func Compile(doc any, opt Options) (*Program, error) {
	c := &compiler{index: newIndex(opt.Resources), formats: opt.Formats, nodes: map[string]*node{}}
	res, err := c.index.document(DefaultURL, doc, draft2020)
	if err != nil {
		return nil, err
	}
	root, err := c.compile(res.root, scope{})
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(c.entries); i++ { // planning finds no new ones, but the root is not asked for by anybody
		if err := c.planFor(c.entries[i]); err != nil {
			return nil, err
		}
	}
	if err := c.planFor(root); err != nil {
		return nil, err
	}
	return &Program{root: root.plan, plans: c.plans}, nil
}

type compiler struct {
	index   *index
	formats map[string]func(string) bool
	nodes   map[string]*node
	entries []*node // the nodes that apply to members and elements
	plans   int
}

// scope is the dynamic scope, as far as $dynamicRef asks for it: of each dynamic anchor, the outermost place.
type scope struct {
	key     string
	anchors map[string]place
}

// enter returns the scope inside of res.
func (s scope) enter(res *resource) scope {
	var added []string
	for name := range res.dynamic {
		if _, ok := s.anchors[name]; !ok {
			added = append(added, name)
		}
	}
	if len(added) == 0 {
		return s
	}
	inner := scope{anchors: maps.Clone(s.anchors)}
	if inner.anchors == nil {
		inner.anchors = map[string]place{}
	}
	for _, name := range added {
		inner.anchors[name] = res.dynamic[name]
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(inner.anchors)) {
		fmt.Fprintf(&b, "%q=%q ", name, inner.anchors[name].key)
	}
	inner.key = b.String()
	return inner
}

// compile returns the node of the schema at p.
func (c *compiler) compile(p place, s scope) (*node, error) {
	if r := c.index.rootAt[p.key]; r != nil {
		p.res = r
	}
	s = s.enter(p.res)
	key := p.key + " " + s.key
	if n := c.nodes[key]; n != nil {
		return n, nil
	}
	n := &node{id: len(c.nodes), types: allTypes, minLength: -1, maxLen: -1, minItems: -1, maxItems: -1, minProps: -1, maxProps: -1,
		minContains: 1, maxContains: -1}
	c.nodes[key] = n
	switch v := p.value.(type) {
	case bool:
		if n.always = 1; !v {
			n.always, n.denies = -1, "not"
		}
		return n, nil
	case map[string]any:
		if len(v) == 0 {
			n.always = 1
			return n, nil
		}
		return n, c.object(n, p, s, v)
	}
	return nil, fmt.Errorf("schema: not a schema at %s", p.key)
}

// sub compiles the schema below p. entry says that it applies to other values than the schema it stands in.
func (c *compiler) sub(p place, s scope, entry bool, value any, tokens ...string) (*node, error) {
	n, err := c.compile(p.child(value, tokens...), s)
	if err == nil && entry {
		c.entries = append(c.entries, n)
	}
	return n, err
}

func (c *compiler) object(n *node, p place, s scope, m map[string]any) error {
	if ref, ok := m["$ref"].(string); ok {
		target, _, err := c.index.find(p, ref)
		if err != nil {
			return err
		}
		sub, err := c.compile(target, s)
		if err != nil {
			return err
		}
		n.all = append(n.all, sub)
		if p.res.draft.version == 7 {
			return nil
		}
	}
	if ref, ok := m["$dynamicRef"].(string); ok && p.res.draft.version == 2020 {
		target, dynamic, err := c.index.find(p, ref)
		if err != nil {
			return err
		}
		if outermost, ok := s.anchors[dynamic]; ok {
			target = outermost
		}
		sub, err := c.compile(target, s)
		if err != nil {
			return err
		}
		n.all = append(n.all, sub)
	}
	var errs []error
	one := func(keyword string, entry bool) (sub *node) {
		v, ok := m[keyword]
		if !ok {
			return nil
		}
		sub, err := c.sub(p, s, entry, v, keyword)
		errs = append(errs, err)
		return sub
	}
	list := func(keyword string, entry bool) (subs []*node) {
		l, _ := m[keyword].([]any)
		for i, v := range l {
			sub, err := c.sub(p, s, entry, v, keyword, strconv.Itoa(i))
			errs = append(errs, err)
			subs = append(subs, sub)
		}
		return subs
	}
	d := p.res.draft
	if d.validation {
		errs = append(errs, c.assertions(n, m, d.version == 2020))
	}
	if f, ok := m["format"].(string); ok {
		n.format, n.formatName = c.formats[f], f
	}
	if d.applicator {
		n.all = append(n.all, list("allOf", false)...)
		n.any, n.one = list("anyOf", false), list("oneOf", false)
		n.not = one("not", false)
		if n.ifs = one("if", false); n.ifs != nil {
			n.then, n.els = one("then", false), one("else", false)
		}
		if n.not != nil && n.not.always == 1 {
			n.always, n.denies, n.not = -1, "not", nil
		}
		if n.contains = one("contains", true); n.contains == nil {
			n.maxContains = -1
		}
		if _, old := m["items"].([]any); old && d.version == 7 {
			n.prefix, n.items = list("items", true), one("additionalItems", true)
		} else {
			if d.version == 2020 {
				n.prefix = list("prefixItems", true)
			}
			n.items = one("items", true)
		}
		errs = append(errs, c.members(n, p, s, m))
		n.additional = one("additionalProperties", true)
		n.propertyNames = one("propertyNames", true)
	}
	if d.unevaluated {
		n.restProps, n.restItems = one("unevaluatedProperties", true), one("unevaluatedItems", true)
	}
	n.costly = n.pattern != nil || n.format != nil
	n.scalars = n.enum != nil || n.minimum != nil || n.maximum != nil || n.multipleOf != nil || n.minLength > 0 || n.maxLen >= 0 ||
		n.pattern != nil || n.format != nil
	return errors.Join(errs...)
}

// assertions reads the keywords of the validation vocabulary; modern ones only where they exist.
func (c *compiler) assertions(n *node, m map[string]any, modern bool) error {
	switch t := m["type"].(type) {
	case string:
		n.types = typeNames[t]
	case []any:
		n.types = 0
		for _, e := range t {
			name, _ := e.(string)
			n.types |= typeNames[name]
		}
	}
	if v, ok := m["enum"].([]any); ok {
		n.enum, n.enumK = newValues(v), "enum"
	}
	if v, ok := m["const"]; ok {
		if n.enum != nil { // both: what is in both
			v = intersect(m["enum"].([]any), v)
			n.enum, n.enumK = newValues(v.([]any)), "enum"
		} else {
			n.enum, n.enumK = newValues([]any{v}), "const"
		}
	}
	n.minimum = tighter(newBound(m, "minimum", false), newBound(m, "exclusiveMinimum", true), 1)
	n.maximum = tighter(newBound(m, "maximum", false), newBound(m, "exclusiveMaximum", true), -1)
	if raw, ok := m["multipleOf"].(json.Number); ok {
		d, _ := parseDecimal(nil, []byte(raw))
		if len(d.digits) == 0 || d.negative {
			return fmt.Errorf("schema: multipleOf %s", raw)
		}
		n.multipleOf = &d
	}
	for keyword, at := range map[string]*int{"minLength": &n.minLength, "maxLength": &n.maxLen, "minItems": &n.minItems,
		"maxItems": &n.maxItems, "minProperties": &n.minProps, "maxProperties": &n.maxProps, "minContains": &n.minContains,
		"maxContains": &n.maxContains} {
		if strings.HasSuffix(keyword, "Contains") && !modern {
			continue
		}
		if raw, ok := m[keyword].(json.Number); ok {
			v, ok := jsonscan.Int([]byte(raw))
			if !ok || v < 0 || v > 1<<53 {
				return fmt.Errorf("%w: %s %s", ErrUnsupported, keyword, raw)
			}
			*at = int(min(v, math.MaxInt32)) // more than a document can have
		}
	}
	n.unique = m["uniqueItems"] == true
	if s, ok := m["pattern"].(string); ok {
		re, err := regexp.Compile(s)
		if err != nil {
			return fmt.Errorf("schema: pattern: %w", err)
		}
		n.pattern = re
		if size := instructions(s); size > freePattern && (n.maxLen < 0 || n.maxLen > maxPatternWork/size) {
			return fmt.Errorf("schema: a pattern of %d instructions needs a maxLength of at most %d beside it", size, maxPatternWork/size)
		}
	}
	return nil
}

// RE2 takes a time of up to instructions times characters, about 4 ns each: (a|b|c){1000} on 64 KiB took a second. Patterns of
// up to freePattern instructions may stand alone, for the caller bounds the length of a string; larger ones must not cost more
// than such a pattern does on 16 Ki characters.
const (
	freePattern    = 1000
	maxPatternWork = freePattern << 14
)

// instructions is the size of the program that an expression compiles to.
func instructions(expr string) int {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0
	}
	return len(prog.Inst)
}

// members reads the keywords that speak of members by name.
func (c *compiler) members(n *node, p place, s scope, m map[string]any) error {
	var errs []error
	n.names = map[string]property{}
	bit := func(name string) int {
		pr, ok := n.names[name]
		if !ok {
			pr.bit = -1
		}
		if pr.bit < 0 {
			pr.bit = n.bits
			n.bits++
			n.names[name] = pr
		}
		return pr.bit
	}
	if props, _ := m["properties"].(map[string]any); len(props) > 0 {
		n.folded = map[string]struct{}{}
		for _, name := range slices.Sorted(maps.Keys(props)) {
			sub, err := c.sub(p, s, true, props[name], "properties", name)
			errs = append(errs, err)
			n.names[name] = property{node: sub, bit: -1, declared: true}
			n.folded[foldedName(name)] = struct{}{}
		}
	}
	patterns, _ := m["patternProperties"].(map[string]any)
	for _, expr := range slices.Sorted(maps.Keys(patterns)) {
		re, err := regexp.Compile(expr)
		errs = append(errs, err)
		sub, err := c.sub(p, s, true, patterns[expr], "patternProperties", expr)
		errs = append(errs, err)
		n.patterns = append(n.patterns, patternProperty{re, sub})
	}
	if p.res.draft.validation {
		names, _ := m["required"].([]any)
		for _, e := range names {
			name, _ := e.(string)
			n.required = append(n.required, needed{name, bit(name)})
		}
	}
	for _, keyword := range []string{"dependentRequired", "dependentSchemas", "dependencies"} {
		if p.res.draft.version == 7 && keyword != "dependencies" {
			continue
		}
		members, _ := m[keyword].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(members)) {
			list, ok := members[name].([]any)
			if !ok {
				sub, err := c.sub(p, s, false, members[name], keyword, name)
				errs = append(errs, err)
				n.whenPresent = append(n.whenPresent, conditional{bit(name), sub})
				continue
			}
			d := dependency{bit: bit(name), keyword: keyword}
			for _, e := range list {
				other, _ := e.(string)
				d.needs = append(d.needs, needed{other, bit(other)})
			}
			n.dependent = append(n.dependent, d)
		}
	}
	return errors.Join(errs...)
}

// foldedName is the form of a name in which it meets those that differ from it only by case.
func foldedName(name string) string {
	return string(jsonscan.AppendFolded(nil, jsonscan.AppendQuoted(nil, []byte(name), false)))
}

func newBound(m map[string]any, keyword string, exclusive bool) *bound {
	raw, ok := m[keyword].(json.Number)
	if !ok {
		return nil
	}
	b := &bound{exclusive: exclusive, keyword: keyword}
	b.value, _ = parseDecimal(nil, []byte(raw))
	b.whole, b.isWhole = jsonscan.Int([]byte(raw))
	return b
}

// tighter returns the bound that says more: of two minimums (sign 1) the greater one, of two maximums (sign -1) the smaller.
func tighter(inclusive, exclusive *bound, sign int) *bound {
	switch {
	case inclusive == nil:
		return exclusive
	case exclusive == nil || inclusive.value.cmp(exclusive.value)*sign > 0:
		return inclusive
	}
	return exclusive
}

func newValues(list []any) *values {
	s := &values{strings: map[string]struct{}{}}
	for _, v := range list {
		switch v := v.(type) {
		case nil:
			s.null = true
		case bool:
			s.yes, s.no = s.yes || v, s.no || !v
		case string:
			s.strings[v] = struct{}{}
			s.one = v
		case json.Number:
			d, _ := parseDecimal(nil, []byte(v))
			s.numbers = append(s.numbers, d)
		default:
			_, object := v.(map[string]any)
			s.objects, s.arrays = s.objects || object, s.arrays || !object
			raw, _ := json.Marshal(v)
			c := cursor{data: raw}
			s.others, s.hashes = append(s.others, v), append(s.hashes, c.hash(new([]byte)))
		}
	}
	slices.SortFunc(s.numbers, decimal.cmp)
	return s
}

// intersect returns the one value, in a list, when list holds it too, and otherwise an empty list.
func intersect(list []any, one any) []any {
	raw, _ := json.Marshal(one)
	for _, v := range list {
		if equal(raw, v, new([]byte)) {
			return []any{one}
		}
	}
	return []any{}
}

// planFor makes the plan of n.
func (c *compiler) planFor(n *node) error {
	if n.plan != nil {
		return nil
	}
	var order []*node // those who are asked before those who ask
	at := map[*node]int{}
	const visiting = -1
	var visit func(n *node) error
	visit = func(n *node) error {
		if i, ok := at[n]; ok {
			if i == visiting {
				return errors.New("schema: a schema that refers to itself without going down in the value")
			}
			return nil
		}
		at[n] = visiting
		for _, sub := range n.inPlace() {
			if err := visit(sub); err != nil {
				return err
			}
		}
		at[n] = len(order)
		order = append(order, n)
		return nil
	}
	if err := visit(n); err != nil {
		return err
	}
	p := &plan{id: c.plans, steps: make([]step, len(order))}
	c.plans++
	for i := range order {
		n := order[len(order)-1-i]
		at[n] = i
		p.steps[i] = step{n: n, not: -1, ifs: -1, then: -1, els: -1}
	}
	uses := make([]int, len(p.steps))
	owner := make([]int, len(p.steps)) // the only step that has any use for this one, -1 for none or several
	owner[0] = -1
	for i := range p.steps {
		st := &p.steps[i]
		index := func(sub *node) int {
			if sub == nil {
				return -1
			}
			j := at[sub]
			if uses[j]++; uses[j] == 1 {
				owner[j] = i
			} else {
				owner[j] = -1
			}
			return j
		}
		indexes := func(subs []*node) (list []int) {
			for _, sub := range subs {
				list = append(list, index(sub))
			}
			return list
		}
		st.all, st.any, st.one = indexes(st.n.all), indexes(st.n.any), indexes(st.n.one)
		for _, j := range st.all {
			p.steps[j].parents = append(p.steps[j].parents, i)
		}
		st.not, st.ifs, st.then, st.els = index(st.n.not), index(st.n.ifs), index(st.n.then), index(st.n.els)
		for _, w := range st.n.whenPresent {
			st.whenPresent = append(st.whenPresent, index(w.node))
		}
		p.tracks = p.tracks || st.n.restItems != nil
	}
	p.steps[0].must = true
	for i := range p.steps {
		for _, j := range p.steps[i].all {
			p.steps[j].must = p.steps[j].must || p.steps[i].must
		}
	}
	p.sets(uses, owner)
	p.single = len(p.steps) == 1
	n.plan = p
	return nil
}

// sets fills in what the steps of p want to see, and when their verdicts become pointless.
func (p *plan) sets(uses, owner []int) {
	p.members, p.items = newMask(len(p.steps)), newMask(len(p.steps))
	p.bits = make([]uint64, 2*len(p.members))
	for i := range p.members {
		p.bits[i] = ^uint64(0) // all are of interest, and none has failed
	}
	p.names = map[string]int{}
	for i := range p.steps {
		n := p.steps[i].n
		p.costly = p.costly || n.costly
		for name, pr := range n.names {
			row, ok := p.names[name]
			if !ok {
				row = len(p.names)
				p.names[name] = row
				p.properties = append(p.properties, make([]*property, len(p.steps))...)
			}
			p.properties[row*len(p.steps)+i] = &pr
		}
		p.steps[i].combines = len(n.any)+len(n.one) > 0 || n.not != nil || n.ifs != nil
		p.fresh = append(p.fresh, eval{fail: -1, marks: -1, matched: -1, suspect: -1, bits: int32(len(p.bits))})
		p.bits = append(p.bits, newMask(p.steps[i].n.bits)...)
	}
	p.variantsOf()
	// whole adds step i to m, and all that only it has a use for.
	var whole func(m mask, i int)
	whole = func(m mask, i int) {
		m.set(i)
		for j := range p.steps {
			if owner[j] == i && !m.has(j) {
				whole(m, j)
			}
		}
	}
	for i := range p.steps {
		st := &p.steps[i]
		n := st.n
		if n.always <= 0 && (len(n.names)+len(n.patterns) > 0 || n.additional != nil || n.propertyNames != nil || n.restProps != nil || n.minProps > 0 || n.maxProps >= 0) {
			p.members.set(i)
		}
		if n.always <= 0 && (len(n.prefix) > 0 || n.items != nil || n.contains != nil || n.restItems != nil || n.maxItems >= 0) {
			p.items.set(i)
		}
		st.kills, st.settles = newMask(len(p.steps)), newMask(len(p.steps))
		whole(st.kills, i)
		st.decider = n.decides()
		for _, pr := range n.names {
			st.tags = st.tags || pr.declared && pr.node.enum != nil
		}
	}
	for i := range p.steps {
		st := &p.steps[i]
		if st.then >= 0 && uses[st.then] == 1 {
			whole(p.steps[st.ifs].kills, st.then)
		}
		if st.els >= 0 && uses[st.els] == 1 && p.steps[st.ifs].decider {
			whole(p.steps[st.ifs].settles, st.els)
		}
	}
}

// variantsOf fills in which names of p are variants of which steps' names.
func (p *plan) variantsOf() {
	p.variants = make([]bool, len(p.properties))
	for name, row := range p.names {
		folded := foldedName(name)
		for i := range p.steps {
			n := p.steps[i].n
			_, ok := n.folded[folded]
			p.variants[row*len(p.steps)+i] = ok && !n.names[name].declared
		}
	}
}

// decides reports whether n asks for nothing but a constant of one member, so that it is settled as soon as that was seen.
func (n *node) decides() bool {
	if len(n.names) != 1 || n.types != allTypes || n.always != 0 || n.scalars || n.additional != nil || n.propertyNames != nil || n.restProps != nil ||
		n.minProps > 0 || n.maxProps >= 0 || len(n.patterns)+len(n.dependent)+len(n.inPlace()) > 0 {
		return false
	}
	for _, pr := range n.names {
		if !pr.declared || pr.node.enum == nil || len(pr.node.enum.others) > 0 {
			return false
		}
	}
	return true
}

// inPlace returns the nodes that apply to the same value as n.
func (n *node) inPlace() []*node {
	subs := slices.Concat(n.all, n.any, n.one)
	for _, sub := range []*node{n.not, n.ifs, n.then, n.els} {
		if sub != nil {
			subs = append(subs, sub)
		}
	}
	for _, w := range n.whenPresent {
		subs = append(subs, w.node)
	}
	return subs
}
