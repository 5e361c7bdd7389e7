package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/gossip"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

// maxGossip is how many bytes of a text are searched for checkpoints.
const maxGossip = 16 << 20

type gossipFlags struct {
	logFlags
	out string
}

func newGossip() *cobra.Command {
	var opts gossipFlags
	cmd := &cobra.Command{
		Use:   "gossip FILE|URL|-... --policy FILE",
		Short: "Compare checkpoints from anywhere with the log",
		Long: `Compare checkpoints that others saw with what the log shows: a checkpoint that a phone
has, a .tlog-proof, a mail that quotes one, or the URL at which a witness shows what it
cosigned last (its monitoring prefix). A log that shows two histories shows each of them
to somebody.

A file or page may hold any text around the checkpoints. They are those of the policy's
logs, verified by its keys, and compared by the log's tiles; nothing else of the log is
read. "-" is stdin. While the log cannot be read, they are compared with the newest
checkpoint that --state has, by the leaves there.

  same       of one history with what the log publishes
  ahead      larger than what the log publishes: it cannot be compared yet. With --state
             it is kept, and the next replay compares it
  fork       the log signed two histories: the evidence is written to DIR of --out
  went-back  a witness cosigned a smaller tree with a later time than a larger one: it
             went back, or its clock did; likewise
  undecided  the log does not serve what it takes to compare them
  unsigned   not signed by a log of the policy, or a signature does not verify

Exit codes:
  0  every checkpoint is of one history with the log's, or ahead of it
  1  evidence was found
  2  wrong usage, nothing to compare, or not everything could be compared, such as with a
     log that cannot be read`,
		Example: `  auditor gossip --policy policy.txt phone.note mail.txt
  auditor gossip --policy policy.txt https://witness.example.com/`,
		Args: cobra.MinimumNArgs(1),
		RunE: opts.run,
	}
	opts.register(cmd)
	cmd.Flags().StringVar(&opts.out, "out", ".", "`DIR` to write evidence to")
	return cmd
}

func (o *gossipFlags) run(cmd *cobra.Command, args []string) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	var origins []string
	for _, l := range cfg.Policy.Logs {
		origins = append(origins, l.Key.Name())
	}
	var seen []gossip.Seen
	var trouble []error
	for _, arg := range args {
		found, err := heard(cmd.Context(), cmd.InOrStdin(), arg, origins)
		if err != nil {
			trouble = append(trouble, err)
		}
		seen = append(seen, found...)
	}
	if len(seen) == 0 {
		return errors.Join(append(trouble, errors.New("there is no checkpoint of a log of the policy to compare"))...)
	}
	log := &gossip.Log{Policy: cfg.Policy, Source: cfg.Source}
	results, err := log.Compare(cmd.Context(), seen)
	if err != nil {
		trouble = append(trouble, err)
		if results, err = o.compareKept(cmd.Context(), cfg, log, seen); err != nil {
			return errors.Join(append(trouble, err)...)
		}
	}
	if o.state != "" {
		if err := keepAhead(cmd.Context(), cfg, results); err != nil {
			trouble = append(trouble, err)
		}
	}
	files, err := writeAccusations(o.out, results)
	if err != nil {
		return err
	}
	if o.json {
		err = cli.WriteJSON(cmd.OutOrStdout(), results)
	} else {
		err = printGossip(cli.Folded(cmd.OutOrStdout()), log, results, files)
	}
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Verdict == gossip.Fork || r.Verdict == gossip.WentBack {
			return cli.Failed(cli.ErrReported)
		}
	}
	for _, r := range results {
		if r.Verdict == gossip.Undecided || r.Verdict == gossip.Unsigned {
			trouble = append(trouble, fmt.Errorf("%s: %s", r.From, r.Sentence))
		}
	}
	return errors.Join(trouble...)
}

// errNothingKept says that there is nothing to compare with instead of the log.
var errNothingKept = errors.New("nor does the state have a checkpoint to compare with (--state DIR)")

// compareKept compares checkpoints with the newest one that the state has, by the tiles of
// its leaves, while the log cannot be read.
func (o *gossipFlags) compareKept(ctx context.Context, cfg audit.Config, log *gossip.Log, seen []gossip.Seen) ([]gossip.Result, error) {
	if !o.remembers() {
		return nil, errNothingKept
	}
	a, err := audit.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	kept, err := a.Kept(ctx)
	if err != nil {
		return nil, err
	}
	if kept == nil {
		return nil, errNothingKept
	}
	log.Source, log.Shows = keptSource{kept.Note.Marshal(), a.Tiles()}, "what the state has of the log"
	return log.Compare(ctx, seen)
}

// keptSource is a gossip.Source that does not ask the log.
type keptSource struct {
	checkpoint []byte
	tiles      proofs.TileReader
}

func (s keptSource) Checkpoint(context.Context) ([]byte, error) { return s.checkpoint, nil }

func (s keptSource) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return s.tiles.ReadTile(ctx, level, index, width)
}

// heard reads a file, a page or stdin, and finds the checkpoints in it.
func heard(ctx context.Context, stdin io.Reader, arg string, origins []string) ([]gossip.Seen, error) {
	texts := map[string][]byte{}
	var err error
	switch {
	case arg == "-":
		texts["-"], err = io.ReadAll(io.LimitReader(stdin, maxGossip+1))
	case strings.Contains(arg, "://"):
		texts, err = heardAt(ctx, arg, origins)
	default:
		texts[arg], err = cli.ReadAtMost(arg, maxGossip)
	}
	if err != nil {
		return nil, err
	}
	var seen []gossip.Seen
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		text := texts[name]
		if len(text) > maxGossip {
			return nil, fmt.Errorf("%s has more than %d bytes: %w", name, maxGossip, cli.ErrTooLarge)
		}
		found, more := gossip.Find(text, origins...)
		if more {
			err = fmt.Errorf("%s has more than %d checkpoints: the rest was not compared", name, gossip.MaxNotes)
		}
		for _, f := range found {
			seen = append(seen, gossip.Seen{From: fmt.Sprintf("%s:%d", name, f.Line), Note: f.Note})
		}
	}
	if len(seen) == 0 {
		err = errors.Join(err, fmt.Errorf("%s: no whole checkpoint of %s in it", arg, strings.Join(origins, " or ")))
	}
	return seen, err
}

// heardAt fetches a page or, below a witness's monitoring prefix, what it shows of each log
// (c2sp.org/tlog-witness).
func heardAt(ctx context.Context, url string, origins []string) (map[string][]byte, error) {
	if err := cli.CheckURL(url); err != nil {
		return nil, err
	}
	client := fetch.Direct(&http.Client{Timeout: time.Minute})
	texts := map[string][]byte{}
	var missed error
	for _, origin := range origins {
		path := fmt.Sprintf("%s/%x/checkpoint", strings.TrimRight(url, "/"), sha256.Sum256([]byte(origin)))
		b, err := fetch.Get(ctx, client, path, maxGossip)
		if err == nil {
			texts[path] = b
		}
		missed = err
	}
	if len(texts) > 0 {
		return texts, nil
	}
	b, err := fetch.Get(ctx, client, url, maxGossip)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", fetch.Redacted(url), fetch.WithoutBody(err)), fetch.WithoutBody(missed))
	}
	return map[string][]byte{fetch.Redacted(url): b}, nil
}

// keepAhead keeps what the log does not show yet in the state, to be compared when it does.
func keepAhead(ctx context.Context, cfg audit.Config, results []gossip.Result) error {
	var notes [][]byte
	for _, r := range results {
		if r.Verdict == gossip.Ahead || r.Verdict == gossip.Undecided && r.Origin != "" {
			notes = append(notes, r.Note)
		}
	}
	if len(notes) == 0 {
		return nil
	}
	a, err := audit.New(ctx, cfg)
	if err != nil {
		return err
	}
	for _, note := range notes {
		err = errors.Join(err, a.Consider(ctx, note))
	}
	return errors.Join(err, a.Close())
}

// writeAccusations writes evidence to a directory, which is made if there is any. It
// returns the paths.
func writeAccusations(dir string, results []gossip.Result) ([]string, error) {
	var paths []string
	for _, r := range results {
		for _, e := range r.Evidence {
			path, err := writeEvidence(dir, e.Name, e.Bytes)
			if err != nil {
				return paths, err
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// writeEvidence writes a file of evidence.
func writeEvidence(dir, name string, file []byte) (string, error) {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return path, err
	}
	return path, durable.WriteFile(path, file, 0o644)
}

func printGossip(w io.Writer, log *gossip.Log, results []gossip.Result, files []string) error {
	with := cmp.Or(log.Shows, "what the log publishes")
	count := map[gossip.Verdict]int{}
	for _, r := range results {
		count[r.Verdict]++
	}
	what := plural(len(results), "checkpoint")
	switch {
	case count[gossip.Fork] > 0:
		fmt.Fprintf(w, "FORK: the log signed two histories (%d of %s)\n", count[gossip.Fork], what)
	case count[gossip.WentBack] > 0:
		fmt.Fprintf(w, "WENT BACK: a smaller tree was signed with a later time than a larger one (%d of %s)\n", count[gossip.WentBack], what)
	case count[gossip.Same] == len(results):
		fmt.Fprintf(w, "%s, all of one history with %s\n", what, with)
	default:
		fmt.Fprintf(w, "%s: %d of one history with %s, %d ahead of it, %d that could not be compared\n",
			what, count[gossip.Same], with, count[gossip.Ahead], count[gossip.Undecided]+count[gossip.Unsigned])
	}
	t := printable.NewTable(w, "FROM", "SIZE", "VERDICT", "SIGNED BY")
	for _, r := range results {
		t.Row(r.From, r.Size, r.Verdict, strings.Join(r.Signed, ", "))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if r.Verdict != gossip.Same {
			fmt.Fprintf(w, "%s: %s\n", printable.Line(r.From), printable.Line(r.Sentence))
		}
	}
	printEvidenceFiles(w, files)
	return nil
}

// printEvidenceFiles says which files of evidence were written, and how to check them.
func printEvidenceFiles(w io.Writer, files []string) {
	for _, path := range files {
		fmt.Fprintf(w, "evidence: %s (check it with: auditor evidence check --policy FILE %s)\n", path, printable.ShellWord(path))
	}
}
