// Shield puts a preset in front of a model server: go run ./examples/shield -preset ollama -to http://127.0.0.1:11434
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/validate/preset"
)

func main() {
	name := flag.String("preset", "ollama", "the kind of server behind")
	to := flag.String("to", "http://127.0.0.1:11434", "the URL of the server behind")
	addr := flag.String("addr", "127.0.0.1:8080", "the address to listen on")
	flag.Parse()
	p, known := preset.ByName(*name)
	target, err := url.Parse(*to)
	errs, _ := sanitize.NewErrors(sanitize.ErrorsConfig{})
	if !known || err != nil || target.Host == "" {
		log.Fatalf("-preset is one of %q, and -to is a URL", preset.Names())
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := &http.Server{Addr: *addr, Handler: errs.Handler(p.Handler(proxy)), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
