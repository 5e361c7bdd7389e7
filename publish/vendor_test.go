package publish

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// key is a named Ed25519 key, the same every time.
type key string

func (k key) private() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("seed of " + string(k)))
	return ed25519.NewKeyFromSeed(seed[:])
}

func (k key) public() map[string]any {
	public := k.private().Public().(ed25519.PublicKey)
	return map[string]any{"keytype": "ed25519", "scheme": "ed25519", "keyval": map[string]any{"public": hex.EncodeToString(public)}}
}

// object is a JSON object.
type object = map[string]any

// canonical prints v as canonical JSON: for the plain strings, integers and maps
// of these tests encoding/json does.
func canonical(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// signed makes a metadata file.
func signed(typ string, version int, fields object, keys ...key) []byte {
	payload := object{"_type": typ, "version": version, "spec_version": "1.0.31", "expires": "2030-01-01T00:00:00Z"}
	maps.Copy(payload, fields)
	signatures := []object{}
	for _, k := range keys {
		signatures = append(signatures, object{"keyid": string(k), "sig": hex.EncodeToString(ed25519.Sign(k.private(), canonical(payload)))})
	}
	return canonical(object{"signatures": signatures, "signed": payload})
}

func keyRole(keys ...key) object {
	ids := []string{}
	for _, k := range keys {
		ids = append(ids, string(k))
	}
	return object{"keyids": ids, "threshold": 1}
}

func keyTable(roles ...[]key) object {
	table := object{}
	for _, k := range slices.Concat(roles...) {
		table[string(k)] = k.public()
	}
	return table
}

// rootFile makes a root whose root role has the key r, and the other roles k.
func rootFile(version int, r, k key, signers ...key) []byte {
	return signed("root", version, object{
		"consistent_snapshot": true,
		"keys":                keyTable([]key{r, k}),
		"roles":               object{"root": keyRole(r), "targets": keyRole(k), "snapshot": keyRole(k), "timestamp": keyRole(k)},
	}, signers...)
}

// targetsFile makes targets metadata that lists one target and delegates to roles,
// all with the key k.
func targetsFile(version int, target string, k key, delegated ...string) []byte {
	fields := object{"targets": object{target: object{"length": 1, "hashes": object{"sha256": strings.Repeat("0", 64)}}}}
	if len(delegated) > 0 {
		var roles []object
		for _, name := range delegated {
			role := keyRole(k)
			role["name"], role["paths"], role["terminating"] = name, []string{"*"}, false
			roles = append(roles, role)
		}
		fields["delegations"] = object{"keys": keyTable([]key{k}), "roles": roles}
	}
	return signed("targets", version, fields, k)
}

// snapshotFile makes a snapshot that lists files by role, with version and hash.
func snapshotFile(version int, k key, files map[string][]byte) []byte {
	meta := object{}
	for role, data := range files {
		m, err := tuf.ParseJSON(data)
		if err != nil {
			panic(err)
		}
		meta[role+".json"] = object{"version": m.Version, "hashes": object{"sha256": m.FileDigest.String()}}
	}
	return signed("snapshot", version, object{"meta": meta}, k)
}

func timestampFile(version int, k key) []byte {
	return signed("timestamp", version, object{"meta": object{"snapshot.json": object{"version": version}}}, k)
}

// entry is a line of a history's index.
type entry struct {
	commit, role string
	version      int
	data         []byte
}

// writeHistory writes a history and returns its directory.
func writeHistory(t testing.TB, entries ...entry) string {
	t.Helper()
	dir := t.TempDir()
	index := "file,role,version,sha256,commit,date\n"
	for i, e := range entries {
		name := fmt.Sprintf("f/%d.json", i)
		write(t, filepath.Join(dir, name), e.data)
		index += fmt.Sprintf("%s,%s,%d,%v,%s,day %d\n", name, e.role, e.version, tuf.Sum(e.data), e.commit, i)
	}
	write(t, filepath.Join(dir, "index.csv"), []byte(index))
	return dir
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func readHistory(t testing.TB, entries ...entry) *History {
	t.Helper()
	h, err := ReadHistory(writeHistory(t, entries...))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// outcome is a report in one line per file: role, version, status and code,
// without the repository unless there are several.
func outcome(r *Report) string {
	var b strings.Builder
	for _, v := range r.Files {
		fmt.Fprintf(&b, "%s %d %s", v.Role, v.Version, v.Status)
		if v.Code != "" {
			b.WriteString(" " + v.Code)
		}
		if len(r.Repositories) > 1 {
			fmt.Fprintf(&b, " @%d", r.order(v.Repository))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func expect(t testing.TB, r *Report, lines ...string) {
	t.Helper()
	want := strings.Join(lines, "\n") + "\n"
	if got := outcome(r); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
