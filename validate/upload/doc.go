// Package upload lets forms with files (multipart/form-data) through only while every file is what it claims to be.
//
//	in, err := upload.New(upload.Config{Allow: upload.Images()})
//	mux.Handle("POST /v1/images/edits", in.Handler(edits))
//
// The handler reads r.Body as it always did, or hands it to an upstream. What it gets is a form made anew from the parts that
// were verified, streamed while it arrives.
//
// # What it protects against
//
//   - Files under a false name. The extension, the type that the part declares and the bytes must all say one type of
//     Config.Allow. Bytes are not sniffed: package filetype follows the structure of the one type that is claimed from its
//     first byte to its last, and refuses what follows the end, second formats (ZIP, RAR, 7z, tar, PHAR, PDF, markup) hidden
//     inside, picture bombs, and archives with encrypted or duplicate entries, links, paths that leave, programs and macros.
//     No file that begins as a program (PE, ELF, Mach-O, class, WebAssembly, a script) has any of the types.
//   - Readers that disagree about a form: filename* (forbidden by RFC 7578, preferred to filename by mime.ParseMediaType),
//     escapes, parameters and headers given twice, folded headers, line ends other than CRLF, preambles, epilogues, nested
//     multiparts, Content-Transfer-Encoding, two parts of one name. None gets through, and none could reach the handler:
//     the form it reads is written here.
//   - Names that are paths, devices, hidden files, invisible or turned round, or have an inner extension that systems run
//     (a.php.png). They are refused, not repaired, and replaced by random names.
//   - Bodies without a bound: bytes in all, bytes of a file, of a field and of headers, number of parts, time.
//
// # What it does not
//
// It does not decode: compressed pixels, sound and streams of a PDF may hold what exploits a decoder, or a script for a PDF
// reader. It does not know malware. It proves the sizes of an archive's entries, and does not look at what they are. It does not
// check which parts must be there. A verdict that needs the whole file comes when most of it has been read: see
// [Inspector.Handler] for what becomes of the rest.
//
// # Rules for names
//
// A file name has 1 to 255 bytes of UTF-8; no control, invisible, bidirectional or separator characters (/ \ : " < > | * ?), no
// percent escapes of these, no encoded words; it neither begins nor ends with a dot or a space; its stem is no device of
// Windows; no dot-separated part between the first and the last is an extension that a server or a desktop runs; the last is
// an extension of the type. A part's name has 1 to 128 bytes of the same, without quotes and backslashes.
//
// # Cost
//
// A window of 16 KiB and 4 to 8 KiB for the verifier, whatever the length of the form (archives: 32 KiB more for the names of
// their entries; json and jsonl: one document; fields: one value). One copy of the bytes beyond what the handler does. See the
// benchmarks.
//
// # Specifications
//
// RFC 7578 (multipart/form-data), RFC 2046 section 5.1, RFC 9110 sections 8.3, 8.4 and 15.5, and those of package filetype.
package upload
