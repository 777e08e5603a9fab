package storetest_test

import (
	"path/filepath"
	"testing"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/apikey/storetest"
)

func TestTheMemoryStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (a, b apikey.Store) {
		s := apikey.NewMemoryStore()
		return s, s
	})
}

func TestTheFileStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (a, b apikey.Store) {
		path := filepath.Join(t.TempDir(), "keys.json")
		open := func() apikey.Store {
			s, err := apikey.NewFileStore(apikey.FileConfig{Path: path, Create: true})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		return open(), open()
	})
}

// plain is a store without uses; the harness says so and goes on.
type plain struct{ apikey.Store }

func TestAStoreWithoutUsesIsOne(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (a, b apikey.Store) {
		s := plain{apikey.NewMemoryStore()}
		return s, s
	})
}
