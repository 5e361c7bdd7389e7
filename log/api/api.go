// Package api is the log's HTTP interface: its JSON and a client for it.
// Answers are a convenience and never trusted by themselves: each comes with a
// proof (FileResult.Sidecar, EntryProof) or names a leaf that can be proved.
//
//	POST /v1/repositories                 body: a genesis root file, of Pigweed
//	                                      with Content-Type application/x-protobuf
//	POST /v1/repositories/{id}/metadata   body: a tar of metadata files
//	                                      (Content-Type application/x-tar), one
//	                                      root file (application/json), or one root
//	                                      or targets of Pigweed
//	                                      (application/x-protobuf)
//	GET  /v1/submissions/{id}             a submission's Result
//	GET  /v1/repositories                 RepositoryList
//	GET  /v1/repositories/{id}            Repository
//	GET  /v1/repositories/{id}/roles/{role}
//	                                      Role
//	GET  /v1/lookup/sha256/{hex}          Lookup
//	GET  /v1/lookup/sha512/{hex}          Listings
//	GET  /v1/lookup/path/{path}           Listings
//	GET  /v1/lookup/length/{length}       Listings
//	GET  /v1/entries/{index}/proof        the newest sidecar of an entry, text/plain
//	GET  /v1/entries/{index}/files        Files
//
// Both POSTs take "Prefer: wait=SECONDS" (default 10, at most 60) and, where the
// operator asks for it, "Authorization: Bearer TOKEN". They answer
//
//	200  a Result with Done set: every file has a verdict and the accepted ones
//	     their witnessed proof
//	202  a Result in which some files are pending or held, and a Location to poll
//	422  a Problem of code CodeRefused whose member "results" holds the verdicts:
//	     no file of the submission was accepted
//	429  a Problem with Retry-After: the sender has used up its quota
//	503  a Problem with Retry-After: the queue is full or the log cannot publish
//
// All other errors are a Problem too (RFC 9457, application/problem+json).
// docs/api.md has examples of all this, docs/openapi.json the same for machines.
//
// Files in a tar are regular files whose names are those of a TUF repository's
// metadata directory, without folders, each name at most once; RoleOf returns the
// role that a name means. Snapshots and timestamps that the log does not take as
// leaves are vouchers and have no verdict, or CodeNotLoggedRole, which they always
// get if nothing else was sent. A submission is idempotent: sending it again
// returns the indices its files have.
package api

import (
	"fmt"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/leaf"
)

// Content types.
const (
	TypeTar      = "application/x-tar"
	TypeJSON     = "application/json"
	TypeProtobuf = "application/x-protobuf"
	TypeProblem  = "application/problem+json"
	TypeText     = "text/plain; charset=utf-8"
	TypeBytes    = "application/octet-stream"
)

// Held reports whether every file has a verdict or is held, and some are held. Then
// polling does not help before their time.
func (r *Result) Held() bool {
	held := false
	for _, f := range r.Results {
		if f.Status == StatusPending {
			return false
		}
		held = held || f.Status == StatusHeld
	}
	return held
}

// Result is the log's answer to a submission.
type Result struct {
	Repository string       `json:"repository"` // 64 hex digits
	Done       bool         `json:"done"`       // no file is pending or held any more
	Results    []FileResult `json:"results"`    // one for each file, in the order judged
	// Token is the repository's token, for a client that has opened the
	// repository with the operator's registration token.
	Token *Token `json:"token,omitempty"`
	// Waiting is the reason why nothing can be published now, in the words of the
	// witnesses if they do not cosign. It must be escaped before it is printed to a
	// terminal.
	Waiting string `json:"waiting,omitempty"`
}

// FileResult is the log's verdict on one file.
type FileResult struct {
	File    string `json:"file"`             // its name in the tar; "root.json" where a root was sent alone, of Pigweed "root.pb" or "targets.pb"
	Role    string `json:"role"`             // not percent-encoded
	Version int64  `json:"version"`          // 0 when the file could not be read
	Status  Status `json:"status"`           //
	Index   int64  `json:"index"`            // of its leaf in the log; -1: none
	Code    string `json:"code,omitempty"`   // why it was refused, one of the codes below
	Detail  string `json:"detail,omitempty"` // the same for people
	// HeldUntil is the time at which a held file is judged, in RFC 3339. It is
	// judged earlier if the vendor's own file of its version is logged before.
	HeldUntil string `json:"held_until,omitempty"`
	Sidecar   string `json:"sidecar,omitempty"` // c2sp.org/tlog-proof of the leaf at Index; empty when refused or pending
}

// Status is the log's verdict on a file, or its state before that.
type Status string

// The log's verdicts.
const (
	StatusReleased Status = "released" // a new release leaf
	StatusLogged   Status = "logged"   // its payload was a leaf already, at Index; a release unless the sidecar's leaf says otherwise
	StatusEvidence Status = "evidence" // it contradicts a release; Index is the evidence leaf, new or not
	StatusRefused  Status = "refused"  // see Code
	StatusPending  Status = "pending"  // not judged or not published yet
	StatusHeld     Status = "held"     // it would become a leaf, and is judged anew at HeldUntil
)

// Problem is an RFC 9457 problem with the log's extra members.
type Problem struct {
	Type   string `json:"type"` // "about:blank"
	Title  string `json:"title"`
	Status int    `json:"status"` // HTTP status
	Code   string `json:"code"`   // stable, one of the codes of this package
	Detail string `json:"detail,omitempty"`
	// Instance is the id of the request, as in the header X-Request-Id and in
	// the log server's own logs.
	Instance string `json:"instance,omitempty"`

	Repository string       `json:"repository,omitempty"` // with Results
	Results    []FileResult `json:"results,omitempty"`    // with CodeRefused
}

// ProblemError is the error for an answer that is a problem document, or for
// another answer with an error status (Code is empty then, and Detail is the
// start of the body).
type ProblemError struct {
	Problem
	URL string // what was asked, without a password
}

func (e *ProblemError) Error() string {
	what := e.Code
	if what == "" {
		what = e.Title
	}
	msg := fmt.Sprintf("%s answered %d %s", e.URL, e.Status, printable.Line(what))
	if e.Detail != "" {
		msg += ": " + printable.Line(e.Detail)
	}
	return msg
}

// RepositoryList is the answer to GET /v1/repositories.
type RepositoryList struct {
	Repositories []RepositoryInfo `json:"repositories"`
}

// RepositoryInfo describes a repository in a listing.
type RepositoryInfo struct {
	ID       string        `json:"id"`              // 64 hex digits
	Label    string        `json:"label,omitempty"` // the operator's name for it, never identity
	Encoding string        `json:"encoding"`        // json or pigweed
	Releases int64         `json:"releases"`        // release leaves
	Evidence int64         `json:"evidence"`        // evidence leaves
	Roles    []RoleCurrent `json:"roles"`           // those with a current release, sorted by name
}

// RoleCurrent is the current release of a role.
type RoleCurrent struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	Index   int64  `json:"index"`
}

// Repository is the answer to GET /v1/repositories/{id}.
type Repository struct {
	RepositoryInfo
	Leaves []Leaf `json:"leaves"` // all of them, in log order
}

// Leaf is a leaf of the log as JSON. The digests are 64 hex digits.
type Leaf struct {
	Index int64 `json:"index"`
	leaf.Fields
}

// Lookup is the answer to GET /v1/lookup/sha256/{hex}. For a digest that the log
// has never seen the answer is empty, not an error.
type Lookup struct {
	SHA256  string    `json:"sha256"`
	Blob    bool      `json:"blob"`    // the log keeps a metadata file with this digest
	Leaves  []Leaf    `json:"leaves"`  // whose payload, metadata or snapshot it is
	Targets []Listing `json:"targets"` // releases that list a target file with this digest
	More    bool      `json:"more"`    // there are more leaves or targets than told
	Behind  int64     `json:"behind"`  // so many of the newest leaves have targets that cannot be looked up yet
}

// Listing is a leaf together with a target file that its metadata lists.
type Listing struct {
	Index      int64  `json:"index"`
	Kind       string `json:"kind"`
	Repository string `json:"repository"`
	Role       string `json:"role"`
	Version    int64  `json:"version"`
	ListedFile
}

// ListedFile is a target file as metadata lists it. The digests are lower-case
// hex digits.
type ListedFile struct {
	Path   string `json:"path"`             // the target's path
	Length int64  `json:"length"`           // bytes; -1 where the metadata does not say
	SHA256 string `json:"sha256,omitempty"` // where the metadata has it
	SHA512 string `json:"sha512,omitempty"` // the same
}

// Listings is the answer to a lookup by the SHA-512, the path or the length of a
// target file.
type Listings struct {
	Targets []Listing `json:"targets"` // in log order
	More    bool      `json:"more"`    // there are more than told
	Behind  int64     `json:"behind"`  // so many of the newest leaves have targets that cannot be looked up yet
}

// Files is the answer to GET /v1/entries/{index}/files.
type Files struct {
	Leaf
	Files  []ListedFile `json:"files"`  // by path; none for roles other than targets
	More   bool         `json:"more"`   // there are more than told: the blob Metadata lists all
	Behind int64        `json:"behind"` // not 0: they cannot be told yet, the blob Metadata lists them
}

// Role is the answer to GET /v1/repositories/{id}/roles/{role}.
type Role struct {
	Repository string        `json:"repository"`
	Role       string        `json:"role"`     // not percent-encoded
	Versions   []RoleVersion `json:"versions"` // all of them, in log order
}

// RoleVersion is a leaf of a role.
type RoleVersion struct {
	Index   int64  `json:"index"`
	Version int64  `json:"version"`
	Kind    string `json:"kind"`    // release or evidence
	Current bool   `json:"current"` // the role's current release
}
