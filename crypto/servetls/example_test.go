package servetls_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/mantlet-go/mantlet/crypto/servetls"
)

func Example() {
	dir := exampleFiles() // yours are those that certbot or Kubernetes renew
	defer os.RemoveAll(dir)

	endpoint, err := servetls.New(servetls.Config{
		Pairs: []servetls.Pair{{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer endpoint.Close(context.Background())

	model := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello over", r.Proto) })
	server := &http.Server{
		Handler:           endpoint.Handler(model), // adds Strict-Transport-Security
		TLSConfig:         endpoint.TLSConfig(),
		ReadHeaderTimeout: 10 * time.Second, // bounds the handshake too
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // yours is ":443"
	if err != nil {
		log.Fatal(err)
	}
	go server.ServeTLS(ln, "", "")
	defer server.Close()

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: exampleTrust(dir), ForceAttemptHTTP2: true}}
	resp, err := client.Get("https://" + ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Proto, tls.VersionName(resp.TLS.Version), resp.TLS.CurveID)
	fmt.Println(resp.Header.Get("Strict-Transport-Security"))
	fmt.Println("fit for 30 days:", endpoint.State().Check(time.Now(), 30*24*time.Hour) == nil)
	// Output:
	// HTTP/2.0 TLS 1.3 X25519MLKEM768
	// max-age=31536000
	// fit for 30 days: true
}

// Clients with certificates of a CA of ours. Whoever removes a CA from the file shuts out its clients.
func ExampleVerifiedClient() {
	dir := exampleFiles()
	defer os.RemoveAll(dir)
	endpoint, err := servetls.New(servetls.Config{
		Pairs:         []servetls.Pair{{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}},
		ClientCAFiles: []string{filepath.Join(dir, "clients.pem")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer endpoint.Close(context.Background())
	_ = endpoint.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, ok := servetls.VerifiedClient(r)
		if !ok { // cannot happen unless OptionalClientCerts is set
			http.Error(w, "a client certificate is needed", http.StatusForbidden)
			return
		}
		fmt.Fprintln(w, "hello", client.URIs, client.DNSNames)
	}))
	fmt.Println(len(endpoint.State().ClientCAs.Files))
	// Output: 1
}

// With certificates from Let's Encrypt by golang.org/x/crypto/acme/autocert, whose Manager has the two methods of the interface here.
// With certmagic, GetCertificate is that of its Config, and ACME the HTTPChallengeHandler of an ACMEIssuer.
func ExampleConfig_acme() {
	var manager interface {
		GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
		HTTPHandler(fallback http.Handler) http.Handler
	} = fakeManager{} // &autocert.Manager{Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist("model.example"), Cache: autocert.DirCache(dir)}

	endpoint, err := servetls.New(servetls.Config{
		GetCertificate: manager.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1", "acme-tls/1"}, // the last is autocert's TLS-ALPN challenge
	})
	if err != nil {
		log.Fatal(err)
	}
	redirect, err := servetls.NewRedirect(servetls.RedirectConfig{
		Hosts: []string{"model.example"},
		ACME:  manager.HTTPHandler(nil),
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = &http.Server{Addr: ":443", TLSConfig: endpoint.TLSConfig(), ReadHeaderTimeout: 10 * time.Second}
	_ = &http.Server{Addr: ":80", Handler: redirect, ReadHeaderTimeout: 10 * time.Second}
	fmt.Println(endpoint)
	// Output: [servetls.Endpoint]
}

func ExampleRedirect() {
	redirect, err := servetls.NewRedirect(servetls.RedirectConfig{Hosts: []string{"model.example"}})
	if err != nil {
		log.Fatal(err)
	}
	for _, url := range []string{"http://model.example/v1/models?limit=2", "http://evil.example/"} {
		r, _ := http.NewRequest("GET", url, nil)
		fmt.Println(redirect.Target(r))
	}
	r, _ := http.NewRequest("POST", "http://model.example/v1/messages", nil)
	r.Header.Set("X-Api-Key", "a key that everybody on the way has read")
	fmt.Println(redirect.Target(r))
	// Output:
	// https://model.example/v1/models?limit=2 <nil>
	//  servetls: the host is not one to redirect to
	//  servetls: credentials were sent in clear
}

func ExampleState_Check() {
	dir := exampleFiles()
	defer os.RemoveAll(dir)
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	endpoint, err := servetls.New(servetls.Config{Pairs: []servetls.Pair{{CertFile: cert, KeyFile: key}}})
	if err != nil {
		log.Fatal(err)
	}
	defer endpoint.Close(context.Background())
	health := func(w http.ResponseWriter, _ *http.Request) {
		// The text is for operators; a probe needs the status alone.
		if err := endpoint.State().Check(time.Now(), 10*24*time.Hour); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	_ = health
	fmt.Println(endpoint.State().Check(time.Now(), 10*24*time.Hour))
	fmt.Println(endpoint.State().Check(time.Now(), 100*24*time.Hour) != nil)
	// Output:
	// <nil>
	// true
}
