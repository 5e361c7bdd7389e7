package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// releasePage is one entry of a log.
type releasePage struct {
	standing
	Log   string `json:"log"`
	Index int64  `json:"index"`
	*leaf.Fields
	Verdict  audit.Verdict `json:"verdict"`
	Expires  int64         `json:"expires,omitempty"`
	Seen     int64         `json:"seen_by,omitempty"` // when a quorum of witnesses had seen it
	Name     string        `json:"name,omitempty"`    // of the repository, here
	InForce  *bool         `json:"in_force"`          // nil: it is not known
	Force    string        `json:"force,omitempty"`   // in force, expired, replaced, withdrawn or not known; empty: it cannot be
	Newer    *int64        `json:"newer,omitempty"`   // the next release of its role
	Older    *int64        `json:"older,omitempty"`
	Rivals   []int64       `json:"rivals,omitempty"` // entries of its role and version with another payload
	Meaning  *meaning      `json:"meaning"`
	Findings []foundLine   `json:"findings"`
	Sentence string        `json:"sentence"`
	Tone     string        `json:"-"`

	MetadataPath string   `json:"metadata_path,omitempty"` // where to download it
	ProofPath    string   `json:"proof_path,omitempty"`
	FileName     string   `json:"file_name,omitempty"` // under which the commands expect it
	Commands     []string `json:"commands,omitempty"`
	Vendor       string   `json:"repository_page,omitempty"`
}

// entry reads the entry that a request's path names.
func (b *book) entry(r *http.Request) (l state.Leaf, err error) {
	text := r.PathValue("index")
	index, err := strconv.ParseInt(text, 10, 64)
	if err != nil || index < 0 || strconv.FormatInt(index, 10) != text {
		return l, notFound("An entry of a log is named by its index, from 0.")
	}
	err = b.read(r.Context(), func(db *reader) error {
		found, ok, err := db.Leaf(r.Context(), index)
		if err == nil && !ok {
			return notFound("Of this log %s been judged: there is no entry %d among them.", hasHave(db.Size()), index)
		}
		l = found
		return err
	})
	if errors.Is(err, errNothingYet) {
		err = notFound("Nothing of this log has been judged yet.")
	}
	return l, err
}

func hasHave(n int64) string {
	if n == 1 {
		return "1 entry has"
	}
	return plural(n, "entry") + " have"
}

func (s *Server) release(r *http.Request) (*view, error) {
	b, err := s.book(r)
	if err != nil {
		return nil, err
	}
	l, err := b.entry(r)
	if err != nil {
		return nil, err
	}
	p := &releasePage{Log: b.Name, Index: l.Index, Verdict: l.Verdict, Expires: l.Expires, Findings: []foundLine{}}
	title := fmt.Sprintf("Entry %d", l.Index)
	if l.IsLeaf() {
		fields := l.Leaf.Fields()
		p.Fields, p.Name = &fields, b.name(r.Context(), l.Repository)
		title = fmt.Sprintf("%s %d", tuf.Word(l.Role), l.Version)
		p.Vendor = pathOf("logs", b.Name, "repositories", l.Repository)
		if p.Meaning, err = b.explainOne(r.Context(), l); err != nil {
			return nil, err
		}
		p.offer(b, l)
	}
	if err := b.read(r.Context(), func(db *reader) error { return b.around(r.Context(), db, l, p) }); err != nil {
		return nil, err
	}
	if p.standing, err = b.standing(r.Context()); err != nil {
		return nil, err
	}
	p.Sentence, p.Tone = p.say(l)
	return &view{template: "release", title: title, section: "logs", log: b.Name, data: p}, nil
}

// offer says what can be downloaded, and the commands that check it.
func (p *releasePage) offer(b *book, l state.Leaf) {
	base := pathOf("logs", b.Name, "releases", l.Index)
	p.FileName = metadataName(l)
	if b.source != nil {
		p.MetadataPath, p.ProofPath = base+"/metadata", base+"/proof"
		p.Commands = append(p.Commands, b.command("auditor compare "+p.FileName))
	}
	if row := p.Meaning.Row; row != nil && row.Against != nil {
		p.Commands = append(p.Commands, b.command(fmt.Sprintf("auditor diff %d %d", *row.Against, l.Index)))
	}
	p.Commands = append(p.Commands, b.command("auditor show "+l.Repository.String()+" --role "+printable.ShellWord(l.Role)))
}

// metadataName is the name of a leaf's file, as in a repository: 14.targets.json.
func metadataName(l state.Leaf) string {
	return fileName(fmt.Sprintf("%d.%s.json", l.Version, l.Role))
}

// command adds the flags that a command of the auditor takes.
func (b *book) command(words string) string {
	words += " --policy policy.txt"
	if b.URL != "" {
		words += " --log " + printable.ShellWord(b.URL)
	}
	return words
}

// around reads what else the log has about an entry: rivals, the release before and after,
// findings.
func (b *book) around(ctx context.Context, db *reader, l state.Leaf, p *releasePage) (err error) {
	if l.IsLeaf() {
		err := db.LeavesOfVersion(ctx, l.Repository, l.Role, l.Version, func(other state.Leaf) error {
			if other.Verdict == state.Right && other.Payload != l.Payload && len(p.Rivals) < pageSize {
				p.Rivals = append(p.Rivals, other.Index)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for version, into := range map[int64]**int64{l.Version - 1: &p.Older, l.Version + 1: &p.Newer} {
			err := db.LeavesOfVersion(ctx, l.Repository, l.Role, version, func(other state.Leaf) error {
				if other.Verdict == state.Right && other.Kind == leaf.Release {
					index := other.Index
					*into = &index
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if l.Kind == leaf.Release && l.Verdict == state.Right {
			if p.Force, err = b.force(db).of(ctx, l.Repository, l.Role, l.Index, l.Index); err != nil {
				return err
			}
			if p.Force != notKnown {
				is := p.Force == inForce
				p.InForce = &is
			}
		}
	}
	var of tuf.Digest
	if l.IsLeaf() {
		of = l.Repository
	}
	if p.Seen, err = b.seen(ctx, db, l.Index); err != nil {
		return err
	}
	found, err := db.FindingsOf(ctx, of, l.Index, pageSize)
	if err != nil {
		return err
	}
	for _, f := range found {
		line, err := b.lineOf(ctx, db, f)
		if err != nil {
			return err
		}
		p.Findings = append(p.Findings, line)
	}
	return nil
}

// say words what the auditor says of an entry.
func (p *releasePage) say(l state.Leaf) (sentence, tone string) {
	switch {
	case l.Verdict == state.TheEnd:
		return "This entry says that the log has ended.", "note"
	case l.Verdict == state.Wrong && !l.IsLeaf():
		return "This entry is not a leaf: the log must not have it.", "bad"
	case l.Verdict == state.Wrong:
		return "The rules do not give this entry: the log must not have admitted it, and devices should not trust what it says.", "bad"
	case l.Verdict == state.NotJudged:
		return "This entry could not be judged yet: a file that this takes is missing.", "wait"
	case l.Verdict == state.UnknownToUs:
		return "This entry is of a kind that this auditor does not know. A newer one may.", "wait"
	case l.Kind == leaf.Evidence:
		return fmt.Sprintf("The repository's keys signed two payloads under this version: this one, and that of entry %d.", l.Contradicts), "bad"
	case len(p.Rivals) > 0:
		return "It was released by enough of its keys, and they signed another payload under the same version.", "bad"
	}
	sentence = "Enough keys of its role signed it, and the log admitted it by its rules."
	sentence += " " + forceSays(p.Force)
	switch {
	case p.accused():
		return sentence + " But there are findings against the log itself: others may have been shown another release.", "bad"
	case p.Force == inForce && p.LogTone == "wait":
		return sentence, "note"
	case p.Force == inForce:
		return sentence, "good"
	case p.Force == expired, p.Force == withdrawn:
		return sentence, "wait"
	}
	return sentence, "note"
}

// metadataFile answers with the file that a leaf names.
func (s *Server) metadataFile(w http.ResponseWriter, r *http.Request) {
	b, err := s.book(r)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	l, err := b.entry(r)
	if err == nil && !l.IsLeaf() {
		err = notFound("Entry %d is not a leaf: it names no file.", l.Index)
	}
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	if l.Verdict == state.Right && b.source != nil {
		// The leaf says enough for the answers that have no body.
		h := w.Header()
		attached(h, metadataName(l))
		if s.has(w, r, l.Metadata) {
			return
		}
		if r.Method == http.MethodHead {
			h.Set("Content-Type", "application/octet-stream")
			h.Set("Content-Length", strconv.FormatInt(l.Size, 10))
			return
		}
		h.Del("Content-Disposition")
		h.Del("Cache-Control")
		h.Del("ETag")
	}
	content, err := b.files.get(r.Context(), l.Metadata)
	if err != nil {
		s.failWith(w, r, b.missing(r.Context(), err))
		return
	}
	s.attach(w, r, metadataName(l), content)
}

// missing turns the error of a file that could not be read into what a reader is told. It may
// be that of a state that was replaced meanwhile.
func (b *book) missing(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || passing(err) {
		return err
	}
	if again := b.read(ctx, func(*reader) error { return nil }); errors.Is(again, errReplaced) {
		return again
	}
	if errors.As(err, new(errNotFound)) {
		return err
	}
	return notFound("This cannot be given: %s.", b.trouble(err))
}

// proofFile answers with the proof of an entry: the sidecar of its file.
func (s *Server) proofFile(w http.ResponseWriter, r *http.Request) {
	b, err := s.book(r)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	l, err := b.entry(r)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	proof, err := b.prove(r.Context(), l)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	name := fmt.Sprintf("%d", l.Index)
	if l.IsLeaf() {
		name = metadataName(l)
	}
	s.attach(w, r, name+".tlog-proof", proof)
}

// prove makes a proof of an entry under the newest verified checkpoint, and verifies it.
func (b *book) prove(ctx context.Context, l state.Leaf) ([]byte, error) {
	if b.source == nil {
		return nil, notFound("This page is made of the audit state alone: ask the log for the proof.")
	}
	var note []byte
	err := b.read(ctx, func(db *reader) (err error) {
		note, err = db.Verified(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	key := provedKey{l.Index, tuf.Sum(note)}
	if proof, ok := b.proved.get(key); ok {
		return proof, nil
	}
	c, err := b.Policy.OpenCheckpoint(note)
	if err != nil || c.Tree.N <= l.Index {
		return nil, notFound("No checkpoint that covers entry %d was verified yet.", l.Index)
	}
	for _, kept := range []*cache[tileKey, []byte]{b.tiles, nil} {
		tiles := &sourceTiles{source: b.source, kept: kept}
		hashes, err := proofs.InclusionProof(ctx, c.Tree, l.Index, tiles)
		if err != nil && tiles.unread != nil {
			return nil, b.missing(ctx, err)
		}
		proof := proofs.Proof{Extra: l.Entry(), Index: l.Index, Hashes: hashes, Checkpoint: note}
		if err == nil {
			_, err = proof.Verify(b.Policy, proof.Extra)
		}
		if err == nil {
			for tile, content := range tiles.read { // they have proved something
				b.tiles.put(tile, content)
			}
			made := proof.Marshal()
			b.proved.put(key, made)
			return made, nil
		}
		b.tiles.clear() // they may be of a tree that was another one
	}
	return nil, b.missing(ctx, notFound("The log does not serve tiles that prove entry %d now.", l.Index))
}

// provedKey is of a proof that was made.
type provedKey struct {
	index int64
	note  tuf.Digest
}

// tileKey names a tile.
type tileKey struct {
	level int
	index int64
	width int
}

// sourceTiles reads the tiles of a source, and those that are kept. What they say is verified
// where it is used.
type sourceTiles struct {
	source *asking
	kept   *cache[tileKey, []byte] // nil: none are
	read   map[tileKey][]byte
	unread error // why one could not be read
}

// ReadTile implements proofs.TileReader.
func (t *sourceTiles) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	key := tileKey{level, index, width}
	if t.kept != nil {
		if tile, ok := t.kept.get(key); ok {
			return tile, nil
		}
	}
	tile, err := t.source.Tile(ctx, level, index, width)
	if err != nil {
		t.unread = err
		return nil, err
	}
	if t.read == nil {
		t.read = map[tileKey][]byte{}
	}
	t.read[key] = tile
	return tile, nil
}

// roleNames joins the names of roles.
func roleNames(names []string) string {
	var words []string
	for _, name := range names {
		words = append(words, tuf.Word(name))
	}
	return strings.Join(words, ", ")
}
