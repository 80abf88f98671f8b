package oprf_test

import (
	"crypto/rand"
	"fmt"

	"keepsake.example/oprf"
)

// A client registers a password, and later gets the same output back with the
// vault's help.
func Example() {
	password := []byte("correct horse battery staple")

	// Registration. The client chooses the key and needs no message.
	k, err := oprf.GenerateKey(rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	registered, err := k.Output(password)
	if err != nil {
		fmt.Println(err)
		return
	}

	// Recovery. The client sends question; the vault, which has k, answers.
	blinding, err := oprf.Blind(rand.Reader, password)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer blinding.Wipe()
	question := blinding.Blinded().Bytes()

	received, err := oprf.ParseBlinded(question[:])
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, proof, err := k.Evaluate(rand.Reader, received)
	if err != nil {
		fmt.Println(err)
		return
	}

	recovered, err := blinding.Finalize(k.Public(), answer, proof)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(recovered.Equal(registered), recovered)
	// Output: true oprf(redacted)
}
