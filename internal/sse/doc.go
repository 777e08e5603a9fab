// Package sse reads and writes the two framings in which AI services stream their replies: server-sent events (WHATWG HTML,
// section 9.2.6 "Interpreting an event stream") and newline-delimited JSON.
//
// The Parser is made for a middleware that must pass a stream on while it looks at it. It is fed whatever pieces the handler
// happened to write and gives back whole events, each with the exact bytes it came in, so that forwarding Event.Raw of every
// event, and the Raw of the Tail at the end, reproduces the stream to the byte:
//
//	for {
//		ev, rest, ok, err := p.Next(b)
//		if err != nil || !ok {
//			break
//		}
//		use(ev)
//		b = rest
//	}
//
// What it promises:
//   - The same stream gives the same events however it is cut. A CRLF, a byte order mark, a character or a JSON escape may be
//     cut anywhere.
//   - An event is never held back longer than it must be: a CR ends a line at once. If its LF arrives with a later write, that LF
//     becomes the first byte of the next event's Raw (and nothing else of the event).
//   - Time is linear in the bytes given, also when they come one at a time. Memory is bounded by MaxEvent per parser; nothing is
//     allocated, and nothing copied, for an event that lies whole in the bytes given.
//   - What a reader has to ignore (comments, id, retry, unknown fields, blank lines, an unfinished last event) is still
//     reported, as an event without data or as the Tail, because it must be forwarded too.
//
// What it does not do: it neither checks that the data is JSON nor that it is UTF-8, does not reconnect, and keeps no last event
// id. A Parser is for one stream and one goroutine.
package sse
