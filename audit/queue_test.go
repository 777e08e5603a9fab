package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/audit"
)

// memory is a sink whose behaviour a test sets.
type memory struct {
	name  string
	ack   audit.Ack
	write func(ctx context.Context, b audit.Batch) error // nil stores

	mu     sync.Mutex
	lines  []string
	calls  int
	closed int
}

func (s *memory) Name() string   { return s.name }
func (s *memory) Ack() audit.Ack { return s.ack }

func (s *memory) Write(ctx context.Context, b audit.Batch) error {
	s.mu.Lock()
	s.calls++
	write := s.write
	s.mu.Unlock()
	if write != nil {
		if err := write(ctx, b); err != nil {
			return err
		}
	}
	s.keep(b, b.Count)
	return nil
}

func (s *memory) keep(b audit.Batch, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range b.All() {
		if n--; n < 0 {
			return
		}
		s.lines = append(s.lines, string(line))
	}
}

func (s *memory) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

// count gives the numbers of lines and of calls.
func (s *memory) count() (lines, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines), s.calls
}

// on changes what Write does.
func (s *memory) on(write func(context.Context, audit.Batch) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write = write
}

// parsed gives the stored lines.
func (s *memory) parsed(t testing.TB) []map[string]any {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []map[string]any
	for _, line := range s.lines {
		out = append(out, decode(t, []byte(line+"\n")))
	}
	return out
}

// account counts events and what the gap records say is missing.
func (s *memory) account(t testing.TB) (events, missing uint64) {
	t.Helper()
	for _, m := range s.parsed(t) {
		if m["event.name"] == "audit.gap" {
			missing += uint64(m["x.gap.count"].(float64))
		} else {
			events++
		}
	}
	return events, missing
}

var quiet = slog.New(slog.DiscardHandler)

func open(t testing.TB, cfg audit.Config) *audit.Log {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	l, err := audit.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t testing.TB, l *audit.Log) {
	t.Helper()
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func event(i int) audit.Event {
	return audit.Event{Name: "test.event", Attrs: []slog.Attr{slog.Int("i", i)}}
}

// balanced holds an account against the invariant.
func balanced(t testing.TB, s audit.Stats) {
	t.Helper()
	for _, k := range s.Sinks {
		if k.Offered != k.Written+k.Dropped+k.Pending {
			t.Errorf("%s: %d offered, but %d written + %d dropped + %d pending", k.Name, k.Offered, k.Written, k.Dropped, k.Pending)
		}
		if k.Offered != s.Events {
			t.Errorf("%s was offered %d of %d events", k.Name, k.Offered, s.Events)
		}
	}
}

func TestLinesKeepTheirOrder(t *testing.T) {
	s := &memory{}
	l := open(t, audit.Config{Sinks: []audit.Sink{s}})
	for i := range 2000 {
		if err := l.Record(context.Background(), event(i)); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, l)
	for i, m := range s.parsed(t) {
		if m["attr.i"] != float64(i) {
			t.Fatalf("line %d holds event %v", i, m["attr.i"])
		}
	}
	if n := len(s.lines); n != 2000 || s.closed != 1 {
		t.Errorf("%d lines, closed %d times", n, s.closed)
	}
	balanced(t, l.Stats())
}

// stalled returns a sink that hangs until release is closed, heeding its context or not.
func stalled(heed bool) (s *memory, release chan struct{}) {
	release = make(chan struct{})
	s = &memory{name: "stalled", write: func(ctx context.Context, b audit.Batch) error {
		if !heed {
			ctx = context.Background()
		}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	return s, release
}

func TestAStalledSinkHoldsUpNeitherRequestsNorTheOtherSink(t *testing.T) {
	for _, mode := range []audit.Backpressure{audit.FailClosed, audit.Block, audit.Drop} {
		synctest.Test(t, func(t *testing.T) {
			slow, release := stalled(true)
			fast := &memory{name: "fast"}
			l := open(t, audit.Config{Sinks: []audit.Sink{audit.BestEffort(slow), fast}, Backpressure: mode, MaxQueueEvents: 10})
			start := time.Now()
			for i := range 100 {
				if err := l.Record(context.Background(), event(i)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if d := time.Since(start); d != 0 {
				t.Errorf("%v: recording took %v", mode, d)
			}
			if n, _ := fast.count(); n != 100 {
				t.Errorf("%v: the fast sink has %d lines", mode, n)
			}
			close(release)
			mustClose(t, l)
			balanced(t, l.Stats())
			if events, missing := slow.account(t); events+missing != 100 || missing == 0 {
				t.Errorf("%v: %d stored + %d in gap records of 100", mode, events, missing)
			}
		})
	}
}

func TestEveryDroppedEventIsCountedInTheLineAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, release := stalled(true)
		l := open(t, audit.Config{Sinks: []audit.Sink{s}, Backpressure: audit.Drop, MaxQueueEvents: 5})
		var refused int
		for i := range 50 {
			if err := l.Record(context.Background(), event(i)); errors.Is(err, audit.ErrOverloaded) {
				refused++
			} else if err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the committer takes the first and hangs
		}
		if refused != 45 {
			t.Errorf("%d were refused, want 45", refused)
		}
		time.Sleep(time.Second)
		close(release)
		synctest.Wait()
		for i := range 3 {
			if err := l.Record(context.Background(), event(100+i)); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, l)
		var order []string
		for _, m := range s.parsed(t) {
			if m["event.name"] == "audit.gap" {
				order = append(order, fmt.Sprintf("gap %v %v", m["x.gap.count"], m["x.gap.reason"]))
			} else {
				order = append(order, fmt.Sprint(m["attr.i"]))
			}
		}
		if got := strings.Join(order, ", "); got != "0, 1, 2, 3, 4, gap 45 queue_full, 100, 101, 102" {
			t.Error(got)
		}
		st := l.Stats()
		balanced(t, st)
		if k := st.Sinks[0]; k.Written != 8 || k.Dropped != 45 || k.Gaps != 1 {
			t.Errorf("%+v", k)
		}
	})
}

func TestBlockWaitsItsBoundAndThenDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, release := stalled(true)
		l := open(t, audit.Config{Sinks: []audit.Sink{s}, Backpressure: audit.Block, MaxQueueEvents: 1, Wait: 70 * time.Millisecond})
		if err := l.Record(context.Background(), event(0)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := l.Record(context.Background(), event(1)); !errors.Is(err, audit.ErrOverloaded) {
			t.Error(err)
		}
		if d := time.Since(start); d != 70*time.Millisecond {
			t.Errorf("it waited %v", d)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		start = time.Now()
		if err := l.Record(ctx, event(2)); !errors.Is(err, audit.ErrOverloaded) {
			t.Error(err)
		}
		if d := time.Since(start); d != 10*time.Millisecond {
			t.Errorf("it waited %v though its context allowed 10ms", d)
		}
		go func() {
			time.Sleep(30 * time.Millisecond)
			close(release)
		}()
		if err := l.Record(context.Background(), event(3)); err != nil {
			t.Error("there was room in time, but:", err)
		}
		mustClose(t, l)
		balanced(t, l.Stats())
	})
}

func TestAFailingSinkIsOfferedTheLinesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &memory{name: "flaky"}
		s.on(func(context.Context, audit.Batch) error { return errors.New("no space left on device") })
		l := open(t, audit.Config{Sinks: []audit.Sink{s}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for i := range 10 {
			l.Record(context.Background(), event(i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, calls := s.count(); calls < 5 || calls > 30 {
			t.Errorf("%d attempts in a minute", calls)
		}
		if n := strings.Count(log.String(), "\n"); n < 2 || n > 7 {
			t.Errorf("%d complaints in a minute:\n%s", n, log.String())
		}
		s.on(nil)
		time.Sleep(10 * time.Second)
		if n, _ := s.count(); n != 10 {
			t.Errorf("%d lines", n)
		}
		mustClose(t, l)
		balanced(t, l.Stats())
	})
}

func TestTheDefaultLoggerIsTheOneOfTheMomentOfTheComplaint(t *testing.T) {
	defer log.SetFlags(log.Flags()) // SetDefault redirects package log too
	defer log.SetOutput(log.Writer())
	defer slog.SetDefault(slog.Default())
	synctest.Test(t, func(t *testing.T) {
		s := &memory{name: "broken"}
		s.on(func(context.Context, audit.Batch) error { return errors.New("no space left on device") })
		l, err := audit.Open(audit.Config{Sinks: []audit.Sink{s}})
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		l.Record(context.Background(), event(0))
		synctest.Wait()
		if !strings.Contains(log.String(), "sink=broken") {
			t.Errorf("the logger set after Open heard nothing: %q", log.String())
		}
		s.on(nil)
		time.Sleep(time.Minute)
		mustClose(t, l)
	})
}

func TestWhatASinkStoredIsNotOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{}
		s.write = func(_ context.Context, b audit.Batch) error {
			if b.Count > 3 {
				s.keep(b, 3)
				return &audit.PartialError{Lines: 3, Err: io.ErrShortWrite}
			}
			return nil
		}
		l := open(t, audit.Config{Sinks: []audit.Sink{s}, Flush: time.Second})
		for i := range 10 {
			l.Record(context.Background(), event(i))
		}
		mustClose(t, l)
		for i, m := range s.parsed(t) {
			if m["attr.i"] != float64(i) {
				t.Errorf("line %d holds event %v", i, m["attr.i"])
			}
		}
		if n := len(s.lines); n != 10 {
			t.Errorf("%d lines", n)
		}
		balanced(t, l.Stats())
	})
}

func TestALineNoSinkWillTakeIsCountedAndTheOthersPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{}
		s.write = func(_ context.Context, b audit.Batch) error {
			if bytes.Contains(b.Lines, []byte(`"attr.i":4}`)) {
				return fmt.Errorf("too long: %w", audit.ErrRejected)
			}
			return nil
		}
		l := open(t, audit.Config{Sinks: []audit.Sink{s}, Flush: time.Second})
		for i := range 10 {
			l.Record(context.Background(), event(i))
		}
		time.Sleep(time.Minute)
		if events, missing := s.account(t); events != 9 || missing != 1 {
			t.Errorf("%d stored, %d in gap records", events, missing)
		}
		mustClose(t, l)
		balanced(t, l.Stats())
	})
}

func TestCloseIsBoundedWhenASinkHangs(t *testing.T) {
	for _, heed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s, release := stalled(heed)
			l := open(t, audit.Config{Sinks: []audit.Sink{s, &memory{name: "fine"}}})
			for i := range 3 {
				l.Record(context.Background(), event(i))
				synctest.Wait()
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			start := time.Now()
			err := l.Close(ctx)
			if d := time.Since(start); d != time.Second {
				t.Errorf("Close took %v", d)
			}
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "stalled") || strings.Contains(err.Error(), "fine") {
				t.Errorf("Close says %v", err)
			}
			if err := l.Record(context.Background(), event(9)); !errors.Is(err, audit.ErrClosed) {
				t.Error(err)
			}
			synctest.Wait()
			st := l.Stats().Sinks[0]
			if st.Offered != 3 || st.Written+st.Dropped+st.Pending != 3 {
				t.Errorf("%+v", st)
			}
			if heed && st.Dropped != 3 || !heed && st.Pending != 3 {
				t.Errorf("heed %v: %+v", heed, st)
			}
			close(release) // the bubble ends only when the committer has
			synctest.Wait()
			if st := l.Stats().Sinks[0]; st.Pending != 0 || st.Offered != st.Written+st.Dropped {
				t.Errorf("%+v", st)
			}
			if s.closed != 1 {
				t.Errorf("the sink was closed %d times", s.closed)
			}
		})
	}
}

func TestCloseGivesUpOnASinkThatOnlyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{name: "broken", write: func(context.Context, audit.Batch) error { return errors.New("EIO") }}
		l := open(t, audit.Config{Sinks: []audit.Sink{s}})
		l.Record(context.Background(), event(0))
		l.Record(context.Background(), event(1))
		if err := l.Close(context.Background()); err == nil || !strings.Contains(err.Error(), "2 events") {
			t.Errorf("Close says %v", err)
		}
		balanced(t, l.Stats())
	})
}

func TestAPanickingSinkIsAFailingSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := &memory{write: func(context.Context, audit.Batch) error {
			if n++; n == 1 {
				panic("bug")
			}
			return nil
		}}
		l := open(t, audit.Config{Sinks: []audit.Sink{s}})
		l.Record(context.Background(), event(0))
		mustClose(t, l)
		if len(s.lines) != 1 {
			t.Error(s.lines)
		}
	})
}

func TestASinkThatLogsIntoItsLogEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *audit.Log
		told := make(chan error, 1)
		s := &memory{}
		s.on(func(ctx context.Context, b audit.Batch) error {
			told <- l.Record(ctx, audit.Event{Name: "sink.wrote"})
			return nil
		})
		l = open(t, audit.Config{Sinks: []audit.Sink{s}, MaxQueueEvents: 2})
		l.Record(context.Background(), event(0))
		time.Sleep(time.Minute)
		if _, calls := s.count(); !errors.Is(<-told, audit.ErrReentrant) || calls != 1 {
			t.Errorf("%d calls", calls)
		}
		// One that hides behind another context goes on, one line per Write, but hangs nothing.
		s.on(func(ctx context.Context, b audit.Batch) error {
			if _, calls := s.count(); calls < 100 {
				l.Record(context.Background(), audit.Event{Name: "sink.wrote"})
			}
			return nil
		})
		l.Record(context.Background(), event(1))
		time.Sleep(time.Minute)
		mustClose(t, l)
		balanced(t, l.Stats())
	})
}

func TestRecordReturnsWhenTheSinkHasConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{ack: audit.AckSynced}
		s.on(func(context.Context, audit.Batch) error { time.Sleep(30 * time.Millisecond); return nil })
		weak, release := stalled(true)
		l := open(t, audit.Config{Sinks: []audit.Sink{s, weak}, Ack: audit.AckSynced, AckWait: 50 * time.Millisecond})
		start := time.Now()
		if err := l.Record(context.Background(), event(0)); err != nil || time.Since(start) != 30*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		s.on(func(context.Context, audit.Batch) error { time.Sleep(80 * time.Millisecond); return nil })
		if n, _ := s.count(); n != 1 {
			t.Errorf("%d lines", n)
		}
		start = time.Now()
		if err := l.Record(context.Background(), event(1)); !errors.Is(err, audit.ErrNotAcknowledged) || time.Since(start) != 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		close(release)
		mustClose(t, l)
		if st := l.Stats(); len(s.lines) != 2 || st.Unacknowledged != 1 {
			t.Errorf("%d lines, %+v", len(s.lines), st)
		}
	})
}

func TestFlushGathersLinesForOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{}
		l := open(t, audit.Config{Sinks: []audit.Sink{s}, Flush: 20 * time.Millisecond})
		for i := range 10 {
			l.Record(context.Background(), event(i))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
		if lines, calls := s.count(); calls != 1 || lines != 10 {
			t.Errorf("%d calls, %d lines", calls, lines)
		}
		mustClose(t, l)
	})
}

func TestManyGoroutinesAndACloseAmongThemLoseNothingUncounted(t *testing.T) {
	before := runtime.NumGoroutine()
	a, b := &memory{name: "a"}, &memory{name: "b"}
	l := open(t, audit.Config{Sinks: []audit.Sink{a, audit.BestEffort(b)}, Backpressure: audit.Drop, MaxQueueEvents: 50})
	var wg sync.WaitGroup
	var stored atomic.Uint64
	for range 16 {
		wg.Go(func() {
			for i := range 500 {
				if l.Record(context.Background(), event(i)) == nil {
					stored.Add(1)
				}
				if i%100 == 0 {
					l.Stats()
				}
			}
		})
	}
	wg.Go(func() {
		for l.Stats().Events < 3000 {
			runtime.Gosched()
		}
		mustClose(t, l)
	})
	wg.Wait()
	mustClose(t, l)
	st := l.Stats()
	balanced(t, st)
	for i, s := range []*memory{a, b} {
		events, _ := s.account(t)
		if events != st.Sinks[i].Written || st.Sinks[i].Pending != 0 {
			t.Errorf("%d lines stored, %+v", events, st.Sinks[i])
		}
	}
	if st.Sinks[0].Written != stored.Load() {
		t.Errorf("Record said %d times that the event is queued, %d are stored", stored.Load(), st.Sinks[0].Written)
	}
	for deadline := 0; runtime.NumGoroutine() > before; deadline++ {
		if deadline > 1e6 {
			t.Fatalf("%d goroutines before, %d after Close", before, runtime.NumGoroutine())
		}
		runtime.Gosched()
	}
}

func TestNobodyButTheLogSaysThatLinesAreMissing(t *testing.T) {
	s := &memory{}
	l := open(t, audit.Config{Sinks: []audit.Sink{s}})
	for _, name := range []string{"", "audit.gap", "http.request", "UPPER", "line\nbreak", "esc\x1b", strings.Repeat("a", 65), "ümlaut", "a b"} {
		if err := l.Record(context.Background(), audit.Event{Name: name}); !errors.Is(err, audit.ErrInvalidEvent) {
			t.Errorf("%q: %v", name, err)
		}
	}
	mustClose(t, l)
	if len(s.lines) != 0 || l.Stats().Events != 0 {
		t.Error(s.lines)
	}
}

func TestOpenReportsEveryFaultAtOnce(t *testing.T) {
	_, err := audit.Open(audit.Config{
		Sinks:          []audit.Sink{nil, &memory{}},
		Capture:        []audit.Rule{{Level: audit.CaptureHash}, {Level: audit.CaptureEncrypted, MaxBytes: -1}, {Level: audit.CapturePlain}, {Level: 77}},
		Identify:       audit.Identify{KeyID: "not a word", Address: audit.AddressHMAC, Caller: 99},
		Backpressure:   9,
		MaxQueueBytes:  10,
		MaxQueueEvents: -1,
		Flush:          time.Hour,
		Ack:            audit.AckSynced,
		AckWait:        -1,
	})
	if err == nil {
		t.Fatal("opened")
	}
	for _, want := range []string{"Sinks[0]", "Capture[0].Level hash needs Identify.Key", "Capture[1].MaxBytes -1", "needs Seal",
		"needs InsecurePlaintext", "Capture[3].Level 77", `KeyID "not a word"`, "AddressHMAC needs", "Identify.Caller 99",
		"Backpressure 9", "MaxQueueBytes 10", "MaxQueueEvents -1", "Flush 1h", "Ack synced", "AckWait -1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if _, err := audit.Open(audit.Config{}); err == nil || !strings.Contains(err.Error(), "Sinks: 0") {
		t.Errorf("opened without a sink: %v", err)
	}
	if _, err := audit.Open(audit.Config{Sinks: []audit.Sink{&memory{}}, Identify: audit.Identify{Key: []byte("short")}}); err == nil ||
		!strings.Contains(err.Error(), "5 bytes") || strings.Contains(err.Error(), "short") {
		t.Errorf("a short key: %v", err)
	}
}

func TestALogThatWasNeverOpenedRecordsNothing(t *testing.T) {
	for _, l := range []*audit.Log{nil, {}} {
		if err := l.Record(context.Background(), event(0)); !errors.Is(err, audit.ErrClosed) {
			t.Error(err)
		}
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
		l.Stats()
	}
}

func TestPseudonymsAreStableUnderOneKeyAndApartPerPurpose(t *testing.T) {
	line := func(key string) map[string]any {
		s := &memory{}
		l := open(t, audit.Config{Sinks: []audit.Sink{s}, Identify: audit.Identify{Key: []byte(strings.Repeat(key, 32)), KeyID: "k7", Caller: audit.CallerHMAC}})
		l.Record(context.Background(), audit.Event{Name: "x", Auth: audit.Auth{Subject: "alice@example.org", Tenant: "alice@example.org", Issuer: "iss"}})
		mustClose(t, l)
		return s.parsed(t)[0]
	}
	a, b, other := line("a"), line("a"), line("b")
	if a["auth.subject"] != b["auth.subject"] || a["auth.subject"] == other["auth.subject"] || a["auth.subject"] == a["auth.tenant"] {
		t.Error(a, b, other)
	}
	if s := a["auth.subject"].(string); !strings.HasPrefix(s, "k7:") || len(s) != 3+32 {
		t.Error(s)
	}
	raw, _ := json.Marshal(a)
	if bytes.Contains(raw, []byte("alice")) {
		t.Errorf("%s", raw)
	}
}
