// Package endtoend holds the tests of the whole system: the programs that are
// shipped (keepsake, chatd, vaultd, devnet), built once, each in a process of its
// own, over TLS on loopback, with chats made from real public text where the script
// that makes them is beside this folder. There is no code here but tests.
//
// Between the programs are taps, which carry the bytes on and keep them; a tap can
// also stand where somebody hostile would, and lose what passes. What the tests
// know of the programs is what an operator and a person know: command lines, exit
// codes, files, and what is printed. Nothing of them is linked, so that a fault in
// shared code cannot hide itself.
package endtoend
