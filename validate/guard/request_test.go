package guard_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/memhttp"
	"github.com/mantlet-go/mantlet/internal/raced"
	"github.com/mantlet-go/mantlet/validate/guard"
)

// rule returns which rule a request breaks, "" for none.
func rule(g *guard.Guard, r *http.Request) string {
	err := g.Check(r, time.Now())
	var e *guard.Error
	if errors.As(err, &e) {
		return e.Rule
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// apiPaths are the routes of the servers that stand behind this package, from their references and sources, and the well-known
// paths their clients ask for.
var apiPaths = strings.Fields(`
/ /v1/chat/completions /v1/completions /v1/responses /v1/responses/resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b /v1/responses/resp_1/input_items
/v1/responses/resp_1/cancel /v1/embeddings /v1/models /v1/models/gpt-4o /v1/models/ft:gpt-4o-mini-2024-07-18:acme::9tJUmEnV /v1/moderations
/v1/audio/speech /v1/audio/transcriptions /v1/audio/translations /v1/images/generations /v1/images/edits /v1/images/variations /v1/files
/v1/files/file-abc123/content /v1/uploads/upload_1/parts /v1/uploads/upload_1/complete /v1/batches /v1/batches/batch_1/cancel /v1/fine_tuning/jobs
/v1/fine_tuning/jobs/ftjob-1/events /v1/fine_tuning/checkpoints/ft:x:7p4lURel:ckpt-step-88/permissions /v1/vector_stores/vs_1/file_batches/b_1/files
/v1/vector_stores/vs_1/search /v1/assistants /v1/threads/thread_1/runs/run_1/submit_tool_outputs /v1/realtime /v1/realtime/sessions /v1/conversations
/v1/containers/cntr_1/files/cfile_1/content /v1/evals/e_1/runs/r_1/output_items /v1/organization/usage/completions /v1/organization/admin_api_keys
/openai/deployments/gpt-4o/chat/completions /openai/v1/responses
/v1/messages /v1/messages/count_tokens /v1/messages/batches /v1/messages/batches/msgbatch_1/results /v1/complete /v1/skills /v1/organizations/workspaces
/api/generate /api/chat /api/embed /api/embeddings /api/tags /api/show /api/ps /api/pull /api/push /api/create /api/copy /api/delete /api/version
/api/blobs/sha256:29fdb92e57cf0827ded04ae6461b5931d01fa595843f55d36f5b275a52087dd2
/health /ping /version /metrics /load /tokenize /detokenize /pooling /classify /score /v1/score /rerank /v1/rerank /v2/rerank /invocations
/server_info /reset_prefix_cache /sleep /wake_up /is_sleeping /collective_rpc /start_profile /stop_profile /v1/load_lora_adapter /v1/unload_lora_adapter
/docs /redoc /openapi.json /props /slots /slots/0 /completion /completions /infill /embedding /embeddings /reranking /apply-template /lora-adapters
/models /models/load /chat/completions /v1/health /tools /cors-proxy /v1/infill /info /generate /generate_stream /v2/models/llama/versions/1/infer /v2/health/ready
/mcp /mcp/ /sse /message /messages/ /.well-known/oauth-protected-resource /.well-known/oauth-protected-resource/mcp /.well-known/oauth-authorization-server
/.well-known/openid-configuration /.well-known/jwks.json /.well-known/security.txt /.well-known/agent.json /.well-known/agent-card.json /.well-known/acme-challenge/x
/authorize /token /register /oauth/token /login /login/callback /logout /admin /console /api/v1/keys /users/me /favicon.ico /robots.txt /index.html /static/app.js
/assets/index-4f2a.css /healthz /livez /readyz /status /debug/pprof/heap /v1beta/models/gemini-2.0-flash:streamGenerateContent
/v1/models/meta-llama/Llama-3.1-8B-Instruct /v1/models/qwen2.5-coder:7b-instruct-q4_K_M /v1/models/bge-m3.gguf /v1/models/environment /v1/models/gitlab-duo
/v1/models/phpcoder /v1/models/cgi-model /v1/models/sqlcoder-7b /huggingface/resolve/main/config.json /v1/models/solr /v1/models/cgi /api/druid`)

var agentsOfClients = []string{
	"", "curl/8.5.0", "Wget/1.21.4", "Go-http-client/1.1", "Go-http-client/2.0", "python-requests/2.32.3", "python-httpx/0.27.2", "aiohttp/3.10.5",
	"OpenAI/Python 1.54.3", "AsyncOpenAI/Python 1.54.3", "OpenAI/JS 4.71.0", "OpenAI/Go 0.1.0-alpha.38", "Anthropic/Python 0.39.0", "AsyncAnthropic/Python 0.39.0",
	"Anthropic/JS 0.32.1", "openai-java/0.8.0", "axios/1.7.7", "node", "undici", "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "Deno/2.0.6", "Bun/1.1.34",
	"okhttp/4.12.0", "Java-http-client/21.0.5", "Apache-HttpClient/5.4 (Java/21)", "Dart/3.5 (dart:io)", "reqwest/0.12", "hyper/1.5", "Faraday v2.12.0", "GuzzleHttp/7",
	"PostmanRuntime/7.42.0", "insomnia/10.1.1", "HTTPie/3.2.4", "ollama/0.4.1 (amd64 linux) Go/go1.22.8", "litellm/1.52.0", "langchain-ai/0.3", "llama-index", "LangChainJS",
	"claude-code/1.0.3 (external, cli)", "Cline/3.2", "aider/0.63", "Continue/0.9", "GitHubCopilotChat/0.22.4", "codex_cli_rs/0.20.0", "mcp-inspector", "ai-sdk/openai",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
	"Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
	"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "GPTBot/1.2", "ClaudeBot/1.0", "kube-probe/1.31", "Prometheus/2.55.0", "ELB-HealthChecker/2.0",
	"GoogleHC/1.0", "UptimeRobot/2.0", "nucleic-acid-tools/1.0", "Vegafusion/1", "amass-scanner", "Nmapper", "sqlmapper/2", "minmap/1.0", "Zerozmap",
}

func TestNoPathOrProgramOfAnInferenceAPIIsRefused(t *testing.T) {
	g := must(t, guard.Config{})
	for _, p := range apiPaths {
		for _, prefix := range []string{"", "/llm", "/proxy/eu-1"} {
			if got := rule(g, httptest.NewRequest("POST", prefix+p, nil)); got != "" {
				t.Errorf("%s%s: %s %s", prefix, p, got, g.MatchPath(prefix+p))
			}
		}
	}
	for _, ua := range agentsOfClients {
		r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
		r.Header.Set("User-Agent", ua)
		if got := rule(g, r); got != "" {
			t.Errorf("%s: %s %s", ua, got, g.MatchAgent(ua))
		}
	}
}

func TestProbesAreFoundInEverySpelling(t *testing.T) {
	g := must(t, guard.Config{})
	for _, p := range strings.Fields(`/.env /api/.env /.ENV /.env.local /.env.production.bak /.env/x //.env /.%65nv /.env;x=1 /.git/config /.git/HEAD /x/.svn/entries /.aws/credentials
		/.kube/config /.ssh/id_rsa /id_rsa /wp-login.php /blog/wp-admin/setup-config.php /wp-content/plugins/x /wp-config.bak /xmlrpc.php /index.PHP /index.php/x /vendor/phpunit/phpunit/src/Util
		/lib/vendor/phpunit/x /phpmyadmin/ /phpMyAdmin-5.1/index /pma/ /cgi-bin/luci/;stok=/locale /cgi-bin/ /x.cgi /shell.aspx /WEB-INF/web.xml /actuator /actuator/env /api/actuator/heapdump
		/jolokia/list /manager/html /server-status /server-status/x /owa/auth/logon.aspx /owa/ /autodiscover/autodiscover.xml /boaform/admin/formLogin /GponForm/diag_Form /HNAP1/ /dana-na/
		/+CSCOE+/logon.html /remote/fgt_lang /etc/passwd /static/etc/passwd /windows/system32/cmd /backup.sql /x/dump.sql /latest/meta-data/iam /solr/admin /_ignition/execute-solution
		/.DS_Store /.vscode/sftp.json /web.config /docker-compose.yml /v1/models/.env%252fx /v1/models/x%252F.env /v1/models/x%2f.env /.env%20 /.env. /.env%20.%20/x /wp-login.php%20
		/v1/models/etc%252Fpasswd`) {
		if got := rule(g, httptest.NewRequest("GET", p, nil)); got != guard.RuleProbe {
			t.Errorf("%s: %q", p, got)
		}
	}
	for _, ua := range []string{"sqlmap/1.8#stable (https://sqlmap.org)", "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:Port Check)", "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)",
		"masscan/1.3", "Mozilla/5.0 zgrab/0.x", "gobuster/3.6", "Fuzz Faster U Fool v2.1.0-dev", "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)",
		"libredtail-http", "Mozilla/5.0 (compatible; CensysInspect/1.1; +https://about.censys.io/)", "httpx - Open-source project (github.com/projectdiscovery/httpx)",
		"${jndi:ldap://x/a}", "x ${JNDI:dns://x}", "() { :; }; /bin/bash -c id", "WPScan v3.8.25 (https://wpscan.com/wordpress-security-scanner)", "DirBuster-1.0-RC1", "SQLMAP"} {
		r := httptest.NewRequest("GET", "/v1/models", nil)
		r.Header.Set("User-Agent", ua)
		if got := rule(g, r); got != guard.RuleAgent {
			t.Errorf("%s: %q", ua, got)
		}
	}
}

func TestEveryEntryOfTheTablesMatchesAndHasAReason(t *testing.T) {
	g := must(t, guard.Config{})
	seen := map[string]bool{}
	for _, p := range append(guard.DefaultProbes(), guard.DefaultAgents()...) {
		if p.Reason == "" || seen[strings.ToLower(p.Text)] {
			t.Errorf("%+v has no reason or stands there twice", p)
		}
		seen[strings.ToLower(p.Text)] = true
	}
	for _, p := range guard.DefaultProbes() {
		if sample := "/" + strings.TrimPrefix(strings.ReplaceAll(p.Text, "*", "x"), "/"); g.MatchPath(sample) == "" {
			t.Errorf("%s does not match %s", p.Text, sample)
		}
	}
	for _, p := range guard.DefaultAgents() {
		if g.MatchAgent("a "+p.Text+"/1") == "" {
			t.Errorf("%s does not match", p.Text)
		}
	}
}

func TestTheTablesAreTheUsersToChange(t *testing.T) {
	mine := append(guard.DefaultProbes(), guard.Pattern{Text: "/internal/x*", Reason: "ours"})
	mine = mine[1:] // .env is first
	g := must(t, guard.Config{Probes: mine, Agents: []guard.Pattern{{Text: "evil", Reason: "test"}}})
	mine[len(mine)-1].Text = "changed"
	for p, want := range map[string]string{"/.env": "", "/internal/xy": "/internal/x*", "/v1/internal/xy": "", "/internal": "", "/.git": ".git"} {
		if got := g.MatchPath(p); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	if g.MatchAgent("sqlmap") != "" || g.MatchAgent("an Evil bot") != "evil" {
		t.Error("agents")
	}
	off := must(t, guard.Config{SkipProbes: true, SkipAgents: true})
	r := httptest.NewRequest("GET", "/.env", nil)
	r.Header.Set("User-Agent", "sqlmap")
	if got := rule(off, r); got != "" {
		t.Error(got)
	}
}

func TestPathsThatTwoServersReadDifferentlyAreRefused(t *testing.T) {
	all := guard.Config{SkipProbes: true}
	for _, tc := range []struct {
		target string
		skip   func(*guard.Config)
	}{
		{"/v1/../admin", func(c *guard.Config) { c.SkipDotSegments = true }},
		{"/v1/%2e%2e/admin", func(c *guard.Config) { c.SkipDotSegments = true }},
		{"/v1/.%2E", func(c *guard.Config) { c.SkipDotSegments = true }},
		{"/./v1", func(c *guard.Config) { c.SkipDotSegments = true }},
		{"/v1/..;/admin", func(c *guard.Config) { c.SkipDotSegments = true }},
		{"/v1/models/..%2f..%2fadmin", func(c *guard.Config) { c.SkipDotSegments = true }},
		{"/v1/models/..%252F..%252Fadmin", func(c *guard.Config) { c.SkipDotSegments = true }},
		{"/v1/models/x%252f..", func(c *guard.Config) { c.SkipDotSegments = true }},
		{"/..%20/x", func(c *guard.Config) { c.SkipDotSegments = true }},
		{"/.%20.%20/x", func(c *guard.Config) { c.SkipDotSegments = true }},
		{"/v1%2fadmin", func(c *guard.Config) { c.SkipEncodedSlash = true }},
		{"/v1%2Fadmin/models/x", func(c *guard.Config) { c.SkipEncodedSlash = true }},
		{"/v1/x%5cadmin", func(c *guard.Config) { c.SkipBackslash = true }},
		{"/v1/x%5Cadmin", func(c *guard.Config) { c.SkipBackslash = true }},
		{"/v1/x\\admin", func(c *guard.Config) { c.SkipBackslash = true }},
		{"/v1/x%00.json", func(c *guard.Config) { c.SkipControl = true }},
		{"/v1/x%0d%0aSet-Cookie:x", func(c *guard.Config) { c.SkipControl = true }},
		{"/v1/%7f", func(c *guard.Config) { c.SkipControl = true }},
		{"/v1/%252e%252e/admin", func(c *guard.Config) { c.SkipDoubleEncoding = true }},
		{"/v1%252Fadmin", func(c *guard.Config) { c.SkipDoubleEncoding = true }},
		{"/v1%255cadmin", func(c *guard.Config) { c.SkipDoubleEncoding = true }},
		{"/v1/x%2500", func(c *guard.Config) { c.SkipDoubleEncoding = true }},
		{"/v1/%c0%ae%c0%ae/admin", func(c *guard.Config) { c.SkipUTF8 = true }},
		{"/v1%c0%afadmin", func(c *guard.Config) { c.SkipUTF8 = true }},
	} {
		u, err := url.ParseRequestURI(tc.target)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.URL, r.RequestURI = u, tc.target
		if got := rule(must(t, all), r); got != guard.RulePath {
			t.Errorf("%s: %q", tc.target, got)
		}
		open := all
		tc.skip(&open)
		if got := rule(must(t, open), r); got != "" {
			t.Errorf("%s is not what the option lets pass: %q", tc.target, got)
		}
	}
	g := must(t, all)
	for _, target := range []string{"/v1/models/meta-llama%2FLlama-3.1-8B", "/v1/models/meta-llama%252FLlama-3", "/v1/100%25", "/v1/%25zz", "/v1/a%20b", "/v1/modèle", "/v1/%F0%9F%98%80", "/v1/...", "/v1/..a", "//v1//x/", "/%2541"} {
		if got := rule(g, httptest.NewRequest("GET", target, nil)); got != "" {
			t.Errorf("%s: %q", target, got)
		}
	}
}

func TestMethodsThatHaveNoPlaceAreRefused(t *testing.T) {
	g := must(t, guard.Config{})
	for _, m := range []string{"TRACE", "TRACK", "CONNECT", "DEBUG", "PROPFIND", "get", "GET\x00", ""} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method = m
		if got := rule(g, r); got != guard.RuleMethod {
			t.Errorf("%q: %q", m, got)
		}
	}
	w := httptest.NewRecorder()
	g.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("TRACE", "/", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if got := rule(must(t, guard.Config{Methods: []string{"POST"}}), httptest.NewRequest("GET", "/", nil)); got != guard.RuleMethod {
		t.Error(got)
	}
}

func TestSizesOfTheRequestHeadAreBoundedExactly(t *testing.T) {
	g := must(t, guard.Config{MaxURL: 100, MaxHeaderBytes: 200, MaxHeaderValue: 150, MaxHeaders: 3})
	target := func(n int) *http.Request { return httptest.NewRequest("GET", "/"+strings.Repeat("a", n-1), nil) }
	query := func(n int) *http.Request { return httptest.NewRequest("GET", "/?"+strings.Repeat("a", n-2), nil) }
	head := func(h http.Header) *http.Request { r := httptest.NewRequest("GET", "/", nil); r.Header = h; return r }
	x := strings.Repeat("x", 150)
	for i, tc := range []struct {
		r    *http.Request
		want string
	}{
		{target(100), ""}, {target(101), guard.RuleURLLength}, {query(100), ""}, {query(101), guard.RuleURLLength},
		{head(http.Header{"A": {x}}), ""}, {head(http.Header{"A": {x + "x"}}), guard.RuleHeaderSize},
		{head(http.Header{"A": {x}, "Bcd": {x[:38]}}), ""}, {head(http.Header{"A": {x}, "Bcd": {x[:39]}}), guard.RuleHeaderSize},
		{head(http.Header{"A": {"1", "2", "3"}}), ""}, {head(http.Header{"A": {"1", "2"}, "B": {"1", "2"}}), guard.RuleHeaderSize},
	} {
		if got := rule(g, tc.r); got != tc.want {
			t.Errorf("%d: %q, want %q", i, got, tc.want)
		}
	}
	for want, r := range map[int]*http.Request{414: target(101), 431: head(http.Header{"A": {x + "x"}})} {
		w := httptest.NewRecorder()
		g.Handler(http.NotFoundHandler()).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%d, want %d", w.Code, want)
		}
	}
}

func TestHeadersThatTwoServersReadDifferentlyAreRefused(t *testing.T) {
	for _, tc := range []struct {
		change func(*http.Request)
		want   string
		skip   guard.Config
	}{
		{func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer a", "Bearer b"} }, guard.RuleDuplicateHeader, guard.Config{SkipDuplicateHeaders: true}},
		{func(r *http.Request) { r.Header["X-Api-Key"] = []string{"a", "a"} }, guard.RuleDuplicateHeader, guard.Config{SkipDuplicateHeaders: true}},
		{func(r *http.Request) { r.Header["Content-Type"] = []string{"a/b", "c/d"} }, guard.RuleDuplicateHeader, guard.Config{SkipDuplicateHeaders: true}},
		{func(r *http.Request) { r.Header["X_forwarded_for"] = []string{"127.0.0.1"} }, guard.RuleUnderscore, guard.Config{SkipUnderscores: true}},
		{func(r *http.Request) { r.TransferEncoding = []string{"chunked"}; r.Header.Set("Content-Length", "3") }, guard.RuleFraming, guard.Config{}},
		{func(r *http.Request) { r.Header.Set("Host", "evil.example") }, guard.RuleHostMismatch, guard.Config{}},
		{func(r *http.Request) { r.URL.Host = "evil.example" }, guard.RuleHostMismatch, guard.Config{}},
		{func(r *http.Request) { r.Header.Set("Host", "Example.com") }, "", guard.Config{}},
		{func(r *http.Request) { r.Header["Accept"] = []string{"a/b", "c/d"} }, "", guard.Config{}},
		{func(r *http.Request) { r.Header["Cookie"] = []string{"a=b", "c=d"} }, "", guard.Config{}},
		{func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, "", guard.Config{}},
	} {
		r := httptest.NewRequest("POST", "/v1/messages", nil) // for example.com
		tc.change(r)
		if got := rule(must(t, guard.Config{}), r); got != tc.want {
			t.Errorf("%v: %q, want %q", r.Header, got, tc.want)
		}
		if tc.skip.SkipDuplicateHeaders || tc.skip.SkipUnderscores {
			if got := rule(must(t, tc.skip), r); got != "" {
				t.Errorf("%v with the option: %q", r.Header, got)
			}
		}
	}
}

// What the package comment says of net/http: these never reach a handler, or not as they were sent.
func TestWhatNetHTTPDoesByItself(t *testing.T) {
	var got *http.Request
	srv := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r }))
	send := func(head string) int {
		t.Helper()
		got = nil
		conn, err := srv.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go io.WriteString(conn, strings.ReplaceAll(head, "\n", "\r\n"))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, head := range []string{
		"GET / HTTP/1.1\nHost: a\nHost: b\n\n", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\nHost: a/b\n\n", "GET / HTTP/1.1\nHost: a\nX Y: z\n\n",
		"GET / HTTP/1.1\nHost: a\nX: \x01\n\n", "POST / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 2\n\nxx", "GET / HTTP/1.1\nHost: a\nX : y\n\n",
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked, gzip\n\n0\n\n", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: x\n\n0\n\n",
	} {
		if code := send(head); code/100 != 4 && code != 501 || got != nil {
			t.Errorf("%q: %d, and a handler ran: %v", head, code, got != nil)
		}
	}
	if send("GET / HTTP/1.1\nHost: a\nX: b\n c\n\n"); got.Header.Get("X") != "b c" {
		t.Errorf("a folded line became %q", got.Header)
	}
	if send("POST / HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n"); got.Header["Content-Length"] != nil || got.ContentLength != -1 {
		t.Errorf("Content-Length beside chunked: %v, %d", got.Header, got.ContentLength)
	}
	if send("GET http://b/ HTTP/1.1\nHost: a\n\n"); got.Host != "b" || got.Header["Host"] != nil {
		t.Errorf("absolute form: %q, %v", got.Host, got.Header)
	}
}

func TestOnlyTheConfiguredHostsAreAnswered(t *testing.T) {
	g := must(t, guard.Config{Hosts: []string{"API.example.com", "localhost:11434", "[::1]:8080", "[2001:DB8:0::1]", "127.0.0.1", "secure.example:443", "a_b.example."}})
	for h, want := range map[string]string{
		"api.example.com": "", "API.EXAMPLE.COM": "", "api.example.com.": "", "api.example.com:8443": "", "api.example.com:": "", "api.example.com.:1": "",
		"localhost:11434": "", "LocalHost:11434": "", "localhost": guard.RuleHost, "localhost:80": guard.RuleHost,
		"[::1]:8080": "", "[0:0::1]:8080": "", "[::1]": guard.RuleHost, "[2001:db8::1]": "", "[2001:db8::1]:9": "", "127.0.0.1": "", "127.0.0.1:5": "",
		"secure.example": "", "secure.example:443": "", "secure.example:80": guard.RuleHost, "a_b.example": "",
		"evil.example": guard.RuleHost, "api.example.com.evil.example": guard.RuleHost, "xapi.example.com": guard.RuleHost, "127.0.0.1.evil.example": guard.RuleHost,
		"example.com": guard.RuleHost, "8.8.8.8": guard.RuleHost, "[::ffff:127.0.0.1]": guard.RuleHost,
		"": guard.RuleHostInvalid, ".": guard.RuleHostInvalid, ":80": guard.RuleHostInvalid, "api.example.com..": guard.RuleHostInvalid, "a..b": guard.RuleHostInvalid,
		"api.example.com:x": guard.RuleHostInvalid, "api.example.com:1:2": guard.RuleHostInvalid, "::1": guard.RuleHostInvalid, "[::1": guard.RuleHostInvalid, "[::1]x": guard.RuleHostInvalid,
		"[127.0.0.1]": guard.RuleHostInvalid, "[fe80::1%25eth0]": guard.RuleHostInvalid, "user@api.example.com": guard.RuleHostInvalid, "api.example.com/": guard.RuleHostInvalid,
		"127.1": guard.RuleHostInvalid, "2130706433": guard.RuleHostInvalid, "127.0.0.01": guard.RuleHostInvalid, "api.exämple.com": guard.RuleHostInvalid,
		"api.example.com:123456": guard.RuleHostInvalid, strings.Repeat("a", 64) + ".example": guard.RuleHostInvalid, strings.Repeat("a.", 126) + "a": guard.RuleHost,
		strings.Repeat("a.", 127) + "a": guard.RuleHostInvalid,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = h
		if got := rule(g, r); got != want {
			t.Errorf("%q: %q, want %q", h, got, want)
		}
	}
	for host, want := range map[string]int{"evil.example": 421, "a..b": 400} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		g.Handler(http.NotFoundHandler()).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
}

// CVE-2024-28224: a web page whose name was rebound to 127.0.0.1 could use the API of Ollama before 0.1.29 on its visitor's machine,
// as if it were of the same origin. The browser still sends the page's name as Host.
func TestCVE202428224AReboundNameDoesNotReachALocalModelServer(t *testing.T) {
	g := must(t, guard.Config{Hosts: []string{"localhost", "127.0.0.1", "[::1]"}})
	for _, host := range []string{"rebind.attacker.example:11434", "7f000001.c0a80001.rbndr.us:11434", "localhost.attacker.example:11434"} {
		r := httptest.NewRequest("GET", "http://"+host+"/api/tags", nil)
		r.RemoteAddr = "127.0.0.1:50000"
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if got := rule(g, r); got != guard.RuleHost {
			t.Errorf("%s: %q", host, got)
		}
	}
	r := httptest.NewRequest("GET", "http://localhost:11434/api/tags", nil)
	r.RemoteAddr = "127.0.0.1:50000"
	if got := rule(g, r); got != "" {
		t.Error(got)
	}
}

func TestPagesOfOtherOriginsAreRefused(t *testing.T) {
	g := must(t, guard.Config{Origins: []string{"https://chat.example.com", "http://localhost:3000"}})
	for o, want := range map[string]string{
		"https://chat.example.com": "", "http://localhost:3000": "", "-": "", "http://chat.example.com": guard.RuleOrigin, "https://chat.example.com:444": guard.RuleOrigin,
		"null": guard.RuleOrigin, "https://evil.example": guard.RuleOrigin, "": guard.RuleOrigin, "https://chat.example.com.evil.example": guard.RuleOrigin,
	} {
		r := httptest.NewRequest("POST", "/mcp", nil)
		if o != "-" {
			r.Header["Origin"] = []string{o}
		}
		if got := rule(g, r); got != want {
			t.Errorf("%q: %q, want %q", o, got, want)
		}
	}
}

func TestARequestThatPassesAllocatesNothing(t *testing.T) {
	if raced.Enabled {
		t.Skip("the race detector allocates")
	}
	g := must(t, guard.Config{Rules: guard.Rules{Deny: many(1000)}, Hosts: []string{"example.com"}, Origins: []string{"https://chat.example.com"}})
	g.ReportAddr(attacker, 100) // so that the table is looked at
	r := chat()
	r.Header.Set("Origin", "https://chat.example.com")
	if n := testing.AllocsPerRun(100, func() {
		if err := g.Check(r, time.Now()); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// chat is a request as the OpenAI client for Python sends it.
func chat() *http.Request {
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	r.RemoteAddr = "203.0.113.5:5555"
	for k, v := range map[string]string{"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "Authorization": "Bearer x", "Connection": "keep-alive",
		"Content-Type": "application/json", "User-Agent": "OpenAI/Python 1.54.3", "X-Stainless-Arch": "x64", "X-Stainless-Async": "false", "X-Stainless-Lang": "python",
		"X-Stainless-Os": "Linux", "X-Stainless-Package-Version": "1.54.3", "X-Stainless-Retry-Count": "0", "X-Stainless-Runtime": "CPython"} {
		r.Header.Set(k, v)
	}
	return r
}

// slowMatch is the grammar of Pattern, written for reading.
func slowMatch(list []guard.Pattern, target string) bool {
	var segs []string
	target = strings.NewReplacer("\\", "/", "%2f", "/", "%2F", "/", "%5c", "/", "%5C", "/").Replace(target)
	for s := range strings.SplitSeq(target, "/") {
		s, _, _ = strings.Cut(s, ";")
		if s = strings.TrimRight(s, ". "); s != "" {
			segs = append(segs, asciiLower(s))
		}
	}
	for _, p := range list {
		want := strings.Split(asciiLower(strings.TrimPrefix(p.Text, "/")), "/")
		for i := range segs {
			if i > 0 && p.Text[0] == '/' || i+len(want) > len(segs) {
				break
			}
			ok := true
			for j, w := range want {
				s := segs[i+j]
				switch {
				case w[0] == '*':
					ok = ok && strings.HasSuffix(s, w[1:])
				case w[len(w)-1] == '*':
					ok = ok && strings.HasPrefix(s, w[:len(w)-1])
				default:
					ok = ok && s == w
				}
			}
			if ok {
				return true
			}
		}
	}
	return false
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, strings.ToValidUTF8(s, "\x00"))
}

// FuzzProbes: the matcher agrees with the grammar of Pattern as written for reading; doubled slashes and the case of letters
// change nothing; it allocates nothing; nothing panics, whatever the path or the header.
func FuzzProbes(f *testing.F) {
	for _, s := range []string{"/.env", "/a//.git;x/config", "/wp-login.php", "/v1/models", "", "/", "////", ";", "/;a/.env", "/vendor/phpunit", "/vendor/x/phpunit", "/*", "/K\u212A.php", "o\x88i;\\\\c.php", "/a;b%5C.env. ", "/x%2f.git./config", "sqlmap/1", "() {"} {
		f.Add(s)
	}
	g := must(f, guard.Config{})
	list := guard.DefaultProbes()
	f.Fuzz(func(t *testing.T, s string) {
		got := g.MatchPath(s) != ""
		if want := slowMatch(list, s); got != want {
			t.Fatalf("%q: %v (%s), want %v", s, got, g.MatchPath(s), want)
		}
		if other := g.MatchPath(strings.ReplaceAll(asciiLower(s), "/", "//")) != ""; other != got {
			t.Fatalf("%q: %v, otherwise spelled %v", s, got, other)
		}
		if !strings.Contains("/"+s+"/", "/./") && !strings.Contains("/"+s+"/", "/../") {
			if clean := g.MatchPath(path.Clean("/"+s)) != ""; clean != got {
				t.Fatalf("%q: %v, cleaned %v", s, got, clean)
			}
		}
		agent := g.MatchAgent(s)
		if agent != "" && !strings.Contains(asciiLower(s), asciiLower(agent)) {
			t.Fatalf("%q matched %q", s, agent)
		}
		if agent != g.MatchAgent(asciiLower(s)) {
			t.Fatalf("%q: case counts", s)
		}
		if !raced.Enabled && len(s) < 1000 {
			if n := testing.AllocsPerRun(1, func() { g.MatchPath(s); g.MatchAgent(s) }); n != 0 {
				t.Fatalf("%v allocations", n)
			}
		}
	})
}

// FuzzHost: what is accepted as a host of the list is one of its spellings and nothing longer; the case of letters and a
// trailing dot change nothing; nothing panics.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"api.example.com", "API.example.com.:443", "[::1]:8080", "[0::0:1]", "127.0.0.1", "127.1", "[::1%x]", "a:b:c", "[", "]", ":", "."} {
		f.Add(s)
	}
	g := must(f, guard.Config{Hosts: []string{"api.example.com", "127.0.0.1", "[::1]"}})
	f.Fuzz(func(t *testing.T, s string) {
		got := g.CheckHost(s)
		if got == "" {
			u, err := url.Parse("http://" + s + "/")
			if err != nil {
				t.Fatalf("accepted %q, which is no authority: %v", s, err)
			}
			switch name := strings.ToLower(u.Hostname()); {
			case name == "api.example.com", name == "api.example.com.", name == "127.0.0.1", name == "127.0.0.1.":
			case strings.HasPrefix(s, "[") && strings.Trim(name, "0:") == "1", strings.HasPrefix(s, "[") && strings.HasSuffix(name, ":0.0.0.1"):
			default:
				t.Fatalf("accepted %q, host %q", s, name)
			}
		}
		if other := g.CheckHost(asciiLower(s)); other != got {
			t.Fatalf("%q: %q, in lower case %q", s, got, other)
		}
	})
}

// FuzzRequest: no target and no header makes the checks panic, and what passes has no dot segment, control character or backslash
// in its path.
func FuzzRequest(f *testing.F) {
	f.Add("/v1/%2e%2e/x", "a\\b", "X_y", "z")
	f.Add("http://h/a%252f..;/", "", "Host", "b")
	g := must(f, guard.Config{Hosts: []string{"example.com"}, Origins: []string{"https://x.example"}})
	f.Fuzz(func(t *testing.T, target, host, name, value string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.URL, r.RequestURI, r.Host = u, target, host
		if host == "" {
			r.Host = "example.com"
		}
		r.Header[name] = []string{value}
		if rule(g, r) == "" {
			for seg := range strings.SplitSeq(u.Path, "/") {
				if seg == "." || seg == ".." || strings.ContainsAny(seg, "\\\x00\r\n") {
					t.Fatalf("%q passed", target)
				}
			}
			if host != "" && !strings.Contains(strings.ToLower(host), "example.com") {
				t.Fatalf("host %q passed", host)
			}
		}
	})
}

// The rules were found in a map, and so at random; logs and points must not depend on that.
func TestOfSeveralFaultsOfAHeaderItIsAlwaysTheSameRule(t *testing.T) {
	g := must(t, guard.Config{MaxHeaderValue: 100})
	faults := []struct {
		rule, name string
		values     []string
	}{
		{guard.RuleHeaderSize, "X-Long", []string{strings.Repeat("a", 101)}},
		{guard.RuleDuplicateHeader, "Authorization", []string{"a", "b"}},
		{guard.RuleUnderscore, "X_real_ip", []string{"127.0.0.1"}},
		{guard.RuleHostMismatch, "Host", []string{"other.example"}},
	}
	for first := range faults {
		for range 200 {
			r := httptest.NewRequest("GET", "/", nil)
			for _, f := range faults[first:] {
				r.Header[f.name] = f.values
			}
			var e *guard.Error
			if err := g.Check(r, time.Now()); !errors.As(err, &e) || e.Rule != faults[first].rule {
				t.Fatalf("%v, want %s", err, faults[first].rule)
			}
		}
	}
}

// The rooms' Refuse functions find each other's errors this way.
func TestAnErrorFillsInTheDenialThatOthersWrite(t *testing.T) {
	err := must(t, guard.Config{}).Check(httptest.NewRequest("GET", "/.env", nil), time.Now())
	var d *deny.Denial
	if !errors.As(fmt.Errorf("wrapped: %w", err), &d) || d.Status() != 404 || d.Stage != "guard" {
		t.Errorf("%+v", d)
	}
}
