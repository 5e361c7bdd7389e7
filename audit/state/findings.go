package state

import (
	"context"
	"strconv"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// Scope says how long a finding lasts by itself.
type Scope int64

// The scopes of findings.
const (
	Lasting Scope = iota // until its repository is judged again without it
	Passing              // until a step does without it: outages
	Present              // until a report does without it: about the present state of repositories
	Outside              // until those who watch something else than the log say that it is gone
)

// Finding is a finding with its life. Times are POSIX seconds.
type Finding struct {
	Sum        tuf.Digest // what tells it apart from others
	Kind       string
	Class      string
	Repository tuf.Digest // zero: it is about none
	Leaf       int64      // -1: it is about none
	Scope      Scope
	Body       []byte // JSON

	First  int64  // when it was seen first
	Last   int64  // when it was there last
	Gone   int64  // when it was seen to be gone; 0: it is there; or InDoubt
	Replay int64  // the number of the replay that it came in, or came back in
	Acked  int64  // when it was acknowledged; 0: it was not
	Reason string // for that; or, if Acked is 0, for that of a time before it went and came back

	Number  int64 // in the order in which findings were seen first, from 1
	Changed int64 // the number of the change that it had last; see FindingsChanged
	Episode int64 // how often it came: 1, and one more each time it came back
}

// ID is Sum in hex, which tells the finding apart.
func (f *Finding) ID() string { return f.Sum.String() }

// shortID is how many hex digits ShortID leaves.
const shortID = 12

// ShortID is the beginning of an id, for a person to read and to give as an argument. It tells
// nothing apart: whoever chooses the words of two findings can choose one beginning for both.
func ShortID(id string) string { return id[:min(len(id), shortID)] }

const findingColumns = "SELECT sum, kind, class, repository, leaf, scope, body, first, last, gone, replay, acked, reason, number, changed, episode FROM findings "

func (r *Reader) findings(ctx context.Context, rest string, args []any, fn func(Finding) error) error {
	lastReplay, err := r.number(ctx, finishedAtName)
	if err != nil {
		return err
	}
	return r.each(ctx, findingColumns+rest, args, func(scan func(...any) error) error {
		var f Finding
		var sum, repository []byte
		if err := scan(&sum, &f.Kind, &f.Class, &repository, &f.Leaf, &f.Scope, &f.Body, &f.First, &f.Last, &f.Gone, &f.Replay, &f.Acked, &f.Reason, &f.Number, &f.Changed, &f.Episode); err != nil {
			return err
		}
		var err error
		if f.Sum, err = digest(sum); err != nil {
			return err
		}
		if len(repository) > 0 {
			if f.Repository, err = digest(repository); err != nil {
				return err
			}
		}
		if f.Gone == 0 {
			f.Last = max(f.Last, lastReplay)
		}
		return fn(f)
	})
}

// FindingsChanged calls fn for the findings that have changed since the change with a number, 0
// for all, in the order of their last changes, at most limit of them (0: all). A change is that
// a finding came (Gone is 0 or InDoubt, Episode 1), that it went (Gone is larger than 0), that
// it came back (one more Episode), or that it was acknowledged, with another reason, or no
// longer (Acked, Reason), in this process or another. Of a finding that changed more than once
// the last change is told: the finding as it is now. Changed of the last one is where to go on;
// no change gets a number that is not larger than that of every change committed before it. An
// error of fn ends it.
func (r *Reader) FindingsChanged(ctx context.Context, since int64, limit int, fn func(Finding) error) error {
	if limit <= 0 {
		limit = -1
	}
	return r.findings(ctx, "WHERE changed > ? ORDER BY changed LIMIT ?", []any{since, limit}, fn)
}

// LastChange returns the number of the last change of a finding; 0: there are no findings.
func (r *Reader) LastChange(ctx context.Context) (n int64, err error) {
	_, err = r.row(ctx, "SELECT coalesce(max(changed), 0) FROM findings", nil, &n)
	return n, err
}

// Finding returns a finding; false: it was never made.
func (r *Reader) Finding(ctx context.Context, sum tuf.Digest) (found Finding, ok bool, err error) {
	err = r.findings(ctx, "WHERE sum = ?", []any{sum[:]}, func(f Finding) error {
		found, ok = f, true
		return nil
	})
	return found, ok, err
}

// Findings calls fn for the findings that are there, or if all is true for those that are
// gone, too, in the order of the leaves they are about, and in which they were seen first.
// An error of fn ends that.
func (r *Reader) Findings(ctx context.Context, all bool, fn func(Finding) error) error {
	return r.findings(ctx, "WHERE gone = 0 OR ? ORDER BY leaf, number", []any{all}, fn)
}

// InScope calls fn for the findings of a scope that are there.
func (r *Reader) InScope(ctx context.Context, scope Scope, fn func(Finding) error) error {
	return r.findings(ctx, "WHERE scope = ? AND gone = 0", []any{scope}, fn)
}

// CountFindings returns how many findings of a kind about a repository are there.
func (r *Reader) CountFindings(ctx context.Context, kind string, repository tuf.Digest) (n int, err error) {
	_, err = r.row(ctx, "SELECT count(*) FROM findings WHERE kind = ? AND repository = ? AND gone = 0", []any{kind, repositoryBlob(repository)}, &n)
	return n, err
}

// OfKind calls fn for the findings of a kind that are there, of those about what the log
// serves, in the order of the leaves they are about: none of scope Outside.
func (r *Reader) OfKind(ctx context.Context, kind string, fn func(Finding) error) error {
	return r.findings(ctx, "WHERE kind = ? AND gone = 0 AND scope <> ? ORDER BY leaf, number", []any{kind, Outside}, fn)
}

func repositoryBlob(id tuf.Digest) []byte {
	if id.IsZero() {
		return []byte{}
	}
	return id[:]
}

// PutFinding notes a finding: a new one, one that has come back, or one that says more.
// Its life so far stays, and its acknowledgement as long as it is there: one that comes back is
// open again, with the reason of then, because somebody who knew of it then need not know of it
// now. Of those of class hygiene, which no one must be woken for, it stays.
func (db *DB) PutFinding(ctx context.Context, f Finding, now time.Time) error {
	replay, err := db.Replay(ctx)
	if err != nil {
		return err
	}
	_, err = db.write(ctx, `INSERT INTO findings (sum, kind, class, repository, leaf, scope, body, first, last, gone, replay, acked, reason)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, 0, ?9, 0, '')
		ON CONFLICT (sum) DO UPDATE SET scope = ?6, body = ?7, replay = CASE WHEN gone <> 0 THEN ?9 ELSE replay END,
			acked = CASE WHEN gone > 0 AND class <> 'hygiene' THEN 0 ELSE acked END, gone = 0, last = ?8`,
		f.Sum[:], f.Kind, f.Class, repositoryBlob(f.Repository), f.Leaf, f.Scope, f.Body, now.Unix(), replay)
	return err
}

// Back notes that a finding that was taken for gone was there all the time.
func (db *DB) Back(ctx context.Context, sum tuf.Digest) error {
	_, err := db.write(ctx, "UPDATE findings SET gone = 0 WHERE sum = ?", sum[:])
	return err
}

// FindingGone notes that a finding is gone.
func (db *DB) FindingGone(ctx context.Context, sum tuf.Digest, now time.Time) error {
	_, err := db.write(ctx, "UPDATE findings SET gone = ?1, last = ?1 WHERE sum = ?2 AND gone = 0", now.Unix(), sum[:])
	return err
}

// KindGone notes that the findings of a kind about a repository are gone, of those about
// leaves from an index to before another; those about none have index -1.
func (db *DB) KindGone(ctx context.Context, kind string, repository tuf.Digest, from, to int64, now time.Time) error {
	_, err := db.write(ctx, "UPDATE findings SET gone = ?1, last = ?1 WHERE kind = ?2 AND repository = ?3 AND gone = 0 AND leaf >= ?4 AND leaf < ?5",
		now.Unix(), kind, repositoryBlob(repository), from, to)
	return err
}

// InDoubt is the value of Gone while the repository of a finding is judged again: if it is
// found again, Back says that it was there all the time.
const InDoubt = -1

// Retract puts the lasting findings about a repository in doubt, but for those of a kind.
func (db *DB) Retract(ctx context.Context, repository tuf.Digest, but string) error {
	if _, err := db.write(ctx, "UPDATE findings SET gone = ? WHERE repository = ? AND gone = 0 AND scope = ? AND kind <> ?", InDoubt, repository[:], Lasting, but); err != nil {
		return err
	}
	_, err := db.write(ctx, "DELETE FROM suppressed WHERE repository = ?", repository[:])
	return err
}

// EndDoubt notes that findings that are in doubt are gone.
func (db *DB) EndDoubt(ctx context.Context, now time.Time) error {
	_, err := db.write(ctx, "UPDATE findings SET gone = ?1, last = ?1 WHERE gone = ?2", now.Unix(), InDoubt)
	return err
}

// Suppressed is how many findings of a kind about a repository were not kept.
type Suppressed struct {
	Kind       string
	Repository tuf.Digest
	Count      int64
}

// Suppress counts a finding that is not kept.
func (db *DB) Suppress(ctx context.Context, kind string, repository tuf.Digest) error {
	_, err := db.write(ctx, "INSERT INTO suppressed (kind, repository, count) VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1", kind, repositoryBlob(repository))
	return err
}

// Suppressed returns what was not kept.
func (r *Reader) Suppressed(ctx context.Context) (list []Suppressed, err error) {
	err = r.each(ctx, "SELECT kind, repository, count FROM suppressed", nil, func(scan func(...any) error) error {
		var s Suppressed
		var repository []byte
		if err := scan(&s.Kind, &repository, &s.Count); err != nil {
			return err
		}
		if len(repository) > 0 {
			var err error
			if s.Repository, err = digest(repository); err != nil {
				return err
			}
		}
		list = append(list, s)
		return nil
	})
	return list, err
}

// Names of the numbers of replays.
const (
	finishedName   = "finished-replays"
	finishedAtName = "finished-at"
)

func (r *Reader) number(ctx context.Context, name string) (int64, error) {
	text, err := r.Get(ctx, name)
	if err != nil || text == "" {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, damaged("%s is %q", name, text)
	}
	return n, nil
}

// Replay returns the number of the replay that is going on: the first is 1.
func (r *Reader) Replay(ctx context.Context) (int64, error) {
	n, err := r.number(ctx, finishedName)
	return n + 1, err
}

// FinishReplay notes that a replay has come to its end and was reported: what comes from
// now on is new.
func (db *DB) FinishReplay(ctx context.Context, now time.Time) error {
	n, err := db.Replay(ctx)
	if err != nil {
		return err
	}
	if err := db.Set(ctx, finishedName, strconv.FormatInt(n, 10)); err != nil {
		return err
	}
	if err := db.Set(ctx, finishedAtName, strconv.FormatInt(now.Unix(), 10)); err != nil {
		return err
	}
	return db.Commit(ctx)
}
