package validate

// For the external tests of the media formats.
var (
	IsImageURL    = isImageURL
	IsMediaURL    = isMediaURL
	IsBase64      = isBase64
	IsImageBase64 = isImageBase64
)
