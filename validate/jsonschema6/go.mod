module github.com/mantlet-go/mantlet/validate/jsonschema6

go 1.26.0

require (
	github.com/mantlet-go/mantlet v0.0.0-00010101000000-000000000000
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3
)

require (
	github.com/santhosh-tekuri/jsonschema/v5 v5.3.1 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/mantlet-go/mantlet => ../..
