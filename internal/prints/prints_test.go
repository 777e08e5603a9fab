package prints

import "testing"

type shy struct{ hidden string }

func (shy) String() string { return "shy" }

func TestASecretIsFoundWhereverItShows(t *testing.T) {
	for _, x := range []any{
		Secret, []byte(Secret), &struct{ Key []byte }{[]byte(Secret)},
		shy{Secret}, // %#v and %d do not ask String
	} {
		if _, found := find([]any{x}); !found {
			t.Errorf("%T: not found", x)
		}
	}
	if s, found := find([]any{"K", struct{ Key []byte }{[]byte("KKK")}, 75}); found {
		t.Errorf("found where it is not: %q", s)
	}
}
