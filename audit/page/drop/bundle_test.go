package drop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/page/drop"
	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/device/bundle"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// bundled drops a bundle, as the page does.
func bundled(ctx context.Context, policy, id string, content []byte) drop.Verdict {
	if !drop.IsBundle(content[:min(64, len(content))]) {
		return drop.Judge(ctx, drop.Input{Policy: policy, Repository: id, Now: time.Now(), Files: []drop.File{{Name: "update.bundle", Content: content}}})
	}
	parts, verdict := drop.Bundle("update.bundle", content[:min(drop.MaxBundleIndex, len(content))], int64(len(content)))
	if verdict != nil {
		return *verdict
	}
	in := drop.Input{Policy: policy, Repository: id, Now: time.Now(), Bundle: true}
	for _, p := range parts {
		f := drop.File{Name: p.Name}
		if part := content[p.At : p.At+p.Size]; p.Target {
			h := drop.NewHasher()
			_, _ = h.Write(part)
			f.Digest = h.Digest()
		} else {
			f.Content = append([]byte{}, part...)
		}
		in.Files = append(in.Files, f)
	}
	return drop.Judge(ctx, in)
}

// errNoRoot is the error of a bundle for a device that has a root.
var errNoRoot = errors.New("no root there to begin with")

// deviceOpens is updater bundle verify, in this process.
func deviceOpens(t testing.TB, policy, id string, content []byte) error {
	trust, err := proofs.ParsePolicy([]byte(policy))
	must(t, err)
	b, err := bundle.New(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return err
	}
	_, root, err := b.LowestRoot()
	if err != nil || root == nil {
		return errors.Join(errNoRoot, err)
	}
	install := verify.DefaultInstallPolicy()
	if install.Repository, err = tuf.ParseDigest(id); err != nil {
		return err
	}
	state, err := verify.Pin(root, install)
	if err != nil {
		return err
	}
	cfg := verify.Config{Policy: trust, Install: install, Now: time.Now(), MaxRoots: math.MaxInt}
	trial, err := bundle.Try(t.Context(), cfg, state, bundle.Root(root), b)
	if err != nil {
		return err
	}
	for path := range b.Targets() {
		if _, err := trial.Check(t.Context(), path); err != nil {
			return err
		}
	}
	return nil
}

// makeBundle returns a bundle of a repository with two targets, one of a delegated role, and the
// policy and the id.
func makeBundle(t testing.TB) (content []byte, policy, id string) {
	log := testlog.New(t, "log.example", 3, "2")
	r := newRepository(t, log, time.Now().AddDate(1, 0, 0))
	r.put(tuf.RoleTargets, "firmware.bin", "firmware")
	must(t, r.Delegate(tuf.RoleTargets, "tools/extra", "tools/*"))
	must(t, r.Put("tools/extra", "tools/a b", []byte("tool")))
	must(t, r.Release(tuf.RoleTargets, "tools/extra"))
	r.submit(tuf.RoleTargets, "tools/extra")
	must(t, r.Rotate(tuf.RoleTargets))
	must(t, r.Release(tuf.RoleTargets))
	r.submit(tuf.RoleRoot, tuf.RoleTargets)
	dir := t.TempDir()
	for name, b := range r.folder() {
		must(t, os.MkdirAll(filepath.Join(dir, "metadata"), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "metadata", tuf.EscapeRole(name)), b, 0o644))
	}
	for path, b := range map[string]string{"firmware.bin": "firmware", "tools/a b": "tool"} {
		at := filepath.Join(dir, "targets", path)
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		must(t, os.WriteFile(at, []byte(b), 0o644))
	}
	folder, err := device.OpenFolder(filepath.Join(dir, "metadata"))
	must(t, err)
	folder.Targets = filepath.Join(dir, "targets")
	_, root, err := folder.LowestRoot()
	must(t, err)
	policy = log.PolicyText()
	trust, err := proofs.ParsePolicy([]byte(policy))
	must(t, err)
	var b bytes.Buffer
	_, err = bundle.Create(t.Context(), &b, bundle.Recipe{Config: verify.Config{Policy: trust, Install: verify.DefaultInstallPolicy(), Now: time.Now(), MaxRoots: math.MaxInt}, Root: root, Origin: folder, All: true})
	must(t, err)
	return b.Bytes(), policy, r.id.String()
}

// checkBundle compares the verdict on a bundle with the updater's.
func checkBundle(t testing.TB, what, policy, id string, content []byte) drop.Verdict {
	t.Helper()
	got, err := bundled(t.Context(), policy, id, content), deviceOpens(t, policy, id, content)
	want := drop.Accepted
	switch {
	case !drop.IsBundle(content): // it is judged as another file
		if want = drop.Unproved; got.Outcome == drop.Refused {
			return got
		}
	case errors.Is(err, errNoRoot):
		want = drop.Unable
	case err != nil:
		want = drop.Refused
	}
	if got.Outcome != want || len(got.NotProved) == 0 {
		t.Errorf("%s: %s: %s, and the updater says %v", what, got.Outcome, got.Text, err)
	}
	var refusal *verify.Refusal
	if errors.As(err, &refusal) && got.Code != string(refusal.Code) {
		t.Errorf("%s: the code %s, and the updater's is %s: %s", what, got.Code, refusal.Code, got.Text)
	}
	return got
}

// A bundle has the verdict that updater bundle verify gives, whatever was done to it.
func TestBundle(t *testing.T) {
	good, policy, id := makeBundle(t)
	v := checkBundle(t, "as it was made", policy, id, good)
	if len(v.Items) != 3 || !strings.Contains(v.Text, "would install it") {
		t.Errorf("%+v", v)
	}
	if v := bundled(t.Context(), policy, "", good); v.Outcome != drop.Unnamed || !strings.Contains(v.Text, id) {
		t.Errorf("nobody has named the repository: %+v", v)
	}
	checkBundle(t, "of another repository", policy, strings.Repeat("ab", 32), good)
	other, _, _ := makeBundle(t)
	checkBundle(t, "of another log", policy, id, other)

	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // it is a test
	for range 400 {
		b := bytes.Clone(good)
		at := random.IntN(len(b))
		b[at] ^= 1 << random.IntN(8)
		checkBundle(t, fmt.Sprintf("a bit of byte %d", at), policy, id, b)
	}
	for range 40 {
		n := random.IntN(len(good))
		checkBundle(t, fmt.Sprintf("the first %d bytes", n), policy, id, good[:n])
	}
	checkBundle(t, "one byte more", policy, id, append(bytes.Clone(good), 0))
	checkBundle(t, "twice", policy, id, append(bytes.Clone(good), good...))

	// Files that are left out, or have another name or content.
	parts, _ := drop.Bundle("update.bundle", good, int64(len(good)))
	for i, p := range parts {
		for what, name := range map[string]string{"left out": "", "under another name": strings.Replace(p.Name, "a/", "a/0", 1), "without its version": "metadata/" + p.Name[strings.IndexByte(p.Name, '.')+1:]} {
			checkBundle(t, p.Name+" "+what, policy, id, rebuild(good, parts, func(j int, content []byte) (string, []byte) {
				if j != i {
					return parts[j].Name, content
				}
				return name, content
			}))
		}
		for what, content := range map[string][]byte{"is empty": {}, "is a bundle": good} {
			checkBundle(t, p.Name+" "+what, policy, id, rebuild(good, parts, func(j int, was []byte) (string, []byte) {
				if j != i {
					return parts[j].Name, was
				}
				return p.Name, content
			}))
		}
	}
}

// rebuild writes a bundle with other files; one without a name is left out. Their order is kept,
// so that it may be wrong.
func rebuild(good []byte, parts []drop.Part, change func(i int, content []byte) (string, []byte)) []byte {
	index, body := "tuflog bundle v1\n", []byte(nil)
	for i, p := range parts {
		name, content := change(i, good[p.At:p.At+p.Size])
		if name == "" {
			continue
		}
		index += fmt.Sprintf("%s %d\n", name, len(content))
		body = append(body, content...)
	}
	return append([]byte(index+"\n"), body...)
}

// What is too much for a browser is not begun with, and the command that judges it is named.
func TestBundleTooMuch(t *testing.T) {
	var many strings.Builder
	many.WriteString("tuflog bundle v1\n")
	for i := range drop.MaxFiles + 1 {
		fmt.Fprintf(&many, "targets/%05d 0\n", i)
	}
	many.WriteString("\n")
	large, whole := "tuflog bundle v1\n", int64(0)
	for i := range 3 {
		large += fmt.Sprintf("metadata/%d.root.json %d\n", i+1, tuf.MaxFileSize)
		whole += tuf.MaxFileSize
	}
	large += "\n"
	for name, test := range map[string]struct {
		beginning string
		size      int64
	}{"too many files": {many.String(), int64(many.Len())}, "too much metadata": {large, int64(len(large)) + whole}} {
		parts, v := drop.Bundle("update.bundle", []byte(test.beginning), test.size)
		if parts != nil || v == nil || v.Outcome != drop.Unable || !strings.Contains(v.Text, "updater bundle verify") {
			t.Errorf("%s: %d parts, %+v", name, len(parts), v)
		}
	}
	// A target may have any length: it is not read.
	head := fmt.Sprintf("tuflog bundle v1\ntargets/a %d\n\n", int64(1)<<40)
	if parts, v := drop.Bundle("update.bundle", []byte(head), int64(len(head))+1<<40); v != nil || len(parts) != 1 || !parts[0].Target || parts[0].At != int64(len(head)) {
		t.Errorf("a large target: %+v, %+v", parts, v)
	}
}

func FuzzBundle(f *testing.F) {
	good, policy, id := makeBundle(f)
	f.Add(good)
	f.Add([]byte("tuflog bundle v1\n\n"))
	f.Add([]byte("tuflog bundle v1\nmetadata/1.root.json 2\ntargets/a 1\n\n{}x"))
	f.Fuzz(func(t *testing.T, content []byte) { checkBundle(t, "fuzzed", policy, id, content) })
}
