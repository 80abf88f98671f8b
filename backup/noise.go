package backup

// noiseSize is how much of a chunk is looked at.
const noiseSize = 4 << 10

// noiseLimit is what χ² of noiseSize bytes may be at most. Of random bytes it is 255, give or take 23; at 512 a coder of single bytes would gain 1 in 180.
const noiseLimit = 512

// noise reports whether a chunk is like random bytes in its middle, as what is compressed or encrypted already is: every byte is as frequent there as any
// other, and so is every difference of neighbours, which a ramp's are not. It takes a fraction of the time of compressing a probe. Where it errs, a chunk
// is stored larger than need be.
func noise(chunk []byte) bool {
	if len(chunk) < 4*noiseSize {
		return false
	}
	middle := chunk[len(chunk)/2:][:noiseSize]
	var bytes, steps [256]uint16
	last := byte(0)
	for _, b := range middle {
		bytes[b]++
		steps[b-last]++
		last = b
	}
	return chiSquare(&bytes) <= noiseLimit && chiSquare(&steps) <= noiseLimit
}

// chiSquare says how far frequencies of bytes, noiseSize in all, are from being equal.
func chiSquare(n *[256]uint16) int {
	const equal = noiseSize / 256
	sum := 0
	for _, v := range n {
		d := int(v) - equal
		sum += d * d
	}
	return sum / equal
}
