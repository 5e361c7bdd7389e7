package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// lines appends events to a file, one line each. The file is opened each time: whoever
// moves it away to rotate it finds a new one in its place.
type lines struct {
	path    string
	stdout  io.Writer // instead
	timeout time.Duration

	writing chan struct{} // has one while something is written
}

func newLines(to To, cfg *Config) (sender, error) {
	if to.Path != "-" {
		f, err := openLines(to.Path)
		if err != nil {
			return nil, fmt.Errorf("path: %w", err)
		}
		return &lines{path: to.Path, timeout: to.Timeout, writing: make(chan struct{}, 1)}, f.Close()
	}
	if cfg.Stdout == nil {
		return nil, fmt.Errorf("path: %w: -, but nothing is written to stdout here", errConfig)
	}
	return &lines{stdout: cfg.Stdout, timeout: to.Timeout, writing: make(chan struct{}, 1)}, nil
}

func openLines(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
}

// send waits for a write as long as one may take. One that nobody reads goes on beside, and
// the next one waits for it.
func (l *lines) send(ctx context.Context, events []outgoing) error {
	var text bytes.Buffer
	for _, e := range events {
		text.Write(e.Body)
		text.WriteByte('\n')
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	select {
	case l.writing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("nobody reads what is written: %w", context.Cause(ctx))
	}
	written := make(chan error, 1)
	go func() {
		err := l.write(text.Bytes())
		<-l.writing
		written <- err
	}()
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return fmt.Errorf("nobody reads what is written: %w", context.Cause(ctx))
	}
}

func (l *lines) write(text []byte) error {
	if l.stdout != nil {
		_, err := l.stdout.Write(text)
		return err
	}
	f, err := openLines(l.path)
	if err != nil {
		return err
	}
	return errors.Join(appendTo(f, text), f.Close())
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
