package roster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxText is the longest text of a change in bytes.
const MaxText = 4096

const (
	title = "keepsake fleet change v1"
	// titleDevice begins a change that adds a machine whose sealing key is in hardware.
	titleDevice = "keepsake fleet change v2"
	// sealingLine is how many bytes of a sealing key a line shows: 32 lines of it, and a
	// shorter one of a key in hardware.
	sealingLine = 38
)

// ErrText is a text that is not a change in its one form, or a change with a value
// out of its range.
var ErrText = errors.New("roster: not a change in its one form")

// Text returns the one text of a change: what operators read and sign, and what
// travels. It refuses values out of their range with ErrText.
func (c *Change) Text() (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	p := new(page)
	c.layout(p)
	return p.written.String(), nil
}

// ParseChange reads the text that [Change.Text] returns, and no other: ErrText. It
// takes up memory in proportion to the text, which has at most MaxText bytes.
func ParseChange(text string) (*Change, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("%w: %d bytes", ErrText, len(text))
	}
	p, c := &page{text: text, reading: true}, new(Change)
	c.layout(p)
	if p.bad || p.text != "" {
		return nil, fmt.Errorf("%w: line %d", ErrText, p.line+1)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// layout goes through the lines of a change in their one order, and writes each or
// reads it, so that what is written and what is read cannot come apart.
func (c *Change) layout(p *page) {
	device := c.addsDevice()
	p.title(&device)
	p.say("fleet %", &c.Fleet)
	p.say("serial %", &c.Serial)
	count := uint8(len(c.Operators))
	c.layoutAction(p, &count)
	p.reason(&c.Because)
	switch c.Kind {
	case Add:
		if c.Group == 0 {
			c.Member.layout(p, device)
		}
	case SetAddress:
		p.say("address %", &c.Member.Address)
	case SetPolicy:
		c.Policy.layout(p)
	case SetOperators:
		c.Operators = resize(p, c.Operators, count, MaxOperators)
		for i := range c.Operators {
			p.say("operator % %", &c.Operators[i].Name, &c.Operators[i].Key)
		}
	}
	p.bad = p.bad || device != c.addsDevice()
}

// addsDevice reports whether the change adds a machine whose sealing key is in
// hardware: only a program of version 2 reads that.
func (c *Change) addsDevice() bool { return c.Kind == Add && c.Group == 0 && c.Member.inDevice() }

// title is the first line.
func (p *page) title(device *bool) {
	switch {
	case p.reading && p.next(titleDevice):
		*device = true
	case !p.reading && *device:
		p.say(titleDevice)
	default:
		p.say(title)
	}
}

// layoutAction is the line that says what the change does.
func (c *Change) layoutAction(p *page, operators *uint8) {
	number := &c.Member.Number
	for _, a := range []action{
		{Add, false, "add member % as learner", []any{number}},
		{Add, true, "add member % to group % as learner", []any{number, &c.Group}},
		{Promote, false, "promote member %", []any{number}},
		{Promote, true, "promote member % in group %", []any{number, &c.Group}},
		{Demote, false, "demote member %", []any{number}},
		{Demote, true, "demote member % in group %", []any{number, &c.Group}},
		{Remove, false, "remove member %", []any{number}},
		{Remove, true, "remove member % from group %", []any{number, &c.Group}},
		{SetAddress, false, "set address of member %", []any{number}},
		{SetPolicy, false, "set policy", nil},
		{SetMinVersion, false, "set minimum version %", []any{&c.MinVersion}},
		{SetTolerate, false, "set tolerated rollbacks %", []any{&c.Tolerate}},
		{Void, false, "change nothing", nil},
		{SetOperators, false, "set operators: % of % sign", []any{&c.Quorum, operators}},
	} {
		switch {
		case p.reading && p.next(a.words, a.fields...):
			c.Kind = a.kind
			p.bad = p.bad || a.group != (c.Group != 0)
			return
		case !p.reading && a.kind == c.Kind && a.group == (c.Group != 0):
			p.say(a.words, a.fields...)
			return
		}
	}
	p.bad = true
}

// action is one way to say what a change does.
type action struct {
	kind   Kind
	group  bool // it names a group, which is not the root group
	words  string
	fields []any
}

func (m *Member) layout(p *page, device bool) {
	p.say("name %", &m.Name)
	p.say("data-center %", &m.DataCenter)
	p.say("address %", &m.Address)
	p.say("identity %", &m.Identity)
	if p.reading {
		m.Sealing, m.Learner = make([]byte, sealingSize(device)), true
	}
	for line := range slices.Chunk(m.Sealing, sealingLine) {
		p.say("sealing %", line)
	}
}

func sealingSize(device bool) int {
	if device {
		return DeviceSealingSize
	}
	return SealingSize
}

func (o *Policy) layout(p *page) {
	p.say("at most % attempts", &o.MaxAttempts)
	o.Waits = resize(p, o.Waits, o.MaxAttempts-1, maxAttempts-1)
	for i := range o.Waits {
		n := uint8(i + 1)
		p.say("after attempt % wait %", &n, (*span)(&o.Waits[i]))
		p.bad = p.bad || n != uint8(i+1)
	}
	p.say("cool-down %", (*span)(&o.CoolDown))
	p.say("grace %", (*span)(&o.Grace))
	p.say("insecure %", &o.Insecure)
}

// resize makes room for the n elements that are to be read.
func resize[T any](p *page, s []T, n uint8, limit int) []T {
	if !p.reading {
		return s
	}
	if p.bad || int(n) > limit {
		p.bad = true
		return nil
	}
	return make([]T, n)
}

// reason is the line that says why, if there is one.
func (p *page) reason(why *string) {
	const because = "because: "
	switch {
	case !p.reading && *why != "":
		p.written.WriteString(because + *why + "\n")
	case p.reading && !p.bad && strings.HasPrefix(p.text, because):
		var ended bool
		*why, p.text, ended = strings.Cut(p.text[len(because):], "\n")
		p.line++
		p.bad = *why == "" || !ended
	}
}
