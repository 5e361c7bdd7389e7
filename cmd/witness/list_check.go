package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
)

func newList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Look at lists of logs of the witness network",
		Example: `  witness list check log-list.1 --log https://log.example.org`,
	}
	cmd.AddCommand(newListCheck())
	return cmd
}

func newListCheck() *cobra.Command {
	var flags struct {
		log    string
		perDay int64
		json   bool
	}
	cmd := &cobra.Command{
		Use:   "check FILE [--log URL] [--per-day N]",
		Short: "Say whether a list of logs is right, and what it says of your log",
		Long: `Check reads a list of logs in the format of the witness network ("logs/v0") strictly:
every line, the order of the lines, keys, and that no name and no key is there twice. It
names the line of each fault. Witnesses pass over some of them; for the log they are of
that means that it is not cosigned.

With --log it also fetches the newest checkpoint that your log serves, finds the log by its
origin in the list, and checks that the listed key has signed the checkpoint, and that the
listed requests a day (qpd) are not fewer than the log declares: what logserver serve has
as --checkpoints-per-day or --max-rate, which a log of this project says at its URL, or
--per-day for any other.

It exits with 1 if anything is wrong, and with 2 if it could not be checked.`,
		Example: `  witness list check log-list.1
  witness list check log-list.1 --log https://log.example.org
  witness list check log-list.1 --log https://log.example.org --per-day 8640 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.perDay < 0 || flags.perDay > 0 && flags.log == "" {
				return errors.New("--per-day: want a positive number, beside --log")
			}
			b, err := cli.ReadAtMost(args[0], witness.MaxListSize)
			if err != nil {
				return err
			}
			var r checkedList
			r.logs, r.Faults = witness.CheckList(b)
			r.Logs = len(r.logs)
			if flags.log != "" {
				url, err := cleanURL(flags.log)
				if err != nil {
					return fmt.Errorf("--log: %w", err)
				}
				own, err := askLog(cmd.Context(), url)
				if err != nil {
					return fmt.Errorf("--log: %w", err)
				}
				if flags.perDay > 0 {
					own.perDay = flags.perDay
				}
				r.compare(own)
			}
			if flags.json {
				r.Faults = append([]witness.ListFault{}, r.Faults...) // [] in JSON, not null
				err = cli.WriteJSON(cmd.OutOrStdout(), r)
			} else {
				err = r.print(cmd.OutOrStdout())
			}
			if err == nil && len(r.Faults) > 0 {
				err = cli.Failed(cli.ErrReported)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&flags.log, "log", "", "URL of your log, to compare its line with")
	cmd.Flags().Int64Var(&flags.perDay, "per-day", 0, "how many requests your log sends a witness in 24 hours at most (default: what it says at its URL)")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON")
	return cmd
}

// checkedList is what there is to say of a list.
type checkedList struct {
	Logs   int                 `json:"logs"`
	Own    *listedOwn          `json:"own,omitempty"` // nil: not asked for, or not in the list
	Faults []witness.ListFault `json:"faults"`

	logs []witness.ListedLog
}

// listedOwn is what the list says of the operator's log.
type listedOwn struct {
	Origin   string `json:"origin"`
	Key      string `json:"key"`
	Line     int    `json:"line"`
	PerDay   int64  `json:"per_day"`            // of the list
	Declared int64  `json:"declared,omitempty"` // by the log; 0: nothing
	Contact  string `json:"contact"`
}

func (r *checkedList) print(w io.Writer) error {
	switch {
	case len(r.Faults) > 0:
		fmt.Fprintf(w, "%d faults, beside %d logs that are right:\n", len(r.Faults), r.Logs)
	default:
		fmt.Fprintf(w, "the list is right: %d logs\n", r.Logs)
	}
	if o := r.Own; o != nil {
		fmt.Fprintf(w, "line %d: %s, %d requests a day, contact %s\n", o.Line, printable.Line(o.Origin), o.PerDay, printable.Line(o.Contact))
	}
	t := printable.NewTable(w)
	for _, f := range r.Faults {
		t.Row(fmt.Sprintf("line %d", f.Line), f.What)
	}
	return t.Flush()
}

// served is what a log serves.
type served struct {
	url, origin string
	note        proofs.Note
	keys        []string // that it says are its own; nil: it says nothing
	perDay      int64    // that it has declared; 0: nothing
}

const (
	askTimeout  = 10 * time.Second
	maxNote     = 64 << 10 // bytes
	maxPage     = 1 << 20
	aboutMedium = "application/json"
)

// askLog fetches the newest checkpoint of a log, and what it says of itself, if it does.
func askLog(ctx context.Context, url string) (*served, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	b, err := fetch.Get(ctx, fetch.Direct(nil), url+"/checkpoint", maxNote)
	if err != nil {
		return nil, err
	}
	s := &served{url: url}
	if s.note, err = proofs.ParseNote(b); err != nil {
		return nil, fmt.Errorf("%s/checkpoint: %w", fetch.Redacted(url), err)
	}
	s.origin, _, _ = strings.Cut(s.note.Text, "\n")
	return s, s.about(ctx)
}

// about reads the page of a log of this project, for programs. Other logs have none.
func (s *served) about(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/", nil)
	if err != nil {
		return fetch.RedactError(err)
	}
	req.Header.Set("Accept", aboutMedium)
	resp, err := fetch.Do(fetch.Direct(nil), req)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	var about struct {
		Origin string   `json:"origin"`
		Keys   []string `json:"keys"`
		PerDay int64    `json:"per_day"`
	}
	if resp.StatusCode == http.StatusOK && json.Unmarshal(b, &about) == nil && about.Origin == s.origin {
		s.keys, s.perDay = about.Keys, about.PerDay
	}
	return nil
}

// compare adds what the list says wrongly of a log.
func (r *checkedList) compare(s *served) {
	fault := func(line int, format string, args ...any) {
		r.Faults = append(r.Faults, witness.ListFault{Line: line, What: fmt.Sprintf(format, args...)})
	}
	i := slices.IndexFunc(r.logs, func(l witness.ListedLog) bool { return l.Name() == s.origin })
	if i < 0 {
		fault(1, "no log that is right has the origin %q of %s", s.origin, fetch.Redacted(s.url))
		return
	}
	l := r.logs[i]
	r.Own = &listedOwn{Origin: s.origin, Key: l.Key.String(), Line: l.Line, PerDay: l.PerDay, Declared: s.perDay, Contact: l.Contact}
	if why := unsigned(s.note, l.Key); why != "" {
		fault(l.Line, "the key of %s %s", s.origin, why)
	} else if s.keys != nil && !slices.Contains(s.keys, l.Key.String()) {
		fault(l.Line, "the key of %s has signed the checkpoint, and the log does not say that it is its own", s.origin)
	}
	switch {
	case s.perDay == 0:
		fault(l.QPDLine, "%d requests a day are listed, and the log does not say that it keeps to any number: logserver serve --checkpoints-per-day, or --per-day here", l.PerDay)
	case s.perDay > l.PerDay:
		fault(l.QPDLine, "%d requests a day are listed, and the log may send %d", l.PerDay, s.perDay)
	}
}

// unsigned says why a note has no good signature of a key; "": it has one.
func unsigned(note proofs.Note, key proofs.Key) string {
	for _, sig := range note.Signatures {
		if sig.Name == key.Name() && sig.KeyID == key.ID() {
			if _, err := key.Verify(note.Text, sig.Sig); err != nil {
				return fmt.Sprintf("has not signed the checkpoint that the log serves: %v", err)
			}
			return ""
		}
	}
	return "has not signed the checkpoint that the log serves"
}
