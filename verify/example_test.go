package verify_test

import (
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// CheckSidecar says offline whether a release is logged and witnessed: who is believed
// stands in the policy, and what is asked for in the claim.
func ExampleCheckSidecar() {
	policy, err := proofs.ParsePolicy([]byte(`# one log, two of three witnesses
log log.example+9a17cc74+AX0FAN2MJHCk+kN5j3226ZxHteuBijp8PCBAdox7FVyo https://log.example/
witness w1 w1.example+b5930470+BEW9RypDQ+0/nEmheC8b5ExJgro4++cLTiZjAKjjx99C https://w1.example/
witness w2 w2.example+02d64e7a+BJ2Xv5venl4JotVH7fYnsSj5N3ybR046FiNV1Yhj4KFB
witness w3 w3.example+1e57561a+BIy5GjDc9IekhelIk8MrQQR8Dn/yAcpIo3RG1Dnw/L/o
group operators 2 w1 w2 w3
quorum operators
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	sidecar := []byte(`c2sp.org/tlog-proof@v1
extra dHVmbG9nIHJlbGVhc2UgdjEKcmVwb3NpdG9yeSAwOWQyNTI5M2RlNDIwZTBlODI3MTcyN2U5M2VlNjJmOTZmZGE2NDllN2UyOGE0NWRkN2Q4MTkxY2U3NzZlZDQ3CnJvbGUgdGFyZ2V0cwp2ZXJzaW9uIDEKcGF5bG9hZCBzaGEyNTY6ZWExZTc0NDBjMjQzNjM0OGU3MjQ0ZjY0NDljNzM4MjUxNDNmYmU0ZWJiZWI5Y2FlMWUzYWM5YzAwZDUwOTJkNQptZXRhZGF0YSBzaGEyNTY6ZWU3YmQzMDFlZTI1ZDIwMzFmODAwODA1ZTg0ZWUyZWYyNGRiYTY4NjQ4ZjQwMWE1MmYzNDFjZjQ3ZDMxMzViMCA1ODkKc25hcHNob3Qgc2hhMjU2OjY5OWQwM2ZjZWQ0ODkwMzY2NDQ2NzFlNTc4NjI4YTU2MTkwZWUxZGZlYjk5NTNiMDFhM2I1YWFiNjQ3MmIzM2UgaGFzaAplbmNvZGluZyBqc29uCg==
index 1
5xQmtJtavSiAne9QhYC5FIibqsI81+JsXWW3kJkTqwk=
1aJjkCn9NOSoxim763eN4/zLOHTJqWiZNZrk2JM5NiE=

log.example
3
OQapt9hRgOAL8M1s6uf+AfYncTRAQFG6/vNkQP7KRUo=

— log.example mhfMdGL25xY4Y3pugfR+rdTAi+C3loRCRtPngQ6zwXB00LFO+QbJjsH65LWqQw40zOTPDHodGOiLFWJMpcKu2UGVDg0=
— w1.example tZMEcAAAAABpVbkAOhxzi84rJ5l1JsHarmkhqsyiiI8T4bSRiK3ha0zNbtfc6VxkRBcyjKqj/d7/lO8c40b622SarElxDsUL79BCCg==
— w3.example HldWGgAAAABpVbkA3gIJLGITEN4awRpAl9EaHFY/r94cSiqaf5HDw/+uFy7ovm6SrLjSkLKvpWGDH/Fc1al9bymoB0ZqO1wp30AiBw==
`)
	l, err := leaf.Parse([]byte(`tuflog release v1
repository 09d25293de420e0e8271727e93ee62f96fda649e7e28a45dd7d8191ce776ed47
role targets
version 1
payload sha256:ea1e7440c2436348e7244f6449c73825143fbe4ebbeb9cae1e3ac9c00d5092d5
metadata sha256:ee7bd301ee25d2031f800805e84ee2ef24dba68648f401a52f341cf47d3135b0 589
snapshot sha256:699d03fced489036644671e578628a56190ee1dfeb9953b01a3b5aab6472b33e hash
encoding json
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	claim := verify.Claim{Repository: l.Repository, Role: "targets", Version: 1, Payload: l.Payload, Encoding: l.Encoding}
	logged, err := verify.CheckSidecar(sidecar, claim, policy)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("entry", logged.Index, "of", logged.Checkpoint.Origin)

	claim.Version = 2
	_, err = verify.CheckSidecar(sidecar, claim, policy)
	var refusal *verify.Refusal
	fmt.Println(errors.As(err, &refusal), refusal.Code)
	// Output:
	// entry 1 of log.example
	// true bad-proof
}

func ExampleParseInstallPolicy() {
	policy, err := verify.ParseInstallPolicy([]byte(`{"require": ["targets", "delegated"], "min_age": "48h"}`))
	fmt.Println(policy.MinAge, policy.Require, err)

	_, err = verify.ParseInstallPolicy([]byte(`{"min_agee": "48h"}`))
	fmt.Println(err)
	// Output:
	// 48h0m0s [targets delegated] <nil>
	// install policy: "min_agee": unknown field
}
