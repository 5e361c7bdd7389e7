package tuf

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Delegations lists the roles to which targets metadata delegates: in Roles, or
// as the hash bins of Succinct, never both.
type Delegations struct {
	Keys     map[string]*Key // by key id
	Roles    []DelegatedRole // in the order in which a search visits them
	Succinct *Succinct

	keeps bool     // whether to keep bins: a file of a few hundred bytes may have 60 MB of them
	bins  []string // the names of Succinct, once they have been asked for
}

// DelegatedRole is one role and the target paths for which it is trusted.
type DelegatedRole struct {
	Name string
	Role
	Paths            []string // patterns; see Covers
	PathHashPrefixes []string // lower-case hex
	Terminating      bool     // a search that enters this role does not go on to the next

	bins *Succinct // the role is one of these bins
}

// Succinct delegates to 2^BitLength roles at once (TAP 15), the bins: the
// leading bits of the SHA-256 hash of a target's path choose its bin.
type Succinct struct {
	Role
	BitLength  int // 1 to MaxBitLength
	NamePrefix string
}

// Names returns the names of all delegated roles in order. Callers do not change
// them.
func (d *Delegations) Names() []string {
	if d == nil {
		return nil
	}
	if d.bins != nil {
		return d.bins
	}
	if d.Succinct != nil {
		bins := make([]string, 0, 1<<d.Succinct.BitLength)
		for _, name := range d.Succinct.names() {
			bins = append(bins, name)
		}
		return bins
	}
	names := make([]string, len(d.Roles))
	for i, role := range d.Roles {
		names[i] = role.Name
	}
	return names
}

// All returns the delegated roles in order, each with the keys that may sign it.
func (d *Delegations) All() iter.Seq2[string, KeySet] {
	return func(yield func(string, KeySet) bool) {
		if d == nil {
			return
		}
		if d.Succinct != nil {
			keys := NewKeySet(d.Keys, d.Succinct.Role)
			for _, name := range d.Succinct.names() {
				if !yield(name, keys) {
					return
				}
			}
		}
		for _, role := range d.Roles {
			if !yield(role.Name, NewKeySet(d.Keys, role.Role)) {
				return
			}
		}
	}
}

// Delegee is one role to which delegations delegate.
type Delegee struct {
	Keys func() KeySet
	Role *DelegatedRole // nil: a bin
	bins *Succinct      // nil: a role with a name of its own
	bin  uint32
}

// CoversHash reports whether the delegation, which must be by hashes, covers
// paths with this SHA-256 in hex.
func (d Delegee) CoversHash(hash string) bool {
	if d.bins != nil {
		leading, err := strconv.ParseUint(hash[:8], 16, 32)
		return err == nil && uint32(leading)>>(32-d.bins.BitLength) == d.bin
	}
	return slices.ContainsFunc(d.Role.PathHashPrefixes, func(prefix string) bool { return strings.HasPrefix(hash, prefix) })
}

// Among returns the delegated roles with a wanted name, in order.
func (d *Delegations) Among(wanted func(name string) bool) iter.Seq2[string, Delegee] {
	return func(yield func(string, Delegee) bool) {
		if d.Succinct != nil {
			keys := sync.OnceValue(func() KeySet { return NewKeySet(d.Keys, d.Succinct.Role) })
			names := d.Succinct.names()
			if d.keeps {
				d.bins = d.Names()
				names = slices.All(d.bins)
			}
			for i, name := range names {
				if wanted(name) && !yield(name, Delegee{Keys: keys, bins: d.Succinct, bin: uint32(i)}) {
					return
				}
			}
		}
		for i := range d.Roles {
			role := &d.Roles[i]
			keys := func() KeySet { return NewKeySet(d.Keys, role.Role) }
			if wanted(role.Name) && !yield(role.Name, Delegee{Keys: keys, Role: role}) {
				return
			}
		}
	}
}

// Clone copies d, with or without the paths that it covers, so that the memory of
// its file is not kept, and returns about how many bytes the copy takes.
func (d *Delegations) Clone(paths bool) (*Delegations, int) {
	size := 0
	text := func(s string) string {
		size += len(s) + 16
		return strings.Clone(s)
	}
	texts := func(list []string) []string {
		list = slices.Clone(list)
		for i := range list {
			list[i] = text(list[i])
		}
		return list
	}
	c := &Delegations{Keys: make(map[string]*Key, len(d.Keys)), Roles: slices.Clone(d.Roles)}
	for id, key := range d.Keys {
		id = text(id)
		c.Keys[id] = &Key{ID: id, Type: text(key.Type), Scheme: text(key.Scheme), Public: text(key.Public)}
	}
	for i := range c.Roles {
		r := &c.Roles[i]
		r.Name, r.KeyIDs = text(r.Name), texts(r.KeyIDs)
		if paths {
			r.Paths, r.PathHashPrefixes = texts(r.Paths), texts(r.PathHashPrefixes)
		} else {
			r.Paths, r.PathHashPrefixes = nil, nil
		}
		size += 128
	}
	if d.Succinct != nil {
		s := *d.Succinct
		s.KeyIDs, s.NamePrefix = texts(s.KeyIDs), text(s.NamePrefix)
		c.Succinct = &s
		c.keeps = true
		size += (len(s.NamePrefix) + 24) << s.BitLength // their names
	}
	return c, size
}

// KeepNames returns a copy of d that caches the names of its bins once they have been
// computed, trading memory for time.
func (d *Delegations) KeepNames() *Delegations {
	c := *d
	c.keeps = true
	return &c
}

// Find returns the delegation to a role, and the keys that may sign it.
func (d *Delegations) Find(name string) (DelegatedRole, KeySet, bool) {
	if d == nil {
		return DelegatedRole{}, KeySet{}, false
	}
	if d.Succinct != nil && d.Succinct.has(name) {
		role := d.Succinct.bin(name)
		return role, NewKeySet(d.Keys, role.Role), true
	}
	for _, role := range d.Roles {
		if role.Name == name {
			return role, NewKeySet(d.Keys, role.Role), true
		}
	}
	return DelegatedRole{}, KeySet{}, false
}

// For returns the delegated roles that a search for a target's path visits, in
// order: those that cover it, up to the first that is terminating.
func (d *Delegations) For(path string) []DelegatedRole {
	if d == nil {
		return nil
	}
	if d.Succinct != nil {
		return []DelegatedRole{d.Succinct.bin(d.Succinct.roleFor(path))}
	}
	var roles []DelegatedRole
	for _, role := range d.Roles {
		if role.Covers(path) {
			roles = append(roles, role)
			if role.Terminating {
				break
			}
		}
	}
	return roles
}

// Covers reports whether the role is trusted for a target's path. A pattern in
// Paths covers the paths that have as many segments between slashes, each of
// them matching: * stands for any characters of a segment, also none, ? for
// one, every other character for itself.
func (r DelegatedRole) Covers(path string) bool {
	if r.bins != nil {
		return r.bins.roleFor(path) == r.Name
	}
	for _, pattern := range r.Paths {
		if matchPath(pattern, path) {
			return true
		}
	}
	if len(r.PathHashPrefixes) == 0 {
		return false
	}
	sum := sha256.Sum256([]byte(path))
	hash := hex.EncodeToString(sum[:])
	for _, prefix := range r.PathHashPrefixes {
		if strings.HasPrefix(hash, prefix) {
			return true
		}
	}
	return false
}

// roleFor returns the name of the bin for a target's path.
func (s Succinct) roleFor(path string) string {
	sum := sha256.Sum256([]byte(path))
	return s.name(binary.BigEndian.Uint32(sum[:4]) >> (32 - s.BitLength))
}

// name returns the name of a bin: the prefix, a hyphen and the bin's number in
// as many hex digits as the last bin needs.
func (s Succinct) name(bin uint32) string {
	var b strings.Builder
	digits := (s.BitLength + 3) / 4
	b.Grow(len(s.NamePrefix) + 1 + digits)
	b.WriteString(s.NamePrefix)
	b.WriteByte('-')
	for i := digits - 1; i >= 0; i-- {
		b.WriteByte("0123456789abcdef"[bin>>(4*i)&15])
	}
	return b.String()
}

// names yields the bins in order.
func (s Succinct) names() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for i := range 1 << s.BitLength {
			if !yield(i, s.name(uint32(i))) {
				return
			}
		}
	}
}

// has says whether name is that of a bin.
func (s Succinct) has(name string) bool {
	digits, ok := strings.CutPrefix(name, s.NamePrefix+"-")
	if !ok || len(digits) != (s.BitLength+3)/4 || !isLowerHex(digits) {
		return false
	}
	var bin uint32
	for _, c := range []byte(digits) {
		bin = bin<<4 | uint32(strings.IndexByte("0123456789abcdef", c))
	}
	return bin < 1<<s.BitLength
}

func (s *Succinct) bin(name string) DelegatedRole {
	return DelegatedRole{Name: name, Role: s.Role, Terminating: true, bins: s}
}

func matchPath(pattern, path string) bool {
	for {
		p, morePattern, slashInPattern := strings.Cut(pattern, "/")
		n, morePath, slashInPath := strings.Cut(path, "/")
		if slashInPattern != slashInPath || !matchSegment(p, n) {
			return false
		}
		if !slashInPath {
			return true
		}
		pattern, path = morePattern, morePath
	}
}

// matchSegment looks for each piece between two * where it first fits, which is
// enough: an earlier one can always give up what a later one needs. The first and
// the last have their places.
func matchSegment(pattern, name string) bool {
	piece, rest, star := strings.Cut(pattern, "*")
	n, ok := matchStart(piece, name)
	if !ok || !star {
		return ok && n == len(name)
	}
	for {
		name = name[n:]
		if piece, rest, star = strings.Cut(rest, "*"); !star {
			return matchEnd(piece, name)
		}
		if n = matchFirst(piece, name); n < 0 {
			return false
		}
	}
}

// matchStart returns how many bytes a piece, which has no *, takes at the beginning
// of a name.
func matchStart(piece, name string) (n int, ok bool) {
	for i := 0; i < len(piece); {
		if n == len(name) {
			return 0, false
		}
		_, size := utf8.DecodeRuneInString(name[n:])
		switch {
		case piece[i] == '?':
			i++
		case strings.HasPrefix(piece[i:], name[n:n+size]):
			i += size
		default:
			return 0, false
		}
		n += size
	}
	return n, true
}

// matchEnd reports whether a name ends with a piece.
func matchEnd(piece, name string) bool {
	begin := len(name)
	for range piece {
		if begin == 0 {
			return false
		}
		_, size := utf8.DecodeLastRuneInString(name[:begin])
		begin -= size
	}
	_, ok := matchStart(piece, name[begin:])
	return ok
}

// matchFirst returns where a piece ends that fits a name as far to the left as it
// can, or -1. With ? in it, it keeps for all beginnings of the piece, a bit each,
// whether the name has them just here: to try one place after the other would cost
// the product of the lengths.
func matchFirst(piece, name string) int {
	if !strings.Contains(piece, "?") {
		if i := strings.Index(name, piece); i >= 0 {
			return i + len(piece)
		}
		return -1
	}
	length := utf8.RuneCountInString(piece)
	if length > len(name) {
		return -1
	}
	words := (length + 63) / 64
	question := make([]uint64, words) // where the piece has a ?
	fits := map[rune][]uint64{}       // where it has a ? or the character
	i := 0
	for _, c := range piece {
		switch {
		case c == '?':
			question[i/64] |= 1 << (i % 64)
		case fits[c] == nil:
			fits[c] = make([]uint64, words)
			fallthrough
		default:
			fits[c][i/64] |= 1 << (i % 64)
		}
		i++
	}
	for c := range fits {
		for w := range fits[c] {
			fits[c][w] |= question[w]
		}
	}
	here := make([]uint64, words)
	for at, c := range name {
		mask := fits[c]
		if mask == nil {
			mask = question
		}
		carry := uint64(1)
		for w := range here {
			here[w], carry = (here[w]<<1|carry)&mask[w], here[w]>>63
		}
		if here[words-1]>>((length-1)%64)&1 != 0 {
			_, size := utf8.DecodeRuneInString(name[at:])
			return at + size
		}
	}
	return -1
}
