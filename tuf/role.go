package tuf

import (
	"fmt"
	"strconv"
	"strings"
)

// Top-level roles of TUF. Their names cannot be delegated.
const (
	RoleRoot      = "root"
	RoleTargets   = "targets"
	RoleSnapshot  = "snapshot"
	RoleTimestamp = "timestamp"
)

// IsTopLevel reports whether role is one of the four roles that root names.
func IsTopLevel(role string) bool {
	switch role {
	case RoleRoot, RoleTargets, RoleSnapshot, RoleTimestamp:
		return true
	}
	return false
}

// Rank orders roles as a repository is read, and so as it is submitted and shown: root 0,
// targets 1, delegated roles 2, snapshot 3, timestamp 4.
func Rank(role string) int {
	switch role {
	case RoleRoot:
		return 0
	case RoleTargets:
		return 1
	case RoleSnapshot:
		return 3
	case RoleTimestamp:
		return 4
	}
	return 2
}

// TypeOf is the `_type` that metadata of a role carries.
func TypeOf(role string) string {
	if IsTopLevel(role) {
		return role
	}
	return RoleTargets
}

// EscapeRole percent-encodes all bytes of a role's name but ALPHA DIGIT - . _ ~,
// as in a leaf and in a URL.
func EscapeRole(role string) string { return string(AppendRole(nil, role)) }

// AppendRole appends the percent-encoded role to b.
func AppendRole(b []byte, role string) []byte {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(role); i++ {
		c := role[i]
		if unreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// BadRoleName returns why no device could store the metadata of a role with
// this name, and no log could hold a leaf of it, as words that follow "a role".
// It returns "" for a good name.
func BadRoleName(name string) string {
	if name == "" {
		return "without a name"
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "with a NUL in its name"
	}
	if len(name) <= MaxRoleName/len("%00") {
		return ""
	}
	size := 0
	for i := range len(name) {
		if unreserved(name[i]) {
			size++
		} else {
			size += len("%00")
		}
	}
	if size > MaxRoleName {
		return fmt.Sprintf("whose name has %d bytes percent-encoded, the limit is %d", size, MaxRoleName)
	}
	return ""
}

// UnescapeRole decodes percent-encoding; ParseLeaf's comparison rules out the
// spellings that AppendRole does not produce.
func UnescapeRole(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+3 > len(s) {
			return "", false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b = append(b, byte(n))
		i += 2
	}
	return string(b), true
}

// unreserved says whether RFC 3986 calls c unreserved.
func unreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '.' || c == '_' || c == '~'
}
