package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/tuflog/tuflog/bench/process"
)

// chromium starts the browser, and skips the test where there is none.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		lacking(t, "there is no Chromium on this machine (Debian: chromium)")
	}
	if _, err := os.Stat("../../audit/page/built/verify.wasm.br"); err != nil {
		lacking(t, "what verifies in a browser is not built: go generate ./audit/page")
	}
	alloc, stop := chromedp.NewExecAllocator(t.Context(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(process.Patience),
		// Whatever it asks for besides is not found: a test without the Internet must not wait for it.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("disable-dev-shm-usage", true),
	)...)
	t.Cleanup(stop)
	browser, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	return browser
}

// tab is a tab of the browser. At the end of its test it has had no error and asked no other
// host.
type tab struct {
	*testing.T
	ctx  context.Context
	host string // of the pages

	mu       sync.Mutex
	expected string // what is in a trouble that is no trouble; empty: nothing
	troubles []string
	asked    []string // paths, in order
	paths    map[network.RequestID]string
	bytes    map[string]int64 // that each path took on the way, the last time
}

// open opens a tab for the pages below a URL.
func open(t *testing.T, browser context.Context, base string) *tab {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{T: t, ctx: ctx, host: u.Host, paths: map[network.RequestID]string{}, bytes: map[string]int64{}}
	command(b, network.Enable, network.EnableParams{})
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, trouble := range b.troubles {
			t.Error(trouble)
		}
	})
	return b
}

func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	trouble := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); b.expected == "" || !strings.Contains(text, b.expected) {
			b.troubles = append(b.troubles, text)
		}
	}
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err == nil && (u.Scheme == "data" || u.Scheme == "about") {
			return
		}
		if err != nil || u.Host != b.host {
			trouble("it asked for %s, of another host", e.Request.URL)
			return
		}
		if e.Request.Method != "GET" {
			trouble("it sent a %s to %s", e.Request.Method, e.Request.URL)
		}
		b.asked = append(b.asked, u.RequestURI())
		b.paths[e.RequestID] = u.RequestURI()
	case *network.EventLoadingFinished:
		if path, ok := b.paths[e.RequestID]; ok {
			b.bytes[path] = int64(e.EncodedDataLength)
		}
	case *runtime.EventExceptionThrown:
		trouble("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			trouble("console: %s: %+v", e.Type, e.Args)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			trouble("browser: %s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	}
}

// expects says which troubles are none from now on.
func (b *tab) expects(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = text
}

// requests returns how many requests there were so far.
func (b *tab) requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked)
}

// weight is how many bytes the page and what it loaded took, without the program.
func (b *tab) weight() (sum int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for path, n := range b.bytes {
		if !strings.Contains(path, ".wasm") {
			sum += n
		}
	}
	return sum
}

// within is the time for one step on a busy machine.
func (b *tab) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, process.Patience)
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	// The first use of a tab makes it, for as long as its context lives.
	if err := chromedp.Do(b.ctx); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := b.within()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatalf("%v\nthe page has: %s", err, b.text("body"))
	}
}

func run[T any](b *tab, a chromedp.Action[T]) T {
	b.Helper()
	ctx, cancel := b.within()
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// goTo loads a page, and returns the status of its answer.
func (b *tab) goTo(u string) int64 {
	b.Helper()
	if !strings.Contains(u, "://") {
		u = "http://" + b.host + u
	}
	return run(b, chromedp.NavigateResponse(u)).Status
}

// eval returns the value of an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.Helper()
	return run(b, chromedp.Evaluate[T](expression))
}

// until waits until an expression is true in the page, also over the loading of another page.
func (b *tab) until(what, expression string) {
	b.Helper()
	ctx, cancel := b.within()
	defer cancel()
	for {
		is, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err == nil && is {
			return
		}
		if ctx.Err() != nil {
			b.Fatalf("%s: %v\nthe page has: %s", what, err, b.text("body"))
		}
		process.Pause(ctx, 50*time.Millisecond)
	}
}

// follow clicks on a link, and waits until its page is there.
func (b *tab) follow(selector string) {
	b.Helper()
	href := eval[string](b, fmt.Sprintf("document.querySelector(%q).href", selector))
	eval[chromedp.Void](b, fmt.Sprintf("document.querySelector(%q).click()", selector))
	b.until("the page of "+selector, fmt.Sprintf("location.href == %q && document.readyState == 'complete'", href))
}

// press presses a button.
func (b *tab) press(selector string) {
	b.Helper()
	eval[chromedp.Void](b, fmt.Sprintf("document.querySelector(%q).click()", selector))
}

// text is the text that a page shows in what a selector finds first.
func (b *tab) text(selector string) string {
	b.Helper()
	return eval[string](b, fmt.Sprintf("(document.querySelector(%q) || {innerText: ''}).innerText", selector))
}

// command sends a command of the protocol that has no answer.
func command[P any](b *tab, cmd cdp.Command[P, cdp.Empty], params P) {
	b.Helper()
	b.do(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, cmd, params)
		return chromedp.Void{}, err
	})
}

// dark lets pages be shown in dark colours.
func (b *tab) dark(on bool) {
	b.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// phone makes the tab that of a small phone.
func (b *tab) phone() {
	b.Helper()
	b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateScale(2), chromedp.EmulateMobile, chromedp.EmulateTouch))
}

// scripts lets pages run scripts, or not.
func (b *tab) scripts(on bool) {
	b.Helper()
	command(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// offline takes the network away.
func (b *tab) offline() {
	b.Helper()
	b.do(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{{Offline: true}},
		})
		return chromedp.Void{}, err
	})
}

// drop drops files on what a selector finds, as a mouse does.
func (b *tab) drop(selector string, files ...string) {
	b.Helper()
	at := eval[[]float64](b, fmt.Sprintf("(() => { const e = document.querySelector(%q); e.scrollIntoView({block: 'center', behavior: 'instant'}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()", selector))
	for _, kind := range []input.DispatchDragEventType{"dragEnter", "dragOver", "drop"} {
		command(b, input.DispatchDragEvent, input.DispatchDragEventParams{
			Type: kind, X: at[0], Y: at[1], Data: &input.DragData{Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1},
		})
	}
}
