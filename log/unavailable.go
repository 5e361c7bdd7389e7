package log

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// ErrUnavailable means that a server of the log's storage or state cannot be
// reached, or has no free connection. The request itself is fine and may succeed
// in a few seconds; HTTP answers it with 503.
var ErrUnavailable = errors.New("not available at the moment")

// endTime limits an operation that is completed although its request or process has
// ended.
const endTime = 30 * time.Second

// ToTheEnd returns a context for an operation that must not be interrupted, because
// others wait for it or its outcome must be known. It is not cancelled with ctx and
// ends after 30 s.
func ToTheEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), endTime)
}

// Noted reads tiles and remembers in Err why a read failed. Unlike tiles that are
// missing or contradict each other, such a failure proves nothing about a log: it
// may be temporary.
type Noted struct {
	Tiles proofs.TileReader
	Err   error
}

// ReadTile implements proofs.TileReader.
func (n *Noted) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	b, err := n.Tiles.ReadTile(ctx, level, index, width)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.Err = err
	}
	return b, err
}
