package validate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// ErrNoBody says that the request has no body that a [Validator] took in: there is none around the handler, or the
// request came without a body and was let through.
var ErrNoBody = errors.New("validate: no validated body in this request")

// receivedKey marks an exchange whose body went through a Validator.
type receivedKey struct{}

// Raw returns the bytes of the checked body, as they stand after any rewriting by the rooms between. They are shared by
// all readers of the request: do not modify them. ok is false when no [Validator] took a body in. In shadow mode the
// bytes may be ones that would have been refused.
func Raw(ctx context.Context) (body []byte, ok bool) {
	x := exchange.From(ctx)
	if x == nil || x.Get(receivedKey{}) == nil {
		return nil, false
	}
	b, ok := x.ReadBytes()
	return b[:len(b):len(b)], ok
}

// Body returns the checked body decoded into a T with encoding/json. It is decoded once per request and type; later
// calls return a copy of the same value, which shares pointers, slices and maps, so treat those as read only.
//
// encoding/json fills a field Model from a member "MODEL" too. Body does not: a member whose name equals a known name
// of the Go type only when case is ignored is an *Error with status 422 and keyword "case", so that what was checked
// under its exact name is what the handler gets. (The check follows structs, maps, slices and pointers. A type with its
// own UnmarshalJSON answers for itself.) A body that does not fit T is an *Error with status 422; answer with [Refuse].
// Without a checked body the error is [ErrNoBody]. In shadow mode a body that would have been refused is decoded too,
// if it can be.
func Body[T any](ctx context.Context) (T, error) {
	type key struct{}
	var zero T
	data, ok := Raw(ctx)
	if !ok {
		return zero, ErrNoBody
	}
	x := exchange.From(ctx)
	if c, ok := x.Get(key{}).(*decoded[T]); ok && c.of == unsafe.SliceData(data) && c.size == len(data) {
		return c.value, c.err
	}
	// The body may have been rewritten since the last call (a redacted prompt), so the bytes belong to the cache's key.
	c := &decoded[T]{of: unsafe.SliceData(data), size: len(data)}
	if e := unmarshal(data, &c.value, reflect.TypeFor[T]()); e != nil {
		c.value, c.err = zero, e
	}
	x.Put(key{}, c)
	return c.value, c.err
}

// decoded is a body in the form of one type.
type decoded[T any] struct {
	of    *byte
	size  int
	value T
	err   error
}

func unmarshal(data []byte, into any, t reflect.Type) *Error {
	if e := exactCase(data, t); e != nil {
		return e
	}
	if err := json.Unmarshal(data, into); err != nil {
		// The error quotes the value, and the cause may end up in an audit record: it is told anew, without.
		e := refuse(deny.SchemaViolation)
		var typeErr *json.UnmarshalTypeError
		if errors.As(err, &typeErr) {
			e.Keyword, e.Message = "type", sentence("type", deny.SchemaViolation)
			e.cause = fmt.Errorf("validate: body does not fit %v: not a %v before byte %d", t, typeErr.Type, typeErr.Offset)
		} else {
			e.cause = fmt.Errorf("validate: body does not fit %v: %T", t, err)
		}
		return e
	}
	return nil
}
