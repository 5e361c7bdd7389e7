package httpd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/intake"
)

// heldPrefix begins the name under which held files are polled: their IDs follow, with
// dots between them. So it needs no memory, and is the same for all senders of the same files.
const heldPrefix = "held."

const whyHeld = "the repository has a token, and this came without it: the files of others are judged anew after a while, or when the vendor's own file of this version is logged"

// heldUntil is the end of a hold as clients see it, rounded up so that none of them
// asks too early.
func heldUntil(h log.Held) string {
	return h.Until.Add(time.Second - time.Millisecond).Truncate(time.Second).UTC().Format(time.RFC3339)
}

// heldName is the name under which the held files of a submission are polled.
func heldName(sub *intake.Submission) string {
	var ids []string
	for _, f := range sub.State().Files {
		if f.Status == api.StatusHeld {
			ids = append(ids, f.Held.ID)
		}
	}
	return heldPrefix + strings.Join(ids, ".")
}

// answerHeld answers that files are held, and when to ask again.
func (s *Server) answerHeld(w http.ResponseWriter, location string, result *api.Result) *problem {
	wait := time.Duration(math.MaxInt64)
	for _, f := range result.Results {
		until, err := time.Parse(time.RFC3339, f.HeldUntil)
		if err != nil {
			wait = 0 // judged, and about to be published
			continue
		}
		wait = min(wait, until.Sub(s.now()))
	}
	w.Header().Set("Location", location)
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(wait.Seconds())))))
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, api.TypeJSON, http.StatusAccepted, result)
	return nil
}

// fullRetry is the Retry-After of the answer that there is not enough room to hold a
// file, in seconds.
const fullRetry = 3600

// holdFull is the problem that there was not enough room to hold a file, or nil.
func holdFull(sub *intake.Submission, result *api.Result) *problem {
	full := sub.State().Full
	var p *problem
	switch {
	case full == nil:
		return nil
	case errors.Is(full, log.ErrHoldShare):
		p = problemf(http.StatusTooManyRequests, api.CodeHoldFull, "no file was accepted: %v", full)
	default:
		p = problemf(http.StatusServiceUnavailable, api.CodeHoldFull, "no file was accepted: %v", full)
	}
	p.retryAfter = fullRetry
	p.Repository, p.Results = result.Repository, result.Results
	return p
}

// isHeldID reports whether a text looks like the ID of a held file. The store is asked
// for nothing else: not all of them take every text.
func isHeldID(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == intake.HeldIDSize && hex.EncodeToString(b) == text
}

// getHeld answers for files that are or were held, from the store.
func (s *Server) getHeld(w http.ResponseWriter, r *http.Request, list string) *problem {
	ids := strings.Split(list, ".")
	if s.holds == nil || int64(len(ids)) > s.limits.Hold.Files {
		return problemf(http.StatusNotFound, api.CodeNotFound, "no such submission")
	}
	published := s.view.Board().Published().Tree.N
	result := &api.Result{Done: true, Results: []api.FileResult{}}
	for i, id := range ids {
		var h log.Held
		err := fs.ErrNotExist
		if isHeldID(id) && !slices.Contains(ids[:i], id) { // named twice it would cost twice
			h, err = s.holds.Held(r.Context(), id)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return problemf(http.StatusNotFound, api.CodeNotFound, "no such submission, or no longer: send its files again to learn what became of them")
		}
		if err != nil {
			return problemf(http.StatusInternalServerError, api.CodeInternal, "the held files cannot be read").because(err)
		}
		fr, err := s.heldResult(r.Context(), h, published)
		if err != nil {
			return problemf(http.StatusInternalServerError, api.CodeInternal, "the log cannot answer for its own data").because(err)
		}
		if fr.Status == api.StatusHeld || fr.Status == api.StatusPending {
			result.Done = false
		}
		result.Repository = h.Repository.String()
		result.Results = append(result.Results, fr)
	}
	switch {
	case !result.Done:
		return s.answerHeld(w, submissionAt(r, heldPrefix+list), result)
	case allRefused(result):
		return noneAccepted(result)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, api.TypeJSON, http.StatusOK, result)
	return nil
}

// heldResult is the result for one file.
func (s *Server) heldResult(ctx context.Context, h log.Held, published int64) (api.FileResult, error) {
	fr := api.FileResult{File: h.Name, Role: h.Role, Version: h.Version, Status: api.StatusHeld, Index: -1}
	o := h.Outcome
	switch {
	case h.Ended.IsZero():
		fr.HeldUntil, fr.Detail = heldUntil(h), whyHeld
	case o.Index < 0:
		fr.Status, fr.Code, fr.Detail = o.Status, o.Code, o.Detail
	case o.Index >= published:
		fr.Status = api.StatusPending
	default:
		sidecar, err := s.view.Board().Sidecar(ctx, o.Index)
		if err != nil {
			return fr, fmt.Errorf("proof of entry %d: %w", o.Index, err)
		}
		fr.Status, fr.Index, fr.Sidecar = o.Status, o.Index, string(sidecar)
	}
	return fr, nil
}
