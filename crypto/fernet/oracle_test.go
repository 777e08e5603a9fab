package fernet_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	mrand "math/rand/v2"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/fernet"
)

// Python's cryptography is the implementation most tokens in the world come from.
const oracle = `
import sys, json, base64
from cryptography.fernet import Fernet, MultiFernet, InvalidToken
q = json.load(sys.stdin)
old, new = Fernet(q["old"]), Fernet(q["new"])
ring = MultiFernet([new, old])
out = {"generated": Fernet.generate_key().decode(), "read": [], "made": [], "rotated": []}
for c in q["cases"]:
    msg = base64.b64decode(c["msg"] or "")
    try:
        out["read"].append(old.decrypt_at_time(c["tok"], ttl=60, current_time=q["now"]) == msg)
    except InvalidToken:
        out["read"].append(False)
    out["made"].append(old.encrypt_at_time(msg, q["now"]).decode())
    out["rotated"].append(ring.rotate(c["tok"]).decode())
json.dump(out, sys.stdout)
`

// pythons are the interpreters here that have the module: the first in the PATH, and that of the system, for which Debian's
// python3-cryptography is. They may differ by years.
func pythons(t *testing.T) (found []string) {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		python, err := exec.LookPath(name)
		if err != nil || slices.Contains(found, python) {
			continue
		}
		version, err := exec.Command(python, "-c", "import cryptography.fernet, cryptography; print(cryptography.__version__)").Output()
		if err != nil {
			continue
		}
		t.Logf("%s has cryptography %s", python, bytes.TrimSpace(version))
		found = append(found, python)
	}
	if len(found) == 0 {
		t.Skip("no python3 here can import cryptography (Debian: python3-cryptography): no live comparison with it")
	}
	return found
}

type question struct {
	Msg []byte `json:"msg"`
	Tok string `json:"tok"`
}

func TestPythonAgrees(t *testing.T) {
	for _, python := range pythons(t) {
		t.Run(python, func(t *testing.T) {
			var msgs [][]byte
			for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 255, 1000, 70000} {
				msgs = append(msgs, bytes.Repeat([]byte{byte(n), 0xff, 0}, n/3+1)[:n])
			}
			agree(t, python, msgs)
		})
	}
}

// 10,000 messages of random length and content, in both directions and rotated in both.
func TestPythonAgreesOn10000RandomMessages(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, python := range pythons(t) {
		t.Run(python, func(t *testing.T) {
			msgs := make([][]byte, 10_000)
			for i := range msgs {
				n := mrand.IntN(64)
				if i%10 == 0 {
					n = mrand.IntN(2048)
				}
				msgs[i] = make([]byte, n)
				_, _ = rand.Read(msgs[i])
			}
			agree(t, python, msgs)
		})
	}
}

// agree fails t where that Python and we make something different of messages.
func agree(t *testing.T, python string, msgs [][]byte) {
	t.Helper()
	old, newest := fernet.GenerateKey(), fernet.GenerateKey()
	before := mustRing(t, fernet.Config{Keys: []fernet.Key{old}, TTL: time.Minute})
	both := mustRing(t, fernet.Config{Keys: []fernet.Key{newest, old}, TTL: time.Minute})
	after := mustRing(t, fernet.Config{Keys: []fernet.Key{newest}, TTL: time.Minute})

	cases := make([]question, len(msgs))
	for i, msg := range msgs {
		cases[i] = question{msg, string(before.AppendEncrypt(nil, msg, t0))}
	}
	in, err := json.Marshal(map[string]any{"old": old.Reveal(), "new": newest.Reveal(), "now": t0.Unix(), "cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", oracle)
	cmd.Stdin = bytes.NewReader(in)
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v", err)
	}
	var out struct {
		Generated     string
		Read          []bool
		Made, Rotated []string
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if _, err := fernet.ParseKey(out.Generated); err != nil {
		t.Errorf("a key of python: %v", err)
	}
	if len(out.Read) != len(cases) || len(out.Made) != len(cases) || len(out.Rotated) != len(cases) {
		t.Fatal("answers are missing")
	}
	for i, c := range cases {
		if !out.Read[i] {
			t.Errorf("%d bytes: python does not read our token", len(c.Msg))
		}
		if got, err := before.AppendDecrypt(nil, []byte(out.Made[i]), t0); err != nil || !bytes.Equal(got, c.Msg) {
			t.Errorf("%d bytes: we do not read python's token: %v", len(c.Msg), err)
		}
		if got, err := after.AppendDecrypt(nil, []byte(out.Rotated[i]), t0); err != nil || !bytes.Equal(got, c.Msg) {
			t.Errorf("%d bytes: we do not read what python rotated: %v", len(c.Msg), err)
		}
		// We rotate python's token too, and the message is still there.
		ours, err := both.Rotate([]byte(out.Made[i]))
		if err != nil || string(ours[:12]) != out.Rotated[i][:12] {
			t.Errorf("%d bytes: rotation keeps another time stamp than python's: %v", len(c.Msg), err)
			continue
		}
		if got, err := after.AppendDecrypt(nil, ours, t0); err != nil || !bytes.Equal(got, c.Msg) {
			t.Errorf("%d bytes: what we rotated holds another message: %v", len(c.Msg), err)
		}
	}
}
