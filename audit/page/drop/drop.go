package drop

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// MaxFiles is how many files Judge takes at once.
const MaxFiles = 4096

// File is a file that was dropped.
type File struct {
	Name    string // with the folders that it was found in, such as "targets/firmware.bin"
	Content []byte // all of it; nil: only its digest is known, because it is longer than MaxContent
	Digest  Digest // of one without Content
}

// MaxContent is the number of bytes up to which a file can be metadata or a proof.
// The caller reads longer ones piece by piece with a Hasher.
const MaxContent = tuf.MaxFileSize

// Input is what is judged, by what, and when.
type Input struct {
	Policy string // text of a trust policy, c2sp.org/tlog-policy
	Edited bool   // the policy is the visitor's, and not the one that the page came with
	// Repository is the id of the repository that the files must be of, 64 digits of hex;
	// empty: the visitor has named none, so that anybody's would pass.
	Repository string
	Files      []File
	Now        time.Time
	// Bundle says that the files are all those of one bundle, under their names in it; see
	// Bundle.
	Bundle bool
}

// Outcome is the result for a file or for all of them together.
type Outcome string

// The outcomes. A result for several is Refused if one is, or else Unproved if one is, and
// only then what is proved of them.
const (
	Proved      Outcome = "proved"      // it is in the log
	Listed      Outcome = "listed"      // a proved release lists it
	Accepted    Outcome = "accepted"    // a device would take it
	Unnamed     Outcome = "unnamed"     // one of these, but of a repository that nobody has named
	Unwitnessed Outcome = "unwitnessed" // one of these, but the policy asks for no witness
	Unproved    Outcome = "unproved"    // nothing is proved, and nothing is wrong
	Refused     Outcome = "refused"     // a device would refuse it
	Unable      Outcome = "unable"      // it could not be judged: the policy cannot be read, or there is too much
)

func (o Outcome) good() bool { return o == Proved || o == Listed || o == Accepted }

// Verdict is the result for all files.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	Code    string  `json:"code,omitempty"` // of verify.Codes, if refused
	Text    string  `json:"text"`           // sentences
	Items   []Item  `json:"items,omitempty"`
	// NotProved says what these files leave open, besides what no file can prove. It is never
	// empty.
	NotProved []string `json:"not_proved"`
	// Policy says by which policy it was judged: whose it is, its logs and how many of its
	// witnesses are enough. Empty: it cannot be read.
	Policy string `json:"policy,omitempty"`
	Files  int    `json:"files"` // how many were judged
}

// Item is the result for one file.
type Item struct {
	Name    string  `json:"name"`
	What    string  `json:"what"` // such as "release", "file"
	Outcome Outcome `json:"outcome"`
	Code    string  `json:"code,omitempty"`
	Text    string  `json:"text"`
	Release *Logged `json:"release,omitempty"`
	// Signed says who signed it, as far as the files show that.
	Signed string   `json:"signed,omitempty"`
	Notes  []string `json:"notes,omitempty"`
	Digest *Digest  `json:"digest,omitempty"`
	// Aside reports that a device does not look at it, so that it does not count.
	Aside bool `json:"aside,omitempty"`
}

// Logged is what a proof has shown.
type Logged struct {
	Repository string    `json:"repository"`
	Role       string    `json:"role"`
	Version    int64     `json:"version"`
	Log        string    `json:"log"`
	Index      int64     `json:"index"`
	Size       int64     `json:"size"` // of the log that the proof shows
	Cosigned   string    `json:"cosigned,omitempty"`
	Witnesses  []Witness `json:"witnesses"`
	Quorum     int       `json:"quorum"` // the smallest number of witnesses that is enough
}

// Witness is a witness that has cosigned the checkpoint of a proof.
type Witness struct {
	Name string `json:"name"`           // in the policy
	Key  string `json:"key"`            // the name of its key
	Time string `json:"time,omitempty"` // RFC 3339
}

// Digest tells a file apart from all others.
type Digest struct {
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
	SHA512 string `json:"sha512"`
}

// dropped is a file whose kind is known.
type dropped struct {
	File
	metadata *tuf.Metadata
	fault    error    // why it is not the metadata that it seems to be
	proof    *dropped // beside metadata
	latest   *dropped // beside it, with a newer checkpoint
	taken    bool     // a proof that lies beside a file
	logged   *verify.Logged
}

// base is the name without folders: a device has its metadata in one.
func (d *dropped) base() string { return path.Base(d.Name) }

// judge is one run of Judge.
type judge struct {
	policy     *proofs.Policy
	named      bool       // the visitor has named the repository
	repository tuf.Digest // that the files must be of; zero: of any
	now        time.Time
	metadata   []*dropped
	proofs     []*dropped
	doubtful   []*dropped // that a device would refuse, unless a release lists them as targets
	others     []*dropped
	folder     *source        // all that a device begins with; nil: it is not all there
	client     *verify.Client // of a device that has accepted it; nil: none has
	lacking    []string       // delegated roles that are listed and not there
	verdict    Verdict
}

// Judge judges files together. Its result is never better than that of a device with this
// policy, given these files: whoever can put a file into a folder could otherwise have it
// called released by another one. Of the results for each file those that matter most come
// first.
func Judge(ctx context.Context, in Input) Verdict {
	policy, err := proofs.ParsePolicy([]byte(in.Policy))
	switch {
	case err != nil:
		return unable("The policy cannot be read: %v.", err)
	case len(in.Files) == 0:
		return unable("There are no files.")
	case len(in.Files) > MaxFiles:
		return unable("There are %d files, more than the %d that are judged at once.", len(in.Files), MaxFiles)
	}
	j := &judge{policy: policy, now: in.Now}
	if name := strings.TrimSpace(in.Repository); name != "" {
		if j.repository, err = tuf.ParseRepository(name); err != nil {
			return unable("The repository %s cannot be read: an id has 64 digits of hex.", tuf.Word(name))
		}
		j.named = true
	}
	j.verdict.Policy, j.verdict.Files = told(policy, in.Edited), len(in.Files)
	if in.Bundle {
		j.bundle(ctx, in)
		return j.verdict
	}
	for _, f := range in.Files {
		j.sort(f)
	}
	j.pair()
	j.twins()
	j.begin()
	// Roots first: what a root says of keys counts once it is known whose it is.
	for _, m := range j.metadata {
		if m.metadata.Root != nil {
			j.release(m)
		}
	}
	for _, m := range j.metadata {
		if m.metadata.Root == nil {
			j.release(m)
		}
	}
	j.device(ctx)
	for _, p := range j.proofs {
		if !p.taken {
			j.lone(p)
		}
	}
	j.settle()
	for _, f := range j.others {
		j.file(ctx, f)
	}
	j.conclude()
	return j.verdict
}

func unable(format string, args ...any) Verdict {
	return Verdict{Outcome: Unable, Text: fmt.Sprintf(format, args...), NotProved: []string{"Anything: nothing was judged."}}
}

const firstLine = "c2sp.org/tlog-proof@"

// sort finds out what a file is, by its content, or by its name where the content is broken.
func (j *judge) sort(f File) {
	d := &dropped{File: f}
	switch {
	case f.Content == nil:
		j.others = append(j.others, d)
	case bytes.HasPrefix(f.Content, []byte(firstLine)) || strings.HasSuffix(f.Name, verify.SidecarSuffix):
		j.proofs = append(j.proofs, d)
	case bytes.HasPrefix(bytes.TrimLeft(f.Content, " \t\r\n"), []byte("{")) && bytes.Contains(f.Content, []byte(`"signatures"`)):
		m, err := tuf.ParseJSON(f.Content)
		if err != nil {
			d.fault = &verify.Refusal{Code: verify.CodeBadMetadata, Detail: "the file cannot be read", Err: err}
			j.doubtful = append(j.doubtful, d)
			return
		}
		d.metadata = m
		j.metadata = append(j.metadata, d)
	default:
		j.others = append(j.others, d)
	}
}

// pair finds the metadata that each proof lies beside.
func (j *judge) pair() {
	for _, files := range [][]*dropped{j.metadata, j.proofs, j.others} {
		slices.SortStableFunc(files, func(a, b *dropped) int { return cmp.Compare(a.Name, b.Name) })
	}
	for _, p := range j.proofs {
		for _, m := range j.metadata {
			switch p.Name {
			case m.Name + verify.SidecarSuffix:
				m.proof, p.taken = p, true
			case m.Name + verify.LatestSuffix:
				m.latest, p.taken = p, true
			}
		}
	}
	// A browser may have renamed one of two: "targets (1).json".
	if len(j.metadata) == 1 && len(j.proofs) == 1 && !j.proofs[0].taken {
		j.metadata[0].proof, j.proofs[0].taken = j.proofs[0], true
	}
	for _, m := range j.metadata {
		if m.proof == nil && m.latest != nil {
			m.proof, m.latest = m.latest, nil
		}
	}
}

func (j *judge) add(i Item) { j.verdict.Items = append(j.verdict.Items, i) }

func refusedItem(name, what string, err error) Item {
	item := Item{Name: name, What: what, Outcome: Refused, Code: string(verify.CodeBadMetadata), Text: err.Error()}
	var r *verify.Refusal
	if errors.As(err, &r) {
		item.Code, item.Text = string(r.Code), r.Text()
	}
	return item
}

// Hasher computes the digest of a file that comes in pieces.
type Hasher struct {
	length         int64
	sha256, sha512 interface {
		Write([]byte) (int, error)
		Sum([]byte) []byte
	}
}

// NewHasher returns a Hasher of an empty file.
func NewHasher() *Hasher { return &Hasher{sha256: sha256.New(), sha512: sha512.New()} }

// Write takes the next bytes. It does not fail.
func (h *Hasher) Write(p []byte) (int, error) {
	h.length += int64(len(p))
	h.sha256.Write(p)
	h.sha512.Write(p)
	return len(p), nil
}

// Digest returns the digest of all bytes so far.
func (h *Hasher) Digest() Digest {
	return Digest{h.length, hex.EncodeToString(h.sha256.Sum(nil)), hex.EncodeToString(h.sha512.Sum(nil))}
}

// digest returns the digest of a file.
func (d *dropped) digest() Digest {
	if d.Content == nil {
		return d.Digest
	}
	h := NewHasher()
	h.Write(d.Content)
	return h.Digest()
}
