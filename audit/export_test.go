package audit

import "time"

// AppendText is the encoder of one string.
func AppendText(dst []byte, s string, limit int) ([]byte, bool, bool) {
	return appendText(dst, s, limit)
}

// AppendTime is the encoder of a time.
func AppendTime(dst []byte, t time.Time) []byte { return appendTime(dst, t) }

// EncodeEvent is the encoder of a line, with nothing configured.
func EncodeEvent(ev Event) []byte {
	e := new(encoder)
	e.ev = ev
	if ev.Stage == "" && ev.Name != "" {
		e.ev.Stage = StageEvent
	}
	e.event(&identity{address: AddressFull})
	return e.buf
}

// Benched is an encoder to be used again and again.
type Benched struct{ e encoder }

// Encode encodes ev and gives the line.
func (b *Benched) Encode(ev *Event) []byte {
	b.e.reset()
	b.e.ev = *ev
	b.e.event(&identity{})
	return b.e.buf
}

// Visible is what SafeHandler makes of a string.
func Visible(s string) string { return visible(s) }

// File is what a FileSink needs of its file.
type File = file

// NewFileSinkOn is NewFileSink with a wrapper around each file it opens.
func NewFileSinkOn(cfg FileConfig, wrap func(File) File) (*FileSink, error) {
	return newFileSink(cfg, func(path string) (file, error) {
		f, err := openFile(path)
		if err != nil {
			return nil, err
		}
		return wrap(f), nil
	})
}

// Hidden is the set of characters that are escaped.
func Hidden(r rune) bool { return hidden(r) }

// FieldNames are the names of the schema in the order of a line.
func FieldNames() []string {
	names := []string{"schema"}
	for _, f := range fields {
		names = append(names, f.name)
	}
	return names
}
