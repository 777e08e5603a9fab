// Package bench measures Mantlet beside the libraries people use today, in one run on one machine: read the ratios, not the
// nanoseconds. It is a module of its own, so that none of the peers reaches a user's go.sum.
//
//	cd internal/bench && go test -run '^$' -bench 'Pipeline|Validate' -benchtime 1s -count 10 | tee new.txt
//	go run golang.org/x/perf/cmd/benchstat@latest new.txt
//
// Nothing here asserts a time; the tests in this module prove only that every competitor does the work it is timed for.
package bench
