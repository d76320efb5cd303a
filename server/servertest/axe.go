package servertest

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	"github.com/chromedp/chromedp"
)

// axeSource is axe-core, of npm.
var axeSource = sync.OnceValues(func() (string, error) {
	folder, err := nodeModules()
	if err != nil {
		return "", err
	}
	body, err := os.ReadFile(filepath.Join(folder, "axe-core", "axe.min.js"))
	return string(body), err
})

// HasAxe reports whether pages are judged by axe-core on this machine.
func HasAxe() bool {
	_, err := axeSource()
	return err == nil
}

// What axe is asked for: what WCAG 2.2 AA demands, and what it recommends besides. At night only what has to do with colors can be
// different.
const (
	axeByDay   = `{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations']}`
	axeAtNight = `{runOnly: {type: 'rule', values: ['color-contrast', 'link-in-text-block']}, resultTypes: ['violations']}`
)

// judge is what axe-core finds wrong with the page. On a machine that cannot have it nothing is found, unless KEIZER_TEST_REQUIRE
// names axe.
func (tab *Tab) judge(options string) string {
	tab.t.Helper()
	if tab.scriptless {
		return "" // it is a script
	}
	source, err := axeSource()
	if err != nil {
		if requires("axe") {
			tab.t.Fatalf("axe is required here (%s), but %v", requireVariable, err)
		}
		tab.t.Logf("without axe: %v", err)
		return ""
	}
	if tab.Ask("typeof axe") == "undefined" {
		tab.Ask("(() => {" + source + "; return 'axe'})()") // evaluated from outside, where the page's policy does not reach
	}
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[string](`axe.run(document, `+options+`).then(found => found.violations.map(
		v => v.id + ': ' + v.help + ': ' + v.nodes.map(n => n.target.join(' ')).join(', ')).join('\n'))`, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatalf("ask axe: %v", err)
	}
	return found
}
