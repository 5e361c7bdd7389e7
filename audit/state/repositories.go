package state

import (
	"context"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Repository is a repository of which leaves have been judged.
type Repository struct {
	ID      tuf.Digest
	Genesis int64  // its first leaf; -1: none of its leaves is right
	Again   bool   // it is to be judged again from its first leaf
	Report  []byte // what SetReport kept and no leaf has made old; nil: nothing
}

func (r *Reader) knownRepository(ctx context.Context, id tuf.Digest) (number int64, ok bool, err error) {
	if number, ok := r.repos[id]; ok {
		return number, true, nil
	}
	ok, err = r.row(ctx, "SELECT repository FROM repositories WHERE id = ?", []any{id[:]}, &number)
	if ok {
		r.repos[id] = number
	}
	return number, ok, err
}

func (db *DB) repository(ctx context.Context, id tuf.Digest) (int64, error) {
	number, ok, err := db.knownRepository(ctx, id)
	if err != nil || ok {
		return number, err
	}
	result, err := db.write(ctx, "INSERT INTO repositories (id) VALUES (?)", id[:])
	if err != nil {
		return 0, err
	}
	if number, err = result.LastInsertId(); err != nil {
		return 0, err
	}
	db.repos[id] = number
	return number, nil
}

// role returns the number of a role, which is made if need be.
func (db *DB) role(ctx context.Context, id tuf.Digest, name string) (int64, error) {
	repository, err := db.repository(ctx, id)
	if err != nil {
		return 0, err
	}
	at := roleName{repository, name}
	if number, ok := db.roles[at]; ok {
		return number, nil
	}
	var number int64
	ok, err := db.row(ctx, "SELECT role FROM roles WHERE repository = ? AND name = ?", []any{repository, name}, &number)
	if err != nil {
		return 0, err
	}
	if !ok {
		result, err := db.write(ctx, "INSERT INTO roles (repository, name) VALUES (?, ?)", repository, name)
		if err != nil {
			return 0, err
		}
		if number, err = result.LastInsertId(); err != nil {
			return 0, err
		}
	}
	db.roles[roleName{repository, strings.Clone(name)}] = number
	return number, nil
}

const repositoryColumns = "SELECT id, coalesce(genesis, -1), again, report FROM repositories "

func scanRepository(scan func(...any) error) (Repository, error) {
	var r Repository
	var id []byte
	if err := scan(&id, &r.Genesis, &r.Again, &r.Report); err != nil {
		return r, err
	}
	var err error
	r.ID, err = digest(id)
	return r, err
}

func (r *Reader) repositories(ctx context.Context, rest string, args []any, fn func(Repository) error) error {
	return r.each(ctx, repositoryColumns+rest, args, func(scan func(...any) error) error {
		r, err := scanRepository(scan)
		if err != nil {
			return err
		}
		return fn(r)
	})
}

// Repository returns a repository; false: it has no leaves.
func (r *Reader) Repository(ctx context.Context, id tuf.Digest) (found Repository, ok bool, err error) {
	err = r.repositories(ctx, "WHERE id = ?", []any{id[:]}, func(r Repository) error {
		found, ok = r, true
		return nil
	})
	return found, ok, err
}

// Repositories calls fn for the repositories that begin with a right leaf, in the order
// of these, of those whose id in hex begins with a prefix. Its error ends that.
func (r *Reader) Repositories(ctx context.Context, prefix string, fn func(Repository) error) error {
	if strings.Trim(prefix, "0123456789abcdef") != "" {
		return fmt.Errorf("auditor state: repository %q is not in hex", prefix)
	}
	return r.repositories(ctx, "WHERE genesis IS NOT NULL AND substr(lower(hex(id)), 1, ?) = ? ORDER BY genesis", []any{len(prefix), prefix}, fn)
}

// Again returns the repositories that are to be judged again.
func (r *Reader) Again(ctx context.Context) (ids []tuf.Digest, err error) {
	err = r.repositories(ctx, "WHERE again ORDER BY repository", nil, func(r Repository) error {
		ids = append(ids, r.ID)
		return nil
	})
	return ids, err
}

// Unreported returns repositories that begin with a right leaf and of which nothing is kept
// that no leaf has made old: up to most, in the order in which they came, behind one (zero: from
// the first one on).
func (r *Reader) Unreported(ctx context.Context, behind tuf.Digest, most int) (ids []tuf.Digest, err error) {
	err = r.repositories(ctx, "WHERE report IS NULL AND genesis IS NOT NULL AND repository > coalesce((SELECT repository FROM repositories WHERE id = ?), 0) ORDER BY repository LIMIT ?", []any{behind[:], most}, func(r Repository) error {
		ids = append(ids, r.ID)
		return nil
	})
	return ids, err
}

// SetAgain notes whether a repository is to be judged again.
func (db *DB) SetAgain(ctx context.Context, id tuf.Digest, again bool) error {
	number, err := db.repository(ctx, id)
	if err != nil {
		return err
	}
	_, err = db.write(ctx, "UPDATE repositories SET again = ? WHERE repository = ?", again, number)
	return err
}

// SetGenesis notes the leaf with which a repository begins.
func (db *DB) SetGenesis(ctx context.Context, id tuf.Digest, genesis int64) error {
	number, err := db.repository(ctx, id)
	if err != nil {
		return err
	}
	_, err = db.write(ctx, "UPDATE repositories SET genesis = ? WHERE repository = ?", genesis, number)
	return err
}

// SetReport keeps what is said of a repository; nil: it has become old.
func (db *DB) SetReport(ctx context.Context, id tuf.Digest, report []byte) error {
	number, err := db.repository(ctx, id)
	if err != nil {
		return err
	}
	_, err = db.write(ctx, "UPDATE repositories SET report = ?1 WHERE repository = ?2 AND report IS NOT ?1", report, number)
	return err
}

// SetFact keeps what is to be remembered of a repository under a name in ASCII.
func (db *DB) SetFact(ctx context.Context, id tuf.Digest, name string, value []byte) error {
	number, err := db.repository(ctx, id)
	if err != nil {
		return err
	}
	_, err = db.write(ctx, "INSERT INTO facts (repository, name, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3", number, name, nonNil(value))
	return err
}

// RemoveFact removes what SetFact kept.
func (db *DB) RemoveFact(ctx context.Context, id tuf.Digest, name string) error {
	number, err := db.repository(ctx, id)
	if err != nil {
		return err
	}
	_, err = db.write(ctx, "DELETE FROM facts WHERE repository = ? AND name = ?", number, name)
	return err
}

// Facts calls fn with what is remembered of a repository, in the order of names.
func (r *Reader) Facts(ctx context.Context, id tuf.Digest, fn func(name string, value []byte) error) error {
	number, ok, err := r.knownRepository(ctx, id)
	if err != nil || !ok {
		return err
	}
	return r.each(ctx, "SELECT name, value FROM facts WHERE repository = ? ORDER BY name", []any{number}, func(scan func(...any) error) error {
		var name string
		var value []byte
		if err := scan(&name, &value); err != nil {
			return err
		}
		return fn(name, value)
	})
}

// Forget takes back what the leaves of a repository have led to: their verdicts, what is
// remembered of it, and what its releases list. The leaves stay.
func (db *DB) Forget(ctx context.Context, id tuf.Digest) error {
	number, ok, err := db.knownRepository(ctx, id)
	if err != nil || !ok {
		return err
	}
	notJudged, err := code(verdicts, NotJudged)
	if err != nil {
		return err
	}
	for _, s := range []string{
		"UPDATE leaves SET verdict = ?2 WHERE role IN (SELECT role FROM roles WHERE repository = ?1)",
		"DELETE FROM targets WHERE ?2 AND role IN (SELECT role FROM roles WHERE repository = ?1)",
		"DELETE FROM keys WHERE ?2 AND role IN (SELECT role FROM roles WHERE repository = ?1)",
		"DELETE FROM facts WHERE ?2 AND repository = ?1",
		"UPDATE repositories SET genesis = NULL, report = NULL WHERE ?2 AND repository = ?1",
	} {
		if _, err := db.write(ctx, s, number, notJudged); err != nil {
			return err
		}
	}
	db.targets, db.keys, db.counts = open[target]{}, open[key]{}, nil
	return nil
}
