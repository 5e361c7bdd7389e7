package publish

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// ReadGit reads the history of metadata in a git repository: of each commit that leads to
// ref by first parents, oldest first, the *.json files that it added or changed in the
// folder dir (slashes, from the top; empty or . is the top itself) and the roots in the
// folder's root_history. Roles follow from the files' names, as for ReadFiles, and files
// that are not metadata are ignored as there. A repeated file is taken once.
//
// It runs git, which must be installed: the formats of repositories are git's own and
// grow, and a user of such a repository has git. Only commands are used that do not
// run programs of the repository's configuration, and git does not fetch.
func ReadGit(ctx context.Context, repository, ref, dir string) (*History, error) {
	g := &gitRepository{repository: repository, dir: path.Clean("/" + dir)[1:]}
	shallow, err := g.run(ctx, nil, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(shallow)) == "true" {
		return nil, fmt.Errorf("%s is a shallow clone, which lacks the beginning of its history: git fetch --unshallow completes it", repository)
	}
	head, err := g.run(ctx, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil {
		return nil, fmt.Errorf("%s has no commit %q: %w", repository, ref, err)
	}
	commits, err := g.commits(ctx, strings.TrimSpace(string(head)))
	if err != nil {
		return nil, err
	}
	changes, err := g.changes(ctx, commits)
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 {
		return nil, fmt.Errorf("no *.json files in the folder %q in the history of %s", g.dir, ref)
	}
	return g.history(ctx, changes)
}

// gitRepository is a repository that git is run on.
type gitRepository struct {
	repository string
	dir        string // below the top; empty: the top
}

// gitCommit is a commit and its first parent that matters, in hex.
type gitCommit struct {
	id, parent string // parent is empty for the first
	date       string // RFC 3339
}

// gitChange is a file that a commit added or changed.
type gitChange struct {
	commit int // counted from 0
	gitCommit
	path, blob string
}

func (g *gitRepository) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", g.repository}, args...)...)
	// Which repository is meant is said by -C alone, also within a hook.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"}, name)
	})
	// To fetch what a partial clone lacks git would run a command that the repository's
	// configuration names; versions before 2.39.4 and 2.45 know no GIT_NO_LAZY_FETCH.
	cmd.Env = append(cmd.Env, "GIT_ALLOW_PROTOCOL=none", "LC_ALL=C", "GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
	return cmd
}

// run runs a git command to its end.
func (g *gitRepository) run(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	cmd := g.command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	return out, g.failed(ctx, args[0], err, stderr.String())
}

func (g *gitRepository) failed(ctx context.Context, command string, err error, stderr string) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("git is not installed, or not in PATH: histories are read from git repositories by running it")
	case stderr == "":
		return fmt.Errorf("git %s: %w", command, err)
	}
	first, _, _ := strings.Cut(stderr, "\n")
	return fmt.Errorf("git %s: %w: %s", command, err, first)
}

// pathspec limits a command to the folder.
func (g *gitRepository) pathspec() []string {
	if g.dir == "" {
		return nil
	}
	return []string{"--", ":(top,literal)" + g.dir}
}

// commits returns the commits that changed the folder, oldest first.
func (g *gitRepository) commits(ctx context.Context, head string) ([]gitCommit, error) {
	out, err := g.run(ctx, nil, append([]string{"rev-list", "--first-parent", "--reverse", "--parents", "--timestamp", head}, g.pathspec()...)...)
	if err != nil {
		return nil, err
	}
	var list []gitCommit
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			return nil, fmt.Errorf("git rev-list printed %q", line)
		}
		unix, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("git rev-list printed %q: %w", line, err)
		}
		c := gitCommit{id: fields[1], date: time.Unix(unix, 0).UTC().Format(time.RFC3339)}
		if len(fields) > 2 {
			c.parent = fields[2]
		}
		list = append(list, c)
	}
	return list, nil
}

// changes returns the files that may be metadata, in the order of their commits.
func (g *gitRepository) changes(ctx context.Context, commits []gitCommit) ([]gitChange, error) {
	var ask bytes.Buffer
	number := map[string]int{}
	for i, c := range commits {
		fmt.Fprintln(&ask, strings.TrimSpace(c.id+" "+c.parent))
		number[c.id] = i
	}
	out, err := g.run(ctx, ask.Bytes(), append([]string{"diff-tree", "--stdin", "-r", "-z", "--raw", "--no-renames", "--root"}, g.pathspec()...)...)
	if err != nil {
		return nil, err
	}
	var list []gitChange
	at := -1
	for rest := string(out); rest != ""; {
		var token, name string
		token, rest, _ = strings.Cut(rest, "\x00")
		if i, ok := number[token]; ok {
			at = i
			continue
		}
		// :100644 100644 BLOB BLOB M, and the path behind it.
		fields := strings.Fields(token)
		if name, rest, _ = strings.Cut(rest, "\x00"); len(fields) != 5 || fields[0][0] != ':' || at < 0 {
			return nil, fmt.Errorf("git diff-tree printed %q", token)
		}
		isFile := fields[1] == "100644" || fields[1] == "100755" // no link, and there
		if isFile && g.mayBeMetadata(name) {
			list = append(list, gitChange{commit: at, gitCommit: commits[at], path: name, blob: fields[3]})
		}
	}
	return list, nil
}

// mayBeMetadata reports whether a path is one that ReadFiles would read in the folder.
func (g *gitRepository) mayBeMetadata(name string) bool {
	switch dir := path.Dir("/" + name)[1:]; {
	case dir == g.dir:
		return strings.HasSuffix(name, ".json")
	case dir == strings.TrimPrefix(g.dir+"/"+rootHistory, "/"):
		return strings.HasSuffix(name, ".root.json")
	}
	return false
}

// history reads the files and finds their roles.
func (g *gitRepository) history(ctx context.Context, changes []gitChange) (*History, error) {
	var ask bytes.Buffer
	for _, c := range changes {
		fmt.Fprintln(&ask, c.blob)
	}
	var stderr bytes.Buffer
	cmd := g.command(ctx, "cat-file", "--batch")
	cmd.Stdin, cmd.Stderr = &ask, &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, g.failed(ctx, "cat-file", err, "")
	}
	h := &History{}
	err = h.read(bufio.NewReader(out), changes)
	if err != nil {
		_ = cmd.Process.Kill() // it may have ended already
	}
	waited := cmd.Wait()
	if why, _, _ := strings.Cut(stderr.String(), "\n"); err == nil {
		err = g.failed(ctx, "cat-file", waited, stderr.String())
	} else if errors.Is(err, io.EOF) && why != "" {
		err = fmt.Errorf("%w, and on stderr: %s; a partial clone lacks files: clone it without --filter", err, why)
	}
	if err != nil {
		return nil, err
	}
	nameByLists(h.files)
	files, ignored := ignoreOthers(h.files, func(*file) bool { return true })
	h.files, h.ignored = files, append(h.ignored, ignored...)
	return h, nil
}

// read reads what git cat-file --batch prints of the changes.
func (h *History) read(r *bufio.Reader, changes []gitChange) error {
	type known struct {
		role string
		sum  tuf.Digest
	}
	seen := map[known]bool{}
	for _, c := range changes {
		name := c.id[:min(len(c.id), 12)] + ":" + c.path // as git show takes it
		header, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%s: git cat-file: %w", name, err)
		}
		fields := strings.Fields(header)
		if len(fields) != 3 || fields[0] != c.blob || fields[1] != "blob" {
			return fmt.Errorf("%s: git cat-file printed %q", name, header)
		}
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil || size < 0 {
			return fmt.Errorf("%s: git cat-file printed %q", name, header)
		}
		if size > tuf.MaxFileSize {
			// No log takes it, and what was once committed cannot be taken out of a history.
			h.ignored = append(h.ignored, Ignored{name, fmt.Sprintf("it has %d bytes, and metadata has at most %d", size, tuf.MaxFileSize)})
			if _, err := io.CopyN(io.Discard, r, size+1); err != nil {
				return fmt.Errorf("%s: git cat-file: %w", name, err)
			}
			continue
		}
		data := make([]byte, size+1) // and the line's end
		if _, err := io.ReadFull(r, data); err != nil {
			return fmt.Errorf("%s: git cat-file: %w", name, err)
		}
		data = data[:size]
		f := namedFile(name, path.Base(c.path), data)
		k := known{f.role, tuf.Sum(data)}
		if seen[k] {
			continue
		}
		seen[k] = true
		f.date, f.commit = c.date, c.commit
		h.files = append(h.files, f)
	}
	return nil
}
