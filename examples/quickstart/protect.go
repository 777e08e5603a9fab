package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet"
	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/crypto/fernet"
	"github.com/mantlet-go/mantlet/ratelimit"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// plans are what a key may use. The numbers are small so that the limits can be seen at work.
var plans = []ratelimit.Plan{
	{Name: "free", DefaultOutput: 128, Limits: []ratelimit.Limit{
		{Name: "requests", Max: 60, Burst: 10, Per: time.Minute},
		{Name: "tokens", Max: 3000, Burst: 1000, Per: time.Minute, Cost: ratelimit.Tokens},
		{Name: "running", Max: 4, Parallel: true},
	}},
	{Name: "pro", DefaultOutput: 256, Limits: []ratelimit.Limit{
		{Name: "requests", Max: 600_000, Per: time.Minute},
		{Name: "tokens", Max: 60_000_000, Per: time.Minute, Cost: ratelimit.Tokens},
		{Name: "running", Max: 64, Parallel: true},
	}},
}

// protected is a running pipeline with what must be closed and asked.
type protected struct {
	pipeline *mantlet.Pipeline
	plan     string
	keys     *apikey.Manager
	log      *audit.Log
	limits   *ratelimit.Limiter
}

// protect builds the pipeline of the command line.
func protect(o options) (*protected, error) {
	var p protected
	var err error
	p.plan = o.plan
	if !slices.ContainsFunc(plans, func(pl ratelimit.Plan) bool { return pl.Name == o.plan }) {
		return nil, fmt.Errorf("-plan %q is neither free nor pro", o.plan)
	}

	// Who is calling: API keys, in memory or in a file.
	var store apikey.Store = apikey.NewMemoryStore()
	if o.data != "" {
		if err := os.MkdirAll(o.data, 0o700); err != nil {
			return nil, err
		}
		if store, err = apikey.NewFileStore(apikey.FileConfig{Path: filepath.Join(o.data, "keys.json"), Create: true}); err != nil {
			return nil, err
		}
	}
	if p.keys, err = apikey.New(apikey.Config{Store: store, Prefix: "mantlet", Env: "demo"}); err != nil {
		return nil, err
	}
	gate, err := auth.New(auth.Config{Authenticator: p.keys})
	if err != nil {
		return nil, err
	}

	// What happened: a line per request on the terminal, and in a file that keeps prompts, encrypted.
	if p.log, err = openLog(o.data); err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))

	// How much: floods by address before anything else, then the key's plan, then the slots of the model server.
	flood, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{
		{Name: "flood", Max: 1000, Burst: 2000, Per: time.Second, By: ratelimit.ByAddress},
	}}}, OmitHeaders: true})
	if err != nil {
		return nil, err
	}
	if p.limits, err = ratelimit.New(ratelimit.Config{Plans: plans, DefaultPlan: "free"}); err != nil {
		return nil, err
	}
	bulkhead, err := ratelimit.NewBulkhead(ratelimit.BulkheadConfig{Slots: ratelimit.Slots{Max: 32, Queue: 128}})
	if err != nil {
		return nil, err
	}

	// What may enter and leave.
	filter, err := sanitize.New(sanitize.Config{})
	if err != nil {
		return nil, err
	}
	safeErrors, err := sanitize.NewErrors(sanitize.ErrorsConfig{Logger: logger})
	if err != nil {
		return nil, err
	}
	predict, err := validate.New(validate.Config{Schema: []byte(`{
		"type": "object", "additionalProperties": false, "required": ["text"],
		"properties": {"text": {"type": "string", "minLength": 1, "maxLength": 20000}}}`)})
	if err != nil {
		return nil, err
	}

	if p.pipeline, err = mantlet.New(mantlet.Config{
		Audit: p.log, Errors: safeErrors, Flood: flood, Auth: gate, Filter: filter, Limits: p.limits, Bulkhead: bulkhead,
	}); err != nil {
		return nil, err
	}

	model, err := modelServer(o.upstream)
	if err != nil {
		return nil, err
	}
	p.pipeline.Handle("POST /v1/chat/completions", mantlet.Route{Scopes: "chat:write", Body: preset.OpenAIChat()}, model)
	p.pipeline.Handle("POST /v1/messages", mantlet.Route{Scopes: "chat:write", Body: preset.AnthropicMessages()}, model)
	p.pipeline.Handle("POST /ai/predict", mantlet.Route{Scopes: "predict:write", Body: predict}, model)
	p.pipeline.Handle("GET /v1/models", mantlet.Route{Scopes: "models:read"}, model)
	p.pipeline.HandleFunc("GET /healthz", mantlet.Public(), func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "ok\n")
	})
	return &p, nil
}

// keep is how many keys of earlier runs stay valid.
const keep = 4

// freshKey makes the key of this run: a key is shown once, so a restart cannot show the old one again. Older ones stay valid, the
// oldest excepted. All belong to one client, whose limits do not grow with its keys.
func (p *protected) freshKey(ctx context.Context) (apikey.Secret, error) {
	old, err := p.keys.List(ctx) // oldest first
	if err != nil {
		return apikey.Secret{}, err
	}
	secret, _, err := p.keys.Create(ctx, apikey.Spec{
		ClientID: "quickstart", Plan: p.plan, Scopes: []string{"chat:write", "predict:write", "models:read"},
	})
	if err != nil {
		return apikey.Secret{}, err
	}
	for _, k := range old[:max(0, len(old)-keep)] {
		if k.RevokedAt.IsZero() {
			if err := p.keys.Revoke(ctx, k.ID); err != nil {
				return apikey.Secret{}, err
			}
		}
	}
	return secret, nil
}

// openLog opens the audit log. With a data directory, the file there also holds the prompts, encrypted under capture.key; who
// has that key reads them with package crypto/fernet.
func openLog(dir string) (*audit.Log, error) {
	cfg := audit.Config{
		Sinks:   []audit.Sink{audit.NewTerminalSink(audit.TerminalConfig{Color: isTerminal(os.Stderr)})},
		Capture: []audit.Rule{{Route: "GET /healthz", Level: audit.CaptureNone}},
	}
	if dir == "" {
		return audit.Open(cfg)
	}
	file, err := audit.NewFileSink(audit.FileConfig{Path: filepath.Join(dir, "audit.jsonl")})
	if err != nil {
		return nil, err
	}
	seal, err := loadSecret(filepath.Join(dir, "capture.key"), func() string { return fernet.GenerateKey().Reveal() })
	if err != nil {
		return nil, err
	}
	pseudonym, err := loadSecret(filepath.Join(dir, "pseudonym.key"), rand.Text)
	if err != nil {
		return nil, err
	}
	key, err := fernet.ParseKey(seal)
	if err != nil {
		return nil, err
	}
	ring, err := fernet.New(fernet.Config{Keys: []fernet.Key{key}, SkipExpiry: true})
	if err != nil {
		return nil, err
	}
	cfg.Sinks = append(cfg.Sinks, file)
	cfg.Identify.Key = []byte(pseudonym)
	cfg.Seal = func(prompt []byte) ([]byte, error) { return ring.Encrypt(prompt), nil }
	cfg.Capture = append(cfg.Capture, audit.Rule{Route: "POST *", Level: audit.CaptureEncrypted})
	return audit.Open(cfg)
}

// loadSecret reads the secret in path, or makes one that only this user can read.
func loadSecret(path string, generate func() string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return string(b), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	s := generate()
	return s, os.WriteFile(path, []byte(s), 0o600)
}

// modelServer is what stands behind the pipeline: the stand-in, or a reverse proxy.
func modelServer(upstream string) (http.Handler, error) {
	if upstream == "" {
		return newUpstream(150*time.Millisecond, time.Millisecond).handler(), nil
	}
	u, err := url.Parse(upstream)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("-upstream %q is not an http or https URL", upstream)
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v1") // clients are configured with it, but the routes bring it
	key := os.Getenv("UPSTREAM_API_KEY")
	return &httputil.ReverseProxy{
		FlushInterval: -1, // every event goes out as it comes
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			audit.Annotate(r.Context(), slog.String("upstream", err.Error())) // for the operator; the client gets the safe 502
			if res, ok := ratelimit.FromContext(r.Context()); ok && r.Context().Err() == nil {
				res.Cancel() // the server's fault, and nothing came; who hangs up himself pays
			}
			w.WriteHeader(http.StatusBadGateway)
		},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			auth.StripCredentials(r.Out.Header) // the caller's key is for this pipeline, not for the server behind it
			if key != "" {
				r.Out.Header.Set("Authorization", "Bearer "+key)
			}
		},
	}, nil
}

// isTerminal reports whether f shows to a person.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}

// close ends what runs beside the server, the audit log last.
func (p *protected) close(ctx context.Context) error {
	return errors.Join(p.keys.Close(ctx), p.log.Close(ctx))
}

// stats fills what the debug listener tells.
func (p *protected) stats(s *debugStats) {
	a := p.log.Stats()
	s.Audit.Recorded = int64(a.Events)
	for _, sink := range a.Sinks {
		if sink.Name == "file:audit.jsonl" {
			s.Audit.Written, s.Audit.Dropped = int64(sink.Written), int64(sink.Dropped)
		}
	}
	l := p.limits.Stats()
	s.RateLimit.Outstanding = l.Outstanding
	sum := func(u ratelimit.Usage) usageSum {
		return usageSum{Requests: u.Requests, Input: u.Input + u.CachedInput, Output: u.Output}
	}
	used := l.Used
	used.Requests -= l.Estimated.Requests
	used.Input -= l.Estimated.Input
	used.CachedInput -= l.Estimated.CachedInput
	used.Output -= l.Estimated.Output
	s.RateLimit.Settled, s.RateLimit.Reported = sum(used), sum(l.Reported)
}
