// Package v1alpha is the wire contract between the drawspan host and its plugins, version v1alpha: the
// three services and their messages, generated from the .proto files beside it.
//
// The .proto files are the documentation of the contract for authors who do not use the Go SDK. It
// must not know: the SDK, the host.
package v1alpha
