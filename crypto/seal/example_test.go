package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

func Example() {
	key := seal.GenerateKey() // once; then keep key.Reveal() in your secret store and seal.ParseKey it
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: key, State: seal.Primary}}})
	if err != nil {
		log.Fatal(err)
	}
	where := seal.Context{Purpose: "users.email", Tenant: "acme", Subject: "user-42"}
	box, err := ring.Seal(nil, []byte("alice@example.com"), where)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := ring.Open(nil, box, where)
	fmt.Printf("%s %v\n", msg, err)

	where.Subject = "user-43" // somebody copied the box to another row
	_, err = ring.Open(nil, box, where)
	fmt.Println(err)
	// Output:
	// alice@example.com <nil>
	// seal: invalid box
}

// The four steps of replacing a key. In a program that runs more than once, each step is made everywhere before the next.
func ExampleKeyring_Promote() {
	old, newer := seal.GenerateKey(), seal.GenerateKey()
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: old, State: seal.Primary}}})
	if err != nil {
		log.Fatal(err)
	}
	where := seal.Context{Purpose: "users.email", Subject: "user-42"}
	stored, _ := ring.Seal(nil, []byte("alice@example.com"), where)

	// 1. Every process can open what the new key seals.
	if err := ring.Add(newer, time.Now()); err != nil {
		log.Fatal(err)
	}
	// 2. New boxes are under the new key.
	if err := ring.Promote(newer.ID()); err != nil {
		log.Fatal(err)
	}
	// 3. So are the old ones.
	if ring.NeedsReseal(stored) {
		if stored, err = ring.Reseal(nil, stored, where); err != nil {
			log.Fatal(err)
		}
	}
	// 4. Nothing is left under the old key, also in no backup.
	if err := ring.Retire(old.ID()); err != nil {
		log.Fatal(err)
	}
	msg, err := ring.Open(nil, stored, where)
	fmt.Printf("%s %v %v\n", msg, err, ring.Primary() == newer.ID())
	// Output: alice@example.com <nil> true
}

func ExampleKeyError() {
	lost, key := seal.GenerateKey(), seal.GenerateKey()
	before, _ := seal.New(seal.Config{Keys: []seal.RingKey{{Key: lost, State: seal.Primary}}})
	ring, _ := seal.New(seal.Config{Keys: []seal.RingKey{{Key: key, State: seal.Primary}}})
	box, _ := before.Seal(nil, []byte("hello"), seal.Context{Purpose: "greeting"})

	_, err := ring.Open(nil, box, seal.Context{Purpose: "greeting"})
	var which *seal.KeyError
	if errors.As(err, &which) && which.Err == seal.ErrUnknownKey {
		fmt.Println(which.ID == lost.ID())
	}
	// Output: true
}

func ExampleKeyring_Seal_inPlace() {
	ring, _ := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	where := seal.Context{Purpose: "greeting"}

	buf := make([]byte, 0, 1024)
	buf = append(buf, "hello"...)
	buf, _ = ring.Seal(buf[:0], buf, where) // the message is where its box is now
	buf, err := ring.Open(buf[:0], buf, where)
	fmt.Printf("%s %v\n", buf, err)
	// Output: hello <nil>
}

// A file of any size, in 64 KiB of memory.
func ExampleKeyring_NewWriter() {
	ring, _ := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	where := seal.Context{Purpose: "model checkpoint", Subject: "llama-ft-7", Path: "step 1200"}

	var file bytes.Buffer // os.Create
	w, err := ring.NewWriter(&file, where)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(w, strings.NewReader("many gigabytes")); err != nil {
		log.Fatal(err) // without Close: what is in the file is no stream
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	r, err := ring.NewReader(&file, where)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(os.Stdout, r); err != nil {
		log.Fatal(err) // what came before is authentic, but not all
	}
	// Output: many gigabytes
}

// Reading a part of a large stream costs no more than the chunks it lies in.
func ExampleKeyring_NewReaderAt() {
	ring, _ := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	where := seal.Context{Purpose: "model checkpoint", Subject: "llama-ft-7"}
	var file bytes.Buffer
	w, _ := ring.NewWriter(&file, where)
	_, _ = io.WriteString(w, "0123456789")
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	r, err := ring.NewReaderAt(bytes.NewReader(file.Bytes()), int64(file.Len()), where)
	if err != nil {
		log.Fatal(err)
	}
	part := make([]byte, 4)
	_, err = r.ReadAt(part, 3)
	fmt.Printf("%s of %d bytes, %v\n", part, r.Size(), err)
	// Output: 3456 of 10 bytes, <nil>
}

func ExampleKey() {
	key := seal.GenerateKey()
	fmt.Println(key)
	fmt.Printf("%+v %#v %x\n", key, key, key)
	same, err := seal.ParseKey(key.Reveal())
	fmt.Println(same.Equal(key), err)
	// Output:
	// [redacted seal key]
	// [redacted seal key] [redacted seal key] [redacted seal key]
	// true <nil>
}
