package validate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/mantlet-go/mantlet/validate"
)

func schemaFor[T any](t testing.TB) string {
	t.Helper()
	b, err := validate.SchemaFor[T]()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := validate.New(validate.Config{Schema: b}); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return strings.Replace(strings.TrimSuffix(string(b), "}"), `"$schema":"https://json-schema.org/draft/2020-12/schema"`, "", 1)
}

// Types for the tests. The names are the test cases.
type (
	named  string
	colour int8
	base   struct {
		ID   string `json:"id"`
		Kind string
	}
	Audited struct {
		By string `json:"by"`
	}
	tree struct {
		Name string           `json:"name"`
		Kids []tree           `json:"kids"`
		Next *tree            `json:"next,omitempty"`
		Map  map[string]*tree `json:"map,omitempty"`
	}
	part struct {
		Text string `json:"text"`
	}
	parts struct {
		First part    `json:"first"`
		More  []part  `json:"more"`
		Last  *part   `json:"last"`
		Own   content `json:"own"`
		Opt   *content
	}
	page[T any] struct {
		Items []T `json:"items"`
		Also  *T  `json:"also,omitempty"`
	}
	text struct{ s string }
	// content is a string or a list, as in chat messages.
	content struct{ Parts []string }
)

func (t text) MarshalText() ([]byte, error)  { return []byte(t.s), nil }
func (t *text) UnmarshalText(b []byte) error { t.s = string(b); return nil }

func (c content) MarshalJSON() ([]byte, error) {
	if len(c.Parts) == 1 {
		return json.Marshal(c.Parts[0])
	}
	return json.Marshal(append([]string{}, c.Parts...))
}

func (c *content) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		c.Parts = []string{one}
		return nil
	}
	return json.Unmarshal(b, &c.Parts)
}

func (content) JSONSchema() []byte {
	return []byte(`{"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]}`)
}

func TestTheSchemaOfAType(t *testing.T) {
	const number8 = `"maximum":127,"minimum":-128,"type":"integer"`
	object := func(required, properties string) string {
		if required != "" {
			required = `,"required":[` + required + `]`
		}
		return `{,"additionalProperties":false,"properties":{` + properties + `}` + required + `,"type":"object"`
	}
	for name, c := range map[string]struct{ got, want string }{
		"bool":     {schemaFor[bool](t), `{,"type":"boolean"`},
		"string":   {schemaFor[named](t), `{,"type":"string"`},
		"float":    {schemaFor[float32](t), `{,"type":"number"`},
		"int8":     {schemaFor[colour](t), `{,` + number8},
		"int64":    {schemaFor[int64](t), `{,"maximum":9223372036854775807,"minimum":-9223372036854775808,"type":"integer"`},
		"int":      {schemaFor[int](t), `{,"maximum":9223372036854775807,"minimum":-9223372036854775808,"type":"integer"`},
		"uint16":   {schemaFor[uint16](t), `{,"maximum":65535,"minimum":0,"type":"integer"`},
		"uint":     {schemaFor[uint](t), `{,"maximum":18446744073709551615,"minimum":0,"type":"integer"`},
		"any":      {schemaFor[any](t), `{`},
		"raw":      {schemaFor[json.RawMessage](t), `{`},
		"number":   {schemaFor[json.Number](t), `{,"type":"number"`},
		"time":     {schemaFor[time.Time](t), `{"format":"date-time","type":"string"`},
		"duration": {schemaFor[time.Duration](t), `{,"maximum":9223372036854775807,"minimum":-9223372036854775808,"type":"integer"`},
		"text":     {schemaFor[netip.Addr](t), `{,"type":"string"`},
		"pointer":  {schemaFor[*bool](t), `{,"type":"boolean"`},
		"slice":    {schemaFor[[]*int8](t), `{,"items":{"maximum":127,"minimum":-128,"type":["integer","null"]},"type":"array"`},
		"array":    {schemaFor[[2]bool](t), `{,"items":{"type":"boolean"},"maxItems":2,"minItems":2,"type":"array"`},
		"bytes":    {schemaFor[[]byte](t), `{,"contentEncoding":"base64","pattern":"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$","type":"string"`},
		"map":      {schemaFor[map[named][]string](t), `{,"additionalProperties":{"items":{"type":"string"},"type":["array","null"]},"type":"object"`},
		"own":      {schemaFor[content](t), `{,"anyOf":[{"type":"string"},{"items":{"type":"string"},"type":"array"}]`},
		"empty":    {schemaFor[struct{}](t), object("", "")},
		"names and options": {schemaFor[struct {
			A bool  `json:"a"`
			B bool  `json:"b,omitempty"`
			C bool  `json:"c,omitzero"`
			D bool  `json:",omitempty"`
			E bool  `json:"-"`
			F bool  `json:"-,"`        //lint:ignore SA5008 the point of the test
			G bool  `json:"bad\"name"` //lint:ignore SA5008 the point of the test
			H *bool `json:"h"`
			I *bool `json:"i,omitempty"`
			_ bool
		}](t), object(`"a","-","G","h"`, `"-":{"type":"boolean"},"D":{"type":"boolean"},"G":{"type":"boolean"},"a":{"type":"boolean"},"b":{"type":"boolean"},"c":{"type":"boolean"},`+
			`"h":{"type":["boolean","null"]},"i":{"type":["boolean","null"]}`)},
		"embedding": {schemaFor[struct {
			base
			*Audited
			named `json:"hidden"`
			Kind  bool // hides the one of base
		}](t), object(`"id","Kind"`, `"Kind":{"type":"boolean"},"by":{"type":"string"},"id":{"type":"string"}`)},
		"the option string": {schemaFor[struct {
			I int          `json:"i,string"`
			F *float64     `json:"f,string"`
			B bool         `json:"b,string,omitempty"`
			S string       `json:"s,string"`
			N json.Number  `json:"n,string"`
			T []string     `json:"t,string"` //lint:ignore SA5008 it means nothing there
			U *json.Number `json:"u,omitempty"`
		}](t), object(`"i","f","s","n","t"`, `"b":{"pattern":"^(true|false)$","type":"string"},"f":{"pattern":"^-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?$","type":["string","null"]},`+
			`"i":{"pattern":"^-?(0|[1-9][0-9]*)$","type":"string"},"n":{"pattern":"^-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?$","type":"string"},"s":{"pattern":"^\".*\"$","type":"string"},`+
			`"t":{"items":{"type":"string"},"type":["array","null"]},"u":{"type":["number","null"]}`)},
		"recursion": {schemaFor[tree](t), object(`"name","kids"`, `"kids":{"items":{"$ref":"#"},"type":["array","null"]},"map":{"additionalProperties":{"anyOf":[{"$ref":"#"},{"type":"null"}]},"type":["object","null"]},`+
			`"name":{"type":"string"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}`)},
		"what is shared": {schemaFor[parts](t), strings.Replace(object(`"first","more","last","own","Opt"`, `"Opt":{"anyOf":[{"anyOf":[{"type":"string"},{"items":{"type":"string"},"type":"array"}]},{"type":"null"}]},`+
			`"first":{"$ref":"#/$defs/part"},"last":{"anyOf":[{"$ref":"#/$defs/part"},{"type":"null"}]},"more":{"items":{"$ref":"#/$defs/part"},"type":["array","null"]},`+
			`"own":{"anyOf":[{"type":"string"},{"items":{"type":"string"},"type":"array"}]}`), `{,`, `{"$defs":{"part":`+strings.Replace(object(`"text"`, `"text":{"type":"string"}`), "{,", "{", 1)+`}},,`, 1)},
		"generics": {schemaFor[page[named]](t), object(`"items"`, `"also":{"type":["string","null"]},"items":{"items":{"type":"string"},"type":["array","null"]}`)},
		"constraints": {schemaFor[struct {
			S string              `json:"s" validate:"minLength=1,maxLength=9,enum=a|b,format=email,pattern=^[a,b]{1,9}$" doc:"Two letters, a or b."`
			I int8                `json:"i" validate:"minimum=-3,exclusiveMaximum=9,multipleOf=3"`
			F float64             `json:"f" validate:"exclusiveMinimum=0,maximum=1e2,enum=0.5|1"`
			P *int8               `json:"p" validate:"enum=1|2"`
			Q *int8               `json:"q" validate:"nonnull,enum=1|2"`
			L []string            `json:"l" validate:"minItems=1,maxItems=2,uniqueItems,items.maxLength=3,items.pattern=^,$"`
			M map[string][]string `json:"m" validate:"maxProperties=2,values.minItems=0,values.maxItems=1,values.items.minLength=1,nonnull"`
			B []byte              `json:"b" validate:"maxLength=100,nonnull"`
			T text                `json:"t" validate:"pattern=^x"`
		}](t), object(`"s","i","f","p","q","l","m","b","t"`, `"b":{"contentEncoding":"base64","maxLength":100,"pattern":"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$","type":"string"},`+
			`"f":{"enum":[0.5,1],"exclusiveMinimum":0,"maximum":1e2,"type":"number"},"i":{"exclusiveMaximum":9,"maximum":127,"minimum":-3,"multipleOf":3,"type":"integer"},`+
			`"l":{"items":{"maxLength":3,"pattern":"^,$","type":"string"},"maxItems":2,"minItems":1,"type":"array","uniqueItems":true},`+
			`"m":{"additionalProperties":{"items":{"minLength":1,"type":"string"},"maxItems":1,"minItems":0,"type":["array","null"]},"maxProperties":2,"type":"object"},`+
			`"p":{"enum":[1,2,null],"maximum":127,"minimum":-128,"type":["integer","null"]},"q":{"enum":[1,2],"maximum":127,"minimum":-128,"type":"integer"},`+
			`"s":{"description":"Two letters, a or b.","enum":["a","b"],"format":"email","maxLength":9,"minLength":1,"pattern":"^[a,b]{1,9}$","type":"string"},"t":{"pattern":"^x","type":"string"}`)},
	} {
		if c.got != c.want && strings.ReplaceAll(c.got, "{,", "{") != strings.ReplaceAll(strings.ReplaceAll(c.want, ",,", ","), "{,", "{") {
			t.Errorf("%s:\n got %s\nwant %s", name, c.got, c.want)
		}
	}
	for range 20 {
		if a, b := schemaFor[parts](t), schemaFor[parts](t); a != b {
			t.Fatal("two schemas of one type")
		}
	}
}

type (
	marshals struct{ A int }
	writes   struct{ A int }
	pointers struct{ A int }
	endless  []endless
	forever  *forever
	through  map[string]viaSlice
	viaSlice []through
	ownBad   struct{}
	ownList  struct{}
	textual  string
)

func (marshals) MarshalJSON() ([]byte, error)  { return nil, nil }
func (writes) MarshalText() ([]byte, error)    { return nil, nil }
func (*pointers) MarshalText() ([]byte, error) { return nil, nil }
func (*pointers) UnmarshalText([]byte) error   { return nil }
func (ownBad) JSONSchema() []byte              { return []byte(`{`) }
func (ownList) JSONSchema() []byte             { return []byte(`[]`) }
func (*textual) UnmarshalText([]byte) error    { return nil }

func TestWhatHasNoSchemaIsAnErrorThatNamesTheField(t *testing.T) {
	type hidden struct{ X int }
	_, err := validate.SchemaFor[struct {
		Chan       chan int              `json:"chan"`
		Func       func()                `json:"func"`
		Complex    complex128            `json:"complex"`
		Unsafe     unsafe.Pointer        `json:"unsafe"`
		IntKeys    map[int]string        `json:"intkeys"`
		TextKeys   map[textual]string    `json:"textkeys"`
		StructKeys map[struct{}]string   `json:"structkeys"`
		Stringer   fmt.Stringer          `json:"stringer"`
		Marshals   marshals              `json:"marshals"`
		Writes     writes                `json:"writes"`
		Pointers   pointers              `json:"pointers"`
		OwnBad     ownBad                `json:"ownbad"`
		OwnList    ownList               `json:"ownlist"`
		Deep       []map[string]chan int `json:"deep"`
		*hidden
		Same  int     `json:"same"`
		SAME  int     `json:"SAME"`
		Q     textual `json:"q,string"`
		Clean string  `json:"clean" validate:"maxLength=3"`

		Unknown    string    `json:"c1" validate:"required"`
		Case       string    `json:"c2" validate:"MaxLength=3"`
		Misplaced  int       `json:"c3" validate:"maxLength=3"`
		NoNumber   string    `json:"c4" validate:"maxLength=three"`
		Negative   string    `json:"c5" validate:"maxLength=-1"`
		Signed     string    `json:"c6" validate:"maxLength=+1"`
		BadPattern string    `json:"c7" validate:"pattern=("`
		NoFormat   string    `json:"c8" validate:"format=e-mail"`
		Twice      string    `json:"c9" validate:"maxLength=1,maxLength=2"`
		Empty      string    `json:"c10" validate:"maxLength=1,"`
		Leading    string    `json:"c11" validate:",maxLength=1"`
		Range      int8      `json:"c12" validate:"maximum=128"`
		Fraction   int       `json:"c13" validate:"minimum=0.5"`
		Unsigned   uint      `json:"c14" validate:"minimum=-1"`
		EnumText   int       `json:"c15" validate:"enum=a|b"`
		EnumTwice  string    `json:"c16" validate:"enum=a|a"`
		EnumEmpty  string    `json:"c17" validate:"enum=a||b"`
		Step       float64   `json:"c18" validate:"multipleOf=0"`
		NaN        float64   `json:"c19" validate:"minimum=NaN"`
		None       string    `json:"c20" validate:"minLength=2,maxLength=1"`
		NoneOf     int       `json:"c21" validate:"exclusiveMinimum=2,maximum=2"`
		NoNull     string    `json:"c22" validate:"nonnull"`
		Value      []string  `json:"c23" validate:"uniqueItems=true"`
		Items      string    `json:"c24" validate:"items.maxLength=1"`
		Inside     []string  `json:"c25" validate:"items.minimum=1"`
		Time       time.Time `json:"c26" validate:"format=date"`
		Quoted     int       `json:"c27,string" validate:"minimum=1"`
		Fixed      [2]int    `json:"c28" validate:"minItems=1"`
		Zeros      string    `json:"c29" validate:"maxLength=007"`
		Ignored    string    `json:"-" validate:"minLength=1"`
		base       `validate:"maxProperties=1"`
	}]()
	if err == nil {
		t.Fatal("accepted")
	}
	faults := strings.Split(err.Error(), "\n")
	wanted := []string{"Ignored", "base", "Chan", "Func", "Complex", "Unsafe", "IntKeys", "TextKeys", "StructKeys", "Stringer", "Marshals", "Writes", "Pointers", "OwnBad", "OwnBad", "OwnList",
		"Deep[][]", "X", "SAME", "Q", "Unknown", "Case", "Misplaced", "NoNumber", "Negative", "Signed", "BadPattern", "NoFormat", "Twice", "Empty", "Leading", "Range", "Fraction",
		"Unsigned", "EnumText", "EnumTwice", "EnumEmpty", "Step", "NaN", "None", "NoneOf", "NoNull", "Value", "Items", "Inside[]", "Time", "Quoted", "Fixed", "Zeros"}
	named := regexp.MustCompile(`^validate: SchemaFor: struct\.(\w+(\[\])*): `)
	var got []string
	for _, f := range faults {
		m := named.FindStringSubmatch(f)
		if m == nil {
			t.Errorf("no field in %q", f)
			continue
		}
		got = append(got, m[1])
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("got  %v\nwant %v", got, wanted)
	}
	for name, err := range map[string]error{
		"a slice of itself":      only(validate.SchemaFor[endless]()),
		"a pointer to itself":    only(validate.SchemaFor[forever]()),
		"a circle of two":        only(validate.SchemaFor[struct{ A through }]()),
		"a channel by itself":    only(validate.SchemaFor[chan int]()),
		"a struct of this shape": only(validate.SchemaFor[struct{ A *struct{ B []func() } }]()),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "validate: SchemaFor: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func only(_ []byte, err error) error { return err }

// strict says more of itself than a type.
type strict int

func (strict) JSONSchema() []byte {
	return []byte(`{"type":"integer","allOf":[{"minimum":1}],"not":{"type":"null"}}`)
}

type twice[T any] struct{ A, B T }

func TestTheSchemaOfNestedTypesStaysSmallAndRight(t *testing.T) {
	type (
		t4  = twice[twice[twice[twice[bool]]]]
		t8  = twice[twice[twice[twice[t4]]]]
		t16 = twice[twice[twice[twice[twice[twice[twice[twice[t8]]]]]]]]
	)
	if s := schemaFor[t16](t); len(s) > 64<<10 {
		t.Errorf("65,536 booleans make %d bytes", len(s))
	}

	// Two types of one name, one in the other, and each twice.
	type URL struct{ In, Too url.URL }
	var doc struct {
		Defs map[string]struct {
			Properties map[string]map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	b, err := validate.SchemaFor[twice[URL]]()
	if err != nil || json.Unmarshal(b, &doc) != nil {
		t.Fatal(err)
	}
	if doc.Defs["URL"].Properties["In"]["$ref"] != "#/$defs/URL_2" || doc.Defs["URL_2"].Properties["Host"]["type"] != "string" {
		t.Errorf("%s", b)
	}

	b, err = validate.SchemaFor[struct {
		P, Q *strict
		R    strict `doc:"a < b & c"`
	}]()
	if err != nil || !strings.Contains(string(b), "a < b & c") {
		t.Errorf("%v: not for people: %s", err, b)
	}
	v := mustNew(t, validate.Config{Schema: b})
	for body, ok := range map[string]bool{`{"P":null,"Q":1,"R":2}`: true, `{"P":null,"Q":0,"R":2}`: false, `{"P":null,"Q":1,"R":null}`: false} {
		if err := v.Check([]byte(body)); (err == nil) != ok {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestTheMembersOfASchemaAreThoseThatEncodingJSONWrites(t *testing.T) {
	type deep struct{ A, B, C, D int }
	type left struct {
		deep
		A int
		X int `json:"Z"`
		Y int
	}
	type right struct {
		deep
		A int
		X int
		Z int
	}
	type both struct {
		left
		*right
		B int `json:"C"`
		url.URL
		Any any
		_   *int
	}
	type tagged struct {
		left
		Renamed int `json:"Y"`
		right   `json:"right"`
		Odd     int `json:"a'b"` //lint:ignore SA5008 the point of the test
		Even    int `json:"ä b/~1"`
		Named   named
		named   //lint:ignore U1000 encoding/json looks past it
	}
	type same struct { // one type embedded twice on one level, and once above
		left
		right
		_ struct{}
	}
	for _, v := range []any{both{right: &right{}}, tagged{}, same{}, left{}, deep{}, struct{ *deep }{&deep{}}, struct {
		deep `json:",omitempty"`
		X    int `json:",string"`
	}{}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		json.Unmarshal(b, &members)
		want := slices.Sorted(maps.Keys(members))
		if got := validate.Members(reflect.TypeOf(v)); !slices.Equal(got, want) {
			t.Errorf("%T: %v, encoding/json writes %v", v, got, want)
		}
	}
}

// turn has constraints that its values, made by newTurn, obey.
type turn struct {
	Model    string            `json:"model" validate:"minLength=1,maxLength=16,pattern=^[a-z]{1,16}$"`
	Messages []chatMessage     `json:"messages" validate:"minItems=1,maxItems=5"`
	Stop     []string          `json:"stop,omitempty" validate:"maxItems=4,items.maxLength=8"`
	N        int8              `json:"n,omitempty" validate:"minimum=0,maximum=8"`
	Heat     *float64          `json:"heat" validate:"minimum=0,maximum=2"`
	Seed     uint64            `json:"seed"`
	Labels   map[string]string `json:"labels,omitempty" validate:"maxProperties=3,values.maxLength=4"`
	At       time.Time         `json:"at"`
	Image    []byte            `json:"image"`
	Pair     [2]int32          `json:"pair"`
	Size     int               `json:"size,string"`
	Extra    json.RawMessage   `json:"extra,omitempty"`
	Reply    *turn             `json:"reply,omitempty"`
	Audited
}

type chatMessage struct {
	Role    string  `json:"role" validate:"enum=user|assistant"`
	Content content `json:"content"`
	From    netip.Addr
}

func word(r *rand.Rand, letters string, least, most int) string {
	var b strings.Builder
	all := []rune(letters)
	for range least + r.IntN(most-least+1) {
		b.WriteRune(all[r.IntN(len(all))])
	}
	return b.String()
}

const letters = "aé\u2028<&\"\\\n\x01 😀z"

func newTurn(r *rand.Rand) turn {
	c := turn{Model: word(r, "abcxyz", 1, 16), N: int8(r.IntN(9)), Seed: r.Uint64(), At: time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).UTC(),
		Pair: [2]int32{int32(r.Uint32()), int32(r.Uint32())}, Size: int(r.Uint64()), Audited: Audited{word(r, letters, 0, 9)}}
	for range 1 + r.IntN(5) {
		c.Messages = append(c.Messages, chatMessage{[]string{"user", "assistant"}[r.IntN(2)], content{[]string{word(r, letters, 0, 9)}}, netip.AddrFrom4([4]byte{1, 2, 3, byte(r.Uint32())})})
	}
	if r.IntN(2) == 0 {
		heat := 2 * r.Float64()
		c.Heat, c.Extra, c.Image = &heat, json.RawMessage(`{"any":[1,null]}`), []byte(word(r, letters, 0, 9))
		c.Stop, c.Labels = []string{word(r, letters, 0, 8)}, map[string]string{word(r, "abc", 1, 4): word(r, letters, 0, 4)}
	}
	if r.IntN(3) == 0 {
		reply := newTurn(r)
		c.Reply = &reply
	}
	return c
}

func TestEveryValueOfATypePassesItsSchemaAndComesBackEqual(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	roundTrip(t, func() turn { return newTurn(r) })
	roundTrip(t, func() tree {
		return tree{Name: word(r, letters, 0, 9), Kids: []tree{{Name: "x", Next: &tree{}}}, Map: map[string]*tree{"a": nil, "b": {}}}
	})
	roundTrip(t, func() parts { return parts{Own: content{[]string{word(r, letters, 1, 2)}}} })
	roundTrip(t, func() page[named] { return page[named]{Items: []named{named(word(r, letters, 0, 4))}} })
	roundTrip(t, func() map[string][]float64 {
		return map[string][]float64{word(r, "ab", 0, 3): {r.NormFloat64(), math.MaxFloat64, math.SmallestNonzeroFloat64, 0}}
	})
	roundTrip(t, func() []*int64 { n := int64(r.Uint64()); return []*int64{&n, nil} })
	roundTrip(t, func() [3]uint16 { return [3]uint16{uint16(r.Uint32()), math.MaxUint16, 0} })
	roundTrip(t, func() string { return word(r, letters, 0, 20) })
	roundTrip(t, func() any { return map[string]any{"a": []any{nil, true, word(r, letters, 0, 3), 1.5}} })
}

func roundTrip[T any](t *testing.T, next func() T) {
	t.Helper()
	schema, err := validate.SchemaFor[T]()
	if err != nil {
		t.Fatal(err)
	}
	v := mustNew(t, validate.Config{Schema: schema})
	for range 100 {
		want := next()
		body, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		ran := false
		w := serve(v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ran = true
			got, err := validate.Body[T](r.Context())
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s came back as %+v (%v)", body, got, err)
			}
		})), request("POST", string(body)))
		if !ran {
			t.Fatalf("%s: %s", body, w.Body)
		}
	}
}

func TestTheConstraintsOfATypeHold(t *testing.T) {
	schema, err := validate.SchemaFor[turn]()
	if err != nil {
		t.Fatal(err)
	}
	v := mustNew(t, validate.Config{Schema: schema})
	const good = `{"model":"abc","messages":[{"role":"user","content":"x","From":""}],"heat":null,"seed":0,"at":"2026-01-02T03:04:05Z","image":null,"pair":[1,2],"size":"5","by":"x"}`
	if err := v.Check([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, pointer, keyword string }{
		{`"abc"`, `""`, "/model", ""}, // minLength and pattern
		{`"abc"`, `"ABC"`, "/model", "pattern"},
		{`"abc"`, `null`, "/model", "type"},
		{`[{"role":"user","content":"x","From":""}]`, `[]`, "/messages", "minItems"},
		{`[{"role":"user","content":"x","From":""}]`, `null`, "/messages", "type"},
		{`"user"`, `"root"`, "/messages/0/role", "enum"},
		{`"content":"x"`, `"content":1`, "/messages/0/content", ""},
		{`"From":""`, `"From":"","to":""`, "/messages/0", "additionalProperties"},
		{`"From":""`, `"from":""`, "/messages/0", "case"},
		{`"heat":null`, `"heat":2.5`, "/heat", "maximum"},
		{`"seed":0`, `"seed":-1`, "/seed", "minimum"},
		{`"seed":0`, `"seed":18446744073709551616`, "/seed", "maximum"},
		{`"seed":0`, `"seed":0.5`, "/seed", "type"},
		{`"seed":0`, `"seed":0,"n":9`, "/n", "maximum"},
		{`"seed":0`, `"seed":0,"stop":["123456789"]`, "/stop/0", "maxLength"},
		{`"seed":0`, `"seed":0,"labels":{"a":"12345"}`, "/labels/?", "maxLength"},
		{`"seed":0`, `"seed":0,"reply":{}`, "/reply/", "required"},
		{`"seed":0,`, ``, "/seed", "required"},
		{`"seed":0`, `"seed":0,"debug":true`, "", "additionalProperties"},
		{`"2026-01-02T03:04:05Z"`, `"yesterday"`, "/at", "format"},
		{`"image":null`, `"image":"AB="`, "/image", "pattern"},
		{`[1,2]`, `[1]`, "/pair", "minItems"},
		{`[1,2]`, `[1,2,3]`, "/pair", "maxItems"},
		{`[1,2]`, `[1,2147483648]`, "/pair/1", "maximum"},
		{`"size":"5"`, `"size":5`, "/size", "type"},
		{`"size":"5"`, `"size":"05"`, "/size", "pattern"},
	} {
		body := strings.Replace(good, c.old, c.new, 1)
		e := refusal(t, v, body)
		if !strings.HasPrefix(e.Pointer, c.pointer) || c.keyword != "" && e.Keyword != c.keyword {
			t.Errorf("%s: %v", body, e)
		}
	}
}

// What encoding/json reads into a type it writes in a form that the schema of the type accepts; and what the schema accepts,
// Body decodes, apart from numbers with a fraction or an exponent, which are integers to JSON Schema and too large or too fine
// for a Go type.
func FuzzSchemaForRoundTrip(f *testing.F) {
	for _, s := range []string{`{}`, `null`, `[]`, `"x"`, `1`, `{"name":"a","kids":[{"name":"b","kids":null}],"next":{"name":"c","kids":[]}}`,
		`{"first":{"text":""},"more":null,"last":null,"own":["a","b"],"Opt":null}`, `{"items":["a"],"also":"b"}`, `{"a":[1,2]}`, `[1,null,-9223372036854775808]`, `[1,2,65535]`,
		`{"b":true,"f":1,"s":"x","q":"12","z":"AAAA","m":{"k":[1]},"p":null,"t":"x"}`} {
		f.Add([]byte(s))
	}
	type all struct {
		Bool   bool             `json:"b"`
		Float  float32          `json:"f"`
		String *string          `json:"s,omitempty"`
		Quoted int16            `json:"q,string"`
		Bytes  []byte           `json:"z"`
		Map    map[string][]int `json:"m"`
		Ptr    **uint8          `json:"p"`
		Text   text             `json:"t"`
		*Audited
	}
	checks := []func(*testing.T, []byte){fuzzType[tree](f), fuzzType[parts](f), fuzzType[page[named]](f), fuzzType[map[string][]float64](f), fuzzType[[]*int64](f),
		fuzzType[[3]uint16](f), fuzzType[all](f), fuzzType[string](f), fuzzType[any](f)}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, check := range checks {
			check(t, data)
		}
	})
}

var fractional = regexp.MustCompile(`[0-9][.eE]|[0-9]{19}`)

func fuzzType[T any](f *testing.F) func(t *testing.T, data []byte) {
	schema, err := validate.SchemaFor[T]()
	if err != nil {
		f.Fatal(err)
	}
	strict := mustNew(f, validate.Config{})
	v := mustNew(f, validate.Config{Schema: schema})
	return func(t *testing.T, data []byte) {
		if strict.Check(data) != nil {
			return
		}
		var value T
		decoded := validate.Unmarshal(data, &value)
		if v.Check(data) == nil && decoded != nil && !fractional.Match(data) {
			t.Errorf("%T: the schema accepts %s, and Body says %v", value, data, decoded)
		}
		if decoded != nil || bytes.Equal(bytes.TrimSpace(data), []byte("null")) { // a T is never null itself
			return
		}
		written, err := json.Marshal(value)
		if err != nil || strict.Check(written) != nil {
			return // json.Marshal may lengthen a text over a limit
		}
		if err := v.Check(written); err != nil {
			t.Errorf("%T: %s was read from %s, and the schema says %v", value, written, data, err)
		}
	}
}
