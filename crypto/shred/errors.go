package shred

import "errors"

// Errors, to be compared with errors.Is. Those of the Ring and of the medium of a Store are passed on.
var (
	// ErrShredded means that the subject was shredded: nothing of it opens again, and nothing new is sealed for it.
	ErrShredded = errors.New("shred: the subject was shredded")
	// ErrNoKey means that there is no key of the subject, so that nothing can have been sealed for it in this store.
	ErrNoKey = errors.New("shred: the subject has no key")
	// ErrContext means that a Context has no Subject, or that a Subject has no ID or a name of more than seal.MaxContextField bytes.
	ErrContext = errors.New("shred: the context names no valid subject")
	// ErrKey means that what the store holds as the key of a subject is not that key: somebody wrote to the store.
	ErrKey = errors.New("shred: the stored key of the subject is not genuine")
	// ErrTombstone means that a tombstone was not made with this AliasKey, or was changed.
	ErrTombstone = errors.New("shred: the tombstone is not genuine")

	// ErrNotFound means that a Store has no record of an alias.
	ErrNotFound = errors.New("shred: no record")
	// ErrConflict means that a record was written by somebody else meanwhile.
	ErrConflict = errors.New("shred: the record was changed by somebody else")
	// ErrUnreadable means that a Store holds something that is no record. It is never taken for none.
	ErrUnreadable = errors.New("shred: a record cannot be read")
)
