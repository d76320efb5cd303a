package arch

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/messages"
	"github.com/keizer-auth/keizer/internal/settings"
)

// audits are the rooms in which things are done that leave a row of audit.
var audits = []string{"manage", "people", "login", "login/account", "web", "provider", "storage/fositestore", "server"}

var actionLike = regexp.MustCompile(`^[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*$`)

// notActions look like actions: names of files and hosts.
var notActions = regexp.MustCompile(`\.(json|js|css|example|txt|yaml|db|map)$`)

// irregular are past participles that do not end with "ed".
var irregular = []string{"burnt", "forgotten", "made", "reset", "sent", "set", "undone"}

func TestWhateverIsAuditedIsExplainedToOperators(t *testing.T) {
	catalog, err := messages.Load()
	if err != nil {
		t.Fatal(err)
	}
	english := catalog.In(catalog.Languages()[0])
	var decided []string
	for _, member := range settings.Reference() {
		decided = append(decided, member.Path)
	}
	manual, err := os.ReadFile(filepath.Join(root(t), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	found, caused := make(map[string]string), make(map[string]bool)
	for _, s := range readHouse(t) {
		if s.test || !slices.Contains(audits, s.room) {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err == nil && actionLike.MatchString(text) && !notActions.MatchString(text) && !english.Has(text) && !slices.Contains(decided, text) {
				found[text] = s.at(literal.Pos())
				caused[text] = caused[text] || s.room != "login/account" // which knows the names of events, and causes none
			}
			return true
		})
	}
	if len(found) < 20 {
		t.Errorf("only %d actions were found", len(found))
	}
	// And nothing is explained that nobody does.
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+\\.[a-z_]+)` \\|").FindAllStringSubmatch(string(manual), -1) {
		if action := row[1]; !caused[action] && !slices.Contains(decided, action) && !english.Has(action) && deedLike(action) {
			t.Errorf("docs/operations.md explains the audit action %s, which nobody causes", action)
		}
	}
	for action, at := range found {
		if !strings.Contains(string(manual), "| `"+action+"` |") {
			t.Errorf("%s: docs/operations.md does not explain the audit action %s", at, action)
		}
		if !deedLike(action) {
			t.Errorf("%s: %s does not say what was done: an action is a noun and a past participle", at, action)
		}
	}
}

// deedLike reports whether a name says that something was done.
func deedLike(action string) bool {
	_, deed, _ := strings.Cut(action, ".")
	return slices.ContainsFunc(strings.Split(deed, "_"), func(word string) bool {
		return strings.HasSuffix(word, "ed") || slices.Contains(irregular, word)
	})
}
