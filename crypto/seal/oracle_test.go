package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// The format of the package comment, written down a second time with another library. Where Python's cryptography has Cobblestone (from 50.0
// on), it does the streams itself.
const oracle = `
import sys, json, os, struct
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
try:
    from cryptography.cobblestone import Cobblestone256Encryptor, Cobblestone256Decryptor
    cobblestone = True
except ImportError:
    cobblestone = False

def expand(key, info, n):
    return HKDFExpand(algorithm=hashes.SHA512(), length=n, info=info).derive(key)

def binding(version, id, context):
    b = bytes([version]) + id
    for field in context:
        field = field.encode()
        b += struct.pack(">H", len(field)) + field
    return b

def message_key(key, nonce):
    def aes(block):
        e = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        return e.update(block) + e.finalize()
    l = int.from_bytes(aes(bytes(16)), "big")
    k1 = (l << 1) & (2**128 - 1) ^ (0x87 if l >> 127 else 0)
    half = lambda i: aes((int.from_bytes(bytes([0, i]) + b"X\0" + nonce[:12], "big") ^ k1).to_bytes(16, "big"))
    return half(1) + half(2)

def xaes(key, nonce, aad):
    return AESGCM(message_key(key, nonce)), nonce[12:], aad

def seal(key, id, context, msg):
    nonce = os.urandom(24)
    gcm, n, aad = xaes(expand(key, b"mantlet seal v1 record", 32), nonce, binding(1, id, context))
    return b"\x01" + id + nonce + gcm.encrypt(n, msg, aad)

def open_(key, id, context, box):
    assert box[:5] == b"\x01" + id
    gcm, n, aad = xaes(expand(key, b"mantlet seal v1 record", 32), box[5:29], binding(1, id, context))
    return gcm.decrypt(n, box[29:], aad)

def chunks(key, salt, context):
    b = expand(key, b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context, 76)
    base = int.from_bytes(b[32:44], "big")
    return AESGCM(b[:32]), lambda i: (base ^ i).to_bytes(12, "big"), b[44:]

def write(key, id, context, msg):
    key, context, head = expand(key, b"mantlet seal v1 stream", 32), binding(2, id, context), b"\x02" + id
    if cobblestone:
        e = Cobblestone256Encryptor(key, context)
        return head + e.update(msg) + e.finalize()
    salt = os.urandom(24)
    gcm, nonce, commitment = chunks(key, salt, context)
    out, i = head + salt + commitment, 0
    while True:
        part = msg[i * 16384:(i + 1) * 16384]
        out += gcm.encrypt(nonce(i), part, None)
        if len(part) < 16384:
            return out
        i += 1

def read(key, id, context, s):
    assert s[:5] == b"\x02" + id
    key, context, s = expand(key, b"mantlet seal v1 stream", 32), binding(2, id, context), s[5:]
    if cobblestone:
        d = Cobblestone256Decryptor(key, context)
        return d.update(s) + d.finalize()
    gcm, nonce, commitment = chunks(key, s[:24], context)
    assert s[24:56] == commitment
    s, out, i = s[56:], b"", 0
    while True:
        part = s[i * 16400:(i + 1) * 16400]
        out += gcm.decrypt(nonce(i), part, None)
        if len(part) < 16400:
            return out
        i += 1

q = json.load(sys.stdin)
key = bytes.fromhex(q["key"])
id = expand(key, b"mantlet seal v1 id", 4)
out = {"id": id.hex(), "cobblestone": cobblestone, "opened": [], "sealed": [], "read": [], "written": []}
for c in q["cases"]:
    context, msg = c["context"], bytes.fromhex(c["msg"])
    out["opened"].append(open_(key, id, context, bytes.fromhex(c["box"])) == msg)
    out["read"].append(read(key, id, context, bytes.fromhex(c["stream"])) == msg)
    out["sealed"].append(seal(key, id, context, msg).hex())
    out["written"].append(write(key, id, context, msg).hex())
json.dump(out, sys.stdout)
`

func TestPythonAgrees(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: no live comparison with its cryptography module")
	}
	if err := exec.Command(python, "-c", "import cryptography.hazmat.primitives.ciphers.aead").Run(); err != nil {
		t.Skip("python3 cannot import cryptography: no live comparison with it")
	}
	secret := [32]byte([]byte("a key of exactly thirty-two byte"))
	ring := ringOf(t, seal.KeyOf(secret))

	type question struct {
		Context [4]string `json:"context"`
		Msg     string    `json:"msg"`
		Box     string    `json:"box"`
		Stream  string    `json:"stream"`
		raw     []byte
		c       seal.Context
	}
	contexts := []seal.Context{here, {Purpose: "p"}, {Purpose: "zürich", Path: "\x00\x01"}, {Purpose: strings.Repeat("long", 300), Subject: "s"}}
	var cases []question
	add := func(n int) {
		c := contexts[len(cases)%len(contexts)]
		msg := numbers(n)
		cases = append(cases, question{
			[4]string{c.Purpose, c.Tenant, c.Subject, c.Path},
			hex.EncodeToString(msg), hex.EncodeToString(mustSeal(t, ring, msg, c)), hex.EncodeToString(stream(t, ring, msg, c)), msg, c,
		})
	}
	for n := range 200 {
		add(n)
	}
	for _, n := range []int{chunk - 1, chunk, chunk + 1, 2 * chunk, 5*chunk + 77, 10 * chunk} {
		add(n)
	}
	in, err := json.Marshal(map[string]any{"key": hex.EncodeToString(secret[:]), "cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", oracle)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, stderr.String())
	}
	var out struct {
		ID              string
		Cobblestone     bool
		Opened, Read    []bool
		Sealed, Written []string
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	t.Logf("the streams of python are those of its own Cobblestone: %v", out.Cobblestone)
	if out.ID != ring.Primary().String() {
		t.Errorf("python gives the key the id %s", out.ID)
	}
	if n := len(cases); len(out.Opened) != n || len(out.Read) != n || len(out.Sealed) != n || len(out.Written) != n {
		t.Fatal("answers are missing")
	}
	for i, q := range cases {
		if !out.Opened[i] {
			t.Errorf("%d bytes: python does not open our record", len(q.raw))
		}
		if !out.Read[i] {
			t.Errorf("%d bytes: python does not read our stream", len(q.raw))
		}
		box, _ := hex.DecodeString(out.Sealed[i])
		if msg, err := ring.Open(nil, box, q.c); err != nil || !bytes.Equal(msg, q.raw) {
			t.Errorf("%d bytes: we do not open python's record: %v", len(q.raw), err)
		}
		s, _ := hex.DecodeString(out.Written[i])
		if msg, err := readAll(ring, s, q.c); err != nil || !bytes.Equal(msg, q.raw) {
			t.Errorf("%d bytes: we do not read python's stream: %v", len(q.raw), err)
		}
	}
}
