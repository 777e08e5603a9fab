package pop

import (
	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/internal/refuse"
)

const from = refuse.From("pop")

// challenge says in the challenge what is wrong, by the words of RFC 9449.
func challenge(word string, e *auth.Error) *auth.Error {
	e.ChallengeError = word
	return e
}

func badProof(reason string) *auth.Error {
	return challenge("invalid_dpop_proof", from.Invalid(reason))
}

// The fixed answers. They are shared; nothing of a token or proof is part of them.
var (
	errNotMade = from.Unavailable("verifier was not made by New", nil, 0)
	errNobody  = from.Unavailable("token verifier returned neither principal nor error", nil, 0)
	errFull    = from.Unavailable("replay store is full", nil, 0)

	errOneProof  = badProof("there is not exactly one DPoP header")
	errShape     = badProof("proof is too long or not three canonical segments")
	errHeader    = badProof("proof header is not strict JSON of the right types")
	errForbidden = badProof("proof header has a member that is not allowed")
	errTyp       = badProof("typ is not dpop+jwt")
	errAlg       = badProof("alg is not allowed")
	errJWK       = badProof("jwk is not a public key for alg in its one spelling")
	errPrivate   = badProof("jwk holds private key material")
	errClaims    = badProof("proof claims are not strict JSON of the right types")
	errHTM       = badProof("htm is not the method")
	errHTU       = badProof("htu is none of Config.URLs followed by the path of the request")
	errATH       = badProof("ath is not the token's")
	errJTI       = badProof("jti is not a string of 1 to 128 bytes")
	errSignature = badProof("signature is wrong")
	errReplay    = badProof("proof was used before")
	errIAT       = challenge("invalid_dpop_proof", from.NotYet("proof is too old or from the future"))
	errNonce     = challenge("use_dpop_nonce", from.Invalid("nonce is missing or too old"))

	errUnbound     = from.Invalid("token is not bound to a key or certificate")
	errOtherKey    = from.Invalid("token is bound to another key")
	errNeedsProof  = from.Invalid("token is bound to a key and was sent as a bearer token")
	errCertificate = from.Invalid("token is bound to a certificate that the client did not show")
)
