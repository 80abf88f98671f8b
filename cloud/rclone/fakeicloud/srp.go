package fakeicloud

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
)

// The group of RFC 5054 appendix A, 2048 bits; g = 2.
const groupHex = "AC6BDB41324A9A9BF166DE5E1389582FAF72B6651987EE07FC3192943DB56050A37329CBB4A099ED8193E0757767A13DD52312AB4B03310D" +
	"CD7F48A9DA04FD50E8083969EDB767B0CF6095179A163AB3661A05FBD5FAAAE82918A9962F0B93B855F97993EC975EEAA80D740ADBF4FF747359D041D5C33EA7" +
	"1D281E446B14773BCA97B43A23FB801676BD207A436C6481F1D2B9078717461A5B9D32E688F87748544523B524B0D57D5EA77A2775D2ECFA032CFBDBF52FB378" +
	"6160279004E57AE6AF874E7303CE53299CCC041C7BC308D82A5698F3A8D0C38271AE35F8E9DBFBB694B5C803D89F7AE435DE236D525F54759B65E372FCD68EF2" +
	"0FA7111F9E4AFF73"

var (
	groupN, _ = new(big.Int).SetString(groupHex, 16)
	groupG    = big.NewInt(2)
)

// rounds of PBKDF2. Apple asks for some 20,000; the number is the server's to
// choose, and a small one keeps tests short.
const rounds = 1000

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// padded is PAD of RFC 5054 section 2.1: as long as N.
func padded(n *big.Int) []byte { return n.FillBytes(make([]byte, 256)) }

func hash(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func number(b []byte) *big.Int { return new(big.Int).SetBytes(b) }

// stretch turns a password into the key that SRP takes for one.
func stretch(password string, salt []byte, protocol string) ([]byte, error) {
	sum := sha256.Sum256([]byte(password))
	first := string(sum[:])
	switch protocol {
	case "s2k":
	case "s2k_fo":
		first = hex.EncodeToString(sum[:])
	default:
		return nil, fmt.Errorf("fakeicloud: unknown protocol %q", protocol)
	}
	return pbkdf2.Key(sha256.New, first, salt, rounds, 32)
}

// verifier is v = g^x of RFC 5054 section 2.4, with x = H(salt | H(":" | key)):
// Apple leaves the user name out of x.
func verifier(salt, key []byte) []byte {
	x := number(hash(salt, hash([]byte(":"), key)))
	return padded(new(big.Int).Exp(groupG, x, groupN))
}

// challenge is the server's half of one sign-in.
type challenge struct {
	a, b, public *big.Int
	account      *account
}

// newChallenge answers a client's A with B = kv + g^b (RFC 5054 section 2.5.3).
func newChallenge(who *account, a []byte) (*challenge, error) {
	c := &challenge{a: number(a), b: number(random(32)), account: who}
	if new(big.Int).Mod(c.a, groupN).Sign() == 0 {
		return nil, errors.New("fakeicloud: A is 0 modulo N") // RFC 5054 section 2.5.4
	}
	k := number(hash(groupN.Bytes(), padded(groupG)))
	kv := new(big.Int).Mul(k, number(who.verifier))
	c.public = kv.Add(kv, new(big.Int).Exp(groupG, c.b, groupN))
	c.public.Mod(c.public, groupN)
	return c, nil
}

// proves checks the client's proofs M1 = H(H(N) xor H(g) | H(I) | s | A | B | K)
// and M2 = H(A | M1 | K).
func (c *challenge) proves(m1, m2 []byte) bool {
	a, b := padded(c.a), padded(c.public)
	u := number(hash(a, b))
	base := new(big.Int).Exp(number(c.account.verifier), u, groupN) // (A * v^u) ^ b
	base.Mul(base, c.a).Mod(base, groupN)
	key := hash(padded(base.Exp(base, c.b, groupN)))
	groups := hash(groupN.Bytes())
	subtle.XORBytes(groups, groups, hash(padded(groupG)))
	want1 := hash(groups, hash([]byte(c.account.AppleID)), c.account.salt, a, b, key)
	return bytes.Equal(m1, want1) && bytes.Equal(m2, hash(a, want1, key))
}
