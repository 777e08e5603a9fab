package main

// The stand-in model: a word trigram generator. It is real, small computation that makes replies one can read aloud, and nothing
// more: it knows three thousand words of old books and understands no question. It is here so that the quick start runs on a
// machine without a model server; -upstream puts a real one in its place.

import (
	_ "embed"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"unicode"
	"unicode/utf8"
)

//go:embed text/passages.txt
var passages string

// maxRun is the length in bytes after which a run of letters counts as a further piece, so that a megabyte without a space
// is not billed as one word.
const maxRun = 16

// pieces cuts text into what the stand-in model counts as tokens: runs of letters and digits (an apostrophe between letters
// belongs to its word, and a run longer than maxRun bytes is several pieces), and every other visible rune by itself.
// Space is not counted.
func pieces(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 0; i < len(text); {
			r, size := utf8.DecodeRuneInString(text[i:])
			switch {
			case isSpace(r):
				i += size
			case !isWord(r):
				if !yield(text[i : i+size]) {
					return
				}
				i += size
			default:
				end := i + size
				for end < len(text) && end-i < maxRun {
					r, size = utf8.DecodeRuneInString(text[end:])
					if !isWord(r) && !isInnerApostrophe(text, end, r, size) {
						break
					}
					end += size
				}
				if !yield(text[i:end]) {
					return
				}
				i = end
			}
		}
	}
}

// countPieces is the length of text as the model counts it.
func countPieces(text string) int {
	n := 0
	for range pieces(text) {
		n++
	}
	return n
}

func isSpace(r rune) bool { return unicode.IsSpace(r) }
func isWord(r rune) bool  { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

func isInnerApostrophe(text string, at int, r rune, size int) bool {
	if r != '\'' && r != '’' {
		return false
	}
	next, _ := utf8.DecodeRuneInString(text[at+size:])
	return unicode.IsLetter(next)
}

// generator is a trigram model over pieces with back-off to bigrams and single pieces. It is immutable after train and safe for
// concurrent use.
type generator struct {
	vocab  []string
	id     map[string]int32
	after2 map[[2]int32][]int32 // every successor as often as it was seen, so that a uniform draw is a weighted one
	after1 map[int32][]int32
	starts []int32 // first pieces of sentences
}

// train counts text once.
func train(text string) *generator {
	g := &generator{id: map[string]int32{}, after2: map[[2]int32][]int32{}, after1: map[int32][]int32{}}
	a, b := int32(-1), int32(-1)
	for p := range pieces(text) {
		c, known := g.id[p]
		if !known {
			c = int32(len(g.vocab))
			g.id[p] = c
			g.vocab = append(g.vocab, p)
		}
		if b < 0 || endsSentence(g.vocab[b]) {
			g.starts = append(g.starts, c)
		}
		if b >= 0 {
			g.after1[b] = append(g.after1[b], c)
			if a >= 0 {
				g.after2[[2]int32{a, b}] = append(g.after2[[2]int32{a, b}], c)
			}
		}
		a, b = b, c
	}
	return g
}

func endsSentence(p string) bool { return p == "." || p == "!" || p == "?" }

// reply yields the pieces of an answer to prompt, each with the space that belongs before it, so that joining them gives
// readable text of which countPieces counts exactly the number of pieces yielded. The same prompt and choice give the same
// reply. An endless one goes on until the caller stops taking.
func (g *generator) reply(prompt string, choice int, endless bool) iter.Seq[string] {
	h := fnv.New64a()
	h.Write([]byte(prompt))
	rnd := rand.New(rand.NewPCG(h.Sum64(), uint64(choice)))
	return func(yield func(string) bool) {
		a, b := int32(-1), int32(-1)
		fresh, least := true, 20+rnd.IntN(60)
		for n := 1; ; n++ {
			c := g.next(rnd, a, b, fresh)
			p := g.vocab[c]
			if !yield(spaced(p, n == 1, b, g.vocab)) {
				return
			}
			fresh = endsSentence(p)
			if fresh && n >= least && !endless {
				return
			}
			a, b = b, c
		}
	}
}

// next draws the piece after a and b. Where the trigram knows a single successor it backs off to the bigram half of the time;
// otherwise the reply would recite its sources.
func (g *generator) next(rnd *rand.Rand, a, b int32, fresh bool) int32 {
	if fresh {
		return g.starts[rnd.IntN(len(g.starts))]
	}
	if list := g.after2[[2]int32{a, b}]; len(list) > 1 || len(list) == 1 && rnd.IntN(2) == 0 {
		return list[rnd.IntN(len(list))]
	}
	if list := g.after1[b]; len(list) > 0 {
		return list[rnd.IntN(len(list))]
	}
	return g.starts[rnd.IntN(len(g.starts))]
}

// spaced puts the space before p: none before punctuation, at the start, and after a hyphen that joins.
func spaced(p string, first bool, before int32, vocab []string) string {
	r, _ := utf8.DecodeRuneInString(p)
	if first || !isWord(r) || before >= 0 && vocab[before] == "-" {
		return p
	}
	return " " + p
}
