package guard

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

// stage is this package's name in records.
const stage = "guard"

// Handler returns a handler that runs next for requests that pass [Guard.Check], and counts what the rooms inside refuse
// against the client. Stand it outside of them and inside what records and shapes errors. It panics when next is nil.
func (g *Guard) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("guard: Guard.Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		if !g.made() {
			x.Refuse(w, r, g.check(r, netip.Addr{}, time.Time{}).denial())
			return
		}
		addr := x.Addr(r, g.proxies)
		now, counted := time.Now(), addr
		if foreignPage(r) { // asked now: those inside may take the credentials off the request
			counted = netip.Addr{} // which has no score
		}
		switch e := g.check(r, addr, now); {
		case e == nil:
			// Deferred: a room that refuses in the middle of a stream ends it by a panic.
			defer g.feed(x, counted)
		default:
			g.report(x, e)
			g.count(x, counted, e.Rule, now)
			if g.cfg.Shadow {
				break // without feed: enforced, the rooms inside would not have been asked
			}
			if r.ContentLength != 0 {
				// net/http waits for a short body to the end before it answers: no client that is refused by its head
				// may hold a connection that way. An error means a writer without deadlines, as in tests.
				_ = http.NewResponseController(w).SetReadDeadline(now)
			}
			x.RefuseWith(w, r, e.denial(), g.cfg.Deny)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// countedKey marks an exchange whose denial this Guard has counted: it may stand in a chain twice.
type countedKey struct{ *Guard }

// feed counts the refusal that a room inside has left in the exchange. A failure of our own, 500 and above, is nobody's fault
// out there.
func (g *Guard) feed(x *exchange.Exchange, addr netip.Addr) {
	d := x.Denial()
	if d == nil || d.Stage == stage || d.Status() >= 500 || x.Get(countedKey{g}) != nil {
		return
	}
	x.Put(countedKey{g}, true)
	g.count(x, addr, string(d.Code), time.Now())
}

// count gives the client the points of a rule or code, and records the ban that follows.
func (g *Guard) count(x *exchange.Exchange, addr netip.Addr, reason string, now time.Time) {
	if who, length := g.add(addr, g.points[reason], now); length > 0 {
		g.banned(x, who, reason, length)
	}
}

// Report gives the client of a request points for something only its handler or another middleware saw: a log-in that failed, an
// answer of an upstream. ctx is the request's context inside [Guard.Handler]; one that has met no room of this module does
// nothing, and so do points that are not positive.
func (g *Guard) Report(ctx context.Context, points int) {
	x := exchange.From(ctx)
	if x == nil || !g.made() || points <= 0 {
		return
	}
	addr := x.KnownAddr() // Handler has asked
	if who, length := g.add(addr, float64(points), time.Now()); length > 0 {
		g.banned(x, who, "report", length)
	}
}

// ReportAddr is [Guard.Report] for an address that something else than a request tells, such as a log line of another server.
func (g *Guard) ReportAddr(addr netip.Addr, points int) {
	if !g.made() || points <= 0 {
		return
	}
	if who, length := g.add(addr, float64(points), time.Now()); length > 0 {
		g.banned(nil, who, "report", length)
	}
}

func (g *Guard) logger() *slog.Logger {
	if g.cfg.Logger != nil {
		return g.cfg.Logger
	}
	return slog.Default() // as it is now: programs set it up after they have made their Guards
}

// banned records the beginning of a ban. x may be nil.
func (g *Guard) banned(x *exchange.Exchange, who netip.Prefix, reason string, length time.Duration) {
	ctx, action := context.Background(), "ban"
	if g.cfg.Shadow {
		action = "shadow"
	}
	attrs := []slog.Attr{slog.String("prefix", who.String()), slog.String("action", action),
		slog.String("last", reason), slog.Duration("length", length)}
	if x != nil {
		ctx = x
		attrs = append(attrs, slog.String("request_id", x.ID()))
		x.AddFinding(exchange.Finding{Kind: stage, Rule: "ban", Action: action, Direction: "request"})
	}
	g.logger().LogAttrs(ctx, slog.LevelInfo, "guard: client banned", attrs...)
}

// report leaves a refusal, real or not, where operators look.
func (g *Guard) report(x *exchange.Exchange, e *Error) {
	action := "refuse"
	if g.cfg.Shadow {
		action = "shadow"
		x.AddFinding(exchange.Finding{Kind: stage, Rule: e.Rule, Action: action, Direction: "request"})
	}
	logger := g.logger()
	if !logger.Enabled(x, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("request_id", x.ID()), slog.String("action", action), slog.Int("status", e.Status),
		slog.String("code", e.Code), slog.String("rule", e.Rule)}
	if e.cause != nil {
		attrs = append(attrs, slog.String("cause", e.cause.Error())) // from our tables, nothing of the request
	}
	logger.LogAttrs(x, slog.LevelDebug, "guard: request refused", attrs...)
}
