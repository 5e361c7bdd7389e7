// Offline is the smallest program that verifies: it says of one metadata file and the
// proof beside it whether the file is logged and witnessed, and checks no signature of
// TUF. What such a program weighs on a device is measured by building it:
//
//	GOOS=linux GOARCH=arm go build -trimpath -ldflags='-s -w' ./bench/offline
//	offline POLICY REPOSITORY ROLE FILE
package main

import (
	"os"
	"strconv"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func main() {
	if len(os.Args) != 5 {
		os.Stderr.WriteString("usage: offline POLICY REPOSITORY ROLE FILE\n")
		os.Exit(2)
	}
	said, err := judge(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		os.Stderr.WriteString("offline: " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString(said + "\n")
}

// judge says what is proved of a file, by the proof beside it.
func judge(policyFile, repository, role, name string) (string, error) {
	text, err := os.ReadFile(policyFile)
	if err != nil {
		return "", err
	}
	policy, err := proofs.ParsePolicy(text)
	if err != nil {
		return "", err
	}
	id, err := tuf.ParseRepository(repository)
	if err != nil {
		return "", err
	}
	file, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	m, err := tuf.ParseJSON(file)
	if err != nil {
		return "", err
	}
	sidecar, err := os.ReadFile(name + verify.SidecarSuffix)
	if err != nil {
		return "", err
	}
	logged, err := verify.CheckSidecar(sidecar, verify.ClaimFor(id, role, m), policy)
	if err != nil {
		return "", err
	}
	return role + " version " + strconv.FormatInt(m.Version, 10) + " is entry " +
		strconv.FormatInt(logged.Index, 10) + " of " + logged.Checkpoint.Origin, nil
}
