package dialect_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/dialect"
)

// rest lists the strings of Rest: w for whole, o for opaque.
func rest(data string, r *dialect.Response) string {
	var b strings.Builder
	for _, t := range r.Rest {
		mark := ""
		if t.Whole {
			mark = "w "
		}
		if t.Kind == dialect.Opaque {
			mark += "o "
		}
		fmt.Fprintf(&b, "%s%s;", mark, data[t.Start:t.End])
	}
	return b.String()
}

func TestStringsThatADialectDoesNotKnowAreReportedApart(t *testing.T) {
	for _, c := range []struct {
		d          dialect.Dialect
		data, want string
	}{
		{dialect.OpenAIChat, `{"id":"i","model":"m","choices":[{"delta":{"role":"r","content":"c","new":"n"},"finish_reason":"f"}],"extra":["e"]}`, "w i;w m;w r;n;w f;e;"},
		{dialect.OpenAIChat, `{"usage":{"tier":"t"},"x":{"status":"s","img":"data:image/png;base64,AAAA","not":"data:;base64,AAAA","url":"data:image/png;base64,AAA AA"}}`,
			"w t;w s;o data:image/png;base64,AAAA;data:;base64,AAAA;data:image/png;base64,AAA AA;"},
		{dialect.OpenAIResponses, `{"type":"response.created","response":{"metadata":{"k":"v"},"new":"n"}}`, "w response.created;w v;w n;"},
		{dialect.Anthropic, `{"type":"content_block_delta","index":0,"delta":{"type":"new_delta","new":"n"}}`, "w content_block_delta;w new_delta;n;"},
		{dialect.Unknown, `{"a":"b"}`, ""},
	} {
		var r dialect.Response
		r.Reset(c.d)
		if err := r.Scan([]byte(c.data)); err != nil || rest(c.data, &r) != c.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", c.data, err, rest(c.data, &r), c.want)
		}
		for _, x := range r.Rest {
			if !x.Copy || x.Path == 0 {
				t.Errorf("%+v", x)
			}
		}
	}
}

func TestUnknownStringsOfTwoChoicesAreTwoChannels(t *testing.T) {
	seen := map[uint32]bool{}
	for i := range 3 {
		var r dialect.Response
		r.Reset(dialect.OpenAIChat)
		if err := r.Scan(fmt.Appendf(nil, `{"choices":[{"index":%d,"delta":{"new":"n"}}]}`, i)); err != nil || len(r.Rest) != 1 {
			t.Fatal(err, r.Rest)
		}
		seen[r.Rest[0].Channel] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d channels", len(seen))
	}
}

func TestNumbersThatSpellTextAreRepeats(t *testing.T) {
	for _, c := range []struct {
		d          dialect.Dialect
		data, want string
	}{
		{dialect.Ollama, `{"response":"r","context":[1,[2]],"done":true}`, "[1,[2]]"},
		{dialect.OpenAIChat, `{"prompt_token_ids":[1],"choices":[{"token_ids":[2],"delta":{"tokens":[3]}}]}`, "[1][2][3]"},
		{dialect.Unknown, `{"a":{"tokens":[1,{"tokens":[2]}],"context":["text"]},"context":"text"}`, `[1,{"tokens":[2]}]`},
		{dialect.Unknown, `{"completion_probabilities":[{"token":"t","bytes":[1]}],"bytes":[2]}`, "[1]"},
		{dialect.Ollama, `{"context":"text","done":true}`, ""},
	} {
		var r dialect.Response
		r.Reset(c.d)
		if err := r.Scan([]byte(c.data)); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range r.Repeats {
			got += c.data[s.Start:s.End]
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.data, got, c.want)
		}
	}
	var r dialect.Response
	if err := r.Scan([]byte(`{"content":"a","completion_probabilities":[{"token":"t"}]}`)); err != nil || r.Texts[1].Kind != dialect.Token || r.Texts[0].Kind != dialect.Prose {
		t.Errorf("%v %+v", err, r.Texts)
	}
}

func TestARoleIsReadWhateverItsCase(t *testing.T) {
	for name, want := range map[string]dialect.Role{"User": dialect.RoleUser, "SYSTEM": dialect.RoleSystem, "Developer": dialect.RoleSystem, "tOOl": dialect.RoleTool, "x": dialect.RoleUnknown} {
		var q dialect.Request
		q.Reset(dialect.OpenAIChat)
		if err := q.Scan([]byte(`{"messages":[{"content":"a","role":"` + name + `"}]}`)); err != nil || q.Texts[0].Role != want {
			t.Errorf("%s: %v %+v", name, err, q.Texts)
		}
	}
}
