package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// vendorsCI is a vendor whose CI logs what it publishes, as tuf-on-ci would have it.
type vendorsCI struct {
	*workflow
	world  *world
	vendor *testvendor.Vendor
	with   map[string]string // the action's inputs
	root   string            // the first
}

// newVendorsCI registers a vendor's repository by hand, as docs/vendors.md has it, and gives the
// workflow what that gave.
func newVendorsCI(t *testing.T, w *world, v *testvendor.Vendor) *vendorsCI {
	t.Helper()
	ci := &vendorsCI{workflow: newWorkflow(t), world: w, vendor: v, root: w.Path("first.root.json")}
	first := v.Files()["1.root.json"]
	w.Write(t, "first.root.json", string(first))
	genesis := filepath.Join(t.TempDir(), "1.root.json")
	if err := os.WriteFile(genesis, first, 0o644); err != nil {
		t.Fatal(err)
	}
	out := runtest.Must(t, "publisher", w.args("submit", genesis)...)
	m := regexp.MustCompile(`(?m)^repository ([0-9a-f]{64})$`).FindStringSubmatch(out)
	if m == nil {
		t.Fatal(out)
	}
	policy := regexp.MustCompile(`(?m)^(log \S+).*$`).ReplaceAllString(read(t, w.Path("policy")), "$1 "+w.Log.URL)
	if err := os.WriteFile(filepath.Join(ci.workspace, "policy.txt"), []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	ci.with = map[string]string{"policy": "policy.txt", "repository": m[1], "token": strings.TrimSpace(read(t, w.Path("vendor.token")))}
	return ci
}

// site writes what tuf-on-ci's upload-repository builds: all roots, and of all other roles the
// newest file.
func site(t *testing.T, v *testvendor.Vendor, dir string) {
	t.Helper()
	files := map[string][]byte{"index.html": []byte("<h1>TUF repository</h1>")}
	for name, data := range v.Files() {
		version, role, ok := strings.Cut(strings.TrimSuffix(name, ".json"), ".")
		if !ok || role == tuf.RoleRoot || version == fmt.Sprint(v.Version(role)) {
			files["metadata/"+name] = data
		}
	}
	for name, data := range v.TargetFiles() {
		files["targets/"+name] = data
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// upload makes the artifact of the job, as upload-pages-artifact packs it.
func (ci *vendorsCI) upload(t *testing.T, v *testvendor.Vendor) {
	t.Helper()
	dir := t.TempDir()
	site(t, v, dir)
	ci.pack(t, dir)
}

func (ci *vendorsCI) pack(t *testing.T, dir string) {
	t.Helper()
	artifact := filepath.Join(ci.artifacts, "github-pages")
	if err := errors.Join(os.RemoveAll(artifact), os.MkdirAll(artifact, 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "tar", "-C", dir, "-cf", filepath.Join(artifact, "artifact.tar"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// deployed unpacks what the next job would deploy.
func (ci *vendorsCI) deployed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "tar", "-C", dir, "-xf", filepath.Join(ci.artifacts, "github-pages", "artifact.tar")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// job runs the action and wants it to end in a way.
func (ci *vendorsCI) job(t *testing.T, result string, code int, more map[string]string) ended {
	t.Helper()
	with := maps.Clone(ci.with)
	maps.Copy(with, more)
	before := read(t, filepath.Join(ci.artifacts, "github-pages", "artifact.tar"))
	e := ci.run(t, with)
	if e.code != code || e.outputs["result"] != result || !strings.HasPrefix(e.summary, "### Transparency log: "+result+"\n") {
		t.Fatalf("exit %d, %v, want %d, %s\n%s\n%s", e.code, e.outputs, code, result, e.said, e.summary)
	}
	if strings.Contains(e.said+e.summary, with["token"]) {
		t.Error("the token is told")
	}
	for _, command := range e.commands {
		if want := map[bool]string{true: "::warning", false: "::error"}[code == 0]; !strings.HasPrefix(command, want+" title=Transparency log::") {
			t.Errorf("the runner is told %q", command)
		}
	}
	if code != 0 && (e.outputs["folder"] != "" || before != read(t, filepath.Join(ci.artifacts, "github-pages", "artifact.tar"))) {
		t.Errorf("something was handed on: %v", e.outputs)
	}
	return e
}

// install is a device that is given what was deployed.
func (ci *vendorsCI) install(t *testing.T, dir string) {
	t.Helper()
	stdout, stderr, code := runtest.Run(t, "updater", "verify", "--policy", ci.world.Path("policy"), "--trusted-root", ci.root, filepath.Join(dir, "metadata"))
	if code != 0 {
		t.Errorf("a device: exit %d\n%s%s", code, stdout, stderr)
	}
}

func proofOf(t *testing.T, v *testvendor.Vendor, dir string) string {
	t.Helper()
	name, _ := v.File(tuf.RoleTargets)
	return read(t, filepath.Join(dir, "metadata", name+verify.SidecarSuffix))
}

// The action between tuf-on-ci's upload-repository and the deployment, over a vendor's releases.
func TestActionLogsReleases(t *testing.T) {
	runtest.Programs(t, "publisher", "updater", "logserver", "witness")
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	v.PlainSnapshots = true // tuf-on-ci lists versions alone
	ci := newVendorsCI(t, newWorld(t), v)
	release := func(content string) {
		t.Helper()
		if err := errors.Join(v.Put(tuf.RoleTargets, "firmware.bin", []byte(content)), v.Release(tuf.RoleTargets)); err != nil {
			t.Fatal(err)
		}
		ci.upload(t, v)
	}
	served := http.NewServeMux()
	web := httptest.NewServer(served)
	t.Cleanup(web.Close)

	release("one")
	ci.job(t, "logged", 0, nil)
	first := ci.deployed(t)
	ci.install(t, first)
	if read(t, filepath.Join(first, "index.html")) == "" || len(v.TargetFiles()) == 0 {
		t.Error("what is no metadata is gone")
	}
	served.Handle("/", http.FileServer(http.Dir(first)))

	// The job is run again: its artifact has the proofs.
	ci.job(t, "logged", 0, nil)
	if again := ci.deployed(t); proofOf(t, v, again) != proofOf(t, v, first) {
		t.Error("a second run has replaced a proof")
	}
	// The timestamp is signed again, the targets are as before, the artifact is built anew: the
	// proof that is served is kept, if the site can be asked.
	if err := v.Release(); err != nil {
		t.Fatal(err)
	}
	if other, err := testvendor.New(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	} else { // the log grows meanwhile
		dir := t.TempDir()
		writeAll(t, other, dir)
		runtest.Must(t, "publisher", "submit", "--log", ci.world.Log.URL, "--policy", ci.world.Path("policy"), "--token-file", ci.world.Path("log/registration.token"), dir)
	}
	ci.upload(t, v)
	ci.job(t, "logged", 0, nil)
	if proofOf(t, v, ci.deployed(t)) == proofOf(t, v, first) {
		t.Error("without the site the first proof is known")
	}
	ci.upload(t, v)
	ci.job(t, "logged", 0, map[string]string{"served": web.URL + "/metadata/"})
	if now := ci.deployed(t); proofOf(t, v, now) != proofOf(t, v, first) {
		t.Error("the served proof was not kept")
	} else {
		ci.install(t, now)
	}
	release("two") // of which nothing is served
	ci.job(t, "logged", 0, map[string]string{"served": web.URL + "/metadata"})
	ci.install(t, ci.deployed(t))
	web.Close()
	ci.upload(t, v)
	if e := ci.job(t, "waiting", 2, map[string]string{"served": web.URL + "/metadata/"}); !contains(e.said, "cannot be fetched") {
		t.Error(e.said)
	}

	// A second payload of a version would be evidence for ever: it is not even sent.
	twin, err := v.Clone()
	if err != nil {
		t.Fatal(err)
	}
	release("three")
	ci.job(t, "logged", 0, nil)
	if err := errors.Join(twin.Put(tuf.RoleTargets, "firmware.bin", []byte("evil")), twin.Release(tuf.RoleTargets)); err != nil {
		t.Fatal(err)
	}
	before := entries(t, ci.world)
	ci.upload(t, twin)
	if e := ci.job(t, "refused", 1, nil); !contains(e.summary, "second-payload") {
		t.Error(e.said)
	}
	if entries(t, ci.world) != before {
		t.Error("it was sent")
	}

	// The log is away, and is back.
	release("four")
	ci.world.Log.End(t, os.Kill)
	if e := ci.job(t, "waiting", 2, nil); !contains(e.summary, "Run the job again") {
		t.Error(e.summary)
	}
	ci.world.Log.Start(t)
	if e := ci.job(t, "logged", 0, nil); len(e.commands) > 0 {
		t.Error(e.commands)
	}
	ci.install(t, ci.deployed(t))

	// The log is away when the timestamp is signed again: nothing needs it, if the proofs are known.
	served.Handle("/four/", http.StripPrefix("/four", http.FileServer(http.Dir(ci.deployed(t)))))
	web = httptest.NewServer(served)
	t.Cleanup(web.Close)
	ci.world.Log.End(t, os.Kill)
	if err := v.Release(); err != nil {
		t.Fatal(err)
	}
	ci.upload(t, v)
	ci.job(t, "waiting", 2, nil)
	e := ci.job(t, "logged", 0, map[string]string{"served": web.URL + "/four/metadata"})
	if len(e.commands) != 1 || !contains(e.commands[0], "The log is away, or does not take the token") {
		t.Errorf("%q", e.commands)
	}
	ci.install(t, ci.deployed(t))
	name, _ := v.File(tuf.RoleTargets)
	read(t, filepath.Join(ci.deployed(t), "metadata", name+verify.LatestSuffix))
}

// entries is how many entries a log has.
func entries(t *testing.T, w *world) string {
	t.Helper()
	resp, err := http.Get(w.Log.URL + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var origin, size string
	if _, err := fmt.Fscanln(resp.Body, &origin); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(resp.Body, &size); err != nil {
		t.Fatal(err)
	}
	return size
}

// What is wrong or hostile in a repository, or in a setting, hands nothing on.
func TestActionFailsClosed(t *testing.T) {
	runtest.Programs(t, "publisher", "updater", "logserver", "witness")
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Put(tuf.RoleTargets, "firmware.bin", []byte("one")), v.Release(tuf.RoleTargets)); err != nil {
		t.Fatal(err)
	}
	stranger, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	world := newWorld(t)
	other := newVendorsCI(t, world, stranger)
	if err := os.Remove(world.Path("vendor.token")); err != nil {
		t.Fatal(err)
	}
	ci := newVendorsCI(t, world, v)
	ci.upload(t, v)
	for name, c := range map[string]struct {
		more   map[string]string
		result string
		code   int
		says   string
	}{
		"no policy":              {map[string]string{"policy": ""}, "waiting", 2, "TUFLOG_POLICY is not set"},
		"no repository":          {map[string]string{"repository": ""}, "waiting", 2, "TUFLOG_REPOSITORY is not set"},
		"no repository's id":     {map[string]string{"repository": strings.Repeat("0", 64)}, "waiting", 2, "zeros"},
		"another repository":     {map[string]string{"repository": strings.Repeat("1", 64)}, "waiting", 2, "unknown-repository"},
		"another's repository":   {map[string]string{"repository": other.with["repository"]}, "refused", 1, "refused"},
		"a flag as policy":       {map[string]string{"policy": "--help"}, "waiting", 2, "--help"},
		"a script as repository": {map[string]string{"repository": `$(touch owned)"; touch owned; "`}, "waiting", 2, "TUFLOG_REPOSITORY is not an id"},
		"a script as gate":       {map[string]string{"gates": "`touch owned`;touch${IFS}owned"}, "waiting", 2, "--gate"},
		"out of the artifact":    {map[string]string{"metadata-path": "../metadata"}, "failed", 2, "leads out"},
		"from the root":          {map[string]string{"metadata-path": "/etc"}, "failed", 2, "leads out"},
		"no such folder":         {map[string]string{"metadata-path": "nowhere"}, "waiting", 2, "is not a folder"},
		"targets as metadata":    {map[string]string{"metadata-path": "targets"}, "waiting", 2, "no *.json files"},
	} {
		t.Run(name, func(t *testing.T) {
			if e := ci.job(t, c.result, c.code, c.more); !contains(e.said, c.says) {
				t.Errorf("not %q:\n%s", c.says, e.said)
			}
			if found, err := filepath.Glob(filepath.Join(ci.workspace, "*owned*")); err != nil || len(found) > 0 {
				t.Errorf("%v, %v", found, err)
			}
		})
	}

	t.Run("commands to the runner", func(t *testing.T) {
		dir := t.TempDir()
		site(t, v, dir)
		for _, hostile := range []string{"::error::x.json", "<img src=x>.json"} {
			if err := os.WriteFile(filepath.Join(dir, "metadata", hostile), []byte("{"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		ci.pack(t, dir)
		e := ci.job(t, "refused", 1, nil)
		if strings.Contains(e.summary, "<img") || !contains(e.summary, "::error::x", "&lt;img") {
			t.Error(e.summary)
		}
	})
	t.Run("a link", func(t *testing.T) {
		dir := t.TempDir()
		site(t, v, dir)
		if err := os.Symlink("/etc/hostname", filepath.Join(dir, "metadata", "9.targets.json")); err != nil {
			t.Fatal(err)
		}
		ci.pack(t, dir)
		ci.job(t, "failed", 2, nil)
	})
	t.Run("a folder in place of an artifact", func(t *testing.T) {
		site(t, v, ci.workspace)
		e := ci.run(t, merged(ci.with, map[string]string{"folder": "metadata"}))
		if e.code != 0 || e.outputs["folder"] != "metadata" || e.outputs["result"] != "logged" {
			t.Fatalf("exit %d, %v\n%s", e.code, e.outputs, e.said)
		}
		ci.install(t, ci.workspace)
	})
	t.Run("an artifact that is not packed", func(t *testing.T) {
		dir := t.TempDir()
		site(t, v, dir)
		put(t, filepath.Join(dir, "metadata"), filepath.Join(ci.artifacts, "metadata"))
		e := ci.run(t, merged(ci.with, map[string]string{"artifact": "metadata", "metadata-path": "."}))
		if e.code != 0 {
			t.Fatalf("exit %d, %v\n%s", e.code, e.outputs, e.said)
		}
		out := t.TempDir()
		put(t, filepath.Join(ci.artifacts, "metadata"), filepath.Join(out, "metadata"))
		ci.install(t, out)
	})
	t.Run("a timestamp that has expired", func(t *testing.T) { // which no log looks at
		late, err := v.Clone()
		if err != nil {
			t.Fatal(err)
		}
		late.TimestampExpires = time.Now().Add(-time.Hour)
		if err := late.Release(); err != nil {
			t.Fatal(err)
		}
		ci.upload(t, late)
		if e := ci.job(t, "refused", 1, nil); !contains(e.summary, "expired", "a device would refuse it") {
			t.Error(e.summary)
		}
	})
	t.Run("evidence", func(t *testing.T) { // two contents, each listed by its hash
		twin, err := v.Clone()
		if err != nil {
			t.Fatal(err)
		}
		for content, v := range map[string]*testvendor.Vendor{"two": v, "evil": twin} {
			if err := errors.Join(v.Put(tuf.RoleTargets, "firmware.bin", []byte(content)), v.Release(tuf.RoleTargets)); err != nil {
				t.Fatal(err)
			}
		}
		ci.upload(t, v)
		ci.job(t, "logged", 0, nil)
		before := entries(t, world)
		ci.upload(t, twin)
		if e := ci.job(t, "refused", 1, nil); !contains(e.summary, "evidence") {
			t.Error(e.summary)
		}
		if entries(t, world) != before {
			t.Error("it was sent")
		}
	})
}

func merged(a, b map[string]string) map[string]string {
	m := maps.Clone(a)
	maps.Copy(m, b)
	return m
}

// With gates: the timestamp is handed on once it has their signatures, and not before.
func TestActionAsksGates(t *testing.T) {
	g := newGateWorld(t, 3, 2)
	runtest.Programs(t, "updater")
	ci := newVendorsCI(t, g.world, g.vendor)
	var urls []string
	for _, s := range g.gates {
		urls = append(urls, s.URL)
	}
	gates := map[string]string{"gates": strings.Join(urls, "\n")}
	if err := errors.Join(g.vendor.Put(tuf.RoleTargets, "firmware.bin", []byte("one")), g.vendor.Release(tuf.RoleTargets)); err != nil {
		t.Fatal(err)
	}
	ci.upload(t, g.vendor)
	if e := ci.job(t, "refused", 1, nil); !contains(e.summary, "a device would refuse it") {
		t.Errorf("no gate was named:\n%s", e.summary)
	}
	ci.job(t, "logged", 0, gates)
	ci.install(t, ci.deployed(t))
	if e := ci.job(t, "logged", 0, gates); !contains(e.said, "no gate was asked") {
		t.Errorf("run again:\n%s", e.said)
	}

	// Gates sign no timestamp that lives for a month.
	g.vendor.TimestampExpires = time.Now().Add(31 * 24 * time.Hour)
	if err := g.vendor.Release(tuf.RoleTargets); err != nil {
		t.Fatal(err)
	}
	ci.upload(t, g.vendor)
	if e := ci.job(t, "refused", 1, gates); strings.Count(e.summary, "lifetime") < 2 {
		t.Errorf("the gates' reason:\n%s", e.summary)
	}
	g.vendor.TimestampExpires = time.Time{}
	if err := g.vendor.Release(); err != nil {
		t.Fatal(err)
	}
	ci.upload(t, g.vendor)
	ci.job(t, "logged", 0, gates)
	ci.install(t, ci.deployed(t))

	// Too few gates are up: wait.
	g.gates[0].End(t, os.Kill)
	g.gates[1].End(t, os.Kill)
	if err := g.vendor.Release(); err != nil {
		t.Fatal(err)
	}
	ci.upload(t, g.vendor)
	ci.job(t, "waiting", 2, merged(gates, map[string]string{"wait": "1s"}))
	for _, s := range g.gates[:2] {
		s.Start(t)
	}
	ci.job(t, "logged", 0, gates)
	ci.install(t, ci.deployed(t))
}
