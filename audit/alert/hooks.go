package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/printable"
)

// maxOutput is how much of what a hook prints is kept, for an error: bytes.
const maxOutput = 4 << 10

// hooks runs each executable of a folder, with the event on stdin.
type hooks struct {
	name, dir string
	timeout   time.Duration // of each
	cfg       *Config
	takers    takers
}

func newHooks(name string, to To, cfg *Config) (sender, error) {
	dir, err := filepath.Abs(to.Dir) // a hook runs in it
	if err != nil {
		return nil, fmt.Errorf("dir: %w", err)
	}
	h := &hooks{name: name, dir: dir, timeout: to.Timeout, cfg: cfg}
	if _, err := h.list(); err != nil {
		return nil, fmt.Errorf("dir: %w", err)
	}
	return h, nil
}

// list returns the executables, in the order of their names. What everybody may write is
// an error.
func (h *hooks) list() ([]string, error) {
	if err := notWritable(h.dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), "~") {
			continue
		}
		path := filepath.Join(h.dir, e.Name())
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) { // a link to nothing, or it has just gone
			continue
		}
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		if err := notWritable(path); err != nil {
			return nil, err
		}
		list = append(list, path)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no executable: nobody is told", h.dir)
	}
	return list, nil
}

func notWritable(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode()&0o002 != 0 {
		err = fmt.Errorf("%s may be written by everybody (mode %v): chmod o-w", path, info.Mode().Perm())
	}
	return err
}

func (h *hooks) send(ctx context.Context, events []outgoing) error {
	list, err := h.list()
	if err != nil {
		return err
	}
	for _, e := range events {
		err := h.takers.each(ctx, e.ID, list, func(path string) error {
			if err := h.run(ctx, path, e); err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(path), err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// run runs one hook. What it prints is logged if it fails.
func (h *hooks) run(ctx context.Context, path string, e outgoing) error {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir = h.dir
	cmd.Stdin = bytes.NewReader(append(bytes.Clone(e.Body), '\n'))
	cmd.Env = append(os.Environ(), "TUFLOG_EVENT_ID="+e.ID, "TUFLOG_EVENT_TYPE="+string(e.Event.Type))
	out := &tail{max: maxOutput}
	cmd.Stdout, cmd.Stderr = out, out
	if err := runToEnd(ctx, cmd); err != nil {
		return fmt.Errorf("%w%s", err, said(out.Bytes()))
	}
	if out.Len() > 0 {
		h.cfg.Logger.Info("a hook printed", "to", h.name, "hook", printable.Line(filepath.Base(path)), "output", said(out.Bytes()))
	}
	return nil
}

// runToEnd runs a program. One that ended well has done so even if what it left behind holds
// its output open.
func runToEnd(ctx context.Context, cmd *exec.Cmd) error {
	inGroup(cmd)
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success() {
		return nil
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}
