// Package servetls is the TLS side of a server written in Go: a configuration that takes over renewed certificates and changed client CAs
// while it serves, and the handlers that keep clients on HTTPS.
//
//	endpoint, err := servetls.New(servetls.Config{
//		Pairs: []servetls.Pair{{CertFile: "/etc/model/tls.crt", KeyFile: "/etc/model/tls.key"}},
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer endpoint.Close(context.Background())
//	server := &http.Server{
//		Addr:              ":443",
//		Handler:           endpoint.Handler(model), // adds Strict-Transport-Security
//		TLSConfig:         endpoint.TLSConfig(),
//		ReadHeaderTimeout: 10 * time.Second, // bounds the handshake too
//		IdleTimeout:       2 * time.Minute,
//		MaxHeaderBytes:    64 << 10,
//	}
//	log.Fatal(server.ListenAndServeTLS("", ""))
//
// The timeouts belong there: the zero http.Server waits for ever for a handshake and for a header. A WriteTimeout does not: it cuts streams
// that take longer.
//
// # Versions and algorithms
//
// TLS 1.3 is what current clients get, TLS 1.2 the least that is spoken ([Config.TLS13Only] raises it), whatever GODEBUG says. Suites and
// groups are those of the Go release, never a list frozen here, so that the hybrid key exchange X25519MLKEM768 is on and what comes after
// it will be. Early data (0-RTT) does not exist in crypto/tls over TCP. HTTP/2 and HTTP/1.1 are offered.
//
// # Renewal
//
// The files are read every [Config.Poll], whole, and compared by content: modification times lie, and Kubernetes and certbot swap symbolic
// links. No handshake waits for a disk, and what is wrong with a renewal is known (logged, and in [Endpoint.State]) before the old
// certificate ends, also on a server that nobody calls. What differs from what is in force is taken over when
//
//   - it reads the same twice, one second apart, so that a file which is being written is left alone,
//   - no PEM block in it is cut off, which crypto/tls would overlook,
//   - the key belongs to the certificate, and is one that clients of TLS 1.3 take, and
//   - the certificate is for servers, begun, and not expired.
//
// Otherwise the last good pair stays in force, also when the new files are missing or unreadable, and even after it has itself expired:
// clients then say plainly what is wrong, and the next good renewal ends it. A renewal that never comes is logged too. Each pair stands for
// itself, so one broken renewal does not hold up the others. A process that restarts has no last good pair: [New] refuses what a renewal
// would refuse. The files must stay readable for the process; one that gives up root after it has started needs a group that may read them.
//
// # Keys of mode 0644
//
// A key file that any user of the machine may read, or that its group may write, is refused, by [New] and at every renewal. The group may
// read it: that is how Debian's ssl-cert and the fsGroup of Kubernetes give a key to a server that is not root. Kubernetes mounts secrets
// with 0644 unless told otherwise, so tell it, and the same key is 0440 for the container's group:
//
//	securityContext: {fsGroup: 65532}                                  # of the pod
//	secret: {secretName: model-tls, defaultMode: 0440}                 # of the volume
//
// Where that cannot be said and nobody else lives in the container, [Config.InsecureKeyMode] takes any mode. Certificates and files of client
// CAs may be read by everybody, and written by neither group nor others.
//
// # Client certificates
//
// With [Config.ClientCAFiles] every client must show a certificate of one of these CAs. A CA that is taken out of the files is out for
// every handshake that begins after the change was taken over: no session tickets are given out to clients with certificates, hence no
// resumption carries a client past a removed CA (nor past the end of its certificate). Two things remain as they were: connections that are
// already open, for as long as they live (close them, or restart, if a CA was stolen), and all CAs if the files are missing, empty or
// broken, since an empty list would mean the CAs of the operating system to crypto/tls. There are no revocation lists: keep client
// certificates short-lived, or ask in [Config.VerifyConnection].
//
// # What it does not do
//
// It obtains no certificates (see the example with ACME: [Config.GetCertificate]) and knows nothing of proxies: a server behind one that
// ends TLS has no use for it. HSTS protects browsers only, from their second visit on.
//
// # Cost
//
// A handshake costs one atomic load more than with a fixed tls.Config. A poll reads and hashes the files, some 10 kB, and parses nothing
// unless they changed.
package servetls
