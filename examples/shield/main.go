// Shield puts a preset in front of a model server: go run ./examples/shield -preset ollama -to http://127.0.0.1:11434
package main

import (
	"flag"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/validate/preset"
	"log"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
)

func main() {
	p, level := preset.Ollama(), slog.LevelInfo
	flag.TextVar(&p, "preset", p, "the kind of server behind")
	to, addr := flag.String("to", "http://127.0.0.1:11434", "the server"), flag.String("addr", "127.0.0.1:8080", "where to listen")
	flag.TextVar(&level, "log", level, "the least to log: debug shows what is refused, and why")
	flag.Parse()
	slog.SetLogLoggerLevel(level)
	target, err := url.Parse(*to)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		log.Fatalf("-to %q is no URL of a server, such as http://127.0.0.1:11434", *to)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := &http.Server{Addr: *addr, Handler: new(sanitize.Errors).Handler(p.Handler(proxy)), ReadHeaderTimeout: 1e10} // 10 s
	log.Printf("%s, %d routes: http://%s -> %s", p.Name, len(p.Routes), server.Addr, target.Redacted())
	log.Fatal(server.ListenAndServe())
}
