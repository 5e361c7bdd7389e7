package pigweed

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tuflog/tuflog/tuf"
)

var (
	targetsFields = schema{
		1: firstFields[1],
		2: {name: "target_files", wire: protowire.BytesType, repeated: true},
	}
	targetFields = schema{
		1: {name: "file_name", wire: protowire.BytesType},
		2: {name: "length", wire: protowire.VarintType},
		3: {name: "hashes", wire: protowire.BytesType, repeated: true},
	}
	hashFields = schema{
		1: {name: "function", wire: protowire.VarintType},
		2: {name: "hash", wire: protowire.BytesType},
	}
)

// hashSHA256 is Pigweed's number for SHA-256, the only function that it has.
const hashSHA256 = 1

// targets reads a TargetsMetadata.
func (m *message) targets() (*tuf.Targets, error) {
	files := map[string]tuf.TargetFile{}
	err := m.each(targetsFields, func(f field) error {
		if f.name != "target_files" {
			return nil
		}
		if f.index >= tuf.MaxListed {
			return m.errorf(f.at-m.at, "more than %d targets", tuf.MaxListed)
		}
		sub := m.sub(f)
		name, file, err := sub.target()
		if err != nil {
			return err
		}
		if _, ok := files[name]; ok {
			return sub.errorf(0, "second target %s", tuf.Word(name))
		}
		files[name] = file
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tuf.NewTargets(files), nil
}

// target reads a TargetFile. A length that is missing is 0.
func (m *message) target() (name string, file tuf.TargetFile, err error) {
	file = tuf.TargetFile{Hashes: map[string]string{}, Value: m.b}
	err = m.each(targetFields, func(f field) (err error) {
		switch f.name {
		case "file_name":
			name, err = m.fileName(f)
		case "length":
			file.Length, err = m.number(f, 0, math.MaxInt64)
		case "hashes":
			if f.index >= tuf.MaxHashes {
				return m.errorf(f.at-m.at, "more than %d hashes", tuf.MaxHashes)
			}
			sub := m.sub(f)
			function, hash, err := sub.hash()
			if err != nil {
				return err
			}
			if _, ok := file.Hashes[function]; ok {
				return sub.errorf(0, "second %s", function)
			}
			file.Hashes[function] = hash
		}
		return err
	})
	switch {
	case err != nil:
	case name == "":
		err = m.errorf(0, "file_name is missing")
	case len(file.Hashes) == 0:
		err = m.errorf(0, "hashes are missing")
	}
	return name, file, err
}

// hash reads a Hash.
func (m *message) hash() (function, hash string, err error) {
	var number int64
	var sum []byte
	err = m.each(hashFields, func(f field) (err error) {
		switch f.name {
		case "function":
			number, err = m.number(f, 1, math.MaxInt32)
		case "hash":
			sum = f.bytes
		}
		return err
	})
	switch {
	case err != nil:
		return "", "", err
	case number == 0:
		return "", "", m.errorf(0, "function is missing")
	case len(sum) == 0:
		return "", "", m.errorf(0, "hash is missing")
	case number != hashSHA256:
		return fmt.Sprintf("pigweed-%d", number), hex.EncodeToString(sum), nil
	case len(sum) != sha256.Size:
		return "", "", m.errorf(0, "SHA-256 of %d bytes, want %d", len(sum), sha256.Size)
	}
	return "sha256", hex.EncodeToString(sum), nil
}
