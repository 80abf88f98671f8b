package replica_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"keepsake.example/anchor/software"
	"keepsake.example/replica"
)

// A machine that remembers what it is told, on a replica that is closed and
// started again.
func Example() {
	dir := must(os.MkdirTemp("", "replica"))
	defer os.RemoveAll(dir)
	ctx := context.Background()
	a := must(software.Open(filepath.Join(dir, "anchor")))
	defer a.Close()
	config := func() replica.Config {
		return replica.Config{Dir: filepath.Join(dir, "disk"), Anchor: a, NewMachine: newToy}
	}
	if err := replica.Create(ctx, config(), 1, [][]byte{[]byte("genesis")}); err != nil {
		panic(err)
	}
	for _, entry := range []string{"attempt 1", "attempt 2"} {
		r := must(replica.Open(ctx, config()))
		fmt.Println("entries:", must(r.Propose(ctx, []byte(entry))))
		if err := r.Close(); err != nil {
			panic(err)
		}
	}
	// Output:
	// entries: 2
	// entries: 3
}
