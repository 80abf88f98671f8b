package tpm

import "github.com/google/go-tpm/tpm2/transport"

// Wrapped is o with something between the adapter and the chip.
func (o Options) Wrapped(wrap func(transport.TPM) transport.TPM) Options {
	o.wrap = wrap
	return o
}
