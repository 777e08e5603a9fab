package pop

import (
	"errors"
	"fmt"
	"time"

	"github.com/mantlet-go/mantlet/auth"
)

func invalid(reason, challenge string) *auth.Error {
	return &auth.Error{Code: auth.CodeInvalidToken, ChallengeError: challenge, Err: fmt.Errorf("pop: %s: %w", reason, auth.ErrInvalid)}
}

func badProof(reason string) *auth.Error { return invalid(reason, "invalid_dpop_proof") }

func unavailable(reason string, cause error, retry time.Duration) *auth.Error {
	err := fmt.Errorf("pop: %s: %w", reason, auth.ErrUnavailable)
	if cause != nil {
		err = fmt.Errorf("pop: %s: %w", reason, errors.Join(auth.ErrUnavailable, cause))
	}
	return &auth.Error{Code: auth.CodeUnavailable, RetryAfter: max(0, retry), Err: err}
}

// The fixed answers. They are shared; nothing of a token or proof is part of them.
var (
	errNotMade = unavailable("verifier was not made by New", nil, 0)
	errNobody  = unavailable("token verifier returned neither principal nor error", nil, 0)
	errFull    = unavailable("replay store is full", nil, 0)

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
	errIAT       = &auth.Error{Code: auth.CodeInvalidToken, ChallengeError: "invalid_dpop_proof", Err: fmt.Errorf("pop: proof is too old or from the future: %w", auth.ErrNotYetValid)}
	errNonce     = invalid("nonce is missing or too old", "use_dpop_nonce")

	errUnbound     = invalid("token is not bound to a key or certificate", "")
	errOtherKey    = invalid("token is bound to another key", "")
	errNeedsProof  = invalid("token is bound to a key and was sent as a bearer token", "")
	errCertificate = invalid("token is bound to a certificate that the client did not show", "")
)
