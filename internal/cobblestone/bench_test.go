package cobblestone_test

import (
	"bytes"
	"io"
	"testing"

	"keepsake.example/internal/cobblestone"
)

const benchSize = 16 << 20

func BenchmarkSeal(b *testing.B) {
	plaintext := make([]byte, benchSize)
	b.SetBytes(benchSize)
	for b.Loop() {
		cobblestone.Seal(testKey, testContext, plaintext)
	}
}

func BenchmarkBuilder(b *testing.B) {
	plaintext, dst := make([]byte, benchSize), make([]byte, 0, cobblestone.SealedSize(benchSize))
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		m := cobblestone.NewBuilder(testKey, testContext, dst)
		m.Write(plaintext)
		m.Finish()
	}
}

func BenchmarkOpener(b *testing.B) {
	_, message := testMessage(benchSize)
	o, err := cobblestone.NewOpener(testKey, testContext, (*[56]byte)(message))
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, benchSize)
	b.SetBytes(benchSize)
	for b.Loop() {
		if _, err := o.Open(dst, message[head:], 0, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	_, message := testMessage(benchSize)
	buffer := make([]byte, 64<<10)
	b.SetBytes(benchSize)
	for b.Loop() {
		r, err := cobblestone.NewReader(testKey, testContext, bytes.NewReader(message))
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = r.Read(buffer)
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommitment(b *testing.B) {
	b.ReportAllocs()
	var key [32]byte
	for b.Loop() {
		key[0]++
		cobblestone.Commitment(&key, (*[24]byte)(testKey[:]), testContext)
	}
}

func BenchmarkCheckWrongKey(b *testing.B) {
	_, message := testMessage(0)
	check := cobblestone.Check((*[56]byte)(message), testContext)
	b.ReportAllocs()
	var key [32]byte
	for b.Loop() {
		key[0]++
		if check(&key) {
			b.Fatal("accepted a wrong key")
		}
	}
}
