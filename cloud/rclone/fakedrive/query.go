package fakedrive

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A query is files.list's parameter q (search-files, ref-search-terms):
//
//	query = and *( "or" and )
//	and   = not *( "and" not )
//	not   = [ "not" ] ( "(" query ")" / term )
//	term  = value "in" "parents" / field op value
//	field = "name" / "mimeType" / "trashed" / "modifiedTime" / "createdTime"
//	op    = "=" / "!=" / "contains" / "<" / "<=" / ">" / ">="
//	value = "'" … "'" with \' and \\, or true or false
//
// "and" binds as tightly as "or" at Google when nothing is bracketed; rclone
// brackets all it mixes, and so must whoever asks the fake.
type query struct {
	holds func(row) bool
	named bool // asks for a name, so that the index of names answers
}

// row is what a term looks at.
type row struct {
	file    *file
	place   place
	trashed bool
}

const (
	maxQuery = 32 << 10 // bytes; fifty ids of rclone's are 3 KiB
	maxDepth = 50
)

var errQuery = errors.New("fakedrive: malformed query")

// parseQuery reads q; "" holds for all. alias turns "root" into an id.
func parseQuery(q string, alias func(string) string) (query, error) {
	if len(q) > maxQuery {
		return query{}, fmt.Errorf("%w: %d bytes", errQuery, len(q))
	}
	p := parser{alias: alias}
	if err := p.split(q); err != nil {
		return query{}, err
	}
	if len(p.tokens) == 0 {
		return query{holds: func(row) bool { return true }}, nil
	}
	holds, err := p.either(0)
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("%w: %q is left", errQuery, p.tokens[0])
	}
	return query{holds, p.named}, err
}

type parser struct {
	tokens []string // values keep their opening quote
	alias  func(string) string
	named  bool
}

// split cuts q into words, operators and values.
func (p *parser) split(q string) error {
	for q = strings.TrimLeft(q, " "); q != ""; q = strings.TrimLeft(q, " ") {
		n := 1
		switch {
		case q[0] == '\'':
			value, length, ok := quoted(q)
			if !ok {
				return fmt.Errorf("%w: a value does not end", errQuery)
			}
			p.tokens, q = append(p.tokens, "'"+value), q[length:]
			continue
		case strings.ContainsRune("!<>", rune(q[0])) && len(q) > 1 && q[1] == '=':
			n = 2
		case !strings.ContainsRune("()=<>", rune(q[0])):
			if n = strings.IndexAny(q, " ()=!<>'"); n < 0 {
				n = len(q)
			}
			n = max(n, 1)
		}
		p.tokens, q = append(p.tokens, q[:n]), q[n:]
	}
	return nil
}

// quoted reads the value q starts with, and says how long it was.
func quoted(q string) (value string, length int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(q); i++ {
		switch {
		case q[i] == '\'':
			return b.String(), i + 1, true
		case q[i] == '\\' && i+1 < len(q):
			i++
		}
		b.WriteByte(q[i])
	}
	return "", 0, false
}

func (p *parser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *parser) accept(word string) bool {
	if len(p.tokens) > 0 && p.tokens[0] == word {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *parser) either(depth int) (func(row) bool, error) {
	var terms []func(row) bool
	for more := true; more; more = p.accept("or") {
		term, err := p.both(depth)
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
	}
	return func(r row) bool { return slices.ContainsFunc(terms, func(t func(row) bool) bool { return t(r) }) }, nil
}

func (p *parser) both(depth int) (func(row) bool, error) {
	var terms []func(row) bool
	for more := true; more; more = p.accept("and") {
		term, err := p.not(depth)
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
	}
	return func(r row) bool { return !slices.ContainsFunc(terms, func(t func(row) bool) bool { return !t(r) }) }, nil
}

func (p *parser) not(depth int) (func(row) bool, error) {
	negate := p.accept("not")
	term, err := p.atom(depth)
	if err != nil || !negate {
		return term, err
	}
	return func(r row) bool { return !term(r) }, nil
}

func (p *parser) atom(depth int) (func(row) bool, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: too deep", errQuery)
	}
	if p.accept("(") {
		inner, err := p.either(depth + 1)
		if err == nil && !p.accept(")") {
			err = fmt.Errorf("%w: a bracket is not closed", errQuery)
		}
		return inner, err
	}
	left, op, right := p.next(), p.next(), p.next()
	if value, isValue := strings.CutPrefix(left, "'"); isValue {
		if op != "in" || right != "parents" {
			return nil, fmt.Errorf("%w: 'value' %s %s", errQuery, op, right)
		}
		id := p.alias(value)
		return func(r row) bool { return r.place.parent == id }, nil
	}
	return p.compare(left, op, right)
}

func (p *parser) compare(field, op, text string) (func(row) bool, error) {
	value, isValue := strings.CutPrefix(text, "'")
	switch {
	case field == "trashed" && (op == "=" || op == "!=") && (text == "true" || text == "false"):
		want := (text == "true") == (op == "=")
		return func(r row) bool { return r.trashed == want }, nil
	case field == "name" && isValue:
		p.named = true
		return compareName(op, value)
	case field == "mimeType" && isValue && (op == "=" || op == "!="):
		return func(r row) bool { return (r.file.mime == value) == (op == "=") }, nil
	case (field == "modifiedTime" || field == "createdTime") && isValue:
		return compareTime(field, op, value)
	}
	return nil, fmt.Errorf("%w: %s %s %s", errQuery, field, op, text)
}

// compareName: "=" ignores case (rclone, backend/drive: list), and "contains"
// matches beginnings only (ref-search-terms).
func compareName(op, value string) (func(row) bool, error) {
	switch op {
	case "=":
		return func(r row) bool { return strings.EqualFold(r.place.name, value) }, nil
	case "!=":
		return func(r row) bool { return !strings.EqualFold(r.place.name, value) }, nil
	case "contains":
		value = strings.ToLower(value)
		return func(r row) bool { return strings.HasPrefix(strings.ToLower(r.place.name), value) }, nil
	}
	return nil, fmt.Errorf("%w: name %s", errQuery, op)
}

func compareTime(field, op, value string) (func(row) bool, error) {
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05", value) // UTC unless it says
	}
	signs, ok := map[string][]int{"=": {0}, "!=": {-1, 1}, "<": {-1}, "<=": {-1, 0}, ">": {1}, ">=": {0, 1}}[op]
	if err != nil || !ok {
		return nil, fmt.Errorf("%w: %s %s %q", errQuery, field, op, value)
	}
	return func(r row) bool {
		t := r.place.modified
		if field == "createdTime" {
			t = r.file.created
		}
		return slices.Contains(signs, t.Compare(at))
	}, nil
}
