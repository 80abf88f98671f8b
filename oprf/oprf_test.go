package oprf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"testing"

	"keepsake.example/oprf"
)

// recover runs a whole evaluation and returns the output.
func recoverOutput(t *testing.T, k *oprf.PrivateKey, blind io.Reader, input []byte) *oprf.Output {
	t.Helper()
	b := must(oprf.Blind(blind, input))
	answer, proof, err := k.Evaluate(&reader{seed: 9}, b.Blinded())
	if err != nil {
		t.Fatal(err)
	}
	return must(b.Finalize(k.Public(), answer, proof))
}

// What the client gets through the vault is what the key's holder computes
// alone; it depends on the input and the key and not on the blind.
func TestOutput(t *testing.T) {
	k := keyOf(1)
	for _, input := range [][]byte{nil, []byte("password"), make([]byte, oprf.MaxInput)} {
		want := must(k.Output(input))
		for seed := range byte(3) {
			if got := recoverOutput(t, k, &reader{seed: seed}, input); !got.Equal(want) {
				t.Errorf("%d bytes of input: another output under blind %d", len(input), seed)
			}
		}
		if keyOf(2).Public().Equal(k.Public()) || must(keyOf(2).Output(input)).Equal(want) {
			t.Errorf("%d bytes of input: the same under another key", len(input))
		}
		if must(k.Output(append([]byte{0}, input[:len(input)/2]...))).Equal(want) {
			t.Errorf("%d bytes of input: the same for another input", len(input))
		}
	}
}

func TestOutputBatch(t *testing.T) {
	k := keyOf(3)
	for _, n := range []int{1, 2, oprf.MaxBatch} {
		var blindings []*oprf.Blinding
		var questions []*oprf.Blinded
		for i := range n {
			blindings = append(blindings, must(oprf.Blind(&reader{seed: byte(i)}, []byte{byte(i)})))
			questions = append(questions, blindings[i].Blinded())
		}
		answers, proof, err := k.EvaluateBatch(&reader{}, questions)
		if err != nil {
			t.Fatal(err)
		}
		for i, out := range must(oprf.FinalizeBatch(blindings, k.Public(), answers, proof)) {
			if !out.Equal(must(k.Output([]byte{byte(i)}))) {
				t.Errorf("batch of %d: output %d differs", n, i)
			}
		}
	}
}

func TestBatchLimits(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, nil))
	answer, proof, err := k.Evaluate(&reader{}, b.Blinded())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, oprf.MaxBatch + 1} {
		questions, blindings, answers := make([]*oprf.Blinded, n), make([]*oprf.Blinding, n), make([]*oprf.Evaluated, n)
		if _, _, err := k.EvaluateBatch(&reader{}, questions); !errors.Is(err, oprf.ErrBatch) {
			t.Errorf("EvaluateBatch of %d: %v", n, err)
		}
		if _, err := oprf.FinalizeBatch(blindings, k.Public(), answers, proof); !errors.Is(err, oprf.ErrBatch) {
			t.Errorf("FinalizeBatch of %d: %v", n, err)
		}
	}
	for _, answers := range [][]*oprf.Evaluated{nil, {answer, answer}} {
		if _, err := oprf.FinalizeBatch([]*oprf.Blinding{b}, k.Public(), answers, proof); !errors.Is(err, oprf.ErrBatchSizes) {
			t.Errorf("FinalizeBatch of %d answers to one question: %v", len(answers), err)
		}
	}
}

// regressions.md: a length prefix that is narrowed to 16 bits lets a long input
// pass for a short one.
func TestRegressionLengthOverflow(t *testing.T) {
	long := make([]byte, 1<<16)
	if _, err := keyOf(1).Output(long); !errors.Is(err, oprf.ErrInput) {
		t.Errorf("Output of %d bytes: %v", len(long), err)
	}
	if _, err := oprf.Blind(&reader{}, long); !errors.Is(err, oprf.ErrInput) {
		t.Errorf("Blind of %d bytes: %v", len(long), err)
	}
	if _, err := oprf.DeriveKey(&[32]byte{1}, long); !errors.Is(err, oprf.ErrInfo) {
		t.Errorf("DeriveKey of %d bytes of info: %v", len(long), err)
	}
	must(oprf.DeriveKey(&[32]byte{1}, long[:oprf.MaxInfo]))
}

// regressions.md: the identity element accepted (opaque-ke, high). A vault that
// answered it would give everybody the same output.
func TestRegressionIdentityElement(t *testing.T) {
	for name, parse := range decoders["element"] {
		if _, err := parse(make([]byte, oprf.ElementSize)); !errors.Is(err, oprf.ErrIdentity) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// regressions.md: the blinded element reflected back as the answer (opaque-ke, high).
// Whatever proof stands beside it, honest ones included.
func TestRegressionReflectedElement(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, []byte("password")))
	question := b.Blinded().Bytes()
	reflected := must(oprf.ParseEvaluated(question[:]))
	_, proof, err := k.Evaluate(&reader{}, b.Blinded())
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.Finalize(k.Public(), reflected, proof)
	if out != nil || !errors.Is(err, oprf.ErrDishonest) || err.Error() != "oprf: the answer is the question: the vault's answer is not honest" {
		t.Errorf("Finalize = %v, %v", out, err)
	}
}

// The key under which reflection would be honest can be neither made nor named.
func TestRegressionReflectingKey(t *testing.T) {
	one := append([]byte{1}, make([]byte, 31)...)
	if k, err := oprf.ParsePrivateKey(one); k != nil || !errors.Is(err, oprf.ErrWeakKey) {
		t.Errorf("ParsePrivateKey(1) = %v, %v", k, err)
	}
	if k, err := oprf.GenerateKey(scalarBytes(one)); k != nil || !errors.Is(err, oprf.ErrWeakKey) {
		t.Errorf("GenerateKey from a reader of 1 = %v, %v", k, err)
	}
	generator := unhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")
	if _, err := oprf.ParsePublicKey(generator); !errors.Is(err, oprf.ErrWeakKey) {
		t.Errorf("ParsePublicKey(G): %v", err)
	}
}

// order is the order of the group, little-endian: zero, not reduced.
func order() []byte {
	n, _ := new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)
	b := make([]byte, 32)
	n.FillBytes(b)
	for i := range 16 {
		b[i], b[31-i] = b[31-i], b[i]
	}
	return b
}

// regressions.md: the blind is zero. Also when it is zero only after being reduced.
func TestRegressionZeroBlind(t *testing.T) {
	for name, zero := range map[string][]byte{"zero": make([]byte, 32), "the order": order()} {
		if b, err := oprf.Blind(scalarBytes(zero), []byte("password")); b != nil || !errors.Is(err, oprf.ErrZeroBlind) {
			t.Errorf("Blind with %s = %v, %v", name, b, err)
		}
		if k, err := oprf.GenerateKey(scalarBytes(zero)); k != nil || !errors.Is(err, oprf.ErrWeakKey) {
			t.Errorf("GenerateKey with %s = %v, %v", name, k, err)
		}
	}
}

// A proof with nonce zero would be the key times a public number.
func TestZeroNonce(t *testing.T) {
	_, proof, err := keyOf(1).TestingOnlyEvaluate(make([]byte, 32), []*oprf.Blinded{must(oprf.Blind(&reader{}, nil)).Blinded()})
	if proof != nil || !errors.Is(err, oprf.ErrZeroNonce) {
		t.Errorf("proof %v, %v", proof, err)
	}
}

// regressions.md: points and scalars that are not canonical. The vectors have
// those of RFC 9496; here every encoding with the top bit set.
func TestRegressionNotCanonical(t *testing.T) {
	k := keyOf(1)
	public, private := k.Public().Bytes(), encodingOf(k)
	public[31] |= 0x80
	private[31] |= 0x80
	for name, parse := range decoders["element"] {
		if _, err := parse(public[:]); !errors.Is(err, oprf.ErrElement) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := oprf.ParsePrivateKey(private[:]); !errors.Is(err, oprf.ErrScalar) {
		t.Errorf("private key: %v", err)
	}
	for _, at := range []int{31, 63} {
		var proof [oprf.ProofSize]byte
		proof[at] = 0x80
		if _, err := oprf.ParseProof(proof[:]); !errors.Is(err, oprf.ErrScalar) {
			t.Errorf("proof with byte %d: %v", at, err)
		}
	}
}

// A reader that repeats itself (a rolled-back machine, a replayed log) repeats
// the whole proof, or draws another nonce: for r = s + c·k, two proofs with one
// nonce under one key would give k = (s-s')/(c'-c).
func TestRepeatedRandomness(t *testing.T) {
	k := keyOf(1)
	prove := func(input string) *oprf.Proof {
		_, proof, err := k.Evaluate(&reader{seed: 5}, must(oprf.Blind(&reader{}, []byte(input))).Blinded())
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	a, again, b := prove("a").Bytes(), prove("a").Bytes(), prove("b").Bytes()
	if a != again {
		t.Error("the same question and bytes gave another proof")
	}
	if encodingOf(k) == keyFromReuse(a, b) {
		t.Error("two proofs gave away the key")
	}
	// The attack works where the nonce is reused: the test can fail.
	nonce := append([]byte{7}, make([]byte, 31)...)
	reuse := func(input string) [oprf.ProofSize]byte {
		_, p, err := k.TestingOnlyEvaluate(nonce, []*oprf.Blinded{must(oprf.Blind(&reader{}, []byte(input))).Blinded()})
		if err != nil {
			t.Fatal(err)
		}
		return p.Bytes()
	}
	if encodingOf(k) != keyFromReuse(reuse("a"), reuse("b")) {
		t.Error("the attack that this test is about does not work")
	}
}

// keyFromReuse is (s-s')/(c'-c) modulo the order.
func keyFromReuse(a, b [oprf.ProofSize]byte) (k [32]byte) {
	number := func(b []byte) *big.Int {
		be := bytes.Clone(b)
		for i := range len(be) / 2 {
			be[i], be[len(be)-1-i] = be[len(be)-1-i], be[i]
		}
		return new(big.Int).SetBytes(be)
	}
	q := number(order())
	s := new(big.Int).Sub(number(a[32:]), number(b[32:]))
	c := new(big.Int).Sub(number(b[:32]), number(a[:32]))
	n := s.Mul(s, c.ModInverse(c.Mod(c, q), q))
	n.Mod(n, q).FillBytes(k[:])
	for i := range 16 {
		k[i], k[31-i] = k[31-i], k[i]
	}
	return k
}

// The same seed and input give the same question: a client can repeat it.
func TestBlindRepeats(t *testing.T) {
	blind := func(seed byte, input string) *oprf.Blinded {
		return must(oprf.Blind(&reader{seed: seed}, []byte(input))).Blinded()
	}
	if !blind(1, "a").Equal(blind(1, "a")) {
		t.Error("another question from the same seed and input")
	}
	if blind(1, "a").Equal(blind(2, "a")) || blind(1, "a").Equal(blind(1, "b")) {
		t.Error("the same question from another seed or input")
	}
}

// A Blinding keeps its own copy of the input.
func TestBlindCopies(t *testing.T) {
	k, input := keyOf(1), []byte("password")
	b := must(oprf.Blind(&reader{}, input))
	clear(input)
	answer, proof, err := k.Evaluate(&reader{}, b.Blinded())
	if err != nil {
		t.Fatal(err)
	}
	if !must(b.Finalize(k.Public(), answer, proof)).Equal(must(k.Output([]byte("password")))) {
		t.Error("the output follows the caller's buffer")
	}
}

func TestDeriveKey(t *testing.T) {
	seen := map[[32]byte]bool{}
	for _, seed := range []*[32]byte{{}, {1}} {
		for _, info := range []string{"", "a", "ab"} {
			k := must(oprf.DeriveKey(seed, []byte(info)))
			if !k.Equal(must(oprf.DeriveKey(seed, []byte(info)))) {
				t.Error("not deterministic")
			}
			seen[encodingOf(k)] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d keys from 6 seeds and infos", len(seen))
	}
}

func TestPrivateKeyRoundTrip(t *testing.T) {
	k := keyOf(4)
	enc := encodingOf(k)
	again := must(oprf.ParsePrivateKey(enc[:]))
	if !again.Equal(k) || !again.Public().Equal(k.Public()) {
		t.Error("another key")
	}
	if k.Equal(keyOf(5)) || k.Equal(nil) || k.Equal(&oprf.PrivateKey{}) || (&oprf.PrivateKey{}).Equal(&oprf.PrivateKey{}) {
		t.Error("equal to another or to none")
	}
}

var errReader = errors.New("no randomness")

// Every place that reads randomness passes on the reader's error, however far it got.
func TestRandomnessFails(t *testing.T) {
	k := keyOf(1)
	for n := range 64 {
		random := func() io.Reader { return io.MultiReader(bytes.NewReader(make([]byte, n)), brokenReader{}) }
		if key, err := oprf.GenerateKey(random()); key != nil || !errors.Is(err, errReader) {
			t.Errorf("GenerateKey after %d bytes = %v, %v", n, key, err)
		}
		if b, err := oprf.Blind(random(), nil); b != nil || !errors.Is(err, errReader) {
			t.Errorf("Blind after %d bytes = %v, %v", n, b, err)
		}
		if n >= 32 {
			continue
		}
		_, proof, err := k.Evaluate(random(), must(oprf.Blind(&reader{}, nil)).Blinded())
		if proof != nil || !errors.Is(err, errReader) {
			t.Errorf("Evaluate after %d bytes = %v, %v", n, proof, err)
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errReader }

// Every changed byte and every truncation of what travels is refused, by the
// decoder or by the proof: nothing that was mangled gives an output.
func TestMangled(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, []byte("password")))
	answer, proof, err := k.Evaluate(&reader{}, b.Blinded())
	if err != nil {
		t.Fatal(err)
	}
	z, p, public := answer.Bytes(), proof.Bytes(), k.Public().Bytes()
	message := bytes.Join([][]byte{public[:], z[:], p[:]}, nil)
	finalize := func(m []byte) error {
		cut := func(n int) (part []byte) { n = min(n, len(m)); part, m = m[:n], m[n:]; return part }
		pk, err := oprf.ParsePublicKey(cut(oprf.ElementSize))
		if err != nil {
			return err
		}
		z, err := oprf.ParseEvaluated(cut(oprf.ElementSize))
		if err != nil {
			return err
		}
		p, err := oprf.ParseProof(m)
		if err != nil {
			return err
		}
		_, err = b.Finalize(pk, z, p)
		return err
	}
	if err := finalize(message); err != nil {
		t.Fatal(err)
	}
	for n := range message {
		if err := finalize(message[:n]); err == nil {
			t.Errorf("cut to %d bytes and accepted", n)
		}
		for _, change := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
			m := bytes.Clone(message)
			m[n] ^= change
			if err := finalize(m); err == nil {
				t.Errorf("byte %d changed by %#x and accepted", n, change)
			}
		}
	}
}

// A mangled question is refused or is another question with another answer.
func TestMangledQuestion(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, []byte("password")))
	question := b.Blinded().Bytes()
	refused := 0
	for n := range question {
		for change := 1; change < 256; change <<= 1 {
			m := question
			m[n] ^= byte(change)
			q, err := oprf.ParseBlinded(m[:])
			if err != nil {
				refused++
				continue
			}
			answer, proof, err := k.Evaluate(&reader{}, q)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Finalize(k.Public(), answer, proof); !errors.Is(err, oprf.ErrDishonest) {
				t.Errorf("byte %d changed by %#x: %v", n, change, err)
			}
		}
	}
	if refused == 0 || refused == 256 {
		t.Errorf("%d of 256 refused", refused)
	}
}

// Truncations and extensions of every encoding are refused by their length.
func TestLengths(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, nil))
	_, proof, err := k.Evaluate(&reader{}, b.Blinded())
	if err != nil {
		t.Fatal(err)
	}
	public, private, p := k.Public().Bytes(), encodingOf(k), proof.Bytes()
	for kind, whole := range map[string][]byte{"element": public[:], "private-key": private[:], "proof": p[:]} {
		for name, parse := range decoders[kind] {
			for n := range len(whole) + 40 {
				m := append(bytes.Clone(whole), make([]byte, 40)...)[:n]
				if _, err := parse(m); n != len(whole) && !errors.Is(err, oprf.ErrLength) || n == len(whole) && err != nil {
					t.Errorf("%s of %d bytes: %v", name, n, err)
				}
			}
		}
	}
}

// Sizes are those of spec/vault-protocol.md §3.2, and the batch index fits its field.
func TestSizes(t *testing.T) {
	if oprf.ElementSize != 32 || oprf.ScalarSize != 32 || oprf.ProofSize != 64 || oprf.OutputSize != 64 {
		t.Error("a size changed")
	}
	if b := binary.BigEndian.AppendUint16(nil, oprf.MaxBatch); int(b[0])<<8|int(b[1]) != oprf.MaxBatch {
		t.Error("a batch index does not fit 16 bits")
	}
}

// What is checked is what is parsed.
func TestCheckPrivateKey(t *testing.T) {
	good := bytes.Repeat([]byte{7}, 31)
	for name, b := range map[string][]byte{
		"good": append(good, 0), "short": good, "zero": make([]byte, 32), "one": append([]byte{1}, make([]byte, 31)...),
		"not canonical": bytes.Repeat([]byte{0xff}, 32), "empty": nil,
	} {
		_, want := oprf.ParsePrivateKey(b)
		if got := oprf.CheckPrivateKey(b); !errors.Is(got, want) || (got == nil) != (name == "good") {
			t.Errorf("%s: %v, and parsing says %v", name, got, want)
		}
	}
}
