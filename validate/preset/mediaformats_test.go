package preset_test

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	files "github.com/mantlet-go/mantlet/internal/filetype/samples"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

var (
	onePixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	aScript  = base64.StdEncoding.EncodeToString([]byte("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"))
	aPDF     = base64.StdEncoding.EncodeToString([]byte("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<<>>endobj\nxref\n0 1\n0000000000 65535 f \ntrailer<</Root 1 0 R>>\nstartxref\n33\n%%EOF\n"))
)

// media checks every place of a body where @ stands with good and bad values.
func media(t *testing.T, good, bad []string, places map[string]func(string) error) {
	t.Helper()
	for place, check := range places {
		for _, s := range good {
			if err := check(s); err != nil {
				t.Errorf("%s: %.60s: %v", place, s, err)
			}
		}
		for _, s := range bad {
			if check(s) == nil {
				t.Errorf("%s: %.60s: accepted", place, s)
			}
		}
	}
}

func at(v *validate.Validator, body string) func(string) error {
	return func(s string) error { return v.Check([]byte(strings.Replace(body, "@", s, 1))) }
}

func body(t *testing.T, name, pattern string) *validate.Validator {
	t.Helper()
	for _, rt := range everything(t)[name].Routes {
		if rt.Pattern == pattern {
			return rt.Body
		}
	}
	t.Fatalf("%s has no %s", name, pattern)
	return nil
}

// What is to be fetched is public, and that is checked already.
func TestNoURLOfARequestLeadsInside(t *testing.T) {
	bad := []string{
		"http://example.com/a.png", "https://127.0.0.1/", "https://10.0.0.1/x", "https://169.254.169.254/latest/meta-data/", "https://[::1]/", "https://[fd00::1]/",
		"https://2130706433/", "https://0x7f.1/", "https://localhost/", "https://metadata.google.internal/", "https://printer.local/", "https://user@example.com/",
		`https://a.example\\@b.example/`, "file:///etc/passwd", "gopher://example.com/", "ftp://example.com/a.png", "//example.com/a.png", "https://example.com\\u0000.evil.example/",
	}
	good := []string{"https://upload.wikimedia.org/a.png", "https://example.com:8443/a?b=c#d"}
	media(t, good, bad, map[string]func(string) error{
		"openai chat":       at(preset.OpenAIChat(), `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"@"}}]}]}`),
		"openai responses":  at(preset.OpenAIResponses(), `{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"@"}]}]}`),
		"openai file":       at(preset.OpenAIResponses(), `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_url":"@"}]}]}`),
		"openai variable":   at(preset.OpenAIResponses(), `{"model":"m","prompt":{"id":"p","variables":{"x":{"type":"input_image","image_url":"@"}}}}`),
		"openai tool":       at(preset.OpenAIResponses(), `{"model":"m","input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"@"}]}]}`),
		"openai moderation": at(preset.OpenAIModerations(), `{"input":[{"type":"image_url","image_url":{"url":"@"}}]}`),
		"anthropic image":   at(preset.AnthropicMessages(), `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"@"}}]}]}`),
		"anthropic count":   at(preset.AnthropicCountTokens(), `{"model":"m","messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"@"}}]}]}`),
		"vllm chat":         at(body(t, "vllm", "POST /v1/chat/completions"), `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"@"}}]}]}`),
		"llamacpp chat":     at(body(t, "llamacpp", "POST /v1/chat/completions"), `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"@"}}]}]}`),
	})
}

func TestAnImageInARequestIsAnImage(t *testing.T) {
	good := []string{"data:image/png;base64," + onePixel}
	bad := []string{
		"data:image/png;base64," + aScript, "data:image/jpeg;base64," + onePixel, "data:image/png;base64," + onePixel + "!", "data:image/png;base64,",
		"data:image/png;base64," + strings.TrimRight(onePixel, "=") + "\\n", "data:image/svg+xml;base64," + aScript, "data:video/mp4;base64," + onePixel,
	}
	media(t, good, bad, map[string]func(string) error{
		"openai chat":      at(preset.OpenAIChat(), `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"@"}}]}]}`),
		"openai responses": at(preset.OpenAIResponses(), `{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"@"}]}]}`),
		"tgi chat":         at(body(t, "tgi", "POST /v1/chat/completions"), `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"@"}}]}]}`),
	})
}

func TestAnImageInBase64IsAnImage(t *testing.T) {
	media(t, []string{onePixel}, []string{"", aScript, aPDF, onePixel + "=", onePixel[:len(onePixel)-2] + "*=", "/etc/passwd"}, map[string]func(string) error{
		"ollama generate": at(body(t, "ollama", "POST /api/generate"), `{"model":"m","images":["@"]}`),
		"ollama chat":     at(body(t, "ollama", "POST /api/chat"), `{"model":"m","messages":[{"role":"user","images":["@"]}]}`),
		"anthropic image": at(preset.AnthropicMessages(), `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"@"}}]}]}`),
	})
}

func TestAFileInARequestIsOfItsType(t *testing.T) {
	media(t, []string{"data:application/pdf;base64," + aPDF}, []string{"data:application/pdf;base64," + onePixel, "data:text/html;base64," + aScript, "data:application/x-msdownload;base64," + aPDF},
		map[string]func(string) error{
			"openai chat":      at(preset.OpenAIChat(), `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"@"}}]}]}`),
			"openai responses": at(preset.OpenAIResponses(), `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","filename":"a.pdf","file_data":"@"}]}]}`),
		})
}

func TestBase64InARequestIsStrict(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	aWAV, anMP3 := base64.StdEncoding.EncodeToString(files.WAV(1, 1, 16, make([]byte, 64))), base64.StdEncoding.EncodeToString(files.MP3(rng, 8))
	strange := []string{"UklGRg", "UklGRh==", "Ukl GRg==", "UklGRg==\\n", "UklG_-==", "%%%", "TVqQAAMAAAAEAAAA//8AALgAAAA="}
	media(t, []string{aWAV}, append(strange, aPDF, "UklGRg==", anMP3, aWAV[:len(aWAV)-4]), map[string]func(string) error{
		"openai audio": at(preset.OpenAIChat(), `{"model":"m","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"@","format":"wav"}}]}]}`),
	})
	media(t, []string{anMP3}, append(strange, aPDF, "UklGRg==", "SUQzBAAA", aWAV), map[string]func(string) error{
		"openai audio":    at(preset.OpenAIChat(), `{"model":"m","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"@","format":"mp3"}}]}]}`),
		"responses audio": at(preset.OpenAIResponses(), `{"model":"m","input":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"@","format":"mp3"}}]}]}`),
	})
	media(t, []string{aPDF}, append(strange, aWAV, aPDF[:len(aPDF)-8]), map[string]func(string) error{
		"openai file":        at(preset.OpenAIChat(), `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"@"}}]}]}`),
		"responses file":     at(preset.OpenAIResponses(), `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","filename":"a.pdf","file_data":"@"}]}]}`),
		"anthropic document": at(preset.AnthropicMessages(), `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"@"}}]}]}`),
	})
	media(t, []string{"UklGRg==", aPDF}, strange[:6], map[string]func(string) error{
		"llama.cpp media": at(body(t, "llamacpp", "POST /completion"), `{"prompt":{"prompt_string":"x","multimodal_data":["@"]}}`),
	})
}
