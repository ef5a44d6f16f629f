// Package pagetest sees to it that pages for people tell the truth: that their Go code is
// that of examples, which are compiled and run, and their commands are known to work.
package pagetest

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var codeBlock = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// Block is a code block of a page.
type Block struct {
	Language string
	Text     string // with the end of its last line
}

// Blocks are the code blocks of a page in these languages, or all of them.
func Blocks(tb testing.TB, page string, languages ...string) (blocks []Block) {
	tb.Helper()
	for _, match := range codeBlock.FindAllStringSubmatch(read(tb, page), -1) {
		if len(languages) == 0 || slices.Contains(languages, match[1]) {
			blocks = append(blocks, Block{Language: match[1], Text: match[2]})
		}
	}
	return blocks
}

// WithoutBlocks is a page's text without its code blocks.
func WithoutBlocks(text string) string { return codeBlock.ReplaceAllString(text, "") }

// GoIsThatOf fails the test if a Go block of the page is in none of the sources, whole lines
// of it: as it is, or as what is between a function's braces. It returns how many blocks
// there are.
func GoIsThatOf(tb testing.TB, page string, sources ...string) int {
	tb.Helper()
	var all strings.Builder
	for _, source := range sources {
		all.WriteString("\n" + read(tb, source))
	}
	blocks := Blocks(tb, page, "go")
	for _, block := range blocks {
		if !strings.Contains(all.String(), "\n"+block.Text) && !strings.Contains(all.String(), "\n"+Indented(block.Text)) {
			tb.Errorf("%s: it is in no example:\n%s", page, block.Text)
		}
	}
	return len(blocks)
}

// Indented is a block one tab to the right, as gofmt has it.
func Indented(block string) string {
	var text strings.Builder
	for line := range strings.Lines(block) {
		if strings.TrimSpace(line) != "" {
			text.WriteByte('\t')
		}
		text.WriteString(line)
	}
	return text.String()
}

// Readme fails the test if the README.md of a nested module has no Go code, or some that is
// not in its example_test.go, commands besides the go get of this module and those that are
// named, or blocks in languages besides Go, sh and those that are named. It returns how
// many blocks of Go there are.
func Readme(tb testing.TB, commands []string, languages ...string) int {
	tb.Helper()
	module, _, _ := strings.Cut(strings.TrimPrefix(read(tb, "go.mod"), "module "), "\n")
	commands = append([]string{"go get " + module}, commands...)
	for _, block := range Blocks(tb, "README.md") {
		switch {
		case block.Language == "go", slices.Contains(languages, block.Language):
		case block.Language != "sh":
			tb.Errorf("README.md: nobody tests %q:\n%s", block.Language, block.Text)
		case !slices.Contains(commands, strings.TrimSuffix(block.Text, "\n")):
			tb.Errorf("README.md: nobody has tried:\n%s", block.Text)
		}
	}
	code := GoIsThatOf(tb, "README.md", "example_test.go")
	if code == 0 || len(Blocks(tb, "README.md", "sh")) == 0 {
		tb.Error("README.md: there is no code, or no command")
	}
	return code
}

func read(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}
