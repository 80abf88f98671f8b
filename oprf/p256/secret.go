package p256

import "keepsake.example/internal/hidden"

// secret is what this package keeps from printers.
type secret[T any] = hidden.Of[T, owner]

type owner struct{}

// Owner names this package in what its secrets print as.
func (owner) Owner() string { return "p256" }
