package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/tuf"
)

// A record is what a gate has signed last of a repository: the timestamp.json, with the
// gate's signature, behind a line that says whose it is. Nothing else about it can be
// forgotten or differ.
const (
	recordName   = "signed"
	recordHead   = "tuflog gate v1 "
	maxTimestamp = 1 << 20 // bytes of a timestamp.json
	maxRecord    = len(recordHead) + 64 + 1 + maxTimestamp
)

// marshalRecord prints a record.
func marshalRecord(repository tuf.Digest, timestamp []byte) []byte {
	return append([]byte(recordHead+repository.String()+"\n"), timestamp...)
}

// parseRecord reads a record of a repository.
func parseRecord(repository tuf.Digest, b []byte) (*tuf.Metadata, error) {
	timestamp, ok := bytes.CutPrefix(b, []byte(recordHead+repository.String()+"\n"))
	if !ok {
		return nil, fmt.Errorf("it does not begin with %q, or is another repository's", recordHead+repository.String())
	}
	return parseTimestamp(timestamp)
}

// parseTimestamp reads a timestamp.json.
func parseTimestamp(file []byte) (*tuf.Metadata, error) {
	if len(file) > maxTimestamp {
		return nil, fmt.Errorf("%d bytes or more, and %d are read", len(file), maxTimestamp)
	}
	m, err := tuf.ParseJSON(file)
	if err != nil {
		return nil, err
	}
	if m.Timestamp == nil {
		return nil, fmt.Errorf("it is %s metadata", m.Type)
	}
	return m, nil
}

// readRecord reads the record at path; nil: there is none.
func readRecord(path string, repository tuf.Digest) (*tuf.Metadata, error) {
	b, err := regular.ReadSome(path, int64(maxRecord)+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := parseRecord(repository, b)
	if err != nil {
		return nil, fmt.Errorf("%s, which has what was signed last, is damaged: %w. Move it away, and the gate asks others what that was", path, err)
	}
	return m, nil
}

// writeRecord makes a record durable.
func writeRecord(path string, repository tuf.Digest, timestamp []byte) error {
	return durable.WriteFile(path, marshalRecord(repository, timestamp), 0o600)
}
