package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// CheckConflict says on w what the evidence in a file proves against any of the
// keys. It fails, as something that was found wanting, when that is nothing.
func CheckConflict(w io.Writer, path string, keys []proofs.Key) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	c, err := proofs.ParseConflict(b)
	if err != nil {
		return Failed(fmt.Errorf("%s: %w", path, err))
	}
	v, err := c.Check(keys...)
	if err != nil {
		return Failed(fmt.Errorf("%s: %w", path, err))
	}
	fmt.Fprintf(w, "%s showed two histories, signed by %s\n", v.Origin, strings.Join(v.By, ", "))
	fmt.Fprintf(w, "  size %d, root %v\n  size %d, root %v\n", v.Older.N, v.Older.Hash, v.Newer.N, v.Newer.Hash)
	return nil
}
