package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log/audited"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/witness/client"
)

func (st *status) print(w io.Writer, paste func(string) string) {
	tree := func(name string, t *treeStatus, none string) {
		if t == nil {
			fmt.Fprintf(w, "%-11s%s\n", name, none)
			return
		}
		fmt.Fprintf(w, "%-11ssize %d, root %s", name, t.Size, t.Root)
		if !t.Signed.IsZero() && t.Signed.Unix() > 0 {
			fmt.Fprintf(w, ", signed %s", t.Signed.Format(time.RFC3339))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%-11s%s\n%-11s%s\n", "log", st.Origin, "keys", strings.Join(st.Keys, "\n"+strings.Repeat(" ", 11)))
	switch {
	case st.Leader != "":
		fmt.Fprintf(w, "%-11s%s, epoch %d\n", "leader", st.Leader, st.Epoch)
	case st.Shared:
		fmt.Fprintf(w, "%-11s%s\n", "leader", "nobody")
	}
	unknown := "cannot be read"
	if st.Served && !st.Shared {
		unknown = "in use: the log is being served"
		if st.Holder != "" {
			unknown = "in use by " + st.Holder
		}
	}
	tree("ledger", st.Ledger, "cannot be read")
	if st.Shared {
		tree("Trillian", st.Trillian, unknown)
		tree("copy", st.Storage, unknown)
	} else {
		tree("storage", st.Storage, unknown)
	}
	tree("published", st.Published, "nothing")
	if st.FrontEnd != nil {
		tree("front end", st.FrontEnd, "")
	}
	if st.State != nil && *st.Listed < *st.State {
		fmt.Fprintf(w, "%-11s%d entries, target files of the first %d\n", "state", *st.State, *st.Listed)
	} else if st.State != nil {
		fmt.Fprintf(w, "%-11s%d entries\n", "state", *st.State)
	}
	for _, h := range st.Witnesses {
		printWitness(w, h)
	}
	if st.Witnesses == nil {
		fmt.Fprintf(w, "%-11snone is known here, and so none is asked what it has cosigned: --policy FILE names them\n", "witnesses")
	}
	printAudited(w, st.Audited)
	for _, a := range st.Ahead {
		shows := "shows nothing that this log has signed"
		if a.Shows != nil {
			shows = fmt.Sprintf("shows size %d, root %s", a.Shows.Size, a.Shows.Root)
		}
		fmt.Fprintf(w, "%-11s%s says that it has cosigned size %d, and %s\n", "ahead", printable.Line(a.Name), a.Says, shows)
	}
	printFrontEnds(w, st.FrontEnds)
	if st.Ended {
		fmt.Fprintln(w, paste(st.end()))
	}
	if st.Serving != "" {
		fmt.Fprintf(w, "%-11s%s\n", "serving", st.Serving)
	}
	st.printWrong(w)
}

// printWrong says what is wrong and what to do; the limits are of interest where the log can be
// served.
func (st *status) printWrong(w io.Writer) {
	if st.Unready != "" {
		fmt.Fprintf(w, "\nThe log is served, and nothing can be published now: %s.\n", printable.Line(strings.TrimSuffix(st.Unready, ".")))
	}
	for _, f := range st.Faults {
		fmt.Fprintf(w, "\nThe log can be served, but %s.\n%s.\n", printable.Line(strings.TrimSuffix(f.What, ".")), f.Do)
	}
	if st.What == "" {
		fmt.Fprintln(w)
		printLimits(w, st.Limits)
		return
	}
	code := ""
	if st.Code != "" {
		code = fmt.Sprintf(" (%s)", st.Code)
	}
	fmt.Fprintf(w, "\nThe log cannot be served%s: %s.\n", code, st.What)
	if st.Do != "" {
		fmt.Fprintf(w, "%s.\n", st.Do)
	}
}

// end says how far the log's end is.
func (st *status) end() string {
	if st.Published != nil && st.Published.Size == st.Ledger.Size {
		return "the log has ended: nothing follows its last entry"
	}
	return "the log has ended, but a quorum of witnesses does not have its end yet: run logserver freeze again, or serve"
}

// printWitness says how it last went with a witness, in its own words.
func printWitness(w io.Writer, h client.Health) {
	cosigned := "has not cosigned yet"
	if !h.LastSuccess.IsZero() {
		cosigned = fmt.Sprintf("size %d, cosigned last %s", h.Size, h.LastSuccess.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(w, "%-11s%s: %s\n", "witness", printable.Line(h.Name), cosigned)
	if h.PerDay > 0 {
		fmt.Fprintf(w, "%-11s%d requests in 24 hours, of %d that were declared\n", "", h.In24h, h.PerDay)
	}
	if h.Error != "" {
		fmt.Fprintf(w, "%-11slast request: %s\n", "", printable.Line(h.Error))
	}
}

// printAudited says how far audited checkpoints are, and which auditor is behind.
func printAudited(w io.Writer, h *audited.Health) {
	if h == nil {
		return
	}
	if h.Size == 0 {
		fmt.Fprintf(w, "%-11snothing yet\n", "audited")
	} else {
		fmt.Fprintf(w, "%-11ssize %d, root %s, cosigned by an auditor last %s\n", "audited", h.Size, h.Root, h.Cosigned.Format(time.RFC3339))
	}
	for _, a := range h.Auditors {
		how := "has not shown anything of this log yet"
		if a.Size > 0 {
			how = fmt.Sprintf("size %d, cosigned %s", a.Size, a.Cosigned.Format(time.RFC3339))
		}
		if a.Behind > 0 {
			how += fmt.Sprintf(", %d entries behind", a.Behind)
		}
		fmt.Fprintf(w, "%-11s%s: %s\n", "auditor", printable.Line(a.Name), how)
		if a.Error != "" {
			fmt.Fprintf(w, "%-11slast look: %s\n", "", printable.Line(a.Error))
		}
	}
}

// printLimits prints the limits as a table.
func printLimits(w io.Writer, rows []quota.LimitRow) {
	table := printable.NewTable(w, "limit", "all", "a source", "a token's holder", "kept for tokens")
	for _, r := range rows {
		table.Row(r.What, cmp.Or(r.All, "-"), cmp.Or(r.Source, "-"), cmp.Or(r.Holder, "-"), cmp.Or(r.Reserve, "-"))
	}
	_ = table.Flush() // as every line of a report
}
