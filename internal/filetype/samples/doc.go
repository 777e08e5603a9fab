// Package samples makes files for tests: genuine ones of every type, and hostile ones that claim to be.
//
// Pictures, archives and tables come from the encoders of the standard library; the rest is written byte by byte here, as small
// as the format allows. Everything is the same in every run. Nothing of a product imports this package.
package samples
