package monitor

import (
	"context"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about which repository an id of the configuration means. Anybody can register one
// whose id begins as another's, so that a beginning means for good what it meant first.

// wholeID is the length of an id in hex.
const wholeID = 2 * len(tuf.Digest{})

// namedName is the name in the state of the id that a beginning of it means.
func namedName(beginning string) string { return "repository " + beginning }

// ambiguous is what is said of an id that means several repositories.
func ambiguous(id string, n int) string {
	return fmt.Sprintf("%s is the beginning of %d ids in the log: give the whole one", id, n)
}

// findRepositories finds the repositories of which the configuration has the beginning of the
// id, once and for all. whole says that the log has just been read to its end.
func (f *follower) findRepositories(ctx context.Context, whole bool) error {
	if f.named == nil {
		f.named = map[string]bool{}
	}
	for i, r := range f.log.Repositories {
		if len(r.ID) == wholeID || f.named[r.ID] {
			continue
		}
		db := f.a.State()
		text, err := db.Get(ctx, namedName(r.ID))
		if err != nil {
			return err
		}
		n := 1
		if text == "" {
			if !whole {
				continue // more may come that begin so
			}
			n = 0
			err := db.Repositories(ctx, r.ID, func(x state.Repository) error {
				n++
				text = x.ID.String()
				return nil
			})
			if err != nil {
				return err
			}
			if n == 1 {
				if err := db.Set(ctx, namedName(r.ID), text); err != nil {
					return err
				}
			}
		}
		var found []audit.Finding
		if n == 1 {
			id, err := tuf.ParseDigest(text)
			if err != nil || !strings.HasPrefix(text, r.ID) {
				return &state.Error{Err: fmt.Errorf("%w: repository %s is kept as %q", state.ErrDamaged, r.ID, text)}
			}
			f.named[r.ID] = true
			f.is(i, id)
		} else if n > 1 && r.Expectations != "" {
			found = append(found, audit.NewFinding(audit.ExpectationsStale, -1, tuf.Digest{}, "", 0,
				"nothing of "+tuf.Word(r.Name)+" is compared with what its vendor expects: "+ambiguous(r.ID, n)).About(r.Name+" "+r.ID))
		}
		if err := f.a.Watched(ctx, watchedID(r), found); err != nil {
			return err
		}
	}
	return nil
}

// watchedID is what findings about the id of a repository are watched as.
func watchedID(r RepositoryConfig) string { return idWatched + r.ID + " " + r.Name }

// idWatched is what these names begin with.
const idWatched = "id "

// is tells those who watch the i-th repository which it is.
func (f *follower) is(i int, id tuf.Digest) {
	for _, l := range f.live {
		if l.cfg.Name == f.log.Repositories[i].Name {
			l.cfg.ID = id.String()
		}
	}
	for _, e := range f.expected {
		if e.repository == i {
			e.Is(id)
		}
	}
	f.set(func(s *Status) { s.Repositories[i].ID = id })
}
