package tuf

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
)

// reader reads the parts of a metadata file, each method one of them. What a file
// lists by the hundred thousand, targets and metadata files, is checked and not
// kept: a fileIndex finds it again in the payload, and has the same methods read it.
type reader struct {
	scanner
	keep   bool // hashes and custom of a target, for a fileIndex
	m      *Metadata
	keyIDs seen // of the signatures
	listed int  // patterns, hash prefixes and key ids of the delegations
}

// seen notes which names of an object were there.
type seen map[string]bool

func (r *reader) require(at int, has seen, names ...string) error {
	for _, name := range names {
		if !has[name] {
			return r.errorf(at, "%q is missing", name)
		}
	}
	return nil
}

func (r *reader) file() error {
	const printed = "0" // stands in out for a part that is no longer needed there
	r.space()
	at := r.pos
	has := seen{}
	err := r.record(fileNames, func(name string) error {
		// Not only once the object ends: two parts would be read into one.
		if has[name] {
			return r.errorf(r.nameAt, "name %q is repeated", name)
		}
		has[name] = true
		start := len(r.out)
		switch name {
		case "signatures":
			err := r.signatures()
			r.out = append(r.out[:start], printed...)
			return err
		case "signed":
			err := r.signed()
			r.m.Payload = slices.Clip(r.out[start:])
			// Nothing may touch the payload now.
			r.out = append(slices.Clone(r.out[:start]), printed...)
			r.scratch, r.order = nil, nil
			return err
		}
		return r.errorf(r.pos, "a metadata file has signatures and signed, nothing else")
	})
	if err != nil {
		return err
	}
	if err := r.require(at, has, fileNames...); err != nil {
		return err
	}
	if r.space(); r.pos < len(r.src) {
		return r.errorf(r.pos, "%s after the end of the metadata", r.found())
	}
	if most := unsignedMost(r.m.Payload, len(r.keyIDs)); len(r.src) > most {
		return r.errorf(most, "file of %d bytes, the limit for a payload of %d bytes with %d signatures is %d: signatures cover only the payload",
			len(r.src), len(r.m.Payload), len(r.keyIDs), most)
	}
	return nil
}

func (r *reader) signatures() error {
	return r.array(func(i int) error {
		if i >= MaxSignatures {
			return r.errorf(r.pos, "more than %d signatures", MaxSignatures)
		}
		return r.signature()
	})
}

func (r *reader) signature() error {
	at := r.pos
	has := seen{}
	var sig Signature
	notHex := false
	err := r.record(signatureNames, func(name string) (err error) {
		has[name] = true
		switch name {
		case "keyid":
			sig.KeyID, err = r.keyID()
		case "sig":
			var text []byte
			if text, err = r.text(); err != nil {
				return err
			}
			// What kind of signature it should be is for those to know who can
			// check it: here it is none, like an empty one.
			sig.Sig = make([]byte, hex.DecodedLen(len(text)))
			if _, err := hex.Decode(sig.Sig, text); err != nil {
				sig.Sig, notHex = nil, true
			}
		default:
			err = r.signatureField(name)
		}
		return err
	})
	if err == nil {
		err = r.require(at, has, signatureNames...)
	}
	if err != nil {
		return err
	}
	if r.keyIDs[sig.KeyID] {
		return r.errorf(at, "second signature under key id %q", Clip(sig.KeyID))
	}
	r.keyIDs[sig.KeyID] = true
	r.kept += 64 + len(sig.KeyID) + len(sig.Sig)
	switch {
	case notHex:
		r.m.NotHex = append(r.m.NotHex, sig.KeyID)
	case len(sig.Sig) > 0:
		r.m.Signatures = append(r.m.Signatures, sig)
	}
	return nil
}

// keyID reads the key id of a signature, which nothing signs.
func (r *reader) keyID() (string, error) {
	r.space()
	at := r.pos
	id, err := r.text()
	if err == nil && len(id) > MaxKeyID {
		err = r.errorf(at, "key id of %d bytes, the limit is %d", len(id), MaxKeyID)
	}
	return string(id), err
}

// signatureField reads what else is in a signature. Its meaning is its writer's.
func (r *reader) signatureField(name string) error {
	at := r.pos
	if len(name) > MaxSignatureField {
		return r.errorf(at, "name of %d bytes in a signature, the limit is %d", len(name), MaxSignatureField)
	}
	if err := r.skip(); err != nil {
		return err
	}
	most := MaxSignatureField
	if name == "bundle" {
		most = MaxBundle
	}
	if n := r.pos - at; n > most {
		return r.errorf(at, "%d bytes in a signature, the limit is %d", n, most)
	}
	return nil
}

// signed reads the value of "signed". Which names it may have depends on its
// _type, which need not come first.
func (r *reader) signed() error {
	at := r.pos
	typ, typeAt, err := r.findType()
	if err != nil {
		return err
	}
	names, ok := signedNames[typ]
	if !ok {
		return inside(r.errorf(typeAt, "%q, want root, targets, snapshot or timestamp", Clip(typ)), "._type")
	}
	r.m.Type = typ
	r.start()
	has := seen{}
	begin, last, sorted := len(r.out), "", true
	var spans []span
	err = r.record(names, func(name string) (err error) {
		has[name] = true
		sorted, last = sorted && name > last, name
		if slices.Contains(names, name) {
			spans = append(spans, span{name: name, from: uint32(len(r.out) - begin)})
			defer func() { spans[len(spans)-1].to = uint32(len(r.out) - begin) }()
		}
		switch name {
		case "_type":
			_, err = r.text()
		case "spec_version":
			r.m.SpecVersion, err = r.word()
		case "version":
			r.m.Version, err = r.integer(1, MaxVersion)
		case "expires":
			r.m.Expires, err = r.date()
		default:
			err = r.part(name)
		}
		return err
	})
	if err != nil {
		return err
	}
	if sorted {
		r.m.spans = spans
	}
	return r.finish(at, has)
}

// start makes room for the parts of the file's type.
func (r *reader) start() {
	switch r.m.Type {
	case RoleRoot:
		r.m.Root = &Root{}
	case RoleTargets:
		r.m.Targets = &Targets{}
	case RoleSnapshot:
		r.m.Snapshot = &Meta{}
	case RoleTimestamp:
		r.m.Timestamp = &Meta{}
	}
}

// part reads a member of "signed" that only some types have.
func (r *reader) part(name string) error {
	m := r.m
	switch {
	case m.Root != nil && name == "consistent_snapshot":
		var err error
		m.Root.ConsistentSnapshot, err = r.boolean()
		return err
	case m.Root != nil && name == "keys":
		return r.keys(&m.Root.Keys)
	case m.Root != nil && name == "roles":
		return r.rootRoles(m.Root)
	case m.Targets != nil && name == "targets":
		return r.targetFiles(&m.Targets.files)
	case m.Targets != nil && name == "delegations":
		return r.delegations(m.Targets)
	case m.Snapshot != nil && name == "meta":
		return r.meta(&m.Snapshot.files)
	case m.Timestamp != nil && name == "meta":
		return r.meta(&m.Timestamp.files)
	}
	return r.skip()
}

// finish checks that nothing is missing from "signed".
func (r *reader) finish(at int, has seen) error {
	if err := r.require(at, has, "_type", "spec_version", "version", "expires"); err != nil {
		return err
	}
	switch r.m.Type {
	case RoleRoot:
		return r.require(at, has, "keys", "roles")
	case RoleTargets:
		return r.require(at, has, "targets")
	default:
		return r.require(at, has, "meta")
	}
}

// findType looks ahead for the _type of the object at the scanner and says where
// it is. It is nearly always the first member; if not, what comes before it is
// read twice.
func (r *reader) findType() (typ string, at int, err error) {
	// What it prints is printed again.
	ahead := &scanner{src: r.src, pos: r.pos, depth: r.depth, out: r.out, starts: r.starts}
	stop := errors.New("found")
	err = ahead.record(nil, func(name string) (err error) {
		if name != "_type" {
			// The second reading judges nulls, where it knows what is custom.
			ahead.nulls = 1
			return ahead.skip()
		}
		at = ahead.pos
		if typ, err = ahead.word(); err != nil {
			return err
		}
		return stop
	})
	switch err {
	case stop:
		return typ, at, nil
	case nil:
		return "", 0, r.errorf(r.pos, `"_type" is missing`)
	}
	return "", 0, err
}

// date reads a time as RFC 3339 writes it. time.Parse alone would accept a
// comma before the fraction, hours of one digit and offsets like +99:99.
func (r *reader) date() (time.Time, error) {
	at := r.pos
	text, err := r.word()
	if err != nil {
		return time.Time{}, err
	}
	t, ok := parseDate(text)
	if !ok {
		return time.Time{}, r.errorf(at, "%q is not a time as in RFC 3339", Clip(text))
	}
	return t, nil
}

func parseDate(text string) (time.Time, bool) {
	const shape = "dddd-dd-ddTdd:dd:dd"
	if len(text) <= len(shape) || !hasShape(text[:len(shape)], shape) {
		return time.Time{}, false
	}
	zone := text[len(shape):]
	if zone[0] == '.' {
		digits := len(zone[1:]) - len(strings.TrimLeft(zone[1:], "0123456789"))
		if digits == 0 {
			return time.Time{}, false
		}
		zone = zone[1+digits:]
	}
	if zone != "Z" {
		if !hasShape(zone, "+dd:dd") && !hasShape(zone, "-dd:dd") || zone[1:3] > "23" || zone[4:] > "59" {
			return time.Time{}, false
		}
	}
	t, err := time.Parse(time.RFC3339, text)
	return t, err == nil
}

// hasShape compares text with shape, in which d stands for any digit.
func hasShape(text, shape string) bool {
	if len(text) != len(shape) {
		return false
	}
	for i := range len(shape) {
		if c := text[i]; c != shape[i] && (shape[i] != 'd' || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
