package backup

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ScheduleConfig says when drills are made and who hears of them.
type ScheduleConfig struct {
	// Every is how often Drill is called: the time from one beginning to the next. At least a second. Required.
	Every time.Duration
	// Drill makes a backup and verifies it, or verifies the newest one. Required. A panic in it is an error of it.
	Drill func(ctx context.Context) (Report, error)
	// Timeout is how long a drill may take before its context ends. Zero means Every.
	Timeout time.Duration
	// AlertAfter is after which time without a success OnAlert is called. Zero means 3 times Every.
	AlertAfter time.Duration
	// Repeat is how often OnAlert is called again until a drill succeeds. Zero means 24 hours.
	Repeat time.Duration
	// LastSuccess is when a drill of an earlier process succeeded, as a Ledger remembers. The next one is due Every later. Zero means
	// unknown: then a drill is made at once, and the first one that fails is an alert.
	LastSuccess time.Time
	// OnDrill is told of every drill that has ended, by the goroutine of the drill, which has not ended before it returns. Write it to the
	// audit log. Nil means nobody.
	OnDrill func(Drill)
	// OnAlert is told that no drill has succeeded for too long, and when one does again. It should not wait for anything. Required: a
	// backup that nobody hears of failing is none.
	OnAlert func(Alert)
}

// Drill is what happened in a drill.
type Drill struct {
	Start  time.Time
	Took   time.Duration
	Report Report
	Err    error // nil for a success
}

// Alert says for how long no drill has succeeded.
type Alert struct {
	// Since is when the last one succeeded, or when the Schedule began to run if none is known.
	Since time.Time
	// Failed is how many drills have failed since then. With zero the drill hangs.
	Failed int
	// Err is the error of the last one. It may be nil.
	Err error
	// Resolved says that it is over: a drill has succeeded.
	Resolved bool
}

// Schedule makes drills by itself. Use NewSchedule.
type Schedule struct{ cfg ScheduleConfig }

// NewSchedule makes a Schedule, which does nothing before Run. The error lists everything that is wrong with cfg.
func NewSchedule(cfg ScheduleConfig) (*Schedule, error) {
	var errs []error
	if cfg.Every < time.Second {
		errs = append(errs, fmt.Errorf("backup: ScheduleConfig.Every %v is less than a second", cfg.Every))
	}
	if cfg.Drill == nil {
		errs = append(errs, errors.New("backup: ScheduleConfig.Drill is nil"))
	}
	if cfg.OnAlert == nil {
		errs = append(errs, errors.New("backup: ScheduleConfig.OnAlert is nil"))
	}
	if cfg.Timeout < 0 || cfg.AlertAfter < 0 || cfg.Repeat < 0 {
		errs = append(errs, fmt.Errorf("backup: ScheduleConfig.Timeout %v, AlertAfter %v or Repeat %v is negative", cfg.Timeout, cfg.AlertAfter, cfg.Repeat))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = cfg.Every
	}
	if cfg.AlertAfter == 0 {
		cfg.AlertAfter = 3 * cfg.Every
	}
	if cfg.Repeat == 0 {
		cfg.Repeat = 24 * time.Hour
	}
	if cfg.OnDrill == nil {
		cfg.OnDrill = func(Drill) {}
	}
	return &Schedule{cfg}, nil
}

// Run makes drills until ctx ends, and then returns its error, when the drill that runs has ended. One drill runs at a time; one that
// takes longer than Every is followed by the next one at once. OnAlert is called by the goroutine of Run, on time also while a drill or OnDrill
// hangs, and at the first drill that fails when ScheduleConfig.LastSuccess is unknown: a process that restarts before AlertAfter has passed
// would never come to it.
func (s *Schedule) Run(ctx context.Context) error {
	if s == nil || s.cfg.Drill == nil {
		return errors.New("backup: Schedule was not made by NewSchedule")
	}
	cfg, now := &s.cfg, time.Now()
	next, state, unknown := now, Alert{Since: now}, true
	if last := cfg.LastSuccess; !last.IsZero() && last.Before(now) {
		next, state.Since, unknown = last.Add(cfg.Every), last, false
	}
	due := time.NewTimer(next.Sub(now))
	defer due.Stop()
	alert := time.NewTimer(state.Since.Add(cfg.AlertAfter).Sub(now))
	defer alert.Stop()
	alerted := false
	ended := make(chan Drill)
	running := false
	for {
		select {
		case <-ctx.Done():
			if running {
				<-ended
			}
			return ctx.Err()
		case <-due.C:
			running, next = true, time.Now().Add(cfg.Every)
			go func() {
				d := cfg.drill(ctx)
				cfg.OnDrill(d)
				ended <- d
			}()
		case d := <-ended:
			running = false
			due.Reset(time.Until(next))
			if d.Err != nil {
				state.Failed++
				state.Err = d.Err
				if unknown && !alerted {
					alerted = true
					cfg.OnAlert(state)
					alert.Reset(cfg.Repeat)
				}
				continue
			}
			if state.Resolved = alerted; alerted {
				cfg.OnAlert(state)
			}
			alerted, unknown, state = false, false, Alert{Since: d.Start.Add(d.Took)}
			alert.Reset(cfg.AlertAfter - time.Since(state.Since))
		case <-alert.C:
			alerted = true
			cfg.OnAlert(state)
			alert.Reset(cfg.Repeat)
		}
	}
}

func (cfg *ScheduleConfig) drill(ctx context.Context) (d Drill) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	d.Start = time.Now()
	defer func() {
		if p := recover(); p != nil {
			d.Err = fmt.Errorf("backup: the drill panicked: %v", p)
		}
		d.Took = time.Since(d.Start)
	}()
	d.Report, d.Err = cfg.Drill(ctx)
	return d
}
