package verify

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"path"

	"github.com/tuflog/tuflog/tuf"
)

// TargetCheck checks a target while it is being written, for targets that do
// not fit into memory: write all of it, then call Done.
type TargetCheck struct {
	target tuf.TargetFile
	hashes map[string]hash.Hash
	n      int64
}

// NewTargetCheck begins the check of a target. It refuses targets without a
// length or without a hash that can be computed.
func NewTargetCheck(t tuf.TargetFile) (*TargetCheck, error) {
	if t.Length < 0 {
		return nil, refusal(CodeBadMetadata, "", nil, "the target is listed without a length")
	}
	c := &TargetCheck{target: t, hashes: map[string]hash.Hash{}}
	for algorithm := range t.Hashes {
		switch algorithm {
		case "sha256":
			c.hashes[algorithm] = sha256.New()
		case "sha512":
			c.hashes[algorithm] = sha512.New()
		}
	}
	if len(c.hashes) == 0 {
		return nil, refusal(CodeBadMetadata, "", nil, "the target is listed without a SHA-256 or SHA-512 hash")
	}
	return c, nil
}

// Write takes the next bytes. It fails as soon as there are more than listed.
func (c *TargetCheck) Write(p []byte) (int, error) {
	if c.n += int64(len(p)); c.n > c.target.Length {
		return 0, refusal(CodeBadMetadata, "", nil, "the target is longer than the %d bytes listed", c.target.Length)
	}
	for _, h := range c.hashes {
		h.Write(p)
	}
	return len(p), nil
}

// Done returns nil if the written bytes are the target: its length and every
// hash that can be computed.
func (c *TargetCheck) Done() error {
	if c.n != c.target.Length {
		return refusal(CodeBadMetadata, "", nil, "the target has %d bytes, want %d", c.n, c.target.Length)
	}
	for algorithm, h := range c.hashes {
		if got, want := hex.EncodeToString(h.Sum(nil)), c.target.Hashes[algorithm]; got != want {
			return refusal(CodeBadMetadata, "", nil, "the target's %s is %s, want %s", algorithm, got, want)
		}
	}
	return nil
}

// targetName is where a target lies below the repository's base URL; see Lookup.Name.
func targetName(targetPath string, t tuf.TargetFile, consistent bool) string {
	if !consistent {
		return targetPath
	}
	dir, base := path.Split(targetPath)
	for _, algorithm := range []string{"sha256", "sha512"} {
		if h, ok := t.Hashes[algorithm]; ok {
			return fmt.Sprintf("%s%s.%s", dir, h, base)
		}
	}
	return ""
}
