package httpd

import (
	"errors"
	"io/fs"
	"net/http"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// The content at a path that names it never changes.
const immutable = "public, max-age=31536000, immutable"

func (s *Server) getCheckpoint(w http.ResponseWriter, r *http.Request) *problem {
	s.renew(r.Context())
	published := s.view.Board().Checkpoint()
	if published.Note == nil {
		leader, _ := s.view.Leader()
		if _, err := s.view.Board().Failing(); err != nil && leader != nil { // there may be one
			return later(api.CodeUnavailable, "%v", err)
		}
		return problemf(http.StatusNotFound, api.CodeUnpublished, "nothing has been published yet")
	}
	return s.send(w, r, content{mediaType: api.TypeText, cache: "no-cache", body: published.Note})
}

// getTile serves a tile of hashes or a bundle of entries. Each has exactly one
// path; there are no listings.
func (s *Server) getTile(w http.ResponseWriter, r *http.Request) *problem {
	path := r.PathValue("path")
	id, err := proofs.ParseTilePath("tile/" + path)
	if err != nil {
		return problemf(http.StatusNotFound, api.CodeNotFound, "this is not the path of a tile or a bundle of entries")
	}
	return s.tile(w, r, id)
}

// tile serves entries that the publisher has read back, published or not: only those are
// certain never to change.
func (s *Server) tile(w http.ResponseWriter, r *http.Request, id proofs.TileID) *problem {
	if p := s.within(r, id); p != nil {
		return p
	}
	var b []byte
	var err error
	if id.Level < 0 {
		b, err = s.storage.ReadEntries(r.Context(), id.Index, id.Width)
	} else {
		b, err = s.storage.ReadTile(r.Context(), id.Level, id.Index, id.Width)
	}
	if err != nil {
		return problemf(http.StatusInternalServerError, api.CodeInternal, "%s cannot be read", id.Path()).because(err)
	}
	// Hashes do not compress.
	return s.send(w, r, content{mediaType: api.TypeBytes, cache: immutable, body: b, compress: id.Level < 0})
}

// within is a problem unless the tile is within what the publisher has read back.
func (s *Server) within(r *http.Request, id proofs.TileID) *problem {
	if !id.In(s.view.Board().Tree().N) {
		s.renew(r.Context())
	}
	if !id.In(s.view.Board().Tree().N) {
		return problemf(http.StatusNotFound, api.CodeNotFound, "the log is not that large")
	}
	return nil
}

func (s *Server) getBlob(w http.ResponseWriter, r *http.Request) *problem {
	sum, err := tuf.ParseDigest(r.PathValue("hex"))
	if err != nil {
		return problemf(http.StatusNotFound, api.CodeNotFound, "files are named by their SHA-256, 64 lower-case hex digits")
	}
	made, p := s.making(r, 1)
	if p != nil {
		return p
	}
	b, err := s.blobs.Blob(r.Context(), sum)
	made()
	if errors.Is(err, fs.ErrNotExist) {
		return problemf(http.StatusNotFound, api.CodeNotFound, "the log has no file with this SHA-256")
	}
	if err != nil {
		return problemf(http.StatusInternalServerError, api.CodeInternal, "blob %v cannot be read", sum).because(err)
	}
	return s.send(w, r, content{mediaType: api.TypeBytes, cache: immutable, body: b})
}
