package browser

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/bench/runtest"
)

var update = flag.Bool("update", false, "make the screenshots in docs/screenshots again")

// maxShot is how many bytes a picture may have: it stays in the repository for ever.
const maxShot = 150_000

// TestScreenshots makes the pictures of docs/screenshots. They are not compared: fonts differ
// from machine to machine.
func TestScreenshots(t *testing.T) {
	if !*update {
		t.Skip("run it with -update")
	}
	browser := chromium(t)
	w := newWorld(t)
	paths := w.find(open(t, browser, w.pages))
	b := open(t, browser, w.pages)
	desk := func(b *tab) { b.do(chromedp.EmulateViewport(1100, 900)) }
	desk(b)
	shoot := func(b *tab, path, name string) {
		b.goTo(path)
		b.shoot(name)
	}
	shoot(b, paths[0], "logs")
	shoot(b, paths[6], "finding")
	b.goTo("/verify")
	b.until("ready", ready)
	b.name(w.id)
	b.drop("#zone", w.vendor, w.file)
	b.judged("accepted")
	eval[chromedp.Void](b, "document.querySelector('#verdict').scrollIntoView({behavior: 'instant'})")
	b.shoot("verify")
	b.dark(true)
	b.phone()
	b.press("#tamper")
	b.judged("refused")
	eval[chromedp.Void](b, "document.querySelector('#verdict').scrollIntoView({behavior: 'instant'})")
	b.shoot("verify-refused-phone")

	log := open(t, browser, w.Log.URL)
	desk(log)
	shoot(log, "/", "log")

	// Sigstore's root of trust: eleven roots and its releases of five years.
	s := &world{World: runtest.NewWorld(t, "--open-registration")}
	history := filepath.Join(realdata.Histories(t), "sigstore_root_signing")
	if _, stderr, code := runtest.Run(t, "publisher", "import", "--log", s.Log.URL, "--policy", s.Path("policy"), history); code > 1 {
		t.Fatalf("publisher import: %d: %s", code, stderr)
	}
	s.audit(t)
	b = open(t, browser, s.pages)
	paths = s.find(b)
	desk(b)
	shoot(b, paths[3], "sigstore-vendor")
	shoot(b, paths[4], "sigstore-release")
	b.phone()
	b.dark(true)
	shoot(b, paths[3], "sigstore-vendor-phone")
}

// shoot writes a picture of what is seen now.
func (b *tab) shoot(name string) {
	b.Helper()
	img, err := png.Decode(bytes.NewReader(run(b, chromedp.CaptureScreenshot())))
	must(b, err)
	var out bytes.Buffer
	must(b, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, fewColours(img)))
	if out.Len() > maxShot {
		b.Errorf("%s has %d bytes, more than %d", name, out.Len(), maxShot)
	}
	dir := "../../docs/screenshots"
	must(b, os.MkdirAll(dir, 0o755))
	must(b, os.WriteFile(filepath.Join(dir, name+".png"), out.Bytes(), 0o644))
	b.Logf("%s: %d bytes", strings.TrimSpace(name), out.Len())
}

// fewColours returns a picture in the 256 colours that it has most: pages have few, and the
// edges of letters do not suffer.
func fewColours(img image.Image) image.Image {
	count := map[color.RGBA]int{}
	bounds := img.Bounds()
	rgba := image.NewRGBA(bounds)
	draw.Draw(rgba, bounds, img, bounds.Min, draw.Src)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[rgba.RGBAAt(x, y)]++
		}
	}
	colours := make([]color.RGBA, 0, len(count))
	for c := range count {
		colours = append(colours, c)
	}
	sort.Slice(colours, func(i, j int) bool { return count[colours[i]] > count[colours[j]] })
	palette := color.Palette{}
	for _, c := range colours[:min(len(colours), 256)] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(bounds, palette)
	near := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := rgba.RGBAAt(x, y)
			i, ok := near[c]
			if !ok {
				i = uint8(palette.Index(c)) //nolint:gosec // it has at most 256
				near[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	return out
}
