package telemetrytest

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var codeBlock = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// ReadmeHasItsCode fails the test if README.md has Go code that is not in example_test.go,
// which is compiled and run, or commands that are not known to work.
func ReadmeHasItsCode(t *testing.T) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	code := 0
	for _, match := range codeBlock.FindAllStringSubmatch(string(readme), -1) {
		switch language, block := match[1], match[2]; language {
		case "text":
		case "go":
			code++
			var indented strings.Builder
			for line := range strings.Lines(block) {
				if strings.TrimSpace(line) != "" {
					indented.WriteByte('\t')
				}
				indented.WriteString(line)
			}
			if !strings.Contains(string(source), indented.String()) {
				t.Errorf("it is not in example_test.go:\n%s", block)
			}
		default:
			if block != "go test -run '^$' -bench Cost -benchtime 101x .\n" {
				t.Errorf("nobody has tried:\n%s", block)
			}
		}
	}
	if code == 0 {
		t.Error("there is no code")
	}
}
