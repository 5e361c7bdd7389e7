package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
)

// initializeShared makes a log on servers where there is none, and completes the
// storage's URL with the tree that it makes.
func initializeShared(ctx context.Context, at place, on *shared, made newLog) (vkey string, err error) {
	if err := checkEmpty(at.dir); err != nil {
		return "", err
	}
	key, private, err := made.key()
	if err != nil {
		return "", err
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: on.stateURL})
	if err != nil {
		return "", err
	}
	defer db.Close()
	switch origin, _, err := db.Log(ctx); {
	case err == nil:
		return "", fmt.Errorf("the database has log %q already", origin)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	tree, err := on.makeTree(ctx)
	if err != nil {
		return "", err
	}
	storage, err := trillianlog.ParseURL(on.storageURL)
	if err != nil {
		return "", err
	}
	if err := checkTree(ctx, storage); err != nil {
		return "", err
	}
	if err := os.MkdirAll(at.dir, 0o755); err != nil {
		return "", err
	}
	// The database comes last: without it nothing can be served, so a log that
	// was made only in part is never mistaken for a whole one.
	vkey = key.String()
	for _, step := range []func() error{
		func() error { return keyfile.Create(at.token(), rand.Text()) },
		func() error { return durable.WriteFile(at.vkey(), []byte(vkey+"\n"), 0o644) },
		func() error {
			if private == "" {
				return nil
			}
			return keyfile.Create(at.key(), private)
		},
		func() error { return db.Create(ctx, made.origin, storageName(tree)) },
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	return vkey, nil
}

// makeTree makes a tree if the storage's URL names none, and adds it there.
func (s *shared) makeTree(ctx context.Context) (tree int64, err error) {
	u, err := url.Parse(s.storageURL)
	if err != nil {
		return 0, fmt.Errorf("--storage: %w", fetch.RedactError(err))
	}
	if u.Path != "" && u.Path != "/" {
		cfg, err := trillianlog.ParseURL(s.storageURL)
		return cfg.TreeID, err
	}
	u.Path = "/1" // any tree will do to read the rest
	cfg, err := trillianlog.ParseURL(u.String())
	if err != nil {
		return 0, err
	}
	if tree, err = trillianlog.CreateTree(ctx, cfg.Target, cfg.TLS); err != nil {
		return 0, err
	}
	u.Path = "/" + strconv.FormatInt(tree, 10)
	s.storageURL = u.String()
	return tree, nil
}

const handOutShared = `
What to hand out:
  to witnesses             witness log add --dir WITNESS --url https://... %s
  to vendors, devices and  a trust policy with the line below, with the log's URL,
  auditors                 the witnesses that cosign, and their quorum
                             log %s https://...
  to vendors, in private   the registration token in %s
  to devices, as well      the repository's id, which registering it returns
  to other front ends      a copy of %s; those without log.key never lead
Now have PostgreSQL analyze Trillian's database, or its signer will be slow:
  psql TRILLIAN-DATABASE -c ANALYZE
and again after the first thousand entries. Then write the policy with the
witnesses' keys and URLs, and
  logserver serve %s --listen HOST:PORT
Keep backups of the two databases; when one is restored from an old copy, logserver
status says whether the log can go on.
`

// serveSharedWith returns the flags with which a front end serves the new log.
func serveSharedWith(at place, on shared, made newLog) string {
	return fmt.Sprintf("%s --storage %s --state %s", serveWith(at, made), printable.ShellWord(on.storageURL), printable.ShellWord(fetch.Redacted(on.stateURL)))
}
