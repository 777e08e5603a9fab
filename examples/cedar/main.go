// Command cedar puts a policy engine behind the gate: the routes of a small API, API keys that say who calls, and Cedar policies
// (policies.cedar) that say what the caller may do.
//
//	go run . &
//	curl -H "Authorization: Bearer <the key it prints>" localhost:8080/tenants/acme/usage
package main

import (
	"context"
	_ "embed"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
)

//go:embed policies.cedar
var policies []byte

// newServer returns the API. Every route goes through the gate, and the gate asks the policies.
func newServer(who auth.Authenticator, policies []byte) (http.Handler, error) {
	engine, err := NewCedar("policies.cedar", policies)
	if err != nil {
		return nil, err
	}
	gate, err := auth.New(auth.Config{Authenticator: who})
	if err != nil {
		return nil, err
	}
	gate = gate.RequireAuthorizer(engine)
	mux := http.NewServeMux()
	mux.Handle("GET /tenants/{tenant}/usage", gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"tokens":1024}`)
	})))
	mux.Handle("DELETE /tenants/{tenant}", gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})))
	return mux, nil
}

func main() {
	keys, err := apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "test"})
	if err != nil {
		log.Fatal(err)
	}
	secret, _, err := keys.Create(context.Background(), apikey.Spec{ClientID: "demo", Tenant: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	server, err := newServer(keys, policies)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("key:", secret.Reveal())
	log.Fatal((&http.Server{Addr: "localhost:8080", Handler: server, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe())
}
