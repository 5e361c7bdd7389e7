package verify_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// exampleTB lets an example make a log, which tests make.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()           {}
func (exampleTB) Fatal(args ...any) { log.Fatal(args...) }

// must ends the examples of a world that cannot be made.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// exampleVendor has released firmware.bin, by targets 2 of its repository, and had root
// and targets logged. The folder that it makes has the repository, metadata/ and targets/,
// a trust policy, policy.txt, and an empty metadata directory with the root that a device
// was given, device/root.json.
func exampleVendor() (dir string, remove func()) {
	dir = must(os.MkdirTemp("", "example"))
	put := func(name string, content []byte) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		must(0, os.MkdirAll(filepath.Dir(path), 0o755))
		must(0, os.WriteFile(path, content, 0o644))
	}
	vendor := must(testvendor.New(time.Now().Add(24 * time.Hour)))
	must(0, vendor.Put(tuf.RoleTargets, "firmware.bin", []byte("firmware")))
	must(0, vendor.Release(tuf.RoleTargets))
	proofs := testlog.New(exampleTB{}, "log.example/updates", 3, "2")
	files := vendor.Files()
	repository := must(tuf.ParseJSON(files["1.root.json"])).PayloadDigest
	for name, file := range files {
		put("metadata/"+name, file)
	}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets} {
		name, file := vendor.File(role)
		m := must(tuf.ParseJSON(file))
		entry := leaf.Leaf{Kind: leaf.Release, Repository: repository, Role: role, Version: m.Version, Payload: m.PayloadDigest,
			Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON}.Marshal()
		now := time.Now().Unix()
		put("metadata/"+name+verify.SidecarSuffix, proofs.Proof(entry, proofs.Add(entry), now, now))
	}
	for name, content := range vendor.TargetFiles() {
		put("targets/"+name, content)
		put(fmt.Sprintf("targets/%v.%s", tuf.Sum(content), name), content)
	}
	put("policy.txt", []byte(proofs.PolicyText()))
	put("device/root.json", files["1.root.json"])
	return dir, func() { os.RemoveAll(dir) }
}

// exampleSite serves the folder of exampleVendor as well.
func exampleSite() (url, dir string, remove func()) {
	dir, removeDir := exampleVendor()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	return server.URL, dir, func() { server.Close(); removeDir() }
}
