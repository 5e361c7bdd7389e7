package log

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// ErrUnavailable means that a server which the log's storage or state depends on
// cannot be reached, or has no connection to spare. Nothing is wrong with what was
// asked: the same may succeed in a few seconds, and HTTP says 503.
var ErrUnavailable = errors.New("not available at the moment")

// endTime bounds what is brought to its end though the request or the process that began
// it goes on without it.
const endTime = 30 * time.Second

// ToTheEnd returns a context for what must not be broken off in the middle: others wait
// for it, or its outcome has to be known.
func ToTheEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), endTime)
}

// Noted reads tiles and notes what kept it from that. Unlike tiles that contradict
// each other, or that are not there, that is no verdict on a log: it may pass.
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
