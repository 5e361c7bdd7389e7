package leader

import (
	"context"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
)

// roomFor is how long an answer of Room is used.
const roomFor = time.Second

// space remembers whether there is room for more.
type space struct {
	ask func() error // nil: there always is
	mu  sync.Mutex
	at  time.Time
	err error
}

// trouble returns the reason why nothing more can be stored, or nil.
func (s *space) trouble() error {
	if s.ask == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) >= roomFor {
		s.err, s.at = s.ask(), time.Now()
	}
	return s.err
}

// watchRoom logs when the room is used up, and when there is room again.
func (l *Log) watchRoom(ctx context.Context) {
	if l.space.ask == nil {
		return
	}
	var before error
	for {
		err := l.space.trouble()
		switch {
		case err != nil && before == nil:
			l.cfg.Logger.Error("nothing can be stored: no submission is taken until there is room", "err", err)
		case err == nil && before != nil:
			l.cfg.Logger.Info("there is room again")
		}
		before = err
		if wait.For(ctx, roomFor) != nil {
			return
		}
	}
}
