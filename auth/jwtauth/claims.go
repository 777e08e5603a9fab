package jwtauth

import (
	"bytes"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/internal/strict"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// maxName bounds a name taken from a token: subject, client, tenant, role, model.
const maxName = 512

// The first places of members.words; lists come behind them.
const (
	wordSubject = iota
	wordID
	wordClient
	wordTenant
	wordPlan
	wordLists
)

// judge decides about the claims of a token whose signature is good, at the time now.
func (is *issuer) judge(m *members, k *key, now time.Time, leeway time.Duration) (*entry, error) {
	if m.find("at_hash") != nil || m.find("c_hash") != nil {
		return nil, errIDToken // OpenID Connect Core 3.1.3.6 and 3.3.2.11: only an ID token has them
	}
	if !is.hears(m, m.find("aud")) {
		return nil, errAudience
	}
	e := &entry{key: k, principal: auth.Principal{Issuer: is.name, KeyID: k.id, Method: auth.MethodJWT}}
	p := &e.principal
	if v := m.find("cnf"); v != nil {
		if v.kind != jsonscan.ObjectStart {
			return nil, errCnf
		}
		cnf, ok := strict.Read(m.data[v.value.start:v.value.end], "jkt", "x5t#S256")
		if !ok {
			return nil, errCnf
		}
		if p.Bound.JKT, p.Bound.X5T, ok = strict.Confirmation(cnf); !ok {
			return nil, errCnf
		}
	}
	if v := m.find("acr"); v != nil {
		acr, ok := m.text(v)
		if !ok || !plain(acr) {
			return nil, errACR
		}
		p.ACR = string(acr)
	}
	if err := is.times(m, e, now, leeway); err != nil {
		return nil, err
	}

	client := m.find("client_id")
	if client == nil {
		client = m.find("azp")
	}
	if is.names.ClientID != "" {
		client = m.lookup(is.names.ClientID)
	}
	m.words = append(m.words[:0], nil, nil, nil, nil, nil)
	for i, v := range [wordLists]*member{m.find("sub"), m.find("jti"), client, m.lookup(is.names.Tenant), m.lookup(is.names.Plan)} {
		name, ok := m.text(v)
		if v != nil && (!ok || !plain(name)) {
			return nil, is.errWords[i]
		}
		m.words[i] = name
	}
	if len(m.words[wordSubject]) == 0 {
		return nil, errSubject
	}
	if len(m.words[wordClient]) == 0 && is.names.ClientID != "" {
		return nil, is.errWords[wordClient] // limits hang on it: a token must not choose to be counted by its subject instead
	}

	if !m.addWords(m.find("scope")) || !m.addWords(m.find("scp")) {
		return nil, errScope
	}
	endScopes := len(m.words)
	if !is.addRoles(m) {
		return nil, is.errRoles
	}
	endRoles := len(m.words)
	if !m.addWords(m.lookup(is.names.Models)) {
		return nil, is.errModels
	}
	m.find("iss") // looked up before; here for its variants
	if m.variant {
		return nil, errVariant
	}

	// One string holds all the names and one array all the lists: what is remembered should be few objects.
	text := m.join()
	list := make([]string, len(m.words))
	for i, w := range m.words {
		list[i], text = text[:len(w)], text[len(w):]
	}
	p.Subject, e.id, p.ClientID, p.Tenant, p.Plan = list[wordSubject], list[wordID], list[wordClient], list[wordTenant], list[wordPlan]
	if wordLists < endScopes {
		p.Scopes = list[wordLists:endScopes:endScopes]
	}
	if endScopes < endRoles {
		p.Roles = list[endScopes:endRoles:endRoles]
	}
	if is.names.Models != "" {
		p.Models = list[endRoles:] // not nil, even when the claim is missing: the issuer was said to restrict models
	}
	for _, s := range p.Scopes {
		if !auth.ValidScope(s) {
			return nil, errScope
		}
	}
	// Last, so that "expired" is said only of a token that was good: RFC 7519 section 4.1.4 wants now before exp.
	if !now.Before(e.until) {
		return nil, errExpired
	}
	return e, nil
}

// hears reports whether aud holds one of the issuer's audiences: a string, or an array of strings (RFC 7519 section 4.1.3).
// Nothing else counts, above all not an empty array (CVE-2020-26160).
func (is *issuer) hears(m *members, aud *member) bool {
	match := func(s span) bool {
		got := m.spanText(s)
		for _, a := range is.audiences {
			if string(got) == a {
				return true
			}
		}
		return false
	}
	switch {
	case aud == nil:
		return false
	case aud.kind == jsonscan.String:
		return match(aud.value)
	case aud.kind == jsonscan.ArrayStart && aud.strings:
		for _, e := range m.elems[aud.first : aud.first+aud.count] {
			if match(e) {
				return true
			}
		}
	}
	return false
}

// times reads exp, nbf and iat into e and its principal, and checks all but the end.
func (is *issuer) times(m *members, e *entry, now time.Time, leeway time.Duration) error {
	p := &e.principal
	exp, ok := m.seconds(m.find("exp"), false)
	if !ok {
		return errTime // no exp, no end: refused (RFC 9068 section 2.2)
	}
	p.ExpiresAt = time.Unix(exp, 0).UTC()
	e.until = p.ExpiresAt.Add(leeway)
	if v := m.find("iat"); v != nil {
		iat, ok := m.seconds(v, true)
		if !ok {
			return errTime
		}
		e.issued = time.Unix(iat, 0).UTC()
		e.from = e.issued.Add(-leeway)
	}
	if v := m.find("nbf"); v != nil {
		nbf, ok := m.seconds(v, true)
		if !ok {
			return errTime
		}
		if t := time.Unix(nbf, 0).Add(-leeway); t.After(e.from) {
			e.from = t
		}
	}
	if now.Before(e.from) {
		return errEarly
	}
	if is.maxLifetime > 0 {
		born := e.issued
		if born.IsZero() {
			// It may have been made at any time; at most it is as old as now. A clock that was put back must not lengthen its life.
			born = now
			if t := p.ExpiresAt.Add(-is.maxLifetime); t.After(e.from) {
				e.from = t
			}
		}
		if p.ExpiresAt.Sub(born) > is.maxLifetime {
			return errLifetime
		}
	}
	if v := m.find("auth_time"); v != nil {
		at, ok := m.seconds(v, true)
		if !ok {
			return errTime
		}
		p.AuthTime = time.Unix(at, 0).UTC()
	}
	return nil
}

// seconds reads a NumericDate (RFC 7519 section 2): digits, perhaps a fraction, up to the year 9999. Signs and exponents are
// refused: nobody writes them, and 1e308 is a date in no other program. A fraction is rounded to the side that shortens the
// token's life, up for its begin and down for its end.
func (m *members) seconds(v *member, up bool) (int64, bool) {
	if v == nil || v.kind != jsonscan.Number {
		return 0, false
	}
	whole, fraction, dot := strings.Cut(string(m.data[v.value.start:v.value.end]), ".")
	if len(whole) > 12 {
		return 0, false
	}
	var n int64
	for i := range len(whole) {
		c := whole[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	for i := range len(fraction) {
		if c := fraction[i]; c < '0' || c > '9' {
			return 0, false
		}
	}
	if dot && up {
		n++
	}
	return n, n <= 253402300799
}

// plain reports whether b may name something: at most 512 bytes, no control characters.
func plain(b []byte) bool { return len(b) <= maxName && printable(b) }

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// addWords adds the words of a claim to m.words: those of a string separated by spaces, or the elements of an array of strings. A
// missing claim has none.
func (m *members) addWords(v *member) bool {
	switch {
	case v == nil:
		return true
	case v.kind == jsonscan.String:
		s := m.spanText(v.value)
		for w := range bytes.SplitSeq(s, []byte{' '}) {
			if len(w) > 0 {
				m.words = append(m.words, w)
			}
		}
		return printable(s)
	case v.kind == jsonscan.ArrayStart && v.strings:
		for _, e := range m.elems[v.first : v.first+v.count] {
			w := m.spanText(e)
			if len(w) == 0 || !plain(w) {
				return false
			}
			m.words = append(m.words, w)
		}
		return true
	}
	return false
}

// addRoles adds the roles to m.words, from wherever the issuer puts them. An object on the way that is not there has none.
func (is *issuer) addRoles(m *members) bool {
	first, last := is.names.Roles, len(is.rolePath)-1
	if last >= 0 {
		first = is.rolePath[0]
	}
	v := m.lookup(first)
	if v == nil {
		return true
	}
	if last <= 0 {
		if v.kind != jsonscan.String {
			return m.addWords(v)
		}
		// One role: split at its spaces, "Not Admin" would be an Admin.
		w := m.spanText(v.value)
		m.words = append(m.words, w)
		return len(w) > 0 && plain(w)
	}
	if v.kind != jsonscan.ObjectStart {
		return false
	}
	o, ok := strict.Read(m.data[v.value.start:v.value.end], is.rolePath[1])
	if !ok {
		return false
	}
	for i := 1; i < last; i++ {
		next := o.Object(is.rolePath[i], is.rolePath[i+1])
		if next == nil {
			return o.OK() // not there, or no object
		}
		o = next
	}
	for _, w := range o.Strings(is.rolePath[last]) {
		m.words = append(m.words, []byte(w))
	}
	return o.OK()
}

// join returns all words as one string.
func (m *members) join() string {
	m.joined = m.joined[:0]
	for _, w := range m.words {
		m.joined = append(m.joined, w...)
	}
	return string(m.joined)
}
