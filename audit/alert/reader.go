package alert

import (
	"context"
	"database/sql"
	"time"

	"github.com/tuflog/tuflog/internal/sqlitefile"
)

// Reader reads an outbox, beside the process that delivers.
type Reader struct {
	path string
	db   *sql.DB
}

// OpenReader opens the outbox at path for its feeds and its status. It makes an empty one
// if there is none.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	db, err := openFile(path)
	if err != nil {
		return nil, err
	}
	return &Reader{path, db}, nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.db.Close() }

func (r *Reader) inTx(ctx context.Context, do func(*sql.Tx) error) error {
	if err := sqlitefile.InTx(ctx, r.db, do); err != nil {
		return explained(r.path, err)
	}
	return nil
}

// Status is how a destination is. Times that are zero have not been.
type Status struct {
	To      string    `json:"to"`
	Waiting int       `json:"waiting"`                // events and messages whose time has come
	Later   int       `json:"later"`                  // events that wait for the digest, or for the end of a storm
	Oldest  time.Time `json:"oldest,omitzero"`        // since when the oldest of those whose time has come could be delivered
	Failing time.Time `json:"failing_since,omitzero"` // zero: it takes what it gets
	Off     time.Time `json:"off_since,omitzero"`     // zero: it is on
	Trouble string    `json:"trouble,omitempty"`      // why the last attempt failed, or which of several receivers did not take what others did
	Last    time.Time `json:"last,omitzero"`          // when it last took something
	Sent    int64     `json:"sent"`                   // messages that it took
	Failed  int64     `json:"failed"`                 // attempts that failed
	Lost    int64     `json:"lost"`                   // events that found no room in its queue
}

// Status returns the destinations that have been delivered to, or tried, by name.
func (r *Reader) Status(ctx context.Context, now time.Time) ([]Status, error) {
	list := []Status{}
	err := query(ctx, r.db, `SELECT name, failing, off, trouble, last, sent, failed, lost,
		(SELECT count(*) FROM queue WHERE dest = name AND due <= ?1) + (SELECT count(*) FROM messages WHERE dest = name),
		(SELECT count(*) FROM queue WHERE dest = name AND due > ?1),
		min(coalesce((SELECT min(due) FROM queue WHERE dest = name AND due <= ?1), 1 << 60), coalesce((SELECT min(made) FROM messages WHERE dest = name), 1 << 60))
		FROM destinations ORDER BY name`, []any{now.UnixMilli()}, func(rows *sql.Rows) error {
		var s Status
		var failing, off, last, oldest int64
		if err := rows.Scan(&s.To, &failing, &off, &s.Trouble, &last, &s.Sent, &s.Failed, &s.Lost, &s.Waiting, &s.Later, &oldest); err != nil {
			return err
		}
		s.Failing, s.Off, s.Last = instant(failing), instant(off), instant(last)
		if s.Waiting > 0 {
			s.Oldest = instant(oldest)
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		return nil, explained(r.path, err)
	}
	return list, nil
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
