package policy

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// page is a Markdown file, taken apart as far as the checks need.
type page struct {
	path     string
	prose    []line   // outside fenced code, inline code blanked out
	commands []line   // lines of fenced shell code, prompt and continuation resolved
	anchors  []string // what a link's #fragment may name
}

type line struct {
	number int
	text   string
}

func pages(s *Source) ([]*page, error) {
	var all []*page
	err := fs.WalkDir(s.Tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "bin" || name != "." && strings.HasPrefix(path.Base(name), ".")):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(s.Tree, name)
		if err != nil {
			return err
		}
		all = append(all, parsePage(name, string(text)))
		return nil
	})
	return all, err
}

var (
	inlineCode = regexp.MustCompile("`[^`]*`")
	heading    = regexp.MustCompile(`^#{1,6} +(.*?)[ #]*$`)
	fence      = regexp.MustCompile("^ *(```+|~~~+) *([a-z]*)")
	link       = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)|^ *\[[^]]+\]: +(\S+)`)
)

func parsePage(name, text string) *page {
	p := &page{path: name}
	open, shell, continued := "", false, ""
	for i, s := range strings.Split(text, "\n") {
		if m := fence.FindStringSubmatch(s); m != nil && (open == "" || strings.HasPrefix(m[1], open)) {
			if open != "" {
				open = ""
				continue
			}
			open, shell = m[1], slices.Contains([]string{"sh", "bash", "shell", "console"}, m[2])
			continue
		}
		switch {
		case open == "":
			p.addProse(i+1, s)
		case shell:
			joined := continued + strings.TrimPrefix(strings.TrimSpace(s), "$ ")
			var more bool
			if continued, more = strings.CutSuffix(joined, `\`); !more {
				p.commands = append(p.commands, line{i + 1, joined})
				continued = ""
			}
		}
	}
	return p
}

func (p *page) addProse(number int, s string) {
	if m := heading.FindStringSubmatch(s); m != nil {
		p.anchors = append(p.anchors, anchor(m[1]))
	}
	p.prose = append(p.prose, line{number, inlineCode.ReplaceAllString(s, "")})
}

// anchor is what the usual Markdown hosts make of a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, heading)
}

// CheckLinks reports relative links in Markdown files that lead nowhere: to no file of the module, or
// to no heading of the file.
func CheckLinks(s *Source) ([]string, error) {
	all, err := pages(s)
	if err != nil {
		return nil, fmt.Errorf("reading Markdown files: %w", err)
	}
	var found []string
	for _, p := range all {
		for _, l := range p.prose {
			for _, m := range link.FindAllStringSubmatch(l.text, -1) {
				if what := brokenLink(s, all, p, m[1]+m[2]); what != "" {
					found = append(found, fmt.Sprintf("%s:%d: %s", p.path, l.number, what))
				}
			}
		}
	}
	return found, nil
}

func brokenLink(s *Source, all []*page, from *page, target string) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}
	file, fragment, _ := strings.Cut(target, "#")
	to := from.path
	if file != "" {
		to = path.Join(path.Dir(from.path), file)
	}
	if _, err := fs.Stat(s.Tree, to); err != nil {
		return fmt.Sprintf("link to %s: no such file", target)
	}
	i := slices.IndexFunc(all, func(p *page) bool { return p.path == to })
	if fragment != "" && i >= 0 && !slices.Contains(all[i].anchors, fragment) {
		return fmt.Sprintf("link to %s: no such heading", target)
	}
	return ""
}

// CheckCommands reports shell commands in Markdown that call keepsake with a subcommand or a flag it
// does not have. What it has is read from the source of the packages in dirs: the Use of each cobra
// command, and every string constant that could name a flag.
func CheckCommands(s *Source, dirs ...string) ([]string, error) {
	all, err := pages(s)
	if err != nil {
		return nil, fmt.Errorf("reading Markdown files: %w", err)
	}
	uses, constants := vocabulary(s, dirs)
	var found []string
	for _, p := range all {
		for _, l := range p.commands {
			if what := unknownCommand(l.text, uses, constants); what != "" {
				found = append(found, fmt.Sprintf("%s:%d: %s", p.path, l.number, what))
			}
		}
	}
	return found, nil
}

// vocabulary collects the first word of every `Use: "..."` and all other string constants.
func vocabulary(s *Source, dirs []string) (uses, constants map[string]bool) {
	// What cobra and the flag package bring along.
	uses, constants = map[string]bool{"help": true, "completion": true}, map[string]bool{"help": true, "version": true}
	collect := func(n ast.Node) bool {
		if pair, ok := n.(*ast.KeyValueExpr); ok {
			key, isName := pair.Key.(*ast.Ident)
			if text, ok := constant(pair.Value); ok && isName && key.Name == "Use" && text != "" {
				uses[strings.Fields(text)[0]] = true
			}
		}
		if e, ok := n.(ast.Expr); ok {
			if text, ok := constant(e); ok {
				constants[text] = true
			}
		}
		return true
	}
	for _, dir := range dirs {
		for _, f := range files(s, dir) {
			ast.Inspect(f.Syntax, collect)
		}
	}
	return uses, constants
}

func constant(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// unknownCommand explains what is wrong with one shell command, "" if nothing is or if it does not
// call keepsake.
func unknownCommand(command string, uses, flags map[string]bool) string {
	command, _, _ = strings.Cut(command, " #")
	words := strings.Fields(command)
	if len(words) == 0 || path.Base(words[0]) != "keepsake" {
		return ""
	}
	named, afterFlag := false, false
	for _, w := range words[1:] {
		switch {
		case w == "|" || w == ">" || w == "<" || w == "&&" || w == ";":
			return ""
		case strings.HasPrefix(w, "--"):
			name, _, given := strings.Cut(w[2:], "=")
			if !flags[name] {
				return fmt.Sprintf("keepsake has no flag --%s", name)
			}
			afterFlag = !given
		case !named && uses[w]:
			named = true
		case !named && !afterFlag:
			return fmt.Sprintf("keepsake has no subcommand %s", w)
		default:
			afterFlag = false
		}
	}
	return ""
}
