package httpd

import (
	"net/http"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
)

// auditedLater is when the next audited checkpoint may be there, in seconds.
const auditedLater = 5

// getAudited serves the newest checkpoint that auditors have cosigned as well.
func (s *Server) getAudited(w http.ResponseWriter, r *http.Request) *problem {
	audited, p := s.auditedNow()
	if p != nil {
		return p
	}
	return s.send(w, r, content{mediaType: api.TypeText, cache: "no-cache", body: audited.Note})
}

// auditedNow returns the newest audited checkpoint.
func (s *Server) auditedNow() (log.Published, *problem) {
	if s.audited == nil {
		return log.Published{}, problemf(http.StatusNotFound, api.CodeNotAudited, "this log asks no auditors: its operator has not configured any")
	}
	audited := s.audited.Newest()
	if audited.Note == nil {
		p := problemf(http.StatusNotFound, api.CodeNotAudited, "no checkpoint has been cosigned by the auditors yet")
		p.retryAfter = auditedLater
		return log.Published{}, p
	}
	return audited, nil
}

// auditedWith returns the newest audited checkpoint if it includes a published entry.
func (s *Server) auditedWith(index int64) (log.Published, *problem) {
	audited, p := s.auditedNow()
	if p != nil || index < audited.Tree.N {
		return audited, p
	}
	p = problemf(http.StatusNotFound, api.CodeNotAudited, "entry %d is published, and the auditors have cosigned the first %d entries so far", index, audited.Tree.N)
	p.retryAfter = auditedLater
	return audited, p
}
