package kektest_test

import (
	"testing"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/seal/kektest"
)

func TestTheKEKOfAKeyring(t *testing.T) {
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	if err != nil {
		t.Fatal(err)
	}
	kektest.Run(t, func(*testing.T) seal.KEK { return seal.NewRingKEK(ring) })
}
