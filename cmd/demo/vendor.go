package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// maker is a generated vendor and the folder that it publishes from.
type maker struct {
	*testvendor.Vendor
	dir string // its TUF metadata; the publisher writes the proofs beside it
}

// metadataLife is how long the vendor's metadata is valid.
const metadataLife = 90 * 24 * time.Hour

func newMaker(dir string, now time.Time) (*maker, error) {
	v, err := testvendor.New(now.Add(metadataLife))
	if err != nil {
		return nil, err
	}
	m := &maker{Vendor: v, dir: dir}
	return m, m.write()
}

// write puts what the vendor has published so far into its folder.
func (m *maker) write() error { return writeFiles(m.dir, m.Files()) }

// twin is what the vendor's keys can do behind its back: a vendor with the same
// keys and the same past.
func (m *maker) twin(dir string) (*maker, error) {
	v, err := m.Clone()
	if err != nil {
		return nil, err
	}
	return &maker{Vendor: v, dir: dir}, nil
}

// published is everything that lies in the vendor's folder: metadata and proofs.
func (m *maker) published() (map[string][]byte, error) { return readFiles(m.dir) }

// release is one step of the vendor's history: what it is for, and what the
// vendor does before it publishes.
type release struct {
	title string
	do    func(v *testvendor.Vendor) error
}

// firmware and its like are the target files of the demo.
const (
	firmware  = "firmware.bin"
	mapsRole  = "maps"
	mapsFile  = "maps/europe.bin"
	musicRole = "music"
	musicFile = "music/theme.bin"
)

// history is what the vendor does before the device comes to life. The first
// step, root 1 with empty targets 1, is what a new vendor has published already.
var history = []release{
	{"opens its repository, still without files", func(*testvendor.Vendor) error { return nil }},
	{"releases firmware 1.0", func(v *testvendor.Vendor) error { return putAndRelease(v, "1.0") }},
	{"releases firmware 1.1", func(v *testvendor.Vendor) error { return putAndRelease(v, "1.1") }},
	{"delegates maps and music to teams that share a key; both release", delegateTeams},
	{"gets a new targets key, signs targets 4 again", rotateTargets},
	{"releases firmware 2.0, and music 2 with it", func(v *testvendor.Vendor) error {
		if err := v.Put(musicRole, musicFile, content(musicFile, "2")); err != nil {
			return err
		}
		return putAndRelease(v, "2.0", musicRole)
	}},
	{"gets a new root key, releases firmware 2.1", func(v *testvendor.Vendor) error {
		if err := v.Rotate(tuf.RoleRoot); err != nil {
			return err
		}
		return putAndRelease(v, "2.1")
	}},
}

func putAndRelease(v *testvendor.Vendor, version string, others ...string) error {
	if err := v.Put(tuf.RoleTargets, firmware, content(firmware, version)); err != nil {
		return err
	}
	return v.Release(append([]string{tuf.RoleTargets}, others...)...)
}

func delegateTeams(v *testvendor.Vendor) error {
	if err := v.Delegate(tuf.RoleTargets, mapsRole, "maps/*"); err != nil {
		return err
	}
	if err := v.DelegateShared(tuf.RoleTargets, musicRole, mapsRole, "music/*"); err != nil {
		return err
	}
	if err := v.Put(mapsRole, mapsFile, content(mapsFile, "1")); err != nil {
		return err
	}
	if err := v.Put(musicRole, musicFile, content(musicFile, "1")); err != nil {
		return err
	}
	return v.Release(tuf.RoleTargets, mapsRole, musicRole)
}

func rotateTargets(v *testvendor.Vendor) error {
	if err := v.Rotate(tuf.RoleTargets); err != nil {
		return err
	}
	return v.SignAgain(tuf.RoleTargets)
}

// content makes up a target file.
func content(path, version string) []byte {
	return []byte(strings.Repeat(path+" "+version+"\n", 100))
}

// writeFiles writes files, whose names may have folders, below dir.
func writeFiles(dir string, files map[string][]byte) error {
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readFiles reads the files of a flat folder.
func readFiles(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// overlay returns base with the files of the others over it.
func overlay(base map[string][]byte, others ...map[string][]byte) map[string][]byte {
	all := maps.Clone(base)
	for _, files := range others {
		maps.Copy(all, files)
	}
	return all
}

// sidecarName is the name of the proof beside a role's file.
func sidecarName(role string, version int64) string {
	return fmt.Sprintf("%d.%s.json%s", version, role, verify.SidecarSuffix)
}
