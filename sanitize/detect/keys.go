package detect

import (
	"fmt"
	"sync"
)

// keyRule is one published form of a credential: a prefix and what must follow it.
type keyRule struct {
	name   string
	prefix string
	// body is the class of the characters after the prefix. The finding covers the whole run of them (up to maxKey), so that
	// what is glued to a key, a second key for one, goes with it.
	body *class
	// min is the least length of the body. It is the published length, or well below it where vendors have varied it.
	min int
	// ok looks at the body once it is long enough; nil wants only some variety (see varied).
	ok func(body []byte, min int) bool
}

// maxKey bounds a key with its prefix, in bytes. The longest published ones (GitLab's routable tokens, AWS Bedrock keys) stay
// below 320.
const maxKey = 512

// varied refuses placeholders such as ghp_xxxxxxxx and AKIAIOSFODNN7EXAMPLE: a random body of 16 characters has fewer than six
// different ones in about one of 10^7 cases even when it is hexadecimal.
func varied(body []byte, min int) bool {
	if shapeOf(body[:min]).distinct < 6 {
		return false
	}
	const ex = "EXAMPLE"
	return len(body) != min || min < len(ex) || string(body[min-len(ex):]) != ex
}

func withDigits(n int) func([]byte, int) bool {
	return func(body []byte, min int) bool {
		return varied(body, min) && shapeOf(body[:min]).digits >= n
	}
}

func hexOnly(body []byte, min int) bool { return hexes.all(body[:min]) && varied(body, min) }

// mixedCase is for hf_ and api_org_, prefixes that also begin identifiers: exactly min letters and digits, or enough capitals for
// a random string.
func mixedCase(body []byte, min int) bool {
	s := shapeOf(body[:min])
	if s.distinct < 10 || !alnum.all(body[:min]) {
		return false
	}
	if len(body) == min {
		return s.upper >= 2 && s.lower >= 2
	}
	return s.upper >= 8 && s.lower >= 8
}

// legacyOpenAI is sk- followed by a random string without structure: OpenAI's first form and that of many compatible vendors.
// The two letters are also a CSS and slug prefix, hence the stricter test.
func legacyOpenAI(body []byte, min int) bool {
	s := shapeOf(body[:min])
	if len(body) >= 32 && alnum.all(body[:32]) {
		s = shapeOf(body[:32])
		return s.digits >= 2 && s.distinct >= 8
	}
	return alnum.all(body[:min]) && s.digits >= 2 && s.upper >= 2 && s.lower >= 2 && s.distinct >= 8
}

// slackToken is xox?- with the numbers Slack's tokens begin with; names in kebab case have none.
func slackToken(body []byte, min int) bool {
	s := shapeOf(body)
	return isDigit(body[0]) && s.distinct >= 6 && (s.digits >= 8 || len(body) < 24 && s.digits >= 2)
}

// upperID is AWS's access key id: 16 capitals and digits as one word, or a longer run that is not a word.
func upperID(body []byte, min int) bool {
	return varied(body, min) && (len(body) == min || shapeOf(body[:min]).digits >= 2)
}

var upperDigits = newClass("AZ09")

// keyRules is the table of published forms. Where two rules share a beginning the longer prefix stands first: the first rule
// that holds names the finding.
// Sources: the vendors' documentation of key formats and of secret scanning patterns.
var keyRules = []keyRule{
	// Model providers.
	{"anthropic", "sk-ant-", token, 80, nil},
	{"openai", "sk-proj-", token, 40, nil},
	{"openai", "sk-svcacct-", token, 40, nil},
	{"openai", "sk-admin-", token, 40, nil},
	{"openai", "sk-None-", token, 40, nil},
	{"openrouter", "sk-or-v1-", token, 40, nil},
	{"openai", "sk-", token, 20, legacyOpenAI},
	{"google", "AIza", token, 35, nil},
	{"google", "GOCSPX-", token, 24, nil},
	{"google", "ya29.", dotted, 40, nil},
	{"huggingface", "hf_", word, 34, mixedCase},
	{"huggingface", "api_org_", word, 34, mixedCase},
	{"perplexity", "pplx-", token, 40, nil},
	{"groq", "gsk_", word, 40, nil},
	{"xai", "xai-", token, 60, withDigits(2)},
	{"nvidia", "nvapi-", token, 60, nil},
	{"replicate", "r8_", word, 37, nil},
	{"cerebras", "csk-", token, 40, nil},
	{"fireworks", "fw_", word, 22, withDigits(2)},
	{"tavily", "tvly-", token, 24, withDigits(2)},
	{"pinecone", "pcsk_", word, 50, nil},
	{"langsmith", "lsv2_pt_", word, 32, withDigits(4)},
	{"langsmith", "lsv2_sk_", word, 32, withDigits(4)},

	// Clouds.
	{"aws", "AKIA", upperDigits, 16, upperID},
	{"aws", "ASIA", upperDigits, 16, upperID},
	{"aws", "ABIA", upperDigits, 16, upperID},
	{"aws", "ACCA", upperDigits, 16, upperID},
	{"aws-bedrock", "ABSK", base64, 109, nil},
	{"aws-bedrock", "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t", base64, 0, nil},
	{"alibaba", "LTAI", alnum, 20, nil},
	{"databricks", "dapi", token, 32, hexOnly},
	{"digitalocean", "dop_v1_", word, 64, hexOnly},
	{"digitalocean", "doo_v1_", word, 64, hexOnly},
	{"digitalocean", "dor_v1_", word, 64, hexOnly},
	{"heroku", "HRKU-AA", token, 58, nil},
	{"fly", "fo1_", token, 43, nil},
	{"fly", "fm2_", base64, 100, nil},
	{"vault", "hvs.", token, 90, nil},
	{"vault", "hvb.", token, 138, nil},
	{"doppler", "dp.pt.", dotted, 40, nil},
	{"pulumi", "pul-", token, 40, hexOnly},
	{"planetscale", "pscale_tkn_", dotted, 32, nil},
	{"planetscale", "pscale_oauth_", dotted, 32, nil},
	{"planetscale", "pscale_pw_", dotted, 32, nil},

	// Version control and package registries.
	{"github", "ghp_", word, 36, nil},
	{"github", "gho_", word, 36, nil},
	{"github", "ghu_", word, 36, nil},
	{"github", "ghs_", word, 36, nil},
	{"github", "ghr_", word, 36, nil},
	{"github", "github_pat_", word, 82, nil},
	{"gitlab", "glpat-", dotted, 20, nil},
	{"gitlab", "glptt-", token, 40, hexOnly},
	{"gitlab", "glrt-", dotted, 20, nil},
	{"gitlab", "gldt-", token, 20, nil},
	{"gitlab", "glft-", token, 20, nil},
	{"gitlab", "glffct-", token, 20, nil},
	{"gitlab", "glimt-", token, 25, nil},
	{"gitlab", "glagent-", token, 50, nil},
	{"gitlab", "gloas-", token, 64, nil},
	{"gitlab", "glsoat-", token, 20, nil},
	{"gitlab", "glcbt-", token, 22, nil},
	{"gitlab", "GR1348941", token, 20, nil},
	{"npm", "npm_", word, 36, nil},
	{"pypi", "pypi-AgEIcHlwaS5vcmc", token, 50, nil},
	{"rubygems", "rubygems_", word, 48, hexOnly},

	// Payment, messages, operations.
	{"stripe", "sk_live_", word, 10, withDigits(1)},
	{"stripe", "sk_test_", word, 10, withDigits(1)},
	{"stripe", "sk_prod_", word, 10, withDigits(1)},
	{"stripe", "rk_live_", word, 10, withDigits(1)},
	{"stripe", "rk_test_", word, 10, withDigits(1)},
	{"stripe", "rk_prod_", word, 10, withDigits(1)},
	{"stripe", "whsec_", base64, 24, withDigits(1)},
	{"slack", "xoxb-", token, 16, slackToken},
	{"slack", "xoxp-", token, 16, slackToken},
	{"slack", "xoxa-", token, 12, slackToken},
	{"slack", "xoxr-", token, 12, slackToken},
	{"slack", "xoxs-", token, 16, slackToken},
	{"slack", "xoxo-", token, 16, slackToken},
	{"slack", "xoxe-", token, 16, slackToken},
	{"slack", "xoxe.xoxb-", token, 100, slackToken},
	{"slack", "xoxe.xoxp-", token, 100, slackToken},
	{"slack", "xapp-", token, 40, slackToken},
	{"slack", "hooks.slack.com/services/", base64, 40, nil},
	{"slack", "hooks.slack.com/workflows/", base64, 40, nil},
	{"slack", "hooks.slack.com/triggers/", base64, 40, nil},
	{"sendgrid", "SG.", dotted, 60, withDigits(2)},
	{"shopify", "shpat_", word, 32, hexOnly},
	{"shopify", "shpca_", word, 32, hexOnly},
	{"shopify", "shppa_", word, 32, hexOnly},
	{"shopify", "shpss_", word, 32, hexOnly},
	{"linear", "lin_api_", word, 40, nil},
	{"notion", "ntn_", word, 40, withDigits(8)},
	{"sentry", "sntrys_", base64, 60, nil},
	{"sentry", "sntryu_", word, 64, hexOnly},
	{"grafana", "glsa_", word, 40, nil},
	{"grafana", "glc_", base64, 32, withDigits(2)},
	{"postman", "PMAK-", token, 59, nil},
	{"age", "AGE-SECRET-KEY-1", upperDigits, 58, nil},
}

// keys finds provider keys.
type keys struct {
	byFirst [256][]keyRule
	// third is a Bloom filter of the first three bytes of all prefixes: it spares most words that begin like a key the walk over
	// the rules.
	third [64]uint64
	alone func() *Set
}

// ProviderKeys returns the detector of credentials with a published form: API keys of model providers, clouds, version
// control hosts, package registries and the like. own adds prefixes of your own keys, such as "acme_live_": a run of at least 20
// letters, digits and underscores after one is a key. A prefix has 3 to 32 characters out of letters, digits, '_' and '-'; an
// unusable one makes [NewSet] fail.
//
// A key is found at the beginning of a word only, so base64 images and identifiers that happen to hold a prefix are left
// alone, and not when it is an obvious placeholder (one repeated letter, ...EXAMPLE).
func ProviderKeys(own ...string) Detector {
	if len(own) == 0 {
		return defaultKeys()
	}
	d := newKeys(own)
	for _, p := range own {
		if len(p) < 3 || len(p) > 32 || !token.all([]byte(p)) {
			return faulty{keys: d, err: fmt.Errorf("detect: ProviderKeys: prefix %q must be 3 to 32 letters, digits, '_' or '-'", p)}
		}
	}
	return d
}

var defaultKeys = sync.OnceValue(func() *keys { return newKeys(nil) })

func newKeys(own []string) *keys {
	d := new(keys)
	for _, p := range own {
		if len(p) >= 3 { // ProviderKeys reports the others
			d.byFirst[p[0]] = append(d.byFirst[p[0]], keyRule{"own", p, word, 20, nil})
		}
	}
	for _, r := range keyRules {
		d.byFirst[r.prefix[0]] = append(d.byFirst[r.prefix[0]], r)
	}
	for _, rules := range d.byFirst {
		for _, r := range rules {
			h := third(r.prefix[0], r.prefix[1], r.prefix[2])
			d.third[h>>6] |= 1 << (h & 63)
		}
	}
	d.alone = sync.OnceValue(func() *Set { s, _ := NewSet(d); return s })
	return d
}

// third hashes three bytes to 12 bits.
func third(a, b, c byte) uint32 {
	return (uint32(a)<<16 | uint32(b)<<8 | uint32(c)) * 0x9e3779b1 >> 20
}

// Name returns "provider-keys".
func (*keys) Name() string { return "provider-keys" }

// MaxSpan returns the longest key and the byte after it.
func (*keys) MaxSpan() int { return maxKey + 1 }

// Scan implements [Detector].
func (d *keys) Scan(text []byte, report func(Finding)) { scanAlone(d, d.alone, text, report) }

// Live implements [Streamer].
func (d *keys) Live(text []byte, from int) int { return liveAlone(d.alone, text, from) }

func (d *keys) pairs(mark func(a, b byte)) {
	for _, rules := range d.byFirst {
		for _, r := range rules {
			mark(r.prefix[0], r.prefix[1])
		}
	}
}

func (d *keys) at(text []byte, i int, final bool) (f Finding, ok, more bool) {
	if inWord(text, i) {
		return
	}
	rest := text[i:]
	if len(rest) >= 3 {
		if h := third(rest[0], rest[1], rest[2]); d.third[h>>6]&(1<<(h&63)) == 0 {
			return
		}
	}
	rules := d.byFirst[rest[0]]
	for k := range rules {
		r := &rules[k]
		if len(rest) < len(r.prefix) {
			if !final && string(rest) == r.prefix[:len(rest)] {
				return f, false, true
			}
			continue
		}
		if string(rest[:len(r.prefix)]) != r.prefix {
			continue
		}
		// A key does not begin right after a character its own body may hold: "my-sk-..." is a slug, and every part of a long
		// run would be looked at again, which is quadratic. (A word character stands here only as the end of an escape; after
		// "//" a host begins.)
		if i > 0 && !word[text[i-1]] && r.body[text[i-1]] && !(text[i-1] == '/' && i > 1 && text[i-2] == '/') {
			continue
		}
		end, limit := len(r.prefix), min(len(rest), maxKey)
		for end < limit && r.body[rest[end]] {
			end++
		}
		if end == len(rest) && end < maxKey && !final {
			return f, false, true
		}
		body := rest[len(r.prefix):end]
		if r.body['.'] {
			for len(body) > 0 && body[len(body)-1] == '.' { // the full stop of a sentence
				body = body[:len(body)-1]
			}
		}
		if len(body) < r.min {
			continue
		}
		if r.min > 0 && r.ok == nil && !varied(body, r.min) || r.ok != nil && !r.ok(body, r.min) {
			continue
		}
		return finding(KindSecret, r.name, i, i+len(r.prefix)+len(body)), true, false
	}
	return
}

// faulty carries a configuration error to NewSet, so that detectors can be written inside a literal.
type faulty struct {
	*keys
	err error
}
