package pigweed

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tuflog/tuflog/tuf"
)

// MaxBundle is how many bytes a bundle may have, images and all: far more than what a
// microcontroller stores.
const MaxBundle = 256 << 20

// The payloads in which a bundle has its proofs: sidecars of the targets metadata, and of the
// root if there is one in the bundle. A device that does not know them ignores them.
const (
	Proof     = "tlog_proof"
	RootProof = "tlog_proof_root"
)

const payloadsField = 4

var (
	bundleFields = schema{
		1: {name: "timestamp_metadata", wire: protowire.BytesType},
		2: {name: "snapshot_metadata", wire: protowire.BytesType},
		3: {name: "targets_metadata", wire: protowire.BytesType, repeated: true},
		4: {name: "target_payloads", wire: protowire.BytesType, repeated: true},
		5: {name: "root_metadata", wire: protowire.BytesType},
	}
	entryFields = schema{
		1: {name: "key", wire: protowire.BytesType},
		2: {name: "value", wire: protowire.BytesType},
	}
)

// Bundle is an update bundle (UpdateBundle): metadata, and the files that it lists.
type Bundle struct {
	Root    *tuf.Metadata // nil: none
	Targets *tuf.Metadata // what targets_metadata has under "targets"; nil: none

	parts    []part         // in the order of the file
	payloads map[string]int // where each payload is in parts
}

// part is a payload of a bundle, or all fields between two payloads: who sends millions of
// unknown fields would otherwise take a multiple of the bundle's size in memory.
type part struct {
	raw     []byte // tags and all; nil for a payload
	name    string
	payload []byte
}

// ParseBundle reads an update bundle with the strictness of Parse. The error is a
// *tuf.SyntaxError. An entry of a map is its key and then its value, as every writer has
// it. Only "targets" can be a key of targets_metadata, as Pigweed has no delegations.
// Timestamp and snapshot, which Pigweed does not verify either, are kept unread. The
// result keeps file, which must not change afterwards, but its metadata does not.
func ParseBundle(file []byte) (*Bundle, error) {
	m := &message{b: file, index: -1}
	if len(file) > MaxBundle {
		return nil, m.errorf(0, "bundle of %d bytes, the limit is %d", len(file), MaxBundle)
	}
	b := &Bundle{payloads: map[string]int{}}
	start, end := 0, 0 // of the fields since the last payload
	between := func() {
		if end > start {
			b.parts = append(b.parts, part{raw: file[start:end:end]})
		}
	}
	err := m.each(bundleFields, func(f field) (err error) {
		if f.name == "target_payloads" {
			between()
			p, err := b.readPayload(m.sub(f))
			b.parts = append(b.parts, p)
			end += len(f.raw)
			start = end
			return err
		}
		end += len(f.raw)
		switch f.name {
		case "targets_metadata":
			err = b.readTargets(m.sub(f))
		case "root_metadata":
			b.Root, err = metadata(m.sub(f), tuf.RoleRoot)
		}
		return err
	})
	between()
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Bundle) readTargets(entry *message) error {
	name, value, err := entry.entry()
	if err != nil {
		return err
	}
	switch {
	case name != tuf.RoleTargets:
		return entry.errorf(0, "key %s, want targets: Pigweed has no delegations", tuf.Word(name))
	case b.Targets != nil:
		return entry.errorf(0, "second targets")
	}
	b.Targets, err = metadata(entry.sub(value), tuf.RoleTargets)
	return err
}

func (b *Bundle) readPayload(entry *message) (part, error) {
	if entry.index >= tuf.MaxListed {
		return part{}, entry.errorf(0, "more than %d payloads", tuf.MaxListed)
	}
	name, value, err := entry.entry()
	if err != nil {
		return part{}, err
	}
	if _, ok := b.payloads[name]; ok {
		return part{}, entry.errorf(0, "second payload %s", tuf.Word(name))
	}
	b.payloads[name] = len(b.parts)
	return part{name: name, payload: value.bytes}, nil
}

// metadata reads the metadata of a role.
func metadata(m *message, role string) (*tuf.Metadata, error) {
	read, err := m.copied()
	if err == nil && read.Type != role {
		err = m.errorf(0, "metadata of role %s, want %s", read.Type, role)
	}
	return read, err
}

// entry reads an entry of a map.
func (m *message) entry() (name string, value field, err error) {
	fields := 0
	err = m.each(entryFields, func(f field) (err error) {
		fields++
		if f.name == "" || int(f.number) != fields {
			return m.errorf(f.at-m.at, "field %d, want the key, then the value, and nothing else", f.number)
		}
		if f.name == "key" {
			name, err = m.fileName(f)
		} else {
			value = f
		}
		return err
	})
	if err == nil && fields != len(entryFields) {
		err = m.errorf(0, "want the key, then the value")
	}
	return name, value, err
}

// Payload returns the payload of a name. Callers do not change it.
func (b *Bundle) Payload(name string) ([]byte, bool) {
	i, ok := b.payloads[name]
	if !ok {
		return nil, false
	}
	return b.parts[i].payload, true
}

// Names returns the names of the payloads in the order of the file.
func (b *Bundle) Names() []string {
	names := make([]string, 0, len(b.payloads))
	for _, p := range b.parts {
		if p.raw == nil {
			names = append(names, p.name)
		}
	}
	return names
}

// Marshal returns the bytes from which the bundle was read.
func (b *Bundle) Marshal() []byte { return marshal(b.parts, part{}) }

// marshal prints parts, but next in the place of the payload of its name, or behind the
// others.
func marshal(parts []part, next part) []byte {
	var file []byte
	placed := next.name == ""
	for _, p := range parts {
		if p.raw != nil {
			file = append(file, p.raw...)
			continue
		}
		if p.name == next.name {
			p, placed = next, true
		}
		file = p.append(file)
	}
	if !placed {
		file = next.append(file)
	}
	return file
}

// append prints an entry of target_payloads.
func (p part) append(file []byte) []byte {
	size := protowire.SizeTag(1) + protowire.SizeBytes(len(p.name)) + protowire.SizeTag(2) + protowire.SizeBytes(len(p.payload))
	file = protowire.AppendTag(file, payloadsField, protowire.BytesType)
	file = protowire.AppendVarint(file, uint64(size))
	file = protowire.AppendTag(file, 1, protowire.BytesType)
	file = protowire.AppendString(file, p.name)
	file = protowire.AppendTag(file, 2, protowire.BytesType)
	return protowire.AppendBytes(file, p.payload)
}

// Embed returns the file of the bundle with a payload added, or replaced if there is one of
// the name, and nothing else changed. Names that the targets metadata lists are refused: a
// device ignores other payloads, and would refuse the bundle for a change to these.
func (b *Bundle) Embed(name string, payload []byte) ([]byte, error) {
	if why := badName(name); why != "" {
		return nil, fmt.Errorf("embed: %s", why)
	}
	if !utf8.ValidString(name) {
		return nil, fmt.Errorf("embed: name %q is invalid UTF-8", tuf.Clip(name))
	}
	if b.Targets != nil {
		if _, ok := b.Targets.Targets.File(name); ok {
			return nil, fmt.Errorf("embed: %s is listed in the targets metadata, which says what it is", tuf.Word(name))
		}
	}
	if _, ok := b.payloads[name]; !ok && len(b.payloads) >= tuf.MaxListed {
		return nil, fmt.Errorf("embed: the bundle has %d payloads, which is the limit", len(b.payloads))
	}
	file := marshal(b.parts, part{name: name, payload: payload})
	if len(file) > MaxBundle {
		return nil, fmt.Errorf("embed: the bundle would have %d bytes, the limit is %d", len(file), MaxBundle)
	}
	return file, nil
}
