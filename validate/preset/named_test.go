package preset_test

import (
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// Every function that is named after one endpoint judges the requests of that endpoint, and its Config makes the same validator.
func TestThePresetsOfOneEndpointAndTheirConfigs(t *testing.T) {
	for name, p := range map[string]struct {
		validator func(...string) *validate.Validator
		config    func(...string) validate.Config
		good, bad string
	}{
		"OpenAIChat":           {preset.OpenAIChat, preset.OpenAIChatConfig, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, `{"model":"m","prompt":"hi"}`},
		"OpenAIResponses":      {preset.OpenAIResponses, preset.OpenAIResponsesConfig, `{"model":"m","input":"hi"}`, `{"model":"m","input":7}`},
		"OpenAICompletions":    {preset.OpenAICompletions, preset.OpenAICompletionsConfig, `{"model":"m","prompt":"hi"}`, `{"model":"m","prompt":{}}`},
		"OpenAIEmbeddings":     {preset.OpenAIEmbeddings, preset.OpenAIEmbeddingsConfig, `{"model":"m","input":["hi"]}`, `{"model":"m"}`},
		"OpenAIModerations":    {preset.OpenAIModerations, preset.OpenAIModerationsConfig, `{"input":"hi"}`, `{"model":"m"}`},
		"AnthropicMessages":    {preset.AnthropicMessages, preset.AnthropicMessagesConfig, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, `{"model":"m","messages":[]}`},
		"AnthropicCountTokens": {preset.AnthropicCountTokens, preset.AnthropicCountTokensConfig, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, `{"model":"m"}`},
		"MCPMessage":           {preset.MCPMessage, preset.MCPMessageConfig, `{"jsonrpc":"2.0","id":1,"method":"ping"}`, `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := validate.New(p.config())
			if err != nil {
				t.Fatal(err)
			}
			wider, err := validate.New(p.config("x_more"))
			if err != nil {
				t.Fatal(err)
			}
			more := p.good[:1] + `"x_more":1,` + p.good[1:]
			for which, v := range map[string]*validate.Validator{"function": p.validator(), "Config": made} {
				if err := v.Check([]byte(p.good)); err != nil {
					t.Errorf("%s: %s: %v", which, p.good, err)
				}
				for _, bad := range []string{p.bad, more, `{}`, `null`} {
					if v.Check([]byte(bad)) == nil {
						t.Errorf("%s: accepted %s", which, bad)
					}
				}
			}
			for which, v := range map[string]*validate.Validator{"function": p.validator("x_more"), "Config": wider} {
				if err := v.Check([]byte(more)); err != nil {
					t.Errorf("%s with extra: %s: %v", which, more, err)
				}
			}
		})
	}
}

// tokenIDs is a request of the given number of values: the object, the model, the member, four lists in it, and token ids.
func tokenIDs(member string, values int) []byte {
	const lists = 4
	var b strings.Builder
	b.WriteString(`{"model":"m","` + member + `":[`)
	for n, left := values-3-lists, lists; left > 0; left-- {
		b.WriteString("[1" + strings.Repeat(",1", n/left-1) + "],")
		n -= n / left
	}
	return []byte(strings.TrimSuffix(b.String(), ",") + "]}")
}

// The numbers of values that the docs name: the sum of the token ids, which the schema bounds only list by list.
func TestRequestsOfTokenIDsMayHaveAsManyValuesAsDocumented(t *testing.T) {
	for _, c := range []struct {
		name, member string
		v            *validate.Validator
		values       int
	}{
		{"completions", "prompt", preset.OpenAICompletions(), 262_144},
		{"embeddings", "input", preset.OpenAIEmbeddings(), 327_680},
	} {
		if err := c.v.Check(tokenIDs(c.member, c.values)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.v.Check(tokenIDs(c.member, c.values+1)) == nil {
			t.Errorf("%s: %d values pass", c.name, c.values+1)
		}
	}
}
