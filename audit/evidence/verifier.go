package evidence

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// Limits of what is verified of an accusation against the keys of a repository: its files
// were chosen by somebody who may want the check never to end.
const (
	// maxVerified is how many bytes all checked signatures may cover together: about those
	// of the two files and their snapshots, each with as many as count (tuf.MaxSigned).
	maxVerified = 4 * tuf.MaxSigned
	// perSignature is how many bytes a signature costs beside those that it covers, and
	// perLook those of looking for its key.
	perSignature = 64 << 10
	perLook      = 64
)

// errTooMuch means that an accusation was not checked to its end.
var errTooMuch = errors.New("its signatures take too much work to verify")

// verifier verifies signatures, each with each key once, and no more than maxVerified bytes.
type verifier struct {
	left  int // bytes
	known map[attempt]bool
}

// attempt is to verify one signature of a file with a key.
type attempt struct {
	m         *tuf.Metadata
	signature int
	key       tuf.KeyIdentity
	scheme    string // one RSA key signs in several ways
}

func newVerifier() *verifier { return &verifier{left: maxVerified, known: map[attempt]bool{}} }

// take takes bytes from what is left, and reports whether it was enough.
func (v *verifier) take(n int) bool {
	v.left = max(-1, v.left-n)
	return v.left >= 0
}

// signers is m.Signers. The error is errTooMuch.
func (v *verifier) signers(m *tuf.Metadata, ks tuf.KeySet) ([]tuf.KeyIdentity, error) {
	set := m.SignatureSet()
	valid := set.Valid
	set.Valid = func(i int, key *tuf.Key) bool {
		id, _ := key.Identity()
		at := attempt{m, i, id, key.Scheme}
		was, known := v.known[at]
		if !known && v.take(len(m.Payload)+perSignature) {
			was = valid(i, key)
			v.known[at] = was
		}
		return was
	}
	var signers []tuf.KeyIdentity
	if v.take(perLook * len(m.Signatures)) {
		signers, _ = ks.Count(set)
	}
	if v.left < 0 {
		return nil, fmt.Errorf("%w: they cover more than %d MiB", errTooMuch, maxVerified>>20)
	}
	return signers, nil
}

// meets is m.Meets. The error wraps errTooMuch if that is not known.
func (v *verifier) meets(m *tuf.Metadata, ks tuf.KeySet) error {
	signers, err := v.signers(m, ks)
	if err == nil && !ks.MetBy(len(signers)) {
		err = m.Short(ks, len(signers))
	}
	return err
}

// meetsAny reports whether a file meets one of several sets of keys; the last ones are tried
// first.
func (v *verifier) meetsAny(m *tuf.Metadata, sets []tuf.KeySet) (bool, error) {
	for _, ks := range slices.Backward(sets) {
		signers, err := v.signers(m, ks)
		if err != nil || ks.MetBy(len(signers)) {
			return err == nil, err
		}
	}
	return false, nil
}
