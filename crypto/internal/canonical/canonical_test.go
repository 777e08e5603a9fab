package canonical

import (
	"encoding/json"
	"testing"
)

type thing struct {
	A string `json:"a"`
	B []int  `json:"b,omitempty"`
}

func TestOnlyTheSpellingThatIsWrittenIsRead(t *testing.T) {
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{`{"a":"x"}`, true},
		{`{"a":"x","b":[1,2]}`, true},
		{`{"a":"x"} `, false},
		{` {"a":"x"}`, false},
		{`{"a":"x"}{}`, false},
		{`{"a":"y","a":"x"}`, false},
		{`{"A":"x"}`, false},
		{`{"a":"x","b":[]}`, false},
		{`{"a":"x","c":1}`, false},
		{`{"b":[1],"a":"x"}`, false},
		{`{"a":"\u0078"}`, false},
		{`{"a":null}`, false},
		{`{}`, false},
		{`{"a":1}`, false},
		{`null`, false},
		{``, false},
	} {
		var v thing
		if err := Unmarshal([]byte(c.text), &v); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"a":"x","b":[1,2]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v thing
		if Unmarshal(data, &v) != nil {
			return
		}
		if again, _ := json.Marshal(v); string(again) != string(data) {
			t.Errorf("%q was read, and is written as %q", data, again)
		}
	})
}
