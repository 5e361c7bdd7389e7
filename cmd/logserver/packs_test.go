package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
)

// The pack of a full bundle is kept, serves who reads the whole log after a kill as well,
// is made again when it was removed, and is in the way of no other command.
func TestPacks(t *testing.T) {
	if testing.Short() {
		t.Skip("logs 256 releases")
	}
	w := newWorld(t, "--open-registration")
	v := newVendor(t)
	id := w.register(t, v)
	var sent []api.File
	for range proofs.FullWidth {
		if err := v.Release("targets"); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, files(v)...)
	}
	if res, err := w.client.Submit(t.Context(), id, sent); err != nil || !res.Done {
		t.Fatalf("%+v, %v", res, err)
	}
	_, body := w.get(t, "/"+proofs.EntriesPath(0, proofs.FullWidth))
	entries, err := proofs.ParseEntries([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	get := func() []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.Log.URL+"/tile/files/000", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "zstd, gzip")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var raw bytes.Buffer
		if _, err := raw.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		r, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		plain, err := r.DecodeAll(raw.Bytes(), nil)
		if err != nil || resp.Header.Get("Content-Encoding") != "zstd" {
			t.Fatalf("%d %v, %v", resp.StatusCode, resp.Header, err)
		}
		if f, err := pack.Parse(plain, entries); err != nil || len(f) != len(pack.Named(entries)) {
			t.Fatalf("%d files, %v", len(f), err)
		}
		return raw.Bytes()
	}
	kept := w.Path("log/packs/000")
	if _, err := os.Stat(kept); err == nil {
		t.Error("a pack is kept that nobody has asked for")
	}
	first := get()
	if file, err := os.ReadFile(kept); err != nil || !bytes.Contains(file, first) {
		t.Errorf("what is kept is not what was served: %v", err)
	}
	w.Log.End(t, syscall.SIGKILL)
	w.Log.Start(t)
	if again := get(); !bytes.Equal(again, first) {
		t.Error("another pack is served after a kill")
	}
	if err := os.RemoveAll(w.Path("log/packs")); err != nil {
		t.Fatal(err)
	}
	get()
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}

	// A copy of the log, and what it says when it is replayed.
	var told struct{ Size, Files int64 }
	copied := runtest.Must(t, "auditor", "mirror", w.Path("copy"), "--json", "--policy", w.Path("policy"), "--log", w.Log.URL)
	if err := json.Unmarshal([]byte(copied), &told); err != nil || told.Size != proofs.FullWidth+1 {
		t.Errorf("%s: %v", copied, err)
	}
	if out := runtest.Must(t, "auditor", "replay", "--policy", w.Path("policy"), "--log", w.Path("copy")); !strings.Contains(out, fmt.Sprintf("%d right, 0 wrong", told.Size)) {
		t.Error(out)
	}
	w.Log.Stop(t)
	for _, command := range []string{"fsck", "reindex", "status"} {
		runtest.Must(t, "logserver", command, "--dir", w.Path("log"))
	}
}
