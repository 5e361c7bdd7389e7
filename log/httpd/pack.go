package httpd

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/packstore"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
)

// getPack serves the files that a bundle of entries names, in one piece.
func (s *Server) getPack(w http.ResponseWriter, r *http.Request) *problem {
	id, err := pack.ParsePath("tile/files/" + r.PathValue("path"))
	if err != nil {
		return problemf(http.StatusNotFound, api.CodeNotFound, "this is not the path of a pack")
	}
	if p := s.within(r, id); p != nil {
		return p
	}
	coding := packstore.Identity
	switch {
	case takes(r.Header, "zstd"):
		coding = packstore.Zstd
	case takesGzip(r.Header):
		coding = packstore.Gzip
	}
	p, made, trouble := s.pack(r, id, coding)
	if trouble != nil {
		return trouble
	}
	cache := immutable
	if !p.Whole {
		cache = "no-cache" // what is missing may come back
	}
	return s.send(w, r, content{mediaType: api.TypeBytes, cache: cache, body: p.Data, coded: true, coding: string(coding), made: made})
}

// pack returns a pack that is kept, or makes it. One is made at a time, and the sources
// have their turns, so that reading a log whose packs nobody has asked for yet takes one
// processor at most.
func (s *Server) pack(r *http.Request, id proofs.TileID, coding packstore.Coding) (p packstore.Pack, made func(), trouble *problem) {
	kept := func() (packstore.Pack, func(), *problem) {
		made, trouble := s.making(r, quota.MakingPack)
		if trouble != nil {
			return packstore.Pack{}, nil, trouble
		}
		p, err := s.packs.Kept(r.Context(), id.Index, coding)
		if err == nil {
			return p, made, nil
		}
		made()
		if !errors.Is(err, fs.ErrNotExist) {
			return packstore.Pack{}, nil, packFailed(id, err)
		}
		return packstore.Pack{}, nil, nil
	}
	full := id.Width == proofs.FullWidth
	if full {
		if p, made, trouble := kept(); made != nil || trouble != nil {
			return p, made, trouble
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), quota.MakingFor)
	defer cancel()
	if s.packing.Enter(ctx, s.sources.Network(r)) != nil {
		return packstore.Pack{}, nil, later(api.CodeBusy, "too many packs are asked for at once that have to be made")
	}
	defer s.packing.Leave()
	if full { // the one before may have made it
		if p, made, trouble := kept(); made != nil || trouble != nil {
			return p, made, trouble
		}
	}
	p, err := s.packs.Make(r.Context(), id, coding)
	if err != nil {
		return packstore.Pack{}, nil, packFailed(id, err)
	}
	return p, nil, nil
}

func packFailed(id proofs.TileID, err error) *problem {
	return problemf(http.StatusInternalServerError, api.CodeInternal, "%s cannot be made", pack.Path(id)).because(err)
}
