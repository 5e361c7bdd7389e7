package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/internal/cli"
)

// modulePath is the module whose programs the demo runs.
const modulePath = "github.com/tuflog/tuflog"

// programNames are the programs that the demo builds and runs.
var programNames = []string{"logserver", "witness", "publisher", "updater", "auditor", stockClient}

// packageOf returns the package of a program.
func packageOf(name string) string {
	if name == stockClient {
		return stockPackage
	}
	return modulePath + "/cmd/" + name
}

// moduleRoot returns the folder of the module that the working directory is in.
// The demo runs what is built from there, so it must be tuflog's own source.
func moduleRoot(ctx context.Context) (string, error) {
	hint := "run the demo inside a clone of " + modulePath + ", with: go run ./cmd/demo"
	goPath, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("the demo builds the programs with the go command, which is not there: %w", err)
	}
	cmd := exec.CommandContext(ctx, goPath, "list", "-m", "-f", "{{.Main}}\t{{.Dir}}", modulePath)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("the working directory is not inside the module (%s): %s", clip(stderr.String(), 200), hint)
	}
	main, dir, _ := strings.Cut(strings.TrimSpace(stdout.String()), "\t")
	if main != "true" || dir == "" {
		return "", errors.New("the working directory is inside another module: " + hint)
	}
	return dir, nil
}

// build builds the programs into bin, and shows on a terminal how far it is.
func build(ctx context.Context, root, bin string, stderr io.Writer) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	var programs []string
	for _, name := range programNames {
		programs = append(programs, packageOf(name))
	}
	modules := cli.NewProgress(stderr, "modules", 0)
	stale, err := goCommand(ctx, root, modules, append([]string{"list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, programs...)...)
	if err != nil {
		return err
	}
	// What verifies in a visitor's browser is embedded in the auditor. It takes 20 s, and a
	// moment if it is there already.
	verifier := cli.NewProgress(stderr, "what verifies in a browser", 0)
	_, err = goCommand(ctx, root, verifier, "generate", "./audit/page")
	verifier.Done()
	if err != nil {
		return err
	}
	packages := cli.NewProgress(stderr, "packages", int64(len(strings.Fields(stale))))
	_, err = goCommand(ctx, root, packages, append([]string{"build", "-v", "-o", bin + string(filepath.Separator)}, programs...)...)
	packages.Done()
	return err
}

// goCommand runs the go command, counts the lines that it says on the way, and returns
// its output. What it said is in the error.
func goCommand(ctx context.Context, root string, lines *cli.Progress, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	var stdout, said bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	for scan := bufio.NewScanner(io.TeeReader(stderr, &said)); scan.Scan(); {
		lines.Add(1)
	}
	_, _ = io.Copy(&said, stderr) // behind a line that is too long to count
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("go %s in %s: %w\n%s", args[0], root, err, bytes.TrimSpace(said.Bytes()))
	}
	return stdout.String(), nil
}
