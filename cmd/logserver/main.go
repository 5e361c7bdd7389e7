// Command logserver runs a transparency log for update metadata: it admits
// validly signed releases, appends them to a Merkle log, publishes checkpoints
// that witnesses have cosigned, and serves all of it over HTTP.
//
// A log lives in a directory:
//
//	log.key             the private key, readable by its owner only
//	log.vkey            the public key, for witnesses, vendors and devices
//	registration.token  what a vendor must send to register a repository
//	labels              optional: lines of a repository's 64 hex digits, a space
//	                    and the operator's name for it
//	tree/               entries and tiles; kept by Tessera, locked while in use
//	blobs.db            the metadata files, by SHA-256; the SHA-256 of repositories'
//	                    tokens; files that are held
//	state.db            what can be looked up; logserver reindex makes it anew
//	packs/              the files of full bundles in one piece; made anew when lost
//	checkpoint          the published checkpoint
//	keys/*.key          optional: further keys that sign every checkpoint
//	keys/*.vkey         their public keys; all that a front end needs that never leads
//	witnesses.json      how far each witness is; saves asking them at a start
//	requests.json       how many requests each witness was sent, where a rate is declared
//	audited             with --audited-policy: the newest checkpoint that auditors
//	                    have cosigned; they are asked for it again when it is lost
//	auditors.json       how far each auditor is, for logserver status
//
// and, outside of it, in the ledger's directory (DIR.ledger by default):
//
//	ledger              the last tree that was signed
//	actions.jsonl       what logserver freeze, resume, blob add, token and hold have
//	                    done
//
// A log that several front ends serve (--storage, --state) has its entries in a
// Trillian server and all else in a PostgreSQL database. Each front end has a
// directory with the keys, the token and the labels, the same ones everywhere, and
// packs of its own; the other files are not used.
//
// Back up tree/ and blobs.db, the key, and the ledger separately from them.
// A log directory that was restored from an old copy is caught because the
// ledger knows more; a ledger that was restored with it would let the log sign a
// second history.
package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log/dirlog"
)

func main() { cli.Main(newRoot) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "logserver",
		Short: "Run a transparency log for update metadata",
		Long: `Logserver runs a transparency log for update metadata: it admits validly signed
TUF releases, appends them to a Merkle log, publishes checkpoints that a quorum
of witnesses has cosigned, and serves all of it over HTTP.`,
		Example: `  logserver init --dir ./log --origin log.example/tuf
  logserver serve --dir ./log --policy policy.txt --listen 127.0.0.1:7370
  logserver reindex --dir ./log`,
	}
	root.AddCommand(newInit(), newServe(), newReindex(), newFsck(), newStatus(), newResume(), newFreeze(), newExport(), newMigrate(), newBlob(), newKey(), newToken(), newHold(), newTree())
	return root
}

// place says where a log's files are.
type place struct{ dir, ledger, config string }

// flags adds the flags every command needs.
func (p *place) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.config, "config", "", "file with settings, lines \"key = value\" named like the flags of logserver serve; flags given here go before")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if p.config == "" {
			return nil
		}
		return applyConfig(cmd, p.config)
	}
	cmd.Flags().StringVar(&p.dir, "dir", "", "directory of the log (required)")
	if err := cmd.MarkFlagRequired("dir"); err != nil {
		panic(err) // the flag was defined one line above
	}
}

func (p *place) ledgerFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.ledger, "ledger", "", "directory of the ledger, outside the log's directory (default DIR.ledger)")
}

func (p *place) ledgerDir() string {
	if p.ledger != "" {
		return p.ledger
	}
	return filepath.Clean(p.dir) + ".ledger"
}

// log returns where the log itself is.
func (p *place) log() dirlog.Dir { return dirlog.Dir{Path: p.dir, Ledger: p.ledgerDir()} }

func (p *place) key() string       { return filepath.Join(p.dir, "log.key") }
func (p *place) vkey() string      { return filepath.Join(p.dir, "log.vkey") }
func (p *place) token() string     { return filepath.Join(p.dir, "registration.token") }
func (p *place) labels() string    { return filepath.Join(p.dir, "labels") }
func (p *place) served() string    { return filepath.Join(p.dir, "served") }
func (p *place) audited() string   { return filepath.Join(p.dir, "audited") }
func (p *place) auditors() string  { return filepath.Join(p.dir, "auditors.json") }
func (p *place) packs() string     { return filepath.Join(p.dir, "packs") }
func (p *place) witnesses() string { return filepath.Join(p.dir, "witnesses.json") }
func (p *place) requests() string  { return filepath.Join(p.dir, "requests.json") }
