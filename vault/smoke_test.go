package vault_test

import "testing"
import "keepsake.example/vaultapi"

func TestSmoke(t *testing.T) {
	w := newWorld(t, policy())
	p := w.person("alice")
	s := p.register("one", 10)
	g := newGuess(1)
	a := p.attempt(g)
	g.output(t, a, s.key)
	p.left(a, vaultapi.OK, 9)
	w.reload()
	g.output(t, p.attempt(g), s.key)
	p.left(p.prove(g, s, signer("new")), vaultapi.OK, 10)
	p.left(p.prove(g, s, signer("new")), vaultapi.OK, 10)
	w.reload()
	for i := range 10 {
		g := newGuess("x", i)
		g.output(t, p.attempt(g), s.key)
		g.output(t, p.attempt(g), s.key)
		w.pass(day)
		w.reload()
	}
	t.Log(p.status())
	w.tick()
	t.Log(p.status())
}
