package validate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// ErrNoBody says that the request has no body that a [Validator] took in: there is none around the handler, or the
// request came without a body and was let through.
var ErrNoBody = errors.New("validate: no validated body in this request")

// receivedKey is where the exchange keeps the *received.
type receivedKey struct{}

// received is a body that a Validator took in.
type received struct {
	cache   cache
	by      *policy
	decoded []byte // of a coded body in shadow mode, which the handler otherwise reads as it came
}

// receipt returns the body that a Validator took in, nil for none.
func receipt(x *exchange.Exchange) *received {
	if x == nil {
		return nil
	}
	rec, _ := x.Get(receivedKey{}).(*received)
	return rec
}

// Raw returns the bytes of the checked body, as they stand after any rewriting by the rooms between. They are shared by
// all readers of the request: do not modify them. ok is false when no [Validator] took a body in. In shadow mode the
// bytes may be ones that would have been refused.
func Raw(ctx context.Context) (body []byte, ok bool) {
	x := exchange.From(ctx)
	rec := receipt(x)
	if rec == nil {
		return nil, false
	}
	b := rec.decoded
	if b == nil {
		b, _ = x.ReadBytes()
	}
	return b[:len(b):len(b)], true
}

// Body returns the checked body decoded into a T with encoding/json. It is decoded once per request and type, also when
// goroutines ask at the same time; later calls return a copy of the same value, which shares pointers, slices and maps, so
// treat those as read only.
//
// encoding/json fills a field Model from a member "MODEL" too. Body does not: a member whose name equals a known name
// of the Go type only when case is ignored is an *Error with status 422 and keyword "case", so that what was checked
// under its exact name is what the handler gets. (The check follows structs, maps, slices and pointers. A type with its
// own UnmarshalJSON answers for itself.) A body that does not fit T is an *Error with status 422; answer with [Refuse].
// Without a checked body the error is [ErrNoBody]. In shadow mode a body that would have been refused is decoded too,
// if it can be.
//
// A T, or *T, with a method Validate() error says what a schema cannot, such as that one field fits another. It is called
// once per decoding. Its error refuses the body with status 422, keyword "validate" and a fixed sentence; the error itself is
// private: it is in the record of the Logger, and can be had by [errors.Unwrap]. An *Error in it, as [ErrorAt] makes them, goes to the client instead. When T is a
// pointer, a body null has nothing to call Validate of and is refused. A panic in Validate is not caught here: it is a fault of
// the program, the handler does not go on, and sanitize.Errors or net/http deal with it.
func Body[T any](ctx context.Context) (T, error) {
	data, ok := Raw(ctx)
	if !ok {
		var zero T
		return zero, ErrNoBody
	}
	return decodeOnce[T](&receipt(exchange.From(ctx)).cache, data)
}

// ErrorAt returns a refusal for the method Validate of a type that [Body] decodes into: the value at pointer, an RFC 6901 JSON
// Pointer, is not what keyword asks for. All three go to the client, so they must be constants of the program: never a value
// or a name that the request brought. An empty message means the standard sentence of keyword.
func ErrorAt(pointer, keyword, message string) *Error {
	e := refuse(deny.SchemaViolation)
	e.Pointer, e.Keyword, e.Message = pointer, keyword, message
	if message == "" {
		e.Message = sentence(keyword, deny.SchemaViolation)
	}
	return e
}

// Handle returns v in front of a handler that gets the checked body as a T. What [Body] refuses is answered, and recorded in
// v's Logger, like what v refuses. A request that v lets pass without a body is refused: there is no T in it. In shadow mode
// so is a body that does not decode. It panics when handler is nil.
func Handle[T any](v *Validator, handler func(w http.ResponseWriter, r *http.Request, body T)) http.Handler {
	if handler == nil {
		panic("validate: Handle: handler is nil")
	}
	return v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := Body[T](r.Context())
		switch {
		case err == nil:
			handler(w, r, body)
		case err == ErrNoBody:
			Refuse(w, r, emptyBody())
		default:
			Refuse(w, r, err)
		}
	}))
}

// cache holds what one text was decoded into, by type.
type cache struct {
	mu    sync.Mutex
	cells []any // *decoded[T], at most one for each T
}

// decoded is a text in the form of one type.
type decoded[T any] struct {
	of    []byte
	once  sync.Once
	value T
	err   error
}

// decodeOnce returns what data says in the form of T.
func decodeOnce[T any](c *cache, data []byte) (T, error) {
	// The body may have been rewritten since the last call (a redacted prompt), so the bytes belong to the key.
	c.mu.Lock()
	at := slices.IndexFunc(c.cells, func(cell any) bool { _, ok := cell.(*decoded[T]); return ok })
	if at < 0 {
		at, c.cells = len(c.cells), append(c.cells, nil)
	}
	d, ok := c.cells[at].(*decoded[T])
	if !ok || !sameSlice(d.of, data) {
		d = &decoded[T]{of: data}
		c.cells[at] = d
	}
	c.mu.Unlock()
	d.once.Do(func() {
		d.err = refuse(deny.InternalError) // what others are told when a method of T panics
		var value T
		e := unmarshal(data, &value, reflect.TypeFor[T]())
		if e == nil {
			e = askValue(&value)
		}
		if e != nil {
			d.err = e
			return
		}
		d.value, d.err = value, nil
	})
	return d.value, d.err
}

// sameSlice reports whether two slices are the same piece of memory.
func sameSlice(a, b []byte) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// askValue calls the method Validate of a decoded value, if it has one.
func askValue[T any](value *T) *Error {
	type validator interface{ Validate() error }
	v, ok := any(value).(validator)
	if !ok {
		// T may be a pointer itself, then *T has no methods.
		if v, ok = any(*value).(validator); !ok {
			return nil
		}
		if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && p.IsNil() {
			e := refuse(deny.SchemaViolation)
			e.Keyword, e.Message = "type", sentence("type", deny.SchemaViolation)
			return e
		}
	}
	err := v.Validate()
	if err == nil {
		return nil
	}
	e := ErrorAt("", "validate", "")
	if own := new(*Error); errors.As(err, own) && *own != nil {
		*e = **own
	}
	e.cause = err
	return e
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
