// Command generate builds what verifies in a browser: audit/page/wasm as WebAssembly,
// compressed with brotli and, for browsers that do not take that, with gzip, and beside it the
// script of Go's distribution that runs it. go generate ./audit/page calls it. Nothing of what
// it writes is committed; a page that is built without says so.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/andybalholm/brotli"
)

// maxSize is what the brotli form may have: a visitor on a phone waits for it.
const maxSize = 1_500_000

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: generate PACKAGE DIR")
	}
	pkg, dir := args[0], args[1]
	root, err := output("go", "env", "GOROOT")
	if err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(strings.TrimSpace(root), "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		return err
	}
	program, err := build(pkg)
	if err != nil {
		return err
	}
	if same(dir, program) {
		fmt.Println("verify.wasm is up to date")
		return nil
	}
	br, err := compress(program, func(w io.Writer) io.WriteCloser {
		return brotli.NewWriterOptions(w, brotli.WriterOptions{Quality: brotli.BestCompression, LGWin: 24})
	})
	if err != nil {
		return err
	}
	gz, err := compress(program, func(w io.Writer) io.WriteCloser {
		z, _ := gzip.NewWriterLevel(w, gzip.BestCompression) // the level is right
		return z
	})
	if err != nil {
		return err
	}
	fmt.Printf("verify.wasm has %d bytes: %d with brotli, %d with gzip\n", len(program), len(br), len(gz))
	if len(br) > maxSize {
		return fmt.Errorf("verify.wasm has %d bytes with brotli, more than %d", len(br), maxSize)
	}
	if err := os.RemoveAll(filepath.Join(dir, sumName)); err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{"verify.wasm.br", br}, {"verify.wasm.gz", gz}, {"wasm_exec.js", script}, {sumName, sum(program)}} {
		if err := write(dir, f.name, f.content); err != nil {
			return err
		}
	}
	return nil
}

// sumName is the file with the hash of the program that the others were made of. It is
// written last, so that they are whole where it is there: compression takes 20 s.
const sumName = "verify.wasm.sha256"

func sum(program []byte) []byte { return fmt.Appendf(nil, "%x\n", sha256.Sum256(program)) }

// same reports whether what is in a folder was made of this program.
func same(dir string, program []byte) bool {
	have, err := os.ReadFile(filepath.Join(dir, sumName))
	return err == nil && bytes.Equal(have, sum(program))
}

// write puts a file in the place of another, at once: a build may read it meanwhile.
func write(dir, name string, content []byte) error {
	f, err := os.CreateTemp(dir, "*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

func output(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}

// build returns a package as a program for browsers.
func build(pkg string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "tuflog-wasm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "verify.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, pkg)
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go build %s: %w", pkg, err)
	}
	return os.ReadFile(file)
}

func compress(b []byte, to func(io.Writer) io.WriteCloser) ([]byte, error) {
	var out bytes.Buffer
	w := to(&out)
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err := w.Close()
	return out.Bytes(), err
}
