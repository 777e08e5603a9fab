package main

import (
	_ "embed"
	"math"
	"strings"
)

//go:embed text/labelled.tsv
var labelled string

// classifier is a multinomial naive Bayes classifier over lower-case words, with add-one smoothing. It is immutable after
// learn and safe for concurrent use.
type classifier struct {
	labels []string
	prior  []float64            // log P(label)
	word   map[string][]float64 // log P(word | label), in the order of labels
}

// learn trains on lines of the form label, tab, text.
func learn(tsv string) *classifier {
	c := &classifier{word: map[string][]float64{}}
	index := map[string]int{}
	var texts, words []float64 // per label
	counts := map[string][]float64{}
	for line := range strings.Lines(tsv) {
		label, text, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			continue
		}
		i, known := index[label]
		if !known {
			i = len(c.labels)
			index[label] = i
			c.labels = append(c.labels, label)
			texts, words = append(texts, 0), append(words, 0)
		}
		texts[i]++
		for w := range pieces(strings.ToLower(text)) {
			words[i]++
			n := counts[w]
			for len(n) <= i {
				n = append(n, 0)
			}
			n[i]++
			counts[w] = n
		}
	}
	total, vocabulary := 0.0, float64(len(counts))
	for _, n := range texts {
		total += n
	}
	for i := range c.labels {
		c.prior = append(c.prior, math.Log(texts[i]/total))
	}
	for w, n := range counts {
		p := make([]float64, len(c.labels))
		for i := range p {
			seen := 1.0
			if i < len(n) {
				seen += n[i]
			}
			p[i] = math.Log(seen / (words[i] + vocabulary))
		}
		c.word[w] = p
	}
	return c
}

// predict returns the most likely label and the probability of each. The probabilities sum to 1; for a text without a known
// word they are the priors.
func (c *classifier) predict(text string) (string, map[string]float64) {
	score := append([]float64(nil), c.prior...)
	for w := range pieces(strings.ToLower(text)) {
		p, known := c.word[w]
		if !known {
			continue // a word no label has seen says nothing; counting it would only favour the label with the fewest words
		}
		for i := range score {
			score[i] += p[i]
		}
	}
	best := 0
	for i := range score {
		if score[i] > score[best] {
			best = i
		}
	}
	sum := 0.0
	for _, s := range score {
		sum += math.Exp(s - score[best]) // relative to the best: nothing underflows, the best is exactly 1
	}
	probabilities := make(map[string]float64, len(score))
	for i, s := range score {
		probabilities[c.labels[i]] = math.Exp(s-score[best]) / sum
	}
	return c.labels[best], probabilities
}
