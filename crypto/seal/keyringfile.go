package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/internal/privatefile"
)

const (
	fileFormat  = "mantlet-seal-keyring"
	fileVersion = "1"
	// maxKeyringFile is room for some 20,000 keys.
	maxKeyringFile = 4 << 20
)

// ReadKeyringFile reads a Keyring from a file that CreateKeyringFile or UpdateKeyringFile has written. It refuses a file that is not
// regular (a symbolic link is not), not of mode 0600 or less, of another user than root and the one of this process, in a directory
// that others may write to, larger than 4 MiB, or not exactly of this form (any order of members and keys, any JSON white space):
//
//	{
//	 "format": "mantlet-seal-keyring",
//	 "version": 1,
//	 "keys": [
//	  {"id": "92b24aeb", "state": "primary", "created": "2026-11-25T12:00:00Z", "key": "mantlet-seal-v1_92b24aeb_..."},
//	  {"id": "0c6e5f9a", "state": "destroyed"}
//	 ]
//	}
//
// A key has id, state and key, as String and Reveal write them, a destroyed one id and state; created (RFC 3339) may be missing. Unknown
// members, members given twice, and names in another case are refused. The error never shows a key. If there is no file it wraps
// fs.ErrNotExist.
func ReadKeyringFile(path string) (*Keyring, error) {
	data, _, err := privatefile.Read(path, maxKeyringFile, nil)
	if err != nil {
		return nil, aboutFile(path, err)
	}
	defer clear(data)
	cfg, err := decodeKeyring(data)
	if err != nil {
		return nil, aboutFile(path, err)
	}
	k, err := New(cfg)
	if err != nil {
		return nil, aboutFile(path, err)
	}
	return k, nil
}

// CreateKeyringFile writes a Keyring to a new file of mode 0600. If there is a file already it stays as it is, and the error wraps
// fs.ErrExist. Its directory must exist. It is the way to make the first file; from then on use UpdateKeyringFile.
func CreateKeyringFile(path string, k *Keyring) error {
	return writeKeyring(path, k, privatefile.Create)
}

// UpdateKeyringFile reads the Keyring of a file, has change change it, and puts a new file in the place of the old one, if change returns
// nil: readers see the one or the other whole, also after a power cut. Writers wait for each other, until ctx ends, by a lock
// on a file beside it, named like it with ".lock" appended (on Windows and Plan 9 only you can see to that). So a key is replaced in steps:
//
//	err := seal.UpdateKeyringFile(ctx, path, func(ring *seal.Keyring) error { return ring.Add(seal.GenerateKey(), time.Now()) })
//
// Each step is to reach every process before the next one: see ReloadFile and the package comment.
func UpdateKeyringFile(ctx context.Context, path string, change func(*Keyring) error) error {
	unlock, err := privatefile.Lock(ctx, path+".lock")
	if err != nil {
		return aboutFile(path+".lock", err)
	}
	defer unlock()
	k, err := ReadKeyringFile(path)
	if err != nil {
		return err
	}
	if err := change(k); err != nil {
		return err
	}
	return writeKeyring(path, k, privatefile.Replace)
}

// ReloadFile makes the Keyring what the file says: call it on a signal or from a ticker. Calls of other methods see the old ring or the
// new one, whole. A file that lacks an id the ring has, or would bring a destroyed key back, is refused (ErrRollback): it is an old
// copy, or that of another ring. On any error the ring stays what it was. What was changed in memory only, by Add, Promote and so
// on, is lost, so change either the file or the ring.
func (k *Keyring) ReloadFile(path string) error {
	fresh, err := ReadKeyringFile(path)
	if err != nil {
		return err
	}
	err = k.change(func(r *ring) error {
		next := fresh.load()
		for id, e := range r.keys {
			switch now := next.keys[id]; {
			case now == nil:
				return &KeyError{id, ErrRollback}
			case e.State == Destroyed && now.State != Destroyed:
				return &KeyError{id, ErrRollback}
			}
		}
		*r = *next
		return nil
	})
	if err != nil {
		return aboutFile(path, err)
	}
	return nil
}

// ErrRollback is wrapped in a *KeyError when a file to reload lacks a key of the ring, or has one alive that was destroyed.
var ErrRollback = errors.New("seal: the file is older than the ring, or not its own: key")

// KeyringFromEnv reads a Keyring from the environment variable of that name: keys as Reveal writes them, separated by white space, the
// first one primary, the others decrypt-only. Every process of the same user can read a process's environment, children inherit it,
// and crash reports show it: prefer a file. The error never shows a key.
func KeyringFromEnv(name string) (*Keyring, error) {
	var cfg Config
	for i, text := range strings.Fields(os.Getenv(name)) {
		key, err := ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("seal: key %d of environment variable %s: %w", i+1, name, err)
		}
		state := DecryptOnly
		if i == 0 {
			state = Primary
		}
		cfg.Keys = append(cfg.Keys, RingKey{Key: key, State: state})
	}
	k, err := New(cfg)
	if err != nil {
		return nil, fmt.Errorf("seal: environment variable %s: %w", name, err)
	}
	return k, nil
}

// aboutFile says of which file an error is. Where the system named it too, once is enough.
func aboutFile(path string, err error) error {
	if named, ok := err.(*fs.PathError); ok && named.Path == path {
		err = named.Err
	}
	return fmt.Errorf("seal: keyring file %s: %w", path, err)
}

func writeKeyring(path string, k *Keyring, put func(string, []byte) error) error {
	if k.Primary() == (ID{}) {
		return ErrNoPrimary
	}
	data := k.encode()
	defer clear(data)
	// Read what will be read back before it replaces anything.
	cfg, err := decodeKeyring(data)
	if err == nil {
		_, err = New(cfg)
	}
	if err == nil && len(data) > maxKeyringFile {
		err = fmt.Errorf("would grow beyond %d bytes", maxKeyringFile)
	}
	if err == nil {
		err = put(path, data)
	}
	if err != nil {
		return aboutFile(path, err)
	}
	return nil
}

// encode returns the content of a file. None of its strings needs an escape.
func (k *Keyring) encode() []byte {
	r := k.load()
	infos := k.Keys()
	b := bytes.NewBuffer(make([]byte, 0, 256+256*len(infos))) // without growing, which would leave copies behind
	fmt.Fprintf(b, "{\n \"format\": %q,\n \"version\": %s,\n \"keys\": [", fileFormat, fileVersion)
	for i, info := range infos {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "\n  {\"id\": %q, \"state\": %q", info.ID, info.State)
		if !info.Created.IsZero() {
			fmt.Fprintf(b, ", \"created\": %q", info.Created.UTC().Format(time.RFC3339Nano))
		}
		if e := r.keys[info.ID]; e != nil && e.State != Destroyed {
			fmt.Fprintf(b, ", \"key\": %q", e.key.Reveal())
		}
		b.WriteByte('}')
	}
	b.WriteString("\n ]\n}\n")
	return b.Bytes()
}

// decodeKeyring reads the content of a file. What one reader would overlook another might use, so it takes nothing that encode would not
// write, but for order and white space.
func decodeKeyring(data []byte) (Config, error) {
	if len(data) == 0 {
		return Config{}, errors.New("is empty")
	}
	v := keyringVisitor{data: data}
	limits := jsonscan.Limits{Bytes: -1, Depth: 3, TotalKeys: -1, ArrayLen: -1, Nodes: -1, StringLen: 128, KeyLen: 16}
	if err := jsonscan.Scan(data, &limits, &v); err != nil {
		return Config{}, err
	}
	if !v.format || !v.version || !v.list {
		return Config{}, fmt.Errorf("not a file of format %q version %s with keys", fileFormat, fileVersion)
	}
	return v.cfg, nil
}

type keyringVisitor struct {
	data                  []byte
	format, version, list bool
	cfg                   Config
	key                   RingKey
	has                   map[string]bool
}

// Visit implements jsonscan.Visitor.
func (v *keyringVisitor) Visit(p *jsonscan.Path, kind jsonscan.Kind, start, end int) error {
	raw := v.data[start:end]
	text := ""
	if kind == jsonscan.String {
		text = string(raw[1 : len(raw)-1]) // a text with an escape is none that is written here
	}
	n := len(v.cfg.Keys) + 1
	switch {
	case p.Depth() == 0 && (kind == jsonscan.ObjectStart || kind == jsonscan.ObjectEnd):
	case p.Is("format") && text == fileFormat:
		v.format = true
	case p.Is("version") && string(raw) == fileVersion:
		v.version = true
	case p.Is("keys") && (kind == jsonscan.ArrayStart || kind == jsonscan.ArrayEnd):
		v.list = true
	case p.Is("keys", "*") && kind == jsonscan.ObjectStart:
		v.key, v.has = RingKey{}, map[string]bool{}
	case p.Is("keys", "*") && kind == jsonscan.ObjectEnd:
		if !v.has["id"] || !v.has["state"] || v.has["key"] == (v.key.State == Destroyed) {
			return fmt.Errorf("key %d lacks a member, or is destroyed and not gone", n)
		}
		v.cfg.Keys = append(v.cfg.Keys, v.key)
	case p.Depth() == 3 && kind == jsonscan.String && v.list:
		name, _ := p.Key(2)
		if err := v.member(string(name), text); err != nil {
			return fmt.Errorf("key %d: %w", n, err)
		}
		v.has[string(name)] = true
	default:
		return errors.New("a member is unknown or of the wrong type, format or version")
	}
	return nil
}

func (v *keyringVisitor) member(name, text string) (err error) {
	switch name {
	case "id":
		v.key.ID, err = ParseID(text)
	case "state":
		for s, want := range stateNames {
			if text == want {
				v.key.State = State(s)
				return nil
			}
		}
		err = errors.New("unknown state")
	case "created":
		v.key.Created, err = time.Parse(time.RFC3339Nano, text)
		if err != nil || v.key.Created.IsZero() {
			err = errors.New("created is no time of RFC 3339")
		}
	case "key":
		v.key.Key, err = ParseKey(text)
	default:
		err = errors.New("unknown member")
	}
	return err
}
