package key_test

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"keepsake.example/key"
)

// The worked example of the package comment and of spec/key.md §9. The check
// stands for the one that package backup makes of the key ring.
func Example() {
	k, err := key.Parse([]byte("00112233-44556677-8899AABB-CCDDEEFF-FFEEDDCC-BBAA9988-77665544-33221100"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(k)
	fmt.Println(k.Digits())

	var commitment [32]byte
	k.Use(func(secret *[key.Size]byte) { commitment = sha256.Sum256(secret[:]) })
	check := func(candidate *[key.Size]byte) bool {
		sum := sha256.Sum256(candidate[:])
		return subtle.ConstantTimeCompare(sum[:], commitment[:]) == 1
	}

	_, err = key.ParseDigits([]byte("0011 2233 4455 6677 O899"))
	fmt.Println(err)

	typed, err := key.ParseDigits([]byte("00112233-44556677-B899AABB-CCDDEEFF-FFEEDDCC-BBAA9988-77665544-33221100"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if slip, ok := key.FindSlip(context.Background(), typed, check); ok {
		fmt.Println(slip)
		fmt.Println(slip.Key.Equal(k))
	}

	// Output:
	// key.Key(redacted)
	// 0011 2233 4455 6677 8899 aabb ccdd eeff ffee ddcc bbaa 9988 7766 5544 3322 1100
	// key: digit 17 (the first digit of group 5) is 'O', not one of 0-9 and a-f; it looks like 0
	// digit 17 should be 8 (the first digit of group 5)
	// true
}
