package detect_test

import (
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/sanitize/detect"
)

const prose = "The quick brown fox asks whether risk-free disk encryption at rest would help. In 2024 some people, she said, might " +
	"have thought otherwise; `go build ./...` printed 12 lines and func main() { fmt.Println(\"hello\") } ran.\n"

func bench(b *testing.B, text []byte) {
	s := defaults(b)
	n := 0
	report := func(detect.Finding) { n++ }
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		s.Scan(text, 0, true, report)
	}
}

// BenchmarkScanClean bounds what every prompt pays; BenchmarkScanHits has a finding in every 200 bytes; BenchmarkScanHostile is
// an attacker's best case, text in which every position wants a closer look.
func BenchmarkScanClean(b *testing.B) { bench(b, []byte(strings.Repeat(prose, 160))) }

func BenchmarkScanHits(b *testing.B) {
	k := fakeKeys()
	bench(b, []byte(strings.Repeat(prose+" ann@example.org "+prose+k["github"]+" "+prose+"4111 1111 1111 1111 ", 50)))
}

func BenchmarkScanHostile(b *testing.B) {
	for name, piece := range map[string]string{
		"anchors": " sk-a ghp_ AIza xoxb-", "digits": "4111 1111 1111 1112 ", "at": "a@b.c@", "slug": "sk-sk-", "sg": "SG.SG.",
		"slashes": "ABSK/ABSK/", "dots": "x@a.aa.aa.aa.aa.aa.aa.aa.aa.aa.aa.", "ats": "@@@@@@", "escapes": `\nghp_\nAKIA`,
	} {
		b.Run(name, func(b *testing.B) { bench(b, []byte(strings.Repeat(piece, 32768/len(piece)))) })
	}
}
