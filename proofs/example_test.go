package proofs_test

import (
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
)

const policyText = `
log example.com/log+5e354976+AaToNYoz5LD70RP1a4R7c24YRgQvEGkCxFGXkZZYJfJW
witness w1 w1.example+6137d173+BOd2yhwsjKiEUe/nUrpJpP51202pKHQHf/PTe2uncFNH
witness w2 w2.example+9e5d68bf+BOt+Mscv7ByhDN7jKdZJjuUoiu8KvuDc9eY5HhL9Jx+5
group operators all w1 w2
quorum operators
`

const proofText = `c2sp.org/tlog-proof@v1
index 1
oa8DAjHKL9IOzzDFKUuvj2kyHQm7FqxTiFzNF6OFKA0=

example.com/log
2
OuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=

— example.com/log XjVJdrd5l6G3F5Ng5LRWrS9nTELa8hHmKK61QbjwFmtG2XW7tZbqSWGVkCN3U8sUQsR5NY6nyEgK5D1u4Ly5lWFJRAQ=
— w1.example YTfRcwAAAABkGFDL6ubwOpY3AT6gfaiFtu2bFnOZ2ao9+BQykMafJ/NqgJ438m+SsEm8sGVQdpXLoQtRXXpauQXNbr0LMCWb3AAtDw==
`

// An entry is in the log, but too few witnesses have seen it.
func ExampleProof_Verify() {
	policy, err := proofs.ParsePolicy([]byte(policyText))
	if err != nil {
		fmt.Println(err)
		return
	}
	proof, err := proofs.ParseProof([]byte(proofText))
	if err != nil {
		fmt.Println(err)
		return
	}
	checkpoint, err := proof.Verify(policy, []byte("second"))
	var short *proofs.QuorumError
	switch {
	case err == nil:
		fmt.Println("logged and witnessed")
	case errors.As(err, &short):
		fmt.Println("logged in", checkpoint.Origin, "but", err)
	default:
		fmt.Println(err)
	}
	_, err = proof.Verify(policy, []byte("another"))
	fmt.Println(errors.Is(err, proofs.ErrInclusion))
	// Output:
	// logged in example.com/log but quorum "operators" short: group "operators" has 1 of 2 (missing w2)
	// true
}
