package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// bar shows on a terminal how far long work is. The zero bar shows nothing.
type bar struct {
	w     io.Writer
	total int64
	start time.Time
	drawn time.Time
	wide  int
}

// begin starts the bar, if standard error is a terminal. total is in bytes, zero if it is not known.
func (c *call) begin(total int64) {
	terminal := c.cfg.Terminal
	if terminal == nil {
		terminal = func() bool {
			f, ok := c.cfg.Stderr.(*os.File)
			if !ok || c.cfg.Getenv("TERM") == "dumb" {
				return false
			}
			return isTerminal(f)
		}
	}
	if terminal() {
		c.bar = bar{w: c.cfg.Stderr, total: total, start: time.Now()}
	}
}

// isTerminal says whether a file looks like one.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// at draws the bar, ten times a second at most.
func (b *bar) at(done int64) {
	now := time.Now()
	if b.w == nil || done < b.total && now.Sub(b.drawn) < 100*time.Millisecond && !b.drawn.IsZero() {
		return
	}
	b.drawn = now
	line := size(done)
	if b.total > 0 {
		part := min(float64(done)/float64(b.total), 1)
		const width = 30
		full := int(part * width)
		line = fmt.Sprintf("[%s%s] %3d%%  %s", strings.Repeat("#", full), strings.Repeat(" ", width-full), int(part*100), line)
	}
	if s := now.Sub(b.start).Seconds(); s >= 1 {
		line += fmt.Sprintf("  %s/s", size(int64(float64(done)/s)))
	}
	fmt.Fprintf(b.w, "\r%-*s", b.wide, line)
	b.wide = len(line)
}

// clear removes the bar, so that what is printed next stands alone.
func (b *bar) clear() {
	if b.w != nil && b.wide > 0 {
		fmt.Fprintf(b.w, "\r%*s\r", b.wide, "")
	}
	b.w = nil
}

// size is a number of bytes for people.
func size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	x, unit := float64(n)/(1<<10), 0
	for x >= 1024 && unit < 4 {
		x /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", x, "KMGTP"[unit])
}

// passing counts what is read, for the bar, and stops when the context has ended.
type passing struct {
	r    io.Reader
	done int64
	tell func(done int64) error
}

func (p *passing) Read(b []byte) (int, error) {
	if err := p.tell(p.done); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	p.done += int64(n)
	return n, err
}
