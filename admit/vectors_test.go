package admit_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// vectorWorld is a line of testdata/rules/worlds.jsonl; the README there says what
// it means.
type vectorWorld struct {
	Name    string   `json:"name"`
	Targets string   `json:"targets"`
	Files   []string `json:"files"`
	Steps   []string `json:"steps"`
}

// readWorlds reads the worlds in testdata, or in the file that TUFLOG_VECTORS names.
func readWorlds(t *testing.T) []vectorWorld {
	t.Helper()
	path := os.Getenv("TUFLOG_VECTORS")
	if path == "" {
		path = "../testdata/rules/worlds.jsonl"
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var worlds []vectorWorld
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var w vectorWorld
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			t.Fatalf("line %d: %v", len(worlds)+1, err)
		}
		worlds = append(worlds, w)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return worlds
}

// forger makes real files of what vectors say, each once.
type forger struct {
	t        *testing.T
	prefixes bool // delegations name paths by the prefixes of their hashes
	files    map[string][]byte
}

func (f *forger) file(what string, signed func() map[string]any, signers ...string) []byte {
	what += " by " + strings.Join(signers, " ")
	if f.files[what] == nil {
		f.files[what] = forge(f.t, signed(), signers...)
	}
	return f.files[what]
}

// whoOf reads "k1,k2/2" as who.
func whoOf(spec string) who { return who(strings.ReplaceAll(spec, ",", " ")) }

func (f *forger) root(version int64, targets string) []byte {
	return f.file(fmt.Sprintln("root", version, targets), func() map[string]any {
		return forgedRoot(version, topLevel{"r1", whoOf(targets), "s1", "x1"})
	}, "r1")
}

// pathOf is the path of a target that a letter stands for.
func pathOf(letter rune) string { return string(letter) + "/file" }

// targets makes the file "ID VERSION PATHS SIGNERS NAME=KEYS/THRESHOLD:PATHS…".
func (f *forger) targets(spec string) []byte {
	fields := strings.Fields(spec)
	payload := strings.Join(slices.Delete(slices.Clone(fields), 3, 4), " ")
	var signers []string
	if fields[3] != "-" {
		signers = strings.Split(fields[3], ",")
	}
	return f.file(fmt.Sprint("targets ", f.prefixes, " ", payload), func() map[string]any {
		version, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			f.t.Fatalf("%q: %v", spec, err)
		}
		m := forgedHead("targets", version)
		m["id"] = fields[0]
		targets := map[string]any{}
		for _, letter := range strings.Trim(fields[2], "-") {
			content := fields[0] + pathOf(letter)
			targets[pathOf(letter)] = map[string]any{"length": len(content), "hashes": map[string]any{"sha256": tuf.Sum([]byte(content)).String()}}
		}
		m["targets"] = targets
		if len(fields) > 4 {
			keys, list := map[string]any{}, []any{}
			for _, d := range fields[4:] {
				name, rest, _ := strings.Cut(d, "=")
				by, paths, _ := strings.Cut(rest, ":")
				role := whoOf(by).role(keys)
				role["name"], role["terminating"] = name, false
				f.cover(role, strings.Trim(paths, "-"))
				list = append(list, role)
			}
			m["delegations"] = map[string]any{"keys": keys, "roles": list}
		}
		return m
	}, signers...)
}

// cover says which paths a delegation is about.
func (f *forger) cover(role map[string]any, letters string) {
	patterns, prefixes := []string{}, []string{}
	for _, letter := range letters {
		patterns = append(patterns, string(letter)+"/*")
		prefixes = append(prefixes, tuf.Sum([]byte(pathOf(letter))).String()[:8])
	}
	if f.prefixes && len(prefixes) > 0 {
		role["path_hash_prefixes"] = prefixes
	} else {
		role["paths"] = patterns
	}
}

// beside makes the snapshots beside a file, see the README.
func (f *forger) beside(role string, file []byte, version int64, how string) [][]byte {
	list := func(listed map[string]any) []byte {
		return f.file(fmt.Sprintln("snapshot", role, listed), func() map[string]any {
			return forgedSnapshot(1, map[string]map[string]any{role: listed})
		}, "s1")
	}
	switch how {
	case "v":
		return [][]byte{list(plain(version))}
	case "h":
		return [][]byte{list(hashed(file, version))}
	case "b":
		return [][]byte{list(plain(version)), list(hashed(file, version))}
	case "w":
		return [][]byte{list(plain(version + 1))}
	case "x":
		return [][]byte{list(hashed(append(slices.Clone(file), ' '), version))}
	}
	f.t.Fatalf("listing %q", how)
	return nil
}

// isCase reports whether a world is one of the table on which the rules were decided.
func (w vectorWorld) isCase() bool { return strings.HasPrefix(w.Name, "case ") }

// TestRuleCases plays the table of cases.
func TestRuleCases(t *testing.T) {
	cases := 0
	for i, w := range readWorlds(t) {
		if !w.isCase() {
			continue
		}
		cases++
		t.Run(w.Name, func(t *testing.T) {
			for _, prefixes := range []bool{false, true} {
				f := &forger{t, prefixes, map[string][]byte{}}
				if why := f.play(w, rand.New(rand.NewPCG(5, uint64(i))), map[string]int{}); why != "" {
					t.Errorf("hash prefixes %v: %s", prefixes, why)
				}
			}
		})
	}
	if cases != 45 {
		t.Errorf("%d cases, want 45", cases)
	}
}

// TestRuleVectors asks this project's rules what a second implementation of them was
// asked, and compares the verdicts. Each submission is judged by a repository that has
// judged all before it, asked twice, and now and then by one made anew from the leaves;
// what was logged is submitted once more, which must change nothing. At the end of a
// world its leaves are judged again.
func TestRuleVectors(t *testing.T) {
	forgers := []*forger{{t, false, map[string][]byte{}}, {t, true, map[string][]byte{}}}
	outcomes := map[string]int{}
	failed := 0
	for i, w := range readWorlds(t) {
		if w.isCase() || testing.Short() && i%5 != 0 {
			continue
		}
		if len(forgers[i%2].files) > 5000 {
			clear(forgers[i%2].files)
		}
		f := forgers[i%2]
		if why := f.play(w, rand.New(rand.NewPCG(3, uint64(i))), outcomes); why != "" {
			if failed++; failed <= 20 {
				t.Errorf("%s (hash prefixes %v): %s", w.Name, f.prefixes, why)
			}
		}
	}
	t.Logf("%d worlds differ; verdicts that agree: %v", failed, outcomes)
	for _, want := range []string{"release", "evidence", "logged", "not-delegated", "threshold|superseded", "not-covered", "second-payload", "snapshot-needed"} {
		if outcomes[want] < 5 {
			t.Errorf("%s came out %d times: this tests little", want, outcomes[want])
		}
	}
}

// play submits what a world's steps say. It returns the first step that is judged
// otherwise, or "".
func (f *forger) play(w vectorWorld, random *rand.Rand, outcomes map[string]int) string {
	t := f.t
	p := newPrefix(t, f.root(1, w.Targets))
	var indexes []int64 // by step, of what it logged
	root := int64(1)
	for n, step := range w.Steps {
		fields := strings.Fields(step)
		indexes = append(indexes, -1)
		if fields[0] == "root" {
			root++
			indexes[n] = p.mustRelease(tuf.RoleRoot, f.root(root, fields[1]))
			continue
		}
		role, how := fields[0], fields[2]
		number, err := strconv.Atoi(fields[1])
		if err != nil || number >= len(w.Files) {
			t.Fatalf("%s, step %d: %q", w.Name, n, step)
		}
		file := f.targets(w.Files[number])
		snapshots := f.beside(role, file, parse(t, file).Version, how)
		d, err := p.judge(role, file, snapshots...)
		got := verdictOf(t, d, err)
		if why := differs(fields[2:], got, indexes); why != "" {
			return fmt.Sprintf("step %d, %q of %q: %s (%v)", n, step, w.Files[number], why, err)
		}
		outcomes[fields[3]]++
		again := []*admit.Repository{p.repo}
		if random.IntN(6) == 0 {
			again = append(again, f.anew(p))
		}
		for _, repo := range again {
			if d, err := judgeBy(t, repo, role, file, snapshots); verdictOf(t, d, err) != got {
				t.Fatalf("%s, step %d, %q: asked again, after %d leaves: %+v, %v; at first %+v", w.Name, n, step, p.next, d, err, got)
			}
		}
		if got.code != "" || got.logged {
			continue
		}
		d, err = p.submit(role, file, snapshots...)
		for _, s := range snapshots {
			p.blobs[tuf.Sum(s)] = s
		}
		indexes[n] = d.Index
		if err != nil || d.Leaf != got.leaf {
			t.Fatalf("%s, step %d: %+v, %v", w.Name, n, d, err)
		}
		if again, err := p.judge(role, file, snapshots...); err != nil || !again.Logged || again.Index != d.Index {
			t.Fatalf("%s, step %d, %q: submitted once more: %+v, %v; want it logged at %d", w.Name, n, step, again, err, d.Index)
		}
	}
	f.again(p)
	return ""
}

func judgeBy(t *testing.T, repo *admit.Repository, role string, file []byte, snapshots [][]byte) (admit.Decision, error) {
	var parsed []*tuf.Metadata
	for _, s := range snapshots {
		parsed = append(parsed, parse(t, s))
	}
	return repo.Judge(t.Context(), role, parse(t, file), parsed)
}

// anew is a repository that has been told of the leaves, and has judged none.
func (f *forger) anew(p *prefix) *admit.Repository {
	records := p.repo.Records()
	repo, err := admit.NewRepository(records[0].Leaf, records[0].Index, p)
	for _, rec := range records[1:] {
		if err == nil {
			err = repo.Apply(rec.Index, rec.Leaf)
		}
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return repo
}

// again judges the leaves of a log again, as an auditor does.
func (f *forger) again(p *prefix) {
	records := p.repo.Records()
	repo, err := admit.NewRepository(records[0].Leaf, records[0].Index, p)
	for _, rec := range records[1:] {
		var snapshots [][]byte
		if !rec.Leaf.Snapshot.IsZero() {
			snapshots = append(snapshots, p.blobs[rec.Leaf.Snapshot])
		}
		var d admit.Decision
		if err == nil {
			d, err = judgeBy(f.t, repo, rec.Leaf.Role, p.blobs[rec.Leaf.Metadata], snapshots)
		}
		if err != nil || d.Logged || d.Leaf != rec.Leaf {
			f.t.Fatalf("leaf %d\n%+v\nis judged again %+v, %v", rec.Index, rec.Leaf, d, err)
		}
		err = repo.Apply(rec.Index, rec.Leaf)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// listings are what leaves say of the snapshots beside a file.
var listings = map[string]leaf.Listing{"v": leaf.ByVersion, "h": leaf.ByHash, "b": leaf.ByHash}

// differs says how a verdict differs from what a vector wants: the listing, the verdict
// and the steps. indexes are those of what the steps before logged.
func differs(want []string, got verdict, indexes []int64) string {
	listed, want := want[0], want[1:]
	said := outcome(got)
	at := int64(-1)
	switch {
	case got.code != "":
	case got.logged:
		said, at = "logged", got.index
	case got.leaf.Listed != listings[listed]:
		return fmt.Sprintf("the leaf says %q", got.leaf.Listed)
	case got.leaf.Kind == leaf.Evidence:
		at = got.leaf.Contradicts
	}
	if !slices.Contains(strings.Split(want[0], "|"), said) {
		return fmt.Sprintf("got %s", said)
	}
	if len(want) < 2 {
		return ""
	}
	for _, step := range strings.Split(want[1], ",") {
		if n, err := strconv.Atoi(step); err == nil && n < len(indexes) && indexes[n] == at {
			return ""
		}
	}
	return fmt.Sprintf("got %s at index %d, want that of step %s", said, at, want[1])
}
