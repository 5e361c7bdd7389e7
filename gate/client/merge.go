package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// Merge puts signatures into a metadata file in JSON. What they sign, and all else of the file
// but the list of signatures, stays as it is, byte for byte. A signature takes the place of one
// under the same key id.
func Merge(file []byte, add ...Signature) ([]byte, error) {
	before, err := tuf.ParseJSON(file)
	if err != nil {
		return nil, err
	}
	from, to, err := signaturesIn(file)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(file[from:to], &list); err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(element json.RawMessage) bool {
		var s struct {
			KeyID string `json:"keyid"`
		}
		return json.Unmarshal(element, &s) == nil && slices.ContainsFunc(add, func(a Signature) bool { return a.KeyID == s.KeyID })
	})
	for _, s := range add {
		element, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		list = append(list, element)
	}
	var merged bytes.Buffer
	merged.Write(file[:from])
	merged.WriteByte('[')
	for i, element := range list {
		if i > 0 {
			merged.WriteByte(',')
		}
		merged.Write(element)
	}
	merged.WriteByte(']')
	merged.Write(file[to:])
	after, err := tuf.ParseJSON(merged.Bytes())
	if err != nil {
		return nil, fmt.Errorf("with the new signatures: %w", err)
	}
	if after.PayloadDigest != before.PayloadDigest {
		return nil, errors.New("the new signatures would change what is signed")
	}
	return merged.Bytes(), nil
}

// signaturesIn returns where the list of signatures is in a file that tuf.ParseJSON reads.
func signaturesIn(file []byte) (from, to int64, err error) {
	dec := json.NewDecoder(bytes.NewReader(file))
	if _, err := dec.Token(); err != nil {
		return 0, 0, err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return 0, 0, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return 0, 0, err
		}
		to = dec.InputOffset()
		from = to - int64(len(value))
		if name == "signatures" && bytes.Equal(file[from:to], value) {
			return from, to, nil
		}
	}
	return 0, 0, errors.New("no list of signatures")
}
