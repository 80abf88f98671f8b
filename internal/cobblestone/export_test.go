package cobblestone

// Fixing the salt is for tests only: a salt that repeats under one key is a nonce
// that repeats.

func TestingOnlyNewSealer(key *[KeySize]byte, salt *[SaltSize]byte, context, plaintext []byte) *Sealer {
	return newSealer(key, salt, context, plaintext)
}

func TestingOnlySeal(key *[KeySize]byte, salt *[SaltSize]byte, context, plaintext []byte) []byte {
	return newSealer(key, salt, context, plaintext).whole()
}

// TestingOnlyDerive returns the AEAD key and base nonce, which the vectors list.
func TestingOnlyDerive(key *[KeySize]byte, salt *[SaltSize]byte, context []byte) ([]byte, []byte) {
	s := derive(key, salt, context)
	return s.key[:], s.baseNonce[:]
}

const BatchChunks = batchChunks

// TestingOnlyBuffer is the memory that a Sealer or a reader keeps its batch in, to
// see that it is wiped.
func TestingOnlyBuffer(v any) []byte {
	switch v := v.(type) {
	case *Sealer:
		return v.batch
	case *reader:
		return v.opened[:cap(v.opened)]
	}
	panic("neither a Sealer nor a reader")
}
