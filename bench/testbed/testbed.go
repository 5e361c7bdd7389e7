// Package testbed makes the witnesses of a log, and the policy that trusts them, in one
// way for tests, rehearsals and the demonstration. How the programs run is left to
// each of them.
package testbed

import (
	"fmt"
	"strings"
)

// Run runs one of tuflog's programs, which has to succeed, and returns what it printed
// on stdout, without the line's end.
type Run func(program string, args ...string) (stdout string, err error)

// Witness is a witness of a log.
type Witness struct {
	Name string // in policies
	Dir  string
	Key  string // its Ed25519 public key
	URL  string // where the log asks it; empty until it is known
}

// NewWitness makes a witness in a directory that knows the log with a public key. The
// witness's own keys are called NAME.DOMAIN. It has two, as witnesses have, and
// policies name the first: verifiers pass over what they do not ask for.
func NewWitness(run Run, dir, name, domain, log string) (Witness, error) {
	key, err := run("witness", "init", "--dir", dir, "--name", name+"."+domain)
	if err != nil {
		return Witness{}, err
	}
	key, _, _ = strings.Cut(key, "\n")
	_, err = run("witness", "log", "add", "--dir", dir, log)
	return Witness{Name: name, Dir: dir, Key: key}, err
}

// Policy is the text of a policy for a log that wants a quorum of its witnesses. The
// log is its public key, and its URL after a space, if that is known.
func Policy(log string, quorum int, witnesses []Witness) string {
	var lines, names strings.Builder
	for _, w := range witnesses {
		fmt.Fprintf(&lines, "witness %s %s %s\n", w.Name, w.Key, w.URL)
		fmt.Fprintf(&names, " %s", w.Name)
	}
	return fmt.Sprintf("log %s\n%sgroup witnesses %d%s\nquorum witnesses\n", log, &lines, quorum, &names)
}
