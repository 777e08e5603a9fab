package shred

// Cached returns how many keys are in memory.
func (s *Subjects) Cached() int { return s.cache.len() }
