package mantlet

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mantlet-go/mantlet/ratelimit"
)

// Description is what a [Pipeline] enforces, for people and for programs: encoding/json gives the stable JSON form, String
// the table.
type Description struct {
	// Routes are in the order of their patterns.
	Routes []RouteDescription `json:"routes"`
	// Front are the stages every request passes before a route is chosen, outermost first.
	Front []string `json:"front"`
	// Limits are the plans of Config.Limits, Flood those of Config.Flood.
	Limits []PlanDescription `json:"limits,omitempty"`
	Flood  []PlanDescription `json:"flood,omitempty"`
	// Warnings name what is switched off, in fixed sentences. A deployment may accept them; it should know.
	Warnings []string `json:"warnings,omitempty"`
}

// RouteDescription is what one route enforces.
type RouteDescription struct {
	Pattern string   `json:"pattern"`
	Public  bool     `json:"public"`
	Scopes  []string `json:"scopes,omitempty"`
	// Stages are the stages of this route, outermost first.
	Stages []string `json:"stages"`
}

// PlanDescription is what one plan allows, one sentence a limit.
type PlanDescription struct {
	Name   string   `json:"name"`
	Limits []string `json:"limits"`
}

func describePlans(l *ratelimit.Limiter) []PlanDescription {
	if l == nil {
		return nil
	}
	var out []PlanDescription
	for _, p := range l.Plans() {
		d := PlanDescription{Name: p.Name}
		for _, l := range p.Limits {
			d.Limits = append(d.Limits, describeLimit(l))
		}
		out = append(out, d)
	}
	return out
}

// describeLimit says, for example, "tokens: 6000 per 1m0s, at most 1000 at once, by client".
func describeLimit(l ratelimit.Limit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d", l.Name, l.Max)
	switch {
	case l.Parallel:
		b.WriteString(" at the same time")
	case l.Per > 0:
		fmt.Fprintf(&b, " per %v", l.Per)
		if l.Burst > 0 && l.Burst != l.Max {
			fmt.Fprintf(&b, ", at most %d at once", l.Burst)
		}
	default:
		fmt.Fprintf(&b, " per %v", l.Calendar)
	}
	fmt.Fprintf(&b, ", by %v", l.By)
	if l.Shadow {
		b.WriteString(", shadow")
	}
	return b.String()
}

// Describe returns what p enforces now.
func (p *Pipeline) Describe() Description {
	var d Description
	if p.serve == nil {
		d.Warnings = []string{"the pipeline was not made by New and refuses everything"}
		return d
	}
	if p.cfg.Audit != nil {
		d.Front = append(d.Front, "audit")
	} else {
		d.Warnings = append(d.Warnings, "no audit log: nobody can say afterwards what happened")
	}
	d.Front = append(d.Front, "errors")
	if p.cfg.Guard != nil {
		d.Front = append(d.Front, "guard")
	}
	if p.cfg.Flood != nil {
		d.Front = append(d.Front, "flood")
	}
	if p.cfg.InsecureNoAuth {
		d.Warnings = append(d.Warnings, "InsecureNoAuth: every route is open to everybody")
	}
	if p.cfg.Auth != nil && p.cfg.Auth.LockoutStats().Slots == 0 {
		d.Warnings = append(d.Warnings, "SkipLockout: wrong credentials cost an address nothing")
	}
	if p.cfg.Limits == nil {
		d.Warnings = append(d.Warnings, "no limits: a caller can use without bound")
	}
	if st := p.cfg.Guard.Stats(); p.cfg.Flood == nil && (st.Slots == 0 || st.Shadow) { // bans are what refused requests cost
		d.Warnings = append(d.Warnings, "no flood limit: requests that are refused cost an address nothing, wrong credentials excepted")
	}
	if p.cfg.Bulkhead == nil {
		d.Warnings = append(d.Warnings, "no bulkhead: any number of requests runs at once")
	}
	if p.cfg.Filter == nil {
		d.Warnings = append(d.Warnings, "no filter: secrets in replies pass")
	}
	d.Limits, d.Flood = describePlans(p.cfg.Limits), describePlans(p.cfg.Flood)
	p.mu.Lock()
	routes := slices.Clone(p.routes)
	p.mu.Unlock()
	slices.SortFunc(routes, func(a, b *registered) int { return strings.Compare(path(a.pattern), path(b.pattern)) })
	for _, rt := range routes {
		if rt.policy.SkipFilter && !rt.policy.public && p.cfg.Filter != nil {
			d.Warnings = append(d.Warnings, fmt.Sprintf("route %q: SkipFilter", rt.pattern))
		}
		if rt.policy.SkipLimits && !rt.policy.public && p.cfg.Limits != nil {
			d.Warnings = append(d.Warnings, fmt.Sprintf("route %q: SkipLimits", rt.pattern))
		}
		if rt.policy.InsecureUpgrade {
			d.Warnings = append(d.Warnings, fmt.Sprintf("route %q: InsecureUpgrade", rt.pattern))
		}
		if rt.policy.InsecureRawBody {
			d.Warnings = append(d.Warnings, fmt.Sprintf("route %q: InsecureRawBody", rt.pattern))
		}
		if m, _, _ := strings.Cut(rt.pattern, " "); !rt.policy.takesBody() && (m == "POST" || m == "PUT" || m == "PATCH") {
			d.Warnings = append(d.Warnings, fmt.Sprintf("route %q takes no body: set Body, Upload for forms with files, or InsecureRawBody for other bodies that are not JSON", rt.pattern))
		}
		d.Routes = append(d.Routes, RouteDescription{
			Pattern: rt.pattern, Public: rt.policy.public || p.cfg.InsecureNoAuth, Scopes: strings.Fields(rt.policy.Scopes), Stages: slices.Clone(rt.stages),
		})
	}
	return d
}

// path is a pattern without its method, with the method behind it: the order people look for.
func path(pattern string) string {
	i := strings.IndexAny(pattern, " \t")
	if i < 0 {
		return pattern
	}
	return strings.TrimLeft(pattern[i:], " \t") + " " + pattern[:i]
}

// String returns the description as a table.
func (d Description) String() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "every request: %s\n\n", strings.Join(d.Front, " > "))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROUTE\tACCESS\tSTAGES")
	for _, r := range d.Routes {
		access := "authenticated"
		switch {
		case r.Public:
			access = "public"
		case len(r.Scopes) > 0:
			access = strings.Join(r.Scopes, " ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.Pattern, access, strings.Join(r.Stages, " > "))
	}
	w.Flush()
	plans := func(what string, list []PlanDescription) {
		for _, p := range list {
			fmt.Fprintf(&b, "\n%s", what)
			if p.Name != "" {
				fmt.Fprintf(&b, " %s", p.Name)
			}
			b.WriteString("\n")
			for _, l := range p.Limits {
				fmt.Fprintf(&b, "  %s\n", l)
			}
		}
	}
	plans("flood", d.Flood)
	plans("plan", d.Limits)
	for _, s := range d.Warnings {
		fmt.Fprintf(&b, "\nwarning: %s\n", s)
	}
	return b.String()
}
