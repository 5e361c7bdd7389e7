package browser

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/verify"
)

// kinds are the kinds of pages that an auditor has, by their paths.
var kinds = []*regexp.Regexp{
	regexp.MustCompile(`^/$`),
	regexp.MustCompile(`^/logs/[^/]+/$`),
	regexp.MustCompile(`^/logs/[^/]+/repositories$`),
	regexp.MustCompile(`^/logs/[^/]+/repositories/[0-9a-f]{64}$`),
	regexp.MustCompile(`^/logs/[^/]+/releases/[0-9]+$`),
	regexp.MustCompile(`^/logs/[^/]+/findings$`),
	regexp.MustCompile(`^/logs/[^/]+/findings/[^/]+$`),
	regexp.MustCompile(`^/search\?q=.+$`),
	regexp.MustCompile(`^/about$`),
	regexp.MustCompile(`^/verify$`),
}

// TestBrowser is all that is seen in one browser, of one world.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a real browser and six programs take half a minute")
	}
	browser := chromium(t)
	w := newWorld(t)
	w.paths = w.find(open(t, browser, w.pages))
	t.Run("Pages", func(t *testing.T) { w.testPages(open(t, browser, w.pages)) })
	t.Run("Story", func(t *testing.T) { w.testStory(open(t, browser, w.pages)) })
	t.Run("WithoutScripts", func(t *testing.T) { w.testWithoutScripts(open(t, browser, w.pages)) })
	t.Run("Keyboard", func(t *testing.T) { w.testKeyboard(open(t, browser, w.pages)) })
	t.Run("LogPage", func(t *testing.T) { w.testLogPage(open(t, browser, w.Log.URL)) })
	t.Run("Verify", func(t *testing.T) { w.testVerify(open(t, browser, w.pages)) })
	t.Run("Offline", func(t *testing.T) { w.testOffline(open(t, browser, w.pages)) })
	t.Run("Monitor", func(t *testing.T) { w.testMonitor(t, browser) })
	t.Run("Accessible", func(t *testing.T) { w.testAccessible(open(t, browser, w.pages), open(t, browser, w.Log.URL)) })
}

// testMonitor sees the same on the pages of a monitor, and what comes while they are looked at.
func (w *world) testMonitor(t *testing.T, browser context.Context) {
	w.follow(t)
	b := open(t, browser, w.watch)
	of := *w
	of.pages = w.watch
	of.paths = of.find(b)
	of.testStory(b)
	// The monitor says how it calls a vendor when it has ended its first look at everything.
	runtest.Eventually(t, "the vendor's page has the name that it has here", func() bool {
		b.goTo(of.paths[3])
		return strings.Contains(b.text("main"), "acme")
	})
	b.phone()
	b.dark(true)
	for _, path := range of.paths {
		b.goTo(path)
		b.checkLooks(path, true)
	}

	b.goTo("/verify")
	b.until("ready", ready)
	b.name(w.id)
	b.drop("#zone", w.vendor, w.file)
	b.judged("accepted")
	b.press("#tamper")
	b.judged("refused")
	b.press("#restore")
	b.judged("accepted")
	of.testOffline(open(t, browser, w.watch))

	// A release that comes now is there, and in force, without anybody's doing.
	w.next(t)
	b.until("the new release is in force", fmt.Sprintf("fetch(%q).then(r => r.text()).then(t => { window.seen = t }), /A release in force lists this file/.test(window.seen || '')", "/search?q="+w.digest(t)))
	source := axe(t)
	for _, path := range of.paths {
		b.goTo(path)
		b.checkAxe(source, "the monitor's "+path)
	}
}

// find follows the links of pages, and returns one of each kind.
func (w *world) find(b *tab) []string {
	b.Helper()
	found := make([]string, len(kinds))
	queue, seen := []string{"/", "/search?q=firmware.bin"}, map[string]bool{}
	for len(queue) > 0 && slices.Contains(found, "") {
		path := queue[0]
		queue = queue[1:]
		kind := slices.IndexFunc(kinds, func(r *regexp.Regexp) bool { return r.MatchString(path) })
		if seen[path] || kind < 0 || found[kind] != "" {
			continue
		}
		seen[path], found[kind] = true, path
		if status := b.goTo(path); status != http.StatusOK {
			b.Errorf("%s: %d", path, status)
		}
		queue = append(queue, eval[[]string](b, "[...document.querySelectorAll('main a[href^=\"/\"], header a[href^=\"/\"]')].map(a => a.getAttribute('href'))")...)
	}
	if i := slices.Index(found, ""); i >= 0 {
		b.Fatalf("no link leads to a page like %v", kinds[i])
	}
	return found
}

// testPages looks at one page of each kind, on a desk and on a phone, in light and dark.
func (w *world) testPages(b *tab) {
	for _, phone := range []bool{false, true} {
		if phone {
			b.phone()
		}
		for _, dark := range []bool{false, true} {
			b.dark(dark)
			for _, path := range w.paths {
				b.goTo(path)
				b.checkLooks(path, dark)
				if !phone {
					continue
				}
				if path == "/verify" {
					b.until("ready", ready)
				}
			}
		}
	}
}

// checkLooks checks what is the same for all pages: they fit the width, and their colours are
// those that were asked for.
func (b *tab) checkLooks(path string, dark bool) {
	b.Helper()
	if got := eval[[]int](b, "[document.documentElement.scrollWidth, window.innerWidth]"); got[0] > got[1] {
		b.Errorf("%s: %d wide, and the screen has %d: %s", path, got[0], got[1],
			eval[string](b, "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > window.innerWidth + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 120)).join('\\n')"))
	}
	const luminance = "(c => { const [r, g, b] = c.match(/[0-9.]+/g).map(Number); return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255 })"
	back := eval[float64](b, luminance+"(getComputedStyle(document.body).backgroundColor)")
	text := eval[float64](b, luminance+"(getComputedStyle(document.body).color)")
	if dark != (back < 0.25) || dark != (text > 0.75) || !dark != (back > 0.75) {
		b.Errorf("%s: dark %v, and the background has the luminance %.2f, the text %.2f", path, dark, back, text)
	}
}

// testStory is what a stranger does: from the start to the vendor, along its timeline, to a
// release, and by a file's hash back to it.
func (w *world) testStory(b *tab) {
	b.goTo("/")
	if text := b.text("main"); !strings.Contains(text, "not in order") && !strings.Contains(text, "equivocation") {
		b.Errorf("the start does not show that somebody has signed twice: %s", text)
	}
	b.goTo(w.paths[3])
	for _, want := range []string{"root rotation", "firmware.bin", "evidence"} {
		if text := b.text("main"); !strings.Contains(strings.ToLower(text), want) {
			b.Errorf("the vendor's page does not show %q: %s", want, text)
		}
	}
	if n := eval[int](b, "document.querySelectorAll('.timeline li').length"); n < 5 {
		b.Errorf("the timeline has %d events", n)
	}
	b.follow(".timeline a[href*='/releases/']")
	if text := b.text("main"); !strings.Contains(text, "auditor compare") {
		b.Errorf("a release without the command that checks it: %s", text)
	}
	digest := w.digest(b.T)
	b.do(chromedp.SendKeys("#q", digest+kb.Enter))
	b.until("the search has an answer", "location.pathname == '/search' && document.querySelector('main a[href*=\"/releases/\"]') != null")
	if text := b.text("main"); !strings.Contains(text, "firmware.bin") {
		b.Errorf("search by hash: %s", text)
	}
}

// testWithoutScripts reads the pages in a browser that runs no scripts.
func (w *world) testWithoutScripts(b *tab) {
	b.scripts(false)
	for _, path := range w.paths {
		b.goTo(path)
		if text := b.text("main"); len(text) < 100 {
			b.Errorf("%s: %q", path, text)
		}
		b.checkLooks(path, false)
	}
	b.goTo("/verify")
	if text := b.text("main"); !strings.Contains(text, "runs no scripts") || !strings.Contains(text, "updater verify") || strings.Contains(text, "Choose files") {
		b.Errorf("/verify: %s", text)
	}
}

// testKeyboard reaches what can be done with the key Tab alone.
func (w *world) testKeyboard(b *tab) {
	b.goTo("/verify")
	b.until("ready", ready)
	const here = "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
	var way []string
	for range 20 {
		b.do(chromedp.KeyEvent(kb.Tab))
		way = append(way, eval[string](b, here))
	}
	at := -1
	for _, want := range []string{"skip", "q", "files", "folder", "repository", "policy"} {
		i := slices.Index(way, want)
		if i <= at {
			b.Errorf("%s is not reached in its turn: %v", want, way)
		}
		at = i
	}
}

// testLogPage looks at the log's own page.
func (w *world) testLogPage(b *tab) {
	for _, dark := range []bool{false, true} {
		b.dark(dark)
		if status := b.goTo("/"); status != http.StatusOK {
			b.Fatalf("%d", status)
		}
		b.checkLooks("the log's page", dark)
	}
	for _, want := range []string{"test.example/log", "2 of 3 are enough", "log@example.com", "does not claim"} {
		if text := b.text("body"); !strings.Contains(text, want) {
			b.Errorf("it does not show %q: %s", want, text)
		}
	}
	b.phone()
	b.goTo("/")
	b.checkLooks("the log's page on a phone", true)
	if eval[int](b, "document.scripts.length") != 0 {
		b.Error("it has a script")
	}
}

const (
	ready   = "document.querySelector('#drop').dataset.ready == 'yes'"
	outcome = "document.querySelector('#verdict').dataset.outcome"
	code    = "document.querySelector('#verdict').dataset.code"
)

// judged waits for an outcome, and returns the text of the verdict.
func (b *tab) judged(want string) string {
	b.Helper()
	b.until("the outcome "+want, fmt.Sprintf("!document.querySelector('#verdict').hidden && %s == %q", outcome, want))
	return b.text("#outcome")
}

// name names the repository that the files must be of.
func (b *tab) name(id string) {
	b.Helper()
	b.do(chromedp.SetValue("#repository", id), chromedp.SendKeys("#repository", " "))
}

// testVerify drops files in the browser.
func (w *world) testVerify(b *tab) {
	b.goTo("/verify")
	b.until("ready", ready)
	if weight := b.weight(); weight > 100_000 {
		b.Errorf("before its program the page takes %d bytes", weight)
	}
	before := b.requests()

	release, proof := filepath.Join(w.vendor, "5.targets.json"), filepath.Join(w.vendor, "5.targets.json"+verify.SidecarSuffix)
	// A stranger's release is logged and witnessed, too.
	b.drop("#zone", release, proof)
	if text := b.judged("unnamed"); !strings.Contains(text, "Logged and witnessed, but by whom?") || !strings.Contains(text, w.id) {
		b.Errorf("nobody has named the repository: %s", text)
	}
	b.press("#tamper")
	b.judged("refused")
	b.press("#restore")
	b.judged("unnamed")
	b.name(w.id)
	if text := b.judged("proved"); !strings.Contains(text, "version 5 of role targets") || !strings.Contains(text, w.id) ||
		!strings.Contains(text, "By the policy that the page came with") || !strings.Contains(text, "2 files were judged") {
		b.Errorf("a release: %s", text)
	}
	items := b.text("#items")
	for _, want := range []string{"w1 (w1.example)", "test.example/log", "key ids", "It expires at"} {
		if !strings.Contains(items, want) && !(want == "w1 (w1.example)" && strings.Contains(items, "w2 (w2.example)")) {
			b.Errorf("a release without %q: %s", want, items)
		}
	}
	b.drop("#zone", w.file, release, proof)
	if text := b.judged("listed"); !strings.Contains(text, "lists it as firmware.bin") || !strings.Contains(text, "newest release") {
		b.Errorf("with its file: %s", text)
	}
	b.drop("#zone", w.vendor, w.file) // a folder
	if text := b.judged("accepted"); !strings.Contains(text, "would install it") {
		b.Errorf("a repository: %s", text)
	}

	// Whatever byte is changed, it is refused; put back, it is as it was.
	for range 5 {
		b.press("#tamper")
		b.judged("refused")
		if got := eval[string](b, code); got != string(verify.CodeBadMetadata) {
			b.Errorf("a changed byte of a file: %s", got)
		}
		b.press("#restore")
		b.judged("accepted")
	}
	// Of two files of one name both are judged.
	twins := w.Path("twins")
	for folder, content := range map[string]string{"install-me": "firmware of a stranger\n", "zz": read(b, w.file)} {
		must(b, os.MkdirAll(filepath.Join(twins, folder), 0o755))
		must(b, os.WriteFile(filepath.Join(twins, folder, "firmware.bin"), []byte(content), 0o644))
	}
	b.drop("#zone", w.vendor, twins)
	if text := b.judged("refused"); !strings.Contains(text, "twins/install-me/firmware.bin") {
		b.Errorf("two files of one name: %s", text)
	}
	b.drop("#zone", release, proof)
	b.judged("proved")
	for range 10 {
		b.press("#tamper")
		b.judged("refused")
		if got := eval[string](b, code); got != string(verify.CodeBadProof) && got != string(verify.CodeBadMetadata) {
			b.Errorf("a changed byte of a release: %s: %s", got, b.text("#tampered"))
		}
		b.press("#restore")
		b.judged("proved")
	}

	w.testBundle(b)
	b.drop("#zone", release, proof)
	b.judged("proved")

	// The policy is what the visitor makes it.
	policy := eval[string](b, "document.querySelector('#policy').value")
	b.do(chromedp.SetValue("#policy", strings.Replace(policy, "test.example/log", "test.example/lag", 1)), chromedp.SendKeys("#policy", "\n"))
	b.judged("unable")
	b.press("#reset")
	b.judged("proved")

	if n := b.requests(); n != before {
		b.Errorf("%d requests while files were verified: %v", n-before, b.asked[before:])
	}

	// A file alone is looked up only if the visitor wants it.
	b.do(chromedp.SetUploadFiles("#files", []string{w.file}))
	b.judged("unproved")
	if n := b.requests(); n != before {
		b.Errorf("a file alone was looked up: %v", b.asked[before:])
	}
	b.follow("#items a[href^='/search?q=']")
	if text := b.text("main"); !strings.Contains(text, "firmware.bin") {
		b.Errorf("looked up: %s", text)
	}
}

// testBundle drops updates in one file, which the updater made.
func (w *world) testBundle(b *tab) {
	b.Helper()
	repository, file := w.Path("repository"), w.Path("update.bundle")
	must(b, os.CopyFS(filepath.Join(repository, "metadata"), os.DirFS(w.vendor)))
	must(b, os.MkdirAll(filepath.Join(repository, "targets"), 0o755))
	must(b, os.WriteFile(filepath.Join(repository, "targets", "firmware.bin"), []byte(read(b, w.file)), 0o644))
	if _, stderr, code := runtest.Run(b.T, "updater", "bundle", "create", file, "--policy", w.Path("policy"), "--from", repository, "--target-name", "firmware.bin"); code != 0 {
		b.Fatalf("updater bundle create: %d: %s", code, stderr)
	}
	b.drop("#zone", file)
	if text := b.judged("accepted"); !strings.Contains(text, "would install it") {
		b.Errorf("a bundle: %s", text)
	}
	for range 3 { // its target is changed
		b.press("#tamper")
		if text := b.judged("refused"); !strings.Contains(text, "lists another file") {
			b.Errorf("a changed byte of a bundle: %s", text)
		}
		b.press("#restore")
		b.judged("accepted")
	}
	whole := read(b, file)
	for name, content := range map[string]string{"short.bundle": whole[:len(whole)-1], "index.bundle": whole[:100], "nested.bundle": fmt.Sprintf("tuflog bundle v1\nmetadata/1.root.json %d\n\n%s", len(whole), whole)} {
		must(b, os.WriteFile(w.Path(name), []byte(content), 0o644))
		b.drop("#zone", w.Path(name))
		b.judged("refused")
	}
	// The target of a large one is hashed piece by piece.
	huge := w.Path("huge.bundle")
	f, err := os.Create(huge)
	must(b, err)
	_, err = fmt.Fprintf(f, "tuflog bundle v1\ntargets/a %d\n\n", 200<<20)
	must(b, err)
	must(b, f.Truncate(int64(len(fmt.Sprintf("tuflog bundle v1\ntargets/a %d\n\n", 200<<20)))+200<<20))
	must(b, f.Close())
	b.drop("#zone", huge)
	if text := b.judged("unable"); !strings.Contains(text, "updater bundle verify") {
		b.Errorf("a bundle without a root: %s", text)
	}
	// Beside others it is one of them.
	b.drop("#zone", file, w.file)
	if b.judged("unproved"); !strings.Contains(b.text("#items"), "drop it alone") {
		b.Errorf("a bundle beside another file: %s", b.text("#items"))
	}
}

// testOffline verifies after the network has gone.
func (w *world) testOffline(b *tab) {
	b.goTo("/verify")
	b.until("ready", ready)
	b.name(w.id)
	b.offline()
	b.expects("ERR_INTERNET_DISCONNECTED")
	if got := run(b, chromedp.Evaluate[string]("fetch('/about').then(() => 'there', () => 'gone')", chromedp.EvalAwaitPromise)); got != "gone" {
		b.Fatalf("the network is %s", got)
	}
	before := b.requests()
	b.drop("#zone", w.vendor, w.file)
	b.judged("accepted")

	// The thief's release is in the log, as evidence.
	thief := filepath.Join(w.Path("thief"), "5.targets.json")
	b.drop("#zone", thief, w.evidence(b.T, thief))
	if text := b.judged("refused"); eval[string](b, code) != string(verify.CodeEvidence) {
		b.Errorf("the thief's: %s", text)
	}
	// One without its proof is not public as far as can be told.
	b.drop("#zone", thief)
	if text := b.judged("refused"); eval[string](b, code) != string(verify.CodeNotLogged) {
		b.Errorf("without a proof: %s", text)
	}
	// A file that does not fit into memory is hashed piece by piece.
	large := w.Path("large.img")
	f, err := os.Create(large)
	must(b, err)
	must(b, f.Truncate(33<<20))
	must(b, f.Close())
	b.drop("#zone", large)
	b.judged("unproved")
	if items := b.text("#items"); !strings.Contains(items, fmt.Sprint(33<<20)) || !strings.Contains(items, digestOf(b.T, large)) {
		b.Errorf("a large file: %s", items)
	}
	if n := b.requests(); n != before {
		b.Errorf("requests without a network: %v", b.asked[before:])
	}
}
