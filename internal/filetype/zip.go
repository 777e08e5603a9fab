package filetype

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// zip is a ZIP archive (PKWARE APPNOTE 6.3.10) that a reader of the stream and a reader of the directory see alike: local
// entries from the first byte on without a gap, then a directory of exactly these entries, then the end record.
//
// The directory may name the entries in another order, and there is no room to keep them: each entry adds a keyed hash of all
// it says, 128 bits, to one sum, once as the local header tells it and once as the directory does, and the sums must be equal.
//
// Compressed entries are followed symbol by symbol, so that their declared sizes are proven; stored ones have the size that they
// have. What comes out is not made, so checksums are not.
type zip struct {
	state   uint8
	count   int // local entries
	central int // entries of the directory
	inDir   bool
	dirAt   int64
	names   []uint64 // a keyed hash of each name, as file systems compare them; its last bit says that it is a folder
	folders []uint64 // the same of all folders that names lie in, sorted
	sum     [2][2]uint64
	total   int64

	at       int64 // offset of the entry at hand
	dataAt   int64
	flags    uint16
	method   uint16
	crc      uint32
	packed   uint32
	unpacked uint32
	nameLen  int
	extra    int
	comment  int
	folder   bool
	hash     [2]uint64 // of the name

	lead     [leadBytes]byte // of an entry without a size
	leadN    int
	document bool // the entry may be an Office document

	matched uint8 // bytes of a descriptor's signature at the end of the scan so far
	deflate inflater

	contentTypes, main bool
}

const (
	zipStart = iota
	zipSig
	zipLocal
	zipName
	zipExtra
	zipLead
	zipInflate
	zipSearch // of a stored entry without a size
	zipFound  // the figures behind what may be the signature of a descriptor
	zipDescriptor
	zipDir
	zipEnd
	zipComment
)

const (
	flagEncrypted  = 1 << 0
	flagDescriptor = 1 << 3
	flagUTF8       = 1 << 11
	// flagsAllowed: bits 1 and 2 say how hard the compressor tried.
	flagsAllowed = 1<<1 | 1<<2 | flagDescriptor | flagUTF8

	maxName   = 512
	leadBytes = 8 // of the content of an entry, for its signature
	zip64     = 1<<32 - 1
	unicodeID = 0x7075 // Info-ZIP's second name of an entry
)

var zipSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

var sigDescriptor = []byte("PK\x07\x08")

func (m *zip) next(v *Verifier, b []byte) error {
	switch m.state {
	case zipStart:
		m.signature(v)
	case zipSig:
		switch s := string(b); {
		case s == "PK\x03\x04" && !m.inDir:
			m.at = v.off - 4
			m.state = zipLocal
			v.take(26)
		case s == "PK\x01\x02" && m.count > 0:
			if !m.inDir {
				if err := m.turn(v); err != nil {
					return err
				}
			}
			m.state = zipDir
			v.take(42)
		case s == "PK\x05\x06" && m.inDir:
			m.at = v.off - 4
			m.state = zipEnd
			v.take(18)
		case s == "PK\x06\x06":
			return v.refuse(Forbidden, "ZIP64")
		case m.count == 0:
			return v.malformed("wrong signature")
		default:
			return v.malformed("no entry, directory or end where one must be")
		}
	case zipLocal:
		m.flags, m.method = le.Uint16(b[2:]), le.Uint16(b[4:])
		m.crc, m.packed, m.unpacked = le.Uint32(b[10:]), le.Uint32(b[14:]), le.Uint32(b[18:])
		m.nameLen, m.extra, m.comment = int(le.Uint16(b[22:])), int(le.Uint16(b[24:])), 0
		return m.header(v)
	case zipDir:
		m.flags, m.method = le.Uint16(b[4:]), le.Uint16(b[6:])
		m.crc, m.packed, m.unpacked = le.Uint32(b[12:]), le.Uint32(b[16:]), le.Uint32(b[20:])
		m.nameLen, m.extra, m.comment = int(le.Uint16(b[24:])), int(le.Uint16(b[26:])), int(le.Uint16(b[28:]))
		if le.Uint16(b[30:]) != 0 {
			return v.refuse(Forbidden, "archive of several volumes")
		}
		switch kind, unix := b[37]>>4, b[1] == 3 || b[1] == 19; { // the upper half of the attributes is a Unix mode
		case kind == 0xA:
			return v.refuse(Forbidden, "symbolic link")
		case unix && kind != 0 && kind != 4 && kind != 8:
			return v.refuse(Forbidden, "special file")
		}
		m.at = int64(le.Uint32(b[38:]))
		if m.central++; m.central > m.count {
			return v.malformed("directory and entries differ")
		}
		return m.header(v)
	case zipName:
		return m.name(v, b)
	case zipExtra:
		size := int(le.Uint16(b[2:]))
		if m.extra -= 4 + size; m.extra < 0 {
			return v.malformed("extra field longer than its header says")
		}
		if le.Uint16(b) == unicodeID {
			return v.refuse(Forbidden, "entry with a second name")
		}
		v.pass(int64(size))
		return m.extras(v)
	case zipLead:
		if err := m.content(v, b); err != nil {
			return err
		}
		left := int64(m.packed) - int64(len(b))
		if m.flags&flagDescriptor != 0 {
			m.state = zipDescriptor
			v.take(16)
		} else {
			m.signature(v)
		}
		v.pass(left)
	case zipFound:
		if int64(le.Uint32(b[4:])) == v.off-16-m.dataAt {
			return m.described(v, b)
		}
		// It was data that looked like a signature. A real one may begin in what was read behind it.
		if i := bytes.Index(b, sigDescriptor); i >= 0 {
			rest := copy(v.buf[:], b[i+4:])
			v.take(12)
			v.have = rest
			return nil
		}
		m.matched = 0
		for k := len(sigDescriptor) - 1; k > 0; k-- {
			if bytes.HasSuffix(b, sigDescriptor[:k]) {
				m.matched = uint8(k)
				break
			}
		}
		m.state = zipSearch
		v.take(0)
	case zipDescriptor:
		if !bytes.HasPrefix(b, sigDescriptor) || m.packed > 0 && le.Uint32(b[8:]) != m.packed ||
			m.method == 8 && (int64(le.Uint32(b[8:])) != m.deflate.in || int64(le.Uint32(b[12:])) != m.deflate.out) {
			return v.malformed("no descriptor where one must be")
		}
		return m.described(v, b[4:])
	case zipEnd:
		return m.end(v, b)
	case zipComment:
		// A reader that searches from the end would find another end record here.
		if bytes.Contains(b, []byte("PK")) {
			return v.refuse(Polyglot, "archive in the comment")
		}
		v.finish()
	}
	return nil
}

func (m *zip) signature(v *Verifier) {
	m.state = zipSig
	v.take(4)
}

// header checks what local headers and the directory have in common, and asks for the name.
func (m *zip) header(v *Verifier) error {
	switch {
	case m.flags&flagEncrypted != 0:
		return v.refuse(Forbidden, "encrypted entry")
	case m.flags&^flagsAllowed != 0:
		return v.malformed("unknown flags")
	case m.method != 0 && m.method != 8:
		return v.malformed("neither stored nor deflated")
	case m.nameLen == 0 || m.nameLen > maxName:
		return v.malformed("impossible length of a name")
	case m.packed == zip64 || m.unpacked == zip64:
		return v.refuse(Forbidden, "ZIP64")
	}
	m.state = zipName
	v.take(m.nameLen)
	return nil
}

func (m *zip) name(v *Verifier, b []byte) error {
	for i := range m.hash {
		m.hash[i] = maphash.Bytes(zipSeeds[i], b)
	}
	m.folder = b[len(b)-1] == '/'
	if m.inDir {
		m.add(1)
	} else {
		name := string(b)
		if reason := badName(name); reason != "" {
			return v.refuse(Forbidden, reason)
		}
		lower := fold(strings.TrimSuffix(name, "/"))
		if v.typ != ZIP {
			if reason := badPart(lower); reason != "" {
				return v.refuse(Forbidden, reason)
			}
			m.contentTypes = m.contentTypes || lower == "[content_types].xml"
			m.main = m.main || lower == mainParts[v.typ]
		} else if archives[extension(lower)] || documents[extension(lower)] {
			return v.refuse(Forbidden, "archive in the archive")
		}
		if programs[extension(lower)] {
			return v.refuse(Forbidden, "program in the archive")
		}
		if m.count++; m.count > v.lim.Entries {
			return v.refuse(TooBig, "too many entries")
		}
		// Charts of Office documents carry their figures as a workbook.
		m.document = v.typ != ZIP && strings.Contains(lower, "/embeddings/") && documents[extension(lower)]
		id := maphash.String(zipSeeds[0], lower) << 1
		if m.folder {
			id |= 1
		}
		m.names = append(m.names, id)
		if reason := m.within(v, lower); reason != "" {
			return v.refuse(TooBig, reason)
		}
	}
	return m.extras(v)
}

// extras goes on with the next extra field, or with what follows the last.
func (m *zip) extras(v *Verifier) error {
	switch {
	case m.extra >= 4:
		m.state = zipExtra
		v.take(4)
		return nil
	case m.extra > 0: // padding, as Android's zipalign leaves
		v.pass(v.skip + int64(m.extra))
	}
	if m.inDir {
		v.pass(v.skip + int64(m.comment))
		m.signature(v)
		return nil
	}
	m.dataAt = v.off + v.skip
	described := m.flags&flagDescriptor != 0
	if !described {
		if err := m.entry(v); err != nil {
			return err
		}
	}
	switch {
	case m.method == 8 && (described || m.packed > 0): // a folder may call itself compressed
		m.state = zipInflate
		m.deflate.reset()
		v.take(0)
	case !described:
		if m.packed == 0 {
			m.signature(v)
			break
		}
		fallthrough
	case m.packed > 0:
		m.state = zipLead
		v.take(int(min(m.packed, leadBytes)))
	default:
		m.state, m.matched, m.leadN = zipSearch, 0, 0
		v.take(0)
	}
	return nil
}

// within notes the folders that a name lies in.
func (m *zip) within(v *Verifier, lower string) string {
	for i := strings.LastIndexByte(lower, '/'); i >= 0; i = strings.LastIndexByte(lower[:i], '/') {
		id := maphash.String(zipSeeds[0], lower[:i]) << 1
		at, known := slices.BinarySearch(m.folders, id)
		if known {
			break // and so are those that it lies in
		}
		if len(m.folders) == v.lim.Entries {
			return "too many folders"
		}
		m.folders = slices.Insert(m.folders, at, id)
	}
	return ""
}

// content looks at the first bytes of an entry, at most leadBytes: its name may say something else than they.
func (m *zip) content(v *Verifier, b []byte) error {
	switch s := string(b); {
	case m.document && strings.HasPrefix(s, "PK\x03\x04"):
		return nil
	case slices.ContainsFunc(archiveHeads, func(head string) bool { return strings.HasPrefix(s, head) }):
		return v.refuse(Forbidden, "archive in the archive")
	case slices.ContainsFunc(programHeads, func(head string) bool { return strings.HasPrefix(s, head) }),
		strings.HasPrefix(s, "MZ") && strings.ContainsFunc(s, func(r rune) bool { return r < '\t' }): // texts may begin with MZ
		return v.refuse(Forbidden, "program in the archive")
	}
	return nil
}

func (m *zip) scan(v *Verifier, p []byte) (int, error) {
	if m.state == zipSearch {
		return m.search(v, p), nil
	}
	// The entry ends where its compressed data does, and that must be where its figures say.
	most := v.lim.Unpacked - m.total
	described := m.flags&flagDescriptor != 0
	if !described {
		most = int64(m.unpacked)
		p = p[:min(int64(len(p)), int64(m.packed)-m.deflate.in)]
	}
	n, ok := m.deflate.feed(p, most)
	v.off += int64(n)
	switch {
	case !ok:
		return n, v.malformed("broken data of an entry")
	case m.deflate.out > most && described:
		return n, v.refuse(TooBig, "entries too large together")
	case m.deflate.out > most:
		return n, v.refuse(Forbidden, "entry larger than it says")
	}
	if m.deflate.state == infDone {
		if err := m.content(v, m.deflate.head[:min(m.deflate.out, leadBytes)]); err != nil {
			return n, err
		}
	}
	switch {
	case m.deflate.state == infDone && described:
		m.state = zipDescriptor
		v.take(16)
	case m.deflate.state == infDone && m.deflate.in == int64(m.packed) && m.deflate.out == int64(m.unpacked):
		m.signature(v)
	case m.deflate.state == infDone || !described && m.deflate.in == int64(m.packed):
		return n, v.malformed("entry of another size than it says")
	}
	return n, nil
}

// search looks for a descriptor: its signature, and behind it the exact number of bytes since the data began.
func (m *zip) search(v *Verifier, p []byte) int {
	n := 0
	for n < len(p) {
		if m.matched == 0 {
			i := bytes.IndexByte(p[n:], 'P')
			if i < 0 {
				n = len(p)
				break
			}
			n += i + 1
			m.matched = 1
			continue
		}
		switch c := p[n]; {
		case c == sigDescriptor[m.matched]:
			m.matched++
		case c == 'P':
			m.matched = 1
		default:
			m.matched = 0
		}
		n++
		if int(m.matched) == len(sigDescriptor) {
			m.state = zipFound
			v.take(12)
			break
		}
	}
	if v.off-m.dataAt == int64(m.leadN) {
		m.leadN += copy(m.lead[m.leadN:], p[:n])
	}
	v.off += int64(n)
	return n
}

// described ends an entry whose figures stand behind its data.
func (m *zip) described(v *Verifier, b []byte) error {
	m.crc, m.packed, m.unpacked = le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[8:])
	if err := m.entry(v); err != nil {
		return err
	}
	if m.method == 0 && m.state == zipFound {
		if err := m.content(v, m.lead[:min(m.leadN, int(m.packed))]); err != nil {
			return err
		}
	}
	m.signature(v)
	return nil
}

// entry checks the figures of a local entry, now that they are all known.
func (m *zip) entry(v *Verifier) error {
	packed, unpacked := int64(m.packed), int64(m.unpacked)
	switch {
	case m.method == 0 && packed != unpacked, m.folder && unpacked != 0:
		return v.malformed("impossible size of an entry")
	case unpacked > ratioFloor && unpacked > packed*v.lim.Ratio:
		return v.refuse(TooBig, "entry compressed too well")
	}
	if m.total += unpacked; m.total > v.lim.Unpacked {
		return v.refuse(TooBig, "entries too large together")
	}
	m.add(0)
	return nil
}

// add puts the entry at hand into the sum of the local entries (0) or of the directory (1).
func (m *zip) add(which int) {
	var b [40]byte
	binary.LittleEndian.PutUint64(b[0:], m.hash[0])
	binary.LittleEndian.PutUint64(b[8:], m.hash[1])
	binary.LittleEndian.PutUint64(b[16:], uint64(m.at))
	binary.LittleEndian.PutUint16(b[24:], m.flags&(flagDescriptor|flagUTF8))
	binary.LittleEndian.PutUint16(b[26:], m.method)
	binary.LittleEndian.PutUint32(b[28:], m.crc)
	binary.LittleEndian.PutUint32(b[32:], m.packed)
	binary.LittleEndian.PutUint32(b[36:], m.unpacked)
	for i, seed := range zipSeeds {
		m.sum[which][i] += maphash.Bytes(seed, b[:])
	}
}

// turn ends the local entries.
func (m *zip) turn(v *Verifier) error {
	m.inDir, m.dirAt = true, v.off-4
	slices.Sort(m.names)
	for i, id := range m.names {
		if i > 0 && id>>1 == m.names[i-1]>>1 {
			return v.refuse(Forbidden, "two entries of one name")
		}
		if _, folder := slices.BinarySearch(m.folders, id); folder { // the bit of folders is not set
			return v.refuse(Forbidden, "file and folder of one name")
		}
	}
	m.names, m.folders = nil, nil
	if v.typ != ZIP && (!m.contentTypes || !m.main) {
		return v.malformed("not a document of the claimed kind")
	}
	return nil
}

func (m *zip) end(v *Verifier, b []byte) error {
	count := int(le.Uint16(b[6:]))
	if le.Uint16(b) != 0 || le.Uint16(b[2:]) != 0 || int(le.Uint16(b[4:])) != count || count != m.count || m.central != m.count ||
		int64(le.Uint32(b[8:])) != m.at-m.dirAt || int64(le.Uint32(b[12:])) != m.dirAt || m.sum[0] != m.sum[1] {
		return v.malformed("directory and entries differ")
	}
	switch n := int(le.Uint16(b[16:])); {
	case n > fieldMax:
		return v.refuse(TooBig, "comment too long")
	case n > 0:
		m.state = zipComment
		v.take(n)
	default:
		v.finish()
	}
	return nil
}

func (m *zip) close(v *Verifier) error { return v.ended() }

// badName says what is wrong with the name of an entry, "" for nothing: it must be a relative path, the same on every system.
func badName(name string) string {
	switch {
	case !utf8.ValidString(name):
		return "name that is not UTF-8"
	case name[0] == '/' || strings.ContainsAny(name, "\\:"):
		return "name of another place" // absolute, a drive or a stream of Windows
	}
	for _, r := range name {
		if r < 0x20 || r >= 0x7F && r < 0xA0 || unicode.Is(unicode.Cf, r) || r >= 0x2028 && r <= 0x2029 || strings.ContainsRune(blank, r) {
			return "name with characters that cannot be seen"
		}
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(name, "/"), "/") {
		// Windows drops dots and spaces at the end: "..  " and "a.exe." are other names there.
		if part == "" || part[len(part)-1] == '.' || part[len(part)-1] == ' ' {
			return "name of another place"
		}
		stem, _, _ := strings.Cut(strings.ToLower(part), ".")
		if devices[strings.TrimRight(stem, " ")] {
			return "name of a device"
		}
		if stem == "" && !strings.HasPrefix(part, "._") && !hiddenNames[part] || stem == "git~1" {
			return "hidden file"
		}
	}
	return ""
}

// blank are characters without a glyph that Unicode does not count as formatting: the joiner of graphemes and fillers of Hangul.
const blank = "\u034f\u115f\u1160\u3164\uffa0"

// fold returns a name as the most forgiving file system compares it: without case (APFS: Unicode's full folding), and however
// its accents are composed (HFS+, APFS).
func fold(name string) string {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return norm.NFD.String(cases.Fold().String(norm.NFD.String(name)))
		}
	}
	return strings.ToLower(name)
}

// mainParts are the parts that make a package a document, in lower case: OPC compares names without case.
var mainParts = map[Type]string{DOCX: "word/document.xml", XLSX: "xl/workbook.xml", PPTX: "ppt/presentation.xml"}

// badPart says what is wrong with a part of an Office document, "" for nothing.
func badPart(lower string) string {
	base := path.Base(lower)
	switch {
	case strings.HasPrefix(base, "vbaproject") || base == "vbadata.xml" || strings.Contains(lower, "/macrosheets/"):
		return "macros"
	case strings.Contains(lower, "/activex/"):
		return "ActiveX control"
	case strings.HasSuffix(base, ".bin") && !strings.HasPrefix(base, "printersettings"):
		return "embedded object" // OLE packages carry anything
	case archives[extension(lower)]:
		return "archive in the archive"
	}
	return ""
}

func extension(name string) string { return strings.TrimPrefix(path.Ext(name), ".") }

func set(words string) map[string]bool {
	s := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		s[w] = true
	}
	return s
}

var (
	// programs are extensions that a system runs, installs or opens as a shortcut on a double click, and Office documents with
	// macros.
	programs = set("exe dll com scr pif cpl msc bat cmd msi msp msix msixbundle appx appxbundle appinstaller ps1 psm1 psd1 vbs vbe js jse wsf wsh wsc sct hta chm inf reg " +
		"lnk url website webloc desktop rdp scf settingcontent-ms library-ms search-ms appref-ms application gadget jnlp iqy xll xla jar app apk deb rpm dmg pkg sys so dylib class wasm " +
		"command scpt docm dotm xlsm xlsb xltm xlam pptm potm ppsm ppam")
	// archives hold files that nobody would look at; images of discs are among them.
	archives = set("zip zipx 7z rar tar gz tgz bz2 tbz xz txz zst z lz lz4 lzma cab iso img vhd vhdx vmdk arj lzh ace war ear whl phar xpi crx vsix nupkg aar ipa kmz cbz cbr cb7 cbt epub " +
		"odt ods odp odg")
	// documents are archives too. In another archive nobody follows their entries, so they have no place there.
	documents = set("docx xlsx pptx dotx xltx potx ppsx")
	// devices are names that Windows gives to no file, whatever their extension.
	devices = set("con prn aux nul com0 com1 com2 com3 com4 com5 com6 com7 com8 com9 com\u00b9 com\u00b2 com\u00b3 " +
		"lpt0 lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8 lpt9 lpt\u00b9 lpt\u00b2 lpt\u00b3 conin$ conout$ clock$")
	// hiddenNames are those with a dot first that say nothing to a shell, an editor or a server: what macOS adds (and any name with "._"),
	// what belongs to sources, and the relations of Office documents. All others (.bashrc, .ssh, .git, .htaccess) are refused.
	hiddenNames = set(".DS_Store .gitignore .gitattributes .gitkeep .keep .editorconfig .rels")

	archiveHeads = []string{"PK\x03\x04", "PK\x05\x06", "Rar!\x1a\x07", "7z\xbc\xaf\x27\x1c", "\x1f\x8b\x08", "\x1f\x9d", "BZh91AY&", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd",
		"MSCF\x00\x00\x00\x00", "LZIP", "conectix", "vhdxfile"}
	programHeads = []string{"\x7fELF", "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe", "\x00asm", "dex\n",
		"L\x00\x00\x00\x01\x14\x02\x00", "ITSF"}
)
