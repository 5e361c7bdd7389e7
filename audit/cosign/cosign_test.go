package cosign_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/audit/mirror"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/witness"
)

// world is a log, the auditor of it and the auditor's cosigner.
type world struct {
	*testing.T
	log     *audittest.Log
	vendor  *testvendor.Vendor
	repo    tuf.Digest
	url     string // where the log answers, empty: nowhere
	auditor *audit.Auditor
	dir     string
	cfg     cosign.Config
	c       *cosign.Cosigner
	now     time.Time
}

// newWorld returns a log with a repository and one release, nothing of it audited yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, log: audittest.New(t), dir: t.TempDir(), now: time.Now()}
	var err error
	w.vendor, err = testvendor.New(time.Now().AddDate(1, 0, 0))
	w.must(err)
	w.repo = w.log.Register(w.file(tuf.RoleRoot))
	w.log.Submit(w.repo, tuf.RoleTargets, w.file(tuf.RoleTargets), w.file(tuf.RoleSnapshot))
	w.log.Publish(2)
	w.audit(w.log)
	w.cfg = cosign.Config{
		Name: "auditor.example", Keys: []string{filepath.Join(w.dir, "ed25519.key"), filepath.Join(w.dir, "mldsa.key")},
		Now: func() time.Time { return w.now },
	}
	_, err = cosign.Create(w.state(), w.cfg, false)
	w.must(err)
	w.open()
	return w
}

// audit begins to audit a log.
func (w *world) audit(l *audittest.Log) {
	w.Helper()
	a, err := audit.New(w.Context(), audit.Config{Source: l.Source(), Policy: l.Policy()})
	w.must(err)
	w.Cleanup(func() { a.Close() })
	w.auditor = a
}

func (w *world) state() string  { return filepath.Join(w.dir, "cosign") }
func (w *world) mirror() string { return filepath.Join(w.dir, "mirror") }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) file(role string) []byte {
	w.Helper()
	_, b := w.vendor.File(role)
	return b
}

func (w *world) open() {
	w.Helper()
	c, err := cosign.Open(w.Context(), w.state(), w.cfg)
	w.must(err)
	w.c = c
	w.Cleanup(func() { c.Close() })
}

func (w *world) reopen() {
	w.Helper()
	w.must(w.c.Close())
	w.open()
}

// release logs and publishes one more release, and returns the file.
func (w *world) release(content string) []byte {
	w.Helper()
	w.must(w.vendor.Put(tuf.RoleTargets, "app.bin", []byte(content)))
	w.must(w.vendor.Release(tuf.RoleTargets))
	w.log.Submit(w.repo, tuf.RoleTargets, w.file(tuf.RoleTargets), w.file(tuf.RoleSnapshot))
	w.log.Publish(2)
	return w.file(tuf.RoleTargets)
}

// look audits, copies and lets the cosigner look.
func (w *world) look() cosign.LogStatus {
	w.Helper()
	_, stepErr := w.auditor.Step(w.Context())
	standing, err := w.auditor.Standing(w.Context())
	w.must(err)
	if _, err := mirror.Update(w.Context(), mirror.Config{Dir: w.mirror(), Source: w.log.Source(), Policy: w.log.Policy()}); err != nil {
		w.Logf("copy: %v (step: %v)", err, stepErr)
	}
	w.must(w.c.Step(w.Context(), cosign.Look{Log: "example", URL: w.url, Policy: w.log.Policy(), Standing: standing, Mirror: w.mirror()}))
	return w.status()
}

func (w *world) status() cosign.LogStatus {
	w.Helper()
	s, err := w.c.LogStatus(w.Context(), "example")
	w.must(err)
	if s == nil {
		w.Fatal("no status")
	}
	return *s
}

// policyText is a policy that wants both witnesses, and the auditor as a witness beside them.
func (w *world) policyText() string {
	base := strings.TrimSuffix(w.log.PolicyText(""), "quorum both\n")
	return base + cosign.PolicyText(w.c.Keys(), "https://audit.example.com/cosign") + "group audited all both auditors\nquorum audited\n"
}

// get asks the handler.
func (w *world) get(path string, header ...string) *http.Response {
	w.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.c.Handler().ServeHTTP(rec, r)
	return rec.Result()
}

// served returns the checkpoint that is served, opened by the policy that wants the auditor;
// nil if none is.
func (w *world) served() *proofs.SignedCheckpoint {
	w.Helper()
	answer := w.get("/" + witness.HashOrigin(audittest.Origin).String() + "/checkpoint")
	body, err := io.ReadAll(answer.Body)
	w.must(err)
	if answer.StatusCode == http.StatusNotFound {
		return nil
	}
	policy, err := proofs.ParsePolicy([]byte(w.policyText()))
	w.must(err)
	cp, err := policy.OpenCheckpoint(body)
	w.must(err)
	return cp
}

func (w *world) servedSize() int64 {
	w.Helper()
	if cp := w.served(); cp != nil {
		return cp.Tree.N
	}
	return -1
}

func TestCosignsWhatWasAudited(t *testing.T) {
	w := newWorld(t)
	if got := w.servedSize(); got != -1 {
		t.Fatalf("serves size %d before anything was audited", got)
	}
	if s := w.look(); s.Size != w.log.Size() || s.Why != "" || s.Stopped() || s.Time != w.now.Unix() {
		t.Fatalf("%+v", s)
	}
	cp := w.served()
	if cp.Tree.N != w.log.Size() || len(cp.Cosignatures) != 4 {
		t.Fatalf("serves size %d with %d cosignatures, want those of two witnesses and two keys", cp.Tree.N, len(cp.Cosignatures))
	}
	// A policy without the auditor reads it, too; one with it refuses what is not audited.
	if _, err := w.log.Policy().OpenCheckpoint(w.c.Cosigned(audittest.Origin)); err != nil {
		t.Error(err)
	}
	policy, err := proofs.ParsePolicy([]byte(w.policyText()))
	w.must(err)
	var short *proofs.QuorumError
	if _, err := policy.OpenCheckpoint(w.log.Checkpoint(w.log.Size(), 2)); !errors.As(err, &short) || len(short.Auditors) == 0 {
		t.Errorf("a checkpoint that was not audited: %v", err)
	}
	w.release("app 2")
	if s := w.look(); s.Size != w.log.Size() {
		t.Fatalf("%+v", s)
	}
	// The same tree again is the same cosignature, until that is old.
	before := w.c.Cosigned(audittest.Origin)
	w.now = w.now.Add(time.Minute)
	if w.look(); string(w.c.Cosigned(audittest.Origin)) != string(before) {
		t.Error("another cosignature after a minute")
	}
	w.now = w.now.Add(time.Hour - time.Minute)
	if s := w.look(); s.Time != w.now.Unix() || s.Size != w.log.Size() {
		t.Errorf("after an hour: %+v", s)
	}
	// What was signed lasts, byte for byte but for the witnesses' signatures until the next look.
	after := w.c.Cosigned(audittest.Origin)
	w.reopen()
	if s, err := w.c.Status(t.Context()); err != nil || len(s.Logs) != 1 || s.Logs[0].Size != w.log.Size() {
		t.Fatalf("after a restart: %+v, %v", s, err)
	}
	if w.look(); string(w.c.Cosigned(audittest.Origin)) != string(after) {
		t.Error("another cosignature after a restart")
	}
	if _, err := cosign.Open(t.Context(), w.state(), w.cfg); !errors.Is(err, lockfile.ErrHeld) {
		t.Errorf("opened twice: %v", err)
	}
}

// While a file is missing nothing is signed, and nothing is stopped: it comes when the file
// is back.
func TestMissingFile(t *testing.T) {
	w := newWorld(t)
	w.look()
	size := w.log.Size()
	file := w.release("app 2")
	w.log.Spoil(audittest.BlobPath(file), audittest.Missing)
	w.release("app 3")
	for range 3 {
		if s := w.look(); s.Size != size || s.Stopped() || s.Why == "" || w.servedSize() != size {
			t.Fatalf("with a file missing: %+v, serves %d", s, w.servedSize())
		}
	}
	w.log.Spoil(audittest.BlobPath(file), nil)
	if s := w.look(); s.Size != w.log.Size() || w.servedSize() != w.log.Size() {
		t.Fatalf("with the file back: %+v", s)
	}
}

// A file that the auditor has and the copy has not is not one that it holds.
func TestCopyIsNotWhole(t *testing.T) {
	w := newWorld(t)
	w.look()
	size := w.log.Size()
	w.release("app 2")
	_, err := w.auditor.Step(t.Context())
	w.must(err)
	standing, err := w.auditor.Standing(t.Context())
	w.must(err)
	for _, dir := range []string{w.mirror(), "", filepath.Join(w.dir, "nothing")} {
		w.must(w.c.Step(t.Context(), cosign.Look{Log: "example", Policy: w.log.Policy(), Standing: standing, Mirror: dir}))
		if s := w.status(); s.Size != size || s.Why == "" || s.Stopped() {
			t.Errorf("with the copy in %q: %+v", dir, s)
		}
	}
	if s := w.look(); s.Size != w.log.Size() {
		t.Errorf("with a whole copy: %+v", s)
	}
}

// While wrong bytes are served nothing is signed, and nothing is stopped: anybody on the way
// can serve them.
func TestWrongFileWaits(t *testing.T) {
	w := newWorld(t)
	w.look()
	size := w.log.Size()
	file := w.release("app 2")
	w.log.Spoil(audittest.BlobPath(file), audittest.Flip(1, 2))
	for range 3 {
		if s := w.look(); s.Size != size || s.Stopped() || s.Why == "" {
			t.Fatalf("wrong bytes: %+v", s)
		}
	}
	w.log.Spoil(audittest.BlobPath(file), nil)
	w.look()
	if s := w.look(); s.Size != w.log.Size() || s.Why != "" {
		t.Fatalf("with the right bytes again: %+v", s)
	}
}

// resume accepts everything that stops cosigning.
func (w *world) resume(reason string) ([]cosign.Latch, error) {
	w.Helper()
	a := cosign.Acceptance{Reason: reason}
	s, err := cosign.ReadStatus(w.Context(), w.state())
	w.must(err)
	for _, l := range s.Logs {
		for _, latch := range l.Latched {
			a.Findings = append(a.Findings, latch.Accept...)
			a.Fork = a.Fork || len(latch.Findings) == 0
		}
	}
	return cosign.Resume(w.Context(), w.state(), audittest.Origin, a, w.now)
}

// resumed looks until the running cosigner has noticed that another process resumed it.
func (w *world) resumed() cosign.LogStatus {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s := w.look(); !s.Stopped() && s.Why == "" {
			return s
		}
	}
	w.Fatalf("not resumed: %+v", w.status())
	return cosign.LogStatus{}
}

// A false admission stops it. A person who resumes takes it upon themselves, for all to see;
// the next one stops it again.
func TestFalseAdmissionLatches(t *testing.T) {
	w := newWorld(t)
	w.look()
	size := w.log.Size()
	force := func(version int64) {
		w.must(w.vendor.Release(tuf.RoleTargets))
		entry := w.log.Judge(w.repo, tuf.RoleTargets, w.file(tuf.RoleTargets), w.file(tuf.RoleSnapshot)).Leaf
		entry.Version = version
		w.log.Append(entry.Marshal(), w.file(tuf.RoleTargets), w.file(tuf.RoleSnapshot))
		w.log.Publish(2)
	}
	force(7)
	for range 2 {
		if s := w.look(); s.Size != size || !s.Stopped() || len(s.Latched) != 1 || !strings.Contains(s.Why, string(audit.FalseAdmission)) {
			t.Fatalf("a false admission: %+v", s)
		}
	}
	if _, err := w.resume(" "); err == nil {
		t.Error("resumed without a reason")
	}
	// What came since a person looked is not accepted with it.
	stopping := w.status().Latched[0].Accept
	for _, ids := range [][]string{nil, {"000000000000"}, {stopping[0][:11]}} {
		if _, err := cosign.Resume(t.Context(), w.state(), audittest.Origin, cosign.Acceptance{Findings: ids, Fork: true, Reason: "x"}, w.now); !errors.Is(err, cosign.ErrNotAccepted) || !strings.Contains(err.Error(), stopping[0]) {
			t.Errorf("resumed by %q: %v", ids, err)
		}
	}
	cleared, err := w.resume("known, and published at example.com/incident")
	if err != nil || len(cleared) != 1 {
		t.Fatalf("%+v, %v", cleared, err)
	}
	if _, err := w.resume("twice"); !errors.Is(err, cosign.ErrNotStopped) {
		t.Errorf("resumed twice: %v", err)
	}
	if s := w.resumed(); s.Size != w.log.Size() {
		t.Fatalf("resumed: %+v", s)
	}
	var public cosign.Status
	w.must(json.NewDecoder(w.get("/").Body).Decode(&public))
	if len(public.Logs) != 1 || len(public.Logs[0].Past) != 1 || !strings.Contains(public.Logs[0].Past[0].Reason, "example.com/incident") {
		t.Errorf("what everybody sees: %+v", public)
	}
	// A look that is in doubt does not make it come anew, and coming back does.
	doubtful, err := w.auditor.Standing(t.Context())
	w.must(err)
	back := *doubtful
	back.Against = slices.Clone(doubtful.Against)
	lived := *doubtful.Against[0].Lived
	lived.Episode++
	back.Against[0].Lived = &lived
	doubtful.Against, doubtful.Unchecked = nil, "leaves wait to be judged again"
	stand := func(s *audit.Standing) {
		t.Helper()
		w.must(w.c.Step(t.Context(), cosign.Look{Log: "example", Policy: w.log.Policy(), Standing: s, Mirror: w.mirror()}))
	}
	stand(doubtful)
	if s := w.look(); s.Stopped() || s.Why != "" {
		t.Errorf("what was accepted, after a look in doubt: %+v", s)
	}
	w.reopen()
	stand(&back)
	if s := w.status(); len(s.Latched) != 1 || !slices.Equal(s.Latched[0].Findings, []string{lived.ID}) {
		t.Errorf("what was accepted came back: %+v", s)
	}
	_, err = w.resume("known")
	w.must(err)
	w.resumed()
	size = w.log.Size()
	force(8)
	s := w.look()
	if s.Size != size || len(s.Latched) != 1 || len(s.Past) != 2 {
		t.Errorf("another false admission: %+v", s)
	}
	// What was accepted is that finding. Another whose id begins with the same 48 bits, which
	// costs a log half a minute, is none that anybody accepted, and its evidence is its own.
	_, err = w.resume("known")
	w.must(err)
	accepted := w.resumed()
	standing, err := w.auditor.Standing(t.Context())
	w.must(err)
	alike := standing.Against[0]
	sum := alike.Digest()
	sum[len(sum)-1] ^= 1
	alike.Lived = &audit.Lived{ID: sum.String()}
	if alike.ShortID() != standing.Against[0].ShortID() || alike.EvidenceDir("d") == standing.Against[0].EvidenceDir("d") {
		t.Fatalf("findings %s and %s", alike.ID, standing.Against[0].ID)
	}
	standing.Against = append(standing.Against, alike)
	w.must(w.c.Step(t.Context(), cosign.Look{Log: "example", Policy: w.log.Policy(), Standing: standing, Mirror: w.mirror()}))
	if s := w.status(); accepted.Stopped() || len(s.Latched) != 1 || !slices.Equal(s.Latched[0].Findings, []string{alike.ID}) {
		t.Errorf("one that is named alike: %+v, before %+v", s, accepted)
	}
}

// A fork that the auditor sees stops it; one that only the cosigner remembers does, too.
func TestForkLatches(t *testing.T) {
	w := newWorld(t)
	other := w.log.Clone()
	w.release("app 2")
	w.look()
	size := w.log.Size()
	honest := w.served().Tree
	other.Append(append([]byte("x"), w.file(tuf.RoleRoot)[:40]...))
	other.Publish(2)
	w.log.Become(other)
	if s := w.look(); s.Size != size || !s.Stopped() || !strings.Contains(s.Why, string(audit.Fork)) {
		t.Fatalf("a fork: %+v", s)
	}
	if got := w.served().Tree; got != honest {
		t.Errorf("serves %v, want %v", got, honest)
	}
	accept := cosign.Acceptance{Findings: w.status().Latched[0].Accept, Reason: "a cache had a bad disk"}
	if _, err := cosign.Resume(t.Context(), w.state(), audittest.Origin, accept, w.now); !errors.Is(err, cosign.ErrNotAccepted) || !strings.Contains(err.Error(), "--fork") {
		t.Errorf("a fork is accepted as if it were none: %v", err)
	}
}

// A cache that shows an older checkpoint stops nobody.
func TestStaleCheckpointWaits(t *testing.T) {
	w := newWorld(t)
	w.release("app 2")
	w.look()
	w.log.Serve(w.log.Checkpoint(w.log.Size()-1, 2))
	for range 3 {
		if s := w.look(); s.Size != w.log.Size() || s.Stopped() {
			t.Fatalf("an older checkpoint: %+v", s)
		}
	}
	w.release("app 3")
	if s := w.look(); s.Size != w.log.Size() || s.Stopped() {
		t.Fatalf("the newest again: %+v", s)
	}
}

// A log is what its origin says, and is served as that, whatever it is called.
func TestRenamedLog(t *testing.T) {
	w := newWorld(t)
	w.look()
	w.release("app 2")
	for _, name := range []string{"renamed", "again"} {
		_, err := w.auditor.Step(t.Context())
		w.must(err)
		standing, err := w.auditor.Standing(t.Context())
		w.must(err)
		_, err = mirror.Update(t.Context(), mirror.Config{Dir: w.mirror(), Source: w.log.Source(), Policy: w.log.Policy()})
		w.must(err)
		w.must(w.c.Step(t.Context(), cosign.Look{Log: name, URL: w.url, Policy: w.log.Policy(), Standing: standing, Mirror: w.mirror()}))
		for range 20 {
			if got := w.servedSize(); got != w.log.Size() {
				t.Fatalf("as %q: size %d is served, want %d", name, got, w.log.Size())
			}
		}
		if s, err := w.c.LogStatus(t.Context(), name); err != nil || s == nil || s.Size != w.log.Size() {
			t.Errorf("%+v, %v", s, err)
		}
		w.release("app " + name)
	}
	// The name means another log now, of which nothing was cosigned.
	other := audittest.NewOf(t, "other.test/log")
	if w.c.Cosigned(other.Signer.Key().Name()) != nil {
		t.Error("a checkpoint of another log")
	}
	standing, err := w.auditor.Standing(t.Context())
	w.must(err)
	w.must(w.c.Step(t.Context(), cosign.Look{Log: "again", Policy: other.Policy(), Standing: &audit.Standing{Unchecked: "no checkpoint of the log was verified"}}))
	if s, err := w.c.LogStatus(t.Context(), "again"); err != nil || s != nil && strings.Contains(s.Why, "could be checked") {
		t.Errorf("the other log's trouble is said of this one (%d): %+v, %v", standing.Checkpoint.Tree.N, s, err)
	}
}

// Files of the copy that are lost are copied again, and while the log does not serve them
// nothing is cosigned.
func TestLostFiles(t *testing.T) {
	w := newWorld(t)
	w.look()
	size := w.log.Size()
	first := audittest.BlobPath(w.file(tuf.RoleRoot))
	lose := func() {
		w.must(filepath.WalkDir(w.mirror(), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.Contains(path, "/blob/") {
				return os.Remove(path)
			}
			return err
		}))
	}
	lose()
	w.log.Spoil(first, audittest.Missing)
	w.release("app 2")
	w.look()
	if s := w.look(); s.Size != size || s.Stopped() || !strings.Contains(s.Why, "does not serve 1 of its files") {
		t.Fatalf("a file is lost: %+v", s)
	}
	w.log.Spoil(first, nil)
	w.look()
	if s := w.look(); s.Size != w.log.Size() || s.Why != "" {
		t.Fatalf("it is there again: %+v", s)
	}
}

// An auditor that has lost its own state judges the fork right; the cosigner has not
// forgotten.
func TestForkAfterLostAudit(t *testing.T) {
	w := newWorld(t)
	beginning := w.log.Clone()
	v, err := w.vendor.Clone()
	w.must(err)
	w.release("app 2")
	w.look()
	size, honest := w.log.Size(), w.served().Tree
	w.vendor = v
	w.log.Become(beginning)
	w.release("app 2, for one")
	w.release("app 3")
	w.audit(w.log)
	w.must(os.RemoveAll(w.mirror()))
	if s := w.look(); s.Size != size || !s.Stopped() || !strings.Contains(s.Why, "does not continue") {
		t.Fatalf("a fork: %+v", s)
	}
	if got := w.served().Tree; got != honest {
		t.Errorf("serves %v, want %v", got, honest)
	}
}

// A state or a ledger from a backup, or that is lost, stops it with words that say what to
// do.
func TestRestored(t *testing.T) {
	w := newWorld(t)
	w.look()
	w.must(w.c.Close())
	backup := filepath.Join(w.dir, "backup")
	w.must(os.CopyFS(backup, os.DirFS(w.state())))
	w.open()
	w.release("app 2")
	w.look()
	size := w.log.Size()
	w.must(w.c.Close())
	w.must(os.RemoveAll(w.state()))
	w.must(os.CopyFS(w.state(), os.DirFS(backup)))
	w.open()
	w.release("app 3")
	if s := w.look(); !s.Stopped() || s.Size >= size {
		t.Fatalf("with a state of yesterday: %+v", s)
	}
	_, err := w.resume("restored on purpose")
	w.must(err)
	if s := w.resumed(); s.Size != w.log.Size() {
		t.Fatalf("resumed: %+v", s)
	}

	w.must(w.c.Close())
	w.must(os.RemoveAll(w.state() + ".ledger"))
	w.open()
	if s := w.look(); !s.Stopped() || !strings.Contains(s.Why, "ledger was missing") {
		t.Fatalf("without a ledger: %+v", s)
	}
	w.must(w.c.Close())
	w.must(os.RemoveAll(w.state()))
	if _, err := cosign.Open(t.Context(), w.state(), w.cfg); err == nil || !strings.Contains(err.Error(), "make new ones") {
		t.Errorf("without a state: %v", err)
	}
	if _, err := cosign.Create(w.state(), w.cfg, false); err == nil {
		t.Error("made a state beside a ledger that knows more")
	}
}

// The log shows a cosignature that neither the state nor the ledger knows.
func TestLogKnowsMore(t *testing.T) {
	w := newWorld(t)
	var audited []byte
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/checkpoint/audited" {
			if audited == nil {
				http.NotFound(rw, r)
				return
			}
			rw.Write(audited)
			return
		}
		w.log.ServeHTTP(rw, r)
	}))
	defer server.Close()
	w.url = server.URL
	for _, path := range []string{w.state(), w.state() + ".ledger"} {
		w.must(os.CopyFS(path+".backup", os.DirFS(path)))
	}
	if s := w.look(); s.Size != w.log.Size() {
		t.Fatalf("%+v", s)
	}
	audited = w.c.Cosigned(audittest.Origin)
	w.must(w.c.Close())
	for _, path := range []string{w.state(), w.state() + ".ledger"} {
		w.must(os.RemoveAll(path))
		w.must(os.CopyFS(path, os.DirFS(path+".backup")))
	}
	w.open()
	w.release("app 2")
	if s := w.look(); !s.Stopped() || s.Size >= 0 {
		t.Fatalf("the log knows more: %+v", s)
	}
}

func TestHandler(t *testing.T) {
	w := newWorld(t)
	w.look()
	hash := witness.HashOrigin(audittest.Origin).String()
	first := w.get("/" + hash + "/checkpoint")
	tag := first.Header.Get("ETag")
	if first.StatusCode != http.StatusOK || tag == "" || first.Header.Get(cosign.Header) != "auditor.example" || first.Header.Get("Cache-Control") == "" {
		t.Errorf("%v %v", first.Status, first.Header)
	}
	if again := w.get("/"+hash+"/checkpoint", "If-None-Match", `"other", `+tag); again.StatusCode != http.StatusNotModified {
		t.Errorf("the same again: %v", again.Status)
	}
	for _, path := range []string{"/" + strings.Repeat("0", 64) + "/checkpoint", "/" + strings.ToUpper(hash) + "/checkpoint", "/x/checkpoint", "/state.db"} {
		if got := w.get(path); got.StatusCode != http.StatusNotFound || got.Header.Get(cosign.Header) == "" {
			t.Errorf("%s: %v", path, got.Status)
		}
	}
	rec := httptest.NewRecorder()
	w.c.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader("old 0\n\n")))
	if rec.Code != http.StatusForbidden || rec.Header().Get(cosign.Header) == "" || !strings.Contains(rec.Body.String(), "auditor") {
		t.Errorf("add-checkpoint: %d %s", rec.Code, rec.Body)
	}
}

func TestConfigCheck(t *testing.T) {
	for want, c := range map[string]cosign.Config{
		"cosign.name: ":      {Keys: []string{"k"}},
		"cosign.name: signe": {Name: "a b", Keys: []string{"k"}},
		"cosign.keys: ":      {Name: "a"},
		"cosign.keys: want":  {Name: "a", Keys: []string{"a", "b", "c"}},
		"cosign.keys: the":   {Name: "a", Keys: []string{""}},
		"cosign.ssh_key: ":   {Name: "a", Keys: []string{"k"}, SSHKey: "SHA256:x"},
	} {
		if err := c.Check(); err == nil || !strings.HasPrefix(err.Error(), want[:min(len(want), 12)]) {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
	in := cosign.Config{Keys: []string{"a.key", "/b.key"}, Ledger: "l"}.In("/etc/auditor")
	if !slices.Equal(in.Keys, []string{"/etc/auditor/a.key", "/b.key"}) || in.Ledger != "/etc/auditor/l" || in.SSHAgent != "" {
		t.Errorf("%+v", in)
	}
}

// Neither a key of another name nor a third one is taken.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	cfg := cosign.Config{Name: "a.example", Keys: []string{filepath.Join(dir, "1.key"), filepath.Join(dir, "2.key")}}
	keys, err := cosign.Create(filepath.Join(dir, "a"), cfg, false)
	if err != nil || len(keys) != 2 || keys[0].Algorithm() != proofs.CosignatureV1 || keys[1].Algorithm() != proofs.MLDSA44 {
		t.Fatalf("%v, %v", keys, err)
	}
	// Keys that exist may have cosigned, which an empty state does not know.
	if _, err := cosign.Create(filepath.Join(dir, "b"), cfg, false); !errors.Is(err, cosign.ErrKeysExist) || !strings.Contains(err.Error(), cfg.Keys[0]) {
		t.Errorf("took keys that exist: %v", err)
	}
	agent := cosign.Config{Name: "a.example", SSHAgent: filepath.Join(dir, "agent")}
	if _, err := cosign.Create(filepath.Join(dir, "b"), agent, false); !errors.Is(err, cosign.ErrKeysExist) {
		t.Errorf("took the key of an agent: %v", err)
	}
	other := cfg
	other.Name = "b.example"
	if _, err := cosign.Create(filepath.Join(dir, "b"), other, true); err == nil {
		t.Error("took keys of another name")
	}
	one := cfg
	one.Keys = one.Keys[:1]
	if _, err := cosign.Open(context.Background(), filepath.Join(dir, "a"), one); err == nil {
		t.Error("opened the state of two keys with one")
	}
}
