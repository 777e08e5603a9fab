package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheTypeIsTheContractAndTheGuardStandsInFront(t *testing.T) {
	h := handler()
	for _, c := range []struct {
		host, path, body string
		status           int
		want             string
	}{
		{"localhost:8080", "/ask", `{"prompt":"why?","tone":"brief"}`, 200, `"why?" is what you ask`},
		{"localhost:8080", "/ask", `{"prompt":""}`, 422, `"param":"/prompt"`},
		{"localhost:8080", "/ask", `{"prompt":"x","tone":"rude"}`, 422, `"param":"/tone"`},
		{"localhost:8080", "/ask", `{"prompt":"x","Tone":"brief"}`, 422, "differs"},
		{"localhost:8080", "/ask", `{"prompt":"x","n":1}`, 422, "not allowed"},
		{"rebound.example", "/ask", `{"prompt":"x"}`, 421, "host"},
		{"localhost:8080", "/.env", `{}`, 404, "nothing at this path"},
	} {
		r := httptest.NewRequest("POST", c.path, strings.NewReader(c.body))
		r.Host = c.host
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s %s: %d %s", c.host, c.path, c.body, w.Code, w.Body)
		}
	}
}
