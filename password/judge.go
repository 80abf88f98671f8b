package password

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	zxcvbn "github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/frequency"
	"github.com/ccojocar/zxcvbn-go/match"

	"keepsake.example/internal/hidden"
)

const (
	// MinRunes is the fewest characters of a password that may be set (NIST SP
	// 800-63B-4 §3.1.1.2 asks for 8 where the password is not the only factor).
	MinRunes = 8
	// MinGuesses is how many guesses a password must stand, in the order in which
	// people choose them: ten of a million are 1 in 100,000.
	MinGuesses = 1e6

	// maxJudged is how much of a password is looked at, in runes: the work grows
	// with the square of it, and what is behind makes no password weaker.
	maxJudged = 80
)

// Verdict is what Judge thinks of a password.
type Verdict struct {
	OK      bool    // it may be set
	Score   int     // 0 and 1 refused, 2 fair, 3 good, 4 strong
	Guesses float64 // about how many guesses find it, in the order in which people choose
	// Reason says in half a sentence why it is refused, or is only fair; Hint
	// what would make it better. Neither says anything of the password itself
	// but the pattern found. Both are empty for a good one.
	Reason, Hint string
}

const (
	hintWords  = "four or five words that do not belong together are easy to remember and hard to guess"
	hintLonger = "make it longer: another word or two"
)

// Judge says whether a password is good enough to be set. It is not for passwords
// that are entered: those are as they are. about are words that a thief would try
// first, such as the person's handle.
//
// The common passwords and the estimate are zxcvbn's (Wheeler, USENIX Security
// 2016), which makes copies of the password that cannot be wiped.
func Judge(p *Password, about ...string) Verdict {
	text := clip(string(*hidden.Open(p.secret)))
	lower := strings.ToLower(text)
	words := contextWords(about)
	switch {
	case utf8.RuneCountInString(text) < MinRunes:
		return refused("it has fewer than 8 characters", hintWords)
	case slices.Contains(frequency.Lists["Passwords"].List, strings.TrimSpace(lower)):
		return refused("it is one of the most common passwords, and would be among the first ten tried", hintWords)
	case slices.Contains(words, lower):
		return refused("it is your own name at the server, which is tried first", hintWords)
	}
	flat := flatten(text)
	if digits := strings.Map(dropSeparator, flat); isDigits(digits) {
		flat = digits // a date is one however it is written
	}
	found := zxcvbn.PasswordStrength(flat, words)
	return weigh(found.Entropy, found.MatchSequence, flat)
}

func refused(reason, hint string) Verdict { return Verdict{Reason: reason, Hint: hint} }

func clip(text string) string {
	n := 0
	for i := range text {
		if n++; n > maxJudged {
			return text[:i]
		}
	}
	return text
}

// flatten gives every character one byte, for zxcvbn counts characters in some places
// and bytes in others. A letter that is not ASCII becomes one that is, the next of
// its alphabet the next one: rows and repetitions stay what they are, and
// a character counts for no more than a letter.
func flatten(text string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			return r
		}
		return 'a' + unicode.ToLower(r)%26
	}, text)
}

func dropSeparator(r rune) rune {
	if strings.ContainsRune("-./ :_", r) {
		return -1
	}
	return r
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// contextWords are the words of a handle: alice.smith@mail.example is tried as a
// whole, and by its parts.
func contextWords(about []string) (words []string) {
	for _, text := range about {
		text = strings.ToLower(text)
		parts := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		for _, word := range append(parts, text) {
			if utf8.RuneCountInString(word) > 2 {
				words = append(words, word)
			}
		}
	}
	return words
}

// weigh turns bits of entropy into a verdict.
func weigh(bits float64, sequence []match.Match, text string) Verdict {
	v := Verdict{Guesses: math.Exp2(bits)}
	switch {
	case v.Guesses < 1e3:
		v.Score = 0
	case v.Guesses < MinGuesses:
		v.Score = 1
	case v.Guesses < 1e10:
		v.Score = 2
	case v.Guesses < 1e14:
		v.Score = 3
	default:
		v.Score = 4
	}
	v.OK = v.Guesses >= MinGuesses
	if v.Score <= 2 {
		v.Reason, v.Hint = why(sequence, text)
	}
	return v
}

// why names the pattern that covers the most of the password.
func why(sequence []match.Match, text string) (reason, hint string) {
	covered := map[string]int{}
	for _, m := range sequence {
		covered[patternOf(m)] += m.J - m.I + 1
	}
	kinds := slices.SortedFunc(maps.Keys(covered), func(a, b string) int {
		return cmp.Or(covered[b]-covered[a], strings.Compare(a, b))
	})
	if len(kinds) == 0 || covered[kinds[0]]*2 < len(text) {
		return "it is short for what it is made of", hintLonger
	}
	if w, ok := reasons[kinds[0]]; ok {
		return w[0], w[1]
	}
	return "it is short for what it is made of", hintLonger
}

var reasons = map[string][2]string{
	"passwords": {"it is built on a very common password", hintWords},
	"context":   {"it is built on your name at the server, which is tried first", hintWords},
	"word":      {"it is hardly more than a word or a name", hintWords},
	"spatial":   {"it is a row of keys on the keyboard", hintWords},
	"repeat":    {"it repeats the same characters", hintWords},
	"sequence":  {"it is a sequence such as abcd or 6543", hintWords},
	"date":      {"it is a date, of which there are few", hintWords},
}

func patternOf(m match.Match) string {
	switch {
	case m.Pattern != "dictionary":
		return m.Pattern
	case strings.HasPrefix(m.DictionaryName, "Passwords"):
		return "passwords"
	case strings.HasPrefix(m.DictionaryName, "user_inputs"):
		return "context"
	}
	return "word"
}
