package gate

import (
	"context"
	"runtime"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/room"
)

// What takes memory, a connection or a processor has a bounded number of places. Repositories
// share them, so that one whose staging host hangs, or whose timestamps strangers send, does
// not keep the others waiting; and addresses share those of a repository.
const (
	maxBodies           = 8 // bodies that come, of which no newer timestamp of the vendor's has come yet
	maxBodiesPerAddress = 2

	maxUploads              = 8 // bodies that come behind the newest timestamp of a repository
	maxUploadsPerRepository = 2

	maxWaiting              = 8 // requests that have come whole, and wait or are judged
	maxWaitingPerRepository = 4
	maxWaitingPerAddress    = 2 // of one repository

	maxFetches              = 16 // timestamps that are fetched from where they are staged
	maxFetchesPerRepository = 4
	maxFetchesPerAddress    = 2 // of one repository
)

// places are those of a gate.
type places struct {
	bodies  *room.Room // by address
	uploads *room.Room // by repository, as the others
	waiting *room.Room
	fetches *room.Room
	working chan struct{} // judgements that use a processor
}

func newPlaces() places {
	return places{
		bodies:  room.New(maxBodies, maxBodiesPerAddress),
		uploads: room.New(maxUploads, maxUploadsPerRepository),
		waiting: room.New(maxWaiting, 0), // the repository's own room bounds its share
		fetches: room.New(maxFetches, 0),
		working: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
	}
}

// enter takes a place among those of a repository, which is kept, and among those of all, which
// is given up where a repository that has fewer needs it.
func enter(all, own *room.Room, repository, address string, giveUp func()) (leave func(), ok bool) {
	mine, ok := own.Enter(address, nil)
	if !ok {
		return nil, false
	}
	place, ok := all.Enter(repository, giveUp)
	if !ok {
		mine.Leave()
		return nil, false
	}
	return func() { place.Leave(); mine.Leave() }, true
}

// turn is a place among the judgements under way, which is free while its holder waits for
// somebody else.
type turn struct {
	working chan struct{}
	held    bool
}

// take waits for the place.
func (t *turn) take(ctx context.Context) error {
	select {
	case t.working <- struct{}{}:
		t.held = true
		return nil
	case <-ctx.Done():
		return refuse(client.CodeBusy, "", "other requests take too long")
	}
}

func (t *turn) leave() {
	if t.held {
		<-t.working
		t.held = false
	}
}

// without does what does not need the place.
func (t *turn) without(ctx context.Context, do func()) error {
	t.leave()
	do()
	return t.take(ctx)
}
