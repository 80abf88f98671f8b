// Command stats prints the sizes of the module's packages and functions beside their budgets.
package main

import (
	"fmt"
	"os"

	"keepsake.example/internal/policy"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "stats: error:", err)
		os.Exit(1)
	}
}

func run() error {
	s, err := policy.Load(os.DirFS("."))
	if err != nil {
		return err
	}
	return policy.PrintSizes(os.Stdout, s)
}
