package trillianserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/internal/lockfile"
)

// Version is the version of Trillian whose programs are built and whose schema
// is applied.
const Version = "v1.8.0"

const trillianModule = "github.com/google/trillian"

// programs are Trillian's, as they come; the tag leaves out the databases that
// are not PostgreSQL.
var programs = []string{"trillian_log_server", "trillian_log_signer"}

// Build builds Trillian's programs from its module, once for a user and version,
// and returns the directory that holds them. The first time takes a minute or
// two and, where the module cache is cold, the network; how that goes is written
// to progress, which may be nil. It needs the go command.
func Build(ctx context.Context, progress io.Writer) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("build Trillian: %w", err)
	}
	dir = filepath.Join(cache, "tuflog", "trillian-"+Version)
	if built(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build Trillian: %w", err)
	}
	lock, err := lockfile.Wait(filepath.Join(dir, "lock"), "")
	if err != nil {
		return "", fmt.Errorf("build Trillian: %w", err)
	}
	defer lock.Release()
	if built(dir) { // by the process that had the lock
		return dir, nil
	}
	if progress == nil {
		progress = io.Discard
	}
	fmt.Fprintf(progress, "building Trillian %s into %s, once\n", Version, dir)
	if err := install(ctx, dir, progress); err != nil {
		return "", fmt.Errorf("build Trillian %s: %w", Version, err)
	}
	return dir, nil
}

func built(dir string) bool {
	return !slices.ContainsFunc(programs, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err != nil
	})
}

// install builds beside the place where the programs belong, so that a program
// that is there is whole.
func install(ctx context.Context, dir string, progress io.Writer) error {
	temp, err := os.MkdirTemp(dir, "build")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	args := []string{"install", "-tags", "postgresql"}
	for _, name := range programs {
		args = append(args, trillianModule+"/cmd/"+name+"@"+Version)
	}
	cmd := goCommand(ctx, temp, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = progress, io.MultiWriter(&said, progress)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, end(said.String()))
	}
	for _, name := range programs {
		if err := os.Rename(filepath.Join(temp, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// goCommand is a go command that is independent of any module or workspace that
// we happen to be in.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GO111MODULE=on", "GOBIN="+dir, "GOOS=", "GOARCH=")
	return cmd
}

// Schema returns the SQL statements that make Trillian's tables in an empty database of
// PostgreSQL (postgresql) or MariaDB (mysql), as Trillian's module has them.
func Schema(ctx context.Context, database string) (string, error) {
	cmd := goCommand(ctx, os.TempDir(), "mod", "download", "-json", trillianModule+"@"+Version)
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if parsed := json.Unmarshal(out, &module); err == nil {
		err = parsed
	}
	if err != nil || module.Dir == "" {
		return "", fmt.Errorf("find Trillian's schema: %v %s", err, module.Error)
	}
	sql, err := os.ReadFile(filepath.Join(module.Dir, "storage", database, "schema", "storage.sql"))
	if err != nil {
		return "", fmt.Errorf("read Trillian's schema: %w", err)
	}
	return string(sql), nil
}

// end is the end of what a program said.
func end(said string) string {
	said = strings.TrimSpace(said)
	return said[max(0, len(said)-2000):]
}
