package validate_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/validate"
)

// zip is text as one gzip member.
func zip(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

var withGzip = validate.Config{Encodings: []string{"gzip"}}

func zipped(method, body string, header ...string) *http.Request {
	return request(method, body, append([]string{"Content-Encoding", "gzip"}, header...)...)
}

func TestAGzipBodyIsDecodedForEverybodyBehind(t *testing.T) {
	const body = `{"n":3,"model":"llama"}`
	v := mustNew(t, withGzip)
	ran := false
	h := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ran = true
		raw, _ := validate.Raw(r.Context())
		typed, err := validate.Body[struct {
			N     int    `json:"n"`
			Model string `json:"model"`
		}](r.Context())
		again, _ := r.GetBody()
		read, _ := io.ReadAll(r.Body)
		reread, _ := io.ReadAll(again)
		if string(raw) != body || string(read) != body || string(reread) != body || err != nil || typed.N != 3 {
			t.Errorf("Raw %q, Body %+v %v, r.Body %q, GetBody %q", raw, typed, err, read, reread)
		}
		if r.ContentLength != int64(len(body)) || r.Header.Get("Content-Length") != fmt.Sprint(len(body)) || len(r.TransferEncoding) > 0 {
			t.Errorf("length %d, header %q, transfer encoding %q", r.ContentLength, r.Header["Content-Length"], r.TransferEncoding)
		}
		for _, gone := range []string{"Content-Encoding", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5"} {
			if _, ok := r.Header[gone]; ok {
				t.Errorf("%s speaks of bytes that are gone", gone)
			}
		}
		if q := exchange.From(r.Context()).Request(raw); q == nil || q.Model != "llama" {
			t.Errorf("facts %+v", q)
		}
	}))
	for _, coding := range []string{"gzip", "GZIP", "x-gzip", " gzip ", "identity, gzip", "gzip|identity", ",gzip"} {
		ran = false
		sent := zip(body)
		r := zipped("POST", sent, "Content-Encoding", coding, "Content-Length", fmt.Sprint(len(sent)),
			"Content-Digest", "sha-256=:x:", "Repr-Digest", "sha-256=:x:", "Digest", "x", "Content-Md5", "x")
		asSent := maps.Clone(r.Header)
		w := serve(h, r)
		if !ran {
			t.Errorf("%q: %d %s", coding, w.Code, w.Body)
		}
		if fmt.Sprint(r.Header) != fmt.Sprint(asSent) {
			t.Errorf("%q: the header map of the one outside was changed: %v", coding, r.Header)
		}
	}
}

func TestAnUncodedBodyPassesAValidatorThatAcceptsGzip(t *testing.T) {
	h := mustNew(t, withGzip).Handler(echo)
	for _, coding := range []string{"", "identity"} {
		if w := serve(h, request("POST", `{}`, "Content-Encoding", coding)); w.Code != 200 || w.Body.String() != `{}` {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

func TestOtherAndStackedCodingsAreRefusedBesideGzip(t *testing.T) {
	h := mustNew(t, withGzip).Handler(echo)
	for _, coding := range []string{"deflate", "br", "zstd", "compress", "gzip, gzip", "gzip|gzip", "gzip, br", "br, gzip", "x-gzip, gzip", "gzip;q=1", "gzi"} {
		w := serve(h, zipped("POST", zip(zip(`{}`)), "Content-Encoding", coding))
		if w.Code != 415 || w.Header().Get("Accept-Encoding") != "gzip, identity" {
			t.Errorf("%q: %d, Accept-Encoding %q", coding, w.Code, w.Header().Get("Accept-Encoding"))
		}
	}
}

func TestWhatIsNotExactlyOneGzipFileIsRefused(t *testing.T) {
	h := mustNew(t, withGzip).Handler(echo)
	whole := zip(`{"prompt":"hello"}`)
	cases := map[string]string{
		"not gzip at all":     `{"prompt":"hello"}`,
		"trailing garbage":    whole + "x",
		"trailing zeros":      whole + "\x00\x00\x00\x00",
		"trailing plain JSON": whole + `{"a":1}`,
		"a wrong checksum":    whole[:len(whole)-8] + "abcd" + whole[len(whole)-4:],
		"a wrong length":      whole[:len(whole)-4] + "\x00\x00\x00\x00",
		"gzip of gzip":        zip(whole),
		"zlib":                "\x78\x9c\xab\xae\x05\x00\x01\x75\x00\xf9",
		"two members":         whole + whole,
		"an empty member":     whole + zip(""),
	}
	for n := 1; n < len(whole); n++ {
		cases[fmt.Sprint("cut after ", n)] = whole[:n]
	}
	for name, body := range cases {
		if w := serve(h, zipped("POST", body)); w.Code != 400 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := serve(h, zipped("POST", whole)); w.Code != 200 {
		t.Errorf("the whole file: %d %s", w.Code, w.Body)
	}
}

func TestAnEmptyGzipBodyIsAnEmptyBody(t *testing.T) {
	h := mustNew(t, withGzip).Handler(echo)
	for method, want := range map[string]int{"POST": 400, "GET": 200} {
		if w := serve(h, zipped(method, zip(""))); w.Code != want || want == 400 && !strings.Contains(w.Body.String(), "is empty") {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
	if w := serve(h, zipped("POST", "")); w.Code != 400 || !strings.Contains(w.Body.String(), "is empty") {
		t.Errorf("no bytes at all: %d %s", w.Code, w.Body)
	}
}

func TestTheLimitsOfACodedBodyAreExact(t *testing.T) {
	spaces := func(n int) string { return "1" + strings.Repeat(" ", n-1) }
	long := spaces(200 << 10)
	ratio := (len(long) + len(zip(long)) - 1) / len(zip(long))
	members := strings.Repeat(zip(""), 3) + zip("1")
	for name, c := range map[string]struct {
		cfg     validate.Config
		body    string
		code    string // "" is accepted
		keyword string
	}{
		"as long as MaxDecoded":         {validate.Config{MaxDecoded: 1000}, zip(spaces(1000)), "", ""},
		"one longer":                    {validate.Config{MaxDecoded: 1000}, zip(spaces(1001)), "body_too_large", ""},
		"MaxDecoded is MaxBody":         {validate.Config{MaxBody: 1000}, zip(spaces(1001)), "body_too_large", ""},
		"MaxDecoded over MaxBody":       {validate.Config{MaxBody: 1000, MaxDecoded: 2000}, zip(spaces(1001)), "", ""},
		"compressed longer than it may": {validate.Config{MaxBody: 20, MaxDecoded: 2000}, zip(spaces(1001)), "body_too_large", ""},
		"within the ratio":              {validate.Config{MaxRatio: ratio}, zip(long), "", ""},
		"over the ratio":                {validate.Config{MaxRatio: ratio - 1}, zip(long), "limit_exceeded", "MaxRatio"},
		"over the standard ratio":       {validate.Config{}, zip(long), "limit_exceeded", "MaxRatio"},
		"64 KiB at any ratio":           {validate.Config{MaxRatio: 1}, zip(spaces(64 << 10)), "", ""},
		"one more":                      {validate.Config{MaxRatio: 1}, zip(spaces(64<<10 + 1)), "limit_exceeded", "MaxRatio"},
		"a ratio beyond the format's":   {validate.Config{MaxRatio: math.MaxInt}, zip(long), "", ""},
		"as many members as may be":     {validate.Config{MaxMembers: 4}, members, "", ""},
		"one more member":               {validate.Config{MaxMembers: 3}, members, "limit_exceeded", "MaxMembers"},
		"members share one length":      {validate.Config{MaxMembers: 4, MaxDecoded: 10}, zip(spaces(5)) + zip("     ") + zip(" "), "body_too_large", ""},
	} {
		c.cfg.Encodings = []string{"gzip"}
		var got *validate.Error
		v := mustNew(t, c.cfg)
		c.cfg.Deny = func(w http.ResponseWriter, r *http.Request, err error) { errors.As(err, &got) }
		if err := v.Swap(c.cfg); err != nil {
			t.Fatal(err)
		}
		w := serve(v.Handler(echo), zipped("POST", c.body))
		switch {
		case got == nil && c.code != "" || got == nil && w.Code != 200:
			t.Errorf("%s: accepted (%d)", name, w.Code)
		case got != nil && (got.Code != c.code || got.Keyword != c.keyword || got.Message == ""):
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Unbounded decoding in Go gateways: maximhq/bifrost#1914, looplj/axonhub#1688, OneUptime#3404.
func TestAGzipBombCostsNoMoreThanTheLimits(t *testing.T) {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	for range 100 {
		z.Write(chunk)
	}
	z.Close()
	bomb := b.Bytes()
	if len(bomb) > 120<<10 {
		t.Fatalf("a bomb of %d bytes is none", len(bomb))
	}
	liar := bytes.Clone(bomb)
	binary.LittleEndian.PutUint32(liar[len(liar)-4:], 0) // says that it is empty
	boast := []byte(zip(`{}`))
	binary.LittleEndian.PutUint32(boast[len(boast)-4:], 1<<32-1) // says that it is 4 GB
	for name, c := range map[string]struct {
		cfg   validate.Config
		body  []byte
		bound uint64
	}{
		"a bomb":                      {validate.Config{MaxDecoded: 4 << 20}, bomb, 4<<20 + 256<<10},
		"one that calls itself empty": {validate.Config{MaxDecoded: 4 << 20}, liar, 3*(4<<20) + 256<<10},
		"bounded by the ratio":        {validate.Config{MaxDecoded: 1 << 30, MaxRatio: 10}, bomb, 10*uint64(len(bomb)) + 256<<10},
		"a small one that boasts":     {validate.Config{MaxDecoded: 1 << 30}, boast, 64<<10 + 256<<10},
		"10,000 empty members":        {validate.Config{}, []byte(strings.Repeat(zip(""), 10_000)), 256 << 10},
		"10,000 allowed members":      {validate.Config{MaxMembers: 10_000}, []byte(strings.Repeat(zip(""), 10_000) + "x"), 8 << 20},
	} {
		c.cfg.Encodings = []string{"gzip"}
		validate.Gunzip(c.cfg, []byte(zip("1"))) // fills the pool
		var err error
		if n := allocated(func() { _, err = validate.Gunzip(c.cfg, c.body) }); n > c.bound {
			t.Errorf("%s: %d bytes allocated, want at most %d", name, n, c.bound)
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestShadowLooksIntoACodedBodyAndHandsItOnAsItCame(t *testing.T) {
	cfg := withGzip
	cfg.Shadow, cfg.Schema = true, completionSchema
	for body, refused := range map[string]bool{zip(`{"prompt":"x"}`): false, zip(`{"n":0}`): true, zip("x")[:9]: true} {
		w := serve(mustNew(t, cfg).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n := len(exchange.From(r.Context()).Findings()); n > 0 != refused {
				t.Errorf("%d findings", n)
			}
			if raw, ok := exchange.From(r.Context()).ReadBytes(); ok && exchange.From(r.Context()).Request(raw) != nil {
				t.Error("facts of a text that nobody behind can see")
			}
			if r.Header.Get("Content-Encoding") != "gzip" {
				t.Error("the coding is gone")
			}
			echo(w, r)
		})), zipped("POST", body))
		if w.Code != 200 || w.Body.String() != body {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	}
}

func TestPooledReadersDoNotMixBodies(t *testing.T) {
	h := mustNew(t, withGzip).Handler(echo)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			want := fmt.Sprintf(`{"n":%d,"pad":%q}`, i, strings.Repeat(fmt.Sprint(i), 100*i))
			for range 8 {
				serve(h, zipped("POST", zip(want)[:20])) // one that fails leaves nothing behind
				if w := serve(h, zipped("POST", zip(want))); w.Body.String() != want {
					t.Errorf("%d: %d %.80q", i, w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
}

func TestNewReportsEveryFaultOfTheCodings(t *testing.T) {
	_, err := validate.New(validate.Config{Encodings: []string{"br", "GZIP", "identity"}, MaxDecoded: -1, MaxRatio: -1, MaxMembers: -1})
	for _, want := range []string{`Encodings "br"`, `Encodings "GZIP"`, `Encodings "identity"`, "MaxDecoded -1", "MaxRatio -1", "MaxMembers -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestTwoValidatorsDecodeTheCodingOnce(t *testing.T) {
	outer, inner := mustNew(t, withGzip), mustNew(t, validate.Config{Schema: completionSchema})
	if w := serve(outer.Handler(inner.Handler(echo)), zipped("POST", zip(`{"prompt":"x"}`))); w.Code != 200 || w.Body.String() != `{"prompt":"x"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestABodyThatAnotherRoomReadIsDecodedToo(t *testing.T) {
	v := mustNew(t, withGzip)
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		x.ReadBody(w, r, 1<<20)
		v.Handler(echo).ServeHTTP(w, r)
	})
	if w := serve(outer, zipped("POST", zip(`{"prompt":"x"}`))); w.Body.String() != `{"prompt":"x"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Decoding never panics, never makes more than the limits allow, and makes what compress/gzip makes.
func FuzzGzipBody(f *testing.F) {
	whole := zip(`{"prompt":"hello"}`)
	for _, s := range []string{"", "x", whole, whole + whole, whole + "x", whole[:12], zip(strings.Repeat("a", 1<<17)), zip(whole), zip(""), zip("") + zip("") + zip("")} {
		f.Add([]byte(s))
	}
	const most, members = 80 << 10, 3
	cfg := validate.Config{Encodings: []string{"gzip"}, MaxDecoded: most, MaxRatio: 2, MaxMembers: members}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := validate.Gunzip(cfg, data)
		if err != nil {
			var e *validate.Error
			if !errors.As(err, &e) || e.Status < 400 || e.Message == "" {
				t.Errorf("refused with %#v", err)
			}
			return
		}
		if len(got) > min(most, max(64<<10, 2*len(data))) {
			t.Errorf("%d bytes became %d", len(data), len(got))
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(z)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %q, want %q (%v)", got, want, err)
		}
	})
}

// 90 bits are enough for a block with codes of its own, and each takes a microsecond: 4 MiB of them, which hold nothing, kept
// compress/flate busy for half a second.
func TestAGzipBodyOfEmptyBlocksIsRefusedBeforeItIsDecoded(t *testing.T) {
	var bits []byte
	n := 0
	put := func(v, count int) {
		for ; count > 0; count, v, n = count-1, v>>1, n+1 {
			if n&7 == 0 {
				bits = append(bits, 0)
			}
			bits[n>>3] |= byte(v&1) << (n & 7)
		}
	}
	// An empty block with dynamic codes: code length codes for 0 (in a run), 1 and 18; the literal 256 alone.
	block := func() {
		put(0, 1)  // not the last
		put(2, 2)  // dynamic
		put(0, 5)  // 257 literals
		put(0, 5)  // 1 distance
		put(14, 4) // 18 code length codes
		for _, sym := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1} {
			put(map[int]int{18: 1, 1: 1}[sym], 3)
		}
		put(1, 1) // 18: a run of zeros,
		put(127, 7)
		put(1, 1)
		put(118-11, 7) // 138 + 118 = 256 of them
		put(0, 1)      // 1 for the literal 256
		put(0, 1)      // 1 for a distance that is never used
		put(0, 1)      // the end of the block
	}
	for len(bits) < 3<<20 {
		block()
	}
	put(1, 1) // the last: with fixed codes,
	put(1, 2)
	for _, c := range "{}" {
		put(bits8(int(c)+0x30), 8)
	}
	put(0, 7)
	var b bytes.Buffer
	b.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	b.Write(bits)
	binary.Write(&b, binary.LittleEndian, crc32.ChecksumIEEE([]byte("{}")))
	binary.Write(&b, binary.LittleEndian, uint32(2))
	if z, err := gzip.NewReader(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	} else if text, err := io.ReadAll(z); err != nil || string(text) != "{}" {
		t.Fatalf("the bomb is none: %q, %v", text, err)
	}
	v := mustNew(t, validate.Config{Encodings: []string{"gzip"}})
	if w := serve(v.Handler(echo), request("POST", b.String(), "Content-Encoding", "gzip")); w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// bits8 is v with its eight bits in the other order: Huffman codes begin with their highest bit.
func bits8(v int) (r int) {
	for range 8 {
		r, v = r<<1|v&1, v>>1
	}
	return r
}
