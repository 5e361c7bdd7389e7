package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/compare"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// copyOf writes what a vendor serves into a folder.
func (w *world) copyOf(v *testvendor.Vendor) string {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, b := range v.Files() {
		w.must(os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	return dir
}

func (w *world) clone() *testvendor.Vendor {
	w.t.Helper()
	v, err := w.vendor.Clone()
	w.must(err)
	return v
}

// compare runs auditor compare and returns its rows by vantage and role.
func (w *world) compare(code int, args ...string) (rows map[string]compare.Row, sentence string) {
	w.t.Helper()
	out, _ := w.run(code, append([]string{"compare", "--json", "--policy", w.policy, "--out", w.t.TempDir()}, args...)...)
	var said comparison
	w.must(json.Unmarshal([]byte(out), &said))
	rows = map[string]compare.Row{}
	for _, row := range said.Rows {
		rows[row.Vantage+" "+row.Role] = row
	}
	return rows, said.Sentence
}

func (w *world) want(rows map[string]compare.Row, of string, verdict compare.Verdict, version int64) compare.Row {
	w.t.Helper()
	row, ok := rows[of]
	if !ok || row.Verdict != verdict || row.Version != version {
		w.t.Errorf("%s: %s %d (%s), want %s %d", of, row.Verdict, row.Version, row.Sentence, verdict, version)
	}
	return row
}

// comparing is a repository with copies of it: honest ones, and others.
type comparing struct {
	*world
	honest, older string             // folders: the newest release, and the one before
	mirror        string             // URL of the honest one
	evil          *testvendor.Vendor // has released nothing since the older one
	found         string             // folder for evidence
	oneRegion     string             // folder with targets 5 that are not logged
	name          string             // of the newest targets
	region        *testvendor.Vendor // has targets 5, which are not logged
	newer         string             // name of those
}

func TestCompare(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the program twenty times")
	}
	w := &comparing{world: newWorld(t), found: t.TempDir()}
	w.must(w.vendor.Delegate(tuf.RoleTargets, "plugin", "plugin/*"))
	w.must(w.vendor.Release(tuf.RoleTargets, "plugin"))
	for _, role := range []string{tuf.RoleTargets, "plugin"} {
		_, file := w.vendor.File(role)
		_, snapshot := w.vendor.File(tuf.RoleSnapshot)
		w.log.Submit(w.repo, role, file, snapshot)
	}
	w.log.Publish(2)
	w.older = w.copyOf(w.vendor)
	w.evil = w.clone()
	w.release("app.bin", "for everybody")
	w.honest = w.copyOf(w.vendor)
	w.name, _ = w.vendor.File(tuf.RoleTargets)
	mirror := httptest.NewServer(http.FileServer(http.Dir(w.honest)))
	defer mirror.Close()
	w.mirror = mirror.URL
	w.asLogged()
	w.behind()
	w.unlogged()
	w.twoRegions()
	w.secondPayload()
	w.brokenVantages()
	w.withProof()
	w.forkedProof()
}

// asLogged: what is served is what is logged, over HTTP, in a folder and on a device.
func (w *comparing) asLogged() {
	onDevice := w.t.TempDir()
	for role, name := range map[string]string{"root": "root.json", "targets": "targets.json", "plugin": "plugin.json", "snapshot": "snapshot.json", "timestamp": "timestamp.json"} {
		_, b := w.vendor.File(role)
		w.must(os.WriteFile(filepath.Join(onDevice, name), b, 0o600))
	}
	out, _ := w.run(0, "compare", "--policy", w.policy, w.mirror, w.honest, onDevice)
	w.wantAll(out, "all 3 vantages serve what is logged\n", "untracked")
	rows, _ := w.compare(0, w.honest, onDevice)
	for _, at := range []string{w.honest, onDevice} {
		w.want(rows, at+" root", compare.Logged, 1)
		w.want(rows, at+" targets", compare.Logged, 4)
		w.want(rows, at+" plugin", compare.Logged, 1)
		w.want(rows, at+" timestamp", compare.Untracked, w.vendor.Version(tuf.RoleTimestamp))
	}
}

// behind: an older copy is behind, and nothing is said against it before it has been for long.
func (w *comparing) behind() {
	rows, said := w.compare(0, w.mirror, w.older)
	if row := w.want(rows, w.older+" targets", compare.Behind, 3); fmt.Sprint(row.Differs) != fmt.Sprint([]string{w.mirror}) || row.Newest != 4 {
		w.t.Errorf("an older copy: %+v", row)
	}
	w.wantAll(said, "targets 3 of "+w.older+" is behind")
}

// unlogged: a release for one region is not logged.
func (w *comparing) unlogged() {
	w.must(w.evil.Put(tuf.RoleTargets, "app.bin", []byte("for everybody")))
	region := w.clone()
	w.must(region.Put(tuf.RoleTargets, "app.bin", []byte("for one region")))
	w.must(region.Release(tuf.RoleTargets))
	w.oneRegion = w.copyOf(region)
	rows, said := w.compare(1, w.mirror, w.oneRegion)
	if row := w.want(rows, w.oneRegion+" targets", compare.Unlogged, 5); len(row.Differs) != 1 || row.Newest != 4 || len(row.Evidence) != 0 {
		w.t.Errorf("a release for one region: %+v", row)
	}
	w.wantAll(said, "WARNING: targets 5 of "+w.oneRegion+" is unlogged")
}

// twoRegions: another region has yet another. Neither is logged, and the two are evidence.
func (w *comparing) twoRegions() {
	region := w.clone()
	w.must(region.Put(tuf.RoleTargets, "app.bin", []byte("for another region")))
	w.must(region.Release(tuf.RoleTargets))
	two := w.copyOf(region)
	out, _ := w.run(1, "compare", "--policy", w.policy, "--out", w.found, w.oneRegion, two)
	w.wantAll(out, "WARNING: targets 5 of", "is equivocation", "serves another payload of this version")
	files, err := filepath.Glob(filepath.Join(w.found, "equivocation-targets-5-*.accusation"))
	if w.must(err); len(files) == 0 {
		w.t.Fatal("no evidence")
	}
	out, _ = w.run(0, "evidence", "check", "--policy", w.policy, files[0])
	w.wantAll(out, "the keys of repository "+w.repo.String()+" signed two payloads of targets 5")

	// So are their snapshots, of which the log has none.
	files, err = filepath.Glob(filepath.Join(w.found, "equivocation-snapshot-*.accusation"))
	if w.must(err); len(files) != 1 {
		w.t.Fatal(files)
	}
	out, _ = w.run(0, append([]string{"evidence", "check", "--policy", w.policy}, files...)...)
	w.wantAll(out, "signed two payloads of snapshot")
}

// secondPayload: another payload of a version that is logged is evidence with the log's entry.
func (w *comparing) secondPayload() {
	w.must(w.evil.Put(tuf.RoleTargets, "app.bin", []byte("for one")))
	w.must(w.evil.Release(tuf.RoleTargets))
	three := w.copyOf(w.evil)
	out, _ := w.run(1, "compare", "--policy", w.policy, "--out", w.found, w.mirror, three)
	w.wantAll(out, "is equivocation: it is signed by the keys in force, and the log has another payload of this version at entry 4")
	files, err := filepath.Glob(filepath.Join(w.found, "equivocation-targets-4-*.accusation"))
	if w.must(err); len(files) != 1 {
		w.t.Fatal(files)
	}
	out, _ = w.run(0, "evidence", "check", "--policy", w.policy, files[0])
	w.wantAll(out, "signed two payloads of targets 4", "in log log.test/audit they are entries 4")
	// Once it is logged as evidence, that is what it is.
	_, file := w.evil.File(tuf.RoleTargets)
	_, snapshot := w.evil.File(tuf.RoleSnapshot)
	entry, _ := w.log.Submit(w.repo, tuf.RoleTargets, file, snapshot)
	if entry.Kind != leaf.Evidence {
		w.t.Fatal(entry)
	}
	w.log.Publish(2)
	rows, _ := w.compare(1, three)
	w.want(rows, three+" targets", compare.Evidence, 4)
}

// brokenVantages: what nobody signed, what is not there, and what is not metadata.
func (w *comparing) brokenVantages() {
	broken := w.copyOf(w.clone())
	w.region = w.clone()
	w.must(w.region.Release(tuf.RoleTargets))
	_, b := w.region.File(tuf.RoleTargets)
	unsigned := w.copyOf(w.region)
	w.newer, _ = w.region.File(tuf.RoleTargets)
	w.must(os.WriteFile(filepath.Join(unsigned, w.newer), bytes.Replace(b, []byte(`"sig":"`), []byte(`"sig":"00`), 1), 0o600))
	rows, _ := w.compare(1, unsigned)
	w.want(rows, unsigned+" targets", compare.Unsigned, 5)
	w.must(os.Remove(filepath.Join(broken, "timestamp.json")))
	w.must(os.WriteFile(filepath.Join(broken, "snapshot.json"), []byte("<html>"), 0o600))
	rows, said := w.compare(2, broken)
	w.want(rows, broken+" timestamp", compare.Missing, 0)
	w.wantAll(said, "is missing")
	if _, ok := rows[broken+" targets"]; ok {
		w.t.Errorf("read %s without a snapshot", w.name)
	}
	_, errs := w.run(2, "compare", "--policy", w.policy, w.t.TempDir())
	w.wantAll(errs, "name it with --repository", "; there is no metadata in JSON in ")
	alone := w.t.TempDir()
	_, b = w.vendor.File("plugin")
	w.must(os.WriteFile(filepath.Join(alone, "plugin.json"), b, 0o600))
	rows, _ = w.compare(0, filepath.Join(alone, "plugin.json"))
	w.want(rows, filepath.Join(alone, "plugin.json")+" plugin", compare.Logged, 1)
	rows, _ = w.compare(2, "--repository", w.repo.String()[:10], w.mirror+"/nowhere")
	w.want(rows, w.mirror+"/nowhere root", compare.Missing, 0)
}

// withProof: a single file, with the proof that a stranger got beside it.
func (w *comparing) withProof() {
	proofsDir := w.t.TempDir()
	w.run(0, "lookup", "--policy", w.policy, "--proofs", proofsDir, tuf.Sum([]byte("for everybody")).String())
	proof, err := os.ReadFile(filepath.Join(proofsDir, "4.tlog-proof"))
	w.must(err)
	w.must(os.WriteFile(filepath.Join(w.honest, w.name+".tlog-proof"), proof, 0o600))
	out, _ := w.run(0, "compare", "--policy", w.policy, filepath.Join(w.honest, w.name))
	w.wantAll(out, "what it serves is what is logged\n", "; its proof verifies", "is of one history with what the log publishes")
	out, _ = w.run(1, "compare", "--policy", w.policy, "--repository", w.repo.String(), filepath.Join(w.oneRegion, strings.Replace(w.name, "4.", "5.", 1)))
	w.wantAll(out, "is unlogged")
}

// forkedProof: the proof is of another history; the stranger's log is this one, forked.
func (w *comparing) forkedProof() {
	fork := w.log.Clone()
	_, file := w.region.File(tuf.RoleTargets)
	_, snapshot := w.region.File(tuf.RoleSnapshot)
	entry, index := fork.Submit(w.repo, tuf.RoleTargets, file, snapshot)
	tree := fork.Checkpoint(fork.Size(), 2)
	w.release("app.bin", "the next one")
	p := proofs.Proof{Extra: entry.Marshal(), Index: index, Checkpoint: tree}
	c, _, err := proofs.OpenCheckpoint(tree, w.log.Signer.Key())
	w.must(err)
	p.Hashes, err = proofs.InclusionProof(w.t.Context(), c.Tree, index, tilesOf{fork.Source()})
	w.must(err)
	sidecar := func(dir string) {
		w.must(os.WriteFile(filepath.Join(dir, w.newer+".tlog-proof"), p.Marshal(), 0o600))
	}
	stranger := w.t.TempDir()
	w.must(os.WriteFile(filepath.Join(stranger, w.newer), file, 0o600))
	sidecar(stranger)
	out, _ := w.run(1, "compare", "--policy", w.policy, "--out", w.found, filepath.Join(stranger, w.newer))
	w.wantAll(out, "WARNING: the proof", "the log signed two histories", "; its proof verifies")
	files, err := filepath.Glob(filepath.Join(w.found, "fork-*.conflict"))
	if w.must(err); len(files) != 1 {
		w.t.Fatal(files)
	}
	w.run(0, "evidence", "check", "--policy", w.policy, files[0])
	// So does a mirror that serves it: this is how a log would deceive one region.
	deceived := w.copyOf(w.region)
	sidecar(deceived)
	out, _ = w.run(1, "compare", "--policy", w.policy, "--out", w.t.TempDir(), w.mirror, deceived)
	w.wantAll(out, "WARNING: the proof", deceived+": the proof of targets 5", "the log signed two histories", "; its proof verifies")
}

// A vantage leads an auditor to no other host, and what a host answers in place of a file is
// not printed; nor is the password of a vantage's URL.
func TestStrangeVantages(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer inside.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away/timestamp.json":
			http.Redirect(w, r, inside.URL+"/keys", http.StatusFound)
		case "/moved/timestamp.json":
			http.Redirect(w, r, "/here/timestamp.json", http.StatusFound)
		case "/here/timestamp.json":
			fmt.Fprint(w, "timestamp")
		default:
			http.Error(w, "AccessKeyId", http.StatusInternalServerError)
		}
	}))
	defer srv.Close()
	for path, want := range map[string]string{"/away": "which is not followed", "/moved": "", "/here": "", "/broken": "answered 500"} {
		views, err := openViews(t.Context(), []string{strings.Replace(srv.URL, "http://", "http://me:secret@", 1) + path})
		if err != nil {
			t.Fatal(err)
		}
		b, err := views[0].Source.Fetch(t.Context(), verify.Request{Role: tuf.RoleTimestamp, MaxLength: 100})
		said := fmt.Sprint(views[0].Name, err)
		if want == "" && string(b) != "timestamp" || !strings.Contains(said, want) || strings.Contains(said, "secret") || strings.Contains(said, "AccessKeyId") {
			t.Errorf("%s: %q, %s", path, b, said)
		}
	}
	for _, wrong := range []string{srv.URL + "/?q=1", srv.URL + "/#f", "http://me:secret@host?", "ftp://me:secret@host"} {
		if _, err := openViews(t.Context(), []string{wrong}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// A file that is passed off as another role's, beside the proof of its own, is not proved.
func TestProofOfAnotherRole(t *testing.T) {
	file := &tuf.Metadata{Version: 2, PayloadDigest: tuf.Sum([]byte("music"))}
	l := leaf.Leaf{Kind: leaf.Release, Repository: tuf.Sum([]byte("root")), Role: "music", Version: 2, Payload: file.PayloadDigest,
		Metadata: tuf.Sum([]byte("file")), Encoding: tuf.JSON, Size: 1, Snapshot: tuf.Sum([]byte("snapshot")), Listed: leaf.ByHash}
	got := proofOf(nil, proofs.Proof{Extra: l.Marshal()}, "maps", file, l.Repository)
	if got != "its proof is of another role, music: devices refuse it" {
		t.Error(got)
	}
}

// When something was logged is known from the checkpoints in the state.
func TestCompareStale(t *testing.T) {
	w := newWorld(t)
	older := w.copyOf(w.vendor)
	now := w.log.Time
	w.log.Time = now - int64((12*time.Hour)/time.Second)
	w.release("app.bin", "two")
	state := filepath.Join(t.TempDir(), "state")
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	w.log.Time = now
	w.release("app.bin", "three")
	rows, _ := w.compare(0, "--state", state, older)
	if row := w.want(rows, older+" targets", compare.Behind, 2); row.Since < now-13*3600 || row.Since > now-11*3600 {
		t.Errorf("logged since %d", row.Since)
	}
	rows, said := w.compare(1, "--state", state, "--stale", "6h", older)
	w.want(rows, older+" targets", compare.Stale, 2)
	w.wantAll(said, "WARNING: targets 2 of "+older+" is stale", "newer versions up to 4 have been logged since")
}

// tilesOf reads the tiles of a source.
type tilesOf struct{ audit.Source }

func (r tilesOf) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return r.Tile(ctx, level, index, width)
}
