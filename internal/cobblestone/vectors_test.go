package cobblestone_test

import (
	"bytes"
	"compress/zlib"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"testing"

	"github.com/c2sp/wycheproof"

	"keepsake.example/internal/cobblestone"
)

// hexBytes is a byte string as Wycheproof writes it.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vector struct {
	ID        int      `json:"tcId"`
	Comment   string   `json:"comment"`
	Key       hexBytes `json:"key"`
	Context   hexBytes `json:"ctx"`
	Message   hexBytes `json:"ct"`
	AEADKey   hexBytes `json:"aeadKey"`
	BaseNonce hexBytes `json:"baseNonce"`
	Length    int      `json:"msgLength"`
	Digest    hexBytes `json:"msgSha512"`
	Result    string   `json:"result"`
	Flags     []string `json:"flags"`
}

func (v *vector) is(flag string) bool { return slices.Contains(v.Flags, flag) }

func loadVectors(t *testing.T) (vectors []*vector, declared int) {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, "c2sp_chunked_encryption_aes_256_gcm_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			AEAD, SHA string
			Tests     []*vector
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.TestGroups {
		if g.AEAD != "AEAD_AES_256_GCM" || g.SHA != "SHA-512" {
			t.Fatalf("vectors for %s with %s", g.AEAD, g.SHA)
		}
		vectors = append(vectors, g.Tests...)
	}
	for _, v := range vectors {
		z, err := zlib.NewReader(bytes.NewReader(v.Message))
		if err != nil {
			t.Fatal(err)
		}
		if v.Message, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return vectors, file.NumberOfTests
}

// TestWycheproof applies every vector through every way of opening, as
// doc/c2sp_chunked_encryption.md in the wycheproof module says.
func TestWycheproof(t *testing.T) {
	vectors, declared := loadVectors(t)
	ran := map[string]int{}
	for _, v := range vectors {
		t.Run(fmt.Sprintf("%d %s", v.ID, v.Comment), func(t *testing.T) {
			switch {
			case v.is("InvalidKeySize"):
				if v.Result != "invalid" || len(v.Key) == cobblestone.KeySize {
					t.Fatalf("a key of %d bytes would be accepted", len(v.Key)) // other sizes are not a *[32]byte
				}
			case v.Result == "valid":
				testValidVector(t, v)
			default:
				testInvalidVector(t, v)
			}
		})
		ran[v.Result]++
	}
	if ran["valid"] == 0 || ran["invalid"] == 0 || ran["valid"]+ran["invalid"] != declared {
		t.Fatalf("ran %v, the file declares %d", ran, declared)
	}
}

func testValidVector(t *testing.T, v *vector) {
	key := (*[32]byte)(v.Key)
	plaintext, err := openBoth(t, key, v.Context, v.Message)
	if err != nil {
		t.Fatal(err)
	}
	v.checkPlaintext(t, plaintext)
	random, _, err := openByChunk(v)
	if err != nil || !bytes.Equal(random, plaintext) {
		t.Fatalf("opening chunk by chunk: %v", err)
	}
	salt := (*[24]byte)(v.Message)
	if !bytes.Equal(cobblestone.TestingOnlySeal(key, salt, v.Context, plaintext), v.Message) {
		t.Error("sealing with the vector's salt gives another message")
	}
	aeadKey, baseNonce := cobblestone.TestingOnlyDerive(key, salt, v.Context)
	if !bytes.Equal(aeadKey, v.AEADKey) || !bytes.Equal(baseNonce, v.BaseNonce) {
		t.Error("another AEAD key or base nonce than the vector's")
	}
	if !cobblestone.Check((*[56]byte)(v.Message), v.Context)(key) {
		t.Error("Check refuses the key")
	}
	if n, err := cobblestone.PlaintextSize(int64(len(v.Message))); err != nil || n != int64(v.Length) {
		t.Errorf("PlaintextSize: %d, %v; want %d", n, err, v.Length)
	}
}

func testInvalidVector(t *testing.T, v *vector) {
	key := (*[32]byte)(v.Key)
	if _, err := openBoth(t, key, v.Context, v.Message); err == nil {
		t.Fatal("opened")
	}
	stream, _ := openStream(key, v.Context, bytes.NewReader(v.Message))
	if len(stream) != 0 { // every vector fails within the first batch, which is all or nothing
		t.Fatalf("reader let out %d bytes of a damaged batch", len(stream))
	}
	prefix, last, err := openByChunk(v)
	if err == nil {
		t.Fatal("opened chunk by chunk")
	}
	if v.is("PartialPlaintext") {
		v.checkPlaintext(t, prefix)
	} else if len(prefix) != 0 {
		t.Errorf("%d bytes opened, want none", len(prefix))
	}
	if last != v.is("ValidFinalChunk") {
		t.Errorf("final chunk opens: %v", last)
	}
}

func (v *vector) checkPlaintext(t *testing.T, plaintext []byte) {
	t.Helper()
	if digest := sha512.Sum512(plaintext); len(plaintext) != v.Length || !bytes.Equal(digest[:], v.Digest) {
		t.Errorf("plaintext of %d bytes is not the vector's of %d", len(plaintext), v.Length)
	}
}

// openByChunk opens one chunk at a time and returns the plaintext up to the first
// error, and whether the final chunk opens on its own.
func openByChunk(v *vector) (prefix []byte, last bool, err error) {
	if len(v.Message) < head {
		return nil, false, cobblestone.ErrLength
	}
	o, err := cobblestone.NewOpener((*[32]byte)(v.Key), v.Context, (*[56]byte)(v.Message))
	if err != nil {
		return nil, false, err
	}
	body := v.Message[head:]
	final := len(body) / sealed
	_, lastErr := o.Open(nil, body[final*sealed:], int64(final), true)
	for k := 0; k <= final && err == nil; k++ {
		var next []byte
		if next, err = o.Open(prefix, body[k*sealed:min(len(body), (k+1)*sealed)], int64(k), k == final); err == nil {
			prefix = next
		}
	}
	return prefix, lastErr == nil, err
}
