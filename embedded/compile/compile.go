// Package compile turns a trust policy into C, for the verifier in embedded/.
//
//	c, err := compile.Policy(policy)
//	header := c.Header("trust", "trust.txt")
//
// The verifier knows keys of two types: Ed25519 (01) of logs, and cosignature/v1 (04) of
// witnesses. Keys of other types are left out, where the policy can be met without them: what it
// accepts then is accepted by the whole policy too, but for one thing: a signature of a key that
// was left out, and that does not verify, is ignored instead of refused.
package compile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// Limits of tuflog.h.
const (
	MaxKeys    = 16
	MaxGroups  = 16
	MaxName    = 255 // bytes of a key's name
	MaxHashes  = 40  // of an inclusion proof
	MaxText    = 512 // bytes of a checkpoint's text
	MaxChecked = 32  // signatures of known keys that one sidecar may have
)

// ErrPolicy means that a policy cannot be compiled.
var ErrPolicy = errors.New("cannot be compiled")

// A Group is a struct tuflog_group: masks of keys, and of groups before it.
type Group struct {
	Name         string
	Keys, Groups uint16
	Want         int
}

// Compiled is a struct tuflog_policy.
type Compiled struct {
	Keys    []proofs.Key // first those of logs
	Logs    int          // how many
	Groups  []Group      // the last one is the quorum
	LeftOut []string     // keys of other types, in sentences
}

// Policy compiles a policy. The error is ErrPolicy and says what to change.
func Policy(p *proofs.Policy) (*Compiled, error) {
	if p.Marshal() == nil {
		return nil, fmt.Errorf("policy %w: it has no quorum and accepts nothing", ErrPolicy)
	}
	c := new(Compiled)
	for _, l := range p.Logs {
		if l.Key.Algorithm() != proofs.Ed25519 {
			c.LeftOut = append(c.LeftOut, fmt.Sprintf("key of type %v of log %s", l.Key.Algorithm(), l.Key.Name()))
			continue
		}
		c.Keys = append(c.Keys, l.Key)
	}
	if c.Logs = len(c.Keys); c.Logs == 0 {
		return nil, fmt.Errorf("policy %w: no log has a key of type %v", ErrPolicy, proofs.Ed25519)
	}
	bits := map[string]uint16{}
	lost := map[string]bool{}
	for _, w := range p.Witnesses {
		if w.Key.Algorithm() != proofs.CosignatureV1 {
			c.LeftOut = append(c.LeftOut, fmt.Sprintf("key of type %v of witness %s", w.Key.Algorithm(), w.Name))
			lost[w.Name] = true
			continue
		}
		if len(c.Keys) < MaxKeys {
			bits[w.Name] = 1 << len(c.Keys)
		}
		c.Keys = append(c.Keys, w.Key)
	}
	if len(c.Keys) > MaxKeys {
		return nil, fmt.Errorf("policy %w: %d keys, at most %d fit", ErrPolicy, len(c.Keys), MaxKeys)
	}
	for _, k := range c.Keys {
		if len(k.Name()) > MaxName {
			return nil, fmt.Errorf("policy %w: a key's name has %d bytes, at most %d fit", ErrPolicy, len(k.Name()), MaxName)
		}
	}
	if !p.CanBeMetWithout(func(name string) bool { return lost[name] }) {
		return nil, fmt.Errorf("policy %w: its quorum needs a %s, and only type %v can be verified", ErrPolicy, c.LeftOut[len(c.LeftOut)-1], proofs.CosignatureV1)
	}
	return c, c.groups(p, bits)
}

func (c *Compiled) groups(p *proofs.Policy, witnesses map[string]uint16) error {
	groups := map[string]uint16{}
	for _, g := range p.Groups() {
		out := Group{Name: g.Name, Want: g.Want}
		for _, m := range g.Members {
			out.Keys |= witnesses[m]
			out.Groups |= groups[m]
		}
		if len(c.Groups) < MaxGroups {
			groups[g.Name] = 1 << len(c.Groups)
		}
		c.Groups = append(c.Groups, out)
	}
	quorum := p.Quorum()
	if n := len(c.Groups); n == 0 || c.Groups[n-1].Name != quorum {
		last := Group{Name: "quorum"}
		if quorum != "" {
			last = Group{Name: "quorum", Keys: witnesses[quorum], Groups: groups[quorum], Want: 1}
		}
		c.Groups = append(c.Groups, last)
	}
	if len(c.Groups) > MaxGroups {
		return fmt.Errorf("policy %w: %d groups with the quorum, at most %d fit", ErrPolicy, len(c.Groups), MaxGroups)
	}
	return nil
}

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// keyword has the words of C99 and C++20 that no variable is named by.
var keyword = regexp.MustCompile(`^(alignas|alignof|and|and_eq|asm|auto|bitand|bitor|bool|break|case|catch|char|char8_t|char16_t|char32_t|class|co_await|co_return|co_yield|compl|concept|const|const_cast|consteval|constexpr|constinit|continue|decltype|default|delete|do|double|dynamic_cast|else|enum|explicit|export|extern|false|float|for|friend|goto|if|inline|int|long|mutable|namespace|new|noexcept|not|not_eq|nullptr|operator|or|or_eq|private|protected|public|register|reinterpret_cast|requires|restrict|return|short|signed|sizeof|static|static_assert|static_cast|struct|switch|template|this|thread_local|throw|true|try|typedef|typeid|typename|typeof|union|unsigned|using|virtual|void|volatile|wchar_t|while|xor|xor_eq)$`)

// Header returns a C header that defines the policy as `static const struct tuflog_policy NAME`.
// Source says in a comment what it was made of. The name is of lower-case letters, digits and
// underscores, and no keyword of C or C++: ErrPolicy.
func (c *Compiled) Header(name, source string) ([]byte, error) {
	if !identifier.MatchString(name) {
		return nil, fmt.Errorf("name %q %w: want lower-case letters, digits and underscores, a letter first", name, ErrPolicy)
	}
	if keyword.MatchString(name) {
		return nil, fmt.Errorf("name %q %w: it is a word of C or C++", name, ErrPolicy)
	}
	var b strings.Builder
	guard := strings.ToUpper(name) + "_POLICY_H"
	fmt.Fprintf(&b, "/* A trust policy, made by updater policy compile of %s. Do not edit. */\n#ifndef %s\n#define %s\n\n#include \"tuflog.h\"\n\n", comment(source), guard, guard)
	fmt.Fprintf(&b, "static const struct tuflog_key %s_keys[] = {\n", name)
	for i, k := range c.Keys {
		what := "witness"
		if i < c.Logs {
			what = "log"
		}
		fmt.Fprintf(&b, "\t/* %d: %s %s */\n\t{%s, 0x%08x, {%s}},\n", i, what, comment(k.Name()), literal(k.Name()), k.ID(), bytesOf(k.PublicKey()))
	}
	fmt.Fprintf(&b, "};\n\nstatic const struct tuflog_group %s_groups[] = {\n", name)
	for i, g := range c.Groups {
		fmt.Fprintf(&b, "\t{0x%04x, 0x%04x, %d}, /* %d: %s */\n", g.Keys, g.Groups, g.Want, i, comment(g.Name))
	}
	fmt.Fprintf(&b, "};\n\nstatic const struct tuflog_policy %s = {%s_keys, %s_groups, %d, %d, %d};\n\n#endif\n",
		name, name, name, c.Logs, len(c.Keys)-c.Logs, len(c.Groups))
	return []byte(b.String()), nil
}

// comment returns text that ends no comment of C.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '*' || r == '\\' || r == '?' {
			return '_'
		}
		return r
	}, s)
}

// literal returns a string as C spells it. Octal escapes have three digits, so that no digit
// behind one joins it.
func literal(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '?' {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func bytesOf(key []byte) string {
	parts := make([]string, len(key))
	for i, c := range key {
		parts[i] = fmt.Sprintf("0x%02x", c)
	}
	return strings.Join(parts, ", ")
}
