package audited_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/audited"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
)

// auditor shows what it is told to, where a witness shows its newest.
type auditor struct {
	*proofs.Signer
	http *httptest.Server

	mu      sync.Mutex
	shows   []byte
	status  int
	asked   int
	changed int // answers with a body
}

func newAuditor(t *testing.T, name, origin string) *auditor {
	t.Helper()
	a := &auditor{Signer: logtest.NewSigner(t, name, proofs.CosignatureV1)}
	path := fmt.Sprintf("/prefix/%x/checkpoint", sha256.Sum256([]byte(origin)))
	a.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked++
		tag := fmt.Sprintf(`"%x"`, sha256.Sum256(a.shows))
		switch {
		case a.status != 0:
			w.WriteHeader(a.status)
		case r.URL.Path != path || a.shows == nil:
			http.NotFound(w, r)
		case r.Header.Get("If-None-Match") == tag:
			w.WriteHeader(http.StatusNotModified)
		default:
			a.changed++
			w.Header().Set("ETag", tag)
			_, _ = w.Write(a.shows)
		}
	}))
	t.Cleanup(a.http.Close)
	return a
}

// cosigns returns a note with its cosignature at a time.
func (a *auditor) cosigns(t *testing.T, signed []byte, at time.Time) []byte {
	t.Helper()
	note, err := proofs.ParseNote(signed)
	check(t, err)
	sig, err := a.Sign(note.Text, at.Unix())
	check(t, err)
	note.Signatures = append(note.Signatures, sig)
	return note.Marshal()
}

func (a *auditor) show(note []byte, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shows, a.status = note, status
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a log, two auditors of which devices ask one, and a clock.
type world struct {
	t *testing.T
	*logtest.Fixture
	publisher *publisher.Publisher
	auditors  []*auditor
	now       time.Time
	cfg       audited.Config
	keeper    *audited.Keeper
	told      bytes.Buffer
}

func newWorld(t *testing.T, want int) *world {
	w := &world{t: t, Fixture: logtest.New(t), now: time.Unix(1700000000, 0)}
	w.publisher = w.Open()
	text := string(w.Policy.Marshal())
	text = text[:strings.Index(text, "quorum")]
	for i := range 2 {
		a := newAuditor(t, fmt.Sprintf("auditor%d.example", i), "log.example")
		w.auditors = append(w.auditors, a)
		text += fmt.Sprintf("witness a%d %v %s/prefix/\n", i, a.Key(), a.http.URL)
	}
	text += fmt.Sprintf("group auditors %d a0 a1\ngroup devices all all auditors\nquorum devices\n", want)
	policy, err := proofs.ParsePolicy([]byte(text))
	check(t, err)
	dir := t.TempDir()
	w.cfg = audited.Config{
		Policies: audited.Policies{Audited: policy, Published: w.Policy},
		Keys:     []proofs.Key{w.Cfg.Signer.Key()},
		Path:     filepath.Join(dir, "audited"), HealthPath: filepath.Join(dir, "auditors.json"),
		Logger: slog.New(slog.NewTextHandler(&w.told, nil)),
		Now:    func() time.Time { return w.now },
	}
	w.reopen()
	return w
}

func (w *world) reopen() {
	w.t.Helper()
	var err error
	w.keeper, err = audited.Open(w.cfg)
	check(w.t, err)
}

// look lets some time go by, and looks.
func (w *world) look() {
	w.now = w.now.Add(time.Minute)
	w.keeper.Look(w.t.Context(), w.publisher.Board)
}

// want expects a tree of a size to be kept, also by a process that begins now.
func (w *world) want(size int64) []byte {
	w.t.Helper()
	got := w.keeper.Newest()
	if got.Tree.N != size || (got.Note != nil) != (size > 0) {
		w.t.Fatalf("kept: size %d, want %d; told: %s", got.Tree.N, size, w.told.String())
	}
	kept, err := audited.Read(w.cfg.Path)
	check(w.t, err)
	if size > 0 {
		sc, err := w.cfg.Audited.OpenCheckpoint(got.Note)
		check(w.t, err)
		if sc.Tree != got.Tree || !bytes.Equal(kept, got.Note) {
			w.t.Fatalf("kept %v, in the file %q", got, kept)
		}
	}
	return got.Note
}

func TestKeeper(t *testing.T) {
	w := newWorld(t, 1)
	a := w.auditors[0]
	w.look()
	w.want(0) // it shows nothing

	w.Grow(w.publisher, 3)
	three := w.publisher.Published().Note
	w.look()
	w.want(0)
	a.show(three, 0) // without its own cosignature
	w.look()
	w.want(0)
	if h := w.keeper.Health().Auditors[0]; !strings.Contains(h.Error, "no cosignature of its own") || h.Size != 0 || h.Behind != 3 {
		t.Errorf("%+v", h)
	}
	a.show(a.cosigns(t, three, w.now), 0)
	w.look()
	w.want(3)
	if h := w.keeper.Health().Auditors[0]; h.Error != "" || h.Size != 3 || h.Behind != 0 || h.Answered.IsZero() || h.Cosigned.IsZero() || strings.HasSuffix(h.URL, "/") {
		t.Errorf("%+v", h)
	}

	// Publication goes on; what is audited stays until the auditor follows.
	w.Grow(w.publisher, 4)
	w.look()
	w.want(3)
	seven := w.publisher.Published().Note
	asked := a.changed
	w.look()
	if a.changed != asked {
		t.Error("what has not changed was sent again")
	}
	a.show(nil, http.StatusServiceUnavailable)
	w.look()
	w.want(3)
	if h := w.keeper.Health().Auditors[0]; !strings.Contains(h.Error, "503") || h.Behind != 4 {
		t.Errorf("%+v", h)
	}
	a.show(a.cosigns(t, seven, w.now), 0)
	w.look()
	w.want(7)
	a.show(a.cosigns(t, three, w.now.Add(time.Second)), 0) // goes back
	w.look()
	w.want(7)

	// A later process has it without asking anybody, and nothing is served before it is
	// compared with the log.
	a.show(nil, 0)
	w.reopen()
	if w.keeper.Newest().Note != nil {
		t.Error("served before it was compared")
	}
	w.look()
	before := w.want(7)
	// The same tree with newer cosignatures.
	w.now = w.now.Add(10 * time.Minute)
	a.show(a.cosigns(t, seven, w.now), 0)
	w.look()
	if bytes.Equal(w.want(7), before) {
		t.Error("the newer cosignature is not kept")
	}
	if health, err := audited.ReadHealth(w.cfg.HealthPath); err != nil || health.Size != 7 || health.Root == "" || health.Cosigned.IsZero() || len(health.Auditors) != 2 || health.Auditors[0].Size != 7 {
		t.Errorf("%+v, %v", health, err)
	}
}

// An auditor has only the log's signature and its own on what it shows, or two auditors show
// the same checkpoint with half of the signatures each.
func TestMerge(t *testing.T) {
	w := newWorld(t, 2)
	w.Grow(w.publisher, 2)
	two := w.publisher.Published().Note
	bare, _ := w.publisher.Cosigned()
	w.auditors[0].show(w.auditors[0].cosigns(t, bare, w.now), 0)
	w.look()
	w.want(0)
	w.Grow(w.publisher, 1)
	w.auditors[1].show(w.auditors[1].cosigns(t, w.publisher.Published().Note, w.now), 0)
	w.look()
	w.want(0) // of two trees
	w.auditors[1].show(w.auditors[1].cosigns(t, two, w.now), 0)
	w.look()
	w.want(2)
	w.auditors[0].show(w.auditors[0].cosigns(t, w.publisher.Published().Note, w.now), 0)
	w.look()
	w.want(3) // the second had shown it before the first

	// A cosignature that does not verify, or of a clock that is wrong, is not kept.
	w.Grow(w.publisher, 1)
	four := w.publisher.Published().Note
	w.auditors[0].show(w.auditors[0].cosigns(t, four, w.now.Add(48*time.Hour)), 0)
	w.auditors[1].show(w.auditors[1].cosigns(t, four, w.now), 0)
	w.look()
	w.want(3)
	w.auditors[0].show(w.auditors[0].cosigns(t, four, w.now), 0)
	w.look()
	w.want(4)
}

// What the log has not signed does not count; what it has signed and does not know is
// shouted, and never kept.
func TestContradiction(t *testing.T) {
	w := newWorld(t, 1)
	w.Grow(w.publisher, 3)
	a := w.auditors[0]
	stranger := logtest.Record(t, logtest.NewSigner(t, "log.example", proofs.Ed25519), 3)
	a.show(a.cosigns(t, stranger.Note, w.now), 0)
	w.look()
	w.want(0)
	if h := w.keeper.Health().Auditors[0]; h.Error == "" || h.Contradiction != "" {
		t.Errorf("another log's: %+v", h)
	}
	record := logtest.Record(t, w.Cfg.Signer, 2)
	a.show(a.cosigns(t, record.Note, w.now), 0)
	w.look()
	w.want(0)
	for range 3 {
		w.look()
	}
	w.want(0)
	if h := w.keeper.Health().Auditors[0]; h.Contradiction == "" || h.Size != 0 || strings.Count(w.told.String(), "level=ERROR") != 1 {
		t.Errorf("%+v; told %s", h, w.told.String())
	}
	// More than the log has published: it may only be behind.
	a.show(a.cosigns(t, logtest.Record(t, w.Cfg.Signer, 5).Note, w.now), 0)
	w.look()
	if h := w.keeper.Health().Auditors[0]; strings.Contains(h.Contradiction, "restored") {
		t.Errorf("%+v", h)
	}
	w.look()
	if h := w.keeper.Health().Auditors[0]; !strings.Contains(h.Contradiction, "restored from an old copy") {
		t.Errorf("%+v", h)
	}
	w.want(0)
	// Right again.
	a.show(a.cosigns(t, w.publisher.Published().Note, w.now), 0)
	w.look()
	w.want(3)
	if h := w.keeper.Health().Auditors[0]; h.Contradiction != "" {
		t.Errorf("%+v", h)
	}
	// A file of another history, or damaged, is not served.
	for _, other := range [][]byte{record.Note, []byte("damaged\n"), {}} {
		check(t, os.WriteFile(w.cfg.Path, other, 0o600))
		a.show(nil, 0)
		w.reopen()
		w.look()
		if w.keeper.Newest().Note != nil {
			t.Errorf("%q is served", other)
		}
	}
}

// Nobody is asked all the time.
func TestPauses(t *testing.T) {
	w := newWorld(t, 1)
	a := w.auditors[0]
	w.Grow(w.publisher, 1)
	seconds := func(n int) (asked int) {
		before := a.asked
		for range n {
			w.now = w.now.Add(time.Second)
			w.keeper.Look(t.Context(), w.publisher.Board)
		}
		return a.asked - before
	}
	if asked := seconds(10); asked < 4 || asked > 6 {
		t.Errorf("asked %d times in the 10 s after a publication", asked)
	}
	seconds(600)
	if asked := seconds(60); asked != 2 {
		t.Errorf("asked %d times in a minute, long after it", asked)
	}
	a.show(a.cosigns(t, w.publisher.Published().Note, w.now), 0)
	seconds(60)
	w.want(1)
	if asked := seconds(60); asked != 2 {
		t.Errorf("asked %d times in a minute while there is nothing new", asked)
	}
	w.Grow(w.publisher, 1)
	a.show(nil, http.StatusInternalServerError)
	if asked := seconds(100); asked < 3 || asked > 9 {
		t.Errorf("asked %d times in 100 s while it fails", asked)
	}
}

func TestPolicies(t *testing.T) {
	key := func(name string) proofs.Key { return logtest.NewSigner(t, name, proofs.CosignatureV1).Key() }
	w1, w2, a1, a2 := key("w1"), key("w2"), key("a1"), key("a2")
	parse := func(text string) *proofs.Policy {
		p, err := proofs.ParsePolicy([]byte(text))
		check(t, err)
		return p
	}
	witnesses := fmt.Sprintf("witness w1 %v\nwitness w2 %v\ngroup witnesses all w1 w2\n", w1, w2)
	one := fmt.Sprintf("witness a1 %v https://a1.example\n", a1)
	both := one + fmt.Sprintf("witness a2 %v https://a2.example\ngroup auditors any a1 a2\n", a2)
	published := witnesses + "quorum witnesses\n"
	devices := witnesses + both + "group devices all witnesses auditors\nquorum devices\n"
	for _, tt := range []struct{ name, published, audited, want string }{
		{"as it should be", published, devices, ""},
		{"without the group", published, witnesses + one + "group devices all witnesses a1\nquorum devices\n", ""},
		{"none of the quorum", witnesses + both + "quorum witnesses\n", devices, ""},
		{"no auditor", published, published, "has no auditors"},
		{"no URL", published, strings.ReplaceAll(devices, " https://a2.example", ""), "no URL of auditor a2"},
		{"met without an auditor", published, witnesses + both + "group devices any witnesses auditors\nquorum devices\n", "can be met without an auditor (a1, a2)"},
		{"published with auditors", devices, devices, "cannot be met without a1, a2, which audits"},
		{"published with one of them", witnesses + one + "group all all witnesses a1\nquorum all\n", devices, "cannot be met without a1"},
		{"two of three", witnesses[:strings.Index(witnesses, "group")] + one + "group some 2 w1 w2 a1\nquorum some\n", devices, ""},
	} {
		err := audited.Policies{Published: parse(tt.published), Audited: parse(tt.audited)}.Check()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	// Known from elsewhere, without an audited policy.
	named := audited.Policies{Published: parse(devices)}
	if err := named.CheckPublished(func(proofs.Key) bool { return false }); err == nil || !strings.Contains(err.Error(), "cannot be met without a1, a2, which audits") {
		t.Errorf("a policy that names auditors itself: %v", err)
	}
	found := audited.Policies{Published: parse(strings.ReplaceAll(devices, "auditors", "others"))}
	if err := found.CheckPublished(func(k proofs.Key) bool { return k == a1 }); err != nil {
		t.Errorf("a2 is enough: %v", err)
	}
	if err := found.CheckPublished(func(k proofs.Key) bool { return k == a1 || k == a2 }); err == nil {
		t.Error("both are needed")
	}
	if err := found.CheckPublished(func(proofs.Key) bool { return false }); err != nil {
		t.Error(err)
	}
}

// Whatever an auditor shows, only what the log and the auditor have signed is kept.
func FuzzShown(f *testing.F) {
	for _, seed := range []string{"", "log.example\n1\n", "log.example\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— log.example AAAA\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, note []byte) {
		w := newWorld(t, 1)
		w.Grow(w.publisher, 3)
		w.auditors[0].show(note, 0)
		w.look()
		w.want(0)
		// Beside it, and behind it.
		whole := w.auditors[0].cosigns(t, w.publisher.Published().Note, w.now)
		w.auditors[0].show(append(bytes.Clone(whole), note...), 0)
		w.look()
		if got := w.keeper.Newest(); got.Note != nil {
			if sc, err := w.cfg.Audited.OpenCheckpoint(got.Note); err != nil || sc.Tree != w.publisher.Published().Tree {
				t.Errorf("%q is kept: %v", got.Note, err)
			}
		}
	})
}
