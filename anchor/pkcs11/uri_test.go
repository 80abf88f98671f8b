package pkcs11_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"keepsake.example/anchor/pkcs11"
)

const wholeURI = "pkcs11:token=op%20tokens;serial=0a1b;object=alice%2fbob;id=%00%ff;type=private?module-path=/usr/lib/p11.so&pin-source=file:///run/pin"

func TestParseURI(t *testing.T) {
	u, err := pkcs11.ParseURI(wholeURI)
	want := &pkcs11.URI{Token: "op tokens", Serial: "0a1b", Object: "alice/bob", ID: []byte{0, 0xff}, Module: "/usr/lib/p11.so", PINSource: "/run/pin"}
	if err != nil || !reflect.DeepEqual(u, want) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, good := range []string{
		"pkcs11:serial=1;object=a?module-path=/m", "pkcs11:token=t;id=%01?module-path=/m&pin-source=/p", "pkcs11:object=a;token=t?module-path=/m",
	} {
		if _, err := pkcs11.ParseURI(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	for _, bad := range []string{
		"", "pkcs11:", "PKCS11:token=t;object=a?module-path=/m", "https://token=t", "pkcs11:token=t;object=a", "pkcs11:token=t?module-path=/m", "pkcs11:object=a?module-path=/m",
		"pkcs11:token=t;object=a?module-path=m", "pkcs11:token=t;token=u;object=a?module-path=/m", "pkcs11:token=t;object=a?module-path=/m&module-path=/n",
		"pkcs11:token=;object=a?module-path=/m", "pkcs11:token=t;object=a;x-vendor=1?module-path=/m", "pkcs11:token=t;object=a;type=cert?module-path=/m",
		"pkcs11:token=t;object=a?module-path=/m&pin-source=pin", "pkcs11:token=t;object=a?module-path=/m&pin-source=|cat", "pkcs11:token=t;object=a?module-path=/m&module-name=x",
		"pkcs11:token=%zz;object=a?module-path=/m", "pkcs11:token=%00;object=a?module-path=/m", "pkcs11:token;object=a?module-path=/m",
		"pkcs11:token=t;object=a;?module-path=/m", "pkcs11:token=t;object=" + strings.Repeat("a", pkcs11.MaxURI) + "?module-path=/m",
	} {
		if u, err := pkcs11.ParseURI(bad); err == nil {
			t.Errorf("%s: %+v", bad, u)
		}
	}
	_, err := pkcs11.ParseURI("pkcs11:token=t;object=a?module-path=/m&pin-value=1234")
	if err == nil || strings.Contains(err.Error(), "1234") || !strings.Contains(err.Error(), "pin-source") {
		t.Errorf("a PIN in a URI: %v", err)
	}
}

// stable checks that what is read is written in a form that is read back to the same.
func stable(t *testing.T, s string) {
	t.Helper()
	u, err := pkcs11.ParseURI(s)
	if err != nil {
		return
	}
	again, err := pkcs11.ParseURI(u.String())
	if len(u.String()) > pkcs11.MaxURI { // escaping made it longer
		return
	}
	if err != nil || !reflect.DeepEqual(u, again) || u.String() != again.String() {
		t.Fatalf("%q is written as %q, which is read as %+v, %v", s, u.String(), again, err)
	}
}

func TestMangleURI(t *testing.T) {
	for at := range wholeURI {
		stable(t, wholeURI[:at])
		for c := range 256 {
			stable(t, wholeURI[:at]+string([]byte{byte(c)})+wholeURI[at+1:])
		}
	}
}

func FuzzParseURI(f *testing.F) {
	f.Add(wholeURI)
	f.Add("pkcs11:?")
	f.Fuzz(stable)
}

func FuzzDecodeState(f *testing.F) {
	f.Add(append([]byte("ksp-p11\x01"), make([]byte, pkcs11.StateSize-8)...))
	f.Add([]byte("ksp-p11\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		again, err := pkcs11.DecodeState(data)
		if err == nil && !bytes.Equal(again, data) {
			t.Errorf("%x is written as %x", data, again)
		}
	})
}
