package bench

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	peer "github.com/fernet/fernet-go"

	"github.com/mantlet-go/mantlet/crypto/fernet"
)

var fernetSizes = []struct {
	name string
	n    int
}{{"100B", 100}, {"4KB", 4 << 10}, {"1MB", 1 << 20}}

// fernets are ours and fernet-go, with one key.
func fernets(tb testing.TB) (*fernet.Keyring, *peer.Key) {
	key := fernet.GenerateKey()
	ring, err := fernet.New(fernet.Config{Keys: []fernet.Key{key}, TTL: time.Hour})
	if err != nil {
		tb.Fatal(err)
	}
	k, err := peer.DecodeKey(key.Reveal())
	if err != nil {
		tb.Fatal(err)
	}
	return ring, k
}

func TestFernetPeersReadEachOther(t *testing.T) {
	ring, k := fernets(t)
	for _, s := range fernetSizes {
		msg := bytes.Repeat([]byte{7}, s.n)
		if got := peer.VerifyAndDecrypt(ring.Encrypt(msg), time.Hour, []*peer.Key{k}); !bytes.Equal(got, msg) {
			t.Errorf("%s: fernet-go does not read ours", s.name)
		}
		tok, err := peer.EncryptAndSign(msg, k)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ring.Decrypt(tok); err != nil || !bytes.Equal(got, msg) {
			t.Errorf("%s: we do not read fernet-go's: %v", s.name, err)
		}
	}
}

// "append" is ours into memory that is there already, "mantlet" into new memory as the peer does.
func BenchmarkFernet(b *testing.B) {
	ring, k := fernets(b)
	for _, s := range fernetSizes {
		msg := bytes.Repeat([]byte{7}, s.n)
		dst := make([]byte, 0, fernet.EncodedLen(s.n))
		tok := ring.Encrypt(msg)
		now := time.Now()
		keys := []*peer.Key{k}
		run := func(op, who string, f func() bool) {
			b.Run(fmt.Sprintf("%s/%s/%s", op, s.name, who), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(s.n))
				for b.Loop() {
					if !f() {
						b.Fatal("refused")
					}
				}
			})
		}
		run("encrypt", "append", func() bool { return len(ring.AppendEncrypt(dst, msg, now)) > 0 })
		run("encrypt", "mantlet", func() bool { return len(ring.Encrypt(msg)) > 0 })
		run("encrypt", "fernet-go", func() bool { t, err := peer.EncryptAndSign(msg, k); return err == nil && len(t) > 0 })
		run("decrypt", "append", func() bool { _, err := ring.AppendDecrypt(dst, tok, now); return err == nil })
		run("decrypt", "mantlet", func() bool { _, err := ring.Decrypt(tok); return err == nil })
		run("decrypt", "fernet-go", func() bool { return peer.VerifyAndDecrypt(tok, time.Hour, keys) != nil })
	}
}
