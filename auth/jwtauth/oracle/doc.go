// Package oracle compares auth/jwtauth with go-jose and jwx: a token that jwtauth accepts must be one that both accept, and that both
// read as it does. It is a module of its own, so that neither library reaches a user's go.sum.
//
//	cd auth/jwtauth/oracle && go test ./...
//	go test -run '^$' -fuzz '^FuzzNeverMorePermissive$' -fuzztime 60s
package oracle
