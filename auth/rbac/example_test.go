package rbac_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/rbac"
)

func Example() {
	policy, err := rbac.New(rbac.Config{
		Permissions: []string{"chat:write", "files:read", "files:write"},
		Roles: map[string]rbac.Role{
			"reader": {Allow: []string{"files:read"}},
			"editor": {Inherits: []string{"reader"}, Allow: []string{"files:*", "chat:write"}},
			"intern": {Inherits: []string{"editor"}, Deny: []string{"files:write"}},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	write, err := policy.Permission("files:write")
	if err != nil {
		log.Fatal(err)
	}
	for _, role := range []string{"editor", "intern"} {
		tokens := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) {
			return &auth.Principal{Issuer: "test", Subject: "alice", Roles: []string{role}}, nil
		})
		gate, err := auth.New(auth.Config{Authenticator: tokens})
		if err != nil {
			log.Fatal(err)
		}
		put := gate.RequireAuthorizer(write).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		w := httptest.NewRecorder()
		put.ServeHTTP(w, httptest.NewRequest("PUT", "/files/1", nil))
		fmt.Println(role, w.Code, policy.Granted(role))
	}
	// Output:
	// editor 200 [chat:write files:read files:write]
	// intern 403 [chat:write files:read]
}

// A misspelled name is found when the program starts.
func ExampleNew() {
	_, err := rbac.New(rbac.Config{
		Permissions: []string{"files:read"},
		Roles:       map[string]rbac.Role{"reader": {Allow: []string{"file:*"}}},
	})
	fmt.Println(err)
	// Output: rbac: Config.Roles["reader"].Allow: "file:*" matches no permission
}
