package auth_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

func TestTheRecordOfARefusalSaysWhoWantedWhatAndWhyNot(t *testing.T) {
	p := authtest.Principal(authtest.Scopes("chat"), func(p *auth.Principal) {
		p.Issuer, p.Subject, p.ClientID, p.KeyID = "https://login.example", "alice", "app", "k1"
	})
	var out bytes.Buffer
	record := func(a auth.Authenticator, level slog.Leveler, at slog.Level) string {
		out.Reset()
		g, err := auth.New(auth.Config{Authenticator: a, Scopes: []string{"admin"}, RefusalLevel: level, Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: at}))})
		if err != nil {
			t.Fatal(err)
		}
		serve(g.Handler, authtest.Request("POST", "/v1/chat?secret=x", "", authtest.Bearer("good"), header("X-Request-Id", "r1"), authtest.From("203.0.113.9:1")))
		return out.String()
	}
	got := record(authtest.Accept(p), nil, slog.LevelDebug)
	for _, want := range []string{
		"level=DEBUG", "request_id=r1", "code=insufficient_scope", `reason="auth: scope is missing"`, "method=POST", "path=/v1/chat ", "address=203.0.113.9",
		"issuer=https://login.example", "subject=alice", "client_id=app", "key_id=k1", "scopes_needed=admin",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "good") || strings.Contains(got, "secret") {
		t.Errorf("a credential or the query in the log: %s", got)
	}
	if got = record(authtest.Accept(p), nil, slog.LevelInfo); got != "" {
		t.Errorf("a stranger can fill the log by default: %s", got)
	}
	if got = record(authtest.Accept(p), slog.LevelWarn, slog.LevelInfo); !strings.Contains(got, "level=WARN") {
		t.Errorf("RefusalLevel: %s", got)
	}
	if got = record(authtest.Refuse(auth.ErrUnavailable), nil, slog.LevelInfo); !strings.Contains(got, "level=ERROR") {
		t.Errorf("an outage: %s", got)
	}
	long := authtest.Request("GET", "/"+strings.Repeat("a", 1<<16), "")
	g, err := auth.New(auth.Config{Authenticator: authtest.Accept(p), Scopes: []string{"admin"}, RefusalLevel: slog.LevelInfo, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	serve(g.Handler, long)
	if out.Len() > 1000 {
		t.Errorf("a record of %d bytes", out.Len())
	}
}

// The record of the whole request, which another room keeps, names who was refused.
func TestWhoLacksAScopeIsKnownToTheRoomsOutside(t *testing.T) {
	g := gate(t, authtest.Accept(authtest.Principal(func(p *auth.Principal) { p.Subject = "alice" })), "admin")
	var caller *exchange.Caller
	w, ran := serve(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := exchange.Enter(w, r)
			defer x.Leave()
			g.Handler(h).ServeHTTP(w, r)
			caller, _ = x.Caller()
		})
	}, authtest.Request("GET", "/", ""))
	if ran || w.Code != 403 || caller == nil || caller.Subject != "alice" {
		t.Errorf("%v, %d, %+v", ran, w.Code, caller)
	}
}
