package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keepsake.example/internal/command"
)

// Commands that pages, help and hints show must exist, with the flags they are shown with.
func TestCommandsThatAreShownExist(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"../../*.md", "../../doc/*.md", "../../spec/*.md", "*.go", "testdata/help.txt"} {
		pages = append(pages, must(filepath.Glob(pattern))...)
	}
	shown := 0
	for _, page := range pages {
		text := strings.ReplaceAll(string(must(os.ReadFile(page))), "\\\n", " ")
		markdown, fenced := strings.HasSuffix(page, ".md"), false
		for line := range strings.Lines(text) {
			fenced = fenced != strings.HasPrefix(line, "```")
			for _, line := range commandsIn(line, markdown, fenced) {
				shown++
				if problem := mistake(line); problem != "" {
					t.Errorf("%s: %q: %s", page, line, problem)
				}
			}
		}
	}
	if shown < 80 {
		t.Errorf("only %d commands found: are the pages read?", shown)
	}
}

// commandsIn finds commands: on lines of their own, indented where the page is no Markdown, and
// in inline code.
func commandsIn(line string, markdown, fenced bool) (found []string) {
	if !markdown {
		if command, ok := strings.CutPrefix(line, "  vaultd "); ok {
			found = append(found, "vaultd "+strings.Trim(command, "`,\n"))
		}
		return found
	}
	if fenced && strings.HasPrefix(line, "vaultd ") {
		found = append(found, line)
	}
	for i, code := range strings.Split(line, "`") {
		if i%2 == 1 && strings.HasPrefix(code, "vaultd ") {
			found = append(found, code)
		}
	}
	return found
}

// mistake says what is wrong with a command line, "" for nothing.
func mistake(line string) string {
	line, _, _ = strings.Cut(line, "   ") // an explanation beside it
	words := strings.Fields(strings.ReplaceAll(line, "[flags]", ""))[1:]
	var flags, names []string
	for _, word := range words {
		if word == "#" {
			break
		}
		if name, ok := strings.CutPrefix(word, "--"); ok {
			name, _, _ = strings.Cut(name, "=")
			flags = append(flags, strings.Trim(name, ".,;:)"))
		} else if len(flags) == 0 {
			names = append(names, word)
		}
	}
	set := flagsOf(names)
	if set == nil {
		return "no such command"
	}
	for _, name := range flags {
		if set.Lookup(name) == nil {
			return "no flag --" + name
		}
	}
	return ""
}

// flagsOf are the flags of the command that words begin with; nil when there is none.
func flagsOf(words []string) *flag.FlagSet {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.Bool("json", false, "")
	if len(words) == 0 || words[0] == "help" || words[0] == "COMMAND" {
		return set
	}
	for _, c := range program.Commands {
		all := strings.Join(words, " ") + " "
		if strings.HasPrefix(all, c.Name+" ") {
			if c.Flags != nil {
				c.Flags(set, new(options))
			}
			return set
		}
		if strings.HasPrefix(c.Name, strings.TrimRight(all, " …")+" ") {
			return set // a group
		}
	}
	return nil
}

// Metrics and exit codes that doc/vaultd.md names are those there are.
func TestMetricsAndExitCodesThatAreShownExist(t *testing.T) {
	page := string(must(os.ReadFile("../../doc/vaultd.md")))
	var source strings.Builder
	for _, file := range must(filepath.Glob("../../vaultd/*.go")) {
		source.Write(must(os.ReadFile(file)))
	}
	for _, name := range regexp.MustCompile("`(vaultd_[a-z_]+)`").FindAllStringSubmatch(page, -1) {
		if !strings.Contains(source.String(), `"`+name[1]+`"`) {
			t.Errorf("there is no metric %s", name[1])
		}
	}
	codes := regexp.MustCompile(`(?m)^\| (\d+) \| ([^|]+)\|`).FindAllStringSubmatch(page, -1)
	if len(codes) < 5 {
		t.Errorf("%d exit codes found", len(codes))
	}
	for _, row := range codes {
		if !slices.ContainsFunc(exits, func(e command.Exit) bool { return strconv.Itoa(e.Code) == row[1] }) {
			t.Errorf("there is no exit code %s, %s", row[1], row[2])
		}
	}
}
