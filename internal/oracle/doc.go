// Package oracle holds Mantlet's own readers against other people's: internal/jsonscan against encoding/json and
// go-json-experiment/json, and the program that judges schemas inside the scan against jsonschema v6 and google/jsonschema-go.
// It is a module of its own, so that none of them reaches a user's go.sum, and it has tests only.
//
//	cd internal/oracle && go test ./...
//	go test -run '^$' -fuzz '^FuzzReaders$' -fuzztime 60s .
//
// A reader that is written by one's own hand is right in the eyes of its own tests. These tests have no opinion: whatever
// bytes come, the scanner accepts exactly what a strict peer accepts, less what a rule of ours forbids, and the test computes
// each of those rules a second time, from the peer's tokens.
package oracle
