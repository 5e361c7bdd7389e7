package publish_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/publish"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// signTimestamp signs the next timestamp of a folder with go-tuf, for the snapshot of a version.
// It is what a vendor's own program does last.
func signTimestamp(folder string, snapshot int64, key signature.Signer) error {
	path := filepath.Join(folder, "timestamp.json")
	m, err := metadata.Timestamp().FromFile(path)
	if err != nil {
		return err
	}
	m.Signed.Version++
	m.Signed.Meta["snapshot.json"] = metadata.MetaFile(snapshot)
	m.Signed.Expires = time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	m.ClearSignatures()
	if _, err := m.Sign(key); err != nil {
		return err
	}
	return m.ToFile(path, true)
}

// Log logs the metadata in a folder, and writes the proofs beside it. What it returns nil for
// may be published.
func Log(ctx context.Context, folder, policyFile, repository, token string) error {
	text, err := os.ReadFile(policyFile)
	if err != nil {
		return err
	}
	policy, err := proofs.ParsePolicy(text)
	if err != nil {
		return err
	}
	id, err := tuf.ParseRepository(repository)
	if err != nil {
		return err
	}
	if len(policy.Logs) != 1 {
		return errors.New("want a policy with one log")
	}
	log := &api.Client{Base: policy.Logs[0].URL, Token: token}
	cfg := publish.Config{Log: log, Policy: policy, Repository: id, Wait: 15 * time.Minute}
	files, err := publish.ReadFiles([]string{folder})
	if err != nil {
		return err
	}
	// What would be refused, or would be evidence, is not sent.
	report, err := publish.Rehearse(ctx, cfg, log, files)
	if err = all(report, err); err != nil {
		return err
	}
	report, err = publish.Submit(ctx, cfg, files)
	if err = all(report, err); err != nil {
		return err
	}
	// The newer proofs, for devices with min_age; and those that the policy's auditors cosign.
	_, err = publish.Refresh(ctx, cfg, files)
	return err
}

// all returns an error unless all files are logged that devices may require.
func all(report *publish.Report, err error) error {
	if err != nil {
		return err
	}
	for _, list := range [][]publish.Verdict{report.Refused(), report.Evidence(), report.Held()} {
		for _, v := range list {
			err = errors.Join(err, fmt.Errorf("%s: %s %s: %s", v.File, v.Status, v.Code, v.Detail))
		}
	}
	return err
}

// Sign with go-tuf, log, and publish only then.
func ExampleSubmit() {
	key, err := signature.LoadED25519Signer(nil) // the vendor's
	if err != nil {
		return
	}
	if err := signTimestamp("metadata", 7, key); err != nil {
		fmt.Println(err)
		return
	}
	if err := Log(context.Background(), "metadata", "policy.txt", "019f…", os.Getenv("TUFLOG_TOKEN")); err != nil {
		fmt.Println("not published:", err)
		return
	}
	// Upload the folder, timestamp.json last.
}

// The example does what the page says, with a log and witnesses that run.
func TestExample(t *testing.T) {
	w := runtest.NewWorld(t)
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Put(tuf.RoleTargets, "firmware.bin", []byte("one")), v.Release(tuf.RoleTargets)); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	write := func(v *testvendor.Vendor, folder string) {
		t.Helper()
		for name, data := range v.Files() {
			if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(v, folder)
	key, err := signature.LoadED25519Signer(v.Key(tuf.RoleTimestamp))
	if err != nil {
		t.Fatal(err)
	}
	if err := signTimestamp(folder, v.Version(tuf.RoleSnapshot), key); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(w.Path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	log := &api.Client{Base: w.Log.URL, Token: strings.TrimSpace(string(token))}
	opened, err := log.Register(t.Context(), v.Files()["1.root.json"])
	if err != nil {
		t.Fatal(err)
	}
	policy, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(policy), "\n")
	for i, line := range lines {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "log" {
			lines[i] = "log " + f[1] + " " + w.Log.URL
		}
	}
	w.Write(t, "policy.txt", strings.Join(lines, "\n"))

	for range 2 { // again, with nothing new
		if err := Log(t.Context(), folder, w.Path("policy.txt"), opened.Repository, opened.Token.Text); err != nil {
			t.Fatal(err)
		}
	}
	name, _ := v.File(tuf.RoleTargets)
	for _, suffix := range []string{verify.SidecarSuffix, verify.LatestSuffix} {
		if _, err := os.Stat(filepath.Join(folder, name+suffix)); err != nil {
			t.Error(err)
		}
	}

	twin, err := v.Clone()
	if err != nil {
		t.Fatal(err)
	}
	for content, v := range map[string]*testvendor.Vendor{"two": v, "evil": twin} {
		if err := errors.Join(v.Put(tuf.RoleTargets, "firmware.bin", []byte(content)), v.Release(tuf.RoleTargets)); err != nil {
			t.Fatal(err)
		}
	}
	write(v, folder)
	if err := Log(t.Context(), folder, w.Path("policy.txt"), opened.Repository, opened.Token.Text); err != nil {
		t.Fatal(err)
	}
	evil := t.TempDir()
	write(twin, evil)
	if err := Log(t.Context(), evil, w.Path("policy.txt"), opened.Repository, opened.Token.Text); err == nil || !strings.Contains(err.Error(), "evidence") {
		t.Errorf("another payload: %v", err)
	}
	w.Log.End(t, os.Kill)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := Log(ctx, folder, w.Path("policy.txt"), opened.Repository, opened.Token.Text); err == nil {
		t.Error("logged without a log")
	}
}

// What docs/vendors.md shows is in this file.
func TestPageShowsTheExample(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if shown := string(docpage.Example(t, docpage.Read(t, "vendors.md"), "go")); !strings.Contains(string(source), strings.TrimRight(shown, "\n")) {
		t.Errorf("the page shows what is not in example_test.go:\n%s", shown)
	}
}
