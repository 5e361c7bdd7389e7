package verify_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/mldsa"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

const formatsPage = "../docs/formats.md"

// formatsTime is when the witnesses of the page cosign.
const formatsTime = 1_767_225_600

var formatsBlock = regexp.MustCompile("(?s)(<!-- example: ([a-z-]+) -->\n```[a-z]+\n)(.*?)(```\n)")

// TestFormatsPage computes every example of docs/formats.md again. With
// UPDATE_FORMATS=1 it writes them into the page.
func TestFormatsPage(t *testing.T) {
	page, err := os.ReadFile(formatsPage)
	if err != nil {
		t.Fatal(err)
	}
	want := newFormatsExample(t).blocks(t)
	seen := map[string]bool{}
	updated := formatsBlock.ReplaceAllFunc(page, func(block []byte) []byte {
		m := formatsBlock.FindSubmatch(block)
		name, text := string(m[2]), string(m[3])
		switch name {
		case "accusation", // computed in audit/evidence
			"expectations", "expectations-key", // computed in expect
			"receipt", "receipt-log-key", "receipt-rekor-key", // verified in audit/rekor
			"gate-key", "gate-public-key", "gate-record", "gate-url", "gate-answer", "gate-refusal", "gate-status": // computed in gate
			seen[name] = true
			return block
		}
		if want[name] == "" || seen[name] {
			t.Errorf("example %q is unknown or there twice", name)
		}
		seen[name] = true
		if text != want[name] && os.Getenv("UPDATE_FORMATS") == "" {
			t.Errorf("example %q is\n%s\nshould be\n%s", name, text, want[name])
		}
		return []byte(string(m[1]) + want[name] + string(m[4]))
	})
	for name := range want {
		if !seen[name] {
			t.Errorf("no example %q", name)
		}
	}
	if n := bytes.Count(page, []byte("\n```")); n != 2*len(seen) {
		t.Errorf("%d fences around %d examples: one is not checked", n, len(seen))
	}
	if os.Getenv("UPDATE_FORMATS") != "" && !t.Failed() {
		if err := os.WriteFile(formatsPage, updated, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFormatsVerify takes nothing but the page, and verifies it as those do who
// meet these files.
func TestFormatsVerify(t *testing.T) {
	page, err := os.ReadFile(formatsPage)
	if err != nil {
		t.Fatal(err)
	}
	ex := map[string][]byte{}
	for _, m := range formatsBlock.FindAllSubmatch(page, -1) {
		ex[string(m[2])] = m[3]
	}
	root, targets, snapshot := formatsParse(t, ex["root"]), formatsParse(t, ex["targets"]), formatsParse(t, ex["snapshot"])
	policy, err := proofs.ParsePolicy(ex["policy"])
	if err != nil {
		t.Fatal(err)
	}

	t.Run("admission", func(t *testing.T) {
		genesis, err := admit.JudgeGenesis(root)
		if err != nil {
			t.Fatal(err)
		}
		repo, err := admit.NewRepository(genesis.Leaf, 0, formatsBlobs{root.FileDigest: root.File})
		if err != nil {
			t.Fatal(err)
		}
		d, err := repo.Judge(t.Context(), "targets", targets, []*tuf.Metadata{snapshot})
		if err != nil || string(d.Leaf.Marshal()) != string(ex["leaf"]) {
			t.Errorf("admitted as %s, %v", d.Leaf.Marshal(), err)
		}
	})
	t.Run("leaf", func(t *testing.T) {
		entry, err := leaf.Parse(ex["leaf"])
		if err != nil {
			t.Fatal(err)
		}
		if entry.Payload != targets.PayloadDigest || entry.Metadata != tuf.Sum(ex["targets"]) || entry.Size != int64(len(ex["targets"])) || entry.Repository != root.PayloadDigest || entry.Snapshot != snapshot.FileDigest {
			t.Errorf("%+v is not of the files on the page", entry)
		}
		if got := entry.Hash().String() + "\n"; got != string(ex["leaf-hash"]) {
			t.Errorf("hash %s", got)
		}
		evidence, err := leaf.Parse(ex["evidence"])
		if err != nil || evidence.Kind != leaf.Evidence || evidence.Contradicts != 1 || evidence.Payload == entry.Payload {
			t.Errorf("evidence %+v, %v", evidence, err)
		}
	})
	t.Run("canonical", func(t *testing.T) {
		// By the words of the page, from what encoding/json reads.
		var file struct{ Signed any }
		d := json.NewDecoder(bytes.NewReader(ex["canonical-file"]))
		d.UseNumber()
		if err := d.Decode(&file); err != nil {
			t.Fatal(err)
		}
		want := canonicalByTheWords(t, file.Signed)
		if got := formatsParse(t, ex["canonical-file"]).Payload; string(got) != want || string(ex["canonical"]) != want+"\n" {
			t.Errorf("the payload is\n%s\non the page\n%sby its words\n%s", got, ex["canonical"], want)
		}
		if sum := sha256.Sum256([]byte(want)); hex.EncodeToString(sum[:])+"\n" != string(ex["canonical-digest"]) {
			t.Errorf("its digest is %x", sum)
		}
	})
	t.Run("end", func(t *testing.T) {
		if _, err := leaf.Parse(ex["end"]); !leaf.IsEnd(ex["end"]) || err == nil {
			t.Errorf("the end is not one, or a leaf: %v", err)
		}
	})
	t.Run("checkpoint", func(t *testing.T) {
		sc, err := policy.OpenCheckpoint(ex["signed-checkpoint"])
		if err != nil {
			t.Fatal(err)
		}
		if sc.Checkpoint.String() != string(ex["checkpoint"]) || len(sc.Cosignatures) != 2 || sc.Cosignatures[0].Time != formatsTime {
			t.Errorf("opened %+v", sc)
		}
	})
	t.Run("sidecar", func(t *testing.T) {
		logged, err := verify.CheckSidecar(ex["sidecar"], verify.ClaimFor(root.PayloadDigest, "targets", targets), policy)
		if err != nil || logged.Index != 1 || string(logged.Leaf.Marshal()) != string(ex["leaf"]) {
			t.Errorf("%+v, %v", logged, err)
		}
		for i := range ex["sidecar"] {
			changed := bytes.Clone(ex["sidecar"])
			changed[i] ^= 1
			if _, err := verify.CheckSidecar(changed, verify.ClaimFor(root.PayloadDigest, "targets", targets), policy); err == nil {
				t.Errorf("accepted although byte %d is changed", i)
			}
		}
	})
	t.Run("keys", func(t *testing.T) { checkFormatsKeys(t, ex) })
	t.Run("tiles", func(t *testing.T) { checkFormatsTiles(t, ex) })
}

// canonicalByTheWords follows docs/formats.md.
func canonicalByTheWords(t *testing.T, v any) string {
	t.Helper()
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	var parts []string
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, quote(name)+":"+canonicalByTheWords(t, v[name]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		for _, e := range v {
			parts = append(parts, canonicalByTheWords(t, e))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case string:
		return quote(v)
	case nil:
		return "null"
	case json.Number, bool:
		return fmt.Sprint(v)
	}
	t.Fatalf("%T in JSON", v)
	return ""
}

func formatsParse(t *testing.T, file []byte) *tuf.Metadata {
	t.Helper()
	m, err := tuf.ParseJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

type formatsBlobs map[tuf.Digest][]byte

func (b formatsBlobs) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) {
	if file, ok := b[sum]; ok {
		return file, nil
	}
	return nil, fmt.Errorf("no blob %v", sum)
}

// checkFormatsKeys checks that the private keys are those of the vkeys, and the
// messages what they sign.
func checkFormatsKeys(t *testing.T, ex map[string][]byte) {
	text := string(ex["checkpoint"])
	vkeys, private := strings.Fields(string(ex["vkeys"])), strings.Fields(string(ex["private"]))
	if len(vkeys) != 3 || len(private) != 4 {
		t.Fatalf("%d vkeys and %d private keys", len(vkeys), len(private))
	}
	for i, skey := range private {
		s, err := proofs.ParseSigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		if i < len(vkeys) && s.Key().String() != vkeys[i] {
			t.Errorf("private key %d is of %v, want %s", i, s, vkeys[i])
		}
		sig, err := s.Sign(text, formatsTime)
		if err != nil {
			t.Fatal(err)
		}
		switch pub := s.Key().PublicKey(); s.Key().Algorithm() {
		case proofs.Ed25519:
			if !ed25519.Verify(pub, ex["checkpoint"], sig.Sig) {
				t.Error("type 01 signs something else than the page says")
			}
		case proofs.CosignatureV1:
			if binary.BigEndian.Uint64(sig.Sig) != formatsTime || !ed25519.Verify(pub, ex["cosigned-message"], sig.Sig[8:]) {
				t.Error("type 04 signs something else than the page says")
			}
			if !bytes.Contains(ex["signed-checkpoint"], []byte(sig.String())) {
				t.Error("the cosignature is not on the page")
			}
		case proofs.MLDSA44:
			msg, err := hex.DecodeString(strings.Join(strings.Fields(string(ex["subtree-message"])), ""))
			if err != nil {
				t.Fatal(err)
			}
			key, err := mldsa.NewPublicKey(mldsa.MLDSA44(), pub)
			if err != nil {
				t.Fatal(err)
			}
			if err := mldsa.Verify(key, msg, sig.Sig[8:], nil); err != nil {
				t.Errorf("type 06 signs something else than the page says: %v", err)
			}
		}
	}
}

// checkFormatsTiles checks that tiles, bundle and edge are those of the tree.
func checkFormatsTiles(t *testing.T, ex map[string][]byte) {
	c, err := proofs.ParseCheckpoint(string(ex["checkpoint"]))
	if err != nil {
		t.Fatal(err)
	}
	var edge proofs.Edge
	if err := edge.UnmarshalText(ex["edge"]); err != nil || edge.Tree() != c.Tree {
		t.Errorf("edge leads to %v, want %v: %v", edge.Tree(), c.Tree, err)
	}
	files := formatsFiles{}
	for line := range strings.Lines(string(ex["tiles"])) {
		path, data, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		id, err := proofs.ParseTilePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if files[id], err = base64.StdEncoding.Strict().DecodeString(data); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := proofs.VerifyEntries(t.Context(), c.Tree, 0, files[proofs.TileID{Level: -1, Width: 3}], files)
	if err != nil || len(entries) != 3 || string(entries[1]) != string(ex["leaf"]) || string(entries[2]) != string(ex["evidence"]) {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

type formatsFiles map[proofs.TileID][]byte

func (f formatsFiles) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	if data, ok := f[proofs.TileID{Level: level, Index: index, Width: width}]; ok {
		return data, nil
	}
	return nil, errors.New("no such tile")
}

// A formatsExample is the vendor, log and witnesses of the page.
type formatsExample struct {
	root, targets, another, snapshot, snapshot2 []byte // files

	log, logECDSA *proofs.Signer
	witnesses     []*proofs.Signer
	pq            *proofs.Signer
}

func formatsSeed(name string) []byte {
	sum := sha256.Sum256([]byte("docs/formats.md: " + name))
	return sum[:]
}

func newFormatsExample(t *testing.T) formatsExample {
	t.Helper()
	signer := func(name string, alg proofs.Algorithm) *proofs.Signer {
		s, err := proofs.GenerateSigner(bytes.NewReader(formatsSeed(name+" "+alg.String())), name, alg)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ex := formatsExample{
		log:      signer("log.example", proofs.Ed25519),
		logECDSA: signer("log.example", proofs.ECDSA),
		pq:       signer("w4.example", proofs.MLDSA44),
	}
	for i := 1; i <= 3; i++ {
		ex.witnesses = append(ex.witnesses, signer(fmt.Sprintf("w%d.example", i), proofs.CosignatureV1))
	}

	vendorKey := ed25519.NewKeyFromSeed(formatsSeed("vendor"))
	key := map[string]any{"keytype": "ed25519", "scheme": "ed25519", "keyval": map[string]any{"public": hex.EncodeToString(vendorKey.Public().(ed25519.PublicKey))}}
	id := formatsDigest(t, key)
	role := map[string]any{"keyids": []string{id}, "threshold": 1}
	sign := func(signed map[string]any) []byte {
		payload := formatsJSON(t, signed)
		sig := hex.EncodeToString(ed25519.Sign(vendorKey, payload))
		file := formatsJSON(t, map[string]any{"signatures": []any{map[string]any{"keyid": id, "sig": sig}}, "signed": signed})
		var b bytes.Buffer
		if err := json.Indent(&b, file, "", "  "); err != nil {
			t.Fatal(err)
		}
		return append(b.Bytes(), '\n')
	}
	common := func(typ string, more map[string]any) map[string]any {
		more["_type"], more["version"], more["spec_version"], more["expires"] = typ, 1, "1.0.31", "2030-01-01T00:00:00Z"
		return more
	}
	target := func(content string) map[string]any {
		sum := sha256.Sum256([]byte(content))
		return map[string]any{"firmware.bin": map[string]any{"length": len(content), "hashes": map[string]any{"sha256": hex.EncodeToString(sum[:])}}}
	}
	ex.root = sign(common("root", map[string]any{
		"consistent_snapshot": true,
		"keys":                map[string]any{id: key},
		"roles":               map[string]any{"root": role, "targets": role, "snapshot": role, "timestamp": role},
	}))
	ex.targets = sign(common("targets", map[string]any{"targets": target("firmware 1\n")}))
	ex.another = sign(common("targets", map[string]any{"targets": target("firmware 1, for one device only\n")}))
	snapshot := func(file []byte) []byte {
		listed := map[string]any{"version": 1, "hashes": map[string]any{"sha256": tuf.Sum(file).String()}}
		return sign(common("snapshot", map[string]any{"meta": map[string]any{"targets.json": listed}}))
	}
	ex.snapshot, ex.snapshot2 = snapshot(ex.targets), snapshot(ex.another)
	return ex
}

// formatsJSON is canonical for what the page holds: sorted names, nothing that
// needs escaping.
func formatsJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func formatsDigest(t *testing.T, v any) string { return tuf.Sum(formatsJSON(t, v)).String() }

// leaves logs the vendor's files as admission does.
func (ex formatsExample) leaves(t *testing.T) [][]byte {
	t.Helper()
	blobs := formatsBlobs{}
	for _, file := range [][]byte{ex.root, ex.targets, ex.another, ex.snapshot, ex.snapshot2} {
		blobs[tuf.Sum(file)] = file
	}
	genesis, err := admit.JudgeGenesis(formatsParse(t, ex.root))
	if err != nil {
		t.Fatal(err)
	}
	repo, err := admit.NewRepository(genesis.Leaf, 0, blobs)
	if err != nil {
		t.Fatal(err)
	}
	leaves := [][]byte{genesis.Leaf.Marshal()}
	for _, files := range [][2][]byte{{ex.targets, ex.snapshot}, {ex.another, ex.snapshot2}} {
		d, err := repo.Judge(t.Context(), "targets", formatsParse(t, files[0]), []*tuf.Metadata{formatsParse(t, files[1])})
		if err != nil {
			t.Fatal(err)
		}
		if err := repo.Apply(int64(len(leaves)), d.Leaf); err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, d.Leaf.Marshal())
	}
	return leaves
}

// blocks returns the examples by name.
func (ex formatsExample) blocks(t *testing.T) map[string]string {
	t.Helper()
	leaves := ex.leaves(t)
	var edge proofs.Edge
	var bundle, tile []byte
	for _, l := range leaves {
		h := proofs.LeafHash(l)
		tile = append(tile, h[:]...)
		if err := edge.Append(h); err != nil {
			t.Fatal(err)
		}
		var err error
		if bundle, err = proofs.AppendEntry(bundle, l); err != nil {
			t.Fatal(err)
		}
	}
	edgeText, err := edge.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	text := proofs.Checkpoint{Origin: "log.example", Tree: edge.Tree()}.String()
	note := proofs.Note{Text: text}
	for _, s := range []*proofs.Signer{ex.log, ex.witnesses[0], ex.witnesses[2]} {
		sig, err := s.Sign(text, formatsTime)
		if err != nil {
			t.Fatal(err)
		}
		note.Signatures = append(note.Signatures, sig)
	}
	tiles := formatsFiles{{Level: 0, Index: 0, Width: 3}: tile}
	path, err := proofs.InclusionProof(t.Context(), edge.Tree(), 1, tiles)
	if err != nil {
		t.Fatal(err)
	}
	sidecar := proofs.Proof{Extra: leaves[1], Index: 1, Hashes: path, Checkpoint: note.Marshal()}
	b64 := base64.StdEncoding.EncodeToString
	return map[string]string{
		"root":              string(ex.root),
		"targets":           string(ex.targets),
		"snapshot":          string(ex.snapshot),
		"leaf":              string(leaves[1]),
		"leaf-hash":         proofs.LeafHash(leaves[1]).String() + "\n",
		"evidence":          string(leaves[2]),
		"canonical-file":    canonicalFile,
		"canonical":         string(formatsParse(t, []byte(canonicalFile)).Payload) + "\n",
		"canonical-digest":  formatsParse(t, []byte(canonicalFile)).PayloadDigest.String() + "\n",
		"end":               leaf.End,
		"end-hash":          proofs.LeafHash([]byte(leaf.End)).String() + "\n",
		"vkeys":             fmt.Sprintf("%v\n%v\n%v\n", ex.log, ex.logECDSA, ex.witnesses[0]),
		"private":           fmt.Sprintf("%s\n%s\n%s\n%s\n", ex.log.PrivateKey(), ex.logECDSA.PrivateKey(), ex.witnesses[0].PrivateKey(), ex.pq.PrivateKey()),
		"checkpoint":        text,
		"signed-checkpoint": string(note.Marshal()),
		"cosigned-message":  fmt.Sprintf("cosignature/v1\ntime %d\n%s", formatsTime, text),
		"subtree-message":   formatsSubtree(edge.Tree()),
		"policy": fmt.Sprintf("# one log, two of three witnesses\nlog %v https://log.example/\nwitness w1 %v https://w1.example/\nwitness w2 %v\nwitness w3 %v\ngroup operators 2 w1 w2 w3\nquorum operators\n",
			ex.log, ex.witnesses[0], ex.witnesses[1], ex.witnesses[2]),
		"sidecar": string(sidecar.Marshal()),
		"tiles":   proofs.TileID{Width: 3}.Path() + " " + b64(tile) + "\n" + proofs.EntriesPath(0, 3) + " " + b64(bundle) + "\n",
		"edge":    string(edgeText),
	}
}

// canonicalFile is metadata that is not in its canonical spelling.
const canonicalFile = `{"signed": {
  "version": 1, "spec_version": "1.0.31", "_type": "targets", "x-\u0062uild": [true, false, -5, "\/"],
  "expires": "2030-01-01T00:00:00Z",
  "targets": {
    "\ud83d\ude00.bin": {"length": 0, "hashes": {"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},
    "\uff21\"\\.bin":   {"length": 0, "hashes": {"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                       "custom": {"b": null, "a": {}, "B": 9223372036854775807}}
  }}, "signatures": []}
`

// formatsSubtree lays out the message of type 06, one field per line.
func formatsSubtree(tree proofs.Tree) string {
	u64 := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	var b strings.Builder
	for _, field := range [][]byte{
		[]byte("subtree/v1\n\x00"), []byte("\x0aw4.example"), u64(formatsTime), []byte("\x0blog.example"),
		u64(0), u64(tree.N), tree.Hash[:],
	} {
		fmt.Fprintf(&b, "%x\n", field)
	}
	return b.String()
}
