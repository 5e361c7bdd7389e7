package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// consume lets the device's owner ask about what a thief offers: what it would change, who
// could have made it, and whether anybody else was given the file.
func (s *story) consume(ctx context.Context, offered site, victim *device) error {
	step := s.t.step("consumer", "asks what that would change on the device, offline (auditor diff)")
	out, err := s.w.p.must(ctx, "auditor", "diff", victim.metadata(), offered.dir)
	if err != nil {
		return err
	}
	if !strings.Contains(out, "Target "+firmware+" has other content") {
		return fmt.Errorf("auditor diff does not say that %s is another file:\n%s", firmware, out)
	}
	step.folded(out)

	step = s.t.step("consumer", "asks who could replace the file, and whether that changes it (auditor radius)")
	out, err = s.w.p.must(ctx, "auditor", "radius", firmware, "--dir", offered.dir, "--before", victim.metadata())
	if err != nil {
		return err
	}
	step.folded(out)

	step = s.t.step("consumer", "asks whether the vendor has released the file to anybody (auditor lookup)")
	file := filepath.Join(s.dir, "offered", firmware)
	if err := writeFiles(filepath.Dir(file), files{firmware: s.stolen}); err != nil {
		return err
	}
	o, err := s.w.p.run(ctx, "auditor", s.w.auditor("lookup", file, "--repository", s.repository)...)
	if err != nil {
		return err
	}
	if o.code != 1 || !strings.HasPrefix(o.stdout, "NO ") {
		return o.unexpected("1, and the answer NO")
	}
	sentence, _, _ := strings.Cut(o.stdout, "\n\n")
	step.folded(sentence)
	return nil
}
