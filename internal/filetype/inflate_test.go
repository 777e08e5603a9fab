package filetype

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"testing"
)

// inflate feeds data in pieces and returns what came out of it and what was taken; ok is false when it is no whole stream.
func inflate(data []byte, piece int, most int64) (out, in int64, ok bool) {
	var f inflater
	f.reset()
	for len(data) > 0 && f.state != infDone {
		n, ok := f.feed(data[:min(piece, len(data))], most)
		if !ok || f.out > most {
			return f.out, f.in, false
		}
		data = data[n:]
	}
	return f.out, f.in, f.state == infDone
}

// inflateStd is the same by compress/flate, which takes no byte beyond the end of a bytes.Reader.
func inflateStd(data []byte, most int64) (out, in int64, ok bool) {
	r := bytes.NewReader(data)
	out, err := io.Copy(io.Discard, io.LimitReader(flate.NewReader(r), most+1))
	return out, int64(len(data) - r.Len()), err == nil && out <= most
}

func TestTheInflaterCountsWhatCompressFlateWrites(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, level := range []int{flate.NoCompression, flate.BestSpeed, flate.DefaultCompression, flate.BestCompression, flate.HuffmanOnly} {
		for _, size := range []int{0, 1, 100, 70_000, 300_000} {
			for _, spread := range []int{1, 4, 60, 256} {
				data := make([]byte, size)
				for i := range data {
					data[i] = byte(rng.IntN(spread))
				}
				var b bytes.Buffer
				w, _ := flate.NewWriter(&b, level)
				w.Write(data)
				w.Close()
				stream := append(b.Bytes(), "behind"...)
				for _, piece := range []int{1, 7, 4096, len(stream)} {
					out, in, ok := inflate(stream, piece, 1<<40)
					if !ok || out != int64(size) || in != int64(b.Len()) {
						t.Errorf("level %d, %d bytes of %d kinds in pieces of %d: %d out of %d, %v", level, size, spread, piece, out, in, ok)
					}
				}
			}
		}
	}
}

func TestTheInflaterStopsAtItsBound(t *testing.T) {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	w.Write(make([]byte, 64<<20))
	w.Close()
	if out, in, ok := inflate(b.Bytes(), 1<<20, 1000); ok || out > 1000+258 || in > 400 {
		t.Errorf("%d out of %d, %v", out, in, ok)
	}
}

// Ten bytes of a block with codes of its own cost as much as kilobytes of another: no stream may be made of such blocks.
func TestAStreamOfShortBlocksIsRefused(t *testing.T) {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	rng := rand.New(rand.NewPCG(6, 6))
	line := make([]byte, 150)
	for range 3000 {
		for i := range line {
			line[i] = "abcdefgh"[rng.IntN(1+rng.IntN(8))]
		}
		w.Write(line)
		w.Flush()
	}
	w.Close()
	if _, in, ok := inflate(b.Bytes(), 4096, 1<<40); ok || in > int64(b.Len())/2 {
		t.Errorf("%d of %d bytes, %v", in, b.Len(), ok)
	}
}

// The count is that of compress/flate, for streams that are none too, and does not depend on the pieces.
func FuzzInflater(f *testing.F) {
	for _, s := range []string{"\x03\x00", "\x01\x00\x00\xff\xff", "\x4b\x4c\x04\x00", "\x05\xc0\x81\x00\x00\x00\x00\x00\x90\xff\x6b\x04", ""} {
		f.Add([]byte(s), uint16(1))
	}
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	w.Write(bytes.Repeat([]byte("words and more words, "), 100))
	w.Close()
	f.Add(b.Bytes(), uint16(3))
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		const most = 1 << 22
		out, in, ok := inflate(data, 1+int(piece), most)
		out1, in1, ok1 := inflate(data, 1, most)
		if out != out1 || in != in1 || ok != ok1 {
			t.Errorf("in pieces of %d: %d of %d, %v; byte by byte %d of %d, %v", 1+int(piece), out, in, ok, out1, in1, ok1)
		}
		wantOut, wantIn, want := inflateStd(data, most)
		if ok != want || ok && (out != wantOut || in != wantIn) {
			t.Errorf("%d of %d, %v; compress/flate: %d of %d, %v", out, in, ok, wantOut, wantIn, want)
		}
	})
}

func BenchmarkInflater(b *testing.B) {
	for _, c := range []struct {
		name   string
		spread int
	}{{"prose", 30}, {"noise", 256}, {"zeros", 1}} {
		rng := rand.New(rand.NewPCG(5, 5))
		data := make([]byte, 4<<20)
		for i := range data {
			data[i] = byte(rng.IntN(c.spread))
		}
		var z bytes.Buffer
		w, _ := flate.NewWriter(&z, 6)
		w.Write(data)
		w.Close()
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(z.Len()))
			for b.Loop() {
				inflate(z.Bytes(), 16<<10, 1<<40)
			}
		})
	}
}
