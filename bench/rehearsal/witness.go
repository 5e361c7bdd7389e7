package rehearsal

import (
	"context"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/bench/process"
)

// NewWitness makes a witness in a directory that knows a log, and returns its key.
// It is called wN.example.
func NewWitness(ctx context.Context, program, dir string, n int, log string) (vkey string, err error) {
	if vkey, err = process.Output(ctx, program, "init", "--dir", dir, "--name", fmt.Sprintf("w%d.example", n)); err != nil {
		return "", err
	}
	_, err = process.Output(ctx, program, "log", "add", "--dir", dir, log)
	return vkey, err
}

// PolicyText is a policy for a log that wants so many of its witnesses; their keys
// and where they are go by number.
func PolicyText(log string, quorum int, vkeys, urls []string) string {
	var witnesses, names strings.Builder
	for i, vkey := range vkeys {
		fmt.Fprintf(&witnesses, "witness w%d %s %s\n", i, vkey, urls[i])
		fmt.Fprintf(&names, " w%d", i)
	}
	return fmt.Sprintf("log %s\n%sgroup all %d%s\nquorum all\n", log, &witnesses, quorum, &names)
}
