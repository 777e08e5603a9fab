// Quickstart puts a Mantlet pipeline in front of an inference server and shows every protection at work.
//
//	go run ./examples/quickstart
//
// It serves on 127.0.0.1:8080, prints one line MANTLET_API_KEY=<key> on standard output, and from then on one readable line
// per request on standard error. Without -upstream an in-process model answers: a small stand-in, described in model.go, with
// model names that misbehave on purpose. With -upstream URL the same pipeline fronts any OpenAI-compatible server; a key for
// that server is taken from the environment variable UPSTREAM_API_KEY.
//
// The pipeline itself is in protect.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8080", "address to listen on")
	flag.StringVar(&o.data, "data", "", "directory that keeps keys and the audit log; empty keeps nothing")
	flag.StringVar(&o.upstream, "upstream", "", "URL of an OpenAI-compatible server; empty for the built-in stand-in")
	flag.StringVar(&o.plan, "plan", "free", "plan of the key: free or pro")
	flag.StringVar(&o.stats, "stats", "", "loopback address that tells counters at /debug/stats, for tests; empty for none")
	flag.BoolVar(&o.describe, "describe", false, "print what the pipeline enforces and exit")
	flag.BoolVar(&o.show, "show", false, "print the prompts captured in -data, decrypted, and exit")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		log.Fatal("quickstart: ", err)
	}
}

// options are the command line.
type options struct {
	addr, data, upstream, plan, stats string
	describe, show                    bool
}

func run(ctx context.Context, o options) (err error) {
	if o.show {
		return show(os.Stdout, o.data)
	}
	p, err := protect(o)
	if err != nil {
		return err
	}
	defer func() {
		// After the server: what it still recorded is written before the process ends.
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err = errors.Join(err, p.close(grace))
	}()
	if o.describe {
		fmt.Print(p.pipeline.Describe())
		return nil
	}
	if o.stats != "" {
		l, err := listenDebug(o.stats)
		if err != nil {
			return err
		}
		debug := &http.Server{Handler: debugHandler(p.stats), ReadHeaderTimeout: 5 * time.Second}
		defer debug.Close()
		go debug.Serve(l)
	}
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	// The last thing that can fail: a start that did not come up leaves no key behind.
	key, err := p.freshKey(ctx)
	if err != nil {
		l.Close()
		return err
	}
	srv := &http.Server{
		Handler:           p.pipeline,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	fmt.Fprintf(os.Stderr, "listening on http://%s, stop with Ctrl-C\n", l.Addr())
	fmt.Fprintf(os.Stdout, "MANTLET_API_KEY=%s\n", key.Reveal())

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return srv.Close() // what still streams is cut
}
