//go:build cgo

package pkcs11

import p11 "github.com/miekg/pkcs11"

// Raw loads a module as the package does: it stays initialized until release is called.
func Raw(module string) (ctx *p11.Ctx, release func() error, err error) {
	l, err := load(module)
	if err != nil {
		return nil, nil, err
	}
	return l.ctx, l.release, nil
}
