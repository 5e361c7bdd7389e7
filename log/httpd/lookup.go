package httpd

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/log/registry"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// caughtUp waits until the derived state has the leaves that are published now, so
// that a client finds the files that it was just told are logged, and returns the
// published size: entries beyond it are not shown yet. A state that is far behind is
// a problem.
func (s *Server) caughtUp(r *http.Request) (size int64, p *problem) {
	ctx, cancel := context.WithTimeout(r.Context(), quota.LevelFor)
	defer cancel()
	s.renew(ctx)
	size = s.view.Board().Published().Tree.N
	if err := s.view.Level().Wait(ctx, size); err != nil {
		return 0, later(api.CodeUnavailable, "%v", err)
	}
	return size, nil
}

func stateFailed(err error) *problem {
	return problemf(http.StatusInternalServerError, api.CodeInternal, "the derived state cannot be read").because(err)
}

// answerJSON writes an answer that changes as the log grows. Made is called once it
// has room among the large ones.
func (s *Server) answerJSON(w http.ResponseWriter, r *http.Request, v any, made func()) *problem {
	return s.send(w, r, content{mediaType: api.TypeJSON, cache: "no-cache", body: marshal(v), compress: true, made: made})
}

// listing begins an answer without a limit, from a state that has caught up with the published
// size. made ends the making of it.
func (s *Server) listing(r *http.Request) (size int64, made func(), p *problem) {
	if size, p = s.caughtUp(r); p != nil {
		return 0, nil, p
	}
	made, p = s.making(r, quota.MakingListing)
	return size, made, p
}

// lookup begins an answer of at most quota.MaxFound results, like listing. behind is how many
// leaves the target files are behind.
func (s *Server) lookup(r *http.Request) (size, behind int64, made func(), p *problem) {
	if size, p = s.caughtUp(r); p != nil {
		return 0, 0, nil, p
	}
	behind = s.view.Level().Behind(r.Context(), size) // it may wait, and takes no room meanwhile
	made, p = s.making(r, quota.MakingLookup)
	return size, behind, made, p
}

func (s *Server) getRepositories(w http.ResponseWriter, r *http.Request) *problem {
	size, made, p := s.listing(r)
	if p != nil {
		return p
	}
	defer made()
	counts, err := s.state.Repositories(r.Context(), size)
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
	return s.answerJSON(w, r, list, made)
}

func (s *Server) info(ctx context.Context, c log.RepositoryCount, size int64) (api.RepositoryInfo, *problem) {
	roles, err := s.view.Registry().Roles(ctx, c.ID)
	if err != nil {
		return api.RepositoryInfo{}, stateFailed(err)
	}
	roles = slices.DeleteFunc(roles, func(r api.RoleCurrent) bool { return r.Index >= size })
	return api.RepositoryInfo{
		ID:       c.ID.String(),
		Label:    (*s.labels.Load())[c.ID],
		Encoding: string(c.Encoding),
		Releases: c.Releases,
		Evidence: c.Evidence,
		Roles:    roles,
	}, nil
}

func (s *Server) getRepository(w http.ResponseWriter, r *http.Request) *problem {
	size, made, p := s.listing(r)
	if p != nil {
		return p
	}
	defer made()
	repository, p := s.repositoryID(r.Context(), r.PathValue("id"))
	if p != nil {
		return p
	}
	records, err := s.state.Records(r.Context(), repository)
	if err != nil {
		return stateFailed(err)
	}
	count := log.RepositoryCount{ID: repository}
	answer := api.Repository{Leaves: make([]api.Leaf, 0, len(records))}
	for _, rec := range records {
		if rec.Index >= size {
			break
		}
		count.Encoding = rec.Leaf.Encoding
		if rec.Leaf.Kind == leaf.Evidence {
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
	return s.answerJSON(w, r, answer, made)
}

func leafJSON(rec admit.Record) api.Leaf {
	return api.Leaf{Index: rec.Index, Fields: rec.Leaf.Fields()}
}

func (s *Server) getLookup(w http.ResponseWriter, r *http.Request) *problem {
	sum, err := tuf.ParseDigest(r.PathValue("hex"))
	if err != nil {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "a SHA-256 is 64 lower-case hex digits")
	}
	size, behind, made, p := s.lookup(r)
	if p != nil {
		return p
	}
	defer made()
	leaves, listings, err := s.state.Lookup(r.Context(), sum, quota.MaxFound+1)
	if err != nil {
		return stateFailed(err)
	}
	answer := api.Lookup{SHA256: sum.String(), Leaves: make([]api.Leaf, 0, len(leaves)), Behind: behind}
	_, err = s.blobs.Blob(r.Context(), sum)
	switch {
	case err == nil:
		answer.Blob = true
	case !errors.Is(err, fs.ErrNotExist):
		return stateFailed(err)
	}
	for _, rec := range leaves {
		if rec.Index >= size || len(answer.Leaves) == quota.MaxFound {
			answer.More = rec.Index < size
			break
		}
		answer.Leaves = append(answer.Leaves, leafJSON(rec))
	}
	var more bool
	answer.Targets, more = listingsJSON(listings, size)
	answer.More = answer.More || more
	return s.answerJSON(w, r, answer, made)
}

func (s *Server) getLookupSHA512(w http.ResponseWriter, r *http.Request) *problem {
	sum, ok := log.ParseSHA512(r.PathValue("hex"))
	if !ok {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "a SHA-512 is 128 lower-case hex digits")
	}
	return s.answerListings(w, r, func(ctx context.Context) ([]log.Listing, error) {
		return s.state.ListSHA512(ctx, sum, quota.MaxFound+1)
	})
}

func (s *Server) getLookupPath(w http.ResponseWriter, r *http.Request) *problem {
	path, ok := unescape(r.PathValue("path"))
	if !ok {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "a target path is percent-encoded UTF-8")
	}
	return s.answerListings(w, r, func(ctx context.Context) ([]log.Listing, error) {
		return s.state.ListPath(ctx, path, quota.MaxFound+1)
	})
}

func (s *Server) getLookupLength(w http.ResponseWriter, r *http.Request) *problem {
	length, err := proofs.ParseDecimal(r.PathValue("length"))
	if err != nil {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "a length is a decimal number of bytes")
	}
	return s.answerListings(w, r, func(ctx context.Context) ([]log.Listing, error) {
		return s.state.ListLength(ctx, length, quota.MaxFound+1)
	})
}

// answerListings answers with what find finds in a state that has caught up, and
// the published log has.
func (s *Server) answerListings(w http.ResponseWriter, r *http.Request, find func(context.Context) ([]log.Listing, error)) *problem {
	size, behind, made, p := s.lookup(r)
	if p != nil {
		return p
	}
	defer made()
	found, err := find(r.Context())
	if err != nil {
		return stateFailed(err)
	}
	targets, more := listingsJSON(found, size)
	return s.answerJSON(w, r, api.Listings{Targets: targets, More: more, Behind: behind}, made)
}

// unescape reads a percent-encoded part of a path.
func unescape(escaped string) (string, bool) {
	text, err := url.PathUnescape(escaped)
	return text, err == nil && text != "" && utf8.ValidString(text)
}

// listingsJSON converts the listings within a log of this size, at most
// quota.MaxFound, and reports whether there are more.
func listingsJSON(found []log.Listing, size int64) (list []api.Listing, more bool) {
	list = make([]api.Listing, 0, len(found))
	for _, l := range found {
		if l.Index >= size || len(list) == quota.MaxFound {
			return list, l.Index < size
		}
		list = append(list, api.Listing{
			Index:      l.Index,
			Kind:       string(l.Leaf.Kind),
			Repository: l.Leaf.Repository.String(),
			Role:       l.Leaf.Role,
			Version:    l.Leaf.Version,
			ListedFile: fileJSON(l.Target),
		})
	}
	return list, false
}

func fileJSON(t log.Target) api.ListedFile {
	f := api.ListedFile{Path: t.Path, Length: t.Length}
	if !t.SHA256.IsZero() {
		f.SHA256 = t.SHA256.String()
	}
	if t.SHA512 != (log.SHA512{}) {
		f.SHA512 = t.SHA512.String()
	}
	return f
}

// getFiles answers with the target files that a leaf's metadata lists.
func (s *Server) getFiles(w http.ResponseWriter, r *http.Request) *problem {
	index, err := proofs.ParseDecimal(r.PathValue("index"))
	if err != nil {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "an index is a decimal number")
	}
	size, p := s.caughtUp(r)
	if p != nil {
		return p
	}
	if index >= size {
		return problemf(http.StatusNotFound, api.CodeNotFound, "entry %d is not published", index)
	}
	if s.view.Board().Ended() && index == s.view.Board().Tree().N-1 {
		return problemf(http.StatusNotFound, api.CodeNotFound, "entry %d is the end of the log and lists nothing", index)
	}
	behind := s.view.Level().Behind(r.Context(), index+1)
	made, p := s.making(r, quota.MakingLookup)
	if p != nil {
		return p
	}
	defer made()
	rec, files, ok, err := s.state.Files(r.Context(), index, quota.MaxFound+1)
	if err == nil && !ok {
		err = registry.Damaged(index)
	}
	if err != nil {
		return stateFailed(err)
	}
	if !log.Lists(rec.Leaf.Role) {
		behind = 0
	}
	answer := api.Files{Leaf: leafJSON(rec), More: len(files) > quota.MaxFound, Behind: behind, Files: make([]api.ListedFile, 0, len(files))}
	for _, f := range files[:min(len(files), quota.MaxFound)] {
		answer.Files = append(answer.Files, fileJSON(f))
	}
	return s.answerJSON(w, r, answer, made)
}

// getRole answers with the versions of a role.
func (s *Server) getRole(w http.ResponseWriter, r *http.Request) *problem {
	size, p := s.caughtUp(r)
	if p != nil {
		return p
	}
	repository, p := s.repositoryID(r.Context(), r.PathValue("id"))
	if p != nil {
		return p
	}
	role, ok := unescape(r.PathValue("role"))
	if !ok {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "a role's name is percent-encoded UTF-8")
	}
	made, p := s.making(r, quota.MakingListing)
	if p != nil {
		return p
	}
	defer made()
	records, err := s.state.Versions(r.Context(), repository, role)
	if err != nil {
		return stateFailed(err)
	}
	current, err := s.view.Registry().Roles(r.Context(), repository)
	if err != nil {
		return stateFailed(err)
	}
	answer := api.Role{Repository: repository.String(), Role: role, Versions: make([]api.RoleVersion, 0, len(records))}
	for _, rec := range records {
		if rec.Index >= size {
			break
		}
		answer.Versions = append(answer.Versions, api.RoleVersion{
			Index:   rec.Index,
			Version: rec.Leaf.Version,
			Kind:    string(rec.Leaf.Kind),
			Current: slices.Contains(current, api.RoleCurrent{Role: role, Version: rec.Leaf.Version, Index: rec.Index}),
		})
	}
	if len(answer.Versions) == 0 {
		return problemf(http.StatusNotFound, api.CodeNotFound, "repository %v has no role %q here, or none is published yet", repository, role)
	}
	return s.answerJSON(w, r, answer, made)
}

// getProof serves the newest sidecar of an entry or, where the query asks for it, the newest
// one that auditors have cosigned.
func (s *Server) getProof(w http.ResponseWriter, r *http.Request) *problem {
	index, err := proofs.ParseDecimal(r.PathValue("index"))
	if err != nil {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "an index is a decimal number")
	}
	if index >= s.view.Board().Published().Tree.N {
		s.renew(r.Context())
	}
	under := s.view.Board().Published()
	if r.URL.Query().Has("audited") && index < under.Tree.N {
		var p *problem
		if under, p = s.auditedWith(index); p != nil {
			return p
		}
	}
	sidecar, err := s.view.Board().SidecarUnder(r.Context(), index, under)
	if errors.Is(err, log.ErrNotPublished) {
		return problemf(http.StatusNotFound, api.CodeNotFound, "%v", err)
	}
	if err != nil {
		return problemf(http.StatusInternalServerError, api.CodeInternal, "the proof of entry %d cannot be made", index).because(err)
	}
	return s.send(w, r, content{mediaType: api.TypeText, cache: "no-cache", body: sidecar})
}
