package sealed_test

import (
	"fmt"

	"keepsake.example/sealed"
)

// A client asks, the vault answers, and chatd carries two blocks of fixed size.
func Example() {
	fleet := sealed.FleetID{0xf1}
	key, err := sealed.GenerateKey(fleet) // in the vault
	if err != nil {
		fmt.Println(err)
		return
	}
	published := key.Public().Bytes() // in the fleet's signed bundle

	channel, err := sealed.ParsePublicKey(fleet, published[:]) // on the device
	if err != nil {
		fmt.Println(err)
		return
	}
	request, pending, err := channel.Seal([]byte("how many attempts are left?"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pending.Wipe()

	question, answerer, err := key.Open(request) // in the vault
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := answerer.Seal([]byte("ten"))
	if err != nil {
		fmt.Println(err)
		return
	}

	text, err := pending.Open(answer) // on the device
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d bytes: %s\n%d bytes: %s\n", len(request), question, len(answer), text)
	// Output:
	// 8192 bytes: how many attempts are left?
	// 4096 bytes: ten
}
