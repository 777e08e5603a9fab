package jsonscan

// Probes returns how many table slots the last scan looked at.
func (s *Scanner) Probes() int { return s.names.probes }

// FoldRune exposes the folding used for member names.
var FoldRune = foldRune

// SlowFold is what FoldRune must give.
var SlowFold = slowFold
