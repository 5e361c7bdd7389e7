package page_test

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Whatever is written on whatever can be read, in light and in dark (WCAG 2.2, 1.4.3).
func TestContrast(t *testing.T) {
	_, s := pages(t)
	css := string(body(t, get(t, s, "/style.css")))
	light, rest, ok := strings.Cut(css, "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("there is no dark style")
	}
	dark, _, _ := strings.Cut(rest, "\n}\n")
	on := map[string][]string{
		"paper": {"ink", "soft", "accent"}, "card": {"ink", "soft", "accent"}, "accent": {"card"},
		"good-soft": {"good"}, "wait-soft": {"wait", "ink", "accent"}, "bad-soft": {"bad", "ink", "accent"}, "note-soft": {"note", "ink", "soft", "accent"},
	}
	for name, text := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{3,6});`).FindAllStringSubmatch(text, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		for ground, words := range on {
			for _, word := range words {
				a, b := colours[ground], colours[word]
				if ratio := (max(a, b) + .05) / (min(a, b) + .05); ratio < 4.5 {
					t.Errorf("%s: %s on %s has a contrast of %.1f", name, word, ground, ratio)
				}
			}
		}
		if len(colours) < 14 {
			t.Errorf("%s has only %d colours", name, len(colours))
		}
	}
}

func luminance(t *testing.T, hex string) (sum float64) {
	if len(hex) == 3 {
		hex = strings.Join([]string{hex[:1], hex[:1], hex[1:2], hex[1:2], hex[2:], hex[2:]}, "")
	}
	for i, weight := range []float64{.2126, .7152, .0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		must(t, err)
		v := float64(n) / 255
		if v <= .04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}
