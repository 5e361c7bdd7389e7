package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/device/bundle/index"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

const firstLine = index.FirstLine

const good = firstLine +
	"metadata/1.root.json 4\n" +
	"metadata/1.root.json.latest.tlog-proof 2\n" +
	"metadata/1.root.json.tlog-proof 0\n" +
	"metadata/2.root.json 1\n" +
	"metadata/timestamp.json 3\n" +
	"targets/a%2Fb 5\n" +
	"\n" + "rootprXtimtargt"

func parse(text string) (*Bundle, error) {
	return New(strings.NewReader(text), int64(len(text)))
}

func TestReads(t *testing.T) {
	b, err := parse(good)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(r verify.Request) string {
		t.Helper()
		content, err := b.Fetch(t.Context(), r)
		if err != nil {
			return err.Error()
		}
		return string(content)
	}
	root := verify.Request{Role: "root", Version: 1, MaxLength: 4}
	for want, r := range map[string]verify.Request{
		"root":                           root,
		"pr":                             {Role: "root", Version: 1, MaxLength: 4, Suffix: verify.LatestSuffix},
		"":                               {Role: "root", Version: 1, Suffix: verify.SidecarSuffix},
		"tim":                            {Role: "timestamp", MaxLength: 3},
		"the bundle has no 3.root.json":  {Role: "root", Version: 3},
		"the bundle has no targets.json": {Role: "targets"},
		"bad-metadata: root: 1.root.json: it has 4 bytes, more than 3": {Role: "root", Version: 1, MaxLength: 3},
	} {
		if got := fetch(r); got != want {
			t.Errorf("%s: %q, want %q", r.URLName(), got, want)
		}
	}
	if _, err := b.Fetch(t.Context(), verify.Request{Role: "x"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if name, file, err := b.LowestRoot(); name != "1.root.json" || string(file) != "root" || err != nil {
		t.Errorf("%q, %q, %v", name, file, err)
	}
	if got := slices.Collect(b.Targets()); !slices.Equal(got, []string{"a/b"}) {
		t.Errorf("targets %q", got)
	}
	found := verify.Lookup{Target: &tuf.TargetFile{Length: 5}}
	for from, want := range map[int64]string{0: "targt", 3: "gt", 5: "", 6: "shorter"} {
		var got strings.Builder
		err := b.CopyTarget(t.Context(), &got, "a/b", found, from)
		if want == "shorter" && err != nil && strings.Contains(err.Error(), want) {
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("from %d: %q, %v", from, got.String(), err)
		}
	}
	if err := b.CopyTarget(t.Context(), io.Discard, "c", found, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// Every bundle that is not exactly as the format says is refused before anything in it is
// read, with a word about what is wrong.
func TestMalformed(t *testing.T) {
	index, rest, _ := strings.Cut(good, "\n\n")
	index += "\n"
	lines := strings.SplitAfter(index, "\n")
	with := func(line string, size int) string { // the bundle with a line of its own instead
		return firstLine + line + "\n\n" + strings.Repeat("x", size)
	}
	swapped := lines[0] + lines[2] + lines[1] + strings.Join(lines[3:], "")
	long := strings.Repeat("a", 20<<10)
	var many strings.Builder
	many.WriteString(firstLine)
	for i := range MaxFiles + 1 {
		fmt.Fprintf(&many, "targets/%05d 0\n", i)
	}
	for name, tt := range map[string]struct{ text, why string }{
		"empty":                   {"", "ends within its index"},
		"another file":            {"PK\x03\x04 and so on\n\n", "it begins with"},
		"another version":         {strings.Replace(good, "v1", "v2", 1), "it begins with"},
		"carriage returns":        {strings.ReplaceAll(good, "\n", "\r\n"), "it begins with"},
		"no line":                 {strings.Repeat("\x00", 1<<20), "it begins with"},
		"a byte more":             {good + "x", "bytes, and its index lists"},
		"a file more":             {good + good, "bytes, and its index lists"},
		"reordered":               {swapped + "\n" + rest, `"metadata/1.root.json" comes after "metadata/1.root.json.latest`},
		"duplicated":              {with("metadata/1.root.json 1\nmetadata/1.root.json 1", 2), "comes after"},
		"duplicated, other sizes": {with("metadata/1.root.json 1\nmetadata/1.root.json 2", 3), "comes after"},
		"an absolute name":        {with("/etc/passwd 1", 1), "neither metadata nor a target"},
		"a way out":               {with("../x 1", 1), "neither metadata nor a target"},
		"a way out of targets":    {with("targets/../x 1", 1), "not the name of a target"},
		"a folder":                {with("targets/a/b 1", 1), "not the name of a target"},
		"no name":                 {with("targets/ 1", 1), "not the name of a target"},
		"no role":                 {with("metadata/.json 1", 1), "not the name of metadata"},
		"no metadata":             {with("metadata/root.txt 1", 1), "not the name of metadata"},
		"a device's state":        {with("metadata/updater.state 1", 1), "not the name of metadata"},
		"a role of another role":  {with("metadata/1.a/b.json 1", 1), "not the name of metadata"},
		"another escape":          {with("targets/%61 1", 1), "not the name of a target"},
		"lower case":              {with("targets/a%2fb 1", 1), "not the name of a target"},
		"half an escape":          {with("targets/a%2 1", 1), "not the name of a target"},
		"a NUL":                   {with("targets/a%00 1", 1), "not the name of a target"},
		"a space":                 {with("targets/a b 1", 1), "not a plain decimal number"},
		"two spaces":              {with("targets/a  1", 1), "not a plain decimal number"},
		"no length":               {with("targets/a", 0), "not a name and a length"},
		"an empty length":         {with("targets/a ", 0), "not a plain decimal number"},
		"a negative length":       {with("targets/a -1", 0), "not a plain decimal number"},
		"leading zeros":           {with("targets/a 01", 1), "not a plain decimal number"},
		"a length without end":    {with("targets/a 9223372036854775808", 1), "is larger than"},
		"a target of an exabyte":  {with("targets/a 1152921504606846976", 1), "more than the 1125899906842624 that it may have"},
		"a target that is longer": {with("targets/a 1099511627776", 1), "its index lists 1099511627776 or more"},
		"lengths that overflow": {with("targets/0 1125899906842624\ntargets/1 1125899906842624", 1),
			"its index lists 1125899906842624 or more"},
		"metadata too long":    {with(fmt.Sprintf("metadata/root.json %d", tuf.MaxFileSize+1), 1), "more than the 33554432"},
		"a proof too long":     {with(fmt.Sprintf("metadata/root.json.tlog-proof %d", proofs.MaxProofSize+1), 1), "that it may have"},
		"a long line":          {with("targets/"+long+" 1", 1), "longer than any may be"},
		"a path too long":      {with("targets/"+strings.Repeat("a", tuf.MaxTargetPath+1)+" 1", 1), "not the name of a target"},
		"a role too long":      {with("metadata/"+strings.Repeat("a", tuf.MaxRoleName+30)+".json 1", 1), "not the name of metadata"},
		"too many files":       {many.String() + "\n", "more than 65536 files"},
		"an index too long":    {indexWithoutEnd(), "more than 8388608 bytes"},
		"an index without end": {firstLine + strings.Repeat("targets/a 0\n", 2), "comes after"},
	} {
		_, err := parse(tt.text)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: %v, want %q", name, err, tt.why)
		}
		if err != nil && len(err.Error()) > 600 {
			t.Errorf("%s: a message of %d bytes", name, len(err.Error()))
		}
	}
	for n := range len(good) {
		if _, err := parse(good[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("cut short after %d bytes: %v", n, err)
		}
	}
	if b, err := parse(firstLine + "\n"); err != nil || len(b.Files()) != 0 {
		t.Errorf("of nothing: %v", err)
	}
}

// indexWithoutEnd is a bundle whose index has more bytes than it may, all of them right.
func indexWithoutEnd() string {
	var s strings.Builder
	s.WriteString(firstLine)
	for i := 0; s.Len() <= MaxIndex; i++ {
		fmt.Fprintf(&s, "targets/%05d%s 0\n", i, strings.Repeat("a", tuf.MaxTargetPath-5))
	}
	return s.String()
}

// failing is a stick that was pulled out.
type failing struct{ good string }

var errPulled = errors.New("no such device")

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	if at >= int64(len(f.good)) {
		return 0, errPulled
	}
	n := copy(p, f.good[at:])
	if n < len(p) {
		return n, errPulled
	}
	return n, nil
}

// A stick that cannot be read is not a bad bundle.
func TestReadErrors(t *testing.T) {
	if _, err := New(failing{good[:30]}, int64(len(good))); !errors.Is(err, errPulled) || errors.Is(err, ErrMalformed) {
		t.Errorf("%v", err)
	}
	index, _, _ := strings.Cut(good, "\n\n")
	b, err := parse(good)
	if err != nil {
		t.Fatal(err)
	}
	b.r = failing{index}
	if _, err := b.Fetch(t.Context(), verify.Request{Role: "timestamp", MaxLength: 3}); !errors.Is(err, errPulled) {
		t.Errorf("%v", err)
	}
	found := verify.Lookup{Target: &tuf.TargetFile{Length: 5}}
	if err := b.CopyTarget(t.Context(), io.Discard, "a/b", found, 0); err == nil || !strings.Contains(err.Error(), errPulled.Error()) {
		t.Errorf("%v", err)
	}
}

// rewrite writes a bundle again.
func rewrite(b *Bundle) ([]byte, error) {
	c := contents{}
	for _, f := range b.Files() {
		c[f] = func(w io.Writer) error {
			_, err := io.Copy(w, b.open(f.Name))
			return err
		}
	}
	var out bytes.Buffer
	err := write(&out, c)
	return out.Bytes(), err
}

// One bundle has one spelling, and whatever is read lies within it.
func FuzzNew(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(firstLine + "\n"))
	f.Add([]byte(firstLine + "targets/a 9007199254740991\n\n"))
	f.Add([]byte(good[:len(good)-1]))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := New(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := rewrite(b)
		if err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q, %v, of %q", again, err, text)
		}
	})
}

// What is written is what was said before, and can be read.
func TestWrite(t *testing.T) {
	b, err := parse(good)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := rewrite(b); err != nil || string(again) != good {
		t.Errorf("%q, %v", again, err)
	}
	says := func(content string) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, content)
			return err
		}
	}
	for why, c := range map[string]contents{
		"longer":                   {File{Name: "targets/a", Size: 1}: says("ab")},
		"2 bytes of 3 are missing": {File{Name: "targets/a", Size: 3}: says("a")},
		"there twice":              {File{Name: "targets/a", Size: 1}: says("a"), File{Name: "targets/a", Size: 2}: says("ab")},
		"neither metadata":         {File{Name: "a", Size: 1}: says("a")},
		"not the name of a target": {File{Name: "targets/a/b", Size: 1}: says("a")},
		"more than the 33554432":   {File{Name: "metadata/a.json", Size: 1 << 40}: says("a")},
		"not the name of metadata": {File{Name: "metadata/a", Size: 1}: says("a")},
		"the disk is full":         {File{Name: "targets/a", Size: 1}: func(io.Writer) error { return errors.New("the disk is full") }},
	} {
		if err := write(io.Discard, c); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
}
