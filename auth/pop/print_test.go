package pop_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth/pop"
)

// Whoever logs what he configured must not log the secret.
func TestNoVerbPrintsTheSecret(t *testing.T) {
	const secret = "KKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKK"
	c := newClient(t, "ES256")
	cfg := pop.Config{Tokens: tokens{"t": {JKT: c.thumbprint()}}, URLs: []string{origin}, RequireNonce: true, NonceKey: []byte(secret)}
	values := []any{cfg, &cfg, verifier(t, cfg)}

	var out strings.Builder
	for _, x := range values {
		if reflect.ValueOf(x).Kind() == reflect.Pointer {
			fmt.Fprintf(&out, "%v %+[1]v %#[1]v", struct{ hidden any }{x})
		}
		for _, x := range []any{x, struct{ Exported any }{x}, []any{x}, map[string]any{"k": x}} {
			for verb := byte('A'); verb <= 'z'; verb++ {
				if verb == 'p' || verb == 'w' {
					continue // a value under them is an error of vet, and fmt prints it without asking its methods
				}
				for _, flags := range []string{"%", "%+", "%#", "%-", "% ", "%0", "%.99", "%99"} {
					fmt.Fprintf(&out, flags+string(verb)+"\n", x)
				}
			}
			if b, err := json.Marshal(x); err == nil {
				out.Write(b)
			}
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", x)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", x)
		}
	}
	shapes := []string{secret[:8], hex.EncodeToString([]byte(secret))[:16], base64.StdEncoding.EncodeToString([]byte(secret))[:16]}
	for _, one := range []string{"75", "0x4b", "0x4B", "4b", "4B", "'K'", "U+004B", "113", "0o113", "1001011"} {
		shapes = append(shapes, strings.Repeat(one+" ", 4)+one, strings.Repeat(one+", ", 4)+one)
	}
	for _, s := range shapes {
		if i := strings.Index(out.String(), s); i >= 0 {
			t.Errorf("%.300q", out.String()[max(0, i-200):])
		}
	}
}
