package seal

import (
	"encoding/binary"
	"fmt"
	"math"
)

// MaxContextField is how long a field of a Context may be, in bytes: the format counts them in 16 bits.
const MaxContextField = math.MaxUint16

// Context is where a message belongs. It is not stored in the box: whoever opens it says where it was found, and the box opens
// only if it was sealed for exactly that place. So a value copied to another row, tenant or column is refused. The fields are
// compared byte for byte; nothing is normalised.
type Context struct {
	// Purpose is what the message is, in your application, best with a table or file type: "users.email", "model checkpoint".
	// Required.
	Purpose string
	// Tenant is whose it is, where several customers share a store. May be empty.
	Tenant string
	// Subject is what it is about: the primary key of the row, the id of the user. May be empty, and then boxes of one
	// Purpose and Tenant can be exchanged for each other.
	Subject string
	// Path is where inside the record it is: a column, a JSON Pointer, a version. May be empty.
	Path string
}

func (c *Context) fields() [4]string { return [...]string{c.Purpose, c.Tenant, c.Subject, c.Path} }

func (c *Context) check() error {
	if c.Purpose == "" {
		return fmt.Errorf("%w: Context.Purpose is empty", ErrContext)
	}
	for i, f := range c.fields() {
		if len(f) > MaxContextField {
			return fmt.Errorf("%w: Context.%s is %d bytes long, more than %d", ErrContext, [...]string{"Purpose", "Tenant", "Subject", "Path"}[i],
				len(f), MaxContextField)
		}
	}
	return nil
}

// appendBinding appends what a box is bound to, the associated data of the format. It is injective: every part has a fixed or a
// written length, so no two contexts, keys or formats give the same bytes.
func (c *Context) appendBinding(b []byte, version byte, id ID) []byte {
	b = append(append(b, version), id[:]...)
	for _, f := range c.fields() {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(f))), f...)
	}
	return b
}
