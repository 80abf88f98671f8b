// Package memo is where the simulator (internal/sim) keeps what pure functions gave: the members
// of a simulated group, which all compute the same of the same input, are one process there, and
// compute it once.
//
//	var parse = memo.Try(parseSlowly)
//
// In every program that is shipped [Func] and [Try] give back the function itself, and nothing is
// kept. Only with the tag `memo`, which `make sim` builds the simulator with, they give one that
// looks first whether it was called with this argument before.
//
// A function may be given here only if all that its result follows from is its argument, and
// if nobody changes the result. With the tag nothing here is for concurrent use.
package memo
