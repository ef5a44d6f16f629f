package mysqlsession_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// knownMethods need no comment: their interfaces say what they do.
var knownMethods = []string{"Error", "Unwrap"}

// withoutExample are methods that nobody calls by name, and who does.
var withoutExample = map[string]string{
	"Error":       "whoever prints an error",
	"Unwrap":      "errors.Is and errors.As",
	"Is":          "errors.Is",
	"Format":      "package fmt; ExampleConfig_String shows what comes of it",
	"GoString":    "package fmt",
	"LogValue":    "package log/slog",
	"MarshalJSON": "package encoding/json",
	"MarshalText": "encoders of other formats",
	"ServeHTTP":   "package net/http",
}

func TestExportedNamesAreDocumented(t *testing.T) {
	set, sources := parseSources(t)
	undocumented := func(name *ast.Ident) {
		t.Errorf("%s: %s has no comment that begins with its name", set.Position(name.Pos()), name.Name)
	}
	for _, s := range sources {
		for _, declaration := range s.file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && visible(d) && !speaksOf(d.Doc, d.Name) {
					undocumented(d.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						if spec.Name.IsExported() && !speaksOf(spec.Doc, spec.Name) && !speaksOf(d.Doc, spec.Name) {
							undocumented(spec.Name)
						}
					case *ast.ValueSpec:
						// A group may be explained as a whole, or at the lines' ends.
						for _, name := range spec.Names {
							if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
								undocumented(name)
							}
						}
					}
				}
			}
		}
	}
}

// speaksOf reports whether the comment begins with the name.
func speaksOf(doc *ast.CommentGroup, name *ast.Ident) bool {
	words := strings.Fields(doc.Text())
	return len(words) > 1 && (words[0] == name.Name || words[1] == name.Name && slices.Contains([]string{"A", "An", "The"}, words[0]))
}

// visible reports whether it is a function, or a method of an exported type that is not
// a known one.
func visible(function *ast.FuncDecl) bool {
	if function.Recv == nil {
		return true
	}
	if slices.Contains(knownMethods, function.Name.Name) {
		return false
	}
	return ast.IsExported(receiverName(function))
}

// receiverName is the name of the type that a function is a method of.
func receiverName(function *ast.FuncDecl) string {
	kind := function.Recv.List[0].Type
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	switch generic := kind.(type) {
	case *ast.IndexExpr:
		kind = generic.X
	case *ast.IndexListExpr:
		kind = generic.X
	}
	if name, ok := kind.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// publicPackage is a package that other modules can import.
type publicPackage struct {
	folder string // slashed, from the repository's root
	module string // the folder of its module
	set    *token.FileSet
	files  []*ast.File // that are no tests
	doc    *doc.Package
}

// publicPackages are those of all modules in the repository.
func publicPackages(t *testing.T) (list []publicPackage) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if name != "." && (strings.HasPrefix(entry.Name(), ".") || slices.Contains([]string{"testdata", "internal"}, entry.Name())) {
			return filepath.SkipDir
		}
		if p := parsePackage(t, filepath.ToSlash(name)); p != nil {
			list = append(list, *p)
		}
		return nil
	})
	require.NoError(t, err)
	return list
}

// parsePackage is the package in a folder; nil if there is none, or a program.
func parsePackage(t *testing.T, folder string) *publicPackage {
	t.Helper()
	names, err := filepath.Glob(path.Join(folder, "*.go"))
	require.NoError(t, err)
	p := &publicPackage{folder: folder, module: folder, set: token.NewFileSet()}
	var all []*ast.File
	for _, name := range names {
		file, err := parser.ParseFile(p.set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		all = append(all, file)
		if !strings.HasSuffix(name, "_test.go") {
			p.files = append(p.files, file)
		}
	}
	if len(p.files) == 0 || p.files[0].Name.Name == "main" {
		return nil
	}
	for p.module != "." && !isFile(path.Join(p.module, "go.mod")) {
		p.module = path.Dir(p.module)
	}
	// It takes apart what it is given.
	p.doc, err = doc.NewFromFiles(p.set, all, path.Join(rootModule, folder), doc.PreserveAST)
	require.NoError(t, err)
	return p
}

func isFile(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func TestEveryFieldAndMethodThatOthersSeeIsDocumented(t *testing.T) {
	said := documentedMethods(publicPackages(t))
	for _, p := range publicPackages(t) {
		assert.NotEmpty(t, p.doc.Doc, "the comment of the package in %s", p.folder)
		for _, file := range p.files {
			for _, declaration := range file.Decls {
				group, ok := declaration.(*ast.GenDecl)
				if !ok {
					continue
				}
				for _, spec := range group.Specs {
					kind, ok := spec.(*ast.TypeSpec)
					if !ok || !kind.Name.IsExported() {
						continue
					}
					text := group.Doc.Text() + kind.Doc.Text()
					for _, name := range undocumentedFields(p.set, kind.Type, text) {
						if !said[kind.Name.Name+"."+name.Name] {
							t.Errorf("%s: %s.%s has no comment", p.set.Position(name.Pos()), kind.Name.Name, name.Name)
						}
					}
				}
			}
		}
	}
}

// documentedMethods are those of exported types: an interface of one's name, which is what
// another package needs of it, need not say again what each of them does.
func documentedMethods(packages []publicPackage) map[string]bool {
	said := map[string]bool{}
	for _, p := range packages {
		for _, kind := range p.doc.Types {
			for _, method := range kind.Methods {
				if method.Doc != "" {
					said[kind.Name+"."+method.Name] = true
				}
			}
		}
	}
	return said
}

// undocumentedFields are the exported fields of a struct, or methods of an interface, of which
// nothing is said: neither by a comment of their own, nor by name in that of the type or
// of the fields right before them.
func undocumentedFields(set *token.FileSet, kind ast.Expr, typeText string) (names []*ast.Ident) {
	var fields *ast.FieldList
	switch kind := kind.(type) {
	case *ast.StructType:
		fields = kind.Fields
	case *ast.InterfaceType:
		fields = kind.Methods
	default:
		return nil
	}
	text, end := "", 0
	for _, field := range fields.List {
		if set.Position(field.Pos()).Line > end+1 {
			text = ""
		}
		text += field.Doc.Text() + field.Comment.Text()
		end = set.Position(field.End()).Line
		for _, name := range field.Names {
			if name.IsExported() && field.Doc == nil && field.Comment == nil && !speaksOfField(text+typeText, name.Name) {
				names = append(names, name)
			}
		}
		names = append(names, undocumentedFields(set, field.Type, typeText)...)
	}
	return names
}

// speaksOfField reports whether a text has the name among its words, in whatever case.
func speaksOfField(text, name string) bool {
	words := strings.FieldsFunc(text, func(r rune) bool { return !isWordRune(r) })
	return slices.ContainsFunc(words, func(word string) bool { return strings.EqualFold(word, name) })
}

func isWordRune(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '_'
}

// In the root's module each operation has an example of its own. A package of another one is an
// adapter to something else: one example of the whole is enough, as long as all that makes its
// types is in one.
func TestEveryOperationHasAnExample(t *testing.T) {
	for _, p := range publicPackages(t) {
		for _, name := range withoutExamples(&p) {
			t.Errorf("%s: no example of %s", p.folder, name)
		}
	}
}

func withoutExamples(p *publicPackage) (names []string) {
	if p.module != "." {
		used := usedInExamples(p)
		if len(used) == 0 {
			names = append(names, "the package")
		}
		for _, function := range constructors(p) {
			if !used[function.Name] {
				names = append(names, function.Name)
			}
		}
		return names
	}
	for _, function := range append(constructors(p), p.doc.Funcs...) {
		if len(function.Examples) == 0 {
			names = append(names, function.Name)
		}
	}
	for _, kind := range p.doc.Types {
		for _, method := range kind.Methods {
			if _, known := withoutExample[method.Name]; !known && len(method.Examples) == 0 {
				names = append(names, kind.Name+"."+method.Name)
			}
		}
	}
	return names
}

// constructors are the functions that return a type of the package.
func constructors(p *publicPackage) (list []*doc.Func) {
	for _, kind := range p.doc.Types {
		list = append(list, kind.Funcs...)
	}
	return list
}

// usedInExamples are the words in the code of a package's examples.
func usedInExamples(p *publicPackage) map[string]bool {
	used := map[string]bool{}
	examples := slices.Clone(p.doc.Examples)
	for _, function := range append(constructors(p), p.doc.Funcs...) {
		examples = append(examples, function.Examples...)
	}
	for _, kind := range p.doc.Types {
		examples = append(examples, kind.Examples...)
		for _, method := range kind.Methods {
			examples = append(examples, method.Examples...)
		}
	}
	for _, example := range examples {
		ast.Inspect(example.Code, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				used[name.Name] = true
			}
			return true
		})
	}
	return used
}
