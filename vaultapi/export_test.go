package vaultapi

// Held gives the place of the bytes, so that a test can see them wiped.
func (s Secret) Held() *[32]byte { return &s.held().value }

// SmallBody is the room for a body without k.
const SmallBody = smallBody
