package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"keepsake.example/internal/durable"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first, second := open(), open()
	defer second.Close()
	if got, err := durable.TryLock(first); !got || err != nil {
		t.Fatalf("first: %v, %v", got, err)
	}
	if got, err := durable.TryLock(second); got || err != nil {
		t.Errorf("while it is held: %v, %v", got, err)
	}
	third := open()
	waited := make(chan error)
	go func() { waited <- durable.Lock(third) }()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("waiting until it was closed: %v", err)
	}
	if got, err := durable.TryLock(second); got || err != nil {
		t.Errorf("while who waited holds it: %v, %v", got, err)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := durable.TryLock(second); !got || err != nil {
		t.Errorf("after it was closed: %v, %v", got, err)
	}
}
