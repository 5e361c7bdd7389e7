package monitor

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/tuf"
)

// Status is what a monitor last saw of a log. It says nothing of findings, which are in the
// log's audit state. Times are POSIX seconds; 0: never.
type Status struct {
	Log     string `json:"log"`              // its name in the configuration
	Origin  string `json:"origin,omitempty"` // empty: no checkpoint has been verified
	URL     string `json:"url"`              // without a password
	Written int64  `json:"written"`          // when this was written

	Checkpoint *audit.CheckpointReport `json:"checkpoint"` // the newest that was verified; null: none
	Cosigned   int64                   `json:"cosigned"`   // the latest time that a witness gave with it
	Judged     int64                   `json:"judged"`     // leaves
	Waiting    int64                   `json:"waiting"`    // leaves of the checkpoint that are not judged yet
	Vouches    bool                    `json:"vouches"`    // every leaf was judged and is right, every file was there
	Ended      bool                    `json:"ended"`      // the log has ended

	Asked    int64  `json:"asked"`    // when the log was asked last
	Answered int64  `json:"answered"` // when it was last read to its newest verified checkpoint
	Trouble  string `json:"trouble,omitempty"`
	Since    int64  `json:"since,omitempty"` // when the trouble began
	Own      bool   `json:"own,omitempty"`   // the trouble is this machine's: its state cannot be read or written

	Untold      string `json:"untold,omitempty"` // why findings wait before they are told: the outbox of alerts cannot be written
	UntoldSince int64  `json:"untold_since,omitempty"`

	Undelivered      string `json:"undelivered,omitempty"` // why alerts, about whichever log, are not delivered by this process
	UndeliveredSince int64  `json:"undelivered_since,omitempty"`

	Open map[audit.Class]int `json:"open"` // findings that are there and are not acknowledged, by class

	Witnesses    []Witness    `json:"witnesses"`
	Repositories []Repository `json:"repositories"`

	Mirror  *Mirror  `json:"mirror,omitempty"`  // nil: there is no copy, or it has not been looked at
	Audited *Audited `json:"audited,omitempty"` // nil: this auditor does not cosign the log

	Anchors []anchored.Status `json:"anchors,omitempty"` // of the instances of Rekor in which it is anchored
}

// Audited is the audited cosignature of a log.
type Audited struct {
	Name    string `json:"name"` // of the auditor, as in its keys
	Size    int64  `json:"size"` // of the newest tree that it has cosigned; 0: none
	Time    int64  `json:"time"`
	Stopped string `json:"stopped,omitempty"` // why nothing is cosigned until a person resumes it
	Waits   string `json:"waits,omitempty"`   // else why the newest checkpoint is not cosigned
}

// Mirror is the copy that is kept of a log.
type Mirror struct {
	Size    int64  `json:"size"`    // leaves that it has
	Updated int64  `json:"updated"` // when
	Missing int    `json:"missing"` // files that the log did not serve
	Trouble string `json:"trouble,omitempty"`
	Full    bool   `json:"full,omitempty"` // the trouble is that there is no room for more
}

// Witness is what a witness of the log's policy shows of the log.
type Witness struct {
	Name     string `json:"name"`          // in the policy
	URL      string `json:"url,omitempty"` // without a password; empty: it is not asked
	Size     int64  `json:"size"`          // of the newest checkpoint that it cosigned
	Time     int64  `json:"time"`          // of that cosignature; 0: not known
	Asked    int64  `json:"asked"`
	Answered int64  `json:"answered"`
	Trouble  string `json:"trouble,omitempty"`
}

// Repository is what is watched of a repository beside the log.
type Repository struct {
	ID   tuf.Digest `json:"id,omitzero"` // its id
	Name string     `json:"name"`
	Live []Live     `json:"live"`

	Expectations *Expectations `json:"expectations,omitempty"` // nil: none are configured
}

// Live is a live repository, compared with the log.
type Live struct {
	URL      string `json:"url"`      // without a password
	Compared int64  `json:"compared"` // when
	Files    int    `json:"files"`    // that were read
	Word     string `json:"word"`     // the worst verdict, as of auditor compare: logged, behind, unlogged …; empty: not compared yet
	Sentence string `json:"sentence"`
}

// Expectations are what a vendor says will be released.
type Expectations struct {
	From    string `json:"from"`    // where they are read, without a password
	Read    int64  `json:"read"`    // when they were read last
	Version int64  `json:"version"` // 0: none have been read
	Expires int64  `json:"expires"`
	Trouble string `json:"trouble,omitempty"`
}

// maxStatus is how many bytes of a status are read.
const maxStatus = 16 << 20

// StatusFile returns the path of the status of a log in a monitor's directory.
func StatusFile(dir, log string) string { return filepath.Join(dir, "logs", log+".status.json") }

// StateDir returns the audit state of a log in a monitor's directory.
func StateDir(dir, log string) string { return filepath.Join(dir, "logs", log) }

// MirrorDir returns the copy of a log in a monitor's directory.
func MirrorDir(dir, log string) string { return filepath.Join(dir, "mirror", log) }

// ReadStatus reads the status of a log in a monitor's directory. Its error wraps
// fs.ErrNotExist if there is none.
func ReadStatus(dir, log string) (*Status, error) {
	if err := checkName(log); err != nil {
		return nil, fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	}
	path := StatusFile(dir, log)
	b, err := regular.ReadSome(path, maxStatus+1)
	if err != nil {
		return nil, err
	}
	if len(b) > maxStatus {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxStatus)
	}
	var s Status
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &s, nil
}

// write writes the status.
func (s *Status) write(dir string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteFile(StatusFile(dir, s.Log), append(b, '\n'), 0o644)
}
