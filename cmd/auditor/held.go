package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/lookup"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

// held is the answer to a lookup of a key, or of what vendors list.
type held struct {
	conclusion
	*lookup.Lookup
	Keys       []lookup.Key            `json:"keys,omitempty"`
	Files      []lookup.Held           `json:"files,omitempty"`
	Further    int                     `json:"further,omitempty"` // keys or files beyond those here
	Checkpoint *audit.CheckpointReport `json:"checkpoint"`
}

// answerHeld answers a lookup of a key, or of what vendors list, after a replay.
func (o *lookupFlags) answerHeld(cmd *cobra.Command, a *audit.Auditor, l *lookup.Lookup, on basis) error {
	h := held{Lookup: l, Checkpoint: on.checkpoint}
	var err error
	if o.key != "" {
		if h.Keys, h.Further, err = l.Keys(cmd.Context(), a.State(), o.key); err == nil {
			h.conclusion = concludeKey(o.key, l, h.Keys, on)
		}
	} else if h.Files, h.Further, err = l.Files(cmd.Context(), a.State()); err == nil {
		h.conclusion = concludeFiles(l, len(h.Files)+h.Further, on)
	}
	if err != nil {
		return err
	}
	if o.json {
		err = cli.WriteJSON(cmd.OutOrStdout(), h)
	} else {
		err = h.print(cli.Folded(cmd.OutOrStdout()))
	}
	if err == nil && on.outcome == nil && h.Word == "NO" {
		return cli.Failed(cli.ErrReported)
	}
	return firstOf(err, on.outcome)
}

// concludeKey words where a key is listed.
func concludeKey(id string, l *lookup.Lookup, keys []lookup.Key, on basis) conclusion {
	c := conclusion{Word: "NO", Notes: []string{}}
	var best *lookup.Key
	places := 0
	for i := range keys {
		k := &keys[i]
		if k.Evidence || !k.Newest || len(k.Signs) == 0 {
			continue
		}
		if places++; best == nil {
			best = k
		}
	}
	switch {
	case best != nil:
		c.Word = "YES"
		c.Sentence = fmt.Sprintf("key %s may sign %s: the newest %s of %s lets it, since entry %d", id, roles(best), tuf.Word(best.Role), owner(l, best), best.Since)
		if places > 1 {
			c.Notes = append(c.Notes, fmt.Sprintf("and by %s more, below", plural(places-1, "role")))
		}
	case len(keys) > 0:
		last := &keys[0]
		for i := range keys {
			if keys[i].Index > last.Index {
				last = &keys[i]
			}
		}
		c.Sentence = fmt.Sprintf("key %s may not sign anything any more: the last release that listed it is %s of %s, entry %d", id, tuf.Word(last.Role), owner(l, last), last.Index)
		if last.Evidence {
			c.Sentence = fmt.Sprintf("key %s is listed by evidence alone, entry %d: %s of %s", id, last.Index, tuf.Word(last.Role), owner(l, last))
		}
	default:
		c.Sentence = fmt.Sprintf("no release %s lists key %s%s", whose(l), id, upTo(on))
	}
	if l.Elsewhere > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("roles of other repositories that list it: %d, which do not count", l.Elsewhere))
	}
	c.doubt(on)
	return c
}

// concludeFiles words how many files vendors list.
func concludeFiles(l *lookup.Lookup, n int, on basis) conclusion {
	c := conclusion{Word: "YES", Notes: []string{}}
	c.Sentence = fmt.Sprintf("the newest releases %s list %s%s", whose(l), plural(n, "file"), upTo(on))
	if n == 0 {
		c.Word = "NO"
		c.Sentence = fmt.Sprintf("no release %s lists a file%s", whose(l), upTo(on))
	}
	c.openFindings(nil, l, on.findings)
	c.doubt(on)
	return c
}

// owner names the repository that lists a key.
func owner(l *lookup.Lookup, k *lookup.Key) string {
	if name := l.Vendors[k.Repository]; name != "" {
		return fmt.Sprintf("your vendor %q (repository %v)", name, k.Repository)
	}
	return fmt.Sprintf("repository %v", k.Repository)
}

// roles says what a key may sign, and how many keys that takes.
func roles(k *lookup.Key) string {
	var texts []string
	for _, r := range k.Signs {
		texts = append(texts, fmt.Sprintf("%s (takes %d)", tuf.Word(r.Role), r.Threshold))
	}
	if k.More > 0 {
		texts = append(texts, fmt.Sprintf("%d more", k.More))
	}
	return strings.Join(texts, ", ")
}

func (h *held) print(w io.Writer) error {
	printConclusion(w, h.conclusion)
	printCheckpoint(w, h.Checkpoint, false)
	var t printable.Table
	switch {
	case len(h.Keys) > 0:
		fmt.Fprintln(w)
		t = printable.NewTable(w, "SINCE", "LAST", "NEWEST", "REPOSITORY", "LISTED BY", "KEY", "MAY SIGN")
		for _, k := range h.Keys {
			newest := yesNo(k.Newest)
			if k.Evidence {
				newest = "evidence"
			}
			t.Row(k.Since, k.Index, newest, nameOf(h.Lookup, k.Repository), printable.Line(k.Role), printable.Line(k.ID), printable.Line(roles(&k)))
		}
	case len(h.Files) > 0:
		fmt.Fprintln(w)
		t = printable.NewTable(w, "PATH", "BYTES", "HASH", "REPOSITORY", "LISTED BY", "SINCE", "LAST")
		for _, f := range h.Files {
			t.Row(printable.Line(f.Path), bytesOf(f.Length), hashOf(f.Hashes), nameOf(h.Lookup, f.Repository), printable.Line(f.Role), f.Since, f.Index)
		}
	default:
		return nil
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if h.Further > 0 {
		fmt.Fprintf(w, "and %d more\n", h.Further)
	}
	return nil
}
