package cobblestone

// Fixing the salt is for tests only: a salt that repeats under one key is a nonce
// that repeats.

func TestingOnlyNewBuilder(key *[KeySize]byte, salt *[SaltSize]byte, context, dst []byte) *Builder {
	return newBuilder(key, salt, context, dst)
}

func TestingOnlySeal(key *[KeySize]byte, salt *[SaltSize]byte, context, plaintext []byte) []byte {
	b := newBuilder(key, salt, context, nil)
	b.Write(plaintext)
	return b.Finish()
}

// TestingOnlyDerive returns the AEAD key and base nonce, which the vectors list.
func TestingOnlyDerive(key *[KeySize]byte, salt *[SaltSize]byte, context []byte) ([]byte, []byte) {
	s := derive(key, salt, context)
	return s.key[:], s.baseNonce[:]
}

const BatchChunks = batchChunks

// TestingOnlyBuffer is the memory that a Builder or a reader keeps plaintext in, to
// see that it is wiped.
func TestingOnlyBuffer(v any) []byte {
	switch v := v.(type) {
	case *Builder:
		return v.part[:cap(v.part)]
	case *reader:
		return v.opened[:cap(v.opened)]
	}
	panic("neither a Builder nor a reader")
}
