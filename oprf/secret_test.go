package oprf_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/gtank/ristretto255"

	"keepsake.example/oprf"
)

const word = "oprf(redacted)"

// forms are the ways in which secret bytes show up in text.
func forms(secret []byte) (all []string) {
	for _, part := range [][]byte{secret[:4], secret[len(secret)-4:]} {
		list := strings.Trim(fmt.Sprint(part), "[]")
		all = append(all, string(part), list, strings.ReplaceAll(list, " ", ","), hex.EncodeToString(part), fmt.Sprintf("% x", part), fmt.Sprintf("%#v", part)[7:])
	}
	return all
}

// Secrets print as one word, also inside other types, in JSON and in slog.
func TestRedacted(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{seed: 3}, []byte("correct horse battery")))
	out := must(k.Output([]byte("x")))
	key, output := encodingOf(k), outputOf(out)
	limbs := strings.TrimLeft(fmt.Sprintf("%d", *k.Held()), "{[")[:12] // as fmt would show the scalar
	hidden := append(append(forms(key[:]), forms(output[:])...), append(forms([]byte("correct horse battery")), limbs)...)
	type outer struct {
		K  oprf.PrivateKey
		P  *oprf.PrivateKey
		B  *oprf.Blinding
		O  any
		k  oprf.PrivateKey
		b  *oprf.Blinding
		oo []*oprf.Output
	}
	inside := outer{*k, k, b, out, *k, b, []*oprf.Output{out}}
	for _, v := range []any{k, *k, b, *b, out, *out, inside, &inside, []any{k, b, out}} {
		var text bytes.Buffer
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %p") {
			fmt.Fprintf(&text, verb+"\n", v)
		}
		text.Write(must(json.Marshal(v)))
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&text, nil)).Info("m", "v", v)
		for _, form := range hidden {
			if strings.Contains(text.String(), form) {
				t.Errorf("%T shows %q: %s", v, form, text.String())
			}
		}
	}
	for _, got := range []string{
		fmt.Sprint(k), fmt.Sprintf("%#x", *b), k.String(), b.GoString(), out.LogValue().String(), strings.Trim(string(must(json.Marshal(out))), `"`),
	} {
		if got != word {
			t.Errorf("printed as %q", got)
		}
	}
}

// Wiping overwrites the memory; what was wiped cannot be used, in any copy.
func TestWipe(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, []byte("password")))
	out := must(k.Output(nil))
	copied, scalar, input, output := *k, k.Held(), b.Held(), out.Held()
	answer, proof, err := k.Evaluate(&reader{}, b.Blinded())
	if err != nil {
		t.Fatal(err)
	}
	public := k.Public()
	for range 2 {
		k.Wipe()
		b.Wipe()
		out.Wipe()
	}
	(&oprf.PrivateKey{}).Wipe()
	(&oprf.Blinding{}).Wipe()
	(&oprf.Output{}).Wipe()
	if scalar.Equal(ristretto255.NewScalar()) != 1 || !bytes.Equal(input, make([]byte, 8)) || !bytes.Equal(output, make([]byte, oprf.OutputSize)) {
		t.Error("not wiped")
	}
	if k.Equal(&copied) || out.Equal(out) {
		t.Error("equal after being wiped")
	}
	mustPanic(t, "PrivateKey.Use", func() { k.Use(func(*[32]byte) {}) })
	mustPanic(t, "Output of a copy", func() { copied.Output(nil) })
	mustPanic(t, "Evaluate", func() { k.Evaluate(&reader{}, must(oprf.Blind(&reader{}, nil)).Blinded()) })
	mustPanic(t, "Public", func() { (&oprf.PrivateKey{}).Public() })
	mustPanic(t, "Finalize", func() { b.Finalize(public, answer, proof) })
	mustPanic(t, "Output.Use", func() { out.Use(func(*[64]byte) {}) })
}

// Use hands out a copy of the key and wipes it.
func TestUseWipes(t *testing.T) {
	k := keyOf(1)
	var kept *[32]byte
	k.Use(func(b *[32]byte) { kept = b })
	if *kept != [32]byte{} {
		t.Error("the encoding stays in memory")
	}
	if encodingOf(k) == [32]byte{} {
		t.Error("the key was wiped with it")
	}
}

// regressions.md: MACs and challenges compared in variable time. The shipped
// code compares encodings, scalars and points with what takes constant time
// only: it has no bytes.Equal and its like, and no == but on numbers and nil.
func TestRegressionConstantTimeCompare(t *testing.T) {
	files, set := 0, token.NewFileSet()
	for _, f := range must(fs.Glob(os.DirFS("."), "*.go")) {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		files++
		for _, found := range comparisons(must(parser.ParseFile(set, f, nil, 0))) {
			t.Errorf("%s: %s", f, found)
		}
	}
	if files < 5 {
		t.Errorf("read %d files", files)
	}
	bad := must(parser.ParseFile(set, "bad.go", "package p\nvar a = x.enc == y.enc || x.Bytes() != b || bytes.Equal(c, d) || strings.Compare(e, f) > 0", 0))
	if got := comparisons(bad); len(got) != 4 {
		t.Errorf("found %q in bad code, want 4", got)
	}
}

func comparisons(f *ast.File) (found []string) {
	variable := map[string]bool{"bytes.Equal": true, "bytes.Compare": true, "slices.Equal": true, "reflect.DeepEqual": true, "strings.Compare": true}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && variable[x.Name+"."+n.Sel.Name] {
				found = append(found, x.Name+"."+n.Sel.Name)
			}
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && !plain(n.X) && !plain(n.Y) {
				found = append(found, "a comparison of what is neither a number nor nil")
			}
		}
		return true
	})
	return found
}

// plain reports whether one side of a comparison is a number, nil, a length or a loop's index.
func plain(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.INT
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "i" || strings.HasSuffix(e.Name, "Size")
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.Ident)
		return ok && f.Name == "len"
	}
	return false
}
