package fernet_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
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

func TestPythonAgrees(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: no live comparison with its cryptography module")
	}
	if err := exec.Command(python, "-c", "import cryptography.fernet").Run(); err != nil {
		t.Skip("python3 cannot import cryptography: no live comparison with it")
	}
	old, newest := fernet.GenerateKey(), fernet.GenerateKey()
	before := mustRing(t, fernet.Config{Keys: []fernet.Key{old}, TTL: time.Minute})
	both := mustRing(t, fernet.Config{Keys: []fernet.Key{newest, old}, TTL: time.Minute})
	after := mustRing(t, fernet.Config{Keys: []fernet.Key{newest}, TTL: time.Minute})

	type question struct {
		Msg []byte `json:"msg"`
		Tok string `json:"tok"`
	}
	var cases []question
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 255, 1000, 70000} {
		msg := bytes.Repeat([]byte{byte(n), 0xff, 0}, n/3+1)[:n]
		cases = append(cases, question{msg, string(before.AppendEncrypt(nil, msg, t0))})
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
		ours, err := both.Rotate([]byte(out.Made[i]))
		if err != nil || string(ours[:12]) != out.Rotated[i][:12] {
			t.Errorf("%d bytes: rotation keeps another time stamp than python's: %v", len(c.Msg), err)
		}
	}
}
