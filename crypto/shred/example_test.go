package shred_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
)

func Example() {
	ctx := context.Background()
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	if err != nil {
		log.Fatal(err)
	}
	subjects, err := shred.New(shred.Config{
		Store:    shred.NewMemoryStore(), // NewFileStore, or your database
		Ring:     ring,
		AliasKey: seal.GenerateKey(), // once; then keep it in your secret store
	})
	if err != nil {
		log.Fatal(err)
	}
	where := seal.Context{Purpose: "chat.message", Tenant: "acme", Subject: "user-42", Path: "message 7"}
	box, err := subjects.Seal(ctx, nil, []byte("my name is Alice"), where)
	if err != nil {
		log.Fatal(err)
	}
	msg, err := subjects.Open(ctx, nil, box, where)
	fmt.Printf("%s %v\n", msg, err)

	// Alice asks to be forgotten. The proof goes to the audit log; the box may stay where it is, in every backup.
	proof, err := subjects.Shred(ctx, shred.SubjectOf(where))
	fmt.Println(proof.Counter, proof.HadKey(), err) // false: is it spelled right?
	_, err = subjects.Open(ctx, nil, box, where)
	fmt.Println(errors.Is(err, shred.ErrShredded))
	// Output:
	// my name is Alice <nil>
	// 1 true <nil>
	// true
}

// After a restore from a backup, and before anybody uses it.
func ExampleSubjects_Apply() {
	ctx := context.Background()
	ring, _ := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}})
	cfg := shred.Config{Store: shred.NewMemoryStore(), Ring: ring, AliasKey: seal.GenerateKey()}
	live, _ := shred.New(cfg)
	cfg.Store = shred.NewMemoryStore() // from before
	restored, _ := shred.New(cfg)
	where := seal.Context{Purpose: "chat.message", Subject: "user-42"}
	box, _ := restored.Seal(ctx, nil, []byte("my name is Alice"), where)

	proof, err := live.Shred(ctx, shred.Subject{ID: "user-42"})
	if err != nil {
		log.Fatal(err)
	}
	n, err := restored.Apply(ctx, []shred.Tombstone{proof})
	fmt.Println(n, err)
	_, err = restored.Open(ctx, nil, box, where)
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// shred: the subject was shredded
}

func ExampleParseTombstone() {
	line := `{"subject":"00000000000000000000000000000000000000000000000000000000000000aa","key":"000000000000000000000000000000bb",` +
		`"time":"2026-11-25T10:00:00Z","counter":17,"mac":"00000000000000000000000000000000000000000000000000000000000000cc"}`
	t, err := shred.ParseTombstone([]byte(line))
	fmt.Println(t.Counter, t.Time, err) // that it is genuine is for Subjects.Check to say
	// Output: 17 2026-11-25 10:00:00 +0000 UTC <nil>
}
