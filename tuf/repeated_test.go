package tuf

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// ordered is a value of JSON that keeps the order of members, and repeated ones.
type ordered struct {
	raw     string // of a value without members
	array   bool
	names   []string // of an object; an array has as many empty ones
	members []*ordered
}

func readOrdered(t *testing.T, text string) *ordered {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return readValue(t, d)
}

func readValue(t *testing.T, d *json.Decoder) *ordered {
	t.Helper()
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	if token != json.Delim('{') && token != json.Delim('[') {
		raw, err := json.Marshal(token)
		if err != nil {
			t.Fatal(err)
		}
		return &ordered{raw: string(raw)}
	}
	v := &ordered{array: token == json.Delim('[')}
	for d.More() {
		name := ""
		if !v.array {
			token, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			name = token.(string)
		}
		v.names, v.members = append(v.names, name), append(v.members, readValue(t, d))
	}
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *ordered) print(b *strings.Builder) {
	open, end := "{", "}"
	switch {
	case v.raw != "":
		b.WriteString(v.raw)
		return
	case v.array:
		open, end = "[", "]"
	}
	b.WriteString(open)
	for i, m := range v.members {
		if i > 0 {
			b.WriteByte(',')
		}
		if !v.array {
			name, _ := json.Marshal(v.names[i])
			b.Write(append(name, ':'))
		}
		m.print(b)
	}
	b.WriteString(end)
}

// objects returns all objects of v.
func (v *ordered) objects() (list []*ordered) {
	if v.raw == "" && !v.array {
		list = append(list, v)
	}
	for _, m := range v.members {
		list = append(list, m.objects()...)
	}
	return list
}

// No object of a file repeats a name: not the file itself, wherever the second of
// a name stands and whatever is between, with the value of the first or with
// another. The order of the members alone changes nothing.
func TestRepeatedMembers(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, text := range []string{rootFile, targetsText, succinctText, snapshotFile, timestampFile} {
		file := readOrdered(t, text)
		read := func() (*Metadata, string, error) {
			var b strings.Builder
			file.print(&b)
			m, err := ParseJSON([]byte(b.String()))
			return m, b.String(), err
		}
		first, _, err := read()
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range file.objects() {
			names, members := object.names, object.members
			other := []*ordered{{raw: "1"}, {raw: `"x"`}, {raw: "null"}, {array: true}, {}}
			if object == file {
				other = append(other, readOrdered(t, timestampFile).members...)
			}
			for i, name := range names {
				for at := range len(names) + 1 {
					for _, value := range append(other, members[i]) {
						object.names = slices.Insert(slices.Clone(names), at, name)
						object.members = slices.Insert(slices.Clone(members), at, value)
						if _, text, err := read(); err == nil {
							t.Errorf("accepted with %q twice: %s", name, text)
						}
						if value == members[i] {
							if _, text, err := read(); err != nil && !strings.Contains(err.Error(), "is repeated") {
								t.Errorf("%q twice: %v: %s", name, err, text)
							}
						}
					}
				}
			}
			for range 4 {
				object.names, object.members = slices.Clone(names), slices.Clone(members)
				random.Shuffle(len(names), func(i, j int) {
					object.names[i], object.names[j] = object.names[j], object.names[i]
					object.members[i], object.members[j] = object.members[j], object.members[i]
				})
				if m, text, err := read(); err != nil || !bytes.Equal(m.Payload, first.Payload) {
					t.Errorf("in another order: %v: %s", err, text)
				}
			}
			object.names, object.members = names, members
		}
	}
}
