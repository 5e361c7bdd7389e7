package publish

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// History is the metadata of one or more repositories over time, as a directory
// holds it:
//
//	index.csv             one line for each file, in commit order
//	<role>/<file>.json    the files
//	<any name>.tar.gz     roles with many files, packed
//
// The first line of index.csv names its columns; required are
//
//	file     path below the directory, in a folder or inside one of the archives
//	role     the role the file was published as, as it is, not percent-encoded
//	version  decimal
//	sha256   of the file, 64 hex digits
//	commit   files of one commit stand together
//
// and date (free text) is shown if it is there. Other columns are ignored.
type History struct {
	files   []*file
	ignored []Ignored
}

// indexRow is a line of index.csv.
type indexRow struct {
	file, role, commit, date string
	version                  int64
	sum                      tuf.Digest
}

// Limits of a history, in bytes.
const (
	maxIndex  = 256 << 20
	maxPacked = 4 << 30 // all that is unpacked from one archive
)

// ReadHistory reads the history in dir. Every file that the index names must be
// there with its digest; the log decides whether it is good metadata.
func ReadHistory(dir string) (*History, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	index, err := readLimited(root.FS(), "index.csv", maxIndex)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	rows, err := parseIndex(index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "index.csv"), err)
	}
	packed, err := unpackMissing(root.FS(), rows)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	h := &History{}
	commits := map[string]int{}
	for _, row := range rows {
		data, ok := packed[row.file]
		if !ok {
			if data, err = readLimited(root.FS(), row.file, tuf.MaxFileSize); err != nil {
				return nil, fmt.Errorf("%s: %w", dir, err)
			}
		}
		if sum := tuf.Sum(data); sum != row.sum {
			return nil, fmt.Errorf("%s has SHA-256 %v, index.csv says %v", filepath.Join(dir, row.file), sum, row.sum)
		}
		f := newFile(row.file, row.role, row.version, data)
		if _, ok := commits[row.commit]; !ok {
			commits[row.commit] = len(commits)
		}
		f.date, f.commit = row.date, commits[row.commit]
		h.files = append(h.files, f)
	}
	return h, nil
}

// Len returns the number of files.
func (h *History) Len() int { return len(h.files) }

// Each yields the role and the metadata of each file that could be read as metadata, in the
// order of the history.
func (h *History) Each() iter.Seq2[string, *tuf.Metadata] { return each(h.files) }

func each(files []*file) iter.Seq2[string, *tuf.Metadata] {
	return func(yield func(string, *tuf.Metadata) bool) {
		for _, f := range files {
			if f.meta != nil && !yield(f.role, f.meta) {
				return
			}
		}
	}
}

// parseIndex reads index.csv. The lines of a commit must stand together.
func parseIndex(b []byte) ([]indexRow, error) {
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		return nil, errors.New("it begins with a byte order mark (EF BB BF): save it as UTF-8 without one")
	}
	r := csv.NewReader(bytes.NewReader(b))
	header, err := r.Read()
	if err != nil {
		return nil, err
	}
	if len(header) == 1 && strings.Contains(header[0], ";") {
		return nil, errors.New("its columns are divided by semicolons: save it with commas")
	}
	column := map[string]int{}
	for i, name := range header {
		if _, twice := column[name]; twice {
			return nil, fmt.Errorf("two columns are called %q", name)
		}
		column[name] = i
	}
	for _, name := range []string{"file", "role", "version", "sha256", "commit"} {
		if _, ok := column[name]; !ok {
			return nil, fmt.Errorf("there is no column %q", name)
		}
	}
	var rows []indexRow
	last, seen := "", map[string]bool{}
	for {
		record, err := r.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		row := indexRow{file: record[column["file"]], role: record[column["role"]], commit: record[column["commit"]]}
		if i, ok := column["date"]; ok {
			row.date = record[i]
		}
		if row.sum, err = tuf.ParseDigest(record[column["sha256"]]); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if row.version, err = proofs.ParseDecimal(record[column["version"]]); err != nil {
			return nil, fmt.Errorf("line %d: version: %w", line, err)
		}
		if !fs.ValidPath(row.file) || row.role == "" {
			return nil, fmt.Errorf("line %d: file %q of role %q: want a path below the directory, and a role", line, row.file, row.role)
		}
		if row.commit != last && seen[row.commit] {
			return nil, fmt.Errorf("line %d: commit %q does not stand together", line, row.commit)
		}
		last, seen[row.commit] = row.commit, true
		rows = append(rows, row)
	}
}

// unpackMissing returns the files of rows that are not in the folder themselves,
// from whichever archives hold them.
func unpackMissing(dir fs.FS, rows []indexRow) (map[string][]byte, error) {
	missing := map[string]bool{}
	for _, row := range rows {
		if _, err := fs.Stat(dir, row.file); errors.Is(err, fs.ErrNotExist) {
			missing[row.file] = true
		}
	}
	found := map[string][]byte{}
	if len(missing) == 0 {
		return found, nil
	}
	archives, err := fs.Glob(dir, "*.tar.gz")
	if err != nil {
		return nil, err
	}
	for _, name := range archives {
		if err := unpack(dir, name, missing, found); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return found, nil
}

func unpack(dir fs.FS, name string, wanted map[string]bool, found map[string][]byte) error {
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(io.LimitReader(z, maxPacked)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		member := strings.TrimPrefix(h.Name, "./")
		if h.Typeflag != tar.TypeReg || !wanted[member] {
			continue
		}
		if _, twice := found[member]; twice {
			return fmt.Errorf("%s is packed twice", member)
		}
		if h.Size > tuf.MaxFileSize {
			return fmt.Errorf("%s has %d bytes, the limit is %d", member, h.Size, tuf.MaxFileSize)
		}
		if found[member], err = io.ReadAll(r); err != nil {
			return fmt.Errorf("%s: %w", member, err)
		}
	}
}

// readLimited reads a file of at most limit bytes.
func readLimited(dir fs.FS, name string, limit int64) ([]byte, error) {
	if info, err := fs.Stat(dir, name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", name, regular.ErrIrregular) // a pipe is waited for already when it is opened
	}
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAtMost(f, name, limit)
}

// readAtMost reads what is left of r, which must be at most limit bytes.
func readAtMost(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return data, nil
}
