package servetls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// DefaultPoll is how often the files are read when Config.Poll is zero.
	DefaultPoll = 10 * time.Second
	// NoPoll as Config.Poll says that only [Endpoint.Reload] reads the files, on a signal say.
	NoPoll time.Duration = -1
	// settle is how soon files are read again that have changed, to see whether they still do.
	settle = time.Second
)

// Config says what an [Endpoint] serves with. Either Pairs or GetCertificate is required.
type Config struct {
	// Pairs are the certificates with their keys. With several, a client gets the first that fits the name it asks for (SNI) and the
	// algorithms it knows; if none does, or it asks for none, the first of all.
	Pairs []Pair
	// GetCertificate supplies certificates instead, as those of golang.org/x/crypto/acme/autocert and certmagic do. See
	// tls.Config.GetCertificate.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// InsecureKeyMode takes key files that any user of the machine can read, or even write, and certificates that others can write. Zero
	// refuses them. See the package comment for Kubernetes.
	InsecureKeyMode bool

	// ClientCAFiles are PEM files with the CAs of client certificates, and nothing else in them, to which neither group nor others may
	// write. Empty means that clients are not asked for one. Clients are sent the names of the CAs.
	ClientCAFiles []string
	// OptionalClientCerts lets clients without a certificate connect as well; one that is shown must be valid even so. Handlers must then
	// ask [VerifiedClient]. Zero refuses them in the handshake.
	OptionalClientCerts bool
	// VerifyConnection has the last word on every handshake, also one that resumes a session: an error refuses it. It is the place to ask
	// whether a certificate was revoked. See tls.Config.VerifyConnection. Nil means that nobody is asked.
	VerifyConnection func(tls.ConnectionState) error

	// TLS13Only refuses TLS 1.2 too. Zero means TLS 1.2 and 1.3.
	TLS13Only bool
	// NextProtos are the protocols for ALPN, the preferred one first. Empty means h2 and http/1.1. Say http/1.1 alone if HTTP/2 is off in
	// http.Server.Protocols, which is not seen from here; add acme-tls/1 for autocert's TLS-ALPN challenge (not with required client
	// certificates: who validates has none).
	NextProtos []string

	// Poll is how often the files are read: zero means [DefaultPoll], otherwise at least a second, or [NoPoll]. A change is in force
	// at most a second later.
	Poll time.Duration
	// HSTS is the header that [Endpoint.Handler] adds.
	HSTS HSTS
	// Logger gets changes that were taken over at level Info and refused ones at Error, once each, and at Warn, once a day, a
	// certificate in the last tenth of its life that was not renewed. It is told names of files and dates, and nothing else of their
	// content. Nil means slog.Default() at that moment.
	Logger *slog.Logger
}

// Pair names the PEM files of a certificate and its key.
type Pair struct {
	// CertFile holds the certificate, then those of the intermediate CAs, and nothing else.
	CertFile string
	// KeyFile holds its private key (PKCS #8, PKCS #1 or SEC 1), without passphrase. It must not be readable by others.
	KeyFile string
}

// An Endpoint is the TLS side of a server. It is made by [New] and safe for concurrent use. The zero Endpoint and a nil one refuse
// every handshake and every request.
type Endpoint struct {
	// A function, because package fmt prints what it finds in unexported fields, which are private keys here. Of a function it knows
	// the address only.
	open func() *endpoint
}

type endpoint struct {
	cfg     Config
	hsts    string
	pairs   []*source
	cas     *source                    // nil without client certificates
	busy    chan struct{}              // whoever has put its token there uses the sources
	current atomic.Pointer[tls.Config] // what the next handshake uses
	state   atomic.Pointer[State]
	stop    context.CancelFunc
	done    chan struct{}
}

var errNotMade = errors.New("servetls: the Endpoint was not made by New")

// New reads the files and, unless Config.Poll is NoPoll, begins to watch them until [Endpoint.Close]. The error lists everything that
// is wrong with cfg and with the files.
func New(cfg Config) (*Endpoint, error) {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf("servetls: "+format, args...)) }

	e := &endpoint{cfg: cfg, busy: make(chan struct{}, 1), stop: func() {}, done: make(chan struct{})}
	e.cfg.NextProtos = slices.Clone(cfg.NextProtos)
	if len(cfg.Pairs) == 0 && cfg.GetCertificate == nil {
		refuse("Config.Pairs is empty and Config.GetCertificate nil: there is no certificate")
	}
	if len(cfg.Pairs) > 0 && cfg.GetCertificate != nil {
		refuse("Config.GetCertificate is set together with Config.Pairs")
	}
	for i, p := range cfg.Pairs {
		switch {
		case p.CertFile == "" || p.KeyFile == "":
			refuse("Config.Pairs[%d] lacks CertFile or KeyFile", i)
		case p.CertFile == p.KeyFile:
			refuse("Config.Pairs[%d] has one file %q for certificate and key: a certificate is public, so keep the key in a file of its own", i, p.CertFile)
		case slices.Contains(cfg.Pairs[:i], p):
			refuse("Config.Pairs[%d] occurs twice", i)
		default:
			guards := []guard{public, private}
			if cfg.InsecureKeyMode {
				guards = []guard{anybodys, anybodys}
			}
			e.pairs = append(e.pairs, newSource(false, []string{p.CertFile, p.KeyFile}, guards))
		}
	}
	for i, name := range cfg.ClientCAFiles {
		if name == "" || slices.Contains(cfg.ClientCAFiles[:i], name) {
			refuse("Config.ClientCAFiles[%d] %q is empty or occurs twice", i, name)
		}
	}
	if len(cfg.ClientCAFiles) > 0 {
		e.cas = newSource(true, slices.Clone(cfg.ClientCAFiles), slices.Repeat([]guard{public}, len(cfg.ClientCAFiles)))
	} else if cfg.OptionalClientCerts {
		refuse("Config.OptionalClientCerts is set without Config.ClientCAFiles")
	}
	for i, p := range cfg.NextProtos {
		if p == "" || len(p) > 255 || slices.Contains(cfg.NextProtos[:i], p) {
			refuse("Config.NextProtos[%d] %q is empty, longer than 255 bytes, or occurs twice", i, p)
		}
	}
	if len(cfg.NextProtos) == 0 {
		e.cfg.NextProtos = []string{"h2", "http/1.1"}
	}
	switch {
	case cfg.Poll == 0:
		e.cfg.Poll = DefaultPoll
	case cfg.Poll != NoPoll && cfg.Poll < time.Second:
		refuse("Config.Poll %v is less than a second", cfg.Poll)
	}
	hsts, err := cfg.HSTS.header()
	if err != nil {
		errs = append(errs, err)
	}
	e.hsts = hsts

	if err := e.refresh(); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if e.cfg.Poll == NoPoll || len(e.sources()) == 0 {
		close(e.done)
	} else {
		var ctx context.Context
		ctx, e.stop = context.WithCancel(context.Background())
		go e.poll(ctx)
	}
	return &Endpoint{open: func() *endpoint { return e }}, nil
}

func newSource(isCA bool, files []string, guards []guard) *source {
	return &source{isCA: isCA, files: files, guards: guards, state: Source{Files: files}}
}

func (e *Endpoint) made() *endpoint {
	if e == nil || e.open == nil {
		return nil
	}
	return e.open()
}

// TLSConfig returns a new configuration for http.Server.TLSConfig or tls.NewListener. It asks the Endpoint at every handshake for what is in
// force then. That includes versions, protocols, tickets and client certificates, so fields of it that say something else have no effect.
// Where that would leave a server more open than they say (VerifyConnection, VerifyPeerCertificate, ClientAuth, ClientCAs, CipherSuites,
// CurvePreferences, SessionTicketsDisabled, a higher MinVersion), every handshake is refused with an error that names the field: say it in
// [Config]. Fields that are set on a Clone of it are not seen.
func (e *Endpoint) TLSConfig() *tls.Config {
	in := e.made()
	if in == nil {
		refuse := func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errNotMade }
		return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: refuse}
	}
	outer := &tls.Config{
		MinVersion: in.minVersion(),                 // for programs that show it
		NextProtos: slices.Clone(in.cfg.NextProtos), // http.Server reads them
	}
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if err := in.ignored(outer); err != nil {
			return nil, err
		}
		return in.current.Load(), nil
	}
	return outer
}

// ignored says which field of the configuration that TLSConfig has returned somebody relies on in vain.
func (e *endpoint) ignored(c *tls.Config) error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"VerifyConnection", c.VerifyConnection != nil},
		{"VerifyPeerCertificate", c.VerifyPeerCertificate != nil},
		{"ClientAuth", c.ClientAuth != tls.NoClientCert},
		{"ClientCAs", c.ClientCAs != nil},
		{"CipherSuites", c.CipherSuites != nil},
		{"CurvePreferences", c.CurvePreferences != nil},
		{"SessionTicketsDisabled", c.SessionTicketsDisabled},
		{"MinVersion", c.MinVersion > e.minVersion()},
	} {
		if f.set {
			return fmt.Errorf("servetls: tls.Config.%s was set on what TLSConfig returned, where it has no effect: see servetls.Config", f.name)
		}
	}
	return nil
}

// State returns what is in force now, and what is refused. It does not wait for a disk. Its slices are the caller's.
func (e *Endpoint) State() State {
	in := e.made()
	if in == nil {
		return State{}
	}
	s := *in.state.Load()
	s.Pairs = slices.Clone(s.Pairs)
	for i := range s.Pairs {
		s.Pairs[i].Files = slices.Clone(s.Pairs[i].Files)
	}
	s.ClientCAs.Files = slices.Clone(s.ClientCAs.Files)
	return s
}

// Reload reads the files now and takes over what is good in them. Call it when they are written whole: it does not wait for files that
// are being written as the polling does. The error lists what is refused; that ctx ended while another Reload was under way;
// or that the files keep changing. It works after Close too.
func (e *Endpoint) Reload(ctx context.Context) error {
	in := e.made()
	if in == nil {
		return errNotMade
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("servetls: reloading: %w", context.Cause(ctx))
	}
	select {
	case in.busy <- struct{}{}:
		defer func() { <-in.busy }()
	case <-ctx.Done():
		return fmt.Errorf("servetls: reloading: %w", context.Cause(ctx))
	}
	return in.refresh()
}

// Close ends the watching of the files, and waits for a look at them that is under way, or for ctx. Handshakes go on with what is in
// force. It may be called more than once.
func (e *Endpoint) Close(ctx context.Context) error {
	in := e.made()
	if in == nil {
		return nil
	}
	in.stop()
	select {
	case <-in.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("servetls: closing: %w", context.Cause(ctx))
	}
}

// Format implements [fmt.Formatter]: every verb prints a fixed word.
func (e *Endpoint) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[servetls.Endpoint]") }

func (e *endpoint) logger() *slog.Logger {
	if e.cfg.Logger != nil {
		return e.cfg.Logger
	}
	return slog.Default()
}

func (e *endpoint) minVersion() uint16 {
	if e.cfg.TLS13Only {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

func (e *endpoint) sources() []*source {
	if e.cas == nil {
		return e.pairs
	}
	return append(e.pairs[:len(e.pairs):len(e.pairs)], e.cas)
}

func (e *endpoint) poll(ctx context.Context) {
	defer close(e.done)
	t := time.NewTimer(e.cfg.Poll)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		select {
		case <-ctx.Done():
			return
		case e.busy <- struct{}{}:
		}
		again := e.look()
		<-e.busy
		if again {
			t.Reset(settle)
		} else {
			t.Reset(e.cfg.Poll)
		}
	}
}

// refresh looks until the files have been seen to be the same twice, which settles for somebody who says that they are written.
func (e *endpoint) refresh() error {
	for range 10 {
		if !e.look() {
			var errs []error
			for _, s := range e.sources() {
				errs = append(errs, s.state.Err)
			}
			return errors.Join(errs...)
		}
	}
	return errors.New("servetls: the files change faster than they can be read")
}

// look has every source look at its files, and publishes what came of it.
func (e *endpoint) look() (again bool) {
	now, log := time.Now(), e.logger()
	changed := e.current.Load() == nil
	for _, s := range e.sources() {
		a, c := s.look(now, log)
		again, changed = again || a, changed || c
	}
	state := new(State)
	for _, s := range e.pairs {
		state.Pairs = append(state.Pairs, s.state)
	}
	if e.cas != nil {
		state.ClientCAs = e.cas.state
	}
	e.state.Store(state)
	if changed {
		e.current.Store(e.config())
	}
	return again
}

// config makes of what is in force a configuration that nobody changes any more. CurvePreferences and CipherSuites stay unset: Go's
// own change with its releases.
func (e *endpoint) config() *tls.Config {
	c := &tls.Config{
		MinVersion:     e.minVersion(),
		NextProtos:     e.cfg.NextProtos,
		GetCertificate: e.cfg.GetCertificate,

		VerifyConnection: e.cfg.VerifyConnection,
	}
	for _, s := range e.pairs {
		c.Certificates = append(c.Certificates, s.pair)
	}
	if e.cas != nil {
		c.ClientCAs = e.cas.pool
		c.ClientAuth = tls.RequireAndVerifyClientCert
		if e.cfg.OptionalClientCerts {
			c.ClientAuth = tls.VerifyClientCertIfGiven
		}
		// A ticket would let a client come back for seven days without its certificate being looked at.
		c.SessionTicketsDisabled = true
	}
	return c
}
