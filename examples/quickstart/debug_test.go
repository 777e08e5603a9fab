package main

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
)

func TestTheDebugListenerOpensOnLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"", ":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "localhost:0", "127.0.0.1"} {
		if l, err := listenDebug(addr); err == nil {
			l.Close()
			t.Errorf("it opened on %q", addr)
		}
	}
	l, err := listenDebug("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestTheDebugListenerTellsWhatItIsGiven(t *testing.T) {
	w := httptest.NewRecorder()
	debugHandler(func(s *debugStats) { s.RateLimit.Settled.Output = 7 }).ServeHTTP(w, httptest.NewRequest("GET", "/debug/stats", nil))
	var got debugStats
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Goroutines < 1 || got.RateLimit.Settled.Output != 7 {
		t.Errorf("%v %s", err, w.Body)
	}
}
