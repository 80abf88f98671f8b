package roster_test

import (
	"errors"
	"fmt"
	"strings"

	"keepsake.example/roster"
)

// A machine is stolen. Three of five operators read the same text and sign it; every
// replica checks that for itself. The same bytes again do nothing.
func Example() {
	r := founded(5)
	c := r.Next(roster.Remove)
	c.Member.Number, c.Because = 4, "its disk was stolen in Frankfurt"
	text, err := c.Text()
	if err != nil {
		panic(err)
	}
	fmt.Print(strings.ReplaceAll(text, fmt.Sprintf("%x", r.Fleet), "5eb2…"))

	s := &roster.Signed{Text: text}
	for _, name := range []string{"alice", "bob", "eve"} {
		signature, err := roster.Sign(text, keyOf(name))
		if err != nil {
			panic(err)
		}
		if err := s.Add(signature); err != nil {
			panic(err)
		}
	}
	_, err = r.Apply(s)
	fmt.Println(err, len(r.In(0)), "members")

	_, err = r.Apply(s)
	var refusal *roster.Refusal
	fmt.Println(errors.As(err, &refusal), refusal)
	// Output:
	// keepsake fleet change v1
	// fleet 5eb2…
	// serial 1
	// remove member 4
	// because: its disk was stolen in Frankfurt
	// <nil> 4 members
	// true roster: refused (repeated): change 1 is this one: it was made
}
