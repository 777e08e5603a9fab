package xaes

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/mantlet-go/mantlet/internal/corpus"
)

// derived is a block cipher whose two outputs are the halves of a message's key, so that Open works with the key of a vector, which no
// key of ours would derive.
type derived struct {
	key  []byte
	next *int
}

func (d derived) BlockSize() int      { return 16 }
func (d derived) Decrypt(_, _ []byte) { panic("not used") }
func (d derived) Encrypt(dst, _ []byte) {
	copy(dst, d.key[16**d.next:][:16])
	*d.next++
}

type bytesOfHex []byte

func (b *bytesOfHex) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// Of the vectors of Project Wycheproof for AES-GCM those that a box can have: a key of 256 bits, a nonce of 96, a tag of 128. The others have
// lengths that the format has no room for. Only Open can be asked, since nobody chooses the nonce of Seal. The chunks of package
// chunked have counted nonces and derived keys, so no vector can be one of them.
func TestWycheproofAESGCM(t *testing.T) {
	var f struct {
		TestGroups []struct {
			KeySize, IVSize, TagSize int
			Tests                    []struct {
				TcID                       int
				Comment, Result            string
				Key, IV, AAD, Msg, Ct, Tag bytesOfHex
			}
		}
	}
	if err := json.Unmarshal(corpus.Read(t, "conformance/wycheproof/aes_gcm_test.json"), &f); err != nil {
		t.Fatal(err)
	}
	n, invalid := 0, 0
	for _, g := range f.TestGroups {
		if g.KeySize != 256 || g.IVSize != 96 || g.TagSize != 128 {
			continue
		}
		for _, v := range g.Tests {
			n++
			k := &Key{block: derived{v.Key, new(int)}}
			box := bytes.Join([][]byte{make([]byte, half), v.IV, v.Ct, v.Tag}, nil)
			msg, err := k.Open(nil, box, v.AAD)
			if v.Result == "valid" && (err != nil || !bytes.Equal(msg, v.Msg)) {
				t.Errorf("%d (%s): %x, %v; want %x", v.TcID, v.Comment, msg, err, v.Msg)
			}
			if v.Result != "valid" {
				if invalid++; err != ErrOpen || msg != nil {
					t.Errorf("%d (%s): %x, %v; want it refused", v.TcID, v.Comment, msg, err)
				}
			}
		}
	}
	if n < 60 || invalid == 0 {
		t.Errorf("%d vectors, %d of them invalid", n, invalid)
	}
}
