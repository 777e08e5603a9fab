package redact_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/mantlet-go/mantlet/sanitize/detect"
	"github.com/mantlet-go/mantlet/sanitize/redact"
)

var (
	githubKey = "gh" + "p_" + "R8FM3cHyicFVTN61s6xMm5zggmODYUCp7jZA"
	openaiKey = "sk-" + "proj-" + strings.Repeat("aB3dE5gH7j", 8)
)

func newRedactor(t testing.TB, cfg redact.Config) *redact.Redactor {
	t.Helper()
	r, err := redact.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func whole(r *redact.Redactor, text string) string {
	b, _ := r.Redact(nil, []byte(text))
	return string(b)
}

// texts cover every detector, overlaps, adjacency, and prefixes that come to nothing.
func texts() []string {
	return []string{
		"",
		"no secrets here, just words and 1234 numbers.",
		"mail ann@example.org or " + githubKey + ", card 4111 1111 1111 1111.",
		githubKey + githubKey + "@example.org",
		openaiKey + " 4111111111111111 4111 1111 1111 1112 x@y.zz",
		"user:" + githubKey + "@github.example/x.git 4111111111111111@example.org",
		"sk-" + " gh" + "p_ AI" + "za xo" + "xb-1 4111 1111 1111 an@ @b.cc a@b a@b.c a@b.cc.",
		"请联系zhang@example.cn谢谢 👩‍👩‍👧 é ann@example.org…",
		`{"a":"ann@example.org","card":4111111111111111,"n":[4222222222222]}`,
		strings.Repeat("q", 200) + "@example.org " + strings.Repeat("4111 ", 30),
	}
}

func TestEverySplitOfATextReleasesWhatTheWholeTextGives(t *testing.T) {
	r := newRedactor(t, redact.Config{})
	for _, text := range texts() {
		want := whole(r, text)
		for size := 1; size <= 40; size++ { // every chunk size, byte at a time included
			s := r.NewStream()
			var out []byte
			held := 0
			for b := []byte(text); len(b) > 0; {
				n := min(size, len(b))
				out = s.Write(out, b[:n])
				b = b[n:]
				held = max(held, s.Held())
			}
			if out = s.Flush(out); string(out) != want {
				t.Fatalf("chunks of %d of %q:\ngot  %q\nwant %q", size, text, out, want)
			}
			if held > r.MaxSpan() {
				t.Fatalf("%q: %d bytes held, more than MaxSpan", text, held)
			}
		}
		for i := range len(text) { // every split in three around each place
			s := r.NewStream()
			out := s.Write(nil, []byte(text[:i]))
			j := min(i+3, len(text))
			out = s.Write(out, []byte(text[i:j]))
			out = s.Write(out, []byte(text[j:]))
			if out = s.Flush(out); string(out) != want {
				t.Fatalf("split at %d of %q:\ngot  %q\nwant %q", i, text, out, want)
			}
		}
	}
}

func TestRandomSplitsOfTheSecretsCorpusGiveTheWholeTextsRedaction(t *testing.T) {
	r := newRedactor(t, redact.Config{})
	rng := rand.New(rand.NewPCG(1, 2))
	n, held := 0, []int(nil)
	for _, row := range corpus.Lines[struct{ Text string }](t, "secrets/dev.jsonl.gz") {
		want := whole(r, row.Text)
		for range 3 {
			s := r.NewStream()
			var out []byte
			for b := []byte(row.Text); len(b) > 0; {
				k := min(1+rng.IntN(12), len(b))
				out = s.Write(out, b[:k])
				b = b[k:]
				held = append(held, s.Held())
			}
			if out = s.Flush(out); string(out) != want {
				t.Fatalf("%q became %q, want %q", row.Text, out, want)
			}
			n++
		}
	}
	slices.Sort(held)
	t.Logf("%d random chunkings without a mismatch; held bytes after a chunk: p50 %d, p99 %d, max %d",
		n, held[len(held)/2], held[len(held)*99/100], held[len(held)-1])
}

func TestProseHoldsBackNoMoreThanTheWordThatArrives(t *testing.T) {
	const prose = "The quick brown fox asks whether risk-free encryption at rest helps; in 2024 it did. Wait, what? "
	withMail, without := newRedactor(t, redact.Config{}), newRedactor(t, redact.Config{
		Detectors: []detect.Detector{detect.ProviderKeys(), detect.Card()},
	})
	var a, b []int
	s1, s2 := withMail.NewStream(), without.NewStream()
	var out []byte
	for i := range len(prose) * 20 {
		c := []byte{prose[i%len(prose)]}
		out = s1.Write(out[:0], c)
		out = s2.Write(out[:0], c)
		a, b = append(a, s1.Held()), append(b, s2.Held())
	}
	slices.Sort(a)
	slices.Sort(b)
	p := func(x []int, q int) int { return x[(len(x)-1)*q/100] }
	t.Logf("byte at a time, bytes held: with e-mail p50 %d p99 %d max %d; without p50 %d p99 %d max %d",
		p(a, 50), p(a, 99), p(a, 100), p(b, 50), p(b, 99), p(b, 100))
	if p(a, 100) > len("encryption") || p(b, 50) != 0 || p(b, 100) > 4 {
		t.Error("ordinary prose is held back longer than a word")
	}
}

func TestNoByteOfASecretLeavesBeforeItIsDecided(t *testing.T) {
	r := newRedactor(t, redact.Config{})
	for _, secret := range []string{githubKey, openaiKey, "ann.smith@example.org", "4111 1111 1111 1111"} {
		text := "say " + secret + " now"
		s := r.NewStream()
		var out []byte
		for i := range len(text) {
			out = s.Write(out, []byte{text[i]})
			if rest := strings.TrimPrefix(string(out), "say "); len(out) > 4 && strings.HasPrefix(secret, rest) {
				t.Fatalf("%q was released as %q", secret, out)
			}
		}
		s.Drop()
		if s.Held() != 0 || !bytes.Contains(out, []byte("[REDACTED:")) {
			t.Errorf("got %q", out)
		}
	}
}

func TestAnAbortedTextDropsWhatIsHeld(t *testing.T) {
	r := newRedactor(t, redact.Config{})
	s := r.NewStream()
	out := s.Write(nil, []byte("key "+githubKey[:30]))
	if string(out) != "key " || s.Held() != 30 {
		t.Fatalf("released %q, holding %d", out, s.Held())
	}
	s.Drop()
	if out = s.Flush(nil); len(out) != 0 {
		t.Errorf("flushed %q after a drop", out)
	}
	if out = s.Flush(s.Write(nil, []byte("next"))); string(out) != "next" {
		t.Errorf("a dropped stream is not as new: %q", out)
	}
}

func TestOverlappingAndTouchingSpansBecomeOneReplacement(t *testing.T) {
	fixed := func(kind string, spans ...[2]int) detect.Detector { return spansDetector{kind, spans} }
	for _, c := range []struct {
		name string
		d    []detect.Detector
		want string
	}{
		{"overlap takes the name of the earlier", []detect.Detector{fixed("b", [2]int{2, 5}), fixed("a", [2]int{1, 3})}, "0[REDACTED:a]56789"},
		{"touching spans are one", []detect.Detector{fixed("a", [2]int{1, 3}), fixed("b", [2]int{3, 5})}, "0[REDACTED:a]56789"},
		{"the longer names a common start", []detect.Detector{fixed("a", [2]int{1, 3}), fixed("b", [2]int{1, 5})}, "0[REDACTED:b]56789"},
		{"inside", []detect.Detector{fixed("a", [2]int{1, 8}), fixed("b", [2]int{2, 3}, [2]int{9, 10})}, "0[REDACTED:a]8[REDACTED:b]"},
		{"chain", []detect.Detector{fixed("a", [2]int{0, 3}, [2]int{2, 6}, [2]int{5, 9})}, "[REDACTED:a]9"},
	} {
		r := newRedactor(t, redact.Config{Detectors: c.d})
		if got := whole(r, "0123456789"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		slices.Reverse(c.d)
		if got := whole(newRedactor(t, redact.Config{Detectors: c.d}), "0123456789"); got != c.want {
			t.Errorf("%s, other order: %q, want %q", c.name, got, c.want)
		}
	}
}

// spansDetector reports fixed spans; only for whole texts of the test above.
type spansDetector struct {
	kind  string
	spans [][2]int
}

func (spansDetector) Name() string { return "spans" }
func (spansDetector) MaxSpan() int { return 10 }
func (d spansDetector) Scan(text []byte, report func(detect.Finding)) {
	for _, s := range d.spans {
		report(detect.Finding{Kind: d.kind, Start: s[0], End: s[1]})
	}
}

// word is somebody's own detector without a Live method.
type word struct{ w string }

func (word) Name() string   { return "word" }
func (d word) MaxSpan() int { return len(d.w) }
func (d word) Scan(text []byte, report func(detect.Finding)) {
	for i := 0; i+len(d.w) <= len(text); i++ {
		if string(text[i:i+len(d.w)]) == d.w {
			report(detect.Finding{Kind: "word", Rule: d.w, Start: i, End: i + len(d.w)})
		}
	}
}

func TestADetectorWithoutLiveStillStreamsExactly(t *testing.T) {
	r := newRedactor(t, redact.Config{Detectors: []detect.Detector{word{"aba"}, word{"projectx"}, detect.Email()}})
	for _, text := range []string{"ababa projectx aba@projectx.com proj", "aababab"} {
		want := whole(r, text)
		for size := 1; size < 12; size++ {
			s := r.NewStream()
			var out []byte
			for c := range slices.Chunk([]byte(text), size) {
				out = s.Write(out, c)
			}
			if out = s.Flush(out); string(out) != want {
				t.Errorf("chunks of %d: %q, want %q", size, out, want)
			}
		}
	}
}

// wholeText needs all of a text.
type wholeText struct{ word }

func (wholeText) MaxSpan() int { return 0 }

func TestADetectorForWholeTextsIsRefusedForStreams(t *testing.T) {
	_, err := redact.New(redact.Config{
		Detectors:   []detect.Detector{wholeText{word{"x"}}},
		Replacement: map[string]string{"email": `"quoted"`, "card": strings.Repeat("x", 65)},
	})
	for _, want := range []string{"whole text", `Replacement["email"]`, `Replacement["card"]`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %s", err, want)
		}
	}
	r := newRedactor(t, redact.Config{Detectors: []detect.Detector{wholeText{word{"xy"}}}, WholeText: true})
	s := r.NewStream()
	if out := s.Write(nil, []byte("ab")); len(out) != 0 {
		t.Errorf("released %q before the text was whole", out)
	}
	if out := s.Flush(s.Write(nil, []byte("xyc"))); string(out) != "ab[REDACTED:word]c" {
		t.Errorf("got %q", out)
	}
}

func TestKeptKindsAreReportedAndStayInTheText(t *testing.T) {
	r := newRedactor(t, redact.Config{Keep: func(kind string) bool { return kind == detect.KindEmail }})
	text := "ann@example.org " + githubKey
	out, found := r.Redact(nil, []byte(text))
	if string(out) != "ann@example.org [REDACTED:secret]" || len(found) != 2 || found[0].Kind != detect.KindEmail {
		t.Errorf("%q %v", out, found)
	}
	s := r.NewStream()
	s.Write(nil, []byte(text))
	s.Flush(nil)
	if got := s.Findings(); !slices.Equal(got, found) {
		t.Errorf("stream found %v, whole text %v", got, found)
	}
}

// paperclipai/paperclip#9856: a key replaced inside tool arguments left invalid JSON.
func TestPaperclip9856ReplacementInsideJSONTextLeavesJSON(t *testing.T) {
	r := newRedactor(t, redact.Config{})
	for _, text := range []string{
		`{"card":4111111111111111,"mail":"ann@example.org","l":[4111111111111111, 1]}`,
		`{"s":"line\nann@example.org\n\"` + githubKey + `\"","q":"\\"}`,
		`"ann@example.org"`, `4111111111111111`,
	} {
		out, _ := r.RedactJSON(nil, []byte(text))
		if !json.Valid(out) || bytes.Contains(out, []byte("4111")) {
			t.Errorf("%s became %s", text, out)
		}
		for size := 1; size < 20; size++ {
			s := r.NewJSONStream()
			var got []byte
			for c := range slices.Chunk([]byte(text), size) {
				got = s.Write(got, c)
			}
			if got = s.Flush(got); !bytes.Equal(got, out) {
				t.Errorf("chunks of %d: %s, want %s", size, got, out)
			}
		}
	}
}

func FuzzRedactSplit(f *testing.F) {
	for i, t := range texts() {
		f.Add([]byte(t), uint64(i), i%2 == 0)
	}
	r := newRedactor(f, redact.Config{Detectors: []detect.Detector{
		detect.ProviderKeys("acme_"), detect.Email(), detect.Card(), word{"aba"},
	}})
	f.Fuzz(func(t *testing.T, text []byte, seed uint64, asJSON bool) {
		want, found := r.Redact(nil, text)
		s := r.NewStream()
		if asJSON {
			want, _ = r.RedactJSON(nil, text)
			s = r.NewJSONStream()
		}
		edited, p := []byte(nil), 0
		for _, e := range r.Replacements(nil, text, found, asJSON) {
			edited = append(append(edited, text[p:e.Start]...), e.With...)
			p = e.End
		}
		if edited = append(edited, text[p:]...); !bytes.Equal(edited, want) {
			t.Fatalf("Replacements give %q, Redact %q", edited, want)
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		var out []byte
		var got []detect.Finding
		for b := text; len(b) > 0; {
			n := 1 + rng.IntN(min(len(b), 1<<(seed%8)))
			out = s.Write(out, b[:n])
			got = append(got, s.Findings()...)
			b = b[n:]
			if s.Held() > r.MaxSpan() {
				t.Fatalf("holds %d bytes", s.Held())
			}
		}
		out = s.Flush(out)
		got = append(got, s.Findings()...)
		if !bytes.Equal(out, want) {
			t.Fatalf("%q became %q, whole %q", text, out, want)
		}
		if !slices.Equal(got, found) {
			t.Fatalf("%q: found %v, whole %v", text, got, found)
		}
	})
}

func BenchmarkStreamToken(b *testing.B) {
	tokens := [][]byte{[]byte(" the"), []byte(" quick"), []byte(" brown"), []byte(" fox"), []byte(","), []byte(" ask"), []byte("ed"), []byte(" 20"), []byte("24")}
	for _, c := range []struct {
		name string
		d    []detect.Detector
	}{{"default", nil}, {"keys", []detect.Detector{detect.ProviderKeys()}}} {
		b.Run(c.name, func(b *testing.B) {
			s := newRedactor(b, redact.Config{Detectors: c.d}).NewStream()
			var out []byte
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				out = s.Write(out[:0], tokens[i%len(tokens)])
				i++
			}
		})
	}
}

func BenchmarkRedactWhole(b *testing.B) {
	const prose = "The quick brown fox asks whether risk-free disk encryption at rest would help. In 2024 some people said so.\n"
	r := newRedactor(b, redact.Config{})
	for name, text := range map[string]string{
		"clean": strings.Repeat(prose, 100),
		"hits":  strings.Repeat(prose+"ann@example.org "+githubKey+" ", 50),
	} {
		b.Run(name, func(b *testing.B) {
			var out []byte
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				out, _ = r.Redact(out[:0], []byte(text))
			}
		})
	}
}

func TestAnUnconfiguredRedactorLetsNothingThrough(t *testing.T) {
	for _, r := range []*redact.Redactor{nil, {}} {
		if out, found := r.Redact([]byte("x"), []byte("text")); string(out) != "x" || found != nil || r.MaxSpan() != 0 {
			t.Errorf("%q", out)
		}
		s := r.NewStream()
		if out := s.Flush(s.Write(nil, []byte("text"))); len(out) != 0 {
			t.Errorf("%q", out)
		}
	}
}

func TestCleanTextCostsNoAllocation(t *testing.T) {
	r := newRedactor(t, redact.Config{})
	text := []byte(strings.Repeat("nothing to see here, 1234 times over. ", 50))
	s := r.NewStream()
	var out []byte
	var found []detect.Finding
	for name, f := range map[string]func(){
		"Scan":  func() { found = r.Scan(found[:0], text) },
		"Write": func() { out = s.Write(out[:0], text[:40]) },
	} {
		if n := testing.AllocsPerRun(200, f); n > 0.1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
