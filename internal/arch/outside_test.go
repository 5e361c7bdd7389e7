package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What only some files may do, so that a password or an escape of a terminal cannot be
// forgotten elsewhere. Rehearsals and loads talk to servers of their own.
var onlyThere = []struct {
	what  *regexp.Regexp
	where []string
	why   string
}{
	{regexp.MustCompile(`\.Do\((req|request)\)|http\.(Get|Post|Head|PostForm)\(`), []string{"internal/fetch/", "bench/"}, "ask by fetch.Do or fetch.Get: their errors name no password"},
	{regexp.MustCompile(`"text/tabwriter"`), []string{"internal/printable/", "bench/"}, "print by printable.Table: its cells are one line, and printable"},
	{regexp.MustCompile(`"golang.org/x/crypto/ssh/agent"`), []string{"internal/sshagent/", "bench/"}, "sign by sshagent.Key and proofs.NewSigner: what an agent gives is verified"},
	{regexp.MustCompile(`"cosignature/v1\\n`), []string{"proofs/", "bench/vectors/"}, "sign by proofs.NewSigner, verify by proofs.Key: a message is made in one place"},
	{regexp.MustCompile(`tlog\.TileHashReader\(`), []string{"proofs/"}, "read by proofs.VerifiedTiles, InclusionProof or ConsistencyProof: they know up to which size tiles prove anything"},
	{regexp.MustCompile(`sql\.Open\("sqlite"`), []string{"internal/sqlitefile/"}, "open by sqlitefile: it knows how a path is escaped and what waits for what"},
	{regexp.MustCompile(`unix\.Flock|syscall\.Flock`), []string{"internal/lockfile/"}, "lock by lockfile: it names the holder"},
}

func TestOnlyThere(t *testing.T) {
	seen := make([]bool, len(onlyThere))
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
		for i, only := range onlyThere {
			if !only.what.Match(b) {
				continue
			}
			seen[i] = true
			allowed := false
			for _, where := range only.where {
				allowed = allowed || strings.HasPrefix(name, where)
			}
			if !allowed {
				t.Errorf("%s has %q: %s", name, only.what.Find(b), only.why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, only := range onlyThere {
		if !seen[i] {
			t.Errorf("%v is nowhere", only.what)
		}
	}
}
