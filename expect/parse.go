package expect

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Limits of expectations.
const (
	MaxSize  = proofs.MaxNoteSize // bytes of a note
	MaxLines = 4096               // of its text
	// MaxPatterns is how many patterns of paths one release may have: each is compared with
	// each path that a release changes.
	MaxPatterns = 256
)

// LineError says which line of a note is refused, and why.
type LineError struct {
	Line   int // from 1; 0: the whole text
	Reason string
}

// Error names the line and the reason.
func (e *LineError) Error() string {
	if e.Line == 0 {
		return "expectations: " + e.Reason
	}
	return fmt.Sprintf("expectations, line %d: %s", e.Line, e.Reason)
}

// ParseText reads exactly the text that Text prints. The error is a *LineError.
func ParseText(text string) (*Expectations, error) {
	if len(text) > MaxSize {
		return nil, &LineError{0, fmt.Sprintf("%d bytes, the limit is %d", len(text), MaxSize)}
	}
	if !strings.HasSuffix(text, "\n") {
		return nil, &LineError{strings.Count(text, "\n") + 1, "the text does not end in a line feed: it was cut short"}
	}
	if n := strings.Count(text, "\n"); n > MaxLines {
		return nil, &LineError{0, fmt.Sprintf("%d lines, the limit is %d", n, MaxLines)}
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	e := &Expectations{}
	if err := e.header(lines); err != nil {
		return nil, err
	}
	p := parser{e: e}
	for i, line := range lines[headerLines:] {
		if err := p.line(line); err != nil {
			return nil, &LineError{headerLines + i + 1, err.Error()}
		}
	}
	e.Sort()
	if printed := e.Text(); printed != text {
		n := 0
		for want := range strings.SplitSeq(printed, "\n") {
			if n >= len(lines) || lines[n] != want {
				return nil, &LineError{n + 1, "it is not in its place, or not spelled as it has to be; here belongs: " + strings.TrimSpace(tuf.Clip(want))}
			}
			n++
		}
		return nil, &LineError{0, "it has another spelling"}
	}
	return e, e.Check()
}

// headerLines is how many lines come before the bases.
const headerLines = 5

func (e *Expectations) header(lines []string) error {
	at := func(i int, name string) (string, error) {
		if i >= len(lines) {
			return "", &LineError{i + 1, "want the line " + name + ", the text ends here"}
		}
		value, ok := strings.CutPrefix(lines[i], name+" ")
		if !ok {
			return "", &LineError{i + 1, "want " + name + ", not " + tuf.Word(lines[i])}
		}
		return value, nil
	}
	if lines[0] != Line {
		if strings.HasPrefix(lines[0], "tuflog expectations v") {
			return &LineError{1, tuf.Word(lines[0]) + " is a version that this program does not know"}
		}
		return &LineError{1, "want " + Line + ", not " + tuf.Word(lines[0])}
	}
	for i, field := range []struct {
		name string
		read func(s string) error
	}{
		{"repository", func(s string) (err error) { e.Repository, err = tuf.ParseDigest(s); return err }},
		{"version", func(s string) (err error) { e.Version, err = version(s); return err }},
		{"from", func(s string) (err error) { e.From, err = moment(s); return err }},
		{"until", func(s string) (err error) { e.Until, err = moment(s); return err }},
	} {
		value, err := at(i+1, field.name)
		if err != nil {
			return err
		}
		if err := field.read(value); err != nil {
			return &LineError{i + 2, field.name + ": " + err.Error()}
		}
	}
	return nil
}

// ParseDraft reads what a person writes: the lines of a note from the first base or release
// on, in any order of the releases and of the lines of each, with comments, which are lines
// that begin with #, and empty lines. It may begin with the repository line of a note; what
// else comes before the bases in a note is left zero. The error is a *LineError.
func ParseDraft(text string) (*Expectations, error) {
	if len(text) > MaxSize {
		return nil, &LineError{0, fmt.Sprintf("%d bytes, the limit is %d", len(text), MaxSize)}
	}
	e := &Expectations{}
	p := parser{e: e}
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		line = strings.Trim(line, " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		line = strings.Join(strings.Fields(line), " ")
		if id, ok := strings.CutPrefix(line, "repository "); ok && e.Repository.IsZero() {
			sum, err := tuf.ParseDigest(id)
			if err != nil {
				return nil, &LineError{n, "repository: " + err.Error()}
			}
			e.Repository = sum
			continue
		}
		if err := p.line(line); err != nil {
			return nil, &LineError{n, err.Error()}
		}
	}
	e.Sort()
	return e, e.checkBody()
}

// parser reads the lines behind the header.
type parser struct {
	e *Expectations
}

func (p *parser) line(line string) error {
	words := strings.Split(line, " ")
	kind, args := words[0], words[1:]
	switch kind {
	case "base":
		return p.base(args)
	case "release":
		return p.release(args)
	}
	read, ok := releaseLines[kind]
	if !ok {
		return fmt.Errorf("%s is not a kind of line", tuf.Word(kind))
	}
	if len(p.e.Releases) == 0 {
		return fmt.Errorf("%s has to come after the release line that it is about", kind)
	}
	return read(&p.e.Releases[len(p.e.Releases)-1], args)
}

func (p *parser) base(args []string) error {
	if len(args) != 3 {
		return errors.New("want base ROLE VERSION PAYLOAD")
	}
	if len(p.e.Releases) > 0 {
		return errors.New("bases come before the first release line")
	}
	var b Base
	var err error
	if b.Role, err = role(args[0]); err != nil {
		return err
	}
	if b.Version, err = version(args[1]); err != nil {
		return err
	}
	if b.Payload, err = tuf.ParseDigest(args[2]); err != nil {
		return err
	}
	p.e.Bases = append(p.e.Bases, b)
	return nil
}

func (p *parser) release(args []string) error {
	if len(args) != 2 {
		return errors.New("want release ROLE VERSIONS")
	}
	var r Release
	var err error
	if r.Role, err = name(args[0], "*", tuf.MaxRoleName); err != nil {
		return err
	}
	if r.Versions, err = versions(args[1]); err != nil {
		return err
	}
	p.e.Releases = append(p.e.Releases, r)
	return nil
}

// releaseLines read the lines of a release.
var releaseLines = map[string]func(r *Release, args []string) error{
	"payload": func(r *Release, args []string) (err error) {
		if len(args) != 1 || !r.Payload.IsZero() {
			return errors.New("want payload HEX, once")
		}
		r.Payload, err = tuf.ParseDigest(args[0])
		return err
	},
	"file":   (*Release).file,
	"remove": func(r *Release, args []string) error { return pattern(&r.Removed, "remove", args) },
	"paths":  func(r *Release, args []string) error { return pattern(&r.Paths, "paths", args) },
	"keys": func(r *Release, args []string) error {
		if len(args) != 3 {
			return errors.New("want keys ROLE THRESHOLD ID,ID")
		}
		k, err := keys(args)
		if err != nil {
			return err
		}
		r.Keys = append(r.Keys, k)
		return nil
	},
	"delegation": (*Release).delegation,
	"no-delegation": func(r *Release, args []string) error {
		if len(args) != 1 {
			return errors.New("want no-delegation ROLE")
		}
		of, err := role(args[0])
		if err != nil {
			return err
		}
		r.NoDelegations = append(r.NoDelegations, of)
		return nil
	},
	"delegations": func(r *Release, args []string) error {
		if len(args) != 1 || args[0] != "any" || r.AnyDelegations {
			return errors.New("want delegations any, once")
		}
		r.AnyDelegations = true
		return nil
	},
	"member": func(r *Release, args []string) error {
		if len(args) != 1 {
			return errors.New("want member NAME")
		}
		of, err := name(args[0], "", tuf.MaxRoleName)
		if err != nil {
			return err
		}
		r.Members = append(r.Members, of)
		return nil
	},
}

func (r *Release) file(args []string) error {
	if len(args) != 3 && len(args) != 4 {
		return errors.New("want file PATH SIZE HASH[,HASH] [custom:HEX]")
	}
	f := File{Length: -1}
	var err error
	if f.Path, err = name(args[0], pathBytes, tuf.MaxTargetPath); err != nil {
		return err
	}
	if args[1] != "-" {
		if f.Length, err = proofs.ParseDecimal(args[1]); err != nil {
			return fmt.Errorf("size: %w", err)
		}
	}
	known := false
	for word := range strings.SplitSeq(args[2], ",") {
		h, err := hash(word)
		switch {
		case err != nil:
			return err
		case len(f.Hashes) == tuf.MaxHashes:
			return fmt.Errorf("more than %d hashes", tuf.MaxHashes)
		case slices.ContainsFunc(f.Hashes, func(other Hash) bool { return other.Algorithm == h.Algorithm }):
			return fmt.Errorf("two hashes %s", tuf.Word(h.Algorithm))
		}
		known = known || hashSize[h.Algorithm] > 0
		f.Hashes = append(f.Hashes, h)
	}
	if !known {
		return fmt.Errorf("%s: want sha256:HEX or sha512:HEX among the hashes", tuf.Word(args[2]))
	}
	if len(args) == 4 {
		word, ok := strings.CutPrefix(args[3], customWord)
		if f.AnyCustom = word == "any"; !ok {
			return fmt.Errorf("%s: want custom:any, or custom:HEX with the SHA-256 of the custom data", tuf.Word(args[3]))
		}
		if !f.AnyCustom {
			if f.Custom, err = tuf.ParseDigest(word); err != nil {
				return fmt.Errorf("custom: %w", err)
			}
		}
	}
	r.Files = append(r.Files, f)
	return nil
}

// hash reads the word ALGORITHM:HEX.
func hash(word string) (h Hash, err error) {
	algorithm, digits, ok := strings.Cut(word, ":")
	if !ok {
		return h, fmt.Errorf("%s: want sha256:HEX or sha512:HEX", tuf.Word(word))
	}
	if h.Algorithm, err = name(algorithm, "/", maxAlgorithm); err != nil {
		return h, err
	}
	size := hashSize[h.Algorithm]
	if size == 0 {
		size = min(max(1, len(digits)/2), maxHash)
	}
	if !tuf.DecodeHex(make([]byte, size), digits) {
		return h, fmt.Errorf("%s: want %d lower-case hex digits", tuf.Word(word), 2*size)
	}
	h.Hex = digits
	return h, nil
}

// Limits of hashes that TUF does not define.
const (
	maxAlgorithm = 64  // bytes of the name
	maxHash      = 512 // bytes
)

var hashSize = map[string]int{"sha256": 32, "sha512": 64}

func (r *Release) delegation(args []string) error {
	if len(args) != 4 && (len(args) != 5 || args[4] != "terminating") {
		return errors.New("want delegation ROLE THRESHOLD ID,ID PATTERN,PATTERN [terminating]")
	}
	k, err := keys(args[:3])
	if err != nil {
		return err
	}
	d := Delegation{Keys: k, Terminating: len(args) == 5}
	if args[3] != "-" {
		for word := range strings.SplitSeq(args[3], ",") {
			if prefix, ok := strings.CutPrefix(word, hashWord); ok {
				if len(prefix) > 64 || strings.Trim(prefix, "0123456789abcdef") != "" {
					return fmt.Errorf("%s: want at most 64 lower-case hex digits", tuf.Word(word))
				}
				d.Hashes = append(d.Hashes, prefix)
				continue
			}
			p, err := name(word, patternBytes, tuf.MaxTargetPath)
			if err != nil {
				return err
			}
			d.Paths = append(d.Paths, p)
		}
	}
	r.Delegations = append(r.Delegations, d)
	return nil
}

// keys reads the words ROLE THRESHOLD ID,ID.
func keys(args []string) (k Keys, err error) {
	if k.Role, err = role(args[0]); err != nil {
		return k, err
	}
	threshold, err := proofs.ParseDecimal(args[1])
	if err != nil || threshold < 1 || threshold > tuf.MaxKeys {
		return k, fmt.Errorf("threshold %s: want 1 to %d", tuf.Word(args[1]), tuf.MaxKeys)
	}
	k.Threshold = int(threshold)
	for word := range strings.SplitSeq(args[2], ",") {
		var id tuf.KeyIdentity
		if !tuf.DecodeHex(id[:], word) {
			return k, fmt.Errorf("key %s: want the 64 lower-case hex digits of a key's identity", tuf.Word(word))
		}
		if len(k.Keys) == tuf.MaxKeys {
			return k, fmt.Errorf("more than %d keys", tuf.MaxKeys)
		}
		k.Keys = append(k.Keys, id)
	}
	return k, nil
}

func pattern(list *[]string, kind string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want %s PATTERN", kind)
	}
	p, err := name(args[0], patternBytes, tuf.MaxTargetPath)
	if err != nil {
		return err
	}
	*list = append(*list, p)
	return nil
}

// name reads a name in its one spelling.
func name(word, also string, most int) (string, error) {
	s, ok := tuf.UnescapeRole(word)
	switch {
	case !ok, escape(s, also) != word:
		return "", fmt.Errorf("%s is not a name as it has to be written: bytes other than letters, digits and -._~%s as %% and two upper-case hex digits", tuf.Word(word), also)
	case s == "":
		return "", errors.New("a name is empty")
	case len(s) > most:
		return "", fmt.Errorf("a name has %d bytes, the limit is %d", len(s), most)
	}
	return s, nil
}

func role(word string) (string, error) {
	s, err := name(word, "", tuf.MaxRoleName)
	if err == nil {
		if why := tuf.BadRoleName(s); why != "" {
			return "", errors.New("a role " + why)
		}
	}
	return s, err
}

func version(word string) (int64, error) {
	v, err := proofs.ParseDecimal(word)
	if err != nil || v < 1 || v > tuf.MaxVersion {
		return 0, fmt.Errorf("version %s: want 1 to %d", tuf.Word(word), int64(tuf.MaxVersion))
	}
	return v, nil
}

func versions(word string) (Versions, error) {
	switch word {
	case "next":
		return NextVersion, nil
	case "any":
		return AnyVersion, nil
	}
	first, last, isRange := strings.Cut(word, "-")
	var v Versions
	var err error
	if v.First, err = version(first); err != nil {
		return v, fmt.Errorf("%w, such as 15, 15-18 or 15-, or next, or any", err)
	}
	switch {
	case !isRange:
		v.Last = v.First
	case last == "":
		v.Last = tuf.MaxVersion
	default:
		if v.Last, err = version(last); err != nil {
			return v, err
		}
	}
	if v.First > v.Last || v.String() != word {
		return v, fmt.Errorf("versions %s: want them as %s", tuf.Word(word), v)
	}
	return v, nil
}

func moment(word string) (time.Time, error) {
	t, err := time.Parse(timeForm, word)
	if err != nil || t.Format(timeForm) != word {
		return t, fmt.Errorf("%s: want a time such as 2026-11-30T12:00:00Z", tuf.Word(word))
	}
	return t, nil
}

// Check says why e is not a note that Parse would read, or returns nil. It expects e to be
// sorted.
func (e *Expectations) Check() error {
	refuse := func(line int, format string, args ...any) error {
		return &LineError{line, fmt.Sprintf(format, args...)}
	}
	switch {
	case e.Repository.IsZero():
		return refuse(2, "repository: it is zero")
	case e.Version < 1 || e.Version > tuf.MaxVersion:
		return refuse(3, "version %d: want 1 to %d", e.Version, int64(tuf.MaxVersion))
	case !e.From.Before(e.Until):
		return refuse(5, "until %s: it is not after from", e.Until.UTC().Format(timeForm))
	case e.From.Year() < 1970 || e.Until.Year() > 9999:
		return refuse(5, "until %s: want a year up to 9999", e.Until.UTC().Format(timeForm))
	}
	return e.checkBody()
}

func (e *Expectations) checkBody() error {
	refuse := func(format string, args ...any) error { return &LineError{0, fmt.Sprintf(format, args...)} }
	for i := range e.Bases[min(1, len(e.Bases)):] {
		if a, b := e.Bases[i], e.Bases[i+1]; compareRoles(a.Role, b.Role) >= 0 {
			return refuse("the bases of %s and %s: want each role once, root, targets, snapshot and timestamp in their places, others in the order of their names", tuf.Word(a.Role), tuf.Word(b.Role))
		}
	}
	for i := range e.Releases {
		r := &e.Releases[i]
		if i > 0 && compareReleases(e.Releases[i-1], *r) >= 0 {
			return refuse("release %s %s: it is there twice, or not in its place", tuf.Word(r.Role), r.Versions)
		}
		if why := r.check(); why != "" {
			return refuse("release %s %s: %s", tuf.Word(r.Role), r.Versions, why)
		}
	}
	return nil
}

// check says what is wrong with a release, or returns "".
func (r *Release) check() string {
	targets := tuf.TypeOf(r.Role) == tuf.RoleTargets
	changes := len(r.Files) + len(r.Removed) + len(r.Paths) + len(r.Delegations) + len(r.NoDelegations)
	switch {
	case !r.Payload.IsZero() && (changes+len(r.Keys)+len(r.Members) > 0 || r.AnyDelegations):
		return "a payload says all: no other line may follow"
	case !r.Payload.IsZero() && r.Versions.First != r.Versions.Last:
		return "a payload has one version"
	case !targets && (changes > 0 || r.AnyDelegations):
		return "only targets and delegated roles list files and delegate"
	case !targets && r.Role != tuf.RoleRoot && len(r.Members) > 0:
		return "of snapshot and timestamp only the version is judged"
	case r.Role != tuf.RoleRoot && len(r.Keys) > 0:
		return "only root names the keys of roles: use delegation"
	case r.AnyDelegations && len(r.Delegations)+len(r.NoDelegations) > 0:
		return "delegations any says all of delegations"
	case len(r.Removed)+len(r.Paths) > MaxPatterns:
		return fmt.Sprintf("%d patterns, the limit is %d", len(r.Removed)+len(r.Paths), MaxPatterns)
	}
	for i := range r.Files[min(1, len(r.Files)):] {
		if r.Files[i].Path == r.Files[i+1].Path {
			return fmt.Sprintf("file %s is there twice", tuf.Word(r.Files[i].Path))
		}
	}
	for i, k := range r.Keys {
		if !tuf.IsTopLevel(k.Role) {
			return fmt.Sprintf("keys %s: root names keys of root, targets, snapshot and timestamp alone", tuf.Word(k.Role))
		}
		if i > 0 && r.Keys[i-1].Role == k.Role {
			return fmt.Sprintf("keys %s: they are there twice", k.Role)
		}
		if k.Threshold > len(k.Keys) {
			return fmt.Sprintf("keys %s: %d of %d can never sign", k.Role, k.Threshold, len(k.Keys))
		}
	}
	for i, d := range r.Delegations {
		switch {
		case tuf.IsTopLevel(d.Role):
			return fmt.Sprintf("delegation %s: that is not a role to delegate to", d.Role)
		case i > 0 && r.Delegations[i-1].Role == d.Role, slices.Contains(r.NoDelegations, d.Role):
			return fmt.Sprintf("delegation %s: it is there twice", tuf.Word(d.Role))
		case d.Threshold > len(d.Keys.Keys):
			return fmt.Sprintf("delegation %s: %d of %d can never sign", tuf.Word(d.Role), d.Threshold, len(d.Keys.Keys))
		case len(d.Paths) > 0 && len(d.Hashes) > 0:
			return fmt.Sprintf("delegation %s: want paths or hashes, not both", tuf.Word(d.Role))
		}
	}
	return ""
}
