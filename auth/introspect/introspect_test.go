package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/introspect"
	"github.com/mantlet-go/mantlet/internal/memhttp"
)

const issuer = "https://login.example.com"

// server is an authorization server without a network: the transport of the verifier calls it.
type server struct {
	asked  atomic.Int64
	handle func(w http.ResponseWriter, r *http.Request)
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked.Add(1)
	w := httptest.NewRecorder()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		s.handle(w, r)
	}()
	select {
	case p := <-done:
		if err, ok := p.(error); ok {
			return nil, err
		}
		if p != nil {
			panic(p)
		}
		return w.Result(), nil
	case <-r.Context().Done():
		<-done
		return nil, context.Cause(r.Context())
	}
}

// answers returns a server that answers every token with this JSON.
func answers(body string) *server {
	return &server{handle: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		io.WriteString(w, body)
	}}
}

func config(t http.RoundTripper) introspect.Config {
	return introspect.Config{
		Endpoint: issuer + "/introspect", ClientID: "api", ClientSecret: "s" + "ecret", Issuer: issuer, Audiences: []string{"inference"}, Transport: t,
	}
}

func verifier(t testing.TB, cfg introspect.Config) *introspect.Verifier {
	t.Helper()
	v, err := introspect.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return v
}

const good = `{"active":true,"sub":"alice","client_id":"app","aud":["other","inference"],"scope":"chat:write models:read","iss":"` + issuer + `"}`

func TestTheAnswerBecomesThePrincipal(t *testing.T) {
	exp := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	at := time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	jkt := strings.Repeat("A", 43)
	cfg := config(answers(fmt.Sprintf(`{"active":true,"sub":"alice","client_id":"app","aud":"inference","scope":"a b","exp":%d,"iat":%d,"nbf":%d,
		"token_type":"bearer","acr":"mfa","auth_time":%d,"roles":["admin"],"org":"acme","tier":"pro","llms":"small large","username":"x","extra":{"any":[1,null]},
		"cnf":{"jkt":%q,"x5t#S256":%q}}`, exp.Unix(), at.Unix(), at.Unix(), at.Unix(), jkt, jkt)))
	cfg.Claims = introspect.ClaimNames{Tenant: "org", Plan: "tier", Models: "llms"}
	p, err := verifier(t, cfg).VerifyToken(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	want := &auth.Principal{
		Issuer: issuer, Subject: "alice", ClientID: "app", Method: auth.MethodIntrospection, Scopes: []string{"a", "b"}, Roles: []string{"admin"}, Tenant: "acme", Plan: "pro",
		Models: []string{"small", "large"}, ACR: "mfa", AuthTime: at, ExpiresAt: exp, Bound: auth.Confirmation{JKT: jkt, X5T: jkt},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("%+v\nwant %+v", p, want)
	}
	cfg.Transport = answers(`{"active":true,"aud":"inference","client_id":"alice"}`)
	if p, err := verifier(t, cfg).VerifyToken(t.Context(), "x"); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a client becomes the user of the same spelling: %+v, %v", p, err)
	}
	cfg.SubjectFromClient, cfg.Transport = true, answers(`{"active":true,"aud":"inference","client_id":"machine"}`)
	p, err = verifier(t, cfg).VerifyToken(t.Context(), "x")
	if err != nil || p.Subject != "machine" || p.Models == nil || len(p.Models) > 0 || !p.ExpiresAt.IsZero() || !p.AuthTime.IsZero() {
		t.Errorf("a client's own token: %+v, %v", p, err)
	}
	cfg.Transport = answers(`{"active":true,"aud":"inference","sub":"alice","roles":"Not Admin"}`)
	if p, err = verifier(t, cfg).VerifyToken(t.Context(), "x"); err != nil || !slices.Equal(p.Roles, []string{"Not Admin"}) {
		t.Errorf("a string is one role: %+v, %v", p, err)
	}
	cfg.Transport = answers(`{"active":true,"aud":"inference","sub":"machine"}`)
	if p, err = verifier(t, cfg).VerifyToken(t.Context(), "x"); err != nil || p.Subject != "machine" || p.ClientID != "" {
		t.Errorf("a subject is spelled like a client and becomes it: %+v, %v", p, err)
	}
}

func TestTheQuestionIsTheOneOfRFC7662(t *testing.T) {
	s := answers(good)
	ask := s.handle
	check := func(name, authorization string) {
		s.handle = func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			form, err := url.ParseQuery(string(body))
			if err != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Accept") != "application/json" ||
				r.URL.RawQuery != "" || !maps.EqualFunc(form, url.Values{"token": {"a/b+c=="}, "token_type_hint": {"access_token"}}, func(a, b []string) bool { return a[0] == b[0] }) {
				t.Errorf("%s: %s %s %v %s", name, r.Method, r.URL, r.Header, body)
			}
			if got := r.Header.Get("Authorization"); got != authorization {
				t.Errorf("%s: Authorization %q", name, got)
			}
			ask(w, r)
		}
	}
	cfg := config(s)
	cfg.ClientID, cfg.ClientSecret = "a:b c", "p%&" // form-encoded before they are joined, so the colon is no separator
	basic, _ := http.NewRequest("GET", "/", nil)
	basic.SetBasicAuth("a%3Ab+c", "p%25%26")
	check("basic", basic.Header.Get("Authorization"))
	if _, err := verifier(t, cfg).VerifyToken(t.Context(), "a/b+c=="); err != nil {
		t.Error(err)
	}
	cfg.ClientID, cfg.ClientSecret, cfg.Bearer = "", "", func(context.Context) (string, error) { return "own-token", nil }
	check("bearer", "Bearer own-token")
	if _, err := verifier(t, cfg).VerifyToken(t.Context(), "a/b+c=="); err != nil {
		t.Error(err)
	}
}

func TestWhatTheServerDoesNotVouchForIsRefused(t *testing.T) {
	now := time.Now().Unix()
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"good":                           {good, nil},
		"not active":                     {`{"active":false}`, auth.ErrInvalid},
		"not active, with claims":        {strings.Replace(good, "true", "false", 1), auth.ErrInvalid},
		"no audience":                    {`{"active":true,"sub":"alice"}`, auth.ErrInvalid},
		"an empty audience":              {`{"active":true,"sub":"alice","aud":[]}`, auth.ErrInvalid},
		"another audience":               {`{"active":true,"sub":"alice","aud":"inference2"}`, auth.ErrInvalid},
		"our audience in capitals":       {`{"active":true,"sub":"alice","aud":"Inference"}`, auth.ErrInvalid},
		"another issuer":                 {strings.Replace(good, issuer, issuer+"/", 1), auth.ErrInvalid},
		"nobody":                         {`{"active":true,"aud":"inference"}`, auth.ErrInvalid},
		"expired":                        {fmt.Sprintf(`{"active":true,"sub":"a","aud":"inference","exp":%d}`, now-60), auth.ErrExpired},
		"expired within leeway":          {fmt.Sprintf(`{"active":true,"sub":"a","aud":"inference","exp":%d}`, now-10), nil},
		"expired long ago":               {`{"active":true,"sub":"a","aud":"inference","exp":0}`, auth.ErrExpired},
		"not yet":                        {fmt.Sprintf(`{"active":true,"sub":"a","aud":"inference","nbf":%d}`, now+60), auth.ErrInvalid},
		"made in the future":             {fmt.Sprintf(`{"active":true,"sub":"a","aud":"inference","iat":%d}`, now+60), auth.ErrInvalid},
		"a refresh token (Hydra)":        {strings.Replace(good, "{", `{"token_use":"refresh_token",`, 1), auth.ErrInvalid},
		"an ID token (Keycloak)":         {strings.Replace(good, "{", `{"typ":"ID",`, 1), auth.ErrInvalid},
		"a MAC token":                    {strings.Replace(good, "{", `{"token_type":"mac",`, 1), auth.ErrInvalid},
		"a scope with quotes":            {strings.Replace(good, "chat:write", `a\"b`, 1), auth.ErrInvalid},
		"bound to a key we are not told": {strings.Replace(good, "{", `{"cnf":{"kid":"1"},`, 1), auth.ErrInvalid},
		"bound to a key and more":        {strings.Replace(good, "{", `{"cnf":{"jkt":"`+strings.Repeat("A", 43)+`","kid":"1"},`, 1), auth.ErrInvalid},
		"bound to nothing":               {strings.Replace(good, "{", `{"cnf":{},`, 1), auth.ErrInvalid},
		"bound to half a digest":         {strings.Replace(good, "{", `{"cnf":{"jkt":"AAAA"},`, 1), auth.ErrInvalid},
		"a DPoP token without a key":     {strings.Replace(good, "{", `{"token_type":"DPoP",`, 1), auth.ErrInvalid},
		"a dpop token by typ":            {strings.Replace(good, "{", `{"typ":"dpop",`, 1), auth.ErrInvalid},
		"a DPoP token of a certificate":  {strings.Replace(good, "{", `{"token_type":"DPoP","cnf":{"x5t#S256":"`+strings.Repeat("A", 43)+`"},`, 1), auth.ErrInvalid},
		"a DPoP token with its key":      {strings.Replace(good, "{", `{"token_type":"DPoP","cnf":{"jkt":"`+strings.Repeat("A", 43)+`"},`, 1), nil},
		"an ID token by at_hash":         {strings.Replace(good, "{", `{"at_hash":"x",`, 1), auth.ErrInvalid},
		"an ID token by c_hash":          {strings.Replace(good, "{", `{"c_hash":null,`, 1), auth.ErrInvalid},
		"a nonce (Keycloak before 25)":   {strings.Replace(good, "{", `{"nonce":"x",`, 1), nil},
		"no JSON":                        {`active=true`, auth.ErrUnavailable},
		"an array":                       {`[` + good + `]`, auth.ErrUnavailable},
		"two answers":                    {good + good, auth.ErrUnavailable},
		"no active":                      {`{"sub":"alice","aud":"inference"}`, auth.ErrUnavailable},
		"active as a word":               {strings.Replace(good, "true", `"true"`, 1), auth.ErrUnavailable},
		"active as a number":             {strings.Replace(good, "true", `1`, 1), auth.ErrUnavailable},
		"active twice":                   {strings.Replace(good, "{", `{"active":false,`, 1), auth.ErrUnavailable},
		"Active beside active":           {strings.Replace(good, "{", `{"Active":false,`, 1), auth.ErrUnavailable},
		"Cnf":                            {strings.Replace(good, "{", `{"Cnf":{"jkt":"x"},`, 1), auth.ErrUnavailable},
		"Roles in another case":          {strings.Replace(good, "{", `{"ROLES":["admin"],`, 1), auth.ErrUnavailable},
		"aud with a number":              {strings.Replace(good, `"other"`, `1`, 1), auth.ErrUnavailable},
		"sub as a number":                {strings.Replace(good, `"alice"`, `1`, 1), auth.ErrUnavailable},
		"sub with a line break":          {strings.Replace(good, `alice`, `a\nb`, 1), auth.ErrUnavailable},
		"exp as a word":                  {strings.Replace(good, "{", `{"exp":"9999999999",`, 1), auth.ErrUnavailable},
		"exp as 1e308":                   {strings.Replace(good, "{", `{"exp":1e308,`, 1), auth.ErrUnavailable},
		"cnf as a word":                  {strings.Replace(good, "{", `{"cnf":"x",`, 1), auth.ErrUnavailable},
		"cnf with JKT":                   {strings.Replace(good, "{", `{"cnf":{"JKT":"x"},`, 1), auth.ErrUnavailable},
	} {
		p, err := verifier(t, config(answers(c.body))).VerifyToken(t.Context(), "x")
		if !errors.Is(err, c.want) || (p == nil) != (err != nil) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
		if c.want == auth.ErrInvalid && auth.CodeOf(err) != auth.CodeInvalidToken || c.want == auth.ErrUnavailable && auth.CodeOf(err) != auth.CodeUnavailable {
			t.Errorf("%s: %s", name, auth.CodeOf(err))
		}
	}
}

func TestAnOutageIs503AndNotABadToken(t *testing.T) {
	for name, c := range map[string]struct {
		handle func(w http.ResponseWriter, r *http.Request)
		retry  time.Duration
	}{
		"500":                 {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, 0},
		"our secret is wrong": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }, 0},
		"429":                 {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) }, 7 * time.Second},
		"503 for a year": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "31536000")
			w.WriteHeader(503)
		}, time.Minute},
		"503 till then": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")
			w.WriteHeader(503)
		}, 0},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
		}, 0},
		"a web page": {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") }, 0},
		"a signed answer": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/token-introspection+jwt")
			io.WriteString(w, good)
		}, 0},
		"no connection": {func(w http.ResponseWriter, r *http.Request) { panic(errors.New("connection refused")) }, 0},
		"a panic":       {func(w http.ResponseWriter, r *http.Request) { panic("transport") }, 0},
		"201":           {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201); io.WriteString(w, good) }, 0},
		"an endless body": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, good+strings.Repeat(" ", 64<<10)) // cut off at the limit it would be a good answer
		}, 0},
	} {
		s := &server{handle: c.handle}
		v := verifier(t, config(s))
		for range 2 {
			_, err := v.VerifyToken(t.Context(), "x")
			var e *auth.Error
			if !errors.Is(err, auth.ErrUnavailable) || errors.Is(err, auth.ErrInvalid) || !errors.As(err, &e) || e.RetryAfter != c.retry {
				t.Errorf("%s: %v, %+v", name, err, e)
			}
		}
		if n := s.asked.Load(); n != 2 {
			t.Errorf("%s: asked %d times: an outage was remembered or a redirect followed", name, n)
		}
		g, err := auth.New(auth.Config{Authenticator: v, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		g.Handler(http.NotFoundHandler()).ServeHTTP(w, authtest.Request("GET", "/", "", authtest.Bearer("x")))
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	cfg := config(answers(good))
	cfg.ClientID, cfg.ClientSecret, cfg.Bearer = "", "", func(context.Context) (string, error) { return "", errors.New("vault is sealed") }
	if _, err := verifier(t, cfg).VerifyToken(t.Context(), "x"); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("no token of our own: %v", err)
	}
	cfg.Bearer = func(context.Context) (string, error) { return "a\r\nX: y", nil }
	if _, err := verifier(t, cfg).VerifyToken(t.Context(), "x"); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("a header in our own token: %v", err)
	}
}

func TestAGoodAnswerIsBelievedUntilTTLOrExpAndNotLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := answers(fmt.Sprintf(`{"active":true,"sub":"a","aud":"inference","exp":%d}`, start.Add(50*time.Second).Unix()))
		v := verifier(t, config(s)) // TTL 30 s
		for _, c := range []struct {
			at    time.Duration
			asked int64
			want  error
		}{
			{0, 1, nil}, {30*time.Second - 1, 1, nil}, {30 * time.Second, 2, nil}, {50*time.Second - 1, 2, nil},
			{50 * time.Second, 3, nil}, {50*time.Second + 1, 4, nil}, // within the leeway: good, and not remembered
			{80 * time.Second, 5, auth.ErrExpired}, {85*time.Second - 1, 5, auth.ErrExpired}, {85 * time.Second, 6, auth.ErrExpired},
		} {
			time.Sleep(time.Until(start.Add(c.at)))
			_, err := v.VerifyToken(t.Context(), "x")
			if n := s.asked.Load(); n != c.asked || !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("after %v: asked %d times, %v", c.at, n, err)
			}
		}
	})
}

func TestARefusalIsBelievedShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := answers(`{"active":false}`)
		v := verifier(t, config(s))
		for i, wait := range []time.Duration{0, 5*time.Second - 1, 1} {
			time.Sleep(wait)
			if _, err := v.VerifyToken(t.Context(), "x"); !errors.Is(err, auth.ErrInvalid) || s.asked.Load() != int64(1+i/2) {
				t.Errorf("%d: %v, asked %d times", i, err, s.asked.Load())
			}
		}
		cfg := config(s)
		cfg.TTL, cfg.NegativeTTL = -1, -1
		v = verifier(t, cfg)
		s.asked.Store(0)
		for range 3 {
			v.VerifyToken(t.Context(), "x")
		}
		if s.asked.Load() != 3 {
			t.Errorf("asked %d times without memory", s.asked.Load())
		}
	})
}

// CVE-2026-35030, oathkeeper GHSA-4mq7-pvjg-xp2r, fast-jwt GHSA-rp9m-7r4c-75qg: what one verifier learned is no other's answer, and tokens
// that begin, end or are cut alike are different tokens.
func TestTheCacheBelongsToOneVerifierAndToTheWholeToken(t *testing.T) {
	yes, no := answers(good), answers(`{"active":false}`)
	a, b := verifier(t, config(yes)), verifier(t, config(no))
	for range 2 {
		if _, err := a.VerifyToken(t.Context(), "token"); err != nil {
			t.Error(err)
		}
		if _, err := b.VerifyToken(t.Context(), "token"); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("the other server's answer: %v", err)
		}
	}
	long := strings.Repeat("a", 1500)
	before := yes.asked.Load()
	for _, token := range []string{long, long + "b", long[:1024], long[:1023], "b" + long[1:], long[:1499] + "b", "TOKEN"} {
		if _, err := a.VerifyToken(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
	if n := yes.asked.Load() - before; n != 7 {
		t.Errorf("asked %d times for 7 tokens", n)
	}
}

func TestWrongTokensDoNotPushOutRightOnes(t *testing.T) {
	s := &server{handle: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(r.FormValue("token"), "good") {
			io.WriteString(w, good)
		} else {
			io.WriteString(w, `{"active":false}`)
		}
	}}
	cfg := config(s)
	cfg.MaxEntries = 160
	v := verifier(t, cfg)
	v.VerifyToken(t.Context(), "good")
	for i := range 2000 {
		v.VerifyToken(t.Context(), fmt.Sprint("bad-", i))
	}
	before := s.asked.Load()
	if _, err := v.VerifyToken(t.Context(), "good"); err != nil || s.asked.Load() != before {
		t.Errorf("%v, asked again", err)
	}
	for i := range 2000 {
		v.VerifyToken(t.Context(), fmt.Sprint("good-", i))
	}
	if a, r := introspect.Entries(v); a > 160 || r > 160 || a < 100 || r < 100 {
		t.Errorf("%d accepted and %d refused are remembered, want at most 160 each", a, r)
	}
}

func TestRequestsWithOneTokenShareOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := answers(good)
		answer := s.handle
		s.handle = func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Second); answer(w, r) }
		v := verifier(t, config(s))
		first, hangUp := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := v.VerifyToken(first, "x"); !errors.Is(err, auth.ErrUnavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("the one that hung up: %v", err)
			}
		})
		synctest.Wait()
		for range 1000 {
			wg.Go(func() {
				if p, err := v.VerifyToken(t.Context(), "x"); err != nil || p.Subject != "alice" {
					t.Errorf("%v, %v", p, err)
				}
			})
		}
		synctest.Wait()
		hangUp() // the question goes on without the one that asked it
		wg.Wait()
		if s.asked.Load() != 1 {
			t.Errorf("asked %d times", s.asked.Load())
		}
	})
}

func TestAHangingServerHoldsRequestsForTheTimeoutAndQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{handle: func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
		cfg := config(s)
		cfg.MaxInFlight = 3
		v := verifier(t, cfg)
		start := time.Now()
		var wg sync.WaitGroup
		var busy atomic.Int64
		for i := range 10 {
			wg.Go(func() {
				_, err := v.VerifyToken(t.Context(), fmt.Sprint("x", i))
				if !errors.Is(err, auth.ErrUnavailable) {
					t.Error(err)
				}
				if time.Since(start) == 0 {
					busy.Add(1)
				} else if time.Since(start) != 2*time.Second {
					t.Errorf("waited %v", time.Since(start))
				}
			})
		}
		wg.Wait()
		if s.asked.Load() != 3 || busy.Load() != 7 {
			t.Errorf("%d asked, %d turned away", s.asked.Load(), busy.Load())
		}
	})
}

func TestCloseEndsEveryQuestionAndLeavesNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a goroutine left in the bubble fails the test
		s := &server{handle: func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
		v := verifier(t, config(s))
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := v.VerifyToken(t.Context(), "x"); !errors.Is(err, auth.ErrUnavailable) {
				t.Error(err)
			}
		})
		synctest.Wait()
		start := time.Now()
		if err := v.Close(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		wg.Wait()
		if _, err := v.VerifyToken(t.Context(), "y"); !errors.Is(err, auth.ErrUnavailable) || s.asked.Load() != 1 {
			t.Errorf("asked after Close: %v", err)
		}
		stuck := &server{handle: func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }}
		v = verifier(t, config(stuck))
		wg.Go(func() { v.VerifyToken(t.Context(), "x") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := v.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a transport that ignores its context: %v", err)
		}
		wg.Wait()
	})
}

// LIT-Protocol/chipotle#631, solana-foundation/solana-developer-platform#1214: the answer to a question from before the revocation must not
// come back after it.
func TestAForgottenTokenIsAskedAboutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := answers(good)
		answer := s.handle
		s.handle = func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Second); answer(w, r) }
		v := verifier(t, config(s))
		var wg sync.WaitGroup
		wg.Go(func() { v.VerifyToken(t.Context(), "x") })
		synctest.Wait()
		v.Forget("x") // while the question is under way
		wg.Wait()
		answer = answers(`{"active":false}`).handle
		if _, err := v.VerifyToken(t.Context(), "x"); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("the late answer came back: %v", err)
		}
		answer = answers(good).handle
		v.Forget("x")
		if _, err := v.VerifyToken(t.Context(), "x"); err != nil {
			t.Errorf("a refusal was not forgotten: %v", err)
		}
	})
}

func TestOtherCredentialsAreLeftToOthersAndNeverSent(t *testing.T) {
	s := answers(good)
	cfg := config(s)
	cfg.TokenPrefix = "ory_at_"
	v := verifier(t, cfg)
	for name, set := range map[string]func(*http.Request){
		"nothing": func(*http.Request) {}, "a key header": authtest.APIKey("ory_at_x"), "basic": func(r *http.Request) { r.SetBasicAuth("a", "b") },
		"another prefix": authtest.Bearer("acme_live_key"), "a DPoP token": func(r *http.Request) { r.Header.Set("Authorization", "DPoP ory_at_x") },
	} {
		if p, err := v.Authenticate(authtest.Request("GET", "/", "", set)); p != nil || !errors.Is(err, auth.ErrNoCredential) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	for _, token := range []string{"ory_at_" + strings.Repeat("x", 9000), "ory_at_a b", "ory_at_a\x00", "ory_at_caf\u00e9", "ory_at_%41", `ory_at_"`} {
		if p, err := v.VerifyToken(t.Context(), token); p != nil || !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%.20q: %v, %v", token, p, err)
		}
	}
	if _, err := verifier(t, config(s)).VerifyToken(t.Context(), ""); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("an empty token: %v", err)
	}
	if s.asked.Load() != 0 {
		t.Errorf("asked %d times", s.asked.Load())
	}
	if p, err := v.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("ory_at_x"))); err != nil || p.Subject != "alice" {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := v.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("ory_at_x"), authtest.APIKey("y"))); !errors.Is(err, auth.ErrTwoCredentials) {
		t.Error(err)
	}
}

// RFC 9449 section 7.1, RFC 8705 section 3: a bound token is no bearer token.
func TestABoundTokenIsRefusedAsABearerToken(t *testing.T) {
	for _, member := range []string{"jkt", "x5t#S256"} {
		v := verifier(t, config(answers(strings.Replace(good, "{", `{"cnf":{"`+member+`":"`+strings.Repeat("A", 43)+`"},`, 1))))
		for range 2 { // asked, and remembered
			if p, err := v.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("x"))); p != nil || !errors.Is(err, auth.ErrInvalid) {
				t.Errorf("%s: %v, %v", member, p, err)
			}
			if p, err := v.VerifyToken(t.Context(), "x"); err != nil || p.Bound.IsZero() {
				t.Errorf("%s: %v, %v", member, p, err)
			}
		}
	}
}

func TestAVerifierThatWasNotMadeRefuses(t *testing.T) {
	var none *introspect.Verifier
	for _, v := range []*introspect.Verifier{none, {}} {
		if _, err := v.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("x"))); !errors.Is(err, auth.ErrUnavailable) {
			t.Error(err)
		}
		if _, err := v.VerifyToken(t.Context(), "x"); !errors.Is(err, auth.ErrUnavailable) {
			t.Error(err)
		}
		v.Forget("x")
		if err := v.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := introspect.New(introspect.Config{
		Endpoint: "http://login.example.com/", InsecureHTTP: true, ClientID: "a", Bearer: func(context.Context) (string, error) { return "", nil }, TokenPrefix: "a b", TTL: 2 * time.Hour,
		NegativeTTL: time.Hour, Leeway: time.Hour, Timeout: -1, MaxEntries: -1, MaxInFlight: -1, MaxTokenBytes: -1, MaxResponseBytes: -1,
	})
	for _, want := range []string{
		"Endpoint", "ClientID and Bearer", "Issuer", "Audiences", "TokenPrefix", "Config.TTL", "NegativeTTL", "Leeway", "Timeout", "MaxEntries", "MaxInFlight", "MaxTokenBytes", "MaxResponseBytes",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
	for name, change := range map[string]func(*introspect.Config){
		"no endpoint":           func(c *introspect.Config) { c.Endpoint = "" },
		"a user in it":          func(c *introspect.Config) { c.Endpoint = "https://a:b@login.example.com/" },
		"http":                  func(c *introspect.Config) { c.Endpoint = "http://127.0.0.1/" },
		"http elsewhere":        func(c *introspect.Config) { c.Endpoint, c.InsecureHTTP = "http://127.0.0.1.evil.example/", true },
		"nobody asks":           func(c *introspect.Config) { c.ClientID, c.ClientSecret = "", "" },
		"half of a credential":  func(c *introspect.Config) { c.ClientSecret = "" },
		"an empty audience":     func(c *introspect.Config) { c.Audiences = []string{""} },
		"audience, and skipped": func(c *introspect.Config) { c.SkipAudience = true },
	} {
		cfg := config(answers(good))
		change(&cfg)
		if _, err := introspect.New(cfg); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

// The whole way over real HTTP, with the transport of its own.
func TestOverHTTP(t *testing.T) {
	s := answers(good)
	ts := httptest.NewServer(http.HandlerFunc(s.handle))
	defer ts.Close()
	cfg := config(nil)
	cfg.Endpoint, cfg.InsecureHTTP = ts.URL, true
	v := verifier(t, cfg)
	if p, err := v.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("x"))); err != nil || p.Subject != "alice" {
		t.Errorf("%v, %v", p, err)
	}
	memory := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, good) // and then the connection breaks
	}))
	cfg = config(memory.Client().Transport)
	cfg.Endpoint, cfg.InsecureHTTP = "http://localhost/", true
	if _, err := verifier(t, cfg).VerifyToken(t.Context(), "x"); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("half an answer: %v", err)
	}
}
