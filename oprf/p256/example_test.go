package p256_test

import (
	"crypto/rand"
	"fmt"

	"keepsake.example/oprf/p256"
)

// A client asks a device that gives only x coordinates, and asks it once more to
// know that it answers with the fleet's key.
func Example() {
	h := [p256.ScalarSize]byte{31: 42} // in the device
	public, err := p256.Public(&h)
	if err != nil {
		fmt.Println(err)
		return
	}
	device := func(question [p256.PointSize]byte) (answer [p256.PointSize]byte) {
		x := func(b [p256.PointSize]byte) *[p256.ScalarSize]byte {
			z, _ := p256.Evaluate(&h, b)
			return (*[p256.ScalarSize]byte)(z[1:])
		}
		sum, _ := p256.AddBase(question)
		answer, err = p256.Recover(question, x(question), x(sum), public)
		return answer
	}

	blinding, err := p256.Blind(rand.Reader, []byte("correct horse battery staple"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer blinding.Wipe()
	check, err := blinding.Challenge(rand.Reader, public)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, second := device(blinding.Blinded()), device(check.Blinded())
	if err := check.Holds(answer, second); err != nil {
		fmt.Println(err)
		return
	}
	output, err := blinding.Finalize(answer)
	fmt.Printf("%x %v\n", output[:4], err)
	// Output: a924e9c0 <nil>
}
