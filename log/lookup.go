package log

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/verify"
)

// maxFound bounds the answer to a lookup: leaves, and releases that list a file.
const maxFound = 10000

// caughtUp waits until the derived state has what is published now, so that a
// client finds what it was just told is logged, and returns the published size:
// what is integrated beyond it is nobody's business yet. A state that is far
// behind is no answer.
func (s *server) caughtUp(r *http.Request) (size int64, p *problem) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	size = s.log.publisher.Published().Tree.N
	if err := s.log.indexer.wait(ctx, size); err != nil {
		return 0, later(api.CodeUnavailable, "%v", err)
	}
	return size, nil
}

func stateFailed(err error) *problem {
	return problemf(http.StatusInternalServerError, api.CodeInternal, "the derived state cannot be read").because(err)
}

// answerJSON writes an answer that changes as the log grows.
func answerJSON(w http.ResponseWriter, r *http.Request, v any) {
	send(w, r, content{api.TypeJSON, "no-cache", marshal(v), true})
}

func (s *server) getRepositories(w http.ResponseWriter, r *http.Request, _ string) *problem {
	size, p := s.caughtUp(r)
	if p != nil {
		return p
	}
	counts, err := s.log.cfg.State.Repositories(r.Context(), size)
	if err != nil {
		return stateFailed(err)
	}
	list := api.RepositoryList{Repositories: make([]api.RepositoryInfo, 0, len(counts))}
	for _, c := range counts {
		info, p := s.info(r.Context(), c, size)
		if p != nil {
			return p
		}
		list.Repositories = append(list.Repositories, info)
	}
	answerJSON(w, r, list)
	return nil
}

func (s *server) info(ctx context.Context, c RepositoryCount, size int64) (api.RepositoryInfo, *problem) {
	roles, err := s.log.registry.roles(ctx, c.ID)
	if err != nil {
		return api.RepositoryInfo{}, stateFailed(err)
	}
	roles = slices.DeleteFunc(roles, func(r api.RoleCurrent) bool { return r.Index >= size })
	return api.RepositoryInfo{
		ID:       c.ID.String(),
		Label:    s.log.cfg.Labels[c.ID],
		Encoding: string(c.Encoding),
		Releases: c.Releases,
		Evidence: c.Evidence,
		Roles:    roles,
	}, nil
}

func (s *server) getRepository(w http.ResponseWriter, r *http.Request, id string) *problem {
	repository, p := s.repositoryID(id)
	if p != nil {
		return p
	}
	size, p := s.caughtUp(r)
	if p != nil {
		return p
	}
	records, err := s.log.cfg.State.Records(r.Context(), repository)
	if err != nil {
		return stateFailed(err)
	}
	count := RepositoryCount{ID: repository}
	answer := api.Repository{Leaves: make([]api.Leaf, 0, len(records))}
	for _, rec := range records {
		if rec.Index >= size {
			break
		}
		count.Encoding = rec.Leaf.Encoding
		if rec.Leaf.Kind == verify.Evidence {
			count.Evidence++
		} else {
			count.Releases++
		}
		answer.Leaves = append(answer.Leaves, leafJSON(rec))
	}
	if len(answer.Leaves) == 0 {
		return problemf(http.StatusNotFound, api.CodeUnknownRepo, "the first root of repository %v is not published yet", repository)
	}
	if answer.RepositoryInfo, p = s.info(r.Context(), count, size); p != nil {
		return p
	}
	answerJSON(w, r, answer)
	return nil
}

func leafJSON(rec verify.Record) api.Leaf {
	l := api.Leaf{
		Index:      rec.Index,
		Kind:       string(rec.Leaf.Kind),
		Repository: rec.Leaf.Repository.String(),
		Role:       rec.Leaf.Role,
		Version:    rec.Leaf.Version,
		Payload:    rec.Leaf.Payload.String(),
		Metadata:   rec.Leaf.Metadata.String(),
		Size:       rec.Leaf.Size,
		Encoding:   string(rec.Leaf.Encoding),
	}
	if !rec.Leaf.Snapshot.IsZero() {
		l.Snapshot = rec.Leaf.Snapshot.String()
	}
	if rec.Leaf.Kind == verify.Evidence {
		l.Contradicts = &rec.Leaf.Contradicts
	}
	return l
}

func (s *server) getLookup(w http.ResponseWriter, r *http.Request, hex string) *problem {
	sum, err := verify.ParseDigest(hex)
	if err != nil {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "a SHA-256 is 64 lower-case hex digits")
	}
	size, p := s.caughtUp(r)
	if p != nil {
		return p
	}
	leaves, listings, err := s.log.cfg.State.Lookup(r.Context(), sum, maxFound)
	if err != nil {
		return stateFailed(err)
	}
	answer := api.Lookup{SHA256: sum.String(), Leaves: make([]api.Leaf, 0, len(leaves)), Targets: make([]api.Listing, 0, len(listings))}
	switch _, err := s.log.cfg.Blobs.Blob(sum); {
	case err == nil:
		answer.Blob = true
	case !errors.Is(err, fs.ErrNotExist):
		return stateFailed(err)
	}
	for _, rec := range leaves {
		if rec.Index >= size {
			break
		}
		answer.Leaves = append(answer.Leaves, leafJSON(rec))
	}
	for _, l := range listings {
		if l.Index >= size {
			break
		}
		answer.Targets = append(answer.Targets, api.Listing{
			Index:      l.Index,
			Kind:       string(l.Leaf.Kind),
			Repository: l.Leaf.Repository.String(),
			Role:       l.Leaf.Role,
			Version:    l.Leaf.Version,
			Path:       l.Path,
			Length:     l.Length,
		})
	}
	answerJSON(w, r, answer)
	return nil
}

// getProof serves the newest sidecar of an entry.
func (s *server) getProof(w http.ResponseWriter, r *http.Request, elem string) *problem {
	index, ok := decimal(elem)
	if !ok {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "an index is a decimal number")
	}
	sidecar, err := s.log.publisher.Sidecar(index)
	if errors.Is(err, ErrNotPublished) {
		return problemf(http.StatusNotFound, api.CodeNotFound, "%v", err)
	}
	if err != nil {
		return problemf(http.StatusInternalServerError, api.CodeInternal, "the proof of entry %d cannot be made", index).because(err)
	}
	send(w, r, content{api.TypeText, "no-cache", sidecar, false})
	return nil
}

// decimal reads a number written in its one way: no sign, no leading zero.
func decimal(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}
