// Package alias tells whether slices share memory, for those who append to a slice that may lie over their input.
package alias

import "unsafe"

// Overlap reports whether a and b share memory.
func Overlap(a, b []byte) bool {
	return len(a) > 0 && len(b) > 0 &&
		uintptr(unsafe.Pointer(&a[0])) <= uintptr(unsafe.Pointer(&b[len(b)-1])) &&
		uintptr(unsafe.Pointer(&b[0])) <= uintptr(unsafe.Pointer(&a[len(a)-1]))
}
