package gate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// fetcher gives the files of a staged repository.
type fetcher interface {
	Fetch(ctx context.Context, r verify.Request) ([]byte, error)
}

// sent is a staged repository that came as a tar file, by names.
type sent map[string][]byte

// Fetch is verify.Source's.
func (s sent) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	file, ok := s[r.URLName()]
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: r.URLName(), Err: fs.ErrNotExist}
	}
	return file, nil
}

// fetched is a staged repository at a URL. It gives up at a number of bytes in all.
type fetched struct {
	repository *device.Repository
	left       int64
	most       int64
	each       time.Duration // for one file
}

// Limits of what is fetched for one request.
const (
	fetchFor  = time.Minute // all together
	fetchRate = 1 << 10     // bytes a second at least
)

func newFetched(url string, hc *http.Client, most int64, each time.Duration) *fetched {
	return &fetched{left: most, most: most, each: each, repository: &device.Repository{
		URL: url, Client: fetch.Direct(hc), MinRate: fetchRate, Timeout: fetchFor,
	}}
}

// Fetch is verify.Source's.
func (f *fetched) Fetch(ctx context.Context, r verify.Request) ([]byte, error) {
	// With one byte more than is left it is too much.
	r.MaxLength = min(r.MaxLength, f.left+1)
	timed, cancel := context.WithTimeoutCause(ctx, f.each, fmt.Errorf("the file has taken longer than %v", f.each))
	defer cancel()
	b, err := f.repository.Fetch(timed, r)
	if errors.As(err, new(*device.TooLongError)) && r.MaxLength > f.left {
		f.left = -1
	}
	if f.left -= int64(len(b)); f.left < 0 {
		return nil, refuse(client.CodeTooLarge, "", "more than %d bytes in all", f.most)
	}
	return b, err
}

// elsewhere is a source that is waited for while others are judged.
type elsewhere struct {
	fetcher
	working *turn
}

// Fetch is verify.Source's.
func (e elsewhere) Fetch(ctx context.Context, r verify.Request) (b []byte, err error) {
	waited := e.working.without(ctx, func() { b, err = e.fetcher.Fetch(ctx, r) })
	return b, cmp.Or(err, waited)
}

// allowed reports whether a URL begins with one that may be fetched from, and nothing in it
// leads elsewhere.
func allowed(list []string, text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.ContainsAny(text, "#?\\") || u.String() != text || u.RawPath != "" {
		return false
	}
	if clean := path.Clean(u.Path); clean != u.Path && clean+"/" != u.Path {
		return false
	}
	for _, base := range list {
		if strings.HasPrefix(text, base) {
			return true
		}
	}
	return false
}

// run is the source of one run of the workflow. What it keeps is kept for good only if the
// gate signs: files of a staged repository that is refused are forgotten, so that a vendor can
// mend them under the same version.
type run struct {
	store  device.Store
	origin fetcher
	staged []byte // timestamp.json
	kept   []verify.Accepted

	served  fetcher // where clients find roots; nil: it is not looked at
	from    int64   // the first root that was found there; 0: none was
	trouble error   // why it could not be looked at
}

// Kept is verify.Source's.
func (s *run) Kept(ctx context.Context, role string) ([]byte, verify.Sidecars, error) {
	return s.store.Kept(ctx, role)
}

// Fetch is verify.Source's. The timestamp is the one that was looked at first.
func (s *run) Fetch(ctx context.Context, r verify.Request) ([]byte, error) {
	if r.Role == tuf.RoleTimestamp && r.Suffix == "" {
		return s.staged, nil
	}
	if r.Role == tuf.RoleRoot {
		return s.fetchRoot(ctx, r)
	}
	return s.origin.Fetch(ctx, r)
}

// fetchRoot fetches a root, or its proof. Who stages leaves out which roots he likes: one that is
// published counts also if it is not staged, so that nobody is signed for under keys that it has
// replaced. Where the served place cannot be looked at, what is staged has to do: a vendor whose
// site is down can go on, and who can take the site away can also show clients an older one.
func (s *run) fetchRoot(ctx context.Context, r verify.Request) ([]byte, error) {
	b, err := s.origin.Fetch(ctx, r)
	served := s.from > 0 && r.Version >= s.from
	if !errors.Is(err, fs.ErrNotExist) || s.served == nil || r.Suffix != "" && !served {
		return b, err
	}
	b, other := s.served.Fetch(ctx, r)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case other == nil:
		if s.from == 0 {
			s.from = r.Version
		}
		return b, nil
	case !errors.Is(other, fs.ErrNotExist):
		s.trouble = fetch.RedactError(other)
	}
	return nil, err
}

// Keep is verify.Source's.
func (s *run) Keep(_ context.Context, a verify.Accepted) error {
	s.kept = append(s.kept, a)
	return nil
}

// commit keeps all, and the state with it.
func (s *run) commit(ctx context.Context, state verify.State) error {
	for _, a := range s.kept {
		if err := s.store.Keep(ctx, a); err != nil {
			return err
		}
	}
	return s.store.SaveState(state)
}
