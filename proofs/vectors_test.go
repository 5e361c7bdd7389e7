package proofs_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

const vectorDir = "../testdata/vectors"

// vectorKinds makes for each folder what a case file is decoded into.
var vectorKinds = map[string]func() vectorKind{
	"note":        func() vectorKind { return new(noteVector) },
	"signatures":  func() vectorKind { return new(signaturesVector) },
	"vkey":        func() vectorKind { return new(vkeyVector) },
	"sign":        func() vectorKind { return new(signVector) },
	"signature":   func() vectorKind { return new(signatureVector) },
	"cosignature": func() vectorKind { return new(signatureVector) },
	"checkpoint":  func() vectorKind { return new(checkpointVector) },
	"open":        func() vectorKind { return new(openVector) },
	"policy":      func() vectorKind { return new(policyVector) },
	"quorum":      func() vectorKind { return new(quorumVector) },
	"witnessed":   func() vectorKind { return new(witnessedVector) },
	"proof":       func() vectorKind { return new(proofVector) },
	"verify":      func() vectorKind { return new(verifyVector) },
	"inclusion":   func() vectorKind { return new(inclusionVector) },
	"consistency": func() vectorKind { return new(consistencyVector) },
	"tile-path":   func() vectorKind { return new(tilePathVector) },
	"entries":     func() vectorKind { return new(entriesVector) },
	"edge":        func() vectorKind { return new(edgeVector) },
	"build":       func() vectorKind { return new(buildVector) },
	"tile-width":  func() vectorKind { return new(tileWidthVector) },
	"bundle":      func() vectorKind { return new(bundleVector) },
	"refresh":     func() vectorKind { return new(refreshVector) },
}

// A vectorKind is one case file, decoded.
type vectorKind interface {
	// run feeds the case to the package. An error is its verdict; what differs
	// from the result in the file it reports to t.
	run(t *testing.T) error
	head() vectorHead
}

// A vectorHead is what all kinds of cases have.
type vectorHead struct {
	Desc   string `json:"desc"`
	Spec   string `json:"spec"`
	Rule   string `json:"rule"`
	Choice string `json:"choice"`
	Valid  bool   `json:"valid"`
	Error  string `json:"error"`
	Reason string `json:"reason"`
}

func (h vectorHead) head() vectorHead { return h }

func TestVectors(t *testing.T) {
	claimed := claimedCounts(t)
	for folder := range claimed {
		if vectorKinds[folder] == nil {
			t.Errorf("README.md lists %s, which nothing runs", folder)
		}
	}
	for folder, kind := range vectorKinds {
		t.Run(folder, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(vectorDir, folder, "*.json"))
			if err != nil {
				t.Fatal(err)
			}
			if len(files) < claimed[folder] || claimed[folder] == 0 {
				t.Errorf("%d cases, README.md claims %d", len(files), claimed[folder])
			}
			for _, file := range files {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) { runVector(t, file, kind()) })
			}
		})
	}
}

// claimedCounts reads the table of README.md.
func claimedCounts(t *testing.T) map[string]int {
	b, err := os.ReadFile(filepath.Join(vectorDir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z-]+) \| ([0-9]+) \|`).FindAllStringSubmatch(string(b), -1) {
		if counts[m[1]], err = strconv.Atoi(m[2]); err != nil {
			t.Fatal(err)
		}
	}
	if len(counts) == 0 {
		t.Fatal("README.md has no table of counts")
	}
	return counts
}

func runVector(t *testing.T, file string, v vectorKind) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatal(err)
	}
	h := v.head()
	if h.Desc == "" || h.Spec == "" || h.Rule == "" || h.Valid == (h.Error != "") {
		t.Fatalf("incomplete: %+v", h)
	}
	err = v.run(t)
	category := vectorCategory(err)
	if h.Valid && err != nil || !h.Valid && category != h.Error {
		t.Errorf("%s\n%s: %s\ngot error %q (%v), want %q", h.Desc, h.Spec, h.Rule, category, err, h.Error)
		return
	}
	if h.Reason != "" {
		sub, ok := vectorReasons[h.Reason]
		if !ok || !strings.Contains(err.Error(), sub) {
			t.Errorf("%s\nreason %s: error %q does not contain %q", h.Desc, h.Reason, err, sub)
		}
	}
}

// A categorised error has a category that the package does not give it by a
// sentinel: which function failed is what tells.
type categorised struct {
	category string
	err      error
}

func (e categorised) Error() string { return e.err.Error() }

// failed returns err under a category, and nil for nil.
func failed(category string, err error) error {
	if err == nil {
		return nil
	}
	return categorised{category, err}
}

func vectorCategory(err error) string {
	var c categorised
	var quorum *proofs.QuorumError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &c):
		return c.category
	case errors.As(err, &quorum):
		return "quorum-short"
	case errors.Is(err, proofs.ErrNoSignature):
		return "no-signature"
	case errors.Is(err, proofs.ErrBadSignature):
		return "bad-signature"
	case errors.Is(err, proofs.ErrUnknownLog):
		return "unknown-log"
	case errors.Is(err, proofs.ErrExtensions):
		return "extensions"
	case errors.Is(err, proofs.ErrInclusion):
		return "inclusion"
	case errors.Is(err, proofs.ErrConsistency):
		return "consistency"
	}
	return "malformed" // whatever else the package refuses it cannot read
}

// vectorReasons gives for each reason in the case files what the package's
// error says, so that a case made to fail for one reason does not pass because
// it fails for another.
var vectorReasons = map[string]string{
	"any":             "",
	"base64":          "base64",
	"blank-line":      "no empty line before",
	"canonical":       "should be",
	"comment":         "comments take whole lines",
	"control":         "control character",
	"cut":             "cut short",
	"decimal":         "is not a plain decimal number",
	"duplicate-key":   "has the public key of",
	"duplicate-name":  "is already defined",
	"empty-line":      "is empty",
	"empty-tree":      "for an empty tree",
	"extra":           "extra line without data",
	"form":            "not of the form",
	"hash-count":      "hashes for size",
	"hash-size":       "bytes, want 32",
	"header":          "is not \"c2sp.org/tlog-proof@v1\"",
	"index":           "index",
	"key":             "verifier key",
	"key-ecdsa":       "P-256",
	"key-id":          "id ",
	"key-name-long":   "signs at most 255",
	"key-size":        "key",
	"key-type":        "type",
	"keyword":         "unknown keyword",
	"lines":           "want at least 3",
	"name":            "key name",
	"newline":         "newline",
	"no-base64":       "has no signature after the name",
	"no-quorum":       "without a quorum line",
	"no-signatures":   "no signatures",
	"no-tile":         "no such tile",
	"not-ended":       "no newline at the end",
	"older":           "has size",
	"origin-long":     "signs 1 to 255",
	"other-log":       "of origin",
	"prefix":          "does not begin with an em dash",
	"private":         "key",
	"range":           "is larger than",
	"reserved":        "is reserved",
	"short-signature": "too few",
	"threshold":       "threshold",
	"tile-false":      "inconsistent tile",
	"time":            "is negative",
	"too-high":        "no tree is that high",
	"too-large":       "too large",
	"too-many":        "more than",
	"two-groups":      "is already a member of group",
	"two-quorums":     "a second quorum line",
	"undefined":       "is not defined above",
	"usage":           "want:",
	"utf-8":           "UTF-8",
	"width":           "width",
}

// vectorData is bytes: a string, or an object with their base64.
type vectorData []byte

func (d *vectorData) UnmarshalJSON(b []byte) error {
	var object struct {
		Base64 *string `json:"base64"`
	}
	if len(b) > 0 && b[0] == '{' {
		if err := json.Unmarshal(b, &object); err != nil || object.Base64 == nil {
			return fmt.Errorf("neither a string nor base64: %.40s", b)
		}
		var err error
		*d, err = base64.StdEncoding.DecodeString(*object.Base64)
		return err
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*d = vectorData(s)
	return nil
}

// vectorHash is a hash in base64.
type vectorHash proofs.Hash

func (h *vectorHash) UnmarshalJSON(b []byte) error {
	var raw []byte
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if len(raw) != len(h) {
		return fmt.Errorf("hash of %d bytes", len(raw))
	}
	*h = vectorHash(raw)
	return nil
}

func vectorHashes(list []vectorHash) []proofs.Hash {
	hashes := make([]proofs.Hash, len(list))
	for i, h := range list {
		hashes[i] = proofs.Hash(h)
	}
	return hashes
}

// vectorSignature is a parsed signature line.
type vectorSignature struct {
	Name      string `json:"name"`
	KeyID     string `json:"key_id"`
	Signature []byte `json:"signature"`
}

func checkSignatures(t *testing.T, got []proofs.Signature, want []vectorSignature) {
	t.Helper()
	same := slices.EqualFunc(got, want, func(g proofs.Signature, w vectorSignature) bool {
		return g.Name == w.Name && fmt.Sprintf("%08x", g.KeyID) == w.KeyID && bytes.Equal(g.Sig, w.Signature)
	})
	if !same {
		t.Errorf("got signatures %v, want %v", got, want)
	}
}

func checkPrinted(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("printed as %q, want %q", got, want)
	}
}

func mustVectorKey(t *testing.T, vkey string) proofs.Key {
	t.Helper()
	k, err := proofs.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
