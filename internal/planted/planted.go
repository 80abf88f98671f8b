// Package planted has one name for each known bug that the simulator must find
// (internal/sim, bench/sim.md). Code that is to be spoilt for a test says so in one
// line at the place:
//
//	if !planted.SkipAnchor { advance }
//
// In every program that is shipped the names are constants and false, so that the
// compiler leaves nothing of the line. Built with the tag `planted` they are
// variables, which only the simulator's tests set.
package planted
