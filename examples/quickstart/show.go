package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/mantlet-go/mantlet/crypto/fernet"
)

// show prints the prompts that the audit log in dir holds, decrypted under the key beside it: what an auditor with both does.
func show(w io.Writer, dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "capture.key"))
	if err != nil {
		return err
	}
	key, err := fernet.ParseKey(string(text))
	if err != nil {
		return err
	}
	ring, err := fernet.New(fernet.Config{Keys: []fernet.Key{key}, SkipExpiry: true})
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, "audit.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	var faults []error
	for lines.Scan() {
		var line struct {
			Time   string `json:"time"`
			ID     string `json:"request.id"`
			Sealed string `json:"x.body.sealed"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			faults = append(faults, err)
			continue
		}
		if line.Sealed == "" {
			continue
		}
		body, err := ring.Decrypt([]byte(line.Sealed))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", line.ID, err))
			continue
		}
		fmt.Fprintf(w, "%s %s %q\n", line.Time, line.ID, body) // quoted: what clients send may act on a terminal
	}
	return errors.Join(append(faults, lines.Err())...)
}
