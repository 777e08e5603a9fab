package introspect_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/introspect"
)

func Example() {
	// The authorization server. A real one is at an https address.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.FormValue("token") != "opaque-1" {
			fmt.Fprint(w, `{"active":false}`)
			return
		}
		fmt.Fprint(w, `{"active":true,"sub":"alice","client_id":"app","aud":"inference","scope":"chat:write"}`)
	}))
	defer server.Close()

	tokens, err := introspect.New(introspect.Config{
		Endpoint: server.URL, InsecureHTTP: true, // a loopback address
		ClientID: "inference-api", ClientSecret: "from the environment",
		Issuer: "https://login.example.com", Audiences: []string{"inference"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer tokens.Close(context.Background())
	gate, err := auth.New(auth.Config{Authenticator: tokens, Scopes: []string{"chat:write"}})
	if err != nil {
		log.Fatal(err)
	}
	for _, token := range []string{"opaque-1", "opaque-2"} {
		r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		p, err := gate.Authenticate(r)
		if err != nil {
			fmt.Println(auth.CodeOf(err))
			continue
		}
		fmt.Println(p.Subject, p.ClientID, p.Scopes)
	}
	// Output:
	// alice app [chat:write]
	// invalid_token
}

// The server says that a token was revoked: it is asked anew, although the old answer is still fresh.
func ExampleVerifier_Forget() {
	active := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"active":%v,"sub":"alice"}`, active)
	}))
	defer server.Close()
	tokens, err := introspect.New(introspect.Config{
		Endpoint: server.URL, InsecureHTTP: true, ClientID: "api", ClientSecret: "from the environment", Issuer: "https://login.example.com", SkipAudience: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer tokens.Close(context.Background())
	for _, step := range []func(){func() {}, func() { active = false }, func() { tokens.Forget("opaque-1") }} {
		step()
		_, err := tokens.VerifyToken(context.Background(), "opaque-1")
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// introspect: token is not active any more: auth: credential was revoked
}
