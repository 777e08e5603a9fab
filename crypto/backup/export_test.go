package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"io"
	"io/fs"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// Before is the order of names.
var Before = before

// ParseLedger reads a ledger.
var ParseLedger = parseLedger

// Frame is a frame with any JSON.
func Frame(kind byte, text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(text))), text...)
}

// Compose makes a genuine stream of any text.
func Compose(ring *seal.Keyring, label string, text []byte) []byte {
	var out bytes.Buffer
	w, err := ring.NewWriter(&out, place(label))
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(text)
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// Text decrypts a stream.
func Text(ring *seal.Keyring, label string, stream []byte) []byte {
	r, err := ring.NewReader(bytes.NewReader(stream), place(label))
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return text
}

// End is the last frame of a text without contents of files, but for their hashes.
func End(text []byte, dirs, files, bytes int64) []byte {
	digest := sha256.Sum256(text)
	data, _ := json.Marshal(end{dirs, files, bytes, digest[:]})
	return Frame(kindEnd, string(data))
}

// RemoveAll removes a stage.
var RemoveAll = removeAll

// Changed says whether a file was changed, by the time that no program can set.
func Changed(before, after fs.FileInfo) bool { return !changeTime(before).Equal(changeTime(after)) }
