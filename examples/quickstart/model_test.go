package main

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextIsCountedInWordsAndSigns(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" \t\n", nil},
		{"Call me Ishmael.", []string{"Call", "me", "Ishmael", "."}},
		{"I don't know, it's a daisy-chain", []string{"I", "don't", "know", ",", "it's", "a", "daisy", "-", "chain"}},
		{"the boys' hats", []string{"the", "boys", "'", "hats"}},
		{strings.Repeat("a", 40), []string{strings.Repeat("a", 16), strings.Repeat("a", 16), strings.Repeat("a", 8)}},
		{"\xff\xfe", []string{"\xff", "\xfe"}},
	} {
		if got := slices.Collect(pieces(c.text)); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

func FuzzPiecesCoverTheText(f *testing.F) {
	f.Add("Down, down, down. Would the fall never come to an end?")
	f.Add("e\u0301 \u200d 日本語 'a' a'b'")
	f.Fuzz(func(t *testing.T, text string) {
		at := 0
		for p := range pieces(text) {
			if p == "" || len(p) > maxRun+utf8.UTFMax {
				t.Fatalf("piece %q", p)
			}
			rest := strings.TrimLeftFunc(text[at:], isSpace)
			if !strings.HasPrefix(rest, p) {
				t.Fatalf("piece %q left %q out", p, text[at:])
			}
			at = len(text) - len(rest) + len(p)
		}
		if rest := strings.TrimSpace(text[at:]); rest != "" {
			t.Fatalf("left out %q", rest)
		}
	})
}

func TestAReplyCountsAsManyPiecesAsItYields(t *testing.T) {
	g := train(passages)
	for i := range 500 {
		n, text := 0, strings.Builder{}
		for p := range limit(g.reply("what?", i, true), 300) {
			n++
			text.WriteString(p)
		}
		if got := countPieces(text.String()); got != n || n != 300 {
			t.Fatalf("choice %d yields %d pieces, counted %d: %s", i, n, got, &text)
		}
	}
}

func TestTheSamePromptGetsTheSameReplyAndAnotherPromptAnother(t *testing.T) {
	g := train(passages)
	say := func(prompt string, choice int) string {
		return strings.Join(slices.Collect(g.reply(prompt, choice, false)), "")
	}
	if a, b := say("one", 0), train(passages).reply("one", 0, false); a != strings.Join(slices.Collect(b), "") {
		t.Error("the same prompt got two replies")
	}
	if say("one", 0) == say("two", 0) || say("one", 0) == say("one", 1) {
		t.Error("another prompt or choice got the same reply")
	}
	if r := say("one", 0); !endsSentence(r[len(r)-1:]) {
		t.Errorf("the reply does not end with its sentence: %s", r)
	}
}

func TestEveryTrainingTextIsRecognised(t *testing.T) {
	c := learn(labelled)
	for line := range strings.Lines(labelled) {
		want, text, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if got, _ := c.predict(text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

func TestTextsNotSeenInTrainingGetALabelAndProbabilitiesThatSumToOne(t *testing.T) {
	c := learn(labelled)
	for text, want := range map[string]string{
		"Wonderful, thank you, it works and I love the design": "positive",
		"It is broken and slow, a terrible waste of money":     "negative",
		"Where is the station and when does the train leave":   "neutral",
		"":     "neutral",
		"qqqq": "neutral",
		strings.Repeat("It failed again. ", 10000): "negative", // a product of probabilities would underflow
	} {
		label, p := c.predict(text)
		sum := 0.0
		for _, v := range p {
			sum += v
		}
		if label != want || len(p) != 3 || sum < 0.999999 || sum > 1.000001 || p[label] < 1.0/3 {
			t.Errorf("%.40q: %s %v, want %s", text, label, p, want)
		}
	}
}

func BenchmarkTrain(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		train(passages)
		learn(labelled)
	}
}

func BenchmarkReply(b *testing.B) {
	g := train(passages)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for range g.reply("what is light?", n, false) {
		}
		n++
	}
}
