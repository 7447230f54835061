package config

import "io"

// Text writes the diagnostics for people, wrapped at width (0: never), with colour when asked.
func (ds Diagnostics) Text(w io.Writer, width int, color bool) error { return nil }

// JSON writes one document in the shape of `terraform validate -json`.
func (ds Diagnostics) JSON(w io.Writer) error { return nil }
