package mysqlsession_test

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mysqlsession/mysqlsession/internal/pagetest"
)

// notOfTheLibrary are folders of what tests, benchmarks and programs need: what goroutines
// they start is theirs to say.
var notOfTheLibrary = []string{
	"cmd/...", "examples/...", "internal/benchtable/...", "internal/clusters/...", "internal/conformance/...", "internal/dbtest/...",
	"internal/faultproxy/...", "internal/localserver/...", "internal/pagetest/...", "internal/paired/...", "internal/sitetest/...", "internal/telemetrytest/...",
}

// outsideWords are names in DESIGN.md of what this repository does not declare.
var outsideWords = []string{"net.Conn", "COMMIT", "START TRANSACTION", "SET autocommit = 0", "SET autocommit = 1", "this type"}

var quoted = regexp.MustCompile("`([^`\n]+)`")

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

// quotedIn is what a text has between backquotes, outside of its code blocks.
func quotedIn(text string) (words []string) {
	for _, match := range quoted.FindAllStringSubmatch(pagetest.WithoutBlocks(text), -1) {
		words = append(words, match[1])
	}
	return words
}

// section is the part of a text under a heading of two signs.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, text, found := strings.Cut(text, "\n## "+heading+"\n")
	require.True(t, found, "the section %s", heading)
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

func TestEverythingThatDESIGNNamesExists(t *testing.T) {
	declared, tests := declaredNames(t), testNames(t)
	for _, word := range quotedIn(readText(t, "DESIGN.md")) {
		switch {
		case slices.Contains(outsideWords, word):
		case strings.HasPrefix(word, "Test"), strings.HasPrefix(word, "Fuzz"):
			assert.True(t, tests[word], "DESIGN.md names the test %s", word)
		case strings.HasSuffix(word, ".go"), strings.HasSuffix(word, ".md"), strings.Contains(word, "/"), isFile(word):
			assert.True(t, isFile(word), "DESIGN.md names the file %s", word)
		default:
			assert.True(t, declared[word], "DESIGN.md names %s", word)
		}
	}
}

func TestDESIGNHasEveryFileOfTheRootAndEveryFolder(t *testing.T) {
	words := quotedIn(section(t, readText(t, "DESIGN.md"), "Layers"))
	_, sources := parseSources(t)
	folders := map[string]bool{}
	for _, s := range sources {
		folders[path.Dir(s.path)] = true
		if path.Dir(s.path) == "." {
			assert.True(t, slices.Contains(words, s.path), "DESIGN.md has no %s", s.path)
		}
	}
	delete(folders, ".")
	for folder := range folders {
		assert.True(t, slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(folder+"/", word+"/") }), "DESIGN.md has no %s", folder)
	}
}

func TestEveryTestThatSECURITYNamesExists(t *testing.T) {
	tests := testNames(t)
	named := 0
	for _, word := range quotedIn(readText(t, "SECURITY.md")) {
		if strings.HasPrefix(word, "Test") || strings.HasPrefix(word, "Fuzz") {
			named++
			assert.True(t, tests[word], "SECURITY.md names %s", word)
		}
	}
	require.NotZero(t, named)
}

// declaredNames are the functions, types, constants and variables that there are, by their
// name and behind their package's, and fields and methods behind their type's.
func declaredNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	_, sources := parseSources(t)
	for _, s := range sources {
		add := func(name string) { names[name], names[s.file.Name.Name+"."+name] = true, true }
		for _, declaration := range s.file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				add(functionName(d))
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						add(spec.Name.Name)
						eachField(spec, func(name *ast.Ident, _ ast.Expr) { add(spec.Name.Name + "." + name.Name) })
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							add(name.Name)
						}
					}
				}
			}
		}
	}
	return names
}

// functionName is a function's name, or Type.method.
func functionName(function *ast.FuncDecl) string {
	if function.Recv == nil {
		return function.Name.Name
	}
	return receiverName(function) + "." + function.Name.Name
}

func eachField(spec *ast.TypeSpec, each func(name *ast.Ident, kind ast.Expr)) {
	fields, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, field := range fields.Fields.List {
		for _, name := range field.Names {
			each(name, field.Type)
		}
	}
}

// testNames are the tests and fuzz targets of all packages.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go", "*/*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			for _, match := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(readText(t, file), -1) {
				names[match[1]] = true
			}
		}
	}
	return names
}

func TestEveryMutexIsInDESIGNsTablesOfLocks(t *testing.T) {
	var rows []string // "`Type.field` | `file`"
	for line := range strings.Lines(section(t, readText(t, "DESIGN.md"), "Locks")) {
		if words := quotedIn(line); strings.HasPrefix(line, "| `") && len(words) > 1 {
			rows = append(rows, words[0]+" in "+words[1])
		}
	}
	var found []string
	set, sources := parseSources(t)
	for _, s := range sources {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				eachField(n, func(name *ast.Ident, kind ast.Expr) {
					if isMutex(kind) {
						found = append(found, n.Name.Name+"."+name.Name+" in "+s.path)
					}
				})
			case *ast.ValueSpec:
				if isMutex(n.Type) {
					t.Errorf("%s: a mutex that is no field: in which table of DESIGN.md is it?", set.Position(n.Pos()))
				}
			}
			return true
		})
	}
	assert.ElementsMatch(t, found, rows, "mutexes in the code, and in DESIGN.md's tables of locks")
}

func isMutex(kind ast.Expr) bool {
	selector, ok := kind.(*ast.SelectorExpr)
	return ok && isNamed(selector.X, "sync") && (selector.Sel.Name == "Mutex" || selector.Sel.Name == "RWMutex")
}

func isNamed(e ast.Expr, name string) bool {
	identifier, ok := e.(*ast.Ident)
	return ok && identifier.Name == name
}

func TestEveryFunctionThatStartsAGoroutineIsInDESIGN(t *testing.T) {
	words := quotedIn(section(t, readText(t, "DESIGN.md"), "Goroutines"))
	_, sources := parseSources(t)
	for _, s := range sources {
		if matches(notOfTheLibrary, s.path) {
			continue
		}
		for _, declaration := range s.file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || !startsGoroutine(function) {
				continue
			}
			name := functionName(function)
			assert.True(t, slices.Contains(words, name) || slices.Contains(words, s.file.Name.Name+"."+name), "DESIGN.md says nothing of what %s of %s starts", name, s.path)
		}
	}
}

// startsGoroutine reports whether there is a go statement in a function, a WaitGroup's Go, or
// a function that is called later.
func startsGoroutine(function *ast.FuncDecl) (starts bool) {
	ast.Inspect(function, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			starts = true
		case *ast.CallExpr:
			if selector, ok := n.Fun.(*ast.SelectorExpr); ok && (selector.Sel.Name == "Go" || selector.Sel.Name == "AfterFunc") {
				starts = true
			}
		}
		return true
	})
	return starts
}
