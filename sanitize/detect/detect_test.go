package detect_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/mantlet-go/mantlet/sanitize/detect"
)

// body returns n characters of the alphabet in a fixed pseudo-random order: a fake key's secret part.
func body(n int, alphabet string) string {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

const (
	b62   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	lower = "0123456789abcdef"
	b32   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// Keys are put together here so that no scanner of a hosting service takes this file for a leak.
func fakeKeys() map[string]string {
	return map[string]string{
		"openai":      "sk-" + "proj-" + body(74, b62) + "T3Blbk" + "FJ" + body(74, b62),
		"openai-old":  "sk-" + body(20, b62) + "T3Blbk" + "FJ" + body(20, b62),
		"deepseek":    "sk-" + body(32, lower),
		"anthropic":   "sk-" + "ant-api03-" + body(93, b62+"-_") + "AA",
		"google":      "AI" + "za" + body(35, b62),
		"aws":         "AK" + "IA" + body(16, b32),
		"github":      "gh" + "p_" + body(36, b62),
		"github-fine": "github" + "_pat_" + body(22, b62) + "_" + body(59, b62),
		"gitlab":      "gl" + "pat-" + body(20, b62),
		"slack":       "xo" + "xb-" + body(12, "0123456789") + "-" + body(12, "0123456789") + "-" + body(24, b62),
		"stripe":      "sk" + "_live_" + body(24, b62),
		"huggingface": "h" + "f_" + body(34, b62),
		"groq":        "gs" + "k_" + body(52, b62),
		"perplexity":  "pp" + "lx-" + body(48, b62),
		"npm":         "np" + "m_" + body(36, b62),
		"sendgrid":    "S" + "G." + body(22, b62) + "." + body(43, b62),
		"own":         "acme_" + "live_" + body(40, b62),
	}
}

func defaults(t testing.TB) *detect.Set {
	t.Helper()
	s, err := detect.NewSet(detect.ProviderKeys("acme_live_"), detect.Email(), detect.Card())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func scan(s *detect.Set, text string) []detect.Finding {
	var out []detect.Finding
	s.Scan([]byte(text), 0, true, func(f detect.Finding) { out = append(out, f) })
	return out
}

func matched(s *detect.Set, text string) []string {
	var out []string
	for _, f := range scan(s, text) {
		out = append(out, f.Kind+"="+text[f.Start:f.End])
	}
	slices.Sort(out)
	return out
}

func TestAKeyIsFoundInEveryUsualSurrounding(t *testing.T) {
	s := defaults(t)
	for name, key := range fakeKeys() {
		for _, form := range []string{"%s", "key: %s", "key=%s&x=1", `"%s"`, "`%s`", "(%s)", "[link](https://h.example/?k=%s)",
			"%s.", "%s,", "line\n%s\nline", `{\"a\":\"%s\"}`, `first\n%s\nlast`, `a\u003d%s`, "token%%3D%s", "密钥%s。"} {
			text := fmt.Sprintf(form, key)
			got := matched(s, text)
			if len(got) == 0 || !strings.HasPrefix(got[0], "secret="+key) {
				t.Errorf("%s in %q: found %q", name, form, got)
			}
		}
	}
}

func TestTwoKeysGluedTogetherLeaveNothingBehind(t *testing.T) {
	s := defaults(t)
	for name, key := range fakeKeys() {
		text := key + key
		covered := 0
		for _, f := range scan(s, text) {
			covered += f.End - f.Start
		}
		if covered != len(text) {
			t.Errorf("%s: %d of %d bytes covered", name, covered, len(text))
		}
	}
}

func TestTextThatOnlyLooksLikeASecretIsLeftAlone(t *testing.T) {
	s := defaults(t)
	for name, text := range map[string]string{
		"sk- inside words":                "task-based risk-free desk-top disk-encryption-at-rest-2024-01-01 ask-me",
		"css class":                       ".sk-folding-cube .sk-estimator-doc-link:hover sk-toggleable__control",
		"slug":                            "my-sk-learn-project-2024-with-a-long-name-AbCdEf",
		"placeholder":                     "gh" + "p_" + strings.Repeat("x", 36) + " AK" + "IA" + strings.Repeat("X", 16),
		"aws documentation key":           "AK" + "IAIOSFODNN7" + "EXAMPLE",
		"identifier":                      "hf_requiredCharacteristicTypesForDisplayMetadata rhf_SponsoredProducts",
		"uuid":                            "550e8400-e29b-41d4-a716-446655440000",
		"git hash":                        "4d3f2a1b4c5d6e7f8091a2b3c4d5e6f708192a3b",
		"decimal":                         "3.4111111111111111 and 4111111111111111.5",
		"number in a longer run":          "94111111111111111123456789",
		"card-like with bad check digit":  "4111 1111 1111 1112",
		"luhn-valid order number":         "order 9111111111111118",
		"telephone number":                "+41 44 668 18 00, +4916091234567890",
		"milliseconds":                    "1732233600000",
		"retina image":                    "icon@2x.png logo@3x.webp",
		"ssh remote":                      "git@github.com:golang/go.git",
		"package versions":                "@types/node@18.2.1 react@19.0.0-rc.1",
		"handles and decorators":          "@app.route @ann hi @ all user@localhost",
		"version like an address":         "v1.2.3.4 10.0.0.1",
		"base64 with a key-shaped middle": strings.Repeat("iVBORw0KGgoAAAANSUhEUgAA", 20) + "AK" + "IA" + body(16, b32) + strings.Repeat("QUJD", 30),
	} {
		if got := matched(s, text); len(got) != 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAddressesAndCardsAreCoveredExactly(t *testing.T) {
	s := defaults(t)
	for text, want := range map[string]string{
		"write to ann.o'hara@mail.example.co.uk.": "email=hara@mail.example.co.uk",
		"<ann+tag@example.org>":                   "email=ann+tag@example.org",
		`says \njohn@example.org\n`:               "email=john@example.org",
		"...john@example.org...":                  "email=john@example.org",
		"a@b.example.com-foo":                     "email=a@b.example.com",
		strings.Repeat("x", 80) + "@example.org":  "email=" + strings.Repeat("x", 64) + "@example.org",
		"请联系zhang@example.cn谢谢":                   "email=zhang@example.cn",
		"x@163.com":                               "email=x@163.com",
		"card 4111-1111-1111-1111!":               "card=4111-1111-1111-1111",
		"2024 4111 1111 1111 1111 12/29":          "card=4111 1111 1111 1111",
		"3782 822463 10005":                       "card=3782 822463 10005",
		"3056 930902 5904":                        "card=3056 930902 5904",
		"end 5555555555554444.":                   "card=5555555555554444",
		`"n":6011111111111117,`:                   "card=6011111111111117",
	} {
		if got := matched(s, text); len(got) != 1 || got[0] != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestAnUnusableDetectorIsRefused(t *testing.T) {
	_, err := detect.NewSet(nil, detect.ProviderKeys("x"), detect.ProviderKeys("has space_"))
	for _, want := range []string{"detector 0 is nil", `"x"`, `"has space_"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not mention %s", err, want)
		}
	}
	// It does not crash when it is used all the same.
	detect.ProviderKeys("x").Scan([]byte("xx"), func(detect.Finding) {})
}

// TestEveryPrefixOfATextAnnouncesItsFindings is the contract of Scan's live offset: cut anywhere, what begins before the live
// offset is as in the whole text, and nothing else begins there.
func TestEveryPrefixOfATextAnnouncesItsFindings(t *testing.T) {
	s := defaults(t)
	for _, text := range streamTexts() {
		whole := scan(s, text)
		for cut := range len(text) {
			var got []detect.Finding
			live := s.Scan([]byte(text[:cut]), 0, false, func(f detect.Finding) { got = append(got, f) })
			before := func(fs []detect.Finding) (out []detect.Finding) {
				for _, f := range fs {
					if f.Start < live {
						out = append(out, f)
					}
				}
				return out
			}
			if a, b := before(got), before(whole); !slices.Equal(a, b) {
				t.Fatalf("%q cut at %d, live %d:\n%v, want\n%v", text, cut, live, a, b)
			}
			if held := cut - live; held > s.MaxSpan() {
				t.Fatalf("%q cut at %d holds %d bytes", text, cut, held)
			}
		}
	}
}

func streamTexts() []string {
	texts := []string{
		"", "plain prose with nothing in it", "mail ann@example.org or bob@example.com:8080, git@host.example:x/y git@host.example/",
		"4111 1111 1111 1111 12/29 and 4111111111111111 4222222222222 37828224631000 5",
		"a 4111-1111-1111-1111-111 4111 1111 1111 11", "x@y.zz.12 " + strings.Repeat("q", 70) + "@a.bc",
		"sk-" + "sk-ant-" + " gh gho ghp_ AIza A AK", "ann@" + strings.Repeat("sub.", 70) + "example.org.",
	}
	var all strings.Builder
	for _, key := range fakeKeys() {
		all.WriteString(key + " and ")
	}
	return append(texts, all.String())
}

func FuzzScanPrefixes(f *testing.F) {
	for _, t := range streamTexts() {
		f.Add([]byte(t), uint16(len(t)/2))
	}
	s := defaults(f)
	f.Fuzz(func(t *testing.T, text []byte, at uint16) {
		cut := int(at) % (len(text) + 1)
		type key struct {
			kind       string
			start, end int
		}
		want := map[key]bool{}
		s.Scan(text, 0, true, func(f detect.Finding) {
			if f.Start < 0 || f.End > len(text) || f.End <= f.Start || f.End-f.Start > s.MaxSpan() {
				t.Fatalf("finding %+v in %d bytes", f, len(text))
			}
			want[key{f.Kind, f.Start, f.End}] = true
		})
		got := map[key]bool{}
		live := s.Scan(text[:cut], 0, false, func(f detect.Finding) { got[key{f.Kind, f.Start, f.End}] = true })
		for k := range want {
			if k.start < live && !got[k] {
				t.Fatalf("cut %d live %d: %v is missing", cut, live, k)
			}
		}
		for k := range got {
			if k.start < live && !want[k] {
				t.Fatalf("cut %d live %d: %v is not in the whole text", cut, live, k)
			}
		}
	})
}

type secretRow struct {
	Text, Rule, Origin, Secret string
	Label                      int
}

// covered are the gitleaks rules whose credentials ProviderKeys claims to know.
var covered = strings.Fields(`anthropic-api-key anthropic-admin-api-key openai-api-key gcp-api-key huggingface-access-token
	huggingface-organization-api-token perplexity-api-key aws-access-token aws-amazon-bedrock-api-key-long-lived
	aws-amazon-bedrock-api-key-short-lived alibaba-access-key-id databricks-api-token digitalocean-access-token digitalocean-pat
	digitalocean-refresh-token heroku-api-key-v2 doppler-api-token pulumi-api-token planetscale-api-token planetscale-oauth-token
	planetscale-password github-pat github-oauth github-app-token github-refresh-token github-fine-grained-pat gitlab-pat
	gitlab-pat-routable gitlab-ptt gitlab-rrt gitlab-runner-authentication-token gitlab-runner-authentication-token-routable
	gitlab-deploy-token gitlab-feed-token gitlab-feature-flag-client-token gitlab-incoming-mail-token
	gitlab-kubernetes-agent-token gitlab-oauth-app-secret gitlab-scim-token gitlab-cicd-job-token npm-access-token
	pypi-upload-token rubygems-api-token stripe-access-token slack-bot-token slack-user-token slack-app-token
	slack-config-access-token slack-config-refresh-token slack-legacy-bot-token slack-legacy-token slack-legacy-workspace-token
	slack-webhook-url sendgrid-api-token shopify-access-token shopify-custom-access-token shopify-private-app-access-token
	shopify-shared-secret linear-api-key notion-api-token sentry-org-token sentry-user-token grafana-service-account-token
	grafana-cloud-api-token postman-api-token age-secret-key vault-batch-token`)

func TestRecallAndFalseAlarmsOnTheGitleaksExamples(t *testing.T) {
	rows := corpus.Lines[secretRow](t, "secrets/dev.jsonl.gz")
	set, err := detect.NewSet(detect.ProviderKeys())
	if err != nil {
		t.Fatal(err)
	}
	var hit, all, alarms, near, benign, benignAlarms int
	for _, r := range rows {
		found := scan(set, r.Text)
		switch {
		case r.Label == 1 && slices.Contains(covered, r.Rule):
			all++
			ok := false
			for _, f := range found {
				// All of the secret must be inside the finding, but for quotes, padding and the scheme of a URL.
				secret := strings.TrimRight(strings.Trim(r.Secret, "'\"`\\ "), "=")
				_, host, url := strings.Cut(secret, "://")
				ok = ok || secret == "" || strings.Contains(r.Text[f.Start:f.End], secret) ||
					url && strings.Contains(r.Text[f.Start:f.End], host) || !url && strings.Contains(secret, r.Text[f.Start:f.End])
			}
			if ok {
				hit++
			} else {
				t.Logf("missed: %s (%s, %d bytes)", r.Rule, r.Origin, len(r.Text))
			}
		case r.Label == 0 && slices.Contains(covered, r.Rule):
			near++
			if len(found) > 0 {
				alarms++
				t.Logf("near miss taken for a key: %s as %s", r.Rule, found[0].Rule)
			}
		case r.Label == 0:
			benign++
			if len(found) > 0 {
				benignAlarms++
				t.Logf("benign text flagged: rule %q as %s", r.Rule, found[0].Rule)
			}
		}
	}
	t.Logf("covered rules: %d; recall %d/%d; near misses flagged %d/%d; other negatives flagged %d/%d",
		len(covered), hit, all, alarms, near, benignAlarms, benign)
	// Measured: 240 of 242. The two are a key of one repeated letter, which counts as a placeholder here, and one with '='
	// inside. The floor is the design's goal of 99 %.
	if hit*100 < all*99 {
		t.Errorf("recall %d/%d is below 99 %%", hit, all)
	}
	// Measured: 0 of 498 texts without a covered key.
	if benignAlarms > 0 {
		t.Errorf("%d of %d texts without a covered key were flagged", benignAlarms, benign)
	}
	// Measured: 25 of 96. They are key-shaped: 17 Google keys which gitleaks exempts by value because they are public, four
	// Anthropic ones (the sibling rule's keys, another ending), and five of nearly the right length. Redacting them is right.
	if alarms > 25 {
		t.Errorf("%d of %d near misses were taken for keys, more than the 25 once measured", alarms, near)
	}
}

func TestRecallAndPrecisionOnThePersonalDataCorpus(t *testing.T) {
	type row struct {
		Text  string
		Spans []struct {
			Type, Value string
			Start       int `json:"byte_start"`
			End         int `json:"byte_end"`
		}
	}
	rows := corpus.Lines[row](t, "pii/dev.jsonl")
	set := defaults(t)
	kinds := map[string]string{detect.KindEmail: "EMAIL_ADDRESS", detect.KindCard: "CREDIT_CARD"}
	tp, fp, fn, short := map[string]int{}, map[string]int{}, map[string]int{}, 0
	for _, r := range rows {
		exact := map[string]bool{}
		for _, f := range scan(set, r.Text) {
			exact[fmt.Sprint(kinds[f.Kind], f.Start, f.End)] = true
		}
		for _, sp := range r.Spans {
			for kind, typ := range kinds {
				if sp.Type != typ {
					continue
				}
				if k := fmt.Sprint(typ, sp.Start, sp.End); exact[k] {
					tp[kind]++
					delete(exact, k)
				} else if kind == detect.KindCard && len(sp.Value) < 13 {
					short++
				} else {
					fn[kind]++
					t.Logf("missed %s of %d bytes", kind, len(sp.Value))
				}
			}
		}
		for k := range exact {
			for kind, typ := range kinds {
				if strings.HasPrefix(k, typ) {
					fp[kind]++
				}
			}
		}
	}
	for kind := range kinds {
		t.Logf("%s: exact %d, missed %d, false %d", kind, tp[kind], fn[kind], fp[kind])
	}
	t.Logf("twelve-digit cards, not claimed: %d", short)
	// Measured: e-mail 25 of 25; cards 74 of 77 (the three begin with 3500 to 3527, which no issuer has been given); no false
	// alarm of either kind.
	for kind, floor := range map[string]float64{detect.KindEmail: 1, detect.KindCard: 0.96} {
		if r := float64(tp[kind]) / float64(tp[kind]+fn[kind]); r < floor {
			t.Errorf("%s: recall %.3f is below %.2f", kind, r, floor)
		}
		if fp[kind] > 0 {
			t.Errorf("%s: %d false alarms", kind, fp[kind])
		}
	}
}
