// Command kms encrypts and decrypts its input with data keys under a key in a cloud key service, or under a local one for a try:
//
//	export KEK=base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=
//	echo hello | go run . seal users/42 > box
//	go run . open users/42 < box
//
// With -tags clouds the key may be in a service: awskms:///arn:aws:kms:us-east-1:111122223333:key/...?region=us-east-1,
// gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k, azurekeyvault://vault.vault.azure.net/keys/k.
// See https://gocloud.dev/howto/secrets/ for their credentials.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/localsecrets"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: kms seal|open subject")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Getenv("KEK"), os.Args[1], os.Args[2], os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, verb, subject string, in io.Reader, out io.Writer) error {
	keeper, err := secrets.OpenKeeper(ctx, url)
	if err != nil {
		return fmt.Errorf("environment variable KEK: %w", err)
	}
	defer keeper.Close()
	// The name is in every box, hashed. It says which key it is, not how to get there, which may change.
	vault, err := seal.NewEnvelope(seal.EnvelopeConfig{KEKs: []seal.NamedKEK{{Name: "examples/kms", KEK: Keeper{keeper}}}})
	if err != nil {
		return err
	}
	defer vault.Close(ctx)
	where := seal.Context{Purpose: "examples/kms", Subject: subject}
	switch verb {
	case "seal":
		w, err := vault.NewWriter(ctx, out, where)
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, in); err != nil {
			return err // without Close, so that nobody takes what was written for the whole
		}
		return w.Close()
	case "open":
		r, err := vault.NewReader(ctx, in, where)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, r)
		return err
	}
	return fmt.Errorf("%q is neither seal nor open", verb)
}
