package leader_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// unpacked returns the body of an answer without its coding.
func unpacked(t *testing.T, resp *http.Response, body []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(body)
	var err error
	switch coding := resp.Header.Get("Content-Encoding"); coding {
	case "zstd":
		r, err = zstd.NewReader(r)
	case "gzip":
		r, err = gzip.NewReader(r)
	case "":
	default:
		t.Fatalf("Content-Encoding %q", coding)
	}
	check(t, err)
	b, err := io.ReadAll(r)
	check(t, err)
	return b
}

// entries reads the first entries of the first bundle.
func (r *running) entries(t *testing.T, n int) [][]byte {
	t.Helper()
	resp, body := r.do(t, "GET", "/"+proofs.EntriesPath(0, n), nil, "Accept-Encoding", "identity")
	entries, err := proofs.ParseEntries(body)
	check(t, err)
	if resp.StatusCode != 200 || len(entries) != n {
		t.Fatalf("%d, %d entries, want %d", resp.StatusCode, len(entries), n)
	}
	return entries
}

// withhold removes a file as an operator may have to.
func (r *running) withhold(t *testing.T, sum tuf.Digest) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(r.dir, "blobs.db"))
	check(t, err)
	defer db.Close()
	if done, err := db.Exec("DELETE FROM blobs WHERE sum = ?", sum[:]); err != nil {
		t.Fatal(err)
	} else if n, err := done.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%d files were removed, %v", n, err)
	}
}

// The log serves the files that a bundle names in one piece, in the coding that the
// client takes; what it cannot serve it leaves out, and says that this may change.
func TestPacks(t *testing.T) {
	packs := filepath.Join(t.TempDir(), "packs")
	r := start(t, func(c *leader.Config) { c.Packs.Dir = packs })
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	r.submit(t, id, all(v)...)
	for range 2 {
		r.register(t, file(newVendor(t), "root").Data)
	}
	const size = 4
	entries := r.entries(t, size)
	var want []tuf.Digest
	for _, e := range entries {
		l, err := leaf.Parse(e)
		check(t, err)
		want = append(want, l.Metadata)
		if !l.Snapshot.IsZero() {
			want = append(want, l.Snapshot)
		}
	}
	if len(want) != size+1 {
		t.Fatalf("%d files", len(want))
	}
	tags := map[string]bool{}
	get := func(width int, accept, coding string) []pack.File {
		t.Helper()
		path := fmt.Sprintf("/tile/files/000.p/%d", width)
		resp, body := r.do(t, "GET", path, nil, "Accept-Encoding", accept)
		h := resp.Header
		if resp.StatusCode != 200 || h.Get("Content-Encoding") != coding || h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Type") != api.TypeBytes {
			t.Fatalf("GET %s, Accept-Encoding %q: %d %v", path, accept, resp.StatusCode, h)
		}
		files, err := pack.Parse(unpacked(t, resp, body), entries[:width])
		check(t, err)
		if again, _ := r.do(t, "GET", path, nil, "Accept-Encoding", accept, "If-None-Match", h.Get("ETag")); again.StatusCode != 304 {
			t.Errorf("GET %s again: %d", path, again.StatusCode)
		}
		if head, none := r.do(t, "HEAD", path, nil, "Accept-Encoding", accept); head.StatusCode != 200 || len(none) != 0 || head.ContentLength != int64(len(body)) {
			t.Errorf("HEAD %s: %d, %d bytes of %d", path, head.StatusCode, head.ContentLength, len(body))
		}
		tags[h.Get("ETag")] = true
		if immutable := bytes.Contains([]byte(h.Get("Cache-Control")), []byte("immutable")); immutable != (len(files) == len(pack.Named(entries[:width]))) {
			t.Errorf("GET %s, %d files: Cache-Control %s", path, len(files), h.Get("Cache-Control"))
		}
		return files
	}
	for accept, coding := range map[string]string{"zstd": "zstd", "gzip, zstd": "zstd", "gzip": "gzip", "zstd;q=0, gzip": "gzip", "identity": "", "br": ""} {
		files := get(size, accept, coding)
		for i, f := range files {
			if f.Digest != want[i] {
				t.Errorf("%q: file %d is %v, want %v", accept, i, f.Digest, want[i])
			}
		}
		if len(files) != len(want) {
			t.Errorf("%q: %d files, want %d", accept, len(files), len(want))
		}
	}
	if len(tags) != 3 {
		t.Errorf("%d entity tags of three codings", len(tags))
	}
	if got := len(get(1, "zstd", "zstd")); got != 1 {
		t.Errorf("%d files of the first entry", got)
	}
	for _, path := range []string{"/tile/files/000", "/tile/files/000.p/5", "/tile/files/001.p/1", "/tile/files/000.p/0", "/tile/files/0", "/tile/files/", "/tile/files", "/tile/files/000.p/4/"} {
		resp, body := r.do(t, "GET", path, nil)
		problem(t, resp, body, 404, api.CodeNotFound)
	}
	if _, err := os.Stat(packs); err == nil {
		t.Error("the pack of a bundle that is not full was kept")
	}

	// A file that is withheld, as an operator may have to, is in no pack.
	r.withhold(t, want[2])
	if got := len(get(size, "zstd", "zstd")); got != len(want)-1 {
		t.Errorf("%d files, one of %d is withheld", got, len(want))
	}
}

// The pack of a full bundle is made once, however many ask for it, and kept.
func TestFullPack(t *testing.T) {
	if testing.Short() {
		t.Skip("logs 256 releases")
	}
	dir := filepath.Join(t.TempDir(), "packs")
	r := start(t, func(c *leader.Config) { c.Packs.Dir = dir })
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	for range proofs.FullWidth - 2 {
		check(t, v.Release("targets"))
	}
	r.submit(t, id, all(v)...)
	entries := r.entries(t, proofs.FullWidth)
	check(t, os.MkdirAll(dir, 0o700))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			resp, body := r.do(t, "GET", "/tile/files/000", nil, "Accept-Encoding", []string{"zstd", "gzip", "identity"}[i%3])
			if files, err := pack.Parse(unpacked(t, resp, body), entries); err != nil || len(files) != len(pack.Named(entries)) {
				t.Errorf("%d, %d files, %v", resp.StatusCode, len(files), err)
			}
		})
	}
	wg.Wait()
	first, err := os.Stat(filepath.Join(dir, "000"))
	check(t, err)
	r.close(t)
	r.open(t)
	resp, body := r.do(t, "GET", "/tile/files/000", nil, "Accept-Encoding", "zstd")
	kept, err := os.ReadFile(filepath.Join(dir, "000"))
	check(t, err)
	if resp.StatusCode != 200 || !bytes.Contains(kept, body) {
		t.Errorf("%d: what is served is not what was kept", resp.StatusCode)
	}
	if again, err := os.Stat(filepath.Join(dir, "000")); err != nil || !os.SameFile(first, again) {
		t.Errorf("it was made again: %v", err)
	}
	r.withhold(t, pack.Named(entries)[5].Digest)
	resp, body = r.do(t, "GET", "/tile/files/000", nil, "Accept-Encoding", "zstd")
	files, err := pack.Parse(unpacked(t, resp, body), entries)
	if err != nil || len(files) != len(pack.Named(entries))-1 || resp.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%d files of %d, one of which is withheld: %v, %v", len(files), len(pack.Named(entries)), err, resp.Header)
	}
}

// heldBack are blobs of which one is not read until it is let go.
type heldBack struct {
	log.Blobs
	sum     tuf.Digest
	reading chan struct{} // closed when somebody waits for it
	let     chan struct{}
	once    sync.Once
}

func (b *heldBack) wraps(blobs log.Blobs) { b.Blobs = blobs }

func (b *heldBack) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	if sum == b.sum {
		b.once.Do(func() { close(b.reading) })
		select {
		case <-b.let:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return b.Blobs.Blob(ctx, sum)
}

// One pack is made at a time, and while it is being made everything else goes on:
// submissions, files, packs that are kept. A stranger who asks for all of them waits for
// himself.
func TestPacksWait(t *testing.T) {
	slow := newVendor(t)
	blobs := &heldBack{sum: tuf.Sum(file(slow, "root").Data), reading: make(chan struct{}), let: make(chan struct{})}
	r := start(t, func(c *leader.Config) { c.Blobs = blobs })
	other := newVendor(t)
	id := r.register(t, file(other, "root").Data)
	r.register(t, file(slow, "root").Data)
	answers := make(chan int, 16)
	ask := func() {
		resp, _ := r.do(t, "GET", "/tile/files/000.p/2", nil)
		answers <- resp.StatusCode
	}
	go ask()
	<-blobs.reading
	for range 15 {
		go ask()
	}
	r.submit(t, id, all(other)...)
	resp, _ := r.do(t, "GET", "/blob/sha256/"+tuf.Sum(file(other, "root").Data).String(), nil)
	if resp.StatusCode != 200 {
		t.Errorf("a file: %d", resp.StatusCode)
	}
	select {
	case code := <-answers:
		t.Errorf("a pack was answered with %d before its files were read", code)
	default:
	}
	close(blobs.let)
	for range 16 {
		if code := <-answers; code != 200 {
			t.Errorf("a pack: %d", code)
		}
	}
}
