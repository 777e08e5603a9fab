package seal_test

import (
	"crypto/fips140"
	"flag"
	"os"
	"testing"
)

// An example has no Skip. Those that make streams cannot run under GODEBUG=fips140=only, which refuses that (ErrFIPS).
func TestMain(m *testing.M) {
	flag.Parse()
	if fips140.Enforced() {
		if err := flag.Set("test.skip", "^Example(Keyring_New(Writer|ReaderAt)|ReaderAt_serveContent)$"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
