package gate

import (
	"context"
	"runtime"
	"strconv"

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

	maxWaiting              = 8 // requests that have come whole with a vendor's newest timestamp, and wait or are judged
	maxWaitingPerRepository = 4
	maxWaitingPerVersion    = 2 // of one repository

	maxOthers              = 4 // requests that have come whole with another timestamp
	maxOthersPerRepository = 2
	maxOthersPerAddress    = 1 // of one repository

	maxFetches              = 16 // timestamps that are fetched from where they are staged
	maxFetchesPerRepository = 4
	maxFetchesPerAddress    = 2 // of one repository
)

// places are those of a gate.
type places struct {
	bodies  *room.Room // by address
	uploads *room.Room // by repository, as the others
	waiting *room.Room
	others  *room.Room
	fetches *room.Room
	working chan struct{} // judgements that use a processor
}

func newPlaces() places {
	return places{
		bodies:  room.New(maxBodies, maxBodiesPerAddress),
		uploads: room.New(maxUploads, maxUploadsPerRepository),
		// The repository's own rooms bound its share. Who is being judged comes to an end.
		waiting: room.NewSettled(maxWaiting, 0),
		others:  room.NewSettled(maxOthers, 0),
		fetches: room.New(maxFetches, 0),
		working: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
	}
}

// enter takes a place among those of a repository, which is kept, and among those of all, which
// is given up where a repository that has fewer needs it.
func enter(all, own *room.Room, repository, address string, giveUp func()) (leave func(), ok bool) {
	mine, ok := own.Enter(address, nil)
	return enterAll(all, mine, ok, repository, giveUp)
}

// wait takes a place for a request that has come whole. Those with a vendor's newest timestamp
// have theirs apart: what others have judged may take long where somebody does not answer. Once it
// is published anybody can send it, so one of them may have to make room for a newer one.
func (p *places) wait(r *repository, in *incoming, giveUp func()) (leave func(), ok bool) {
	if !in.newest {
		return enter(p.others, r.others, r.cfg.Name, in.address, giveUp)
	}
	mine, ok := r.waiting.Enter(strconv.FormatInt(in.timestamp.Version, 10), giveUp)
	return enterAll(p.waiting, mine, ok, r.cfg.Name, giveUp)
}

// enterAll takes a place among those of all for who has one among those of a repository.
func enterAll(all *room.Room, mine *room.Place, ok bool, repository string, giveUp func()) (leave func(), _ bool) {
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
