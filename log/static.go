package log

import (
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// What lies at a path that names its content never changes.
const immutable = "public, max-age=31536000, immutable"

// static returns the handler of a file of the log: the checkpoint, a tile, a
// bundle of entries, a blob. Each has exactly one path; there are no listings.
func (s *server) static(path string) handler {
	if path == "checkpoint" {
		return s.checkpoint
	}
	if id, err := proofs.ParseTilePath(path); err == nil {
		return func(w http.ResponseWriter, _ *http.Request) *problem { return s.tile(w, id) }
	}
	if hex, ok := strings.CutPrefix(path, "blob/sha256/"); ok {
		if sum, err := verify.ParseDigest(hex); err == nil {
			return func(w http.ResponseWriter, _ *http.Request) *problem { return s.blob(w, sum) }
		}
	}
	return nil
}

func (s *server) checkpoint(w http.ResponseWriter, _ *http.Request) *problem {
	published := s.log.publisher.Published()
	if published.Note == nil {
		return problemf(http.StatusNotFound, api.CodeNotFound, "nothing has been published yet")
	}
	writeBytes(w, api.TypeText, "no-cache", published.Note)
	return nil
}

// tile serves what the publisher has read back, published or not: only that is
// certain never to change.
func (s *server) tile(w http.ResponseWriter, id proofs.TileID) *problem {
	level := max(id.Level, 0)
	if widthAt(s.log.publisher.Tree().N, level, id.Index) < id.Width {
		return problemf(http.StatusNotFound, api.CodeNotFound, "the log is not that large")
	}
	var b []byte
	var err error
	if id.Level < 0 {
		b, err = s.log.cfg.Publisher.Storage.ReadEntries(id.Index, id.Width)
	} else {
		b, err = s.log.cfg.Publisher.Storage.ReadTile(id.Level, id.Index, id.Width)
	}
	if err != nil {
		return problemf(http.StatusInternalServerError, api.CodeInternal, "%s cannot be read", id.Path()).because(s, err)
	}
	writeBytes(w, "application/octet-stream", immutable, b)
	return nil
}

func (s *server) blob(w http.ResponseWriter, sum verify.Digest) *problem {
	b, err := s.log.cfg.Blobs.Blob(sum)
	if errors.Is(err, fs.ErrNotExist) {
		return problemf(http.StatusNotFound, api.CodeNotFound, "the log has no file with this SHA-256")
	}
	if err != nil {
		return problemf(http.StatusInternalServerError, api.CodeInternal, "blob %v cannot be read", sum).because(s, err)
	}
	writeBytes(w, "application/octet-stream", immutable, b)
	return nil
}

// because logs the cause of a problem, which is not the client's business.
func (p *problem) because(s *server, err error) *problem {
	s.log.cfg.Logger.Error("request failed", "problem", p.Detail, "err", err)
	return p
}

func writeBytes(w http.ResponseWriter, contentType, cache string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", cache)
	// An error here is a client that has gone; net/http drops the body of HEAD.
	_, _ = w.Write(b)
}
