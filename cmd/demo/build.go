package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modulePath is the module whose programs the demo runs.
const modulePath = "github.com/tuflog/tuflog"

// programNames are the programs that the demo builds and runs.
var programNames = []string{"logserver", "witness", "publisher", "updater", "auditor"}

// moduleRoot returns the folder of the module that the working directory is in.
// The demo runs what is built from there, so it must be tuflog's own source.
func moduleRoot(ctx context.Context) (string, error) {
	hint := "run the demo inside a clone of " + modulePath + ", with: go run ./cmd/demo"
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("the demo builds the programs with the go command, which is not there: %w", err)
	}
	cmd := exec.CommandContext(ctx, goCommand, "list", "-m", "-f", "{{.Main}}\t{{.Dir}}", modulePath)
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

// build builds the programs into bin.
func build(ctx context.Context, root, bin string) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	args := []string{"build", "-o", bin + string(filepath.Separator)}
	for _, name := range programNames {
		args = append(args, "./cmd/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", root, err, bytes.TrimSpace(out))
	}
	return nil
}
