package roster

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	maxAttempts = 10
	// maxDuration is the longest wait, cool-down and grace in milliseconds: 366 days.
	maxDuration = 366 * 24 * 3600 * 1000
)

// check refuses values out of their range. Whether the change may be made is for
// the roster to say.
func (c *Change) check() error {
	var err error
	switch c.Kind {
	case Add:
		if c.Group == 0 {
			err = c.Member.check()
		}
	case Promote, Demote, Remove, SetMinVersion, SetTolerate, Void:
	case SetAddress:
		err = checkAddress(c.Member.Address)
	case SetPolicy:
		err = c.Policy.check()
	case SetOperators:
		err = checkOperators(c.Operators, c.Quorum)
	default:
		err = fmt.Errorf("kind %d", c.Kind)
	}
	if err == nil {
		err = c.checkHeader()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrText, err)
	}
	return nil
}

func (c *Change) checkHeader() error {
	about := slices.Contains([]Kind{Add, Promote, Demote, Remove}, c.Kind)
	switch n := c.Member.Number; {
	case c.Serial == 0:
		return errors.New("serial 0")
	case len(c.Because) > MaxReason || strings.ContainsFunc(c.Because, notPrintable) || strings.Trim(c.Because, " ") != c.Because:
		return fmt.Errorf("a reason over %d bytes, not of printable ASCII, or with spaces around it", MaxReason)
	case c.Group >= MaxGroups || c.Group != 0 && !about:
		return fmt.Errorf("group %d", c.Group)
	case (about || c.Kind == SetAddress) && (n == 0 || n > MaxNumber):
		return fmt.Errorf("member %d", n)
	}
	return nil
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }

func (m *Member) check() error {
	switch {
	case m.Number == 0 || m.Number > MaxNumber:
		return fmt.Errorf("member %d", m.Number)
	case len(m.Sealing) != SealingSize && !m.inDevice():
		return fmt.Errorf("member %d: sealing key of %d bytes", m.Number, len(m.Sealing))
	}
	if err := CheckPlace(m.Name, m.DataCenter, m.Address); err != nil {
		return fmt.Errorf("member %d: %w", m.Number, err)
	}
	return nil
}

// CheckPlace refuses names and an address that no member can have.
func CheckPlace(name, dataCenter, address string) error {
	for _, n := range []string{name, dataCenter} {
		if !isName(n) {
			return fmt.Errorf("name %q: names have 1 to %d of a-z, 0-9, dot and dash", n, MaxName)
		}
	}
	return checkAddress(address)
}

// inDevice reports whether the machine's sealing key is in hardware.
func (m *Member) inDevice() bool { return len(m.Sealing) == DeviceSealingSize }

func (o *Policy) check() error {
	switch {
	case o.MaxAttempts < 1 || o.MaxAttempts > maxAttempts || len(o.Waits) != int(o.MaxAttempts)-1:
		return fmt.Errorf("policy: %d attempts, %d waits", o.MaxAttempts, len(o.Waits))
	case !slices.IsSorted(o.Waits):
		return errors.New("policy: waits that fall")
	case slices.Max(append([]uint64{o.CoolDown, o.Grace}, o.Waits...)) > maxDuration:
		return errors.New("policy: a time over 366 days")
	}
	return nil
}

func checkOperators(all []Operator, quorum uint8) error {
	if len(all) > MaxOperators || quorum < 1 || int(quorum) > len(all) {
		return fmt.Errorf("operators: %d of %d sign, at most %d", quorum, len(all), MaxOperators)
	}
	keys := map[[32]byte]bool{}
	for i, o := range all {
		if !isName(o.Name) || i > 0 && all[i-1].Name >= o.Name {
			return fmt.Errorf("operators: names have 1 to %d of a-z, 0-9, dot and dash, and are in order", MaxName)
		}
		if keys[o.Key] {
			return fmt.Errorf("operators: the key of %s is there twice", o.Name)
		}
		keys[o.Key] = true
	}
	return nil
}

func isName(s string) bool {
	return s != "" && len(s) <= MaxName && !strings.ContainsFunc(s, notName)
}

func notName(r rune) bool {
	return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '.')
}

// checkAddress accepts host:port. The host is an IP address in its one form, in
// brackets if it has colons, or a name.
func checkAddress(address string) error {
	host, port, _ := cutLast(address, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != port || len(address) > MaxAddress || !isHost(host) {
		return fmt.Errorf("address %q: not host:port of at most %d bytes", address, MaxAddress)
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func isHost(host string) bool {
	if inside, ok := strings.CutPrefix(host, "["); ok {
		inside, ok = strings.CutSuffix(inside, "]")
		ip, err := netip.ParseAddr(inside)
		return ok && err == nil && ip.Is6() && ip.Zone() == "" && ip.String() == inside
	}
	if host == "" || strings.ContainsFunc(host, notName) {
		return false
	}
	// A name whose last part is a number is an IPv4 address, or none of either.
	_, last, _ := cutLast("."+host, ".")
	if last == "" || strings.Trim(last, "0123456789") != "" {
		return last != ""
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Is4()
}
