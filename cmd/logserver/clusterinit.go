package main

import (
	"context"
	"fmt"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log/serverlog"
)

// initializeShared makes a log on servers where there is none, and completes the
// storage's URL with the tree that it makes.
func initializeShared(ctx context.Context, at place, on *shared, made newLog) (*newKeys, error) {
	if err := checkEmpty(at.dir); err != nil {
		return nil, err
	}
	keys, err := made.keys()
	if err != nil {
		return nil, err
	}
	servers := on.servers()
	err = serverlog.Create(ctx, &servers, made.origin, func() error {
		return writeKeys(at, keys)
	})
	if err != nil {
		return nil, err
	}
	on.storageURL = servers.Storage
	return keys, nil
}

const handOutShared = `
What to hand out:
  to witnesses             witness log add --dir WITNESS --url https://... %s
  to vendors, devices and  a trust policy with the line below, with the log's URL,
  auditors                 the witnesses that cosign, and their quorum
                             log %s https://...
%s  to vendors, in private   the registration token in %s
  to devices, as well      the repository's id, which registering it returns
%s  to other front ends      a copy of %s; those without log.key never lead
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
