package budget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/tuflog/tuflog/internal/durable"
)

// File is a Store in one file, which one process has at a time. A file that is not there
// is empty; one that cannot be read counts as damaged for each witness.
type File struct {
	// Path of the file; its directory must exist.
	Path string

	mu  sync.Mutex
	all map[string]json.RawMessage // as the file has it; nil: not read yet
	bad bool                       // what it had cannot be read
}

// damaged is the state of every witness where the file cannot be read: it does not parse.
var damaged = []byte("damaged")

// Update implements Store.
func (f *File) Update(_ context.Context, witness string, change func(old []byte) ([]byte, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.read(); err != nil {
		return err
	}
	old := []byte(f.all[witness])
	if old == nil && f.bad {
		old = damaged
	}
	next, err := change(old)
	if err != nil {
		return err
	}
	all := map[string]json.RawMessage{witness: next}
	for name, state := range f.all {
		if name != witness {
			all[name] = state
		}
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("requests to witnesses: %w", err)
	}
	if err := durable.WriteFile(f.Path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("requests to witnesses cannot be counted, so none is sent: %w", err)
	}
	f.all = all
	return nil
}

func (f *File) read() error {
	if f.all != nil {
		return nil
	}
	b, err := os.ReadFile(f.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("requests to witnesses cannot be counted, so none is sent: %w", err)
	}
	all := map[string]json.RawMessage{}
	if err == nil && json.Unmarshal(b, &all) != nil {
		f.bad, all = true, map[string]json.RawMessage{}
	}
	f.all = all
	return nil
}
