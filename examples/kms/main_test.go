package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/seal/kektest"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/driver"
	"gocloud.dev/secrets/localsecrets"
)

const url = "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4="

func TestWhatWasSealedOpensInItsPlace(t *testing.T) {
	var box, back bytes.Buffer
	msg := strings.Repeat("hello ", 10_000)
	if err := run(t.Context(), url, "seal", "users/42", strings.NewReader(msg), &box); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), url, "open", "users/42", bytes.NewReader(box.Bytes()), &back); err != nil || back.String() != msg {
		t.Fatal(err)
	}
	if err := run(t.Context(), url, "open", "users/43", bytes.NewReader(box.Bytes()), &back); !errors.Is(err, seal.ErrInvalid) {
		t.Errorf("in another place: %v", err)
	}
	if err := run(t.Context(), "base64key://", "open", "users/42", bytes.NewReader(box.Bytes()), &back); !errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("under another key: %v", err) // localsecrets does not say why, so it could be an outage
	}
	for _, bad := range [][2]string{{"", "seal"}, {"none://", "seal"}, {url, "steal"}} {
		if err := run(t.Context(), bad[0], bad[1], "x", strings.NewReader(""), &back); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestAWrappedKeyIsBoundToItsAssociatedData(t *testing.T) {
	sk, err := localsecrets.NewRandomKey()
	if err != nil {
		t.Fatal(err)
	}
	k := Keeper{localsecrets.NewKeeper(sk)}
	blob, err := k.Wrap(t.Context(), bytes.Repeat([]byte{7}, 32), []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	if dek, err := k.Unwrap(t.Context(), blob, []byte("here")); err != nil || !bytes.Equal(dek, bytes.Repeat([]byte{7}, 32)) {
		t.Errorf("%x, %v", dek, err)
	}
	if dek, err := k.Unwrap(t.Context(), blob, []byte("there")); dek != nil || err != seal.ErrInvalid {
		t.Errorf("%x, %v", dek, err)
	}
	short, err := k.Keeper.Encrypt(t.Context(), []byte("short"))
	if err != nil {
		t.Fatal(err)
	}
	if dek, err := k.Unwrap(t.Context(), short, []byte("here")); dek != nil || err != seal.ErrInvalid {
		t.Errorf("%x, %v", dek, err)
	}
}

// says is a service that fails with a code.
type says struct {
	driver.Keeper
	code gcerrors.ErrorCode
}

var errSays = errors.New("as the service says")

func (s says) Decrypt(context.Context, []byte) ([]byte, error) { return nil, errSays }
func (s says) ErrorCode(error) gcerrors.ErrorCode              { return s.code }

func TestOnlyAServiceThatKnowsSaysThatABoxIsInvalid(t *testing.T) {
	for code, invalid := range map[gcerrors.ErrorCode]bool{
		gcerrors.InvalidArgument: true, gcerrors.Unknown: false, gcerrors.PermissionDenied: false, gcerrors.DeadlineExceeded: false,
		gcerrors.NotFound: false, gcerrors.ResourceExhausted: false, gcerrors.Internal: false, gcerrors.FailedPrecondition: false,
	} {
		_, err := Keeper{secrets.NewKeeper(says{code: code})}.Unwrap(t.Context(), nil, nil)
		if err == nil || errors.Is(err, seal.ErrInvalid) != invalid {
			t.Errorf("%v: %v", code, err)
		}
	}
}

func TestTheKEKOfAKeeper(t *testing.T) {
	kektest.Run(t, func(t *testing.T) seal.KEK {
		keeper, err := secrets.OpenKeeper(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		return Keeper{keeper}
	})
}
