package httpd

import (
	"bytes"
	"io"
	"net/http"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/quota"
)

// onlyLeader reports whether a resource is read from the leader alone, as all that is
// posted goes to it: submissions are in its memory until they are published.
func (res *resource) onlyLeader() bool { return res.name == "/v1/submissions/{submission}" }

// passOn asks the leader to answer a request, unless a reason is given why not.
func (s *Server) passOn(w http.ResponseWriter, r *http.Request, leader PassOn, why error) *problem {
	if s.sources.FromFrontEnd(r) {
		// Passed on already, by a front end that takes this one for the leader.
		return notLeader()
	}
	if why != nil {
		return later(api.CodeUnavailable, "%v", why)
	}
	from := s.sources.Of(r)
	body, release, p := s.buffer(w, r, from)
	if p != nil {
		return p
	}
	defer release()
	out := r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	out.Header.Set("X-Request-Id", w.Header().Get("X-Request-Id"))
	out.Header.Set(quota.HeaderClient, s.sources.Network(r))
	out.ContentLength = int64(len(body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	out.Body, _ = out.GetBody()
	leader.ServeHTTP(w, out)
	return nil
}

// buffer reads a body that is to be passed on, within the memory for bodies. The
// leader judges its content, and whose quota it takes.
func (s *Server) buffer(w http.ResponseWriter, r *http.Request, from quota.Source) (b []byte, release func(), p *problem) {
	if r.Method != http.MethodPost {
		return nil, func() {}, nil
	}
	if r.ContentLength > api.MaxSubmission {
		return nil, nil, tooLarge(api.MaxSubmission)
	}
	held := &held{s: s, from: from}
	b, err := held.readBody(underlying(w), r, api.MaxSubmission)
	if err != nil {
		held.release()
		return nil, nil, unread(w, err, api.MaxSubmission)
	}
	return b, held.release, nil
}

// notLeader tells a front end to look for the leader again.
func notLeader() *problem {
	return later(api.CodeNotLeader, "this front end does not lead the log, or not for much longer")
}

// toFrontEnd is the problem as it is answered. A front end that has passed a
// request on to a leader that is being stopped sends it to the next one.
func (s *Server) toFrontEnd(r *http.Request, p *problem) *problem {
	if p != nil && p.Status == http.StatusServiceUnavailable && s.ending(r.Context()) && s.sources.FromFrontEnd(r) {
		return notLeader()
	}
	return p
}
