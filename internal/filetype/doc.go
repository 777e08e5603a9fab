// Package filetype verifies that bytes are a file of the type somebody claims. It does not guess types.
//
//	v := filetype.New(filetype.PNG, filetype.Limits{})
//	_, err := io.Copy(v, part) // an error as soon as the bytes cannot be a PNG any more
//	err = v.Close()            // the verdict on the whole
//
// # What is proven
//
// The structure of the format is followed from the first byte to the last: lengths, checksums where they are cheap (PNG),
// order and number of parts, the size that is declared for what must be unfolded. Data is not decoded: compressed pixels and
// samples may be broken. Only the entries of archives are followed through their compression, so that their sizes are proven. A file that is accepted is one that readers of its type walk in the same way, and within [Limits].
//
//   - png, jpeg, gif, webp, wav, mp4, m4a (to the last box), webm with lengths, zip, docx, xlsx, pptx: nothing may follow the
//     end of the format. A JPEG file may hold several pictures when its first one says so (CIPA DC-007).
//     Empty files are refused, and so are WAV files without a length, as programs write them to a pipe, ZIP64, and encrypted or
//     linked entries.
//   - zip, docx, xlsx, pptx: no archive and no program in the archive, by the extension of an entry and by its first 8 bytes, also
//     of compressed ones. Office documents count as archives, for nobody follows their entries there; only in embeddings
//     of Office documents they may stand. Names must be the same on every system: no hidden files but a few of macOS and
//     of sources, no devices of Windows, nothing that cannot be seen (joiners of scripts included), no two that differ only by
//     case or by the composition of accents, no file that is a folder too.
//   - mp3: frames up to the end, the last one possibly cut, and tags. ogg: whole pages up to the end (checksums are not
//     computed). webm as browsers record it: known elements up to the end.
//   - pdf: header at the first byte, offset of the cross references and end mark at the end. flac: metadata and the header of
//     the first frame. What lies between is not looked at.
//   - txt, md, csv: UTF-8 without control characters, not begun as a script, a page, SVG or XML (Markdown may begin with
//     harmless HTML). json, jsonl: strict JSON by package jsonscan.
//
// # Second formats
//
// No magic number that a program begins with (MZ, ELF, Mach-O, class, wasm) can begin a file that is accepted: every binary
// type has its own, texts hold no control characters and no bytes that are not UTF-8, and "#!" is refused. Such numbers
// are not searched for further on, where they mean nothing: MZ stands in every second 64 KiB of compressed data.
//
// What readers find elsewhere than at the first byte is searched for, in all types but texts, each by a rule that random
// data does not meet:
//
//   - zip (jar, docx and the like): an end record of a directory within the last 65,557 bytes, with entries and a directory
//     that would lie before it; not in archives, which are ZIP files themselves. In 100 MB of random data the chance is below
//     one in 10^8.
//   - rar, 7z: the signature (6 and 7 bytes) in the first 8 MiB, where unpackers look behind self-extracting programs. Chance
//     below one in 10^7.
//   - phar: the 18 bytes of its stub anywhere. tar: a first header with a true checksum.
//   - pdf: a header in the first 1,024 bytes; in texts only together with an end mark in the last 1,024.
//   - markup: an opening of HTML, SVG or PHP in the first 1,445 bytes, which are all that browsers sniff. Not in archives.
//   - PHP: "<?php" in any case with white space behind it, anywhere. Not in archives. Chance 2^-43 per byte: one in 80,000 in 100 MB
//     of random data, one in 8 million in 1 MB. The short forms, "<?=" and "<?", are not searched for: the first of them alone
//     stands once in 16 MiB of random data. PHP runs them wherever they are, so no upload may ever reach a PHP interpreter.
//
// # Cost
//
// O(n), and most bytes are only passed over. A Verifier is about 4 KiB, and up to 4 KiB more for its grammar, whatever the
// length of the file; archives keep up to 64 KiB of hashes, json and jsonl hold one text of at most Limits.Document. Compressed
// entries of archives cost several times as much per byte as the rest. See the benchmarks. The verdict, its reason and its
// place do not depend on how the bytes are cut into pieces.
//
// # Specifications
//
// PNG third edition, ITU-T T.81, GIF89a, RFC 9649 (WebP), RFC 9639 (FLAC), RFC 3533 (Ogg), ISO/IEC 14496-12, RFC 8794 and
// 9559 (EBML, Matroska), ISO 32000 (PDF), PKWARE APPNOTE 6.3.10 (ZIP), ECMA-376 part 2 (OPC), RFC 8259 (JSON), WHATWG MIME
// Sniffing.
package filetype
