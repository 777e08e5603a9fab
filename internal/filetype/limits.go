package filetype

// Limits bounds what a file may unfold to. A zero or negative field means its default; a limit of n allows exactly n.
type Limits struct {
	// Pixels is the width times the height of a picture, and of a frame. Zero means 50,000,000: the largest picture that
	// common telephones take (8160 by 6120), which a decoder unfolds to 200 MB of RGBA. The frames of an animation may have
	// ten times that together, each of them counted as the whole canvas: readers compose them (240 frames of 1920 by 1080).
	Pixels int64
	// Frames is the number of frames of an animation (GIF, WebP, APNG) and of the pictures in one JPEG file (CIPA DC-007).
	// Zero means 1,000: forty seconds at 25 frames a second.
	Frames int
	// Entries is the number of entries of an archive, at most and by default 4,096: one hash of 8 bytes is kept of each name.
	Entries int
	// Unpacked is the sum of the sizes of an archive's entries in bytes. Zero means 1 GiB.
	Unpacked int64
	// Ratio is the declared size of an entry divided by its compressed size, for entries of more than 100 KiB. Zero means 100:
	// both figures are those of Apache POI's ZipSecureFile.
	Ratio int64
	// Document is the length of a JSON text, and of a line of JSON Lines, in bytes. It is held in memory. Zero means 1 MiB.
	Document int
}

const (
	maxEntries = 4096
	ratioFloor = 100 << 10
)

func (l Limits) resolved() Limits {
	if l.Pixels <= 0 {
		l.Pixels = 50_000_000
	}
	if l.Frames <= 0 {
		l.Frames = 1000
	}
	if l.Entries <= 0 || l.Entries > maxEntries {
		l.Entries = maxEntries
	}
	if l.Unpacked <= 0 {
		l.Unpacked = 1 << 30
	}
	if l.Ratio <= 0 {
		l.Ratio = 100
	}
	if l.Document <= 0 {
		l.Document = 1 << 20
	}
	return l
}
