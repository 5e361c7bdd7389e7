package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/tuflog/tuflog/bench/process"
)

// stockClient is a TUF client that knows no log, as its authors publish it, with a folder of
// its own.
type stockClient struct {
	name    string
	install func(g *gateWorld) (content string, err error) // updates and downloads firmware.bin
	words   map[refusal]string                             // what it says when it refuses
}

// refusal is why a client that knows no log refuses what is served.
type refusal int

const (
	unsigned refusal = iota // the timestamp lacks gates' signatures
	older                   // the timestamp is older than one that was seen
)

func (c stockClient) wantInstalled(t testing.TB, g *gateWorld, want string) {
	t.Helper()
	if got, err := c.install(g); err != nil || got != want {
		t.Fatalf("%s installs %q, %v; want %q", c.name, got, err, want)
	}
}

func (c stockClient) wantRefused(t testing.TB, g *gateWorld, why refusal) {
	t.Helper()
	got, err := c.install(g)
	if err == nil || !strings.Contains(err.Error(), c.words[why]) {
		t.Fatalf("%s installs %q, %v; want it to refuse, with %q", c.name, got, err, c.words[why])
	}
	t.Logf("%s: %v", c.name, err)
}

// stockClients are several, each of which has to do the same.
type stockClients []stockClient

func (all stockClients) wantInstalled(t testing.TB, g *gateWorld, want string) {
	t.Helper()
	for _, c := range all {
		c.wantInstalled(t, g, want)
	}
}

func (all stockClients) wantRefused(t testing.TB, g *gateWorld, why refusal) {
	t.Helper()
	for _, c := range all {
		c.wantRefused(t, g, why)
	}
}

// newGoTUF returns go-tuf's client.
func newGoTUF(t testing.TB) stockClient {
	dir := t.TempDir()
	install := func(g *gateWorld) (string, error) {
		cfg, err := config.New(g.site.URL, g.root)
		if err != nil {
			return "", err
		}
		cfg.LocalMetadataDir, cfg.LocalTargetsDir = dir, dir
		cfg.RemoteTargetsURL = g.site.URL + "/targets"
		u, err := updater.New(cfg)
		if err != nil {
			return "", err
		}
		if err := u.Refresh(); err != nil {
			return "", err
		}
		info, err := u.GetTargetInfo("firmware.bin")
		if err != nil {
			return "", err
		}
		_, data, err := u.DownloadTarget(info, filepath.Join(dir, "firmware.bin"), "")
		return string(data), err
	}
	return stockClient{"go-tuf's client", install, map[refusal]string{unsigned: "not enough signatures", older: "version"}}
}

// requireNPM is set where a test must not be skipped for want of what npm has: by .ci/run.
const requireNPM = "TUFLOG_NPM"

// newTUFJS returns the client of tuf-js, which trusts the first root, in a folder. Without npm
// it skips the test.
func newTUFJS(t *testing.T, g *gateWorld, dir string) stockClient {
	t.Helper()
	modules, err := tufJS(t.Context())
	if err != nil {
		if os.Getenv(requireNPM) == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	script, err := filepath.Abs(filepath.Join("testdata", "tuf-js", "install.js"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root.json"), g.root, 0o644); err != nil {
		t.Fatal(err)
	}
	install := func(g *gateWorld) (string, error) {
		file := filepath.Join(dir, "firmware.bin")
		if err := os.RemoveAll(file); err != nil { // so that what is there was installed now
			return "", err
		}
		ctx, cancel := context.WithTimeout(context.Background(), process.Patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "node", script, dir, g.site.URL, g.site.URL+"/targets", "firmware.bin")
		cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
		r, err := process.Run(cmd)
		if err != nil {
			return "", err
		}
		if r.Code != 0 {
			if _, err := os.Stat(file); err == nil {
				return "", fmt.Errorf("exit %d, and firmware.bin is installed nevertheless", r.Code)
			}
			return "", errors.New(strings.TrimSpace(r.Stderr))
		}
		data, err := os.ReadFile(file)
		return string(data), err
	}
	return stockClient{"tuf-js", install, map[refusal]string{unsigned: "timestamp was signed by 1/3 keys", older: "is less than current version"}}
}

// tufJS returns the folder of modules with tuf-js, from npm by the lock file or from where it
// was kept the last time.
func tufJS(ctx context.Context) (modules string, err error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("tuf-js needs node and npm (Debian: nodejs, npm): %w", err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	files := map[string][]byte{}
	all := sha256.New()
	for _, name := range []string{"package.json", "package-lock.json"} {
		if files[name], err = os.ReadFile(filepath.Join("testdata", "tuf-js", name)); err != nil {
			return "", err
		}
		all.Write(files[name])
	}
	dir := filepath.Join(cache, "tuflog", fmt.Sprintf("tuf-js-%.8x", all.Sum(nil)))
	modules = filepath.Join(dir, "node_modules")
	if _, err := os.Stat(dir); err == nil {
		return modules, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	// Under its name it is only when it is whole.
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "tuf-js-*.new")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(fresh, name), data, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--prefix", fresh, "--ignore-scripts", "--no-audit", "--no-fund")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm does not have tuf-js: %w: %s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return modules, nil
}
