package runtest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/internal/lockfile"
)

// built are the programs that tests have asked for.
var built binaries

// binaries are programs for one test binary. To link them costs seconds each, so
// they are built in a folder that the tests of all packages share, where go build
// links only what is not up to date. What the tests run are links of their own to
// the same files: go build puts another file in a file's place, so what a test runs
// stays as it is when others build anew.
type binaries struct {
	shared string // sharedFolder if empty

	mu    sync.Mutex
	dir   string
	names map[string]bool
}

func (b *binaries) build(names ...string) (dir string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var missing []string
	for _, name := range names {
		if !b.names[name] {
			missing = append(missing, name)
		}
	}
	if b.dir != "" && len(missing) == 0 {
		return b.dir, nil
	}
	shared := b.shared
	if shared == "" {
		if shared, err = sharedFolder(); err != nil {
			return "", fmt.Errorf("build the programs: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Join(shared, "bin"), 0o755); err != nil {
		return "", fmt.Errorf("build the programs: %w", err)
	}
	lock, err := lockfile.Wait(filepath.Join(shared, "lock"), "")
	if err != nil {
		return "", fmt.Errorf("build the programs: %w", err)
	}
	defer lock.Release()
	if b.dir == "" {
		removeAbandoned(shared)
		// Beside the shared folder's files: a link is within one file system.
		if b.dir, err = os.MkdirTemp(shared, "test-"); err != nil {
			return "", err
		}
		b.names = map[string]bool{}
	}
	// Not the test's context: others wait for the same programs.
	if err := process.Build(context.Background(), filepath.Join(shared, "bin"), missing...); err != nil {
		return "", err
	}
	for _, name := range missing {
		file := path.Base(name)
		if err := os.Link(filepath.Join(shared, "bin", file), filepath.Join(b.dir, file)); err != nil {
			return "", err
		}
		b.names[name] = true
	}
	return b.dir, nil
}

func (b *binaries) remove() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

// sharedFolder is a folder of the user's cache for the programs of this checkout as
// this test binary's flags build them: others would only build over each other.
func sharedFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	env, err := exec.Command("go", "env", "GOMOD", "GOFLAGS", "GOVERSION", "GOOS", "GOARCH", "CGO_ENABLED", "GOEXPERIMENT").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	kind := sha256.New()
	kind.Write(env)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings { // -race, -tags and the like
			if !strings.HasPrefix(s.Key, "vcs") {
				fmt.Fprintf(kind, "%s=%s\n", s.Key, s.Value)
			}
		}
	}
	return filepath.Join(cache, "tuflog", fmt.Sprintf("test-programs-%x", kind.Sum(nil)[:8])), nil
}

// removeAbandoned removes the links of tests that were killed, in time.
func removeAbandoned(shared string) {
	dirs, _ := filepath.Glob(filepath.Join(shared, "test-*")) // the pattern is right
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > 7*24*time.Hour {
			_ = os.RemoveAll(dir) // the next one tries again
		}
	}
}
