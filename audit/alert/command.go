package alert

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/printable"
)

// command returns what checks a finding, to be pasted into a shell on this machine: the
// evidence, where it is a file that proves it, or else a replay. asks says that it asks again
// over the network, because nothing offline proves what was found: that something is not there.
func (c *Config) command(log string, f *audit.Finding) (command string, asks bool) {
	if c.Command != nil {
		if command := c.Command(log, f); command != "" {
			return command, false
		}
	}
	for _, l := range c.Logs {
		if l.Name != log {
			continue
		}
		folder := f.EvidenceDir(l.StateDir)
		for _, file := range f.Evidence {
			ext := filepath.Ext(file.Name)
			if l.StateDir != "" && (ext == ".conflict" || ext == ".accusation") {
				return "auditor evidence check --policy " + printable.ShellWord(l.Policy) + " " + printable.ShellWord(filepath.Join(folder, file.Name)), false
			}
		}
		if command := l.lookAgain(f); command != "" {
			return command, true
		}
		from := l.URL // empty: the policy names it
		if l.Mirror != "" {
			from = l.Mirror
		}
		if from != "" {
			from = " --log " + printable.ShellWord(from)
		}
		from = " --policy " + printable.ShellWord(l.Policy) + from
		if l.StateDir != "" {
			if check := l.expectCheck(f, folder); check != "" {
				return check, false
			}
			if check := liveCheck(f, folder); check != "" {
				return check + from, false
			}
			if check := l.rollbackCheck(f, folder); check != "" {
				return check, false
			}
		}
		return "auditor replay" + from, false
	}
	return "", false
}

// lookAgain returns what asks again for what was not there. A copy of the log says nothing of
// that, so it is the log itself that is asked. It is empty for findings about what is there.
func (l *Log) lookAgain(f *audit.Finding) string {
	at := " --policy " + printable.ShellWord(l.Policy)
	if l.URL != "" {
		at += " --log " + printable.ShellWord(l.URL)
	}
	i := slices.IndexFunc(l.Repositories, func(r Repository) bool { return r.ID == f.Repository.String() })
	switch f.Kind {
	case audit.ViewWithheld, audit.FileWithheld, audit.ReleaseWithheld, audit.Unreachable, audit.BlobMissing, audit.TileMissing,
		audit.Unjudged, audit.ReleaseUnseen, audit.QuorumShort, audit.WrongAnswer:
		return "auditor replay" + at
	case audit.LiveMissing:
		if i < 0 || len(l.Repositories[i].URLs) == 0 {
			return ""
		}
		command := "auditor compare"
		for _, url := range l.Repositories[i].URLs {
			command += " " + printable.ShellWord(url)
		}
		return command + " --repository " + f.Repository.String() + at
	case audit.ExpectationsMissing, audit.ExpectationsStale:
		if i < 0 || len(f.Evidence) > 0 || l.Repositories[i].Expectations == "" {
			return ""
		}
		r := &l.Repositories[i]
		check := func(note string) string {
			return "publisher expect check " + printable.ShellWord(note) + " --key " + printable.ShellWord(r.ExpectationsKey)
		}
		if !strings.Contains(r.Expectations, "://") {
			return check(r.Expectations)
		}
		return "curl -fsS -o expect.note " + printable.ShellWord(r.Expectations) + " && " + check("expect.note")
	}
	return ""
}

// expectCheck returns what judges a release by its vendor's expectations again, from the
// evidence in a folder: the expectations, the release, and what there was before it if the
// role had anything; or what verifies expectations that are wrong themselves. It is empty for
// other findings.
func (l *Log) expectCheck(f *audit.Finding, folder string) string {
	i := slices.IndexFunc(l.Repositories, func(r Repository) bool {
		return r.ExpectationsKey != "" && r.ID == f.Repository.String()
	})
	if i < 0 || len(f.Evidence) == 0 {
		return ""
	}
	switch f.Kind {
	case audit.UnexpectedRelease, audit.ExpectationsStale, audit.ExpectationsMissing, audit.ExpectationsRolledBack:
	default:
		return ""
	}
	at := func(i int) string { return printable.ShellWord(filepath.Join(folder, f.Evidence[i].Name)) }
	check := func(i int, key string) string {
		return "publisher expect check " + at(i) + " --key " + printable.ShellWord(key)
	}
	command := check(0, l.Repositories[i].ExpectationsKey)
	switch {
	case len(f.Evidence) < 2:
		return command
	case f.Kind != audit.UnexpectedRelease: // two notes of one version
		return command + " && " + check(1, l.Repositories[i].ExpectationsKey)
	}
	if len(f.Evidence) > 2 {
		command += " --had " + at(2)
	}
	return command + " " + at(1)
}

// rollbackCheck returns what compares the checkpoint that the log published before with what
// it publishes now. It is empty for other findings.
func (l *Log) rollbackCheck(f *audit.Finding, folder string) string {
	if f.Kind != audit.Rollback || len(f.Evidence) == 0 {
		return ""
	}
	command := "auditor gossip " + printable.ShellWord(filepath.Join(folder, f.Evidence[0].Name)) + " --policy " + printable.ShellWord(l.Policy)
	if l.URL != "" {
		command += " --log " + printable.ShellWord(l.URL)
	}
	return command
}

// liveCheck returns what compares the file that a live repository served, which is the
// evidence in a folder, with the log again. It is empty for other findings.
func liveCheck(f *audit.Finding, folder string) string {
	switch f.Kind {
	case audit.LiveUnlogged, audit.LiveOther, audit.LiveEquivocation, audit.LiveUnsigned, audit.LiveStale:
	default:
		return ""
	}
	i := slices.IndexFunc(f.Evidence, func(e audit.Evidence) bool { return filepath.Ext(e.Name) == ".json" })
	if i < 0 {
		return ""
	}
	return "auditor compare " + printable.ShellWord(filepath.Join(folder, f.Evidence[i].Name)) + " --repository " + f.Repository.String()
}
