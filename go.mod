module github.com/mantlet-go/mantlet

go 1.26.0

require (
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/lmittmann/tint v1.2.1
	github.com/santhosh-tekuri/jsonschema/v5 v5.3.1
	golang.org/x/text v0.43.0
	golang.org/x/time v0.16.0
)
