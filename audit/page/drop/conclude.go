package drop

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// told says whose a policy is, and whom it trusts.
func told(p *proofs.Policy, edited bool) string {
	whose := "the policy that the page came with"
	if edited {
		whose = "the policy that you have changed"
	}
	var logs []string
	for _, l := range p.Logs {
		logs = append(logs, l.Key.Name())
	}
	names := map[string]bool{}
	for _, w := range p.Witnesses {
		names[w.Key.Name()] = true
	}
	return fmt.Sprintf("%s: log %s; of %d witnesses %d are enough", whose, words(slices.Compact(logs)), len(names), p.SmallestQuorum())
}

// conclude says what the results are together. The worst counts: what is refused, or else
// what is not proved; after that what they come to.
func (j *judge) conclude() {
	v := &j.verdict
	j.cap()
	v.Items = ordered(v.Items)
	of := func(o Outcome) int {
		return slices.IndexFunc(v.Items, func(i Item) bool { return i.Outcome == o && !i.Aside })
	}
	sum := "Nothing is proved."
	for _, o := range []struct {
		Outcome
		begins string
	}{{Accepted, "Accepted: "}, {Listed, "Released: "}, {Proved, "Proved: "}, {Unwitnessed, j.doubt()}, {Unnamed, j.doubt()}} {
		if n := of(o.Outcome); n >= 0 {
			v.Outcome, sum = o.Outcome, sentence(o.begins, v.Items[n].Text)
			break
		}
	}
	v.Text = sum
	if n := of(Unproved); n >= 0 {
		begins := "Nothing is proved: "
		if v.Outcome != "" {
			begins = fmt.Sprintf("Not all of it: %s: ", tuf.Word(v.Items[n].Name))
		} else {
			sum = ""
		}
		v.Text = strings.TrimSpace(sentence(begins, v.Items[n].Text) + " " + sum)
		v.Outcome = Unproved
	}
	if v.Outcome == "" { // all is aside
		v.Outcome = Unproved
	}
	if n := of(Refused); n >= 0 {
		i := v.Items[n]
		v.Outcome, v.Code, v.Text = Refused, i.Code, fmt.Sprintf("Refused: %s: %s.", tuf.Word(i.Name), i.Text)
	}
	v.NotProved = j.open()
}

// sentence puts a text behind the words that it begins with.
func sentence(begins, text string) string {
	if strings.HasSuffix(begins, ". ") || strings.HasSuffix(begins, "? ") {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return begins + text + "."
}

// cap takes back what is good of each result where the policy asks for no witness, or where
// nobody has named the repository: a stranger's is logged and witnessed, too.
func (j *judge) cap() {
	doubt := Unnamed
	switch {
	case j.policy.SmallestQuorum() == 0:
		doubt = Unwitnessed
	case j.named:
		return
	}
	for i := range j.verdict.Items {
		if item := &j.verdict.Items[i]; item.Outcome.good() {
			item.Outcome = doubt
		}
	}
}

// doubt is what the headline begins with then.
func (j *judge) doubt() string {
	unwitnessed := j.policy.SmallestQuorum() == 0
	var begins string
	switch {
	case unwitnessed && j.named:
		return "Logged, but who has seen it? The policy asks for no witness, so that the log could have shown this to nobody else. "
	case unwitnessed:
		begins = "Logged, but by whom, and who has seen it? The policy asks for no witness, and no repository was named: "
	default:
		begins = "Logged and witnessed, but by whom? No repository was named: "
	}
	switch ids := j.repositories(); len(ids) {
	case 0:
		return begins + "anybody’s would pass. "
	case 1:
		return begins + fmt.Sprintf("anybody’s would pass. Compare %s with what the vendor says elsewhere, and name it. ", ids[0])
	default:
		return begins + fmt.Sprintf("these files are of %d, %s. Name the one that you mean. ", len(ids), strings.Join(ids[:min(len(ids), maxWords)], ", "))
	}
}

// repositories are those that the files are of, as far as that is proved.
func (j *judge) repositories() (ids []string) {
	if j.client != nil {
		return []string{j.client.Repository().String()}
	}
	for _, m := range j.metadata {
		if m.logged != nil && !slices.Contains(ids, m.logged.Leaf.Repository.String()) {
			ids = append(ids, m.logged.Leaf.Repository.String())
		}
	}
	slices.Sort(ids)
	return ids
}

// open says what these files leave open.
func (j *judge) open() (open []string) {
	if !j.named {
		open = append(open, "Whose the files are: no repository was named, so that anybody’s would pass who has one in the log.")
	}
	if j.policy.SmallestQuorum() == 0 {
		open = append(open, "That anybody else has been shown the same: the policy asks for no witness.")
	}
	switch {
	case j.verdict.Outcome == Refused:
		return append(open, "Anything about the other files: together with the one that is refused they are not what a vendor has published.")
	case j.client == nil:
		open = append(open, "That this is the newest release, and that a device would accept it: for that, root, snapshot and timestamp of the repository have to be among the files.")
	default:
		open = append(open, "That the vendor has not released anything newer since the timestamp among these files was signed, and that a device which has seen newer ones would take these.")
	}
	if n := len(j.lacking); n > 0 {
		open = append(open, fmt.Sprintf("Anything that delegated roles list which are not among the files (%d): %s.", n, words(j.lacking)))
	}
	if slices.ContainsFunc(j.verdict.Items, func(i Item) bool { return i.Outcome == Unproved && !i.Aside }) {
		open = append(open, "Anything about the files that are called unproved.")
	}
	return open
}

// ordered returns results in the order in which a reader wants them.
func ordered(items []Item) []Item {
	rank := func(i Item) int {
		switch {
		case i.Outcome == Refused && i.What == "update":
			return 0 // the code is a device's
		case i.Outcome == Refused && i.What == "file":
			return 1
		case i.Outcome == Refused:
			return 2
		case i.Aside:
			return 8
		case i.What == "file" && i.Outcome != Unproved:
			return 3
		case i.What == "update":
			return 4
		case i.What == "file":
			return 5
		case i.Release != nil && i.Outcome != Unproved:
			return 6
		}
		return 7
	}
	slices.SortStableFunc(items, func(a, b Item) int {
		if c := cmp.Compare(rank(a), rank(b)); c != 0 || a.Release == nil || b.Release == nil {
			return c
		}
		return cmp.Compare(b.Release.Index, a.Release.Index) // the newest first
	})
	return items
}
