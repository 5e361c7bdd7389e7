package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/lookup"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// index is the log's interface beside its files: what it says of a lookup is up to the test.
type index struct {
	w       *world
	targets []api.Listing
	leaves  []api.Leaf
	more    bool
	proofOf map[int64]int64 // another entry's proof
}

func (x *index) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	answer := func(v any) {
		rw.Header().Set("Content-Type", "application/json")
		x.w.must(json.NewEncoder(rw).Encode(v))
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/lookup/sha256/"):
		answer(api.Lookup{SHA256: path[3], Targets: x.targets, Leaves: x.leaves, Behind: 1, More: x.more})
	case strings.HasPrefix(r.URL.Path, "/v1/lookup/"):
		answer(api.Listings{Targets: x.targets})
	case strings.HasPrefix(r.URL.Path, "/v1/entries/"):
		entry, err := strconv.ParseInt(path[2], 10, 64)
		x.w.must(err)
		if other, ok := x.proofOf[entry]; ok {
			entry = other
		}
		fmt.Fprint(rw, x.w.proof(entry))
	default:
		x.w.log.ServeHTTP(rw, r)
	}
}

// lists is what an index says of an entry.
func (x *index) lists(entries ...int64) {
	x.targets = nil
	for _, i := range entries {
		x.targets = append(x.targets, api.Listing{Index: i, Kind: "release", Repository: x.w.repo.String(), Role: "targets"})
	}
}

// The index answers at once, and each thing that it says is proved; what it leaves out, the
// replay finds.
func TestLookupAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program twelve times")
	}
	w := newWorld(t)
	w.equivocate()
	x := &index{w: w}
	srv := httptest.NewServer(x)
	defer srv.Close()
	sum := tuf.Sum([]byte("for everybody")).String()
	labels := filepath.Join(t.TempDir(), "vendors.txt")
	w.must(os.WriteFile(labels, []byte("# my vendors\n"+w.repo.String()+" Acme\n"+strings.Repeat("1", 64)+" Other\n"), 0o644))
	args := func(more ...string) []string {
		return append(append([]string{"lookup"}, more...), "--policy", w.policy, "--log", srv.URL)
	}

	x.lists(2)
	out, errs := w.run(1, args(sum, "--quick", "--repository", "Acme", "--labels", labels)...)
	w.firstLine(out, fmt.Sprintf(`MAYBE    the log's index names release targets 3 of repository %v "Acme", entry 2, which lists %s, and whose signatures were not checked`, w.repo, sum))
	w.wantAll(out, "not complete: it is proved that the log has the entries, not that their keys are the repository's", "the index does not have the newest leaves yet: 1", "2      2      release  Acme        targets  3        ?        yes     app.bin")
	if errs != "" {
		t.Errorf("stderr: %s", errs)
	}
	// The replay sees what the index kept to itself.
	out, errs = w.run(0, args(sum, "--labels", labels)...)
	w.firstLine(out, fmt.Sprintf(`WARNING  %s is released by your vendor "Acme": it is listed by release targets 3 of repository %v (entry 2), the current one, cosigned by w1, w2`, sum, w.repo))
	w.wantAll(errs, "At once, by the log's index, which may leave out what it likes: MAYBE  ")
	if strings.Contains(out, "not complete") {
		t.Errorf("a replay is complete:\n%s", out)
	}
	out, _ = w.run(1, args("--path", "app.bin", "--quick", "--json")...)
	var answer struct {
		conclusion
		lookup.Lookup
	}
	w.must(json.Unmarshal([]byte(out), &answer))
	if answer.Word != "MAYBE" || answer.Released || answer.Complete || len(answer.Answers) != 1 || answer.Answers[0].Current != nil || answer.Answers[0].Proof == "" {
		t.Errorf("%s", out)
	}
	out, _ = w.run(0, args("--path", "app.bin")...)
	w.wantAll(out, "app.bin is listed by release targets 3", "1      1      release   "+w.repo.Short()+"  targets  2        no       yes     app.bin  3      sha256:7692c3ad",
		"3      3      evidence  "+w.repo.Short())
	w.run(1, args("--path", "no.bin")...)

	// Of others' releases the index knows, they do not count.
	out, _ = w.run(1, args(sum, "--quick", "--repository", "Other", "--labels", labels)...)
	w.firstLine(out, fmt.Sprintf(`NO       the log's index names no release of your vendor "Other" (repository %s) that lists %s, up to the checkpoint of size 4, cosigned at %s`, strings.Repeat("1", 64), sum, audit.When(w.log.Time+2)))
	w.wantAll(out, "other repositories list it, too, which does not count")

	w.wantAll(out, "not complete: what the index leaves out")
	x.lists(2, 3)
	x.targets[1].Kind = "evidence"
	out, _ = w.run(1, args("--path", "app.bin", "--quick")...)
	w.wantAll(out, "MAYBE    the log's index names release targets 3")
	x.lists(3)
	out, _ = w.run(1, args("--path", "app.bin", "--quick")...)
	w.firstLine(out, fmt.Sprintf("WARNING  the log's index names only evidence that lists app.bin: entry 3, of targets 3 of repository %v, whose signatures were not checked. Do not install it", w.repo))
	x.lists(2)

	x.more = true
	out, _ = w.run(1, args(sum, "--quick", "--repository", "Other", "--labels", labels)...)
	w.wantAll(out, "WARNING  the log's index names no release of your vendor", "the index has more leaves that list it than it told")
	x.more = false

	// What does not hold is an error, and no answer.
	for _, lie := range []struct {
		what string
		do   func()
		says string
	}{
		{"an entry without the file", func() { x.lists(1) }, "entry 1: the entry is another than the index says: targets 2 does not list the file"},
		{"a root", func() { x.lists(0) }, "does not list the file"},
		{"another's proof", func() { x.lists(2); x.proofOf = map[int64]int64{2: 1} }, "the proof of entry 2 is that of entry 1"},
		{"metadata that is not it", func() { x.lists(); x.leaves = []api.Leaf{{Index: 1}} }, "does not list the file"},
	} {
		lie.do()
		out, errs := w.run(2, args(sum, "--quick")...)
		if w.wantAll(errs, lie.says); out != "" {
			t.Errorf("%s: %s", lie.what, out)
		}
		x.proofOf = nil
	}
	w.unsignedRelease(x, args)
	for _, wrong := range []struct {
		args []string
		says string
	}{
		{[]string{sum, "--repository", "Acme"}, "or a name in --labels"},
		{[]string{sum, "--repository", "Nobody", "--labels", labels}, "nor a name in"},
		{[]string{}, "want a file, a hash, --path, --key, or --repository to list its files"},
		{[]string{sum, "--key", "ab"}, "or else --key"},
		{[]string{"--key", "ab", "--quick"}, "the log's index knows files and paths"},
		{[]string{sum, "--labels", w.policy}, "line 1: want a repository's 64 hex digits"},
	} {
		_, errs := w.run(2, args(wrong.args...)...)
		w.wantAll(errs, wrong.says)
	}
}

// unsignedRelease: a log appends a release of the vendor's that lists any file, signed by
// another's keys, and its index names it. It is proved to be in the log, and not released.
func (w *world) unsignedRelease(x *index, args func(...string) []string) {
	evil, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	w.must(err)
	w.must(evil.Put(tuf.RoleTargets, "app.bin", []byte("evil")))
	w.must(evil.Release(tuf.RoleTargets))
	_, file := evil.File(tuf.RoleTargets)
	_, snapshot := evil.File(tuf.RoleSnapshot)
	m := audittest.Parse(w.t, file)
	entry := leaf.Leaf{Kind: leaf.Release, Repository: w.repo, Role: tuf.RoleTargets, Version: m.Version, Payload: m.PayloadDigest,
		Metadata: tuf.Sum(file), Size: int64(len(file)), Snapshot: tuf.Sum(snapshot), Listed: leaf.ByHash, Encoding: tuf.JSON}
	at := w.log.Append(entry.Marshal(), file, snapshot)
	w.log.Publish(2)
	x.lists(at)
	x.leaves = nil
	sum := tuf.Sum([]byte("evil")).String()
	for _, more := range [][]string{{"--quick"}, {}} {
		out, errs := w.run(1, args(append(more, sum, "--repository", w.repo.String())...)...)
		word := "MAYBE  "
		if len(more) == 0 {
			word = "WARNING"
			w.wantAll(errs, "At once, by the log's index, which may leave out what it likes: MAYBE  the log's index names release")
		}
		if !strings.HasPrefix(out, word) || strings.Contains(out+errs, "is released by") {
			w.t.Errorf("%v: %s%s", more, out, errs)
		}
	}
}

// A key is found by its id, and the files of a vendor by his name; with a state nothing is
// replayed again, and the index is not asked.
func TestLookupOfKeysAndVendors(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program ten times")
	}
	w := newWorld(t)
	w.release("notes.txt", "hello")
	state := filepath.Join(t.TempDir(), "state")
	_, targets := w.vendor.File(tuf.RoleTargets)
	key := audittest.Parse(t, targets).Signatures[0].KeyID

	w.run(0, "replay", "--policy", w.policy, "--state", state)
	before := len(w.log.Read())
	out, _ := w.run(0, "lookup", "--key", key, "--policy", w.policy, "--state", state)
	w.firstLine(out, fmt.Sprintf("YES      key %s may sign targets (takes 1): the newest root of repository %v lets it, since entry 0", key, w.repo))
	w.wantAll(out, "0      0     yes     "+w.repo.Short()+"  root       "+key+"  targets (takes 1)")
	out, _ = w.run(0, "lookup", "--repository", w.repo.String(), "--policy", w.policy, "--state", state)
	w.firstLine(out, fmt.Sprintf("YES      the newest releases of your vendor (repository %v) list 2 files, up to the checkpoint of size 3, cosigned at %s", w.repo, audit.When(w.log.Time+2)))
	w.wantAll(out, "app.bin    3      sha256:"+tuf.Sum([]byte("one")).String(), "notes.txt  5      sha256:"+tuf.Sum([]byte("hello")).String()+"  "+w.repo.Short()+"  targets    2      2")
	out, errs := w.run(0, "lookup", tuf.Sum([]byte("one")).String(), "--policy", w.policy, "--state", state)
	w.wantAll(out, "YES  ", "1      2      release  "+w.repo.Short()+"  targets  3        yes      yes     app.bin")
	if errs != "" {
		t.Errorf("stderr: %s", errs)
	}
	for _, path := range w.log.Read()[before:] {
		if strings.HasPrefix(path, "blob/") {
			t.Errorf("%s was read again", path)
		}
	}
	out, _ = w.run(1, "lookup", "--key", key[:8], "--policy", w.policy, "--state", state)
	w.firstLine(out, fmt.Sprintf("NO       no release in the log lists key %s, up to the checkpoint of size 3, cosigned at %s", key[:8], audit.When(w.log.Time+2)))
	out, _ = w.run(1, "lookup", "--repository", strings.Repeat("0", 64), "--policy", w.policy, "--state", state)
	w.wantAll(out, "NO       no release of your vendor (repository "+strings.Repeat("0", 64)+") lists a file")

	w.must(w.vendor.Rotate(tuf.RoleTargets))
	_, root := w.vendor.File(tuf.RoleRoot)
	w.log.Submit(w.repo, tuf.RoleRoot, root)
	w.log.Publish(2)
	out, _ = w.run(1, "lookup", "--key", key, "--policy", w.policy, "--state", state, "--json")
	var answer struct {
		conclusion
		Complete bool
		Keys     []lookup.Key
	}
	w.must(json.Unmarshal([]byte(out), &answer))
	if answer.Word != "NO" || !answer.Complete || len(answer.Keys) != 1 || answer.Keys[0].Newest || !strings.Contains(answer.Sentence, "may not sign anything any more: the last release that listed it is root of repository") {
		t.Errorf("%s", out)
	}
}
