// Package dialect knows what the bodies of AI inference APIs look like: where the text stands, whose it is, which channel of
// a stream it belongs to, and where a reply reports its usage. It is mechanism without policy: it decides nothing, it points.
//
// Known are OpenAI chat completions, legacy completions, the Responses API and embeddings, Anthropic messages, and Ollama's
// chat and generate; vLLM, llama.cpp and most gateways speak one of them. In an Unknown body every string leaf is text.
//
// # Spans
//
// A Text is a span of the raw string content inside its quotes. Spans are in document order and do not overlap, so that a
// rewriter can splice replacements between untouched bytes. Text that clients must not see rewritten (data URLs, base64,
// signatures, encrypted reasoning) is reported as Opaque.
//
// # Names that hide
//
// A member name is matched after decoding its escapes, and, when nothing matches, once more after Unicode case folding: an
// inference server written in Go takes "Content" for "content", so a scanner that did not would let text pass unseen. A
// duplicate member is reported as often as it occurs.
//
// # Streams
//
// A Response describes one reply or one event of a stream. Channel tells apart the streams of text that run interleaved in
// it: per choice (or output item, or block), tool call (or content part) and field. A Stream follows the events of one reply
// and can end it at any moment with the events its dialect wants, and write further text on a channel.
//
// # Cost
//
// One pass of jsonscan. Response and Stream are reused without allocation; neither is safe for concurrent use.
package dialect
