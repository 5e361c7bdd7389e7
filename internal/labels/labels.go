// Package labels reads files with names for repositories, as a log's operator or a consumer
// gives them. A name is never an identity.
package labels

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// MaxSize is how many bytes such a file should have at most.
const MaxSize = 64 << 20

// Parse reads a text with a line for each repository: its id (64 hex digits), a space, and
// its name. Empty lines and those that begin with # are left out. No repository may have two
// names. An error names the line.
func Parse(text []byte) (map[tuf.Digest]string, error) {
	if strings.HasPrefix(string(text), "\xef\xbb\xbf") {
		return nil, errors.New("begins with a byte order mark (EF BB BF): save it as UTF-8 without one")
	}
	names, n := map[tuf.Digest]string{}, 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		hex, name, _ := strings.Cut(line, " ")
		id, err := tuf.ParseRepository(hex)
		name = strings.TrimSpace(name)
		if err != nil || name == "" {
			return nil, fmt.Errorf("line %d: want a repository's 64 hex digits, a space and its name", n)
		}
		if _, ok := names[id]; ok {
			return nil, fmt.Errorf("line %d: repository %v has a name already", n, id)
		}
		names[id] = name
	}
	return names, nil
}
