package page

import (
	"context"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
)

// chart is the size of a log over time: points at which a quorum of witnesses had cosigned.
type chart struct {
	Points []point `json:"points"` // in order of time and size
}

type point struct {
	Size int64 `json:"size"`
	Time int64 `json:"time"` // POSIX seconds
}

// maxPoints is how many points a chart has; each takes a checkpoint to be read.
const maxPoints = 40

// chartKey is of a chart, and seenKey of an entry, in a file of the state.
type chartKey struct {
	file uint64
	size int64
}

type seenKey struct {
	file  uint64
	index int64
}

// growth returns the chart. It is made again when the log has grown.
func (b *book) growth(ctx context.Context, db *reader) (*chart, error) {
	key := chartKey{db.File(), db.Size()}
	if c, ok := b.charts.get(key); ok {
		return c, nil
	}
	c, err := b.readGrowth(ctx, db, key.size)
	if err == nil {
		b.charts.put(key, c)
	}
	return c, err
}

// readGrowth reads the checkpoints at even steps of the size.
func (b *book) readGrowth(ctx context.Context, db *reader, size int64) (*chart, error) {
	c := &chart{}
	last := int64(-1)
	for i := int64(1); i <= maxPoints && size > 0; i++ {
		upTo := size * i / maxPoints
		if upTo <= last || upTo == 0 {
			continue
		}
		err := db.NotesUpTo(ctx, upTo, func(note []byte) error {
			of, err := b.Policy.OpenCheckpoint(note)
			if err != nil || of.Origin != b.origin || of.Tree.N <= last {
				if err == nil {
					return errEnough
				}
				return nil // another one of its size may have a quorum
			}
			if at, ok := quorumTime(b.Policy, of); ok && (len(c.Points) == 0 || at >= c.Points[len(c.Points)-1].Time) {
				c.Points = append(c.Points, point{of.Tree.N, at})
				last = of.Tree.N
			}
			return errEnough
		})
		if enough(err) != nil {
			return nil, err
		}
	}
	if len(c.Points) < 2 {
		return nil, nil
	}
	return c, nil
}

// seen returns when a quorum of witnesses had cosigned a tree with an entry, 0 if it is not
// known. It does not change once it is known, but for cosignatures that come late.
func (b *book) seen(ctx context.Context, db *reader, index int64) (at int64, err error) {
	key := seenKey{db.File(), index}
	if at, ok := b.sightings.get(key); ok {
		return at, nil
	}
	err = db.FirstNoteOver(ctx, index, func(note []byte) bool {
		of, err := b.Policy.OpenCheckpoint(note)
		if err != nil || of.Origin != b.origin {
			return false // another one may have a quorum
		}
		at, _ = quorumTime(b.Policy, of)
		return true
	})
	if err == nil && at > 0 {
		b.sightings.put(key, at)
	}
	return at, err
}

// The chart's measures, in its own units.
const (
	chartWide, chartHigh            = 640, 180
	chartLeft, chartTop             = 8, 10
	chartRight, chartBottom         = chartWide - 8, chartHigh - 10
	chartAcross, chartUp    float64 = chartRight - chartLeft, chartBottom - chartTop
)

// SVG draws the chart. Colours come from the style sheet.
func (c *chart) SVG() template.HTML {
	first, last := c.Points[0], c.Points[len(c.Points)-1]
	x := func(p point) float64 {
		if last.Time == first.Time {
			return chartLeft + chartAcross*float64(p.Size-first.Size)/float64(max(last.Size-first.Size, 1))
		}
		return chartLeft + chartAcross*float64(p.Time-first.Time)/float64(last.Time-first.Time)
	}
	y := func(p point) float64 { return chartBottom - chartUp*float64(p.Size)/float64(max(last.Size, 1)) }
	var line strings.Builder
	for i, p := range c.Points {
		if i > 0 {
			fmt.Fprintf(&line, "H%.1fV%.1f", x(p), y(p))
			continue
		}
		fmt.Fprintf(&line, "M%.1f %.1f", x(p), y(p))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %d %d" role="img" aria-labelledby="chart-says" preserveAspectRatio="none">`, chartWide, chartHigh)
	fmt.Fprintf(&b, `<title id="chart-says">%s</title>`, template.HTMLEscapeString(c.Says()))
	for i := range 5 {
		at := chartTop + chartUp*float64(i)/4
		fmt.Fprintf(&b, `<path class="grid" d="M%d %.1fH%d"/>`, chartLeft, at, chartRight)
	}
	fmt.Fprintf(&b, `<path class="area" d="%sV%dH%.1fZ"/><path class="line" d="%s"/>`, line.String(), chartBottom, x(first), line.String())
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // numbers and escaped words
}

// Says is what the chart shows, in a sentence.
func (c *chart) Says() string {
	first, last := c.Points[0], c.Points[len(c.Points)-1]
	from, to := date(first.Time), date(last.Time)
	if from == to {
		clock := func(p point) string { return time.Unix(p.Time, 0).UTC().Format("15:04:05") }
		return fmt.Sprintf("The log grew from %s at %s to %s at %s UTC on %s.", plural(first.Size, "entry"), clock(first), plural(last.Size, "entry"), clock(last), to)
	}
	return fmt.Sprintf("The log grew from %s on %s to %s on %s, in UTC.", plural(first.Size, "entry"), from, plural(last.Size, "entry"), to)
}

func date(seconds int64) string {
	d, _, _ := strings.Cut(audit.When(seconds), "T")
	return d
}
