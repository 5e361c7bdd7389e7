package page

import (
	"context"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// standing is what every page about a part of a log says of the whole: what is right in a log
// that is not may have been shown to this auditor alone.
type standing struct {
	LogName string `json:"-"`
	LogWord string `json:"log_word,omitempty"` // as on the log's page
	LogSays string `json:"log_says,omitempty"` // if it is not in order
	LogTone string `json:"-"`
}

// standingOf is that of pages that have one.
func (s standing) standingOf() standing { return s }

// accused reports whether a finding stands against the log.
func (s standing) accused() bool { return s.LogTone == "bad" }

// standing returns how the log is.
func (b *book) standing(ctx context.Context) (standing, error) {
	h, err := b.health(ctx)
	if err != nil {
		return standing{}, err
	}
	s := standing{LogName: b.Name, LogWord: h.Word, LogTone: h.Tone}
	if h.Tone == "bad" || h.Tone == "wait" {
		s.LogSays = h.Sentence
	}
	return s, nil
}

// unreadable is the health of a log whose state cannot be read: the pages of others do without.
func (s *Server) unreadable(b *book, h *health, err error) *health {
	s.cfg.Logger.Error("a log cannot be shown", "log", b.Name, "error", err)
	h.Word, h.Tone, h.Vouches = "cannot be read", "bad", false
	h.Sentence = "What this auditor keeps of the log could not be read, so that nothing can be said of it. Its operator has been told."
	h.WhyNot = []string{"what this auditor keeps of it could not be read"}
	return h
}

const (
	// staleAfter is how long after a log was read to its newest checkpoint nobody may count as
	// looking at it, if it is looked at often.
	staleAfter = time.Hour
	// staleLooks is how many looks may be missed.
	staleLooks = 10
	// staleNote is how old the newest checkpoint may be where no process says when it looked.
	staleNote = 24 * time.Hour
	// oldNote is how old it may be before that is said.
	oldNote = 7 * 24 * time.Hour
)

// stale says since when nobody has looked at the log; empty: somebody does.
func (b *book) stale(h *health) string {
	now := b.now().Unix()
	if s := h.Status; s != nil {
		switch after := int64(max(staleAfter, staleLooks*b.Every) / time.Second); {
		case s.Asked == 0 && s.Written == 0:
			return "no process says that it follows this log"
		case s.Asked == 0:
			return "the process that follows this log has not read it yet"
		case now-s.Asked > after:
			return "it was read to its newest checkpoint on " + audit.When(s.Asked) + ", and not since"
		}
		return ""
	}
	if h.Time > 0 && now-h.Time > int64(staleNote/time.Second) {
		return "the newest checkpoint that was verified is of " + audit.When(h.Time) + ", and no process says that it has looked since"
	}
	return ""
}

// force says which releases of repositories are in force. It is for one page.
type force struct {
	db    *reader
	now   int64
	left  int                                        // bytes of reports that may be read
	repos map[tuf.Digest]map[string]audit.RoleReport // nil: not known
}

// maxReports is how many bytes of what is kept of repositories are read for one page.
const maxReports = 2 << 20

func (b *book) force(db *reader) *force {
	return &force{db, b.now().Unix(), maxReports, map[tuf.Digest]map[string]audit.RoleReport{}}
}

// standing words of releases. "in force" is what a device may install today, by what is logged.
const (
	inForce   = "in force"
	expired   = "expired"   // it would be in force, and its time is over
	replaced  = "replaced"  // a newer one is, or its role may sign no more
	withdrawn = "withdrawn" // nothing in force lets any release of its role be: its delegation, or its keys, were taken away
	notKnown  = "not known" // whether it is in force
)

// of says how a release stands, or that of a row of successive releases which stands best.
func (f *force) of(ctx context.Context, repo tuf.Digest, role string, first, last int64) (string, error) {
	roles, ok := f.repos[repo]
	if !ok {
		var err error
		if roles, err = f.read(ctx, repo); err != nil {
			return "", err
		}
		f.repos[repo] = roles
	}
	if roles == nil {
		return notKnown, nil
	}
	current, ok := roles[role]
	switch {
	case !ok || current.Index < 0:
		return withdrawn, nil
	case current.Index < first || current.Index > last:
		return replaced, nil
	}
	// A device follows the list of a role from the root and the targets.
	for _, by := range []audit.RoleReport{current, roles[tuf.RoleTargets], roles[tuf.RoleRoot]} {
		if by.Role != "" && by.Index >= 0 && by.Expires != 0 && by.Expires <= f.now {
			return expired, nil
		}
	}
	return inForce, nil
}

// read returns the roles of a repository by what was last said of it; nil: it has had entries
// since, or is being judged again.
func (f *force) read(ctx context.Context, repo tuf.Digest) (map[string]audit.RoleReport, error) {
	if f.left <= 0 {
		return nil, nil //nolint:nilnil // it is said in the comment
	}
	known, ok, err := f.db.Repository(ctx, repo)
	if err != nil || !ok || known.Again {
		return nil, err
	}
	f.left -= len(known.Report)
	return rolesOfReport(known), nil
}

func rolesOfReport(known state.Repository) map[string]audit.RoleReport {
	report, ok := reportOf(known)
	if !ok || known.Again {
		return nil
	}
	roles := make(map[string]audit.RoleReport, len(report.Roles))
	for _, role := range report.Roles {
		roles[role.Role] = role
	}
	return roles
}

// forceSays is how a release stands, as a sentence about it.
func forceSays(word string) string {
	switch word {
	case inForce:
		return "It is in force."
	case expired:
		return "It has expired, or the root or the targets before it have, and nothing newer is logged: a device installs nothing from it today."
	case replaced:
		return "It is not in force any more: another release of its role is."
	case withdrawn:
		return "It is not in force, and no release of its role is: its delegation was withdrawn, or its keys were replaced."
	}
	return "Whether it is in force is not known here now."
}
