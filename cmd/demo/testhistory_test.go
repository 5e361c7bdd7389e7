package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
)

// writeHistory writes a generated history: root 1 with targets 1, and as many
// releases of targets, each its own commit.
func writeHistory(dir string, releases int) error {
	v, err := testvendor.New(time.Now().Add(metadataLife))
	if err != nil {
		return err
	}
	rows := [][]string{{"file", "role", "version", "sha256", "commit", "date"}}
	known := files{}
	for commit := range releases + 1 {
		if commit > 0 {
			if err := putAndRelease(v, fmt.Sprint(commit)); err != nil {
				return err
			}
		}
		now := v.Files()
		for _, name := range slices.Sorted(maps.Keys(now)) {
			if bytes.Equal(known[name], now[name]) {
				continue
			}
			role := strings.TrimSuffix(name[strings.Index(name, ".")+1:], ".json")
			version := v.Version(role)
			if name == "timestamp.json" {
				role, version = tuf.RoleTimestamp, v.Version(tuf.RoleTimestamp)
			}
			path := fmt.Sprintf("%s/%d.%s.json", role, version, role)
			if err := writeFiles(dir, files{path: now[name]}); err != nil {
				return err
			}
			rows = append(rows, []string{path, role, fmt.Sprint(version), tuf.Sum(now[name]).String(), fmt.Sprint("commit ", commit), ""})
		}
		known = now
	}
	var index bytes.Buffer
	if err := csv.NewWriter(&index).WriteAll(rows); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.csv"), index.Bytes(), 0o644)
}
