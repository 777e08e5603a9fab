package schema

import (
	"regexp"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// types is a set of the types a value may have.
type types uint8

const (
	tNull types = 1 << iota
	tBoolean
	tObject
	tArray
	tString
	tNumber
	tInteger
	allTypes = tNull | tBoolean | tObject | tArray | tString | tNumber | tInteger
)

var typeNames = map[string]types{
	"null": tNull, "boolean": tBoolean, "object": tObject, "array": tArray, "string": tString,
	"number": tNumber | tInteger, "integer": tInteger,
}

// kindTypes is what a value of each kind is for sure. Whether a number is an integer its digits say.
var kindTypes = [...]types{
	jsonscan.ObjectStart: tObject, jsonscan.ArrayStart: tArray, jsonscan.String: tString, jsonscan.Number: tNumber,
	jsonscan.True: tBoolean, jsonscan.False: tBoolean, jsonscan.Null: tNull,
}

// node is one schema. Limits that are not set are -1.
type node struct {
	id     int
	always int8   // 1: every value is right, -1: none is
	denies string // the keyword to report when none is

	types types
	enum  *values
	enumK string // enum or const

	minimum, maximum   *bound
	multipleOf         *decimal
	minLength, maxLen  int
	pattern            *regexp.Regexp
	format             func(string) bool
	formatName         string
	scalars            bool // there is more to ask of a scalar than its type
	costly             bool // a pattern or a format
	minItems, maxItems int
	unique             bool
	prefix             []*node
	items              *node
	contains           *node
	minContains        int
	maxContains        int
	restItems          *node // unevaluatedItems

	minProps, maxProps int
	names              map[string]property
	folded             map[string]struct{} // the declared names, case-folded; nil when there are none
	bits               int                 // how many names have a presence bit
	required           []needed
	dependent          []dependency
	patterns           []patternProperty
	additional         *node
	propertyNames      *node
	restProps          *node // unevaluatedProperties

	all         []*node // allOf and $ref
	any, one    []*node
	not         *node
	ifs         *node
	then, els   *node
	whenPresent []conditional // dependentSchemas
	plan        *plan
}

// property is what a node knows of a member's name.
type property struct {
	node     *node // nil for a name that is only required or depended on
	bit      int   // the presence bit, -1 for none
	declared bool
}

type needed struct {
	name string
	bit  int
}

// dependency is one member of dependentRequired.
type dependency struct {
	bit     int
	needs   []needed
	keyword string
}

type conditional struct {
	bit  int
	node *node
}

type patternProperty struct {
	re   *regexp.Regexp
	node *node
}

// bound is a minimum or a maximum.
type bound struct {
	value     decimal
	whole     int64 // value, when isWhole
	isWhole   bool
	exclusive bool
	keyword   string
}

// plan is a node and all that applies to the same value, in an order in which whoever asks comes before whoever answers.
type plan struct {
	id    int // among the plans of the program
	steps []step
	// single says that there is one step, without any combination.
	single bool
	// costly says that a step has a pattern or a format.
	costly bool
	// names are the members that any step knows, by the index of their row in properties: what each step knows of them.
	names      map[string]int
	properties []*property
	variants   []bool // the row's name differs only by case from one that the step declares
	// tracks says that a step has to know which items matched contains.
	tracks bool
	// members and items are the steps that want to see what is in an object, in an array.
	members, items mask
	// fresh and bits are the evaluations of the steps and what their bits are at the start.
	fresh []eval
	bits  []uint64
}

// step is one node of a plan. The numbers are indexes of steps.
type step struct {
	n           *node
	all         []int
	any, one    []int
	not         int // -1 for none, like the next three
	ifs         int
	then, els   int
	whenPresent []int // as node.whenPresent
	parents     []int // the steps whose all holds this one: they fail with it
	must        bool  // the plan fails with this step
	// kills are the steps whose verdict nobody needs once this one has failed, itself among them; settles those whose verdict
	// nobody needs once decider has held.
	kills, settles mask
	// decider says that one member decides this step: it is "if" with nothing but a constant for it.
	decider bool
	tags    bool // some member has a constant
	// combines says that verdicts of other steps, besides all, decide.
	combines bool
}

// mask is a set of steps.
type mask []uint64

func newMask(n int) mask      { return make(mask, (n+63)/64) }
func (m mask) set(i int)      { m[i>>6] |= 1 << (i & 63) }
func (m mask) has(i int) bool { return m[i>>6]>>(i&63)&1 == 1 }
func (m mask) remove(o mask) {
	for i := range o {
		m[i] &^= o[i]
	}
}

// values is the set of an enum, or the one of const.
type values struct {
	null, yes, no bool
	strings       map[string]struct{}
	one           string    // the only string when strings has one
	numbers       []decimal // in ascending order
	others        []any     // arrays and objects
	hashes        []uint64  // theirs
	objects       bool      // some of others are objects
	arrays        bool
}
