package jwtauth

import "errors"

// VerifySignature runs the strict front, up to and with the signature, over a JWS whose payload need not be claims: for
// vectors of JWS, not JWT.
func VerifySignature(token string, cfg Key) error {
	k, err := newKey(&cfg)
	if err != nil {
		return err
	}
	is := &issuer{keys: []key{k}}
	s := new(scratch)
	if err := s.decode(token); err != nil {
		return err
	}
	if err := s.readHeader(); err != nil {
		return err
	}
	h := s.header
	found := is.key(&h)
	if found == nil {
		return errKey
	}
	if err := found.alg.method.Verify(token[:s.signed], s.signature, found.key); err != nil {
		return errors.Join(errSignature, err)
	}
	return nil
}

// AppendBase64URL is the strict decoder.
var AppendBase64URL = appendBase64URL
