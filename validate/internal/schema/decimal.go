package schema

import (
	"bytes"
	"math/big"
	"math/bits"
)

// decimal is the exact value of a JSON number: 0.d1d2d3... times ten to the power of exp, without zeros at either end of the
// digits. Zero has no digits.
type decimal struct {
	negative bool
	digits   []byte
	exp      int
}

// maxExp is where exponents stop growing; nothing that was written can be told apart beyond.
const maxExp = 1 << 26

// parseDecimal reads a JSON number. The digits are appended to buf, which is returned for the next call.
func parseDecimal(buf, raw []byte) (d decimal, rest []byte) {
	i := 0
	if i < len(raw) && raw[i] == '-' {
		d.negative = true
		i++
	}
	from := len(buf)
	point, seen := 0, false // the number of digits before the point
	for ; i < len(raw); i++ {
		c := raw[i]
		if c == '.' {
			seen = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		if len(buf) == from && c == '0' { // leading zeros
			if seen {
				point--
			}
			continue
		}
		buf = append(buf, c)
		if !seen {
			point++
		}
	}
	if i < len(raw) && raw[i]|0x20 == 'e' {
		i++
		down := false
		if i < len(raw) && (raw[i] == '-' || raw[i] == '+') {
			down = raw[i] == '-'
			i++
		}
		e := 0
		for ; i < len(raw); i++ {
			if e = e*10 + int(raw[i]-'0'); e > maxExp {
				e = maxExp
			}
		}
		if down {
			e = -e
		}
		point += e
	}
	end := len(buf)
	for end > from && buf[end-1] == '0' {
		end--
	}
	d.digits = buf[from:end:end]
	d.exp = point
	if len(d.digits) == 0 {
		d.exp, d.negative = 0, false
	}
	return d, buf[:end]
}

// cmp returns -1, 0 or 1.
func (d decimal) cmp(e decimal) int {
	switch {
	case d.negative != e.negative:
		if d.negative {
			return -1
		}
		return 1
	case d.negative:
		return e.magnitude(d)
	}
	return d.magnitude(e)
}

// magnitude compares the absolute values.
func (d decimal) magnitude(e decimal) int {
	switch {
	case len(d.digits) == 0 || len(e.digits) == 0:
		return min(len(d.digits), 1) - min(len(e.digits), 1)
	case d.exp < e.exp:
		return -1
	case d.exp > e.exp:
		return 1
	}
	return bytes.Compare(d.digits, e.digits)
}

// integer reports whether there is no fraction.
func (d decimal) integer() bool { return len(d.digits) == 0 || d.exp >= len(d.digits) }

// multiple reports whether d is m times an integer; m is not zero. No number is ever written out: the work is that of
// the digits times the logarithm of the exponent.
func (d decimal) multiple(m decimal) bool {
	if len(d.digits) == 0 {
		return true
	}
	// d is D times 10^a and m is M times 10^b with whole D and M that do not end in zero, so that for a < b no power of
	// ten can be missing from D.
	a, b := d.exp-len(d.digits), m.exp-len(m.digits)
	if a < b {
		return false
	}
	if len(m.digits) > 18 {
		return d.multipleLong(m, a-b)
	}
	var divisor uint64
	for _, c := range m.digits {
		divisor = divisor*10 + uint64(c-'0')
	}
	var rest uint64
	for _, c := range d.digits {
		rest = mulMod(rest, 10, divisor)
		rest = (rest + uint64(c-'0')) % divisor
	}
	return mulMod(rest, powMod(10, a-b, divisor), divisor) == 0
}

func mulMod(x, y, m uint64) uint64 {
	hi, lo := bits.Mul64(x%m, y%m)
	_, rem := bits.Div64(hi, lo, m)
	return rem
}

func powMod(base uint64, exp int, m uint64) uint64 {
	result := 1 % m
	for base %= m; exp > 0; exp >>= 1 {
		if exp&1 == 1 {
			result = mulMod(result, base, m)
		}
		base = mulMod(base, base, m)
	}
	return result
}

// multipleLong is multiple for a divisor of the author's that has more than 18 digits.
func (d decimal) multipleLong(m decimal, shift int) bool {
	divisor, _ := newInt(m.digits)
	rest, _ := newInt(d.digits)
	power := intExp(shift, divisor)
	return rest.Mod(rest.Mul(rest, power), divisor).Sign() == 0
}

// wholeNumber reads a number of up to 18 digits without point and exponent, as most are.
func wholeNumber(raw []byte) (n int64, ok bool) {
	i := 0
	if len(raw) > 0 && raw[0] == '-' {
		i = 1
	}
	if len(raw)-i > 18 {
		return 0, false
	}
	for ; i < len(raw); i++ {
		c := raw[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if raw[0] == '-' {
		n = -n
	}
	return n, true
}

func newInt(digits []byte) (*big.Int, bool) { return new(big.Int).SetString(string(digits), 10) }

// intExp returns 10^exp mod m.
func intExp(exp int, m *big.Int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(exp)), m)
}
