package proofs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

// vectorNumber is a 64-bit number, in the case files a string in decimal.
type vectorNumber int64

func (n *vectorNumber) UnmarshalJSON(b []byte) error {
	s, err := strconv.Unquote(string(b))
	if err != nil {
		return fmt.Errorf("number %s: %w", b, err)
	}
	v, err := strconv.ParseInt(s, 10, 64)
	*n = vectorNumber(v)
	return err
}

func vectorNumbers(list []vectorNumber) []int64 {
	numbers := make([]int64, len(list))
	for i, n := range list {
		numbers[i] = int64(n)
	}
	return numbers
}

type inclusionVector struct {
	vectorHead
	Size   vectorNumber `json:"size"`
	Root   vectorHash   `json:"root"`
	Index  vectorNumber `json:"index"`
	Leaf   vectorHash   `json:"leaf"`
	Hashes []vectorHash `json:"hashes"`
}

func (v *inclusionVector) run(*testing.T) error {
	return proofs.VerifyInclusion(treeOf(v.Size, v.Root), int64(v.Index), proofs.Hash(v.Leaf), vectorHashes(v.Hashes))
}

type consistencyVector struct {
	vectorHead
	OldSize vectorNumber `json:"old_size"`
	OldRoot vectorHash   `json:"old_root"`
	Size    vectorNumber `json:"size"`
	Root    vectorHash   `json:"root"`
	Hashes  []vectorHash `json:"hashes"`
}

func (v *consistencyVector) run(*testing.T) error {
	return proofs.VerifyConsistency(treeOf(v.OldSize, v.OldRoot), treeOf(v.Size, v.Root), vectorHashes(v.Hashes))
}

type tilePathVector struct {
	vectorHead
	Path   vectorData `json:"path"`
	Result struct {
		Level int          `json:"level"`
		Index vectorNumber `json:"index"`
		Width int          `json:"width"`
	} `json:"result"`
}

func (v *tilePathVector) run(t *testing.T) error {
	id, err := proofs.ParseTilePath(string(v.Path))
	if err != nil {
		return err
	}
	if want := (proofs.TileID{Level: v.Result.Level, Index: int64(v.Result.Index), Width: v.Result.Width}); id != want {
		t.Errorf("got %+v, want %+v", id, want)
	}
	checkPrinted(t, []byte(id.Path()), v.Path)
	return nil
}

type entriesVector struct {
	vectorHead
	Bundle vectorData `json:"bundle"`
	Result struct {
		Entries []vectorData `json:"entries"`
	} `json:"result"`
}

func (v *entriesVector) run(t *testing.T) error {
	entries, err := proofs.ParseEntries(v.Bundle)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(entries, v.Result.Entries, func(got []byte, want vectorData) bool { return bytes.Equal(got, want) }) {
		t.Errorf("got entries %q", entries)
	}
	var printed []byte
	for _, e := range entries {
		if printed, err = proofs.AppendEntry(printed, e); err != nil {
			t.Fatal(err)
		}
	}
	checkPrinted(t, printed, v.Bundle)
	return nil
}

type edgeVector struct {
	vectorHead
	Edge   vectorData   `json:"edge"`
	Append []vectorHash `json:"append"`
	Result struct {
		Size vectorNumber `json:"size"`
		Root vectorHash   `json:"root"`
		Edge vectorData   `json:"edge"`
	} `json:"result"`
}

func (v *edgeVector) run(t *testing.T) error {
	var e proofs.Edge
	if err := e.UnmarshalText(v.Edge); err != nil {
		return err
	}
	printed, err := e.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	checkPrinted(t, printed, v.Edge)
	for _, leaf := range v.Append {
		if err := e.Append(proofs.Hash(leaf)); err != nil {
			return failed("full", err)
		}
	}
	if got, want := e.Tree(), treeOf(v.Result.Size, v.Result.Root); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if printed, err = e.MarshalText(); err != nil {
		t.Fatal(err)
	}
	checkPrinted(t, printed, v.Result.Edge)
	return nil
}

type buildVector struct {
	vectorHead
	Size    vectorNumber  `json:"size"`
	Root    vectorHash    `json:"root"`
	Index   *vectorNumber `json:"index"`
	OldSize *vectorNumber `json:"old_size"`
	Tiles   vectorTiles   `json:"tiles"`
	Result  struct {
		Hashes []vectorHash `json:"hashes"`
	} `json:"result"`
}

// vectorTiles serves the tiles of a case.
type vectorTiles []struct {
	Path   string `json:"path"`
	Hashes []struct {
		Hash  vectorHash `json:"hash"`
		Times int        `json:"times"`
	} `json:"hashes"`
}

func (tiles vectorTiles) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	path := proofs.TileID{Level: level, Index: index, Width: width}.Path()
	for _, tile := range tiles {
		if tile.Path != path {
			continue
		}
		var b []byte
		for _, h := range tile.Hashes {
			b = append(b, bytes.Repeat(h.Hash[:], h.Times)...)
		}
		return b, nil
	}
	return nil, errors.New("no such tile: " + path)
}

func (v *buildVector) run(t *testing.T) error {
	var hashes []proofs.Hash
	var err error
	newer := treeOf(v.Size, v.Root)
	if v.Index != nil {
		hashes, err = proofs.InclusionProof(t.Context(), newer, int64(*v.Index), v.Tiles)
	} else {
		hashes, err = proofs.ConsistencyProof(t.Context(), int64(*v.OldSize), newer, v.Tiles)
	}
	if err != nil {
		return failed("tiles", err)
	}
	if !slices.Equal(hashes, vectorHashes(v.Result.Hashes)) {
		t.Errorf("got %v", hashes)
	}
	return nil
}

type tileWidthVector struct {
	vectorHead
	Size   vectorNumber `json:"size"`
	Level  int          `json:"level"`
	Index  vectorNumber `json:"index"`
	Result struct {
		Width int `json:"width"`
	} `json:"result"`
}

func (v *tileWidthVector) run(t *testing.T) error {
	if got := proofs.TileWidth(int64(v.Size), v.Level, int64(v.Index)); got != v.Result.Width {
		t.Errorf("got %d, want %d", got, v.Result.Width)
	}
	return nil
}

type bundleVector struct {
	vectorHead
	Size   vectorNumber `json:"size"`
	Root   vectorHash   `json:"root"`
	Index  vectorNumber `json:"index"`
	Bundle vectorData   `json:"bundle"`
	Tiles  vectorTiles  `json:"tiles"`
	Result struct {
		Entries []vectorData `json:"entries"`
	} `json:"result"`
}

func (v *bundleVector) run(t *testing.T) error {
	parsed, err := proofs.ParseEntries(v.Bundle)
	if err != nil {
		return err
	}
	entries, err := proofs.VerifyEntries(t.Context(), treeOf(v.Size, v.Root), int64(v.Index), v.Bundle, v.Tiles)
	switch {
	case errors.Is(err, proofs.ErrInclusion):
		return err
	case err != nil && len(parsed) != proofs.TileWidth(int64(v.Size), -1, int64(v.Index)):
		return failed("width", err)
	case err != nil:
		return failed("tiles", err)
	}
	if !slices.EqualFunc(entries, v.Result.Entries, func(got []byte, want vectorData) bool { return bytes.Equal(got, want) }) {
		t.Errorf("got entries %q", entries)
	}
	return nil
}
