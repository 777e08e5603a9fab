package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/crypto/shred"
)

// bury brings all tombstones that there are into what was restored: it is in the directory where, and what it replaces, if it
// does, in old. It is called before the directories are renamed and again after that, for whoever was shredded in between.
func (b *reader) bury(where, old string, t *Target) error {
	errs := b.buryAll(where, old, t)
	if len(errs) == 0 {
		return nil
	}
	if err := b.ctx.Err(); err != nil || !t.InsecureSkipTombstones {
		return fmt.Errorf("%w: %w", ErrTombstones, errors.Join(errs...))
	}
	for _, err := range errs {
		text := err.Error()
		if old != "" { // which has another name by the second time
			text = strings.ReplaceAll(text, old+string(filepath.Separator), t.Dir+string(filepath.Separator))
		}
		if !slices.Contains(b.report.Unburied, text) {
			b.report.Unburied = append(b.report.Unburied, text)
		}
	}
	return nil
}

// told says whether somebody has told who was shredded since the backup, whatever is in a directory that is replaced.
func (t *Target) told() bool { return t.Tombstones != nil || len(t.Live) > 0 }

func errNobodyTells(names ...string) error {
	return fmt.Errorf("the backup has a store of subjects (%s), and nothing says who was shredded since: name the live store (Target.Live, or "+
		"-live) or the tombstones of the audit log (Target.Tombstones, or -tombstones); if both are lost, skip them (InsecureSkipTombstones, or -insecure-skip-tombstones)", clip(strings.Join(names, ", ")))
}

// buryAll goes on after an error: one damaged store is no reason to leave the tombstones of another one out.
func (b *reader) buryAll(where, old string, t *Target) (errs []error) {
	note := func(format string, err error, args ...any) {
		if err != nil {
			errs = append(errs, fmt.Errorf(format+": %w", append(args, err)...))
		}
	}
	all := slices.Concat(b.tombstones, t.Tombstones)
	for i, live := range t.Live {
		list, err := tombstonesOf(b.ctx, live)
		note("Target.Live[%d]", err, i)
		all = append(all, list...)
	}
	pairs, strangers := map[string]shred.Store{}, []string{}
	if old != "" {
		var err error
		if pairs, strangers, err = b.counterparts(old); err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range strangers {
		list, err := storeTombstones(b.ctx, filepath.Join(old, filepath.FromSlash(name)))
		note("the store of subjects %q in what is replaced", err, name)
		if len(b.stores) == 0 {
			all = append(all, list...) // for Apply
		} else if len(list) > 0 {
			errs = append(errs, fmt.Errorf("what is replaced has a store of subjects %q with tombstones, and the backup has none of this name, but: %s", name, clip(strings.Join(b.stores, ", "))))
		}
	}
	var unchecked []string
	for _, name := range b.stores {
		live, ok := pairs[name]
		if !ok && !t.told() {
			unchecked = append(unchecked, name)
		}
		if len(all) == 0 && live == nil {
			continue
		}
		store, err := shred.NewFileStore(shred.FileConfig{Dir: filepath.Join(where, filepath.FromSlash(name))})
		if err != nil {
			note("%q", err, name)
			continue
		}
		n, err := shred.Apply(b.ctx, store, all)
		b.report.Applied += n
		note("%q", err, name)
		if live != nil {
			n, err := shred.CopyTombstones(b.ctx, store, live)
			b.report.Applied += n
			note("%q", err, name)
		}
	}
	if b.report.StoresUnchecked = len(unchecked); len(unchecked) > 0 {
		errs = append(errs, errNobodyTells(unchecked...))
	}
	if len(all) > 0 && len(b.stores) == 0 && t.Apply == nil {
		errs = append(errs, errors.New("there is no store in the backup to apply them to, and Target.Apply is nil"))
	}
	if t.Apply != nil {
		all = slices.DeleteFunc(all, func(x shred.Tombstone) bool { return b.given[x.Subject] })
		if len(all) > 0 {
			note("Target.Apply", t.Apply(b.ctx, where, slices.Clone(all)))
		}
		for i := range all {
			b.given[all[i].Subject] = true
		}
	}
	return errs
}

func tombstonesOf(ctx context.Context, store shred.Store) (all []shred.Tombstone, err error) {
	for r, err := range shred.Records(ctx, store, shred.Page{Shredded: true}) {
		if err != nil {
			return all, err
		}
		all = append(all, shred.Tombstone{Subject: r.Alias, Key: r.Key, Time: r.Shredded, Counter: r.Counter})
	}
	return all, nil
}

func storeTombstones(ctx context.Context, dir string) ([]shred.Tombstone, error) {
	store, err := shred.NewFileStore(shred.FileConfig{Dir: dir})
	if err != nil {
		return nil, err
	}
	return tombstonesOf(ctx, store)
}

// counterparts finds, for the stores of the backup, those in a directory that is replaced: of the same name, or the only one that is left of
// both. strangers are those that the backup has no counterpart of. A nil Store in pairs is one that is there and cannot be read: the
// error says so.
func (b *reader) counterparts(old string) (pairs map[string]shred.Store, strangers []string, err error) {
	pairs = map[string]shred.Store{}
	var errs []error
	pair := func(ours, theirs string) {
		store, err := shred.NewFileStore(shred.FileConfig{Dir: filepath.Join(old, filepath.FromSlash(theirs))})
		if err != nil {
			errs = append(errs, fmt.Errorf("the store of subjects %q in what is replaced: %w", theirs, err))
			pairs[ours] = nil
			return
		}
		pairs[ours] = store
	}
	found, lost, err := storesBelow(b.ctx, old)
	if err != nil {
		errs = append(errs, err)
	}
	for _, name := range b.stores {
		// A directory without its marker is a store that is damaged or not mounted. It may be behind a link.
		if info, err := os.Stat(filepath.Join(old, filepath.FromSlash(name))); slices.Contains(found, name) || err == nil && info.IsDir() && name != "." {
			pair(name, name)
		}
	}
	for _, name := range found {
		if _, ok := pairs[name]; !ok {
			strangers = append(strangers, name)
		}
	}
	left := slices.DeleteFunc(slices.Clone(b.stores), func(name string) bool { _, ok := pairs[name]; return ok })
	if len(left) == 1 && len(strangers) == 1 {
		pair(left[0], strangers[0])
		strangers = nil
	}
	for _, name := range lost {
		if _, ok := pairs[name]; !ok {
			errs = append(errs, fmt.Errorf("what is replaced has keys of subjects in %q, and no %s beside them", name, shred.FileStoreMarker))
		}
	}
	return pairs, strangers, errors.Join(errs...)
}

// storesBelow finds the stores in a directory, "." for itself, and those that have lost their marker.
func storesBelow(ctx context.Context, dir string) (found, lost []string, err error) {
	err = filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if !d.IsDir() {
			if store, ok := storeOf(name); ok {
				if !slices.Contains(lost, store) {
					lost = append(lost, store)
				}
				return fs.SkipDir
			}
			return nil
		}
		if _, err := os.Lstat(filepath.Join(at, shred.FileStoreMarker)); err == nil {
			found = append(found, name)
			return fs.SkipDir // there may be millions of files
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	return found, lost, err
}

// storeOf says whether a file is one of a shred.FileStore by its name, and of which one.
func storeOf(name string) (store string, ok bool) {
	dir, base := path.Split(name)
	ext := path.Ext(base)
	var a shred.Alias
	if ext != ".key" && ext != ".gone" || a.UnmarshalText([]byte(strings.TrimSuffix(base, ext))) != nil {
		return "", false
	}
	dir = path.Clean(dir)
	return path.Dir(dir), path.Base(dir) == base[:2]
}
