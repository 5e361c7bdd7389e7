package proofs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// A PolicyLog is a log whose checkpoints a policy accepts.
type PolicyLog struct {
	Key Key    // of type Ed25519, ECDSA or MLDSA44; its name is the log's origin
	URL string // as written, empty if none
}

// A PolicyWitness is a witness that a policy knows.
type PolicyWitness struct {
	Name string // opaque bytes that mean something only within the policy
	Key  Key    // of type CosignatureV1 or MLDSA44
	URL  string // as written, empty if none
}

// A Policy defines the checkpoints to trust (c2sp.org/tlog-policy): those
// signed by one of the logs and cosigned by a quorum of the witnesses.
//
// The zero Policy, the nil Policy and any other that ParsePolicy did not make
// accept nothing. Callers that learn the log's key elsewhere may append it to
// Logs.
type Policy struct {
	Logs      []PolicyLog
	Witnesses []PolicyWitness

	groups []group // members come before the groups they are in
	quorum quorum
}

// ParsePolicy reads a policy file. Errors name the line.
//
// Beyond c2sp.org/tlog-policy it refuses a URL that begins with "#", because
// comments take whole lines, a file that does not end in a newline, because it may
// be cut short, and a witness with the key of a log, which could vouch for itself:
// with ML-DSA-44 one signature would be both.
func ParsePolicy(b []byte) (*Policy, error) {
	if len(b) > MaxPolicySize {
		return nil, fmt.Errorf("policy: %d bytes, more than %d", len(b), MaxPolicySize)
	}
	p := policyParser{
		policy:    new(Policy),
		names:     make(map[string]member),
		grouped:   make(map[string]string),
		logs:      make(map[string]string),
		witnesses: make(map[string]string),
	}
	line := 0
	for s := string(b); s != ""; line++ {
		text, rest, ok := strings.Cut(s, "\n")
		if !ok {
			return nil, fmt.Errorf("policy: line %d: no newline at the end of the file", line+1)
		}
		if err := p.line(text); err != nil {
			return nil, fmt.Errorf("policy: line %d: %w", line+1, err)
		}
		s = rest
	}
	if p.policy.quorum.kind == quorumUndefined {
		return nil, fmt.Errorf("policy: the file ends after %d lines, without a quorum line", line)
	}
	return p.policy, nil
}

type policyParser struct {
	policy  *Policy
	names   map[string]member // witnesses and groups defined so far
	grouped map[string]string // member name to the group that lists it

	// Public keys to the log or witness that has it: one key counts once,
	// whatever its name and type.
	logs, witnesses map[string]string
}

func (p *policyParser) line(text string) error {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return fmt.Errorf("control character 0x%02x at column %d", c, i+1)
		}
	}
	items := splitItems(text)
	if len(items) == 0 || strings.HasPrefix(items[0], "#") {
		return nil
	}
	switch args := items[1:]; items[0] {
	case "log":
		return p.log(args)
	case "witness":
		return p.witness(args)
	case "group":
		return p.group(args)
	case "quorum":
		return p.quorum(args)
	}
	return fmt.Errorf("unknown keyword %s", strict.Quote(items[0]))
}

// splitItems splits at spaces and tabs. Nothing else separates: bytes above 0x7f
// are opaque.
func splitItems(line string) []string {
	blank := func(c byte) bool { return c == ' ' || c == '\t' }
	n := 0
	for i := range len(line) {
		if !blank(line[i]) && (i == 0 || blank(line[i-1])) {
			n++
		}
	}
	items := make([]string, 0, n)
	start := 0
	for i := range len(line) + 1 {
		if i < len(line) && !blank(line[i]) {
			continue
		}
		if start < i {
			items = append(items, line[start:i])
		}
		start = i + 1
	}
	return items
}

func (p *policyParser) log(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("want: log VKEY [URL]")
	}
	key, url, err := parseKeyAndURL(args)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if !key.alg.ForLogs() {
		return fmt.Errorf("log: key %s has type %v, want %v, %v or %v", strict.Quote(args[0]), key.alg, Ed25519, ECDSA, MLDSA44)
	}
	if other, ok := p.logs[key.pub]; ok {
		return fmt.Errorf("log %s has the public key of log %s", strict.Quote(key.name), strict.Quote(other))
	}
	if witness, ok := p.witnesses[key.pub]; ok {
		return fmt.Errorf("log %s has the public key of witness %s", strict.Quote(key.name), strict.Quote(witness))
	}
	p.logs[key.pub] = key.name
	p.policy.Logs = append(p.policy.Logs, PolicyLog{Key: key, URL: url})
	return nil
}

func (p *policyParser) witness(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return errors.New("want: witness NAME VKEY [URL]")
	}
	name := args[0]
	key, url, err := parseKeyAndURL(args[1:])
	if err != nil {
		return fmt.Errorf("witness %s: %w", strict.Quote(name), err)
	}
	if !key.alg.ForWitnesses() {
		return fmt.Errorf("witness %s: key %s has type %v, want %v or %v", strict.Quote(name), strict.Quote(args[1]), key.alg, CosignatureV1, MLDSA44)
	}
	if other, ok := p.witnesses[key.pub]; ok {
		return fmt.Errorf("witness %s has the public key of witness %s", strict.Quote(name), strict.Quote(other))
	}
	if log, ok := p.logs[key.pub]; ok {
		return fmt.Errorf("witness %s has the public key of log %s", strict.Quote(name), strict.Quote(log))
	}
	p.witnesses[key.pub] = name
	if err := p.define(name, member{name: name, group: -1}); err != nil {
		return err
	}
	p.policy.Witnesses = append(p.policy.Witnesses, PolicyWitness{Name: name, Key: key, URL: url})
	return nil
}

// parseKeyAndURL reads VKEY [URL].
func parseKeyAndURL(args []string) (key Key, url string, err error) {
	if key, err = ParseKey(args[0]); err != nil {
		return Key{}, "", err
	}
	if len(args) > 1 {
		url = args[1]
	}
	if strings.HasPrefix(url, "#") {
		return Key{}, "", fmt.Errorf("URL %s: comments take whole lines", strict.Quote(url))
	}
	return key, url, nil
}

// define enters a name into the one namespace of witnesses and groups.
func (p *policyParser) define(name string, m member) error {
	if name == "none" {
		return errors.New(`the name "none" is reserved`)
	}
	if _, ok := p.names[name]; ok {
		return fmt.Errorf("name %s is already defined", strict.Quote(name))
	}
	p.names[name] = m
	return nil
}

func (p *policyParser) group(args []string) error {
	if len(args) < 3 {
		return errors.New("want: group NAME all|any|K MEMBER [MEMBER]…")
	}
	g := group{name: args[0]}
	members := args[2:]
	switch args[1] {
	case "all":
		g.want = len(members)
	case "any":
		g.want = 1
	default:
		k, err := ParseDecimal(args[1])
		if err != nil {
			return fmt.Errorf("group %s: threshold: %w", strict.Quote(g.name), err)
		}
		if k < 1 || k > int64(len(members)) {
			return fmt.Errorf("group %s: threshold %d of %d members", strict.Quote(g.name), k, len(members))
		}
		g.want = int(k)
	}
	for _, name := range members {
		// The group itself is not defined yet, so it cannot be in itself.
		m, ok := p.names[name]
		if !ok {
			return fmt.Errorf("group %s: member %s is not defined above", strict.Quote(g.name), strict.Quote(name))
		}
		if other, ok := p.grouped[name]; ok {
			return fmt.Errorf("group %s: %s is already a member of group %s", strict.Quote(g.name), strict.Quote(name), strict.Quote(other))
		}
		p.grouped[name] = g.name
		g.members = append(g.members, m)
	}
	if err := p.define(g.name, member{name: g.name, group: len(p.policy.groups)}); err != nil {
		return err
	}
	p.policy.groups = append(p.policy.groups, g)
	return nil
}

func (p *policyParser) quorum(args []string) error {
	if len(args) != 1 {
		return errors.New("want: quorum NAME")
	}
	if p.policy.quorum.kind != quorumUndefined {
		return errors.New("a second quorum line")
	}
	if args[0] == "none" {
		p.policy.quorum = quorum{kind: quorumNone}
		return nil
	}
	m, ok := p.names[args[0]]
	if !ok {
		return fmt.Errorf("quorum %s is not defined above", strict.Quote(args[0]))
	}
	p.policy.quorum = quorum{kind: quorumMember, member: m}
	return nil
}

// A Cosignature is a verified cosignature by a witness of the policy.
type Cosignature struct {
	Witness string // name in the policy
	Key     Key
	Time    int64 // POSIX seconds, the latest if the witness cosigned more than once; 0: not known
}

// A SignedCheckpoint is a checkpoint verified against a policy.
type SignedCheckpoint struct {
	Checkpoint
	Note         Note
	Log          Key           // the policy's key that signed it
	Cosignatures []Cosignature // one per witness, in the policy's order
}

// OpenCheckpoint reads a signed checkpoint and verifies it: a log of the
// policy whose name is the origin signed it (ErrUnknownLog), all of it
// (ErrExtensions), no signature by a log or witness of the policy fails
// (ErrBadSignature), and the witnesses that cosigned it are a quorum
// (*QuorumError). With a *QuorumError, and only with that error, the checkpoint
// is returned too.
//
// Witnesses vouch for the tree and never for extension lines, with any type of
// key: a cosignature counts although it does not cover them.
func (p *Policy) OpenCheckpoint(signed []byte) (*SignedCheckpoint, error) {
	return p.openCheckpoint(string(signed))
}

func (p *Policy) openCheckpoint(signed string) (*SignedCheckpoint, error) {
	note, c, err := parseSigned(signed, 1)
	if err != nil {
		return nil, err
	}
	if p == nil {
		p = new(Policy)
	}
	sc := &SignedCheckpoint{Checkpoint: c, Note: note}
	text := &signedText{text: note.Text, cp: &sc.Checkpoint}
	if sc.Log, err = findLog(note, &sc.Checkpoint, text, p.logKeys); err != nil {
		return nil, err
	}
	var times [4]int64
	for _, w := range p.Witnesses {
		if !w.Key.alg.ForWitnesses() {
			return nil, fmt.Errorf("witness %s: key %s has type %v, want %v or %v", strict.Quote(w.Name), strict.Quote(w.Key.name), w.Key.alg, CosignatureV1, MLDSA44)
		}
		cosigned, err := note.appendTimes(times[:0], text, w.Key)
		if err != nil {
			return nil, fmt.Errorf("witness %s: %w", strict.Quote(w.Name), err)
		}
		if len(cosigned) == 0 {
			continue
		}
		if sc.Cosignatures == nil {
			sc.Cosignatures = make([]Cosignature, 0, min(len(note.Signatures), len(p.Witnesses)))
		}
		sc.Cosignatures = append(sc.Cosignatures, Cosignature{Witness: w.Name, Key: w.Key, Time: slices.Max(cosigned)})
	}
	return sc, p.Satisfied(sc.cosignedBy)
}

// Keys returns the keys of the logs and then of the witnesses, to check evidence with. There
// a key is known by its name and type alone: a witness with a key of type MLDSA44 under the
// name of one of the logs is left out, or what it signed would accuse the log.
func (p *Policy) Keys() []Key {
	var keys []Key
	logs := make(map[string]bool, len(p.Logs))
	for _, l := range p.Logs {
		keys = append(keys, l.Key)
		logs[l.Key.name] = true
	}
	for _, w := range p.Witnesses {
		if !w.Key.alg.ForLogs() || !logs[w.Key.name] {
			keys = append(keys, w.Key)
		}
	}
	return keys
}

func (p *Policy) logKeys(yield func(Key) bool) {
	for _, l := range p.Logs {
		if !yield(l.Key) {
			return
		}
	}
}

func (c *SignedCheckpoint) cosignedBy(witness string) bool {
	return slices.ContainsFunc(c.Cosignatures, func(s Cosignature) bool { return s.Witness == witness })
}
