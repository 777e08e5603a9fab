package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/auth/apikey"
)

// maxInput bounds what is read from standard input.
const maxInput = 1 << 20

// expand takes over the keys that were named, and reads those of standard input for "-".
func (c *call) expand(cmd *command, named []string) error {
	if cmd.ids == 0 {
		return nil
	}
	for _, s := range named {
		if s != "-" {
			c.ids = append(c.ids, s)
			continue
		}
		c.piped = true
		text, err := io.ReadAll(io.LimitReader(c.cfg.Stdin, maxInput))
		if err != nil {
			return fmt.Errorf("reading standard input: %w", err)
		}
		if len(text) == maxInput || len(strings.Fields(string(text))) == 0 {
			return wrongUse("standard input holds no keys or ids, or more than a mebibyte of them")
		}
		c.ids = append(c.ids, strings.Fields(string(text))...)
		c.many = cmd.ids > 1
	}
	c.many = c.many || len(c.ids) > 1 || c.client != ""
	switch revokes := c.name == "revoke"; {
	case cmd.ids == 1 && len(c.ids) != 1:
		return wrongUse("%s takes one key id, not %d", c.name, len(c.ids))
	case revokes && c.client != "" && len(c.ids) > 0:
		return wrongUse("revoke takes key ids or -client NAME, not both")
	case len(c.ids) == 0 && revokes && c.client == "":
		return wrongUse("revoke needs key ids, or -client NAME")
	case len(c.ids) == 0 && !revokes:
		return wrongUse("%s needs key ids", c.name)
	}
	return nil
}

// isID reports whether s has the form of an id.
func isID(s string) bool {
	return len(s) == 12 && !strings.ContainsFunc(s, func(r rune) bool { return r|0x20 < 'a' && (r < '0' || r > '9') || r|0x20 > 'z' })
}

// cutID returns the id in a key of ours, whole or cut short as in a log: prefix_env_id_...
func cutID(s string) string {
	if parts := strings.SplitN(s, "_", 4); len(parts) >= 3 && isID(parts[2]) {
		return parts[2]
	}
	return ""
}

// resolve finds the keys that were named by more than their ids. An imported key is known by the hash of the whole of it, and comes first:
// part of it may look like an id. What the store does not have may be a secret, and is printed nowhere.
func (c *call) resolve(ctx context.Context) error {
	if !c.piped && !slices.ContainsFunc(c.ids, func(s string) bool { return !isID(s) }) {
		return nil
	}
	all, err := c.keys.List(ctx)
	if err = c.withoutUses(err); err != nil {
		return err
	}
	has := map[string]bool{}
	foreign := map[apikey.Digest]string{}
	for _, r := range all {
		has[r.ID] = true
		if r.Foreign != "" {
			foreign[r.Hash] = r.ID
		}
	}
	for i, s := range c.ids {
		short, long := sha256.Sum256([]byte(s)), sha512.Sum512([]byte(s))
		switch id := cutID(s); {
		case has[s]:
		case foreign[short] != "":
			c.ids[i] = foreign[short]
		case foreign[sha256.Sum256(long[:])] != "":
			c.ids[i] = foreign[sha256.Sum256(long[:])]
		case has[id]:
			c.ids[i] = id
		case !c.piped && isID(s):
		default:
			c.ids[i] = fmt.Sprintf("number %d", i+1)
		}
	}
	return nil
}

// settle decides with which prefix and env keys are made: those that were said or, for want of these, those of the keys in the store if they
// leave no choice. A key with any other would be made and listed like the rest, and no server would take it.
func (c *call) settle(ctx context.Context, store apikey.Store) error {
	if c.name != "create" && c.name != "rotate" && c.name != "import" {
		return nil
	}
	b, err := store.Load(ctx, "")
	if err != nil {
		return err
	}
	var heads, fitting []string
	for _, r := range b.Records {
		if r.Head == "" {
			continue
		}
		prefix, env, _ := strings.Cut(r.Head, "_")
		if c.name == "rotate" && (r.ID == c.ids[0] || r.ID == cutID(c.ids[0])) { // its successor is for the same server; the Manager sees to that
			c.prefix, c.env = cmp.Or(c.prefix, prefix), cmp.Or(c.env, env)
			return nil
		}
		heads = append(heads, r.Head)
		if cmp.Or(c.prefix, prefix) == prefix && cmp.Or(c.env, env) == env {
			fitting = append(fitting, r.Head)
		}
	}
	slices.Sort(heads)
	slices.Sort(fitting)
	heads, fitting = slices.Compact(heads), slices.Compact(fitting)
	switch {
	case len(fitting) == 1:
		c.prefix, c.env, _ = strings.Cut(fitting[0], "_")
	case len(heads) > 0 && len(fitting) == 0 && !c.newPrefix:
		return fmt.Errorf("%w: this store holds keys of %s, not %s_%s (-new-prefix begins another)", errHead, strings.Join(heads, " and "), cmp.Or(c.prefix, "*"), cmp.Or(c.env, "*"))
	case c.name == "import" || c.prefix != "" && c.env != "":
	case len(fitting) > 1:
		return wrongUse("this store holds keys of %s: %s needs -prefix and -env", strings.Join(heads, " and "), c.name)
	default:
		return wrongUse("%s needs -prefix and -env (or KEYCTL_PREFIX and KEYCTL_ENV), those of the server", c.name)
	}
	return nil
}
