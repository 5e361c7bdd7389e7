package audit_test

import (
	"slices"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/tuf"
)

// realLog is a log of a real history.
type realLog struct {
	*audittest.Log
	all       bool // snapshots and timestamps are logged
	repos     []tuf.Digest
	snapshots []*tuf.Metadata
	waiting   []offered // what may be admitted once other files are
	refused   []offered
}

// offered is a file of a history, and why the log does not take it.
type offered struct {
	role string
	file *tuf.Metadata
	name string
	err  error
}

// replayHistory logs a real history commit by commit. visit is called before the log has a
// commit, and when it has published that.
func replayHistory(t testing.TB, history string, all bool, visit func(l *realLog, c realdata.Commit, logged bool)) *realLog {
	t.Helper()
	l := &realLog{Log: audittest.New(t), all: all}
	for _, c := range realdata.Commits(t, history) {
		if visit != nil {
			visit(l, c, false)
		}
		l.Time = c.Time.Unix()
		l.commit(c)
		if visit != nil {
			l.Publish(2)
			visit(l, c, true)
		}
	}
	l.refused = append(l.refused, l.waiting...)
	l.Publish(2)
	return l
}

// commit offers the files of a commit, in the order of need.
func (l *realLog) commit(c realdata.Commit) {
	for _, f := range c.Files {
		m, err := tuf.ParseJSON(f.Data)
		if err != nil {
			l.refused = append(l.refused, offered{f.Role, nil, f.Name, err})
			continue
		}
		if m.Snapshot != nil {
			l.snapshots = append(l.snapshots, m)
		}
		if l.all || f.Role != tuf.RoleSnapshot && f.Role != tuf.RoleTimestamp {
			l.waiting = append(l.waiting, offered{f.Role, m, f.Name, nil})
		}
	}
	slices.SortStableFunc(l.waiting, func(a, b offered) int {
		return admit.Compare(a.role, a.file.Version, b.role, b.file.Version)
	})
	for progress := true; progress; {
		progress = false
		l.waiting = slices.DeleteFunc(l.waiting, func(o offered) bool {
			err := l.offer(o)
			progress = progress || err == nil
			return err == nil
		})
	}
}

// offer offers a file to the repositories, the last one first. A first root that none of
// them takes is a repository of its own.
func (l *realLog) offer(o offered) error {
	var snapshots []*tuf.Metadata
	for _, s := range l.snapshots {
		if listed, ok := s.Snapshot.File(o.role + ".json"); ok && listed.Version == o.file.Version && o.file.Targets != nil {
			snapshots = append(snapshots, s)
		}
	}
	err := error(&admit.Refused{Code: admit.RefusedNoParent})
	for _, repo := range slices.Backward(l.repos) {
		if _, err = l.Offer(repo, o.role, o.file, snapshots); err == nil {
			return nil
		}
	}
	if o.role == tuf.RoleRoot && o.file.Version == 1 && o.file.Meets(o.file.Root.KeySet(tuf.RoleRoot)) == nil {
		l.repos = append(l.repos, l.Register(o.file.File))
		return nil
	}
	return err
}
