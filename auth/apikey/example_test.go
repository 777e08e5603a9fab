package apikey_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
)

func Example() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	store, err := apikey.NewFileStore(apikey.FileConfig{Path: filepath.Join(dir, "keys.json"), Create: true})
	if err != nil {
		log.Fatal(err)
	}
	keys, err := apikey.New(apikey.Config{Store: store, Prefix: "acme", Env: "live"})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(ctx)

	// An operator makes a key. The secret is shown here and never again.
	secret, record, err := keys.Create(ctx, apikey.Spec{ClientID: "search-team", Scopes: []string{"chat:write"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("made", secret, "of", len(secret.Reveal()), "characters")

	gate, err := auth.New(auth.Config{Authenticator: keys, Scopes: []string{"chat:write"}})
	if err != nil {
		log.Fatal(err)
	}
	chat := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := auth.FromContext(r.Context())
		fmt.Println("hello", p.ClientID)
	}))
	call := func() {
		r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
		r.Header.Set("X-API-Key", secret.Reveal())
		w := httptest.NewRecorder()
		chat.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	call()
	if err := keys.Revoke(ctx, record.ID); err != nil {
		log.Fatal(err)
	}
	call()
	// Output:
	// made [apikey.Secret] of 59 characters
	// hello search-team
	// 200
	// 401
}

func ExampleManager_Rotate() {
	ctx := context.Background()
	keys, err := apikey.New(apikey.Config{
		Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "live",
		Policy: apikey.Policy{MaxLifetime: 90 * 24 * time.Hour, MaxOverlap: 7 * 24 * time.Hour},
		OnEvent: func(_ context.Context, e apikey.Event) {
			fmt.Println("event:", e.Kind, "of", e.ClientID)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(ctx)
	_, old, err := keys.Create(ctx, apikey.Spec{ClientID: "search-team", ExpiresAt: time.Now().Add(30 * 24 * time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	// Both keys work for a day. Rotation{} instead would revoke the old one now.
	secret, next, err := keys.Rotate(ctx, old.ID, apikey.Rotation{Overlap: 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(secret, next.ClientID, next.Predecessor == old.ID)
	// Output:
	// event: created of search-team
	// event: created of search-team
	// event: rotated of search-team
	// [apikey.Secret] search-team true
}

func ExampleManager_Import() {
	ctx := context.Background()
	keys, err := apikey.New(apikey.Config{
		Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "live",
		Foreign: []apikey.Foreign{{Name: "portal", Prefix: "pk_", MinLen: 30, MaxLen: 64}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(ctx)
	_, err = keys.Import(ctx, apikey.Spec{ClientID: "partner"}, "portal", "pk_changemechangemechangemechangeme")
	fmt.Println(err)
	// Output: apikey: the key is too easy to guess
}

func ExampleInspect() {
	_, err := apikey.Inspect("acme_live_0123456789ab_not-a-key")
	fmt.Println(err)
	// Output: apikey: not a key
}
