// Package authtest helps to test handlers, authenticators and gates: principals and requests that carry them, API keys of a
// manager in memory, signed tokens of every algorithm, a list of tokens that every verifier must refuse, and an issuer that
// publishes its keys, rotates them and fails in every way.
//
//	r := authtest.WithPrincipal(authtest.Request("POST", "/v1/chat/completions", body), authtest.Principal())
//
//	s := authtest.NewSigner(t, "ES256")
//	tokens, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer("https://issuer.example", "api")}})
//	token := s.Token(authtest.Claims("https://issuer.example", "api", time.Now()))
//	for _, a := range s.Attacks("https://issuer.example", "api", time.Now()) {
//		... a.Token must be refused; a.Why says what an acceptance would mean
//	}
//
//	a := authtest.NewAuthority(t, "https://issuer.example", s)
//	tokens, err = jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{a.Issuer("api", "ES256")}})
//	a.Answer(authtest.Hang()) // or Publish others, or count Fetches
//
// It is for tests only: its keys are made in the process and its helpers fail the test instead of returning errors.
package authtest
