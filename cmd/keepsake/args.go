package main

import "strings"

// longestHex is how many hex digits in a row an argument may hold. Ids have 32;
// a key, also one with some digits missing, has about 64.
const longestHex = 59

// refuseDigits refuses a command line that holds the key, in one argument or
// in sixteen: other users saw it in the list of processes, and the shell keeps it.
func refuseDigits(args []string) error {
	row := 0
	for _, arg := range args {
		if hexDigits(arg[strings.IndexByte(arg, '=')+1:]) > longestHex || hexDigits(arg) > longestHex {
			return digitsOnCommandLine
		}
		if n := hexDigits(arg); n > 0 && n <= 16 {
			row += n
		} else {
			row = 0
		}
		if row > longestHex {
			return digitsOnCommandLine
		}
	}
	return nil
}

// hexDigits counts the digits of a text that is nothing but digits and
// separators; 0 for any other.
func hexDigits(text string) int {
	n := 0
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= '0' && r <= '9' || r >= 'a' && r <= 'f':
			n++
		case strings.ContainsRune(" \t\n\r-_:,.", r):
		default:
			return 0
		}
	}
	return n
}
