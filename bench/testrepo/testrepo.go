// Package testrepo is a small repository with the proofs of its log, in a folder, for
// examples and tests of devices: [Write] makes one.
package testrepo

import (
	"fmt"
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

// Write writes into dir what the vendor of firmware.bin serves, whose content is
// "firmware" and which targets 2 lists, and what a device was given:
//
//	metadata/        the repository's, with the proofs of root and targets, cosigned now
//	targets/         firmware.bin, under its path and under its hash
//	policy.txt       the trust policy: one log, two of three witnesses
//	device/root.json root 1
func Write(dir string) error {
	vendor, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		return err
	}
	if err := vendor.Put(tuf.RoleTargets, "firmware.bin", []byte("firmware")); err != nil {
		return err
	}
	if err := vendor.Release(tuf.RoleTargets); err != nil {
		return err
	}
	log := testlog.New(noTest{}, "log.example/updates", 3, "2")
	served := vendor.Files()
	first, err := tuf.ParseJSON(served["1.root.json"])
	if err != nil {
		return err
	}
	files := map[string][]byte{"policy.txt": []byte(log.PolicyText()), "device/root.json": first.File}
	for name, file := range served {
		files["metadata/"+name] = file
	}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets} {
		name, file := vendor.File(role)
		m, err := tuf.ParseJSON(file)
		if err != nil {
			return err
		}
		entry := leaf.Leaf{
			Kind: leaf.Release, Repository: first.PayloadDigest, Role: role, Version: m.Version, Payload: m.PayloadDigest,
			Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
		}.Marshal()
		now := time.Now().Unix()
		files["metadata/"+name+verify.SidecarSuffix] = log.Proof(entry, log.Add(entry), now, now)
	}
	for name, content := range vendor.TargetFiles() {
		files["targets/"+name] = content
	}
	return write(dir, files)
}

func write(dir string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// noTest makes a log for an example, which is no test.
type noTest struct{ testing.TB }

func (noTest) Helper()           {}
func (noTest) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
