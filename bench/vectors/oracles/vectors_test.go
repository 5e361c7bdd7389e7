package oracles

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const vectorDir = "../../../testdata/vectors"

// A vector is one case file. The fields that only some kinds have are left
// empty for the others; testdata/vectors/README.md describes them.
type vector struct {
	Name string `json:"-"` // folder/name
	Head
	Note       data     `json:"note"`
	Vkey       data     `json:"vkey"`
	Skey       string   `json:"skey"`
	Text       data     `json:"text"`
	Checkpoint data     `json:"checkpoint"`
	Logs       []string `json:"logs"`
	Policy     data     `json:"policy"`
	Cosigned   []data   `json:"cosigned"`
	Proof      data     `json:"proof"`
	Entry      data     `json:"entry"`
	Size       number   `json:"size"`
	Root       hash     `json:"root"`
	Index      *number  `json:"index"`
	Leaf       hash     `json:"leaf"`
	OldSize    *number  `json:"old_size"`
	OldRoot    hash     `json:"old_root"`
	Hashes     []hash   `json:"hashes"`
	Path       string   `json:"path"`
	Bundle     data     `json:"bundle"`
	Tiles      []tile   `json:"tiles"`
	Result     result   `json:"result"`
}

// Head is what all cases have.
type Head struct {
	Desc   string `json:"desc"`
	Spec   string `json:"spec"`
	Rule   string `json:"rule"`
	Choice string `json:"choice"`
	Valid  bool   `json:"valid"`
	Error  string `json:"error"`
}

type result struct {
	Text         data        `json:"text"`
	Signatures   []signature `json:"signatures"`
	Name         string      `json:"name"`
	KeyID        string      `json:"key_id"`
	Type         int         `json:"type"`
	Line         string      `json:"line"`
	Times        []number    `json:"times"`
	Origin       string      `json:"origin"`
	Size         number      `json:"size"`
	Root         hash        `json:"root"`
	Extensions   []string    `json:"extensions"`
	Cosignatures []struct {
		Time number `json:"time"`
	} `json:"cosignatures"`
	Extra      data   `json:"extra"`
	Index      number `json:"index"`
	Hashes     []hash `json:"hashes"`
	Checkpoint data   `json:"checkpoint"`
	Level      int    `json:"level"`
	Width      int    `json:"width"`
	Entries    []data `json:"entries"`
}

type signature struct {
	Name  string `json:"name"`
	KeyID string `json:"key_id"`
	Sig   []byte `json:"signature"`
}

type tile struct {
	Path   string `json:"path"`
	Hashes []struct {
		Hash  hash `json:"hash"`
		Times int  `json:"times"`
	} `json:"hashes"`
}

// data is bytes: a string, or an object with their base64.
type data []byte

func (d *data) UnmarshalJSON(b []byte) error {
	if b[0] != '{' {
		var s string
		err := json.Unmarshal(b, &s)
		*d = data(s)
		return err
	}
	var object struct {
		Base64 []byte `json:"base64"`
	}
	err := json.Unmarshal(b, &object)
	*d = object.Base64
	return err
}

type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	*n = number(v)
	return err
}

type hash [32]byte

func (h *hash) UnmarshalJSON(b []byte) error {
	var raw []byte
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if len(raw) != len(h) {
		return fmt.Errorf("hash of %d bytes", len(raw))
	}
	*h = hash(raw)
	return nil
}

// load reads all cases of the given folders, in the order of their names.
func load(t *testing.T, folders ...string) []vector {
	t.Helper()
	var vectors []vector
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(vectorDir, folder, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			t.Fatalf("no cases in %s", folder)
		}
		slices.Sort(files)
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			v := vector{Name: folder + "/" + strings.TrimSuffix(filepath.Base(file), ".json")}
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			vectors = append(vectors, v)
		}
	}
	return vectors
}

// An outcome is what an implementation makes of a case.
type outcome struct {
	skip string // why it has no say in this case
	err  error  // nil if it accepts
	kind string // the category of the error, where the implementation tells
	diff string // it accepts, but reads something else
}

func skipped(why string) outcome { return outcome{skip: why} }

// verdict says how the outcome differs from what the case expects, and "" if
// it does not.
func (o outcome) verdict(v vector) string {
	switch {
	case v.Valid && o.err != nil:
		return "refuses"
	case !v.Valid && o.err == nil:
		return "accepts"
	case v.Valid && o.diff != "":
		return "reads " + o.diff
	case !v.Valid && o.kind != "" && o.kind != v.Error:
		return "says " + o.kind
	}
	return ""
}

// vkeyType returns the type byte of a verifier key, read leniently, and -1 if
// it has none.
func vkeyType(vkey string) int {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) < 3 {
		return -1
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) == 0 {
		return -1
	}
	return int(raw[0])
}

// policyLines returns the words of the lines of a policy that begin with the
// keyword.
func policyLines(policy data, keyword string) [][]string {
	var lines [][]string
	for line := range strings.Lines(string(policy)) {
		if words := strings.Fields(line); len(words) > 0 && words[0] == keyword {
			lines = append(lines, words)
		}
	}
	return lines
}

func equalTimes(got []int64, v vector) bool {
	want := []int64{}
	for _, c := range v.Result.Cosignatures {
		want = append(want, int64(c.Time))
	}
	return slices.Equal(got, want)
}
