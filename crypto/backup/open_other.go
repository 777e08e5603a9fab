//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package backup

import "os"

const readOnly = os.O_RDONLY
