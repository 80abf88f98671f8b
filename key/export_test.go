package key

// Held gives the digits themselves, so that a test can see them wiped.
func (d Digits) Held() []byte { return d.values() }
