package vaultapi

import "keepsake.example/internal/hidden"

// Held gives the place of the bytes, so that a test can see them wiped.
func (s Secret) Held() *[32]byte { return hidden.Open(s.secret) }

// SmallBody is the room for a body without k.
const SmallBody = smallBody
