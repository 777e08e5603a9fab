package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

const (
	maxDocument  = 512 << 10 // bytes of a JWK Set or discovery document
	maxRedirects = 3
	maxETag      = 256 // bytes; a longer one is not sent back
	maxLocated   = 24 * time.Hour
)

// location is where the JWK Set was found last.
type location struct {
	at   string
	when time.Time
	etag string
}

// checkURL says what is wrong with a URL that keys are to come from.
func checkURL(raw string, insecureHTTP bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("is no URL")
	case u.Scheme == "http" && insecureHTTP && loopback(u.Hostname()):
	case u.Scheme != "https":
		return errors.New("is not https: whoever is in between could hand in keys (for tests: Fetch.InsecureHTTP, on a loopback address)")
	}
	if u.Host == "" || u.Hostname() == "" || u.Opaque != "" {
		return errors.New("has no host")
	}
	if u.User != nil {
		return errors.New("has a user name in it")
	}
	if u.Fragment != "" {
		return errors.New("has a fragment")
	}
	return nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || host == "localhost"
}

func newClient(t http.RoundTripper) *http.Client {
	if t == nil {
		t = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true, // the next fetch is minutes away, and Close is to leave nothing
			ForceAttemptHTTP2:      true,
		}
	}
	return &http.Client{Transport: t, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		first := via[0].URL
		if req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
			// An open redirect on the issuer's host must not choose the keys, nor make us talk to our own network.
			return errors.New("redirect to another host or scheme")
		}
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		return nil
	}}
}

// get fetches the keys once. Only one runs at a time.
func (r *remote) get(ctx context.Context, now time.Time) (set *keySet, skipped []error, err error) {
	defer func() {
		if p := recover(); p != nil { // this goroutine is nobody's request: a panic in it would end the process
			set, skipped, err = nil, nil, fmt.Errorf("panic: %v", p)
		}
	}()
	from := r.url
	if from == "" {
		if from, err = r.discover(ctx, now); err != nil {
			return nil, nil, fmt.Errorf("discovery: %w", err)
		}
	}
	old := r.set.Load()
	etag := r.found.etag
	if old == nil {
		etag = ""
	}
	body, header, err := r.download(ctx, from, etag)
	if err != nil {
		r.found.when = time.Time{} // perhaps the set has moved
		return nil, nil, err
	}
	set = &keySet{fetched: now, soft: min(max(freshness(header), minSoft), r.fetch.MaxStale/2)}
	if body == nil { // 304
		set.keys = append(set.keys, old.keys...)
		return set, nil, nil
	}
	if set.keys, skipped, err = parseSet(body, r.allowed); err != nil {
		r.found.etag = ""
		return nil, nil, err
	}
	r.found.etag = header.Get("ETag")
	if len(r.found.etag) > maxETag {
		r.found.etag = ""
	}
	return set, skipped, nil
}

// download gets one document: its body, or nil when the server says that it is still the one with this etag.
func (r *remote) download(ctx context.Context, from, etag string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	req.Header.Set("Accept-Encoding", "identity") // set by hand, it also keeps an http.Transport from inflating a bomb
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && etag != "":
		return nil, resp.Header, nil
	case resp.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("%s answered %d", from, resp.StatusCode)
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, nil, fmt.Errorf("%s sent the encoding %q, which was not asked for", from, e)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("reading %s: %w", from, err)
	case len(body) > maxDocument:
		return nil, nil, fmt.Errorf("%s is longer than %d bytes", from, maxDocument)
	case len(body) == 0:
		return nil, nil, fmt.Errorf("%s is empty", from)
	}
	return body, resp.Header, nil
}

// freshness is for how long a reply is fresh by its Cache-Control (RFC 9111 section 5.2.2). The shortest of several counts.
func freshness(h http.Header) time.Duration {
	d := time.Duration(-1)
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return 0
			case "max-age":
				n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
				if err != nil {
					return 0 // RFC 9111 section 4.2.1: what cannot be read is stale
				}
				if age := time.Duration(n) * time.Second; d < 0 || age < d {
					d = age
				}
			}
		}
	}
	if d < 0 {
		return defaultSoft
	}
	return d
}

func discoveryURL(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// discover returns the URL of the JWK Set, from memory while that is less than a day old and worked.
func (r *remote) discover(ctx context.Context, now time.Time) (string, error) {
	if !r.found.when.IsZero() && now.Sub(r.found.when) < maxLocated {
		return r.found.at, nil
	}
	body, _, err := r.download(ctx, discoveryURL(r.issuer), "")
	if err != nil {
		return "", err
	}
	at, err := parseDiscovery(body, r.issuer, r.fetch.InsecureHTTP)
	if err != nil {
		return "", err
	}
	if at != r.found.at {
		r.found.etag = ""
	}
	r.found.at, r.found.when = at, now
	return at, nil
}

// parseDiscovery returns the jwks_uri of the discovery document of issuer.
func parseDiscovery(body []byte, issuer string, insecureHTTP bool) (string, error) {
	var m members
	var s jsonscan.Scanner
	if err := m.read(&s, body); err != nil {
		return "", fmt.Errorf("the document is not strict JSON: %w", err)
	}
	// OpenID Connect Discovery 1.0 section 4.3: without this, one issuer could hand in keys for another.
	if name, ok := m.text(m.find("issuer")); !ok || string(name) != issuer {
		return "", fmt.Errorf("the document is of the issuer %.100q, not of this one", name)
	}
	at, ok := m.text(m.find("jwks_uri"))
	if !ok || m.variant {
		return "", errors.New("the document has no jwks_uri, or a name in another case")
	}
	if err := checkURL(string(at), insecureHTTP); err != nil {
		return "", fmt.Errorf("jwks_uri %q %w", at, err)
	}
	return string(at), nil
}
