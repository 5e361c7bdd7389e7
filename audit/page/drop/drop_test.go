package drop_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/page/drop"
	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/bench/testrepo"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// world is what testrepo.Write has written.
type world struct {
	t      *testing.T
	policy string
	// repository is named in what is judged; empty: none is.
	repository string
	files      map[string][]byte
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	if err := testrepo.Write(dir); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, policy: read(t, dir, "policy.txt"), files: map[string][]byte{}}
	for _, folder := range []string{"metadata", "targets"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			w.files[e.Name()] = []byte(read(t, dir, folder, e.Name()))
		}
	}
	first, err := tuf.ParseJSON(w.files["1.root.json"])
	if err != nil {
		t.Fatal(err)
	}
	w.repository = first.PayloadDigest.String()
	return w
}

func read(t *testing.T, path ...string) string {
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// drop judges files of the world, by name; a change of one is made first.
func (w *world) drop(change func(name string, content []byte) []byte, names ...string) drop.Verdict {
	w.t.Helper()
	in := drop.Input{Policy: w.policy, Repository: w.repository, Now: time.Now()}
	for _, name := range names {
		content, ok := w.files[name]
		if !ok {
			w.t.Fatalf("there is no %s", name)
		}
		content = bytes.Clone(content)
		if change != nil {
			content = change(name, content)
		}
		in.Files = append(in.Files, drop.File{Name: name, Content: content})
	}
	return drop.Judge(w.t.Context(), in)
}

func (w *world) all() (names []string) {
	for name := range w.files {
		if !strings.HasSuffix(name, ".firmware.bin") {
			names = append(names, name)
		}
	}
	return names
}

const (
	release = "2.targets.json"
	proof   = release + verify.SidecarSuffix
	target  = "firmware.bin"
)

func TestJudge(t *testing.T) {
	w := newWorld(t)
	replace := func(in, old, with string) func(string, []byte) []byte {
		return func(name string, b []byte) []byte {
			if name != in {
				return b
			}
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("%s has no %q", name, old)
			}
			return bytes.Replace(b, []byte(old), []byte(with), 1)
		}
	}
	for _, tt := range []struct {
		name    string
		files   []string
		change  func(string, []byte) []byte
		outcome drop.Outcome
		code    verify.Code
		text    string
	}{
		{"release and proof", []string{release, proof}, nil, drop.Proved, "", "version 2 of role targets"},
		{"with its file", []string{release, proof, target}, nil, drop.Listed, "", "lists it as firmware.bin."},
		{"all of a repository", w.all(), nil, drop.Accepted, "", "that asks for firmware.bin would install it"},
		{"release alone", []string{release}, nil, drop.Refused, verify.CodeNotLogged, proof},
		{"file alone", []string{target}, nil, drop.Unproved, "", "no proved release is here"},
		{"a bundle", []string{"update.bundle"}, nil, drop.Unproved, "", "updater bundle verify"},
		{"proof alone", []string{proof}, nil, drop.Unproved, "", "the proof is right"},
		{"timestamp alone", []string{"timestamp.json"}, nil, drop.Unproved, "", "no proof of their own"},
		{"another release with the proof", []string{"1.targets.json", proof}, nil, drop.Refused, verify.CodeBadProof, "about version 2, want 1"},
		{"root with the proof of targets", []string{"1.root.json", proof}, nil, drop.Refused, verify.CodeBadProof, "the proof is about role targets"},
		{"a byte of the release", []string{release, proof}, replace(release, `"version":2`, `"version":3`), drop.Refused, verify.CodeBadProof, "version"},
		{"a byte of a hash in it", []string{release, proof}, replace(release, `"length":8`, `"length":9`), drop.Refused, verify.CodeBadProof, "another payload"},
		{"release that cannot be read", []string{release, proof}, replace(release, `"signed":{`, `"signed":[`), drop.Refused, verify.CodeBadMetadata, "cannot be read"},
		{"a byte of the file", []string{release, proof, target}, replace(target, "firm", "germ"), drop.Refused, verify.CodeBadMetadata, "lists another file: 8 bytes"},
		{"a line of the proof", []string{release, proof}, replace(proof, "log.example/updates\n", "log.example/update\n"), drop.Refused, verify.CodeBadProof, ""},
		{"a file that explains", append(w.all(), "2.README"), func(name string, b []byte) []byte { return b }, drop.Unproved, "", "Not all of it: 2.README"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.files["2.README"] = []byte("nothing\n")
			w.files["update.bundle"] = []byte("tuflog bundle v1\n\n")
			v := w.drop(tt.change, tt.files...)
			if v.Outcome != tt.outcome || v.Code != string(tt.code) || !strings.Contains(v.Text, tt.text) || len(v.NotProved) == 0 || v.Files != len(tt.files) {
				t.Errorf("%s %q: %s\n%+v", v.Outcome, v.Code, v.Text, v.Items)
			}
		})
	}
}

// The verdict names who signed, who cosigned, and when.
func TestRelease(t *testing.T) {
	w := newWorld(t)
	v := w.drop(nil, release, proof, "1.root.json")
	i := slices.IndexFunc(v.Items, func(i drop.Item) bool { return i.Name == release })
	if i < 0 || v.Items[i].Release == nil {
		t.Fatalf("%+v", v)
	}
	r := v.Items[i].Release
	if r.Role != "targets" || r.Version != 2 || r.Log != "log.example/updates" || r.Index != 1 || r.Size != 2 || r.Quorum != 2 || len(r.Witnesses) < 2 {
		t.Errorf("%+v", r)
	}
	for _, wit := range r.Witnesses {
		if at, err := time.Parse(time.RFC3339, wit.Time); err != nil || time.Since(at) > time.Hour {
			t.Errorf("%+v: %v", wit, err)
		}
	}
	// The first root of a repository is known by the repository's name, without a proof.
	if s := v.Items[i].Signed; !strings.HasPrefix(s, "checked: by 1 of the keys that root version 1 names") {
		t.Errorf("signed: %s", s)
	}
	if v := w.drop(nil, release, proof); !strings.HasPrefix(v.Items[0].Signed, "not checked") {
		t.Errorf("signed, without a root: %s", v.Items[0].Signed)
	}
}

// A policy of the visitor's decides, and one that cannot be read decides nothing.
func TestPolicy(t *testing.T) {
	w := newWorld(t)
	of := w.policy
	w.policy = testlog.New(t, "log.example/updates", 3, "2").PolicyText()
	if v := w.drop(nil, release, proof); v.Outcome != drop.Refused || v.Code != string(verify.CodeWrongLog) {
		t.Errorf("another log's: %s %s", v.Code, v.Text)
	}
	if w.policy = strings.Replace(of, " 2 ", " 3 ", 1); w.policy == of {
		t.Fatal(of)
	}
	if v := w.drop(nil, release, proof); v.Code != string(verify.CodeQuorumShort) {
		t.Errorf("three of three: %s %s", v.Code, v.Text)
	}
	w.policy = "quorum none"
	if v := w.drop(nil, release, proof); v.Outcome != drop.Unable {
		t.Errorf("no policy: %+v", v)
	}
}

// A file that is too long for memory has only its digest.
func TestDigestAlone(t *testing.T) {
	w := newWorld(t)
	h := drop.NewHasher()
	for _, b := range w.files[target] {
		h.Write([]byte{b})
	}
	in := drop.Input{Policy: w.policy, Repository: w.repository, Now: time.Now(), Files: []drop.File{
		{Name: release, Content: w.files[release]}, {Name: proof, Content: w.files[proof]},
		{Name: "Downloads/firmware (1).bin", Digest: h.Digest()},
	}}
	if v := drop.Judge(t.Context(), in); v.Outcome != drop.Listed {
		t.Errorf("%+v", v)
	}
	in.Files[2].Digest.Length++
	if v := drop.Judge(t.Context(), in); v.Code != string(verify.CodeBadMetadata) {
		t.Errorf("%+v", v)
	}
	// The bytes of one target are not those of another.
	in.Files[2] = drop.File{Name: "download", Digest: h.Digest()}
	if v := drop.Judge(t.Context(), in); v.Outcome != drop.Unproved || !strings.Contains(v.Text, "as firmware.bin, and no file that is called download") {
		t.Errorf("%+v", v)
	}
}

// No change of a byte in what is signed passes.
func TestEveryByte(t *testing.T) {
	w := newWorld(t)
	signed := bytes.Index(w.files[release], []byte(`"signed"`))
	signatures := bytes.Index(w.files[release], []byte(`"signatures"`))
	end := len(w.files[release])
	if signatures > signed {
		end = signatures
	}
	for at := signed; at < end; at++ {
		b := bytes.Clone(w.files[release])
		b[at] ^= 1
		v := drop.Judge(t.Context(), drop.Input{Policy: w.policy, Repository: w.repository, Now: time.Now(), Files: []drop.File{{Name: release, Content: b}, {Name: proof, Content: w.files[proof]}}})
		if v.Outcome != drop.Refused {
			t.Fatalf("byte %d, %q: %s", at, w.files[release][at:at+1], v.Text)
		}
	}
}

// Judge takes strangers' bytes under strangers' names.
func FuzzJudge(f *testing.F) {
	f.Add("a.json", []byte(`{"signatures":[],"signed":{}}`), "a.json.tlog-proof", []byte("c2sp.org/tlog-proof@v1\n"))
	f.Add("1.root.json", []byte(`{"signatures": []}`), "firmware.bin", []byte{})
	const policy = "log log.example+9a17cc74+AX0FAN2MJHCk+kN5j3226ZxHteuBijp8PCBAdox7FVyo\nquorum none\n"
	f.Fuzz(func(t *testing.T, name string, content []byte, beside string, other []byte) {
		v := drop.Judge(t.Context(), drop.Input{Policy: policy, Now: time.Unix(1_800_000_000, 0), Files: []drop.File{{Name: name, Content: content}, {Name: beside, Content: other}}})
		if v.Outcome == drop.Proved || v.Outcome == drop.Listed || v.Outcome == drop.Accepted || v.Text == "" || len(v.NotProved) == 0 {
			t.Errorf("%+v", v)
		}
	})
}
