package auth_test

import (
	"net/http"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
)

func TestNoCredentialIsLeftForAServerBehind(t *testing.T) {
	h := http.Header{
		"Authorization": {"Bearer a"}, "X-Api-Key": {"a"}, "Api-Key": {"a"}, "Cookie": {"a=b"}, "Proxy-Authorization": {"Basic x"},
		"x-api-key": {"a"}, "X_Api_Key": {"a"}, "api_key": {"a"}, "Dpop": {"a.b.c"}, "Client-Cert": {":AA==:"}, "client_cert_chain": {":AA==:"}, "Content-Type": {"application/json"}, "X-Api-Keys": {"kept"},
	}
	auth.StripCredentials(h)
	if len(h) != 2 || h.Get("Content-Type") == "" || h.Get("X-Api-Keys") == "" {
		t.Errorf("left: %v", h)
	}
}
