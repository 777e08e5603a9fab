// Package prints looks for a secret in whatever fmt, encoding/json and log/slog make of the values that hold it. For tests.
package prints

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

// Secret is what the values under test must hold: 32 equal bytes, so that a slice of them is found in every base.
const Secret = "KKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKK"

// None fails t if a verb of fmt with any flag, JSON or a handler of slog shows Secret, or the bytes of it, in one of the
// values, alone or inside a struct, a slice or a map.
func None(t testing.TB, values ...any) {
	t.Helper()
	if s, found := find(values); found {
		t.Errorf("%.300q", s)
	}
}

func find(values []any) (where string, found bool) {
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
	shapes := []string{Secret[:8], hex.EncodeToString([]byte(Secret))[:16], base64.StdEncoding.EncodeToString([]byte(Secret))[:16]}
	for _, one := range []string{"75", "0x4b", "0x4B", "4b", "4B", "'K'", "U+004B", "113", "0o113", "1001011"} {
		shapes = append(shapes, strings.Repeat(one+" ", 4)+one, strings.Repeat(one+", ", 4)+one)
	}
	for _, s := range shapes {
		if i := strings.Index(out.String(), s); i >= 0 {
			return out.String()[max(0, i-200):], true
		}
	}
	return "", false
}
