package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source is one Go file of the module.
type source struct {
	name string // slash-separated, from the module's root
	room string // its folder
	test bool   // _test.go
	ast  *ast.File
	fset *token.FileSet
}

// furnished reports whether the file is a test or of a room that only tests may import.
func (s source) furnished() bool { return s.test || furniture[s.room] }

// at names a place for a complaint.
func (s source) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", s.name, s.fset.Position(pos).Line)
}

func (s source) imports() map[string]token.Pos {
	out := make(map[string]token.Pos, len(s.ast.Imports))
	for _, spec := range s.ast.Imports {
		if name, err := strconv.Unquote(spec.Path.Value); err == nil {
			out[name] = spec.Pos()
		}
	}
	return out
}

// localName is what the file calls an imported package, "" when it does not import it.
func (s source) localName(importPath string) string {
	for _, spec := range s.ast.Imports {
		if spec.Path.Value != strconv.Quote(importPath) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// calls yields every selector of a package in the file: calls("time", "Sleep") finds time.Sleep, whatever time is called there.
func (s source) calls(importPath string, names ...string) []token.Pos {
	local := s.localName(importPath)
	if local == "" {
		return nil
	}
	var found []token.Pos
	ast.Inspect(s.ast, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains(names, selector.Sel.Name) {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && x.Name == local {
			found = append(found, selector.Pos())
		}
		return true
	})
	return found
}

// bubbles returns the calls of synctest.Test in the file.
func (s source) bubbles() (found []ast.Node) {
	starts := s.calls("testing/synctest", "Test")
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && slices.Contains(starts, call.Fun.Pos()) {
			found = append(found, call)
		}
		return true
	})
	return found
}

// rule looks at the whole module and returns its complaints.
type rule func([]source) []string

var rules = map[string]rule{
	"imports run downward only":                           importsRunDownward,
	"third-party libraries stay in their rooms":           librariesStayInTheirRooms,
	"pure rooms ask nobody":                               pureRoomsAskNobody,
	"every package says in doc.go what it owns":           everyPackageHasDoc,
	"there are no init functions":                         noInit,
	"package variables do not change":                     packageVariablesDoNotChange,
	"only the process and its configuration read the env": onlyConfigReadsEnvironment,
	"no folder has a vague name":                          noVagueFolders,
	"no type has a vague name":                            noVagueTypes,
	"tests do not sleep":                                  testsDoNotSleep,
	"only furniture skips a test":                         onlyFurnitureSkips,
}

func TestTheHouseStandsAsItWasDrawn(t *testing.T) {
	house := readHouse(t)
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		t.Run(name, func(t *testing.T) {
			for _, complaint := range rules[name](house) {
				t.Error(complaint)
			}
		})
	}
}

func TestEveryTopLevelFolderIsKnown(t *testing.T) {
	known := slices.Clone(topLevel)
	for room := range floors {
		top, _, _ := strings.Cut(room, "/")
		known = append(known, top)
	}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		// What git or go ignores at the top is a developer's own: data, dist, and what begins with a dot or an underscore.
		if !entry.IsDir() || strings.ContainsAny(entry.Name()[:1], "._") || slices.Contains([]string{"data", "dist"}, entry.Name()) {
			continue
		}
		if !slices.Contains(known, entry.Name()) {
			t.Errorf("%s/: no such folder in the plan; put what it holds into a room, or draw the room", entry.Name())
		}
	}
}

func TestEveryRoomOfThePlanExists(t *testing.T) {
	rooms := make(map[string]bool)
	for _, s := range readHouse(t) {
		rooms[key(s.room)] = true
	}
	for room := range floors {
		if !rooms[room] {
			t.Errorf("the plan has %s, the house has not", room)
		}
	}
}

// A document that says which test shows a thing, or where to read on, is believed; so it had better be right.
func TestTheDocumentsNameWhatExists(t *testing.T) {
	declared := make(map[string]bool)
	for _, s := range readHouse(t) {
		for _, declaration := range s.ast.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && s.test {
				declared[f.Name.Name] = true
			}
		}
	}
	top := root(t)
	documents, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob(filepath.Join(top, "docs", "decisions", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	test := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`)
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, name := range append(append(documents, decisions...), filepath.Join(top, "README.md")) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, named := range test.FindAllString(string(text), -1) {
			if !declared[named] {
				t.Errorf("%s names %s, which is no test", filepath.Base(name), named)
			}
		}
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(match[1]))); err != nil {
				t.Errorf("%s leads to %s, which is not there", filepath.Base(name), match[1])
			}
		}
	}
}

// A rule that finds nothing in a good house proves little: here each is shown a house with one fault.
func TestEachRuleSeesItsFault(t *testing.T) {
	faults := []struct {
		rule, file, text string
	}{
		{"imports run downward only", "storage/a.go", `package storage; import _ "github.com/keizer-auth/keizer/web"`},
		{"imports run downward only", "login/a.go", `package login; import _ "github.com/keizer-auth/keizer/provider"`},
		{"imports run downward only", "login/a_test.go", `package login_test; import _ "github.com/keizer-auth/keizer/provider"`},
		{"imports run downward only", "web/a.go", `package web; import _ "github.com/keizer-auth/keizer/storage/storagetest"`},
		{"imports run downward only", "internal/seal/a.go", `package seal; import _ "github.com/keizer-auth/keizer/config"`},
		{"imports run downward only", "attic/a.go", `package attic`},
		{"third-party libraries stay in their rooms", "provider/a.go", `package provider; import _ "gorm.io/gorm"`},
		{"third-party libraries stay in their rooms", "server/a_test.go", `package server; import _ "gorm.io/gorm"`},
		{"third-party libraries stay in their rooms", "server/a.go", `package server; import _ "github.com/ory/fosite/handler/openid"`},
		{"third-party libraries stay in their rooms", "provider/a.go", `package provider; import _ "github.com/go-jose/go-jose/v3"`},
		{"third-party libraries stay in their rooms", "login/a.go", `package login; import _ "golang.org/x/oauth2"`},
		{"third-party libraries stay in their rooms", "manage/a.go", `package manage; import _ "github.com/gin-gonic/gin"`},
		{"third-party libraries stay in their rooms", "manage/a.go", `package manage; import _ "testing"`},
		{"pure rooms ask nobody", "provider/prompt/a.go", `package prompt; import _ "net/http"`},
		{"every package says in doc.go what it owns", "web/doc.go", `package web`},
		{"every package says in doc.go what it owns", "web/a.go", "// Package web is here.\npackage web"},
		{"there are no init functions", "web/a.go", `package web; func init() {}`},
		{"package variables do not change", "web/a.go", `package web; var n int; func f() { n++ }`},
		{"package variables do not change", "web/a.go", `package web; var n = map[string]int{}; func f() { n["a"] = 1 }`},
		{"only the process and its configuration read the env", "web/a.go", `package web; import o "os"; var v = o.Getenv("V")`},
		{"only the process and its configuration read the env", "web/a_test.go", `package web; import "os"; var v, ok = os.LookupEnv("V")`},
		{"no folder has a vague name", "internal/utils/a.go", `package utils`},
		{"no type has a vague name", "web/a.go", `package web; type sessionManager struct{}`},
		{"tests do not sleep", "web/a_test.go", `package web; import "time"; func f() { time.Sleep(1) }`},
		{
			"tests do not sleep", "web/a_test.go",
			`package web; import ("testing"; "testing/synctest"; "time"); func f(t *testing.T) { synctest.Test(t, g); time.Sleep(1) }`,
		},
		{"tests do not sleep", "server/servertest/a.go", `package servertest; import "time"; func f() { time.Sleep(1) }`},
		{"only furniture skips a test", "web/a_test.go", `package web; import "testing"; func TestA(t *testing.T) { t.Skip() }`},
	}
	covered := make(map[string]bool)
	for _, fault := range faults {
		covered[fault.rule] = true
		if complaints := rules[fault.rule]([]source{parse(t, fault.file, fault.text)}); len(complaints) == 0 {
			t.Errorf("%q does not see the fault in %s: %s", fault.rule, fault.file, fault.text)
		}
	}
	for name := range rules {
		if !covered[name] {
			t.Errorf("no fault is shown to the rule %q", name)
		}
	}
}

func TestNoRuleComplainsOfWhatIsMeant(t *testing.T) {
	meant := map[string]string{
		"storage/fositestore/a.go":   `package fositestore; import (_ "github.com/keizer-auth/keizer/storage"; _ "github.com/ory/fosite")`,
		"storage/storagetest/a.go":   `package storagetest; import (_ "github.com/keizer-auth/keizer/storage"; "testing"; "os"); func f(t *testing.T) { os.Getenv("V"); t.Skip() }`,
		"storage/a_test.go":          `package storage_test; import _ "github.com/keizer-auth/keizer/storage/storagetest"`,
		"server/a_test.go":           `package server_test; import (_ "github.com/keizer-auth/keizer/server/servertest"; _ "golang.org/x/oauth2")`,
		"cmd/keizer/a.go":            `package main; import (_ "github.com/keizer-auth/keizer/internal/seal"; "os"); var v = os.Getenv("V")`,
		"internal/relyingparty/a.go": `package relyingparty; import _ "golang.org/x/oauth2/clientcredentials"`,
		"provider/a.go":              `package provider; type unit struct{ n int }; var none = unit{}; var _ any = none; func f() { _ = none; none := none; none.n = 1; var n int; n++ }`,
		"provider/example_test.go":   `package provider_test; import "os"; var env = os.Environ()`,
		"internal/arch/doc.go":       "// Package arch keeps it.\npackage arch",
		"internal/password/wait_test.go": `package password
			import ("testing"; "testing/synctest"; "time")
			func f(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }`,
		"provider/prompt/clock_test.go": `package prompt; import ("testing"; "time"); func TestA(t *testing.T) { <-time.After(1) }`,
	}
	for name, text := range meant {
		for rule, find := range rules {
			if rule == "every package says in doc.go what it owns" && path.Base(name) != "doc.go" {
				continue
			}
			for _, complaint := range find([]source{parse(t, name, text)}) {
				t.Errorf("%q complains: %s", rule, complaint)
			}
		}
	}
}

func importsRunDownward(house []source) (complaints []string) {
	for _, s := range house {
		from, known := floors[key(s.room)]
		if !known {
			complaints = append(complaints, fmt.Sprintf("%s: %s stands on no floor of the plan", s.name, s.room))
			continue
		}
		for name, pos := range s.imports() {
			room, ours := strings.CutPrefix(name, module+"/")
			if !ours || room == s.room {
				continue
			}
			to, known := floors[key(room)]
			switch {
			case !known:
				complaints = append(complaints, fmt.Sprintf("%s: imports %s, which stands on no floor of the plan", s.at(pos), room))
			case furniture[room] && !s.furnished():
				complaints = append(complaints, fmt.Sprintf("%s: %s is furniture for tests", s.at(pos), room))
			case s.test && slices.Contains(testsMayImport[key(s.room)], room):
			case slices.Contains(stairs[key(s.room)], key(room)):
			case to >= from:
				complaints = append(complaints, fmt.Sprintf("%s: %s (floor %d) must not import %s (floor %d)", s.at(pos), s.room, from, room, to))
			}
		}
	}
	return complaints
}

func librariesStayInTheirRooms(house []source) (complaints []string) {
	for _, s := range house {
		for name, pos := range s.imports() {
			for _, w := range walls {
				if !within(name, w.path) || slices.Contains(w.rooms, s.room) {
					continue
				}
				if s.furnished() && (slices.Contains(w.tests, "*") || slices.Contains(w.tests, s.room)) {
					continue
				}
				complaints = append(complaints, fmt.Sprintf("%s: %s is not for %s, only for %v", s.at(pos), name, s.room, w.rooms))
			}
		}
	}
	return complaints
}

func pureRoomsAskNobody(house []source) (complaints []string) {
	for _, s := range house {
		if s.test {
			continue
		}
		for name, pos := range s.imports() {
			if slices.Contains(pure[s.room], name) {
				complaints = append(complaints, fmt.Sprintf("%s: %s is pure and must not import %s", s.at(pos), s.room, name))
			}
		}
	}
	return complaints
}

func everyPackageHasDoc(house []source) (complaints []string) {
	documented := make(map[string]bool)
	for _, s := range house {
		if _, seen := documented[s.room]; !seen {
			documented[s.room] = false
		}
		if path.Base(s.name) != "doc.go" || s.ast.Doc == nil {
			continue
		}
		opening := "Package " + s.ast.Name.Name + " "
		if s.ast.Name.Name == "main" {
			opening = "Command " + path.Base(s.room) + " "
		}
		documented[s.room] = strings.HasPrefix(s.ast.Doc.Text(), opening)
	}
	for room, ok := range documented {
		if !ok {
			complaints = append(complaints, fmt.Sprintf("%s: no doc.go whose comment opens with the package's name and says what it owns", room))
		}
	}
	return complaints
}

func noInit(house []source) (complaints []string) {
	for _, s := range house {
		for _, declaration := range s.ast.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				complaints = append(complaints, fmt.Sprintf("%s: init runs unasked and in no order one can see; call it from main", s.at(f.Pos())))
			}
		}
	}
	return complaints
}

// packageVariablesDoNotChange reads assignments only; what is reached through a pointer or a method stays for the reviewer.
func packageVariablesDoNotChange(house []source) (complaints []string) {
	variables := make(map[string]map[string]bool) // room and package → names
	scope := func(s source) string { return s.room + " " + s.ast.Name.Name }
	for _, s := range house {
		for _, declaration := range s.ast.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok || general.Tok != token.VAR {
				continue
			}
			for _, spec := range general.Specs {
				values, ok := spec.(*ast.ValueSpec)
				if !ok {
					continue
				}
				for _, name := range values.Names {
					if variables[scope(s)] == nil {
						variables[scope(s)] = make(map[string]bool)
					}
					variables[scope(s)][name.Name] = true
				}
			}
		}
	}
	for _, s := range house {
		ours := variables[scope(s)]
		if len(ours) == 0 {
			continue
		}
		changed := func(target ast.Expr) {
			name := base(target)
			// The parser resolves what a file declares itself; a name it left open is of another file of the package.
			if name != nil && name.Name != "_" && ours[name.Name] && (name.Obj == nil || name.Obj == s.ast.Scope.Lookup(name.Name)) {
				complaints = append(complaints, fmt.Sprintf("%s: changes the package variable %s", s.at(name.Pos()), name.Name))
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, target := range n.Lhs {
						changed(target)
					}
				}
			case *ast.IncDecStmt:
				changed(n.X)
			}
			return true
		})
	}
	return complaints
}

// base is the variable that an assignment to x, x.f, x[i] or *x touches.
func base(target ast.Expr) *ast.Ident {
	for {
		switch x := target.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			target = x.X
		case *ast.IndexExpr:
			target = x.X
		case *ast.StarExpr:
			target = x.X
		case *ast.ParenExpr:
			target = x.X
		default:
			return nil
		}
	}
}

func onlyConfigReadsEnvironment(house []source) (complaints []string) {
	for _, s := range house {
		if slices.Contains(mayReadEnvironment, s.room) || furniture[s.room] {
			continue
		}
		names := environment
		if s.test {
			// A test that starts a process hands its environment on.
			names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "Environ" })
		}
		for _, pos := range s.calls("os", names...) {
			complaints = append(complaints, fmt.Sprintf("%s: reads the environment; what can be configured is a field of config.Config", s.at(pos)))
		}
	}
	return complaints
}

func noVagueFolders(house []source) (complaints []string) {
	for _, s := range house {
		for _, part := range strings.Split(s.room, "/") {
			if slices.Contains(vagueFolders, part) {
				complaints = append(complaints, fmt.Sprintf("%s: %q says nothing of what is in it", s.name, part))
			}
		}
	}
	return complaints
}

func noVagueTypes(house []source) (complaints []string) {
	for _, s := range house {
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				for _, ending := range vagueTypes {
					if strings.HasSuffix(strings.ToLower(spec.Name.Name), strings.ToLower(ending)) {
						complaints = append(complaints, fmt.Sprintf("%s: %s; name it for what it does", s.at(spec.Pos()), spec.Name.Name))
					}
				}
			}
			return true
		})
	}
	return complaints
}

func testsDoNotSleep(house []source) (complaints []string) {
	for _, s := range house {
		if !s.furnished() {
			continue
		}
		bubbles := s.bubbles()
		for _, pos := range s.calls("time", "Sleep") {
			// Within a bubble of synctest the clock is not the world's, and sleeping is how one moves it.
			if slices.ContainsFunc(bubbles, func(b ast.Node) bool { return b.Pos() <= pos && pos < b.End() }) {
				continue
			}
			complaints = append(complaints, fmt.Sprintf("%s: sleeps; wait for the thing itself, or use testing/synctest", s.at(pos)))
		}
	}
	return complaints
}

func onlyFurnitureSkips(house []source) (complaints []string) {
	for _, s := range house {
		if furniture[s.room] || !s.test {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, selector.Sel.Name) {
				return true
			}
			if x, ok := selector.X.(*ast.Ident); ok && slices.Contains([]string{"t", "b", "f", "tb"}, x.Name) {
				complaints = append(complaints, fmt.Sprintf("%s: skips; what a machine may lack is asked of the furniture, which CI can forbid to skip", s.at(call.Pos())))
			}
			return true
		})
	}
	return complaints
}

// within reports whether an import path is the given one or below it.
func within(name, beginning string) bool {
	beginning = strings.TrimSuffix(beginning, "/")
	return name == beginning || strings.HasPrefix(name, beginning+"/")
}

// key is the name by which the plan knows a room: internal's folders share one.
func key(room string) string {
	if top, rest, ok := strings.Cut(room, "/"); ok && top == "internal" && !strings.Contains(rest, "/") {
		return "internal/*"
	}
	return room
}

// root is the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// readHouse parses every Go file of the module.
func readHouse(t *testing.T) []source {
	t.Helper()
	top := root(t)
	var house []source
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			hidden := strings.HasPrefix(entry.Name(), ".") || strings.HasPrefix(entry.Name(), "_")
			if name != top && (hidden || entry.Name() == "testdata" || entry.Name() == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		house = append(house, parse(t, filepath.ToSlash(relative), string(text)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(house) == 0 {
		t.Fatal("no source found: the test looks in the wrong place")
	}
	return house
}

func parse(t *testing.T, name, text string) source {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return source{name: name, room: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), ast: file, fset: fset}
}
