package fernet_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/mantlet-go/mantlet/crypto/fernet"
)

func Example() {
	key, err := fernet.ParseKey("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=") // from your secret store; this one is public
	if err != nil {
		log.Fatal(err)
	}
	ring, err := fernet.New(fernet.Config{Keys: []fernet.Key{key}, TTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	token := ring.Encrypt([]byte("hello"))
	msg, err := ring.Decrypt(token)
	fmt.Printf("%s %v\n", msg, err)

	token[20] ^= 1
	_, err = ring.Decrypt(token)
	fmt.Println(err)
	// Output:
	// hello <nil>
	// fernet: invalid token
}

func ExampleKeyring_Rotate() {
	old, newest := fernet.GenerateKey(), fernet.GenerateKey()
	before, _ := fernet.New(fernet.Config{Keys: []fernet.Key{old}, SkipExpiry: true})
	both, _ := fernet.New(fernet.Config{Keys: []fernet.Key{newest, old}, SkipExpiry: true})
	after, _ := fernet.New(fernet.Config{Keys: []fernet.Key{newest}, SkipExpiry: true})

	stored := before.Encrypt([]byte("hello"))
	moved, err := both.Rotate(stored)
	if err != nil {
		log.Fatal(err)
	}
	_, err = after.Decrypt(stored)
	fmt.Println(err)
	msg, err := after.Decrypt(moved)
	fmt.Printf("%s %v\n", msg, err)
	// Output:
	// fernet: invalid token
	// hello <nil>
}

func ExampleKeyring_AppendDecrypt() {
	ring, _ := fernet.New(fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}, TTL: time.Minute})
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	token := ring.AppendEncrypt(nil, []byte("hello"), now)
	_, err := ring.AppendDecrypt(nil, token, now.Add(time.Minute))
	fmt.Println(err)
	_, err = ring.AppendDecrypt(nil, token, now.Add(61*time.Second))
	fmt.Println(errors.Is(err, fernet.ErrExpired))
	// Output:
	// <nil>
	// true
}

func ExampleKey() {
	key := fernet.GenerateKey()
	fmt.Println(key)
	fmt.Printf("%+v %#v %x\n", key, key, key)
	fmt.Println(len(key.Reveal()))
	// Output:
	// [redacted fernet key]
	// [redacted fernet key] [redacted fernet key] [redacted fernet key]
	// 44
}

// The list that Airflow reads: two keys while one replaces the other, the newer one first.
func ExampleKeysFromEnv() {
	newest, older := fernet.GenerateKey(), fernet.GenerateKey()
	os.Setenv("AIRFLOW__CORE__FERNET_KEY", newest.Reveal()+","+older.Reveal()) // set by whoever starts the process
	defer os.Unsetenv("AIRFLOW__CORE__FERNET_KEY")

	keys, err := fernet.KeysFromEnv("AIRFLOW__CORE__FERNET_KEY")
	if err != nil {
		log.Fatal(err)
	}
	ring, err := fernet.New(fernet.Config{Keys: keys, SkipExpiry: true})
	if err != nil {
		log.Fatal(err)
	}
	moved, err := ring.Rotate(ring.Encrypt([]byte("a connection's password")))
	fmt.Println(len(keys), keys[0].Equal(newest), len(moved) > 0, err)
	// Output: 2 true true <nil>
}

func ExampleCreateKeyFile() {
	dir, err := os.MkdirTemp("", "fernet")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "fernet.keys")

	if _, err := fernet.CreateKeyFile(path); err != nil { // once
		log.Fatal(err)
	}
	keys, err := fernet.ReadKeyFile(path) // at every start
	fmt.Println(len(keys), err)

	// The first step of a rotation: the new key behind the old one, for every process to know it before one uses it.
	keys = append(keys, fernet.GenerateKey())
	fmt.Println(fernet.ReplaceKeyFile(path, keys))
	_, err = fernet.CreateKeyFile(path)
	fmt.Println(errors.Is(err, fs.ErrExist))
	// Output:
	// 1 <nil>
	// <nil>
	// true
}
