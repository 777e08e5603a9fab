package fernet

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// maxKeyFile bounds a key file, in bytes: MaxKeys lines have fewer than that.
const maxKeyFile = 4096

// ParseKeys reads a list of keys as Airflow and other programs write it (FERNET_KEY): separated by commas or white space, newest first.
// Each must be a key as [ParseKey] reads it. No key at all is an error, and so is nothing between two commas: it is what a template
// leaves of a variable that is not set, and the older key behind it would become the first. The error says which is wrong and shows none.
func ParseKeys(list string) ([]Key, error) {
	var keys []Key
	for part := range strings.SplitSeq(list, ",") {
		texts := strings.Fields(part)
		if len(texts) == 0 {
			return nil, fmt.Errorf("fernet: the list has no key at place %d", len(keys)+1)
		}
		for _, text := range texts {
			key, err := ParseKey(text)
			if err != nil {
				return nil, fmt.Errorf("%w (at place %d of the list)", err, len(keys)+1)
			}
			keys = append(keys, key)
		}
	}
	if errs := checkKeys("the list", listPlace, keys); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return keys, nil
}

// KeysFromEnv reads the keys in an environment variable, as [ParseKeys] does. A variable that is not set is an error.
//
// An environment is easily read: by child processes, in crash reports, in the definition of a container. A file is better
// ([ReadKeyFile]).
func KeysFromEnv(name string) ([]Key, error) {
	list, ok := os.LookupEnv(name)
	if !ok {
		return nil, fmt.Errorf("fernet: environment variable %s is not set", name)
	}
	keys, err := ParseKeys(list)
	if err != nil {
		return nil, fmt.Errorf("fernet: environment variable %s: %w", name, err)
	}
	return keys, nil
}

// ReadKeyFile reads a key file: one key on each line, newest first, and nothing else (the end of the last line may be missing, as in what
// Python's Fernet.generate_key prints).
//
// The file must be a regular one and belong to whoever runs the process or to root, and so must its directory, to which nobody else may
// write. Its mode is 0640 at most: its group may read it. That is how Kubernetes gives a secret to a pod that is not root; mount it with
// subPath, since symbolic links are refused (or use [KeysFromEnv]):
//
//	securityContext: {fsGroup: 65532}                                                                        # of the pod
//	secret: {secretName: model-keys, defaultMode: 0440}                                                      # of the volume
//	{name: model-keys, mountPath: /etc/model/fernet.keys, subPath: fernet.keys, readOnly: true}              # of the container
//
// The directories above its own are not looked at: they are yours to guard. A file that does not exist is an error that wraps
// [io/fs.ErrNotExist]. No error shows a key.
func ReadKeyFile(path string) ([]Key, error) {
	data, _, err := privatefile.ReadBy(privatefile.OwnerAndGroup, path, maxKeyFile, nil)
	if err != nil {
		return nil, fmt.Errorf("fernet: key file %s: %w", path, err)
	}
	defer clear(data)
	keys, err := decodeKeyFile(data)
	if err != nil {
		return nil, fmt.Errorf("fernet: key file %s: %w", path, err)
	}
	return keys, nil
}

func decodeKeyFile(data []byte) ([]Key, error) {
	var keys []Key
	for line := range bytes.SplitSeq(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
		key, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("%w (on line %d)", err, len(keys)+1)
		}
		keys = append(keys, key)
	}
	return keys, errors.Join(checkKeys("the file", lineNumber, keys)...)
}

// CreateKeyFile makes a key file of mode 0600 with one new key, which it returns. A file that exists is left as it is, and the error
// wraps [io/fs.ErrExist]: what is encrypted under a lost key is lost.
func CreateKeyFile(path string) (Key, error) {
	key := GenerateKey()
	data := encodeKeyFile([]Key{key})
	defer clear(data)
	if err := privatefile.Create(path, data); err != nil {
		return Key{}, fmt.Errorf("fernet: key file %s: %w", path, err)
	}
	return key, nil
}

// ReplaceKeyFile puts a key file with these keys, newest first, in the place of the one at path, if there is one, in one step: a reader sees
// the old or the new one whole, and so does a machine that loses power. It refuses keys that [New] would refuse. Whoever rotates
// reads, changes and replaces; two who do so at once would lose a key. What a process that was killed here has left beside the file, named
// like it with a dot in front and ".<number>.tmp" behind, holds keys too; it is removed first, if it is older than a minute.
func ReplaceKeyFile(path string, keys []Key) error {
	if errs := checkKeys("the list", indexOf("keys"), keys); len(errs) > 0 {
		return errors.Join(errs...)
	}
	if err := privatefile.RemoveLeftovers(path, time.Now()); err != nil { // first, so that a key that was taken out is gone
		return fmt.Errorf("fernet: key file %s: %w", path, err)
	}
	data := encodeKeyFile(keys)
	defer clear(data)
	if err := privatefile.Replace(path, data); err != nil {
		return fmt.Errorf("fernet: key file %s: %w", path, err)
	}
	return nil
}

func encodeKeyFile(keys []Key) []byte {
	data := make([]byte, 0, len(keys)*(keyTextLen+1))
	for _, k := range keys {
		data = append(base64.URLEncoding.AppendEncode(data, k.secret()[:]), '\n') // not Reveal, whose string cannot be cleared
	}
	return data
}

// checkKeys says why keys are no ring; name is that of the list, and place says where key i is in it, in the words of whoever made it.
func checkKeys(name string, place func(i int) string, keys []Key) (errs []error) {
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf("fernet: "+format, args...)) }
	if len(keys) == 0 {
		refuse("%s is empty: at least one key is needed", name)
	}
	if len(keys) > MaxKeys {
		refuse("%s has %d keys, more than MaxKeys (%d)", name, len(keys), MaxKeys)
	}
	for i, key := range keys {
		if key.secret == nil {
			refuse("%s is the zero Key", place(i))
		} else if j := slices.IndexFunc(keys[:i], key.Equal); j >= 0 {
			refuse("%s is the same key as %s", place(i), place(j))
		}
	}
	return errs
}

func lineNumber(i int) string { return fmt.Sprintf("line %d", i+1) }
func listPlace(i int) string  { return fmt.Sprintf("place %d of the list", i+1) }

func indexOf(name string) func(i int) string {
	return func(i int) string { return fmt.Sprintf("%s[%d]", name, i) }
}
