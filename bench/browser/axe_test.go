package browser

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// axeVersion is the version of axe-core from npm.
const axeVersion = "4.14.1"

// require is set where a tool that is not there is a fault: by .ci/run.
const require = "TUFLOG_BROWSER"

// lacking skips a test for want of a tool, or fails it.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv(require) == "required" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// axe returns the source of axe-core, from npm or from where it was kept the last time.
func axe(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	must(t, err)
	dir := filepath.Join(cache, "tuflog", "axe-core-"+axeVersion)
	file := filepath.Join(dir, "node_modules", "axe-core", "axe.min.js")
	if _, err := os.Stat(file); err != nil {
		npm, err := exec.LookPath("npm")
		if err != nil {
			lacking(t, "axe-core, which checks accessibility, comes from npm, which is not on this machine")
		}
		must(t, os.MkdirAll(dir, 0o755))
		cmd := exec.CommandContext(t.Context(), npm, "install", "--prefix", dir, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "axe-core@"+axeVersion)
		if out, err := cmd.CombinedOutput(); err != nil {
			lacking(t, "npm does not have axe-core: %v: %s", err, out)
		}
	}
	return read(t, file)
}

// violation is a rule that a page breaks.
type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML string `json:"html"`
		Why  string `json:"failureSummary"`
	} `json:"nodes"`
}

// testAccessible checks one page of each kind by the rules of axe-core, in light and dark and
// after a verdict.
func (w *world) testAccessible(b, log *tab) {
	source := axe(b.T)
	for _, dark := range []bool{false, true} {
		b.dark(dark)
		log.dark(dark)
		for _, path := range w.paths {
			b.goTo(path)
			if path == "/verify" {
				b.until("ready", ready)
				b.name(w.id)
				b.drop("#zone", w.vendor, w.file)
				b.judged("accepted")
			}
			b.checkAxe(source, fmt.Sprintf("%s, dark %v", path, dark))
		}
		b.press("#tamper")
		b.judged("refused")
		b.checkAxe(source, fmt.Sprintf("a refusal, dark %v", dark))
		log.goTo("/")
		log.checkAxe(source, fmt.Sprintf("the log's page, dark %v", dark))
	}
}

func (b *tab) checkAxe(source, where string) {
	b.Helper()
	eval[chromedp.Void](b, source+"; undefined")
	found := run(b, chromedp.Evaluate[[]violation]("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map(n => ({html: n.html, failureSummary: n.failureSummary}))})))", chromedp.EvalAwaitPromise))
	for _, v := range found {
		var nodes strings.Builder
		for _, n := range v.Nodes {
			fmt.Fprintf(&nodes, "\n  %.200s\n  %s", n.HTML, strings.ReplaceAll(n.Why, "\n", " "))
		}
		say := b.Logf
		if v.Impact == "serious" || v.Impact == "critical" {
			say = b.Errorf
		}
		say("%s: %s: %s (%s)%s", where, v.Impact, v.Help, v.ID, nodes.String())
	}
}
