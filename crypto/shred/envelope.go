package shred

import (
	"context"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// EnvelopeRing makes a Ring of an Envelope: the keys of subjects are wrapped by data keys that a key service wraps. A call to the service ends
// with the context of the call of Subjects that needs it; Envelope and its KEKs say how often that is.
func EnvelopeRing(e *seal.Envelope) Ring { return envelopeRing{e} }

// contextRing is a Ring that may have to wait.
type contextRing interface {
	sealContext(ctx context.Context, dst, msg []byte, c seal.Context) ([]byte, error)
	openContext(ctx context.Context, dst, box []byte, c seal.Context) ([]byte, error)
	resealContext(ctx context.Context, dst, box []byte, c seal.Context) ([]byte, error)
}

type envelopeRing struct{ e *seal.Envelope }

func (r envelopeRing) Seal(dst, msg []byte, c seal.Context) ([]byte, error) {
	return r.e.Seal(context.Background(), dst, msg, c)
}

func (r envelopeRing) Open(dst, box []byte, c seal.Context) ([]byte, error) {
	return r.e.Open(context.Background(), dst, box, c)
}

func (r envelopeRing) Reseal(dst, box []byte, c seal.Context) ([]byte, error) {
	return r.e.Reseal(context.Background(), dst, box, c)
}

func (r envelopeRing) NeedsReseal(box []byte) bool { return r.e.NeedsReseal(box) }

func (r envelopeRing) sealContext(ctx context.Context, dst, msg []byte, c seal.Context) ([]byte, error) {
	return r.e.Seal(ctx, dst, msg, c)
}

func (r envelopeRing) openContext(ctx context.Context, dst, box []byte, c seal.Context) ([]byte, error) {
	return r.e.Open(ctx, dst, box, c)
}

func (r envelopeRing) resealContext(ctx context.Context, dst, box []byte, c seal.Context) ([]byte, error) {
	return r.e.Reseal(ctx, dst, box, c)
}

func (s *Subjects) wrap(ctx context.Context, text []byte, c seal.Context) ([]byte, error) {
	if r, ok := s.cfg.Ring.(contextRing); ok {
		return r.sealContext(ctx, nil, text, c)
	}
	return s.cfg.Ring.Seal(nil, text, c)
}

func (s *Subjects) unbox(ctx context.Context, box []byte, c seal.Context) ([]byte, error) {
	if r, ok := s.cfg.Ring.(contextRing); ok {
		return r.openContext(ctx, nil, box, c)
	}
	return s.cfg.Ring.Open(nil, box, c)
}
