package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// The KEK here is a Keyring. See examples/kms for one in a cloud key service.
func ExampleNewEnvelope() {
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	if err != nil {
		log.Fatal(err)
	}
	vault, err := seal.NewEnvelope(seal.EnvelopeConfig{
		KEKs:   []seal.NamedKEK{{Name: "app", KEK: seal.NewRingKEK(ring)}},
		MaxAge: 10 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer vault.Close(ctx)

	where := seal.Context{Purpose: "users.email", Tenant: "acme", Subject: "user-42"}
	box, err := vault.Seal(ctx, nil, []byte("alice@example.com"), where)
	var down *seal.KEKError
	if errors.As(err, &down) {
		fmt.Println("503, Retry-After:", down.RetryAfterSeconds())
	}
	msg, err := vault.Open(ctx, nil, box, where)
	fmt.Printf("%s %v\n", msg, err)
	// Output:
	// alice@example.com <nil>
}

// A key is replaced in the file step by step, and the running processes follow.
func ExampleUpdateKeyringFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "seal.keys")

	// Once.
	if err := seal.CreateKeyringFile(path, seal.NewRing()); err != nil {
		log.Fatal(err)
	}

	// In every process, when it starts.
	running, err := seal.ReadKeyringFile(path)
	if err != nil {
		log.Fatal(err)
	}

	// The first step, made by an operator.
	err = seal.UpdateKeyringFile(context.Background(), path, func(ring *seal.Keyring) error {
		return ring.Add(seal.GenerateKey(), time.Now())
	})
	if err != nil {
		log.Fatal(err)
	}

	// In every process, on a signal say.
	if err := running.ReloadFile(path); err != nil {
		log.Print(err) // the ring stays what it was
	}
	fmt.Println(len(running.Keys()), "keys")
	// Output:
	// 2 keys
}

func ExampleNewFields() {
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	if err != nil {
		log.Fatal(err)
	}
	fields, err := seal.NewFields(seal.FieldsConfig{Keyring: ring, Pointers: []string{"/user/email", "/messages/*/content"}})
	if err != nil {
		log.Fatal(err)
	}
	where := seal.Context{Purpose: "chats", Tenant: "acme", Subject: "chat-7"}
	doc := []byte(`{"user": {"email": "alice@example.com"}, "model": "m", "messages": [{"role": "user", "content": "my \u2665"}]}`)

	sealed, err := fields.Seal(context.Background(), nil, doc, where)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Contains(string(sealed), "alice"), strings.Contains(string(sealed), `"model": "m", "messages": [{"role": "user"`))

	opened, err := fields.Open(context.Background(), nil, sealed, where)
	fmt.Printf("%s %v\n", opened, err)
	// Output:
	// false true
	// {"user": {"email": "alice@example.com"}, "model": "m", "messages": [{"role": "user", "content": "my \u2665"}]} <nil>
}

// The third step of replacing a key, for every document that is stored.
func ExampleFields_Reseal() {
	old, newer := seal.GenerateKey(), seal.GenerateKey()
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: old, State: seal.Primary}, {Key: newer}}})
	if err != nil {
		log.Fatal(err)
	}
	fields, err := seal.NewFields(seal.FieldsConfig{Keyring: ring, Pointers: []string{"/user/email"}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, where := context.Background(), seal.Context{Purpose: "chats", Tenant: "acme", Subject: "chat-7"}
	stored, err := fields.Seal(ctx, nil, []byte(`{"user": {"email": "alice@example.com"}}`), where)
	if err != nil {
		log.Fatal(err)
	}
	if err := ring.Promote(newer.ID()); err != nil {
		log.Fatal(err)
	}

	needs, err := fields.NeedsReseal(stored)
	fmt.Println("before:", needs, err)
	if needs {
		if stored, err = fields.Reseal(ctx, nil, stored, where); err != nil {
			log.Fatal(err)
		}
	}
	needs, err = fields.NeedsReseal(stored)
	fmt.Println("after:", needs, err)
	// Output:
	// before: true <nil>
	// after: false <nil>
}

// Downloads that browsers and players can resume and seek in: http.ServeContent answers ranges from the chunks they lie in.
func ExampleReaderAt_serveContent() {
	ring := seal.NewRing()
	where := seal.Context{Purpose: "uploads", Tenant: "acme", Subject: "film-7"}
	var file bytes.Buffer
	w, err := ring.NewWriter(&file, where)
	if err != nil {
		log.Fatal(err)
	}
	_, _ = io.WriteString(w, "0123456789")
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	stored := bytes.NewReader(file.Bytes()) // an *os.File, with the size of its Stat

	download := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		msg, err := ring.NewReaderAt(stored, stored.Size(), where)
		if err != nil {
			http.Error(w, "not available", http.StatusInternalServerError) // err is for the log
			return
		}
		w.Header().Set("Content-Type", "video/mp4")          // or ServeContent reads the beginning to guess it
		w.Header().Set("Cache-Control", "private, no-store") // what is sealed here should not lie open elsewhere
		// A time would let clients make sure that the rest is of the same file; an ETag does too.
		http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(msg, 0, msg.Size()))
	})

	r := httptest.NewRequest("GET", "/film-7", nil)
	r.Header.Set("Range", "bytes=3-6")
	rec := httptest.NewRecorder()
	download.ServeHTTP(rec, r)
	fmt.Println(rec.Code, rec.Header().Get("Content-Range"), rec.Body)
	// Output: 206 bytes 3-6/10 3456
}

func ExampleKeyring_Indexes() {
	old, newer := seal.GenerateKey(), seal.GenerateKey()
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: old, State: seal.Primary}, {Key: newer}}})
	if err != nil {
		log.Fatal(err)
	}
	column := seal.Context{Purpose: "users.email", Tenant: "acme"} // no Subject: who looks for a row does not know it

	// When a row is written, beside the sealed address.
	stored, err := ring.Index([]byte(strings.ToLower("Alice@example.com")), column)
	if err != nil {
		log.Fatal(err)
	}
	// The key was replaced since.
	if err := ring.Promote(newer.ID()); err != nil {
		log.Fatal(err)
	}
	// SELECT ... WHERE email_index IN (?, ?)
	wanted, err := ring.Indexes([]byte("alice@example.com"), column)
	fmt.Println(len(wanted), slices.Contains(wanted, stored), err)
	// Output:
	// 2 true <nil>
}

// One key, as a secret store puts it into a file.
func ExampleReadKeyFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "seal.key")
	if err := os.WriteFile(path, []byte(seal.GenerateKey().Reveal()+"\n"), 0o600); err != nil {
		log.Fatal(err)
	}

	key, err := seal.ReadKeyFile(path)
	if err != nil {
		log.Fatal(err)
	}
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: key, State: seal.Primary}}})
	fmt.Println(ring.Primary() == key.ID(), err)
	// Output: true <nil>
}

// The first ring of an application, and what is left of it after a restart.
func ExampleNewRing() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "seal.keys")

	if err := seal.CreateKeyringFile(path, seal.NewRing()); err != nil { // once
		log.Fatal(err)
	}
	ring, err := seal.ReadKeyringFile(path) // at every start
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(ring.Keys()), "key,", ring.Keys()[0].State)
	// Output: 1 key, primary
}
