package token

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// claims are the members of the payload that are looked at (RFC 7519 §4.1,
// RFC 7800 §3.1); others say nothing to us.
type claims struct {
	Issuer       string        `json:"iss"`
	Subject      string        `json:"sub"`
	Audience     audience      `json:"aud"`
	Expires      *seconds      `json:"exp,omitempty"`
	IssuedAt     *seconds      `json:"iat,omitempty"`
	NotBefore    *seconds      `json:"nbf,omitempty"`
	Confirmation *confirmation `json:"cnf,omitempty"`
}

func readClaims(text []byte) (*claims, error) {
	var c claims
	if !utf8.Valid(text) {
		// Invalid bytes would be read as the replacement character, and two
		// subjects as one.
		return nil, refuse(BadFormat)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, refuse(BadFormat)
	}
	return &c, nil
}

// audience is a single one. A list of one is the same; a longer list becomes
// the empty audience, which is nobody's: such a token would be good at chatd
// and at the vault.
type audience string

// UnmarshalJSON reads a string or a list of strings.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience(one)
		return nil
	}
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*a = ""
	if len(list) == 1 {
		*a = audience(list[0])
	}
	return nil
}

// seconds is a NumericDate (RFC 7519 §2): seconds since 1970, of which whole
// ones are kept.
type seconds int64

// maxSeconds is where float64 stops having every integer, 285 million years on.
const maxSeconds = 1 << 53

// UnmarshalJSON reads a number, fractions too, as some issuers write them.
func (s *seconds) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || !(f >= 0 && f <= maxSeconds) {
		return errors.New("token: not a date")
	}
	*s = seconds(math.Floor(f))
	return nil
}

func (s *seconds) time() time.Time { return time.Unix(int64(*s), 0) }

// confirmation is the key that whoever shows the token must hold.
type confirmation struct {
	Thumbprint string `json:"jkt"` // RFC 9449 §6.1
}

func (c *confirmation) thumbprint() (t [32]byte, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(c.Thumbprint)
	if err != nil || len(b) != len(t) {
		return t, false
	}
	return [32]byte(b), true
}
