package httpd

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/intake"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
)

// postRepository registers a repository by its genesis root, or finds the one
// that has the root already.
func (s *Server) postRepository(w http.ResponseWriter, r *http.Request) *problem {
	from := s.sources.Of(r)
	if p := s.mayRegister(from); p != nil {
		return p
	}
	if p := s.cannotTake(r.Context()); p != nil {
		return p
	}
	body, held, p := s.body(w, r, from, tuf.MaxFileSize)
	if p != nil {
		return p
	}
	name := "root.json"
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType == api.TypeProtobuf {
		name = "root.pb"
	}
	sub, p := s.parse(r.Context(), held, []intake.Uploaded{{Name: name, Data: body}})
	if p != nil {
		held.release()
		return p
	}
	sub.Release = held.release
	sub.Genesis = true
	if m := sub.Root(); m != nil {
		sub.Repository = m.PayloadDigest
		at, logged, err := s.view.Registry().RootAt(r.Context(), m.PayloadDigest)
		if err != nil {
			held.release()
			return stateFailed(err)
		}
		if s.closed && !logged {
			held.release()
			return problemf(http.StatusForbidden, api.CodeClosed, "this log takes no new repositories, and has none with this root")
		}
		if logged {
			s.oldToken(r, from, sub, at.Repository)
		} else if p := s.giveToken(r, from, sub); p != nil {
			held.release()
			return p
		}
	}
	return s.take(w, r, from, sub)
}

// postMetadata takes files of a repository that is in the log.
func (s *Server) postMetadata(w http.ResponseWriter, r *http.Request) *problem {
	repository, p := s.repositoryID(r.Context(), r.PathValue("id"))
	if p != nil {
		return p
	}
	if p := s.cannotTake(r.Context()); p != nil {
		return p
	}
	from := s.sources.Of(r)
	if p := s.wrongToken(r.Context(), from, repository); p != nil {
		return p
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != api.TypeTar && mediaType != api.TypeJSON && mediaType != api.TypeProtobuf {
		return problemf(http.StatusUnsupportedMediaType, api.CodeMediaType, "Content-Type is %q: send a tar of files as %s, one root as %s, or one root or targets of Pigweed as %s",
			r.Header.Get("Content-Type"), api.TypeTar, api.TypeJSON, api.TypeProtobuf)
	}
	limit := int64(tuf.MaxFileSize)
	if mediaType == api.TypeTar {
		limit = api.MaxSubmission
	}
	body, held, p := s.body(w, r, from, limit)
	if p != nil {
		return p
	}
	var uploads []intake.Uploaded
	switch mediaType {
	case api.TypeTar:
		if uploads, p = untar(body); p != nil {
			held.release()
			return p
		}
	case api.TypeJSON:
		uploads = []intake.Uploaded{{Name: "root.json", Data: body}}
	default:
		uploads = []intake.Uploaded{{Name: api.AnyPigweed, Data: body}}
	}
	sub, p := s.parse(r.Context(), held, uploads)
	if p != nil {
		held.release()
		return p
	}
	sub.Release = held.release
	sub.Repository = repository
	return s.take(w, r, from, sub)
}

// repositoryID reads an element of a path that names a repository of the log.
func (s *Server) repositoryID(ctx context.Context, elem string) (tuf.Digest, *problem) {
	id, err := tuf.ParseDigest(elem)
	if err != nil {
		return id, problemf(http.StatusNotFound, api.CodeUnknownRepo, "repositories are named by 64 lower-case hex digits")
	}
	known, err := s.view.Registry().Known(ctx, id)
	if err != nil {
		return id, stateFailed(err)
	}
	if !known {
		return id, problemf(http.StatusNotFound, api.CodeUnknownRepo, "the log has no repository %v; register its first root with POST /v1/repositories", id)
	}
	return id, nil
}

// maxFileName is how long a file's name may be: longer than that of any role whose
// name fits a leaf. The answer to a submission is kept for a while.
const maxFileName = leaf.MaxSize

// untar finds the files of a submission in its body, of which they are parts: unpacking
// takes no memory besides. A sparse file could be very much larger than the body, and is
// refused.
func untar(body []byte) ([]intake.Uploaded, *problem) {
	bad := func(format string, args ...any) ([]intake.Uploaded, *problem) {
		return nil, problemf(http.StatusBadRequest, api.CodeBadRequest, "the tar: "+format, args...)
	}
	large := func(format string, args ...any) ([]intake.Uploaded, *problem) {
		return nil, problemf(http.StatusRequestEntityTooLarge, api.CodeTooLarge, "the tar: "+format, args...)
	}
	if bytes.HasPrefix(body, []byte("\x1f\x8b")) {
		return bad("it is gzipped: send it as tar makes it without -z")
	}
	var files []intake.Uploaded
	names := map[string]bool{}
	total := int64(0)
	r := bytes.NewReader(body)
	buf := make([]byte, 4096)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return bad("%v", err)
		}
		switch {
		case h.Typeflag == tar.TypeXGlobalHeader:
			continue
		case h.Typeflag == tar.TypeDir:
			return bad("%q is a folder: pack the files by their names, as tar -cf release.tar *.json does", h.Name)
		case h.Typeflag != tar.TypeReg:
			return bad("%q is not a regular file", h.Name)
		case len(h.Name) > maxFileName:
			return bad("a file's name has %d bytes, more than %d", len(h.Name), maxFileName)
		case h.Name == "" || strings.ContainsAny(h.Name, "/\\\x00"):
			return bad("%q is not a plain file name", h.Name)
		case names[h.Name]:
			return bad("%q is in it twice", h.Name)
		case len(files) == api.MaxFiles:
			return large("more than %d files", api.MaxFiles)
		case h.Size > tuf.MaxFileSize:
			return large("%q has %d bytes, more than %d", h.Name, h.Size, tuf.MaxFileSize)
		}
		if total += h.Size; total > int64(len(body)) {
			return bad("%q is longer than the archive that carries it", h.Name)
		}
		data := body[len(body)-r.Len():]
		if int64(len(data)) < h.Size {
			return bad("%q: %v", h.Name, io.ErrUnexpectedEOF)
		}
		data = data[:h.Size:h.Size]
		// The file is where it stands, which is not true of a sparse one.
		if _, err := io.CopyBuffer(&same{data}, tr, buf); err != nil {
			return bad("%q: %v", h.Name, err)
		}
		names[h.Name] = true
		files = append(files, intake.Uploaded{Name: h.Name, Data: data})
	}
	if len(files) == 0 {
		return bad("no file in it")
	}
	return files, nil
}

// same takes all that is left, and nothing else.
type same struct{ left []byte }

func (s *same) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(s.left, p) {
		return 0, errors.New("a sparse file")
	}
	s.left = s.left[len(p):]
	return len(p), nil
}

// take queues a submission and answers it as far as it gets while the client
// waits.
func (s *Server) take(w http.ResponseWriter, r *http.Request, from quota.Source, sub *intake.Submission) *problem {
	from = s.sources.ForRepository(r.Context(), from, sub.Repository)
	sub.From = from
	if !s.sources.Queue.Take(from, 1) {
		sub.Release()
		s.keepToken(r.Context(), sub)
		return later(api.CodeBusy, "%v but for others", intake.ErrFull)
	}
	bytes := sub.Release
	giveBack := func() { bytes(); s.sources.Queue.GiveBack(from, 1) }
	request := context.WithoutCancel(r.Context()) // it is decided whether its client waits or not
	sub.Release = func() {
		giveBack()
		s.keepToken(request, sub)
		s.noteRegistration(sub)
	}
	switch err := s.view.Submit(sub); {
	case errors.Is(err, intake.ErrDraining):
		giveBack()
		s.keepToken(r.Context(), sub)
		return later(api.CodeUnavailable, "%v", err)
	case err != nil:
		giveBack()
		s.keepToken(r.Context(), sub)
		return later(api.CodeBusy, "%v", err)
	}
	return s.answer(w, r, sub)
}

// submissionAt is where a submission is polled, as seen from where it was asked about:
// a proxy in front may serve the log below a path that the log does not know.
func submissionAt(r *http.Request, id string) string {
	above := strings.Count(strings.TrimPrefix(r.URL.EscapedPath(), "/v1/"), "/")
	return strings.Repeat("../", above) + "submissions/" + id
}

// getSubmission answers a submission again.
func (s *Server) getSubmission(w http.ResponseWriter, r *http.Request) *problem {
	id := r.PathValue("submission")
	if list, ok := strings.CutPrefix(id, heldPrefix); ok {
		return s.getHeld(w, r, list)
	}
	sub, ok := s.polled.get(id)
	if !ok {
		return problemf(http.StatusNotFound, api.CodeNotFound, "no such submission, or no longer: send its files again to learn what became of them")
	}
	return s.answer(w, r, sub)
}

// answer waits until the submission is done, for as long as the client likes,
// and answers how far it is.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, sub *intake.Submission) *problem {
	ctx, cancel := context.WithTimeout(r.Context(), PreferredWait(r.Header))
	defer cancel()
	select {
	case <-sub.Decided:
		// A submission without an accepted file has nothing to wait for.
		if err := s.waitPublished(ctx, sub.Needs()); err != nil {
			return later(api.CodeUnavailable, "%v", err)
		}
	case <-ctx.Done():
	case <-s.running.Done():
	case <-s.view.Board().Stopped():
	}
	result, err := s.result(r.Context(), sub)
	if err != nil {
		return problemf(http.StatusInternalServerError, api.CodeInternal, "the log cannot answer for its own data").because(err)
	}
	switch {
	case result.Held():
		// Told by the store, at any front end and after any start.
		return s.answerHeld(w, submissionAt(r, heldName(sub)), result)
	case !result.Done:
		if err := s.view.Board().Halted(); err != nil {
			return later(api.CodeUnavailable, "%v", err)
		}
		if s.ending(ctx) && s.sources.FromFrontEnd(r) {
			// Nobody could poll it here for long: the next leader takes it.
			return notLeader()
		}
		s.polled.add(sub)
		w.Header().Set("Location", submissionAt(r, sub.ID))
		w.Header().Set("Cache-Control", "no-store")
		writeJSON(w, api.TypeJSON, http.StatusAccepted, result)
	case allRefused(result):
		if p := holdFull(sub, result); p != nil {
			return p
		}
		return noneAccepted(result)
	default:
		w.Header().Set("Cache-Control", "no-store")
		writeJSON(w, api.TypeJSON, http.StatusOK, result)
	}
	return nil
}

// noneAccepted is the problem that no file was accepted.
func noneAccepted(result *api.Result) *problem {
	p := problemf(http.StatusUnprocessableEntity, api.CodeRefused, "no file was accepted")
	p.Repository, p.Results = result.Repository, result.Results
	if len(result.Results) > 0 {
		// The first to be judged: others may depend on it.
		first := result.Results[0]
		p.Detail = fmt.Sprintf("no file was accepted; %s: %s: %s", first.File, first.Code, first.Detail)
	}
	return p
}

// waitPublished waits until the published log has at least the given size. The
// error is that the log has halted; that a client has waited long enough, or that
// the log is stopping, is not an error.
func (s *Server) waitPublished(ctx context.Context, size int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)()
	err := s.view.Board().WaitPublished(ctx, size)
	var halt *log.Halt
	if errors.As(err, &halt) {
		return err
	}
	return nil
}

func allRefused(r *api.Result) bool {
	for _, f := range r.Results {
		if f.Status != api.StatusRefused {
			return false
		}
	}
	return true
}

// result returns how far a submission is. A file counts as accepted only once it is
// published, and then comes with its proof.
func (s *Server) result(ctx context.Context, sub *intake.Submission) (*api.Result, error) {
	decided := sub.IsDecided()
	published := s.view.Board().Published().Tree.N
	state := sub.State()
	if state.Err != nil {
		return nil, state.Err
	}
	res := &api.Result{Done: decided, Results: []api.FileResult{}}
	if state.Token != nil {
		res.Token = &api.Token{ID: state.Token.Token.ID(), Text: state.Token.Text}
	}
	if !sub.Repository.IsZero() {
		res.Repository = sub.Repository.String()
	}
	for _, f := range state.Files {
		fr := api.FileResult{File: f.Name, Role: f.Role, Version: f.Version, Status: f.Status, Index: f.Index}
		switch {
		case f.Status == api.StatusRefused:
			fr.Code, fr.Detail = f.Code, f.Detail
		case f.Status == api.StatusPending:
			res.Done = false
		case f.Status == api.StatusHeld:
			res.Done = false
			fr.HeldUntil, fr.Detail = heldUntil(f.Held), whyHeld
		case f.Index >= published:
			// Its index is not told before it is certain.
			fr.Status, fr.Index = api.StatusPending, -1
			res.Done = false
		default:
			sidecar, err := s.view.Board().Sidecar(ctx, f.Index)
			if err != nil {
				return nil, fmt.Errorf("proof of entry %d: %w", f.Index, err)
			}
			fr.Sidecar = string(sidecar)
		}
		res.Results = append(res.Results, fr)
	}
	if err := cmp.Or(s.view.Trouble(), s.view.Board().Waiting()); err != nil && !res.Done {
		res.Waiting = err.Error()
	}
	return res, nil
}

// noteRegistration tells the operator of a new repository.
func (s *Server) noteRegistration(sub *intake.Submission) {
	if files := sub.State().Files; sub.Genesis && len(files) == 1 && files[0].Status == api.StatusReleased {
		s.logger.Info("repository registered", "repository", sub.Repository, "index", files[0].Index)
	}
}
