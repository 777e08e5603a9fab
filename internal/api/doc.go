// Package api holds the test that compares the exported symbols of the module's public packages with testdata/api.txt, one sorted
// line a symbol, as the Go project does in its api folder. It has no code of its own.
//
// A change of that file is a decision, and is seen as such in review: a line that goes away or changes breaks somebody's build.
// After a wanted change, rewrite it with
//
//	go test ./internal/api -update
//
// Public is what a user can import: every package of the root module that is neither main, nor under internal, nor under
// examples. Nested modules have an interface of their own. Methods and fields that a type gets by embedding count as its own.
package api
