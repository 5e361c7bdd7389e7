package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/audited"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/log/serverlog"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// status is the state of the parts of a log, and what is wrong with them together.
type status struct {
	Origin    string      `json:"origin"`
	Keys      []string    `json:"keys"`
	Ledger    *treeStatus `json:"ledger"`              // null: lost or unreadable
	Storage   *treeStatus `json:"storage"`             // null: in use, or unreadable
	Published *treeStatus `json:"published"`           // null: nothing is published
	FrontEnd  *treeStatus `json:"front_end,omitempty"` // the newest that the front end here has served
	State     *int64      `json:"state"`               // entries in the derived state
	Listed    *int64      `json:"listed"`              // of so many it has the target files
	Served    bool        `json:"served"`              // a process has the log open
	Shared    bool        `json:"shared"`              // it is on servers; storage is then the copy of Trillian's entries
	Trillian  *treeStatus `json:"trillian,omitempty"`
	Leader    string      `json:"leader,omitempty"` // URL of the front end, or which command, that has the lease
	Epoch     int64       `json:"epoch,omitempty"`  // of its lease
	Ended     bool        `json:"ended"`            // the log has signed its end
	Holder    string      `json:"holder,omitempty"` // which process has the log open
	// Serving is the URL of the process that serves the log from here.
	Serving string `json:"serving,omitempty"`
	// FrontEnds are the front ends that may lead.
	FrontEnds []frontEndStatus `json:"front_ends,omitempty"`
	// leads is the URL of the front end that leads, with its password if it has one.
	leads string
	// Witnesses is the health that the process that serves the log from here, or did last,
	// has written of them.
	Witnesses []client.Health `json:"witnesses,omitempty"`

	// Audited is how far audited checkpoints are, as the process that serves the log from
	// here, or did last, has written; null: it asks no auditors.
	Audited *audited.Health `json:"audited,omitempty"`

	// Ahead are the witnesses that say that they have cosigned more than the ledger
	// knows, or something else.
	Ahead []aheadWitness `json:"ahead,omitempty"`

	Limits []quota.LimitRow `json:"limits"` // of all that is done at once, and for each source

	maintain.Diagnosis
}

// aheadWitness is a witness that says that it has cosigned a tree that the ledger does not know.
type aheadWitness struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	Says int64  `json:"says"` // size of the tree
	// Shows is the checkpoint with the log's signature that it shows; null: none that
	// the ledger does not know, so its word proves nothing.
	Shows *treeStatus `json:"shows"`
}

type treeStatus struct {
	Size   int64     `json:"size"`
	Root   string    `json:"root"`
	Signed time.Time `json:"signed,omitzero"`
}

func newStatus() *cobra.Command {
	var at place
	var on shared
	var quotas quotaFlags
	var policy string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status --dir DIR",
		Short: "Say how a log is, and if it does not start, why and what to do",
		Long: `Status reads the ledger, the storage, the published checkpoint and the derived state of
a log, and says how far each is and whether they fit together. Where they do not, it
says what is wrong and what to do about it. What the storage has beyond the ledger is
judged as at a start, unless the log is served. It says how it last went with each
witness, in the witness's own words, changes nothing, and needs no private key. Each of
these witnesses is asked what it shows, and named if that is more than the ledger knows;
with --policy, those of the policy are asked as well, which serve has not written of.
While the log is served from DIR its storage cannot be looked at: status asks the
process that serves it whether anything can be published. A log on servers (--storage,
--state) can always be looked at: its storage is then the copy of Trillian's entries
that front ends read, and status also says which front end leads, which could and why
the others could not, and how far Trillian is. It takes no lock and no lease. At the end
it lists the limits: what serve does at once, for everybody, for one source and for
holders of tokens, with the same --config or flags.

It exits 1 when the log cannot be served, or is served and can publish nothing now, or
no front end is able to, or something else is wrong with it that needs a person.`,
		Example: `  logserver status --dir ./log
  logserver status --dir ./log --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := readStatus(cmd.Context(), at, on, policy)
			if err != nil {
				return err
			}
			st.Limits = quotas.limits().Table()
			st.What, st.Do = cli.Pasteable(cmd, st.What), cli.Pasteable(cmd, st.Do)
			for i, f := range st.Faults {
				st.Faults[i].Do = cli.Pasteable(cmd, f.Do)
			}
			if asJSON {
				err = cli.WriteJSON(cmd.OutOrStdout(), st)
			} else {
				st.print(cmd.OutOrStdout(), func(text string) string { return cli.Pasteable(cmd, text) })
			}
			if err == nil && st.Wrong() {
				err = cli.Failed(cli.ErrReported)
			}
			return err
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
	on.sharedFlags(cmd)
	quotas.flags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&policy, "policy", "", "trust policy whose witnesses are asked (default: those that serve has written of in DIR)")
	return cmd
}

// readKeys returns the log's public keys.
func readKeys(at place) ([]proofs.Key, error) {
	b, err := os.ReadFile(at.vkey())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no log in %s: %w; logserver init makes a log", at.dir, err)
	}
	if err != nil {
		return nil, err
	}
	key, err := proofs.ParseKey(string(bytes.TrimSpace(b)))
	if err != nil {
		return nil, err
	}
	keys := []proofs.Key{key}
	more, err := readMorePublic(at)
	return append(keys, more...), err
}

// readStatus reads the state of a log, which others may write meanwhile.
func readStatus(ctx context.Context, at place, on shared, policy string) (st status, err error) {
	r := maintain.Reading{Shared: on.on()}
	if r.Keys, err = st.readKeys(at); err != nil {
		return st, err
	}
	if err := st.readWitnesses(at, policy); err != nil {
		return st, err
	}
	st.readAudited(at)
	if err := st.findLost(at, on, r.Keys); err != nil {
		return st, err
	}
	r.Witnesses = st.asked(ctx)
	if on.on() {
		r.Served, r.NoServed = publisher.OpenServed(at.served(), r.Keys, slog.New(slog.DiscardHandler))
	}
	l, err := open(ctx, at, on, slog.New(slog.DiscardHandler))
	if err != nil {
		return st, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := r.Read(ctx, l); err != nil {
		return st, err
	}
	st.show(&r)
	ahead, p := r.Diagnose(ctx, &st.Diagnosis)
	st.setAhead(ahead)
	if st.Served {
		return st, st.ask(ctx, at)
	}
	st.Ended = st.Ended || p != nil && p.Ended()
	if servers, ok := l.(*serverlog.Log); ok {
		if err := st.look(ctx, servers, &r); err != nil {
			return st, err
		}
	}
	if st.Trillian != nil {
		r.OnlyCopyIsOld(&st.Diagnosis, ahead, proofs.Tree{N: st.Trillian.Size})
	}
	if p != nil && !st.Served {
		st.judgeTail(ctx, p, l)
	}
	if on.on() {
		err = st.ask(ctx, at)
		st.Diagnosis.FrontEnds(saidBy(st.FrontEnds))
	}
	return st, err
}

// show keeps the reading for people.
func (st *status) show(r *maintain.Reading) {
	if r.NoServed == nil && r.Served.Newest().Note != nil {
		st.FrontEnd = treeOf(r.Served.Newest().Tree)
	}
	if r.NoLedger == nil {
		st.setLedger(r.Record)
	}
	if cp, _, err := proofs.OpenCheckpoint(r.Published, r.Keys...); err == nil {
		st.Published = treeOf(cp.Tree)
	}
	if r.NoState == nil {
		st.State, st.Listed = &r.Position.N, &r.Position.Listed
	}
	if st.Served = errors.Is(r.NoStorage, log.ErrLocked); st.Served {
		var held *lockfile.HeldError
		if errors.As(r.NoStorage, &held) && held.Program != "" {
			st.Holder = fmt.Sprintf("%s (process %d)", held.Program, held.PID)
		}
	} else if r.NoStorage == nil {
		st.Storage = treeOf(r.Stored)
	}
}

// ask asks whether the log can publish: the front end that leads it, or else the process
// that serves it from here.
func (st *status) ask(ctx context.Context, at place) error {
	local, err := at.servedAt()
	if err != nil {
		return err
	}
	url := local
	if st.leads != "" {
		url = st.leads
	}
	if url == "" {
		return nil
	}
	why, err := askReady(ctx, url)
	if local != "" && local != url && why == "" {
		// The leader may be out of reach from here alone, or lead what the front end
		// here contradicts.
		if said, err2 := askReady(ctx, local); err2 == nil {
			if err == nil && said != "" {
				said = "the front end here: " + said
			}
			why, err = said, nil
		}
	}
	switch {
	case err == nil:
		st.Unready = why
	case st.Shared && st.leads == "":
		return nil // it was killed, and nobody leads: that is said
	default:
		st.Unready = fmt.Sprintf("the process that serves it does not answer: %v", err)
	}
	st.Serving = local
	return nil
}

// readKeys reads whose status it is.
func (st *status) readKeys(at place) ([]proofs.Key, error) {
	keys, err := readKeys(at)
	if err != nil {
		return nil, err
	}
	st.Origin = keys[0].Name()
	for _, k := range keys {
		st.Keys = append(st.Keys, k.String())
	}
	return keys, nil
}

// readWitnesses reads which witnesses can be asked: those of a policy, which may be empty,
// and those that the process that serves the log has written of.
func (st *status) readWitnesses(at place, policy string) (err error) {
	if st.Witnesses, err = client.ReadHealth(at.witnesses()); err != nil {
		st.Witnesses = nil // they decide nothing
	}
	if policy == "" {
		return nil
	}
	p, err := cli.ReadPolicy(policy)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, h := range st.Witnesses {
		known[h.URL] = true
	}
	for _, w := range p.Witnesses {
		if url := fetch.Redacted(w.URL); w.URL != "" && !known[url] {
			st.Witnesses = append(st.Witnesses, client.Health{Name: w.Key.Name(), Key: w.Key.String(), URL: url})
		}
	}
	return nil
}

// readAudited reads how far audited checkpoints are, and finds fault with an auditor that
// knows another log under this key.
func (st *status) readAudited(at place) {
	var err error
	if st.Audited, err = audited.ReadHealth(at.auditors()); err != nil || st.Audited == nil {
		return // it decides nothing
	}
	for _, a := range st.Audited.Auditors {
		if a.Contradiction != "" {
			st.Fault(fmt.Sprintf("auditor %s shows, with this log's signature, %s", a.Name, a.Contradiction),
				fmt.Sprintf("Keep what it shows: it is at %s, under /%x/checkpoint. Find out who signs with the log's key, or which part was restored", a.URL, sha256.Sum256([]byte(st.Origin))))
		}
	}
}

func (st *status) setLedger(rec log.LedgerRecord) {
	st.Ledger, st.Ended = treeOf(rec.Edge.Tree()), rec.Ended
	st.Ledger.Signed = time.Unix(rec.Signed, 0).UTC()
}

func treeOf(t proofs.Tree) *treeStatus { return &treeStatus{Size: t.N, Root: t.Hash.String()} }

// shownTime is how long witnesses are given to show their newest checkpoint.
const shownTime = 2 * time.Second

// asked returns what each witness says and shows. They are asked before the ledger is read:
// everything that was signed by then, the ledger knows.
func (st *status) asked(ctx context.Context) []maintain.Witness {
	ctx, cancel := context.WithTimeout(ctx, shownTime)
	defer cancel()
	all := make([]maintain.Witness, len(st.Witnesses))
	var asking sync.WaitGroup
	for i, h := range st.Witnesses {
		asking.Go(func() { all[i] = maintain.Witness{Size: h.Size, Shows: client.Newest(ctx, nil, h.URL, st.Origin)} })
	}
	asking.Wait()
	return all
}

// setAhead names the witnesses that have said something else than the ledger, or show it.
func (st *status) setAhead(ahead []maintain.Ahead) {
	for _, a := range ahead {
		h := st.Witnesses[a.Witness]
		one := aheadWitness{Name: h.Name, URL: h.URL, Says: a.Says}
		if a.Shows != nil {
			one.Shows = treeOf(*a.Shows)
		}
		st.Ahead = append(st.Ahead, one)
	}
}

// judgeTail adds why the entries that the storage has beyond the ledger would not be taken.
func (st *status) judgeTail(ctx context.Context, p *publisher.Publisher, l opened) {
	blobs, err := l.Blobs()
	if err != nil {
		return // that was said
	}
	state, err := l.State()
	if err != nil {
		return
	}
	var halt *log.Halt
	if errors.As(leader.JudgeTail(ctx, p, blobs, state), &halt) {
		st.Explain(halt.Code, halt.What, halt.Do)
	}
}

// look adds which front end leads a log on servers, and how far Trillian is.
func (st *status) look(ctx context.Context, l *serverlog.Log, r *maintain.Reading) error {
	leader, ok, err := l.Leader(ctx)
	if err != nil {
		return err
	}
	st.Shared, st.Served, st.Leader, st.leads, st.Epoch = true, ok, fetch.Redacted(leader.URL), leader.URL, leader.Epoch
	if ok && leader.URL == "" {
		st.Leader = "a command, in the process " + leader.ID
	}
	all, err := l.FrontEnds(ctx)
	switch {
	case errors.Is(err, log.ErrUnavailable):
		return err
	case err != nil:
		st.Fault(fmt.Sprintf("what its front ends say of themselves cannot be read: %v. The one that leads goes on; none knows which other one is able to lead", err),
			"Nothing is lost with it. A front end that has the log's key and runs makes the table again within a second, if the database lets it: its output says why not")
	}
	st.FrontEnds = statusOf(all, leader.ID)
	if r.NoStorage != nil {
		return nil // that was said
	}
	trillian, err := l.Diagnose(ctx, r.Stored, &st.Diagnosis)
	if trillian != nil {
		st.Trillian = treeOf(*trillian)
	}
	return err
}
