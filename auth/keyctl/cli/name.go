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
	for i, s := range c.ids {
		// A key of ours begins with its id, whole or cut short as in a log: prefix_env_id_...
		if parts := strings.SplitN(s, "_", 4); len(parts) >= 3 && len(parts[2]) == idLen {
			c.ids[i] = parts[2]
		}
	}
	return nil
}

// idLen is the length of an id.
const idLen = 12

// resolve finds the ids of imported keys that were named by the key itself: the store has their hash.
func (c *call) resolve(ctx context.Context) error {
	named := func(s string) bool { return len(s) != idLen }
	if !slices.ContainsFunc(c.ids, named) {
		return nil
	}
	all, err := c.keys.List(ctx)
	if err = c.withoutUses(err); err != nil {
		return err
	}
	for i, s := range c.ids {
		if !named(s) {
			continue
		}
		long := sha512.Sum512([]byte(s))
		hashes := []apikey.Digest{sha256.Sum256([]byte(s)), sha256.Sum256(long[:])}
		c.ids[i] = fmt.Sprintf("number %d", i+1) // what it is may be a secret, and is printed nowhere
		for _, r := range all {
			if r.Foreign != "" && slices.Contains(hashes, r.Hash) {
				c.ids[i] = r.ID
			}
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
		if c.name == "rotate" && r.ID == c.ids[0] { // its successor is for the same server; the Manager sees to that
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
