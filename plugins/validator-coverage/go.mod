module github.com/drawspan/drawspan/plugins/validator-coverage

go 1.26.0

require (
	github.com/bmatcuk/doublestar/v4 v4.10.4
	github.com/drawspan/drawspan v0.0.0
	golang.org/x/mod v0.42.0
	golang.org/x/tools v0.52.0
)

require (
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
	google.golang.org/grpc v1.85.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

// The SDK is the one beside it.
replace github.com/drawspan/drawspan => ../..
