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
//     Config.Allow. Bytes are not sniffed: the structure of the one type that is claimed is followed from its first byte to its
//     last (see the table). Refused is what follows the end, second formats (ZIP, RAR, 7z, tar, PHAR, PDF, markup) hidden
//     inside, picture bombs, and archives with encrypted or duplicate entries, links, paths that leave, programs and macros.
//     No file that begins as a program (PE, ELF, Mach-O, class, WebAssembly, a script) has any of the types.
//   - Readers that disagree about a form: filename* (forbidden by RFC 7578, preferred to filename by mime.ParseMediaType),
//     escapes, parameters and headers given twice, folded headers, line ends other than CRLF, preambles, epilogues, nested
//     multiparts, Content-Transfer-Encoding, two parts of one name. None gets through, and none could reach the handler:
//     the form it reads is written here.
//   - Names that are paths, devices, hidden files, invisible or turned round, or have an inner extension that web servers run
//     (a.php.png). They are refused, not repaired, and replaced by random names.
//   - Bodies without a bound: bytes in all, bytes of a file, of a field and of headers, number of parts, time.
//
// # What it does not
//
// It does not decode: compressed pixels, sound and streams of a PDF may hold what exploits a decoder, or a script for a PDF
// reader. It does not know malware. It proves the sizes of an archive's entries, and looks at no more of them than their first 8 bytes. It does not find PHP's
// short tags behind the head of a file: PHP runs them wherever they are, so no upload may reach its interpreter. It does not
// check which parts must be there. A verdict that needs the whole file comes when most of it has been read: see
// [Inspector.Handler] for what becomes of the rest.
//
// # What is proven of each type
//
//	png                    every chunk, its order and checksum; size and frames; nothing after the end. Not the pixels.
//	jpeg                   every segment and scan up to the end; several pictures only if the first says so. Not the pixels.
//	gif, webp              every block or chunk; size and frames; nothing after the end. Not the pixels.
//	pdf                    the header at the first byte, the end mark and the offset before it. Not what lies between: scripts,
//	                       attachments and encryption of a PDF pass.
//	wav, mp4, m4a          every chunk or box to the last byte. Not the samples.
//	webm                   every element whose length is known; as browsers record it, known elements to the end. Not the samples.
//	mp3                    every frame to the end, and tags. ogg: every page; no checksums. Not the samples.
//	flac                   metadata and the header of the first frame. Not the frames after it.
//	txt, md, csv           UTF-8 without control characters, not begun as a script, a page, SVG or XML (Markdown may begin with
//	                       harmless HTML). Not what a spreadsheet makes of the cells of a CSV file: a formula passes.
//	json, jsonl            strict JSON without duplicate names, each document within Limits.Document. Not its schema.
//	zip, docx, xlsx, pptx  every entry unpacked and counted; directory and entries agree; no ZIP64, encryption, links, nested
//	                       archives (an Office document is one), programs, macros; no hidden files, devices, look-alike names.
//	                       Not what the entries hold, but for their first 8 bytes and the parts of an Office document.
//
// # Rules for names
//
// A file name has 1 to 255 bytes of UTF-8; no control, invisible, bidirectional or separator characters (/ \ : " < > | * ?), no
// percent escapes of these, no encoded words; it neither begins nor ends with a dot or a space; its stem is no device of
// Windows; no dot-separated part between the first and the last is an extension of PHP, ASP, JSP, ColdFusion or server side
// includes (SkipInnerExtensions); the last is an extension of the type. A part's name has 1 to 128 bytes of the same, without quotes and backslashes.
//
// # Cost
//
// A window of 16 KiB and 4 to 8 KiB for the verifier, whatever the length of the form (archives: up to 64 KiB more for the names of
// their entries; json and jsonl: one document; fields: one value). One copy of the bytes beyond what the handler does. See the
// benchmarks.
//
// # Specifications
//
// RFC 7578 (multipart/form-data), RFC 2046 section 5.1, RFC 9110 sections 8.3, 8.4 and 15.5; of the types: PNG third edition,
// ITU-T T.81, GIF89a, RFC 9649 (WebP), RFC 9639 (FLAC), RFC 3533 (Ogg), ISO/IEC 14496-12, RFC 8794 and 9559 (EBML, Matroska),
// ISO 32000 (PDF), PKWARE APPNOTE 6.3.10 (ZIP), ECMA-376 part 2 (OPC), RFC 8259 (JSON), WHATWG MIME Sniffing.
package upload
