package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
	js5 "github.com/santhosh-tekuri/jsonschema/v5"
	js6 "github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/time/rate"
)

// The pipelines of this file are what a Go developer assembles today from well-known parts. They do less than ours: no
// duplicate keys, no token budget, no detectors, no accounting of the reply.

// handmade is chi RequestID and Recoverer, a map of SHA-256 key hashes, httprate, jsonschema v5 and a slog access log.
func handmade(key string, next http.Handler) http.Handler {
	keys := map[[32]byte]string{sha256.Sum256([]byte(key)): "client-1"}
	schema := js5.MustCompileString("chat.json", string(chatSchema))
	logger := slog.New(slog.NewJSONHandler(io.Discard, nil))

	validate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
			if err != nil {
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
				return
			}
			var v any
			d := json.NewDecoder(bytes.NewReader(body))
			d.UseNumber()
			if d.Decode(&v) != nil || schema.Validate(v) != nil {
				http.Error(w, "bad request", http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
		})
	}
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if _, known := keys[sha256.Sum256([]byte(token))]; !ok || !known {
				http.Error(w, "unauthorized", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	access := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			start := time.Now()
			defer func() {
				logger.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("id", middleware.GetReqID(r.Context())),
					slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", ww.Status()),
					slog.Int("bytes", ww.BytesWritten()), slog.Duration("took", time.Since(start)), slog.String("remote", r.RemoteAddr))
			}()
			next.ServeHTTP(ww, r)
		})
	}
	byKey := func(per time.Duration) func(http.Handler) http.Handler {
		return httprate.Limit(1<<30, per, httprate.WithKeyFuncs(func(r *http.Request) (string, error) {
			return r.Header.Get("Authorization"), nil
		}))
	}
	return middleware.RequestID(access(middleware.Recoverer(authenticate(byKey(time.Minute)(byKey(24 * time.Hour)(validate(next)))))))
}

// expert is the fastest peer of each group: golang-jwt with HS256, x/time/rate in a map, jsonschema v6 and zerolog.
func expert(secret []byte, next http.Handler) http.Handler {
	c := js6.NewCompiler()
	doc, err := js6.UnmarshalJSON(bytes.NewReader(chatSchema))
	if err != nil {
		panic(err)
	}
	if err := c.AddResource("chat.json", doc); err != nil {
		panic(err)
	}
	schema := c.MustCompile("chat.json")
	logger := zerolog.New(io.Discard)
	var limiters sync.Map
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	keyFunc := func(*jwt.Token) (any, error) { return secret, nil }

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		status := http.StatusOK
		defer func() {
			if p := recover(); p != nil {
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
			logger.Info().Str("method", r.Method).Str("path", r.URL.Path).Int("status", status).Dur("took", time.Since(start)).
				Str("remote", r.RemoteAddr).Msg("request")
		}()
		refuse := func(s int) { status = s; http.Error(w, http.StatusText(s), s) }
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		var claims jwt.RegisteredClaims
		if _, err := parser.ParseWithClaims(token, &claims, keyFunc); !ok || err != nil {
			refuse(http.StatusUnauthorized)
			return
		}
		l, ok := limiters.Load(claims.Subject)
		if !ok {
			l, _ = limiters.LoadOrStore(claims.Subject, rate.NewLimiter(1<<30, 1<<30))
		}
		if !l.(*rate.Limiter).Allow() {
			refuse(http.StatusTooManyRequests)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			refuse(http.StatusRequestEntityTooLarge)
			return
		}
		v, err := js6.UnmarshalJSON(bytes.NewReader(body))
		if err != nil || schema.Validate(v) != nil {
			refuse(http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}
