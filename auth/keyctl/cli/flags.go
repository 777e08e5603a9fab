package cli

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
)

// stores lists what -store may be.
func (c *call) stores() string {
	all := []string{"file:PATH"}
	for _, scheme := range slices.Sorted(maps.Keys(c.cfg.Openers)) {
		if scheme != "file" {
			all = append(all, scheme+":ADDRESS")
		}
	}
	return strings.Join(all, " or ")
}

// help prints what there is.
func (c *call) help() {
	w := tabwriter.NewWriter(c.cfg.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "usage: keyctl COMMAND [flags]\n\n")
	for i := range commands {
		fmt.Fprintf(w, "  %s\t%s\n", strings.TrimSpace(commands[i].name+" "+commands[i].args), commands[i].about)
	}
	w.Flush()
	fmt.Fprintf(c.cfg.Stdout, notes, c.stores())
}

const notes = `
keyctl COMMAND -h lists the flags of a command. Everywhere: -store STORE, -prefix P, -env E, -json.

STORE   %s; or the environment variable KEYCTL_STORE
P, E    those of the server, also KEYCTL_PREFIX and KEYCTL_ENV; needed where keys are made and the store does not tell
ID      as list and logs show it, or the whole key, or - for any number of them on standard input, which no shell remembers
TIME    90d or 36h from now, 2027-01-31T12:00:00Z, or 2027-01-31: a key may begin with that day and expires with its end. All in UTC
states  active; overlap: was rotated, works until it expires; not yet; disabled; expired; revoked

The server's policy does not bind keyctl: KEYCTL_REQUIRE_EXPIRY=true, KEYCTL_MAX_LIFETIME, KEYCTL_MAX_OVERLAP and KEYCTL_MAX_KEYS are the
defaults of the flags of these names.

exit codes: 0 done, 1 the store failed, 2 wrong use, 3 no such key, 4 refused, 5 review -check found something
`

// helpOn prints what there is to one command.
func (c *call) helpOn(cmd *command, f *flag.FlagSet) {
	w := tabwriter.NewWriter(c.cfg.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "usage: keyctl %s\n\n%s\n\n", strings.TrimSpace(cmd.name+" "+cmd.args+" [flags]"), cmd.about)
	f.VisitAll(func(x *flag.Flag) {
		value, about := flag.UnquoteUsage(x)
		about = strings.TrimPrefix(about, value+"|")
		if slices.Contains(variables[:], x.Name) {
			about += " (" + variable(x.Name) + ")"
		}
		fmt.Fprintf(w, "  %s\t%s\n", strings.TrimSpace("-"+x.Name+" "+value), about)
	})
	w.Flush()
}

// once is a flag that may be given once: of two values one would be lost.
type once struct {
	flag.Value
	given bool
}

func (o *once) Set(s string) error {
	if o.given {
		return errors.New("it is given twice")
	}
	o.given = true
	return o.Value.Set(s)
}

// IsBoolFlag tells package flag that -json needs no value.
func (o *once) IsBoolFlag() bool {
	b, ok := o.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

func clientFlag(c *call, f *flag.FlagSet) {
	f.StringVar(&c.client, "client", "", "`NAME`|only keys of this client")
}

func revokeFlags(c *call, f *flag.FlagSet) {
	f.StringVar(&c.client, "client", "", "`NAME`|all keys of this client, instead of ids")
}

func makeFlags(c *call, f *flag.FlagSet) {
	f.BoolVar(&c.newPrefix, "new-prefix", false, "make a key whose prefix and env no key of the store has")
	f.BoolVar(&c.quiet, "quiet", false, "print the key and nothing else on standard output")
}

func createFlags(c *call, f *flag.FlagSet) {
	specFlags(c, f)
	makeFlags(c, f)
}

func specFlags(c *call, f *flag.FlagSet) {
	f.StringVar(&c.spec.ClientID, "client", "", "`NAME`|the client the key belongs to; required")
	f.StringVar(&c.spec.Tenant, "tenant", "", "`NAME`|the customer or organisation")
	f.StringVar(&c.spec.Plan, "plan", "", "`NAME`|names the caller's limits")
	f.Func("scopes", "`A,B`|the permissions; without, none", scopes(&c.spec.Scopes))
	f.Func("roles", "`A,B`|the caller's roles", list(&c.spec.Roles))
	f.Func("models", "`A,B`|the models it may use; without, every one, and with '' none", list(&c.spec.Models))
	f.Func("addresses", "`A,B/24`|the addresses and networks it may be used from; without, anywhere, and with '' nowhere", networks(&c.spec.Addresses))
	f.Func("label", "`NAME=TEXT`|a note; may be given again with another name", func(s string) error {
		name, text, ok := strings.Cut(s, "=")
		if _, twice := c.spec.Labels[name]; !ok || twice {
			return errors.New("is not NAME=TEXT, or the name is given twice")
		}
		if c.spec.Labels == nil {
			c.spec.Labels = make(map[string]string)
		}
		c.spec.Labels[name] = text
		return nil
	})
	f.Func("not-before", "`TIME`|when it begins to work: 2h from now, or with the day 2027-01-31 in UTC", moment(&c.spec.NotBefore, c.now, false))
	f.Func("expires", "`TIME`|when it ends: 90d from now, or with the end of the day 2027-01-31 in UTC", moment(&c.spec.ExpiresAt, c.now, true))
	lifeFlags(c, f)
	f.IntVar(&c.policy.MaxKeysPerClient, "max-keys", 0, "`N`|refuse it if the client has so many keys")
}

func lifeFlags(c *call, f *flag.FlagSet) {
	f.BoolVar(&c.policy.RequireExpiry, "require-expiry", false, "refuse a key that does not end")
	f.Func("max-lifetime", "`D`|refuse a key that lives longer, such as 365d", duration(&c.policy.MaxLifetime))
}

func rotateFlags(c *call, f *flag.FlagSet) {
	makeFlags(c, f)
	f.Func("overlap", "`D`|how long the old key works beside the new one, such as 24h; without, it is revoked now", duration(&c.rotation.Overlap))
	f.Func("max-overlap", "`D`|refuse an overlap that is longer; without, 24h", duration(&c.policy.MaxOverlap))
	f.Func("expires", "`TIME`|when the new key ends; without, after as long a life as the old one's", moment(&c.rotation.ExpiresAt, c.now, true))
	lifeFlags(c, f)
}

func importFlags(c *call, f *flag.FlagSet) {
	specFlags(c, f)
	f.StringVar(&c.foreign.Name, "format", "", "`NAME`|Foreign.Name of the server's configuration; required")
	f.StringVar(&c.foreign.Prefix, "match", "", "`P`|Foreign.Prefix; required")
	f.IntVar(&c.foreign.MinLen, "min", 0, "`N`|Foreign.MinLen; required")
	f.IntVar(&c.foreign.MaxLen, "max", 0, "`N`|Foreign.MaxLen; required")
	f.StringVar(&c.algorithm, "algorithm", string(apikey.SHA256), "`H`|Foreign.Hash: sha256, as without, or sha512")
	f.BoolVar(&c.hashed, "hashed", false, "standard input is the key's hash in hexadecimal")
	f.BoolVar(&c.newPrefix, "new-prefix", false, "import under a prefix and env that no key of the store has")
}

func sweepFlags(c *call, f *flag.FlagSet) {
	f.Func("dormant", "`D`|disable keys that nobody used for so long, such as 90d", duration(&c.policy.DormantAfter))
}

func reviewFlags(c *call, f *flag.FlagSet) {
	c.dormant, c.age = 90*24*time.Hour, 365*24*time.Hour
	f.Func("dormant", "`D`|name keys that nobody used for so long; without, 90d", duration(&c.dormant))
	f.Func("age", "`D`|name keys that are as old; without, 365d", duration(&c.age))
	f.BoolVar(&c.check, "check", false, "exit with code 5 if there is a finding")
}

// list reads a comma-separated list; "" is a list of nothing, which is not the same as none.
func list(to *[]string) func(string) error {
	return func(s string) error {
		*to = []string{}
		for x := range strings.SplitSeq(s, ",") {
			if x = strings.TrimSpace(x); x != "" {
				*to = append(*to, x)
			}
		}
		return nil
	}
}

func scopes(to *[]string) func(string) error {
	return func(s string) error {
		list(to)(s)
		if slices.ContainsFunc(*to, func(x string) bool { return strings.ContainsAny(x, " \t") }) {
			return errors.New("scopes are separated by commas")
		}
		return nil
	}
}

func networks(to *[]netip.Prefix) func(string) error {
	return func(s string) error {
		var all []string
		list(&all)(s)
		*to = []netip.Prefix{}
		for _, x := range all {
			p, err := netip.ParsePrefix(x)
			if a, single := netip.ParseAddr(x); err != nil && single == nil && a.Zone() == "" {
				p, err = a.Prefix(a.BitLen())
			}
			if err != nil {
				return fmt.Errorf("%q is no address and no network such as 192.0.2.0/24", x)
			}
			*to = append(*to, p)
		}
		return nil
	}
}

// duration reads 36h or 90d; a day is 24 hours.
func duration(to *time.Duration) func(string) error {
	return func(s string) error {
		if days, ok := strings.CutSuffix(s, "d"); ok {
			n, err := strconv.ParseUint(days, 10, 16)
			*to = time.Duration(n) * 24 * time.Hour
			return err
		}
		var err error
		*to, err = time.ParseDuration(s)
		return err
	}
}

// moment reads a date, a time in RFC 3339, or a duration from now. A date is the beginning of the day in UTC, or its end: who writes the
// last day of a key means that the key works on it.
func moment(to *time.Time, now time.Time, end bool) func(string) error {
	return func(s string) (err error) {
		if *to, err = time.Parse(time.DateOnly, s); err == nil {
			if end {
				*to = to.AddDate(0, 0, 1)
			}
			return nil
		}
		if *to, err = time.Parse(time.RFC3339, s); err == nil {
			*to = to.UTC()
			return nil
		}
		var d time.Duration
		if duration(&d)(s) != nil || d <= 0 {
			return errors.New("is no date (2027-01-31), no time (2027-01-31T12:00:00Z) and no duration (90d, 36h)")
		}
		*to = now.Add(d).UTC().Truncate(time.Second)
		return nil
	}
}
