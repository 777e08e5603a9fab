package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"runtime"
)

// usageSum adds up what the limiter counted, in whole pieces.
type usageSum struct {
	Requests int64 `json:"requests"`
	Input    int64 `json:"input"`
	Output   int64 `json:"output"`
}

// debugStats is what the debug listener tells. The end-to-end test compares it with what its clients saw.
type debugStats struct {
	Goroutines int `json:"goroutines"`
	Audit      struct {
		Recorded int64 `json:"recorded"`
		Written  int64 `json:"written"`
		Dropped  int64 `json:"dropped"`
	} `json:"audit"`
	RateLimit struct {
		// Outstanding counts reservations that are not settled yet.
		Outstanding int64 `json:"outstanding"`
		// Settled is the sum charged for requests whose reply told its usage, Reported the sum of what those replies told.
		Settled  usageSum `json:"settled"`
		Reported usageSum `json:"reported"`
	} `json:"ratelimit"`
}

// listenDebug opens the debug listener. It tells counters to anybody who can connect, so only a loopback address will do.
func listenDebug(addr string) (net.Listener, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().Unmap().IsLoopback() {
		return nil, errors.New("the debug address must be a loopback address and a port, such as 127.0.0.1:8081")
	}
	return net.Listen("tcp", addr)
}

// debugHandler serves GET /debug/stats with what fill adds to the number of goroutines.
func debugHandler(fill func(*debugStats)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/stats", func(w http.ResponseWriter, _ *http.Request) {
		var s debugStats
		s.Goroutines = runtime.NumGoroutine()
		fill(&s)
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(&s)
	})
	return mux
}
