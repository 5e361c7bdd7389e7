// Package ledger keeps a second record of the statements that a witness has
// signed, outside its database: an append-only file in a directory of its own,
// so that restoring the database from a backup does not restore the ledger with
// it.
//
// For each log only the last record counts. The file, named ledger, is text:
//
//	tuflog witness ledger v1
//	<verifier key of the witness>     one line for each key
//	                                  an empty line
//	<origin hash> <size> <root> <time> <checkpoint>
//	= <chain>
//
// A record line has the SHA-256 of the log's origin in hex, the tree's size, its
// root in base64, the time of the cosignature in POSIX seconds and the signed
// checkpoint in base64. The lines of one write end in a line with the SHA-256,
// in base64, of the chain before (of the header, at first) and those lines. The
// rest of the file is zero bytes, written beforehand so that a write changes
// nothing but these bytes; it is rewritten when it is long and mostly out of
// date.
//
// A write that was not synced may be torn by a power cut: no signature depended
// on it, and Open drops it. Damage before the last write is an error.
//
// The database may sync later than the ledger. An end line without record lines
// before it says that the database has synced all earlier records: if the
// database lacks one of those, it was taken away. A database may lack later
// records because of a crash (see Unsure).
package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
)

const (
	fileName = "ledger"
	header   = "tuflog witness ledger v1\n"

	// room is how much is written beforehand, in bytes.
	room = 1 << 20
	// A file longer than minCompact and stale times what counts is rewritten.
	defaultMinCompact = 64 << 20
	stale             = 4
)

// Ledger is an open ledger. It is safe for concurrent use, but only one process
// may have it open.
type Ledger struct {
	path       string
	head       []byte
	minCompact int64

	mu     sync.Mutex
	file   *os.File
	end    int64 // of what is written
	size   int64 // of the file
	live   int64 // bytes of the lines that count
	chain  [sha256.Size]byte
	last   map[witness.OriginHash]entry
	unsure map[witness.OriginHash]*witness.Mark // see Unsure
	failed error                                // the file's content is uncertain
}

// entry is the last record of a log and where its line is.
type entry struct {
	mark   witness.Mark
	offset int64
	length int
}

// Create makes an empty ledger for a witness with the given keys, in a directory
// that it creates. It refuses to replace one.
func Create(dir string, signers ...proofs.Key) error {
	if len(signers) == 0 {
		return errors.New("create ledger: no key")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, fileName)
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("create ledger: %s exists already and is not overwritten", path)
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := durable.WriteFile(path, headerOf(signers), 0o600); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

func headerOf(signers []proofs.Key) []byte {
	var b bytes.Buffer
	b.WriteString(header)
	for _, k := range signers {
		b.WriteString(k.String() + "\n")
	}
	b.WriteString("\n")
	return b.Bytes()
}

// Open opens the ledger of a witness with the given keys. The error wraps
// os.ErrNotExist if it does not exist.
func Open(dir string, signers ...proofs.Key) (*Ledger, error) {
	l := &Ledger{path: filepath.Join(dir, fileName), head: headerOf(signers), minCompact: defaultMinCompact}
	content, err := os.ReadFile(l.path)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := l.replay(content); err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", l.path, err)
	}
	if l.file, err = os.OpenFile(l.path, os.O_RDWR, 0); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	// What follows the end may be a torn write, which the next one would not
	// cover.
	if err := errors.Join(l.file.Truncate(l.end), l.file.Sync()); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", l.path, err), l.file.Close())
	}
	l.size = l.end
	return l, nil
}

// Close closes the file.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = os.ErrClosed
	return l.file.Close()
}

// replay reads the file's content.
func (l *Ledger) replay(content []byte) error {
	body, ok := bytes.CutPrefix(content, l.head)
	if !ok {
		first, _, _ := bytes.Cut(content, []byte("\n\n"))
		return fmt.Errorf("it belongs to another witness or is not a ledger: it begins %.300q", first)
	}
	l.last = make(map[witness.OriginHash]entry)
	l.unsure = make(map[witness.OriginHash]*witness.Mark)
	l.chain = sha256.Sum256(l.head)
	l.end = int64(len(l.head))
	l.live = 0
	for {
		n, err := l.replayWrite(body)
		if err != nil {
			return l.judgeRest(body, err)
		}
		if n == 0 {
			return nil
		}
		body = body[n:]
	}
}

// replayWrite reads the lines of one write at the beginning of b and returns
// their length, zero if nothing but zero bytes follows.
func (l *Ledger) replayWrite(b []byte) (int, error) {
	if len(b) == 0 || len(bytes.Trim(b, "\x00")) == 0 {
		return 0, nil
	}
	found := make(map[witness.OriginHash]entry)
	n := 0
	for {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			return 0, errors.New("a line without an end")
		}
		line := b[n : n+i]
		if sum, ok := bytes.CutPrefix(line, []byte("= ")); ok {
			chain := chainOf(l.chain, b[:n])
			if string(sum) != base64.StdEncoding.EncodeToString(chain[:]) {
				return 0, errors.New("a checksum that fails")
			}
			l.chain = chain
			n += i + 1
			break
		}
		signed, err := parseLine(string(line))
		if err != nil {
			return 0, err
		}
		found[signed.ID] = entry{mark: signed.Mark(), offset: l.end + int64(n), length: i + 1}
		n += i + 1
	}
	l.end += int64(n)
	l.count(found)
	return n, nil
}

// count takes the lines of one write into account.
func (l *Ledger) count(found map[witness.OriginHash]entry) {
	if len(found) == 0 {
		clear(l.unsure)
	}
	for id, e := range found {
		before, ok := l.last[id]
		if _, already := l.unsure[id]; !already {
			l.unsure[id] = nil
			if ok {
				l.unsure[id] = &before.mark
			}
		}
		l.live += int64(e.length) - int64(before.length)
		l.last[id] = e
	}
}

// judgeRest tells a torn write, which is what a power cut leaves, from damage.
func (l *Ledger) judgeRest(rest []byte, err error) error {
	if n := bytes.Count(rest, []byte("\n= ")); n > 1 || bytes.HasPrefix(rest, []byte("= ")) && n > 0 {
		return fmt.Errorf("it is damaged at byte %d: %w", l.end, err)
	}
	return nil
}

func chainOf(chain [sha256.Size]byte, lines []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(chain[:])
	h.Write(lines)
	return [sha256.Size]byte(h.Sum(nil))
}

func appendLine(b []byte, s witness.Signed) []byte {
	b = append(b, s.ID.String()...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, s.Tree.N, 10)
	b = append(b, ' ')
	b = base64.StdEncoding.AppendEncode(b, s.Tree.Hash[:])
	b = append(b, ' ')
	b = strconv.AppendInt(b, s.Time, 10)
	b = append(b, ' ')
	b = base64.StdEncoding.AppendEncode(b, s.Note)
	return append(b, '\n')
}

// parseLine reads what appendLine prints, without the newline.
func parseLine(line string) (witness.Signed, error) {
	s, err := parseFields(strings.Split(line, " "))
	if err == nil && string(appendLine(nil, s)) != line+"\n" {
		err = errors.New("not spelled as it would be printed")
	}
	if err != nil {
		return s, fmt.Errorf("line %.80q: %w", line, err)
	}
	return s, nil
}

func parseFields(fields []string) (s witness.Signed, err error) {
	if len(fields) != 5 {
		return s, fmt.Errorf("%d fields, want 5", len(fields))
	}
	if s.ID, err = witness.ParseOriginHash(fields[0]); err != nil {
		return s, err
	}
	if s.Tree.N, err = proofs.ParseDecimal(fields[1]); err != nil {
		return s, fmt.Errorf("size: %w", err)
	}
	if s.Tree.Hash, err = proofs.ParseHash(fields[2]); err != nil {
		return s, fmt.Errorf("root: %w", err)
	}
	if s.Time, err = proofs.ParseDecimal(fields[3]); err != nil {
		return s, fmt.Errorf("time %.40q", fields[3])
	}
	if s.Note, err = base64.StdEncoding.Strict().DecodeString(fields[4]); err != nil {
		return s, fmt.Errorf("checkpoint: %w", err)
	}
	return s, nil
}

// Last returns the last signed statement about a log.
func (l *Ledger) Last(id witness.OriginHash) (witness.Mark, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.last[id]
	return e.mark, ok
}

// Unsure reports whether records of a log came after the last Confirm, and
// returns the last statement before them, or nil. A crash may have kept the
// database from syncing those records.
func (l *Ledger) Unsure(id witness.OriginHash) (before *witness.Mark, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, ok = l.unsure[id]
	return before, ok
}

// Note returns the last signed checkpoint of a log, or nil.
func (l *Ledger) Note(id witness.OriginHash) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.read(l.last[id])
	return s.Note, err
}

func (l *Ledger) read(e entry) (witness.Signed, error) {
	if e.length == 0 {
		return witness.Signed{}, nil
	}
	line := make([]byte, e.length)
	if _, err := l.file.ReadAt(line, e.offset); err != nil {
		return witness.Signed{}, err
	}
	return parseLine(strings.TrimSuffix(string(line), "\n"))
}

// Confirm records that the database has synced all appended records. It also
// rewrites a long file.
func (l *Ledger) Confirm() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.unsure) == 0 {
		return nil
	}
	err := l.failed
	if err == nil {
		if l.end > l.minCompact && l.end > stale*l.live {
			err = l.compact()
		} else {
			err = l.append(nil)
		}
		l.failed = err
	}
	if err != nil {
		return fmt.Errorf("ledger %s: %w", l.path, err)
	}
	return nil
}

// Append makes records durable, all with one sync. After an error the ledger is
// unusable; opening it again shows whether the records are in the file.
func (l *Ledger) Append(records []witness.Signed) error {
	if len(records) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return fmt.Errorf("ledger %s: %w", l.path, l.failed)
	}
	if err := l.append(records); err != nil {
		l.failed = err
		return fmt.Errorf("ledger %s: %w", l.path, err)
	}
	return nil
}

func (l *Ledger) append(records []witness.Signed) error {
	lines, found := linesOf(records, l.end)
	chain := chainOf(l.chain, lines)
	lines = appendSum(lines, chain)
	if err := l.reserve(int64(len(lines))); err != nil {
		return err
	}
	if _, err := l.file.WriteAt(lines, l.end); err != nil {
		return err
	}
	if err := datasync(l.file); err != nil {
		return err
	}
	l.end += int64(len(lines))
	l.chain = chain
	l.count(found)
	return nil
}

// linesOf prints records that will stand at an offset.
func linesOf(records []witness.Signed, offset int64) ([]byte, map[witness.OriginHash]entry) {
	var lines []byte
	found := make(map[witness.OriginHash]entry, len(records))
	for _, r := range records {
		start := len(lines)
		lines = appendLine(lines, r)
		found[r.ID] = entry{mark: r.Mark(), offset: offset + int64(start), length: len(lines) - start}
	}
	return lines, found
}

func appendSum(lines []byte, chain [sha256.Size]byte) []byte {
	lines = append(lines, "= "...)
	return append(base64.StdEncoding.AppendEncode(lines, chain[:]), '\n')
}

// reserve makes sure that the file has n more bytes, written and synced.
func (l *Ledger) reserve(n int64) error {
	if l.end+n <= l.size {
		return nil
	}
	zeros := make([]byte, n+room)
	if _, err := l.file.WriteAt(zeros, l.size); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.size += int64(len(zeros))
	return nil
}

// compact replaces the file by one with only the records that count, confirmed.
func (l *Ledger) compact() error {
	ids := make([]witness.OriginHash, 0, len(l.last))
	for id := range l.last {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b witness.OriginHash) int { return bytes.Compare(a[:], b[:]) })
	records := make([]witness.Signed, 0, len(ids))
	for _, id := range ids {
		s, err := l.read(l.last[id])
		if err != nil {
			return err
		}
		records = append(records, s)
	}
	lines, found := linesOf(records, int64(len(l.head)))
	chain := chainOf(sha256.Sum256(l.head), lines)
	lines = appendSum(lines, chain)
	chain = chainOf(chain, nil)
	lines = appendSum(lines, chain)
	if err := durable.WriteFile(l.path, slices.Concat(l.head, lines), 0o600); err != nil {
		return err
	}
	file, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := l.file.Close(); err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.chain, l.live = file, chain, 0
	l.end = int64(len(l.head) + len(lines))
	l.size = l.end
	l.last = make(map[witness.OriginHash]entry, len(found))
	l.count(found)
	l.count(nil)
	return nil
}
