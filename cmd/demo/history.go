package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/log/api"
)

// line is a leaf as one line of a table.
func line(l api.Leaf) string {
	contradicts := "-"
	if l.Contradicts != nil {
		contradicts = fmt.Sprint(*l.Contradicts)
	}
	snapshot := l.Snapshot
	if snapshot == "" {
		snapshot = "-"
	}
	return fmt.Sprintf("%d %s %s %q %d %s %s %d %s %s %s %s", l.Index, l.Kind, l.Repository, l.Role, l.Version,
		l.Payload, l.Metadata, l.Size, snapshot, l.Listed, l.Encoding, contradicts)
}

// importHistories logs real histories, has an auditor replay the log and compares
// what the two say, leaf by leaf. It returns what the auditor said.
func importHistories(ctx context.Context, t *transcript, w *world, dirs []string) (*audited, error) {
	for _, dir := range dirs {
		step := t.step("vendor", "imports %s, commit by commit", dir)
		o, err := w.p.run(ctx, "publisher", w.publisher("import", dir)...)
		if err != nil {
			return nil, err
		}
		if o.code != 0 {
			return nil, o.unexpected("0")
		}
		step.outcome("publisher import says")
		step.table(o.stdout)
	}
	step := t.step("auditor", "replays the log from entry 0")
	a, err := w.replay(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.content(); err != nil {
		return nil, err
	}
	step.outcome("all %d entries are right; second payloads for a version (evidence): %d", a.Judged, len(a.found("second-payload")))

	step = t.step("demo", "compares the auditor's table with the server's, line by line")
	server, err := w.serverLeaves(ctx)
	if err != nil {
		return nil, err
	}
	if err := sameLeaves(server, a.Leaves); err != nil {
		return nil, err
	}
	step.outcome("%d of %d lines agree", len(server), len(a.Leaves))
	return a, nil
}

// serverLeaves asks the log for the leaves of all its repositories, in log order.
func (w *world) serverLeaves(ctx context.Context) ([]api.Leaf, error) {
	log := &api.Client{Base: w.log.url}
	list, err := log.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	var leaves []api.Leaf
	for _, info := range list.Repositories {
		repo, err := log.Repository(ctx, info.ID)
		if err != nil {
			return nil, err
		}
		leaves = append(leaves, repo.Leaves...)
	}
	slices.SortFunc(leaves, func(a, b api.Leaf) int { return int(a.Index - b.Index) })
	return leaves, nil
}

// sameLeaves compares two tables of leaves line by line.
func sameLeaves(server []api.Leaf, auditor []auditedLeaf) error {
	agree := 0
	var differ []string
	for i := range max(len(server), len(auditor)) {
		one, other := "(nothing)", "(nothing)"
		if i < len(server) {
			one = line(server[i])
		}
		if i < len(auditor) {
			other = line(auditor[i].Leaf)
		}
		if one == other {
			agree++
		} else if len(differ) < 5 {
			differ = append(differ, "server:  "+one+"\nauditor: "+other)
		}
	}
	if len(differ) > 0 {
		return fmt.Errorf("%d of %d lines agree; the first that do not:\n%s", agree, max(len(server), len(auditor)), strings.Join(differ, "\n"))
	}
	return nil
}
