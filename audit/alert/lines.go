package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// lines appends events to a file, one line each. The file is opened each time: whoever
// moves it away to rotate it finds a new one in its place.
type lines struct {
	path   string
	stdout io.Writer // instead

	mu sync.Mutex
}

func newLines(to To, cfg *Config) (sender, error) {
	if to.Path != "-" {
		f, err := openLines(to.Path)
		if err != nil {
			return nil, fmt.Errorf("path: %w", err)
		}
		return &lines{path: to.Path}, f.Close()
	}
	if cfg.Stdout == nil {
		return nil, fmt.Errorf("path: %w: -, but nothing is written to stdout here", errConfig)
	}
	return &lines{stdout: cfg.Stdout}, nil
}

func openLines(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
}

func (l *lines) send(_ context.Context, events []outgoing) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text bytes.Buffer
	for _, e := range events {
		text.Write(e.Body)
		text.WriteByte('\n')
	}
	if l.stdout != nil {
		_, err := l.stdout.Write(text.Bytes())
		return err
	}
	f, err := openLines(l.path)
	if err != nil {
		return err
	}
	return errors.Join(appendTo(f, text.Bytes()), f.Close())
}

// appendTo appends lines. Where the last write did not end, with a full disk or a power cut,
// the rest of a line stays one of its own.
func appendTo(f *os.File, text []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && info.Size() > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], info.Size()-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			text = append([]byte("\n"), text...)
		}
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	return f.Sync()
}
