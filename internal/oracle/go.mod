module github.com/mantlet-go/mantlet/internal/oracle

go 1.26.0

replace github.com/mantlet-go/mantlet => ../..

require (
	github.com/go-json-experiment/json v1.27.2
	github.com/google/jsonschema-go v0.4.3
	github.com/mantlet-go/mantlet v0.0.0
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3
)

require (
	github.com/santhosh-tekuri/jsonschema/v5 v5.3.1 // indirect
	golang.org/x/text v0.43.0 // indirect
)
