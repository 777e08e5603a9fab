package servetls

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// A source is files that belong together, and what was last good in them. One goroutine at a time uses it.
type source struct {
	files    []string
	guards   []guard // who may do what with them
	isCA     bool
	pair     tls.Certificate
	pool     *x509.CertPool
	inForce  [sha256.Size]byte // what the files held when it was taken over
	seen     [sha256.Size]byte // what they held, or what was wrong with them, when last looked at
	everGood bool
	state    Source
	warned   time.Time // when the log was last told that the certificate ends
}

// read returns what the files hold. The sum is that of the content, or of the error.
func (s *source) read() (data [][]byte, sum [sha256.Size]byte, err error) {
	h := sha256.New()
	for i, name := range s.files {
		b, err := readFile(name, s.guards[i])
		if err != nil {
			return nil, sha256.Sum256([]byte("error: " + err.Error())), err
		}
		data = append(data, b)
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	return data, [sha256.Size]byte(h.Sum(nil)), nil
}

// look reads the files and takes over what is new and good in them. It does so, or complains, only of what it has seen twice: again
// says that it should look once more soon. What was refused is judged anew each time, since a certificate may begin.
func (s *source) look(now time.Time, log *slog.Logger) (again, changed bool) {
	s.warn(now, log)
	data, sum, err := s.read()
	defer func() {
		for i, b := range data {
			if !s.isCA && i == 1 { // the key
				clear(b)
			}
		}
	}()
	before := s.seen
	s.seen = sum
	switch {
	case s.everGood && sum == s.inForce:
		if s.state.Err != nil {
			log.Info("servetls: the files are again those in force", "files", s.files)
			s.state.Err, s.state.FailingSince = nil, time.Time{}
		}
		return false, false
	case sum != before:
		return true, false
	}
	if err == nil {
		err = s.take(data, now)
	}
	if err != nil {
		err = fmt.Errorf("servetls: %s: %w", strings.Join(s.files, ", "), err)
		if s.state.Err == nil {
			s.state.FailingSince = now
		}
		if s.state.Err == nil || s.state.Err.Error() != err.Error() {
			if s.everGood {
				log.Error("servetls: new files are refused, the last good ones stay in force", "files", s.files, "err", err, "not_after", s.state.NotAfter)
			}
			s.state.Err = err
		}
		return false, false
	}
	if s.everGood {
		log.Info("servetls: new files are in force", "files", s.files, "not_after", s.state.NotAfter)
	}
	s.inForce, s.everGood = sum, true
	s.state.Since, s.state.Err, s.state.FailingSince = now, nil, time.Time{}
	return false, true
}

// warn says once a day that a certificate nears its end. A renewal that never comes changes no file, so nothing else would.
func (s *source) warn(now time.Time, log *slog.Logger) {
	if s.isCA || !s.everGood || now.Sub(s.warned) < 24*time.Hour {
		return
	}
	leaf := s.pair.Leaf
	if left := leaf.NotAfter.Sub(now); left < leaf.NotAfter.Sub(leaf.NotBefore)/10 {
		s.warned = now
		log.Warn("servetls: the certificate in force ends soon or has ended, and no renewal was seen", "files", s.files, "not_after", leaf.NotAfter)
	}
}

func (s *source) take(data [][]byte, now time.Time) error {
	if s.isCA {
		pool, ends, err := parseCAs(data, now)
		if err != nil {
			return err
		}
		s.pool, s.state.NotAfter = pool, ends
		return nil
	}
	pair, err := parsePair(data[0], data[1], now)
	if err != nil {
		return err
	}
	s.pair, s.state.NotAfter = pair, pair.Leaf.NotAfter
	return nil
}

// Source is what is known of files that belong together: a pair, or the client CAs.
type Source struct {
	// Files are their names: a certificate and its key, or all files of client CAs.
	Files []string
	// NotAfter is when what is in force ends: the certificate, or the first of the CAs that had not expired when they were taken over.
	NotAfter time.Time
	// Since is when it was taken over.
	Since time.Time
	// Err says why what the files hold now is not in force; nil if it is. It names files and never quotes them.
	Err error
	// FailingSince is since when there has been an Err, whichever.
	FailingSince time.Time
}

// State is what an [Endpoint] serves with.
type State struct {
	// Pairs are in the order of Config.Pairs; none with Config.GetCertificate.
	Pairs []Source
	// ClientCAs has no Files if none are configured.
	ClientCAs Source
}

// Check is the verdict for a health check: an error that says what ends within margin after now (or has ended), and which files are
// refused; nil if all is well. A margin of 10 days suits certificates of 90 that are renewed after 60.
func (s State) Check(now time.Time, margin time.Duration) error {
	var errs []error
	for _, src := range append(s.Pairs[:len(s.Pairs):len(s.Pairs)], s.ClientCAs) {
		if len(src.Files) == 0 {
			continue
		}
		if src.NotAfter.Before(now.Add(margin)) {
			errs = append(errs, fmt.Errorf("servetls: %s: what is in force ends at %s", strings.Join(src.Files, ", "), src.NotAfter.UTC().Format(time.RFC3339)))
		}
		if src.Err != nil {
			errs = append(errs, fmt.Errorf("%w (since %s)", src.Err, src.FailingSince.UTC().Format(time.RFC3339)))
		}
	}
	return errors.Join(errs...)
}
