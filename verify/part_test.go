package verify

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Wherever a file is cut off, it is known to be a part; the whole is not taken for one.
func TestPartsOfFiles(t *testing.T) {
	metadata := []byte("\n{\"signatures\": [{\"keyid\": \"}\", \"sig\": \"\\\\\"}],\n \"signed\": {\"a\": [1, {\"b\": \"\\\"{[\"}]}}\n")
	end := bytes.LastIndexByte(metadata, '}') + 1
	for n := range metadata {
		if err := partOfJSON(metadata[:n]); (err == nil) != (n >= end) {
			t.Errorf("%q: %v", metadata[:n], err)
		}
	}
	if err := partOfJSON(metadata); err != nil {
		t.Error(err)
	}
	proof := []byte("c2sp.org/tlog-proof@v1\nextra AAAA\nindex 1\n\nlog.example\n1\nAAAA\n\n— log.example AAAA\n")
	lines := bytes.Index(proof, []byte("\n\n")) + 2
	for n := range proof {
		// Between lines of the checkpoint nothing shows that there were more.
		if err := partOfProof(proof[:n]); (err == nil) != (n >= lines && proof[n-1] == '\n') {
			t.Errorf("%q: %v", proof[:n], err)
		}
	}
	if err := partOfProof(proof); err != nil {
		t.Error(err)
	}
	for _, other := range []string{"garbage", "{}", "c2sp.org/other@v1\n", string(bytes.ReplaceAll(proof, []byte("\n"), []byte("\r\n")))} {
		if err := partOfProof([]byte(other)); err != nil {
			t.Errorf("%q: %v", other, err)
		}
	}
	for _, page := range []string{"<html>", " \n<!DOCTYPE html>"} {
		if partOfJSON([]byte(page)) != errWebPage || partOfProof([]byte(page)) != errWebPage {
			t.Errorf("%q is not known for a web page", page)
		}
	}
}

// What is a whole object for a parser of JSON is not a part.
func FuzzPartOfFile(f *testing.F) {
	for _, seed := range []string{`{"a":[{"b":"\"}"}]}`, `{"a":"\\"}`, ` {} `, `{`, `{"`, `{"\`, `}`, `<`, "c2sp.org/tlog-proof@v1\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		err := partOfJSON(file)
		if text := bytes.TrimLeft(file, " \n\t\r"); err != nil && json.Valid(file) && text[0] == '{' {
			t.Errorf("%q: %v", file, err)
		}
		_ = partOfProof(file)
	})
}
