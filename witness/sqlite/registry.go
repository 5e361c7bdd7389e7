package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
)

// AddLog adds a log with its first key; ErrKnownLog if the origin is known. A
// removed log is known again with this key only, and with the checkpoint that
// was cosigned last.
func (s *Store) AddLog(_ context.Context, n witness.NewLog) error {
	if err := s.checkNew(n); err != nil {
		return err
	}
	return s.change(true, func(ctx context.Context, c *sql.Conn) error {
		log, err := one(ctx, c, witness.HashOrigin(n.Name()))
		switch {
		case err == nil && !log.Removed:
			return fmt.Errorf("log %s: %w", n.Name(), witness.ErrKnownLog)
		case err == nil:
			return restore(ctx, c, n)
		case !errors.Is(err, witness.ErrUnknownLog):
			return err
		}
		return insert(ctx, c, n)
	})
}

// checkNew refuses logs that could not be cosigned.
func (s *Store) checkNew(n witness.NewLog) error {
	if err := witness.CheckLogKey(n.Key); err != nil {
		return err
	}
	// As the first line of a checkpoint, and a line of our own files.
	if _, err := proofs.ParseCheckpoint(proofs.Checkpoint{Origin: n.Name(), Tree: proofs.EmptyTree}.String()); err != nil {
		return fmt.Errorf("origin %.200q: %w", n.Name(), err)
	}
	long := func(k proofs.Key) bool { return k.Algorithm() == proofs.MLDSA44 }
	if slices.ContainsFunc(s.signers, long) && len(n.Name()) > proofs.MaxCosignerName {
		return fmt.Errorf("origin of %d bytes: an %v has room for %d", len(n.Name()), proofs.MLDSA44, proofs.MaxCosignerName)
	}
	return nil
}

func insert(ctx context.Context, c *sql.Conn, n witness.NewLog) error {
	id := witness.HashOrigin(n.Name())
	if _, err := c.ExecContext(ctx, `INSERT INTO logs (id, origin, url, source, per_day) VALUES (?, ?, ?, ?, ?)`,
		id[:], n.Name(), n.URL, n.Source, n.PerDay); err != nil {
		return err
	}
	return insertKey(ctx, c, id, n.Key)
}

func restore(ctx context.Context, c *sql.Conn, n witness.NewLog) error {
	id := witness.HashOrigin(n.Name())
	if _, err := c.ExecContext(ctx, `UPDATE logs SET removed = 0, url = ?, source = ?, per_day = ? WHERE id = ?`,
		n.URL, n.Source, n.PerDay, id[:]); err != nil {
		return err
	}
	if _, err := c.ExecContext(ctx, `DELETE FROM keys WHERE log = ?`, id[:]); err != nil {
		return err
	}
	return insertKey(ctx, c, id, n.Key)
}

func insertKey(ctx context.Context, c *sql.Conn, id witness.OriginHash, k proofs.Key) error {
	_, err := c.ExecContext(ctx, `INSERT INTO keys (log, key_id, vkey) VALUES (?, ?, ?)`, id[:], k.ID(), k.String())
	return err
}

// AddKey adds a further key to a log that is known, else ErrUnknownLog. It is
// ErrKnownLog if the log has this key, or another with the same id. An empty
// origin is the key's name.
func (s *Store) AddKey(_ context.Context, origin string, key proofs.Key) error {
	if err := witness.CheckLogKey(key); err != nil {
		return err
	}
	if origin == "" {
		origin = key.Name()
	}
	return s.change(true, func(ctx context.Context, c *sql.Conn) error {
		log, err := present(ctx, c, origin)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(log.Keys, func(k proofs.Key) bool { return k.ID() == key.ID() }) {
			return fmt.Errorf("key %s with id %08x: %w", key.Name(), key.ID(), witness.ErrKnownLog)
		}
		return insertKey(ctx, c, witness.HashOrigin(origin), key)
	})
}

// present reads a log that is known and was not removed.
func present(ctx context.Context, c *sql.Conn, origin string) (witness.Log, error) {
	log, err := one(ctx, c, witness.HashOrigin(origin))
	if err == nil && log.Removed {
		err = witness.ErrUnknownLog
	}
	if err != nil {
		return log, fmt.Errorf("log %s: %w", origin, err)
	}
	return log, nil
}

// SetURL sets the URL below which a log publishes; "" means unknown.
func (s *Store) SetURL(_ context.Context, origin, url string) error {
	return s.change(true, func(ctx context.Context, c *sql.Conn) error {
		if _, err := present(ctx, c, origin); err != nil {
			return err
		}
		id := witness.HashOrigin(origin)
		_, err := c.ExecContext(ctx, `UPDATE logs SET url = ? WHERE id = ?`, url, id[:])
		return err
	})
}

// RemoveLog stops cosigning for a log permanently: it is unknown from now on.
// Its last checkpoint is kept, in case the log is added again.
func (s *Store) RemoveLog(_ context.Context, origin string) error {
	return s.change(true, func(ctx context.Context, c *sql.Conn) error {
		if _, err := present(ctx, c, origin); err != nil {
			return err
		}
		id := witness.HashOrigin(origin)
		_, err := c.ExecContext(ctx, `UPDATE logs SET removed = 1 WHERE id = ?`, id[:])
		return err
	})
}

// Import adds the logs of a list, all in one step, and reports why each of the
// others was not added. A log that is known is left alone, except that a list
// may change its own entries' limits.
func (s *Store) Import(ctx context.Context, source string, logs []witness.NewLog) (witness.ImportReport, error) {
	// Most lists say nothing new, and looking does not keep the writer busy.
	known, err := s.Logs(ctx)
	if err != nil {
		return witness.ImportReport{}, err
	}
	byOrigin := make(map[string]witness.Log, len(known))
	for _, l := range known {
		byOrigin[l.Origin] = l
	}
	var report witness.ImportReport
	var news []witness.NewLog
	for _, n := range logs {
		n.Source = source
		log, ok := byOrigin[n.Name()]
		if err := s.checkNew(n); err != nil {
			report.Refuse(n, err.Error())
		} else if why := collides(log, n); ok && why != "" {
			report.Refuse(n, why)
		} else if !ok || log.Source == source && log.PerDay != n.PerDay {
			news = append(news, n)
		} else {
			report.Known++
		}
	}
	if len(news) == 0 {
		return report, nil
	}
	var done witness.ImportReport
	err = s.change(true, func(ctx context.Context, c *sql.Conn) error {
		done = report
		for _, n := range news {
			if err := importOne(ctx, c, n, &done); err != nil {
				return err
			}
		}
		return nil
	})
	return done, err
}

// collides says why a list cannot speak for a log that is known.
func collides(log witness.Log, n witness.NewLog) string {
	switch {
	case log.Removed:
		return "it was removed by the operator"
	case !slices.Contains(log.Keys, n.Key) && log.Source != "":
		return "the name is taken by another key, added by " + log.Source
	case !slices.Contains(log.Keys, n.Key):
		return "the name is taken by another key, added by the operator"
	}
	return ""
}

func importOne(ctx context.Context, c *sql.Conn, n witness.NewLog, report *witness.ImportReport) error {
	log, err := one(ctx, c, witness.HashOrigin(n.Name()))
	if errors.Is(err, witness.ErrUnknownLog) {
		report.Added++
		return insert(ctx, c, n)
	} else if err != nil {
		return err
	}
	if why := collides(log, n); why != "" {
		report.Refuse(n, why)
		return nil
	}
	report.Known++
	if log.Source != n.Source {
		return nil
	}
	id := witness.HashOrigin(n.Name())
	_, err = c.ExecContext(ctx, `UPDATE logs SET per_day = ? WHERE id = ?`, n.PerDay, id[:])
	return err
}
