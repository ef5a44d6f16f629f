package mysqlsession_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const rootModule = "github.com/mysqlsession/mysqlsession"

// layer is a group of files of the root package, and the layers whose names they may use
// besides their own. A new file goes into one of the lists.
type layer struct {
	name  string
	files []string // patterns of path.Match
	uses  []string
}

var layers = []layer{
	{"leaves", []string{
		"doc.go", "config.go", "defaults.go", "validate.go", "redact.go", "dsn.go", "parameters.go", "tls.go",
		"errors.go", "errorkind.go", "servererrors.go", "server.go", "pause.go", "trace.go", "logtrace.go",
	}, nil},
	{"connection", []string{
		"conn.go", "dial.go", "hosts.go", "drain.go", "exchange.go", "prepare.go", "query.go", "transaction.go", "liveness_*.go",
	}, []string{"leaves"}},
	{"pool", []string{"pool.go", "poolconn.go", "connector.go", "dialer.go", "poolhosts.go", "poolgroups.go", "poolclose.go", "pooltrace.go", "leak.go", "stat.go"}, []string{"leaves", "connection"}},
	{"statements", []string{"statements.go", "texts.go"}, []string{"leaves"}},
	{"input", []string{"input.go"}, []string{"leaves", "connection"}},
	{"schema", []string{"schema.go", "check.go", "migrate.go", "migrationplan.go"}, []string{"leaves", "connection", "statements", "input"}},
	{"store", []string{
		"store.go", "call.go", "lane.go", "batch.go", "batchtransaction.go", "get.go", "set.go", "limit.go", "update.go", "expire.go", "subject.go", "walk.go", "cleanup.go", "inspect.go",
	}, []string{"leaves", "connection", "pool", "statements", "input", "schema"}},
}

// allowedUses are names that a file uses although its layer may not, and why.
var allowedUses = map[string]string{
	"config.go Conn": "the type of the hook AfterConnect, of which nothing is called",
}

// importRule says which imports the files may have. A pattern that ends in "/..." stands
// for all below a directory, and for all packages below a path.
type importRule struct {
	files  []string
	except []string
	only   []string // empty: any
	never  []string
}

var importRules = []importRule{
	{files: []string{"statements.go"}, only: []string{"strings", "strconv"}},
	{files: []string{"..."}, except: []string{"dial.go"}, never: []string{"github.com/go-mysql-org/go-mysql/..."}},
	{files: []string{"..."}, except: []string{"pool.go"}, never: []string{"github.com/jackc/puddle/..."}},
	{files: []string{"*.go"}, never: []string{"database/sql/...", "testing/..."}},
	{files: []string{"debug/..."}, only: strings.Fields("bytes context crypto/sha256 embed encoding/base64 encoding/json errors html/template " +
		"maps math/bits math/rand/v2 net/http net/url path strings sync sync/atomic time " + rootModule)},
	{files: []string{"httpsession/..."}, only: strings.Fields("cmp bufio bytes context crypto/rand encoding/base64 encoding/json errors fmt io " +
		"log/slog maps net net/http slices strings sync time unicode/utf8 " + rootModule)},
	// What is internal does no I/O, but for what is there for it, and does not look up.
	{
		files:  []string{"internal/..."},
		except: []string{"internal/guard/...", "internal/localserver/...", "internal/dbtest/...", "internal/faultproxy/...", "internal/conformance/...", "internal/sitetest/...", "internal/telemetrytest/...", "internal/benchtable/...", "internal/pagetest/..."},
		never:  []string{"net/...", "os/..."},
	},
	{
		files:  []string{"internal/..."},
		except: []string{"internal/dbtest/...", "internal/conformance/...", "internal/sitetest/...", "internal/telemetrytest/..."},
		never:  []string{rootModule},
	},
}

// withoutSQL are files that must contain no statement.
var withoutSQL = []string{"pool.go", "poolconn.go", "connector.go", "dialer.go", "poolhosts.go", "poolgroups.go", "poolclose.go", "pooltrace.go", "leak.go", "stat.go"}

// longFunctions are files whose functions are lists of tests.
var longFunctions = []string{"internal/conformance/..."}

const (
	longestFile     = 500
	longestFunction = 60
	// flatLines is how long an element of a table, or a case of a switch, may be that does
	// not count to the length of its function.
	flatLines = 4
)

// source is a parsed file of the repository that is no test.
type source struct {
	path string // slashed, from the repository's root
	file *ast.File
}

func TestLayersNameOnlyWhatIsBelowThem(t *testing.T) {
	set, sources := parseSources(t)
	var files []*ast.File
	layerOf := map[string]*layer{}
	for _, s := range sources {
		if path.Dir(s.path) != "." {
			continue
		}
		files = append(files, s.file)
		for i := range layers {
			if matches(layers[i].files, s.path) {
				layerOf[s.path] = &layers[i]
			}
		}
		if layerOf[s.path] == nil {
			t.Errorf("%s is in no layer: put it into the table in layering_test.go", s.path)
		}
	}
	requireMatches(t, sources, layerPatterns()...)
	used := map[string]bool{}
	for name, object := range usedObjects(set, files) {
		from, to := set.Position(name.Pos()).Filename, set.Position(object.Pos()).Filename
		lower, upper := layerOf[from], layerOf[to]
		if lower == nil || upper == nil || lower == upper || slices.Contains(lower.uses, upper.name) {
			continue
		}
		use := from + " " + name.Name
		if _, allowed := allowedUses[use]; allowed {
			used[use] = true
			continue
		}
		t.Errorf("%s: %s, of the layer %s, uses %s, of the layer %s", set.Position(name.Pos()), from, lower.name, name.Name, upper.name)
	}
	for use := range allowedUses {
		if !used[use] {
			t.Errorf("%q is allowed, and not used any more", use)
		}
	}
}

func layerPatterns() (patterns []string) {
	for _, l := range layers {
		patterns = append(patterns, l.files...)
	}
	return patterns
}

// usedObjects is every use of a name in files, methods and fields included, with what it
// means. Imported packages are not loaded: what they declare is in no layer.
func usedObjects(set *token.FileSet, files []*ast.File) map[*ast.Ident]types.Object {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	checker := types.Config{
		Importer: importNothing{},
		Error:    func(error) {}, // missing imports, and files of different systems together
	}
	here, _ := checker.Check(rootModule, set, files, info)
	maps.DeleteFunc(info.Uses, func(_ *ast.Ident, object types.Object) bool { return object.Pkg() != here })
	return info.Uses
}

type importNothing struct{}

func (importNothing) Import(path string) (*types.Package, error) {
	return nil, fmt.Errorf("%s is not loaded", path)
}

func TestImportsKeepToTheRules(t *testing.T) {
	_, sources := parseSources(t)
	for _, rule := range importRules {
		requireMatches(t, sources, append(slices.Clone(rule.files), rule.except...)...)
		for _, s := range sources {
			if !matches(rule.files, s.path) || matches(rule.except, s.path) {
				continue
			}
			for _, spec := range s.file.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				if len(rule.only) > 0 && !slices.Contains(rule.only, imported) || matches(rule.never, imported) {
					t.Errorf("%s must not import %s", s.path, imported)
				}
			}
		}
	}
}

func TestPoolContainsNoSQL(t *testing.T) {
	set, sources := parseSources(t)
	requireMatches(t, sources, withoutSQL...)
	verbs := strings.Fields("SELECT INSERT UPDATE DELETE REPLACE CREATE ALTER DROP SET SHOW COMMIT ROLLBACK BEGIN START DO CALL KILL FLUSH LOCK USE")
	for _, s := range sources {
		if !matches(withoutSQL, s.path) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, _ := strconv.Unquote(literal.Value)
			if words := strings.Fields(text); len(words) > 0 && slices.Contains(verbs, words[0]) {
				t.Errorf("%s: %s is a statement", set.Position(n.Pos()), literal.Value)
			}
			return true
		})
	}
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	set, sources := parseSources(t)
	for _, s := range sources {
		if lines := set.File(s.file.Pos()).LineCount(); lines > longestFile {
			t.Errorf("%s has %d lines, at most %d are wanted", s.path, lines, longestFile)
		}
		for _, declaration := range s.file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || function.Body == nil || matches(longFunctions, s.path) {
				continue
			}
			if lines := lineCount(set, function) - flat(set, function.Body); lines > longestFunction {
				t.Errorf("%s: %s has %d lines, at most %d are wanted", set.Position(function.Pos()), function.Name.Name, lines, longestFunction)
			}
		}
	}
}

// flat is how many lines of a body are in tables and switches that are read from top to
// bottom.
func flat(set *token.FileSet, body *ast.BlockStmt) (lines int) {
	ast.Inspect(body, func(n ast.Node) bool {
		var parts []ast.Node
		switch n := n.(type) {
		case *ast.SwitchStmt:
			parts = clauses(n.Body)
		case *ast.TypeSwitchStmt:
			parts = clauses(n.Body)
		case *ast.CompositeLit:
			for _, element := range n.Elts {
				parts = append(parts, element)
			}
		}
		isLong := func(part ast.Node) bool { return lineCount(set, part) > flatLines }
		if len(parts) == 0 || slices.ContainsFunc(parts, isLong) {
			return true
		}
		lines += lineCount(set, n) - 1
		return false
	})
	return lines
}

func clauses(body *ast.BlockStmt) (parts []ast.Node) {
	for _, clause := range body.List {
		parts = append(parts, clause)
	}
	return parts
}

func lineCount(set *token.FileSet, n ast.Node) int {
	return set.Position(n.End()).Line - set.Position(n.Pos()).Line + 1
}

func TestNoGotoAndNoInit(t *testing.T) {
	set, sources := parseSources(t)
	for _, s := range sources {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BranchStmt:
				if n.Tok == token.GOTO {
					t.Errorf("%s: goto", set.Position(n.Pos()))
				}
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s: init", set.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

// parseSources parses the files of the repository that are no tests, nested modules
// included.
func parseSources(t *testing.T) (*token.FileSet, []source) {
	t.Helper()
	set := token.NewFileSet()
	var sources []source
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		sources = append(sources, source{filepath.ToSlash(name), file})
		return err
	})
	require.NoError(t, err)
	return set, sources
}

// matches reports whether one of the patterns stands for name.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if below, ok := strings.CutSuffix(pattern, "..."); ok {
			return strings.HasPrefix(name+"/", below)
		}
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

// requireMatches sees to it that no rule is about files that are gone.
func requireMatches(t *testing.T, sources []source, patterns ...string) {
	t.Helper()
	for _, pattern := range patterns {
		if !slices.ContainsFunc(sources, func(s source) bool { return matches([]string{pattern}, s.path) }) {
			t.Errorf("no file matches %s", pattern)
		}
	}
}
