package cobblestone_test

import (
	"bytes"
	"fmt"

	"keepsake.example/internal/cobblestone"
)

// A pack is sealed as it is filled, and later one part of it is fetched: chunk k
// lies at 56 + k*16400.
func Example() {
	key := &[32]byte{1, 2, 3} // uniformly random in earnest
	context := []byte("pack 7 of repository 3")
	plaintext := bytes.Repeat([]byte("message "), 5000) // 40,000 bytes: 2 full chunks and 7,232 bytes

	builder := cobblestone.NewBuilder(key, context, nil)
	builder.Write(plaintext[:100])
	builder.Write(plaintext[100:])
	stored := builder.Finish()
	fmt.Println(len(stored), cobblestone.SealedSize(40_000))

	opener, err := cobblestone.NewOpener(key, context, (*[56]byte)(stored))
	if err != nil {
		fmt.Println(err)
	}
	chunk1 := stored[56+16400 : 56+2*16400]
	opened, err := opener.Open(nil, chunk1, 1, false)
	fmt.Printf("%d %.15s %v\n", len(opened), opened, err)

	_, err = opener.Open(nil, chunk1, 0, false)
	fmt.Println(err)
	_, err = cobblestone.Open(key, []byte("pack 8 of repository 3"), stored)
	fmt.Println(err)
	// Output:
	// 40104 40104
	// 16384 message message <nil>
	// cobblestone: chunk 0 is damaged or out of place
	// cobblestone: wrong key or damaged header
}
