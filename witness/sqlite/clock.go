package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/witness"
)

// rememberedClock is the state of the clock as it was read last.
type rememberedClock struct {
	state witness.ClockState
	epoch uint64
}

// Clock implements witness.Store.
func (s *Store) Clock(ctx context.Context) (witness.ClockState, error) {
	s.mu.Lock()
	known, epoch, failed := s.clock, s.epoch, s.failed
	s.mu.Unlock()
	if failed != nil {
		return witness.ClockState{}, failed
	}
	if known != nil && known.epoch == epoch {
		return known.state, nil
	}
	records, err := queryClock(ctx, s.read)
	if err != nil {
		return witness.ClockState{}, err
	}
	state := clockState(records)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = &rememberedClock{state: state, epoch: epoch}
	return state, nil
}

func clockState(records []ClockRecord) (state witness.ClockState) {
	for _, r := range records {
		if r.Accepted != 0 {
			state.Accepted = max(state.Accepted, r.Latest)
		} else if state.Stop == nil {
			state.Stop = &r.ClockStop
		}
	}
	return state
}

// StopClock implements witness.Store.
func (s *Store) StopClock(_ context.Context, stop witness.ClockStop) error {
	return s.change(true, func(ctx context.Context, c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `INSERT INTO clock (since, why, latest) SELECT ?, ?, 0
			WHERE NOT EXISTS (SELECT 1 FROM clock WHERE accepted IS NULL)`, stop.Since, stop.Why)
		return err
	})
}

// ClockRecord is one time that the clock was in doubt.
type ClockRecord struct {
	witness.ClockStop
	// Latest is the time of the last cosignature if the clock was behind it, in
	// POSIX seconds; 0 if the clock jumped.
	Latest int64
	// Accepted is when the operator accepted the clock, in POSIX seconds, and
	// Reason why; zero while cosigning is stopped.
	Accepted int64
	Reason   string
}

// ClockRecords returns every stop. If a running witness would refuse to sign at
// this time because of the clock, a last record without Since says so.
func (s *Store) ClockRecords(ctx context.Context, now time.Time) ([]ClockRecord, error) {
	records, err := queryClock(ctx, s.read)
	if err != nil {
		return nil, err
	}
	behind, err := clockBehind(ctx, s.read, records, now)
	if behind != nil {
		records = append(records, *behind)
	}
	return records, err
}

// AcceptClock lets a witness cosign again with the present clock, and records the
// reason. It ends every stop, and accepts the latest signed time if the clock is
// behind it. It returns the accepted records.
func (s *Store) AcceptClock(_ context.Context, reason string, now time.Time) (accepted []ClockRecord, err error) {
	err = s.change(true, func(ctx context.Context, c *sql.Conn) error {
		records, err := queryClock(ctx, c)
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.Accepted == 0 {
				accepted = append(accepted, r)
			}
		}
		if _, err := c.ExecContext(ctx, `UPDATE clock SET accepted = ?, reason = ? WHERE accepted IS NULL`, now.Unix(), reason); err != nil {
			return err
		}
		behind, err := clockBehind(ctx, c, records, now)
		if err != nil || behind == nil {
			return err
		}
		accepted = append(accepted, *behind)
		_, err = c.ExecContext(ctx, `INSERT INTO clock (since, why, latest, accepted, reason) VALUES (?, ?, ?, ?, ?)`, now.Unix(), behind.Why, behind.Latest, now.Unix(), reason)
		return err
	})
	return accepted, err
}

// clockBehind returns a record without a Since if the clock is behind the latest time
// that was signed, else nil.
func clockBehind(ctx context.Context, q querier, records []ClockRecord, now time.Time) (*ClockRecord, error) {
	var latest sql.NullInt64
	if err := queryRow(ctx, q, `SELECT MAX(time) FROM logs`, &latest); err != nil {
		return nil, err
	}
	if !witness.Ahead(latest.Int64, clockState(records).Accepted, now) {
		return nil, nil
	}
	r := &ClockRecord{Latest: latest.Int64}
	r.Why = fmt.Sprintf("the last cosignature has the time %s, but the clock says %s", time.Unix(latest.Int64, 0).UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	return r, nil
}

func queryRow(ctx context.Context, q querier, query string, to any) (err error) {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !rows.Next() {
		return errors.Join(rows.Err(), sql.ErrNoRows)
	}
	return rows.Scan(to)
}

func queryClock(ctx context.Context, q querier) (all []ClockRecord, err error) {
	rows, err := q.QueryContext(ctx, `SELECT since, why, latest, accepted, reason FROM clock ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			r        ClockRecord
			accepted sql.NullInt64
			reason   sql.NullString
		)
		if err := rows.Scan(&r.Since, &r.Why, &r.Latest, &accepted, &reason); err != nil {
			return nil, err
		}
		r.Accepted, r.Reason = accepted.Int64, reason.String
		all = append(all, r)
	}
	return all, rows.Err()
}
