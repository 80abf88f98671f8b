package main

import (
	"io"
	"net"
	"slices"
	"time"
)

// farness is how long a byte takes to each data center, one way: from one to another
// and back it is the sum of both, 35 to 105 ms. The kernel that this was written on
// cannot delay packets (no netem): a relay of TCP connections in front of each does.
var farness = []time.Duration{15 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond, 45 * time.Millisecond, 60 * time.Millisecond}

// roundTrip is the way from one to another and back.
func roundTrip(a, b int) time.Duration { return farness[a] + farness[b] }

// majority is the round trip from a member to the second nearest of the four others:
// with those two it is a majority of five.
func majority(from int) time.Duration {
	var ways []time.Duration
	for i := range farness {
		if i != from {
			ways = append(ways, roundTrip(from, i))
		}
	}
	slices.Sort(ways)
	return ways[1]
}

// farthest is the member with the longest way to another.
func farthest(from int) int {
	if last := len(farness) - 1; from != last {
		return last
	}
	return len(farness) - 2
}

// far carries what comes to a listener to an address, late.
func far(l net.Listener, to string, late time.Duration) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			time.Sleep(2 * late) // the handshake of TCP
			out, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer out.Close()
			ended := make(chan bool, 2)
			go func() { carry(out, in, late); ended <- true }()
			go func() { carry(in, out, late); ended <- true }()
			<-ended
		}()
	}
}

// piece is what was read at once, and when it is to arrive.
type piece struct {
	bytes []byte
	due   time.Time
}

func carry(to io.Writer, from io.Reader, late time.Duration) {
	way := make(chan piece, 1024) // so much is under way at once: the window of a long way
	go func() {
		defer close(way)
		for {
			b := make([]byte, 32<<10)
			n, err := from.Read(b)
			if n > 0 {
				way <- piece{b[:n], time.Now().Add(late)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range way {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	for range way { // what nobody wants must not hold the reader, which the caller's Close ends
	}
}
