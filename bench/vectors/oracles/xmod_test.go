package oracles

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// golang.org/x/mod/sumdb, by folder of vectors.
var xmod = map[string]func(v vector) outcome{
	"note":        xmodNote,
	"vkey":        xmodVkey,
	"sign":        xmodSign,
	"signature":   xmodSignature,
	"checkpoint":  xmodCheckpoint,
	"inclusion":   xmodInclusion,
	"consistency": xmodConsistency,
	"tile-path":   xmodTilePath,
	"build":       xmodBuild,
}

func xmodNote(v vector) outcome {
	_, err := note.Open(v.Note, nil)
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return outcome{err: err}
	}
	n := unverified.Note
	if n.Text != string(v.Result.Text) {
		return outcome{diff: "another text"}
	}
	return outcome{diff: diffSignatures(n.UnverifiedSigs, v.Result.Signatures)}
}

func diffSignatures(got []note.Signature, want []signature) string {
	if len(got) != len(want) {
		return "another number of signatures"
	}
	for i, s := range got {
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil || s.Name != want[i].Name || fmt.Sprintf("%08x", s.Hash) != want[i].KeyID || !bytes.Equal(raw[4:], want[i].Sig) {
			return "another signature"
		}
	}
	return ""
}

func xmodVkey(v vector) outcome {
	if slices.Contains([]int{2, 4, 6}, vkeyType(string(v.Vkey))) {
		return skipped("x/mod knows type 0x01 only")
	}
	verifier, err := note.NewVerifier(string(v.Vkey))
	if err != nil {
		return outcome{err: err}
	}
	return diffKey(verifier, v)
}

func diffKey(k note.Verifier, v vector) outcome {
	if v.Valid && (k.Name() != v.Result.Name || fmt.Sprintf("%08x", k.KeyHash()) != v.Result.KeyID) {
		return outcome{diff: "another name or id"}
	}
	return outcome{}
}

func xmodSign(v vector) outcome {
	if i := strings.LastIndex(v.Skey, "+A"); i < 0 || v.Skey[i+2] < 'Q' || v.Skey[i+2] > 'f' {
		return skipped("x/mod knows type 0x01 only") // base64 of 0x01 begins with AQ to Af
	}
	s, err := note.NewSigner(v.Skey)
	if err != nil {
		return outcome{err: err}
	}
	signed, err := note.Sign(&note.Note{Text: string(v.Text)}, s)
	if err == nil && v.Valid && string(signed) != string(v.Text)+"\n"+v.Result.Line {
		return outcome{diff: "another signature"}
	}
	return outcome{err: err}
}

// opened turns what note.Open says into an outcome.
func opened(err error) outcome {
	var invalid *note.InvalidSignatureError
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &invalid):
		return outcome{err: err, kind: "bad-signature"}
	case errors.As(err, &unverified):
		return outcome{err: err, kind: "no-signature"}
	}
	return outcome{err: err}
}

func xmodSignature(v vector) outcome {
	if vkeyType(string(v.Vkey)) != 1 {
		return skipped("x/mod knows type 0x01 only")
	}
	k, err := note.NewVerifier(string(v.Vkey))
	if err != nil {
		return outcome{err: err}
	}
	_, err = note.Open(v.Note, note.VerifierList(k))
	return opened(err)
}

func xmodCheckpoint(v vector) outcome {
	if !strings.HasPrefix(string(v.Text), "go.sum database tree\n") {
		return skipped("x/mod reads checkpoints of sum.golang.org only")
	}
	tree, err := tlog.ParseTree(v.Text)
	if err == nil && (tree.N != int64(v.Result.Size) || hash(tree.Hash) != v.Result.Root) {
		return outcome{diff: "another tree"}
	}
	return outcome{err: err}
}

// endless says where x/mod would not return: TestXModLoops.
func endless(size number) bool { return size > 1<<62 }

func endlessly(v vector) outcome {
	if !v.Valid {
		return skipped("x/mod does not return")
	}
	return outcome{err: errors.New("does not return")}
}

func xmodHashes(list []hash) []tlog.Hash {
	hashes := make([]tlog.Hash, len(list))
	for i, h := range list {
		hashes[i] = tlog.Hash(h)
	}
	return hashes
}

func xmodInclusion(v vector) outcome {
	if endless(v.Size) {
		return endlessly(v)
	}
	return outcome{err: tlog.CheckRecord(xmodHashes(v.Hashes), int64(v.Size), tlog.Hash(v.Root), int64(*v.Index), tlog.Hash(v.Leaf))}
}

func xmodConsistency(v vector) outcome {
	if endless(v.Size) {
		return endlessly(v)
	}
	return outcome{err: tlog.CheckTree(xmodHashes(v.Hashes), int64(v.Size), tlog.Hash(v.Root), int64(*v.OldSize), tlog.Hash(v.OldRoot))}
}

func xmodTilePath(v vector) outcome {
	rest, ok := strings.CutPrefix(v.Path, "tile/")
	if !ok {
		return skipped("x/mod's paths begin with tile/8/, which is put in the place of tile/")
	}
	if entries, ok := strings.CutPrefix(rest, "entries/"); ok {
		rest = "data/" + entries
	} else if strings.HasPrefix(rest, "data/") {
		return skipped("x/mod calls the entries data")
	}
	t, err := tlog.ParseTilePath("tile/8/" + rest)
	return diffTile(t, err, v)
}

func diffTile(t tlog.Tile, err error, v vector) outcome {
	if err == nil && v.Valid && t != (tlog.Tile{H: 8, L: v.Result.Level, N: int64(v.Result.Index), W: v.Result.Width}) {
		return outcome{diff: "another tile"}
	}
	return outcome{err: err}
}

// xmodTiles serves the tiles of a case.
type xmodTiles []tile

func (xmodTiles) Height() int                     { return 8 }
func (xmodTiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (tiles xmodTiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, len(list))
	for i, t := range list {
		path := "tile/" + strings.TrimPrefix(t.Path(), "tile/8/")
		j := slices.IndexFunc(tiles, func(t tile) bool { return t.Path == path })
		if j < 0 {
			return nil, errors.New("no such tile: " + path)
		}
		for _, h := range tiles[j].Hashes {
			all[i] = append(all[i], bytes.Repeat(h.Hash[:], h.Times)...)
		}
		if len(all[i]) != t.W*tlog.HashSize {
			return nil, errors.New("tile of a wrong size: " + path) // x/mod leaves this check to the reader
		}
	}
	return all, nil
}

func xmodBuild(v vector) outcome {
	reader := tlog.TileHashReader(tlog.Tree{N: int64(v.Size), Hash: tlog.Hash(v.Root)}, xmodTiles(v.Tiles))
	var hashes []tlog.Hash
	var err error
	if v.Index != nil {
		hashes, err = tlog.ProveRecord(int64(v.Size), int64(*v.Index), reader)
	} else {
		hashes, err = tlog.ProveTree(int64(v.Size), int64(*v.OldSize), reader)
	}
	if err == nil && v.Valid && !slices.Equal(hashes, xmodHashes(v.Result.Hashes)) {
		return outcome{diff: "another proof"}
	}
	return outcome{err: err}
}

// x/mod does not return for trees of more than 2^62 entries. The cases are not
// run, but whether that is so is tried here, in a process that can be killed.
func TestXModLoops(t *testing.T) {
	if os.Getenv("XMOD_LOOP") != "" {
		err := tlog.CheckRecord(make(tlog.RecordProof, 63), 1<<62+1, tlog.Hash{}, 0, tlog.Hash{})
		fmt.Println("returned:", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestXModLoops$")
	cmd.Env = append(os.Environ(), "XMOD_LOOP=1")
	out, err := cmd.CombinedOutput()
	if ctx.Err() == nil {
		t.Errorf("x/mod returns for trees of more than 2^62 entries: run the cases (%v)\n%s", err, out)
	}
}
