package httpd

import (
	"context"
	"net/http"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/intake"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
)

// wrongToken is the problem of a request with a token that the log does not know. It
// could count as an outsider's, but then a vendor whose token was revoked or mistyped
// would learn it from files that are held. It costs a submission of the network's quota;
// a guesser of tokens learns no more from it than from being held.
func (s *Server) wrongToken(ctx context.Context, from quota.Source, repository tuf.Digest) *problem {
	if !from.Unknown || !s.sources.Tokens.Guards(ctx, repository) {
		return nil
	}
	if s.sources.Tokens.Away() {
		return later(api.CodeUnavailable, "the tokens of repositories cannot be read now")
	}
	if p := s.charge(from, 0); p != nil {
		return p
	}
	return problemf(http.StatusUnauthorized, api.CodeUnauthorized, "the log does not know the token that was sent: it is wrong, or was revoked. Without any, files of this repository may be held for a while")
}

// giveToken gives a registrant the first token of the repository, before the repository
// is in the log: if anything fails after that, sending the same again helps. It goes to
// holders of the registration token alone. Where anyone may register, anyone can
// register somebody's public root; there the operator gives tokens, to vendors he knows.
func (s *Server) giveToken(r *http.Request, from quota.Source, sub *intake.Submission) *problem {
	text := r.Header.Get(api.HeaderToken)
	if text != "" && !api.CheckToken(text) {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "%s: a token has 22 to 128 letters, digits and -._~+/=", api.HeaderToken)
	}
	if !from.Registrar || !s.sources.Tokens.Keeps() {
		return nil
	}
	given := &intake.Registered{}
	if text == "" {
		text = api.GenerateToken()
		given.Text = text
	}
	given.Token = log.NewToken(sub.Repository, text, log.ByRegistration, s.sources.Now())
	var err error
	if given.Added, err = s.sources.Tokens.Add(r.Context(), given.Token); err != nil {
		return problemf(http.StatusInternalServerError, api.CodeInternal, "the repository's token cannot be stored").because(err)
	}
	sub.Token = given
	return nil
}

// oldToken is for a root that is logged already: it gives no token, but tells a
// client whose first answer was lost that the token it chose is one.
func (s *Server) oldToken(r *http.Request, from quota.Source, sub *intake.Submission, repository tuf.Digest) {
	text := r.Header.Get(api.HeaderToken)
	if text == "" || !from.Registrar {
		return
	}
	h := s.sources.Tokens.Of(r.Context(), text)
	if h == nil {
		return
	}
	for _, t := range h.List {
		if t.Repository == repository {
			sub.Token = &intake.Registered{Token: t}
		}
	}
}

// keepToken takes back a token whose registration has opened no repository.
func (s *Server) keepToken(ctx context.Context, sub *intake.Submission) {
	given := sub.Unused()
	if given == nil {
		return
	}
	if err := s.sources.Tokens.Remove(ctx, given.Token); err != nil {
		s.logger.Warn("a token is left of a registration that came to nothing", "repository", given.Token.Repository, "token", given.Token.ID(), "err", err)
	}
}
