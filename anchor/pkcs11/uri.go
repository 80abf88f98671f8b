package pkcs11

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// MaxURI is the length of the longest pkcs11: URI in bytes.
const MaxURI = 1024

// URI names a key on a token (RFC 7512), such as
//
//	pkcs11:token=operators;object=alice?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/alice.pin
//
// It holds no PIN: pin-value is refused, because a URI ends up in shell histories,
// process lists and logs.
type URI struct {
	Token     string // label of the token
	Serial    string // of the token
	Object    string // label of the key
	ID        []byte // CKA_ID of the key; nil: any
	Module    string // module-path, absolute
	PINSource string // file with the PIN, absolute, or as a file: URI; empty: ask
}

var errURI = errors.New("pkcs11: not a pkcs11: URI that names a token, a key and its module-path")

// ParseURI reads a pkcs11: URI of at most [MaxURI] bytes. Attributes that are unknown here are
// refused, as an attribute that is not understood might tell two tokens apart; so
// is one that comes twice (RFC 7512 §2.3).
func ParseURI(s string) (*URI, error) {
	if len(s) > MaxURI {
		return nil, fmt.Errorf("pkcs11: a URI of %d bytes, of at most %d", len(s), MaxURI)
	}
	rest, ok := strings.CutPrefix(s, "pkcs11:")
	if !ok {
		return nil, errURI
	}
	path, query, _ := strings.Cut(rest, "?")
	var u URI
	seen := map[string]bool{}
	if err := attributes(path, ";", seen, u.pathAttribute); err != nil {
		return nil, err
	}
	if err := attributes(query, "&", seen, u.queryAttribute); err != nil {
		return nil, err
	}
	if u.Token == "" && u.Serial == "" || u.Object == "" && u.ID == nil || !filepath.IsAbs(u.Module) {
		return nil, errURI
	}
	return &u, nil
}

// attributes calls set with each name and decoded value of a list.
func attributes(list, separator string, seen map[string]bool, set func(name, value string) error) error {
	if list == "" {
		return nil
	}
	for item := range strings.SplitSeq(list, separator) {
		name, value, ok := strings.Cut(item, "=")
		decoded, err := url.PathUnescape(value)
		if !ok || err != nil || decoded == "" || strings.Contains(decoded, "\x00") && name != "id" {
			return fmt.Errorf("%w: attribute %q", errURI, name)
		}
		if seen[name] {
			return fmt.Errorf("%w: %s comes twice", errURI, name)
		}
		seen[name] = true
		if err := set(name, decoded); err != nil {
			return err
		}
	}
	return nil
}

func (u *URI) pathAttribute(name, value string) error {
	switch name {
	case "token":
		u.Token = value
	case "serial":
		u.Serial = value
	case "object":
		u.Object = value
	case "id":
		u.ID = []byte(value)
	case "type":
		if value != "private" {
			return fmt.Errorf("%w: type=%s, only private is", errURI, value)
		}
	default:
		return fmt.Errorf("%w: attribute %q is not supported", errURI, name)
	}
	return nil
}

func (u *URI) queryAttribute(name, value string) error {
	switch name {
	case "module-path":
		u.Module = value
	case "pin-source":
		u.PINSource = strings.TrimPrefix(value, "file://")
		u.PINSource = strings.TrimPrefix(u.PINSource, "file:")
		if !filepath.IsAbs(u.PINSource) {
			return fmt.Errorf("%w: pin-source is no absolute path of a file", errURI)
		}
	case "pin-value":
		return errors.New("pkcs11: pin-value is refused, others can read it here: put the PIN in a file and name it with pin-source, or leave both out")
	default:
		return fmt.Errorf("%w: attribute %q is not supported", errURI, name)
	}
	return nil
}

// String writes the URI in the one form that ParseURI reads back to the same.
func (u *URI) String() string {
	var path, query []string
	add := func(list *[]string, name, value, plain string) {
		if value != "" {
			*list = append(*list, name+"="+escape(value, plain))
		}
	}
	add(&path, "token", u.Token, "")
	add(&path, "serial", u.Serial, "")
	add(&path, "object", u.Object, "")
	add(&path, "id", string(u.ID), "")
	add(&query, "module-path", u.Module, "/")
	add(&query, "pin-source", u.PINSource, "/")
	return "pkcs11:" + strings.Join(path, ";") + "?" + strings.Join(query, "&")
}

// escape leaves what RFC 3986 calls unreserved, and what is in plain: a query may
// have the slash as it is, a path may not (RFC 7512 §2.3).
func escape(s, plain string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~"+plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

func (u *URI) options() Options {
	return Options{Module: u.Module, Token: u.Token, Serial: u.Serial, PINFile: u.PINSource}
}
