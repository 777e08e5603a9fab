package upload

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/filetype"
)

// Error is a refusal. All of its exported fields may be shown to the client: none ever holds a name, a byte or a header of the
// form. It is immutable.
type Error struct {
	// Status is the HTTP status: 400, 408, 413, 415, or 500 for an Inspector that New did not make.
	Status int
	// Code is the stable machine name: invalid_request, limit_exceeded (400), request_timeout (408), body_too_large (413),
	// unsupported_media_type (415), internal_error (500).
	Code string
	// Rule is what was broken: a field of Config or Limits ("MaxFile"), "form", "header", "name", "filename", "extension",
	// "type", "bytes" or "content"; "" when none applies.
	Rule string
	// Part is the number of the part, from 1; 0 is the form as a whole. The standard reply has it as param "part 2".
	Part int
	// Message is a fixed English sentence: what is wrong, and what to do where that is not the same.
	Message string

	header http.Header
	cause  error
}

// Error returns code, part, rule and sentence, prefixed with the package name.
func (e *Error) Error() string {
	s := "upload: " + e.Code
	if e.Part > 0 {
		s += " in part " + strconv.Itoa(e.Part)
	}
	if e.Rule != "" {
		s += " (" + e.Rule + ")"
	}
	return s + ": " + e.Message
}

// Unwrap returns the private cause, such as why the bytes are not of their type, or a read error of the connection; nil for
// most refusals. Do not send its text to a client.
func (e *Error) Unwrap() error { return e.cause }

// As lets the packages of this module answer with each other's refusals: validate.Refuse takes this error too. It fills in
// what they write; programs have no use for it.
func (e *Error) As(target any) bool {
	d, ok := target.(**deny.Denial)
	if ok {
		*d = e.denial()
	}
	return ok
}

func (e *Error) denial() *deny.Denial {
	d := &deny.Denial{Code: deny.Code(e.Code), Message: e.Message, Header: e.header, Stage: "validate", Cause: e}
	if e.Part > 0 {
		d.Param = "part " + strconv.Itoa(e.Part)
	}
	return d
}

// refuse makes the Error of a code; without a sentence it has the code's own.
func refuse(code deny.Code, rule, sentence string) *Error {
	if sentence == "" {
		sentence = code.Message()
	}
	return &Error{Status: code.Status(), Code: string(code), Rule: rule, Message: sentence}
}

func malformed(rule, sentence string) *Error { return refuse(deny.InvalidRequest, rule, sentence) }

// unfit is the refusal of a file whose bytes were found wrong.
func unfit(err error) *Error {
	e := refuse(deny.UnsupportedMediaType, "bytes", "The bytes of a file are not of the type that its name and its part say: send an intact file under its own type.")
	var fe *filetype.Error
	if errors.As(err, &fe) {
		switch fe.Kind {
		case filetype.TooBig:
			e = refuse(deny.LimitExceeded, "Limits", "A file unfolds to more pixels, frames, entries or bytes than are allowed: send a smaller one.")
		case filetype.Polyglot:
			e.Message = "A file can be read as one of a second type too: save it anew without what was added."
		case filetype.Forbidden:
			e = malformed("content", "A file holds what no file may hold here: a program, a script, an encrypted entry or a path that leaves.")
		}
	}
	e.cause = err
	return e
}

// unread turns an error of the connection into a refusal.
func unread(err error) *Error {
	var tooLong *http.MaxBytesError
	var e *Error
	switch {
	case errors.As(err, &tooLong):
		e = refuse(deny.BodyTooLarge, "", "")
	case errors.Is(err, os.ErrDeadlineExceeded):
		e = refuse(deny.RequestTimeout, "ReadTimeout", "")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e = malformed("form", "The form ends before its last boundary.")
	default:
		e = malformed("form", "The request body could not be read.")
	}
	e.cause = err
	return e
}
