// Package publish brings TUF metadata into a log: the files of one release
// (Submit) or the whole history of a repository (Import). It decides which files
// to send, in which order and beside which snapshot, and does not trust an answer
// without its proof: every index from the log comes with a sidecar that is checked
// against the caller's policy.
//
// # Order
//
// The log judges a file against its present entries, so a root must be there before files
// that its keys signed, and a parent before the roles that it delegates to. Targets
// metadata does not name its own role: it counts only beside a snapshot that lists it. So
// files are sent in the order of admit.Order, targets and delegated roles together with
// the snapshots that list them. Files that the log refuses because another is missing are
// sent again at the end, as long as that admits more files.
//
// # Repositories
//
// A repository is named by the payload of its first root, forever: devices with an
// older root cannot use its proofs. So a repository is opened with a root of version 1
// only, unless the caller names another, and joined only if its first root is among
// the files: any other repository with some of the roots may belong to another party.
// A root of version 1 that no repository accepts opens another repository (a vendor
// that started again). Later files are offered to the repository opened last, then to
// the others.
package publish

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Log is the part of a log that publishing needs; *api.Client is one. A refused
// file is a result, not an error: an error means that the log could not be
// reached or did not answer, and ends the work.
type Log interface {
	// Register submits a root that may open a repository.
	Register(ctx context.Context, root []byte) (*api.Result, error)
	// Submit sends files, each name at most once, to a repository and returns
	// when every one of them has a verdict.
	Submit(ctx context.Context, repository string, files []api.File) (*api.Result, error)
	// Lookup returns the leaves that have a SHA-256 digest (64 hex digits) as their
	// payload.
	Lookup(ctx context.Context, sha256 string) (*api.Lookup, error)
	// EntryProof returns the newest sidecar of an entry.
	EntryProof(ctx context.Context, index int64) ([]byte, error)
	// AuditedProof returns the newest sidecar of an entry that the log's auditors have
	// cosigned; an *api.ProblemError with api.CodeNotAudited if there is none yet.
	AuditedProof(ctx context.Context, index int64) ([]byte, error)
	// Blob returns a metadata file that a leaf names, by its SHA-256.
	Blob(ctx context.Context, sha256 string) ([]byte, error)
}

// Config configures publishing.
type Config struct {
	Log Log
	// Policy is that of devices. Every sidecar must satisfy it or, as long as its auditors
	// (proofs.AuditorsGroup) have not cosigned the log so far, all of it but them. Nil accepts
	// none.
	Policy *proofs.Policy
	// Repository is the one repository to publish to. Zero: found by the roots'
	// payloads, or opened.
	Repository tuf.Digest
	// Genesis is the version of the first root of the repository to open or join.
	// 0: version 1, and no repository is opened while another repository of the
	// log holds any of the roots.
	Genesis int64
	// AllSignatures keeps, in the proofs that are written, also the signatures by keys
	// that the policy does not have: for devices with other policies. Without it they are
	// left out.
	AllSignatures bool
	// Replace allows overwriting proofs of logs that are not the policy's.
	Replace bool
	// Timeout bounds each request until its proof is there. 0: 5 minutes.
	Timeout time.Duration
	// Wait is how long Refresh waits for auditors. 0: it does not.
	Wait time.Duration
	// Waiting, if not nil, is told how many proofs Refresh waits for, and why, whenever that
	// changes.
	Waiting func(proofs int, why string)
	// Progress, if not nil, is called with how many more files have a first
	// verdict.
	Progress func(files int)
}

// DefaultTimeout is how long a request may wait for its witnessed proof.
const DefaultTimeout = 5 * time.Minute

// ProofError means that an answer of the log is not proved. It is a verdict on
// the log, or on the policy, not an outage.
type ProofError struct {
	File string
	Err  error
}

func (e *ProofError) Error() string {
	return fmt.Sprintf("the log's answer about %s is not proved: %v", e.File, e.Err)
}

func (e *ProofError) Unwrap() error { return e.Err }

// Verdict is the result for one file.
type Verdict struct {
	File       string     `json:"file"`
	Role       string     `json:"role"`
	Version    int64      `json:"version"`
	Repository string     `json:"repository,omitempty"` // empty: without a repository to judge it
	Status     api.Status `json:"status"`               // never pending
	Index      int64      `json:"index"`                // -1: none
	Code       string     `json:"code,omitempty"`
	Detail     string     `json:"detail,omitempty"`
	HeldUntil  string     `json:"held_until,omitempty"` // with the status held, as in api.FileResult
	Sidecars   []string   `json:"sidecars,omitempty"`   // the files written; Submit only
	// Unaudited reports whether the sidecars will do under the policy only once its auditors
	// have cosigned: Refresh replaces them then. Submit only.
	Unaudited bool `json:"unaudited,omitempty"`
	// Past is why devices no longer require a refused file, such as a listed
	// newer version. Submit only.
	Past string `json:"past,omitempty"`
	// Because is the refused file that caused this refusal. Submit only.
	Because  string        `json:"because,omitempty"`
	Evidence *Evidence     `json:"evidence,omitempty"` // with the status evidence, where the log shows the release
	Date     string        `json:"date,omitempty"`     // Import only: as in the history
	sidecar  []byte        // verified
	claim    *verify.Claim // what the sidecar proves; nil unless released or logged
}

// NotLoggedHere reports whether the file is a snapshot or a timestamp that this
// log does not log. That is the operator's choice and not a fault of the file.
func (v Verdict) NotLoggedHere() bool {
	return v.Status == api.StatusRefused && v.Code == api.CodeNotLoggedRole
}

// file is one metadata file on its way into the log.
type file struct {
	name    string // for people
	base    string // the file's name without folders, where that says which role it is
	paths   []string
	date    string
	role    string
	version int64 // as in the file; where it cannot be read, as named by whoever gave it
	data    []byte
	meta    *tuf.Metadata // nil: not readable by these rules
	unread  error         // with meta == nil: what is wrong with it
	commit  int

	embedded bool // in a bundle: no sidecar is written beside it

	verdict     Verdict
	contradicts int64           // with the status evidence: the index of the release
	done        bool            // the verdict is final
	judged      bool            // a repository has refused it
	seen        int             // job.giving when it was sent last
	vouched     map[*file]error // snapshots that were asked already whether they list it
}

// newFile parses data.
func newFile(name, role string, version int64, data []byte) *file {
	f := &file{name: name, role: role, version: version, data: data}
	meta, err := tuf.ParseJSON(data)
	if err != nil {
		f.unread = err
	} else {
		f.meta, f.version = meta, meta.Version
	}
	return f
}

// sent is the file's name in a tar.
func (f *file) sent() string {
	name := api.FileName(f.role, f.version)
	if f.meta != nil && f.meta.Encoding == tuf.Pigweed {
		return strings.TrimSuffix(name, api.SuffixJSON) + api.SuffixPigweed
	}
	return name
}

// isReadableRoot reports whether f is a root that could be read.
func (f *file) isReadableRoot() bool { return f.isRoot() && f.meta != nil && f.meta.Root != nil }

func (f *file) isRoot() bool { return f.role == tuf.RoleRoot }

// isVoucher reports whether f is a snapshot that may say which role a targets
// file is.
func (f *file) isVoucher() bool {
	return f.role == tuf.RoleSnapshot && f.meta != nil && f.meta.Snapshot != nil
}

// needsVoucher reports whether f counts only beside a snapshot.
func (f *file) needsVoucher() bool {
	return f.meta != nil && admit.NeedsSnapshot(f.role, f.meta)
}

// isListedIn reports whether snapshot s says that f is its role's file.
func (f *file) isListedIn(s *file) bool {
	err, asked := f.vouched[s]
	if !asked {
		listed, ok := s.meta.Snapshot.File(f.role + ".json")
		if !ok {
			err = fmt.Errorf("does not list %s.json", f.role)
		} else {
			err = listed.Matches(f.data, f.version)
		}
		f.vouched[s] = err
	}
	return err == nil
}

// rankIn is 0 for a snapshot that lists f with a hash, 1 for one that lists its
// version only.
func (f *file) rankIn(s *file) int {
	if listed, _ := s.meta.Snapshot.File(f.role + ".json"); listed.Hashes != nil {
		return 0
	}
	return 1
}

// isCurrency reports whether f is of a role that says what is current. A log that does
// not log those may take them as vouchers for others.
func (f *file) isCurrency() bool { return f.role == tuf.RoleSnapshot || f.role == tuf.RoleTimestamp }
