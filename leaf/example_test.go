package leaf_test

import (
	"fmt"

	"github.com/tuflog/tuflog/leaf"
)

func ExampleParse() {
	entry := `tuflog release v1
repository 09d25293de420e0e8271727e93ee62f96fda649e7e28a45dd7d8191ce776ed47
role targets
version 1
payload sha256:ea1e7440c2436348e7244f6449c73825143fbe4ebbeb9cae1e3ac9c00d5092d5
metadata sha256:ee7bd301ee25d2031f800805e84ee2ef24dba68648f401a52f341cf47d3135b0 589
snapshot sha256:699d03fced489036644671e578628a56190ee1dfeb9953b01a3b5aab6472b33e hash
encoding json
`
	l, err := leaf.Parse([]byte(entry))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Kind, l.Role, l.Version, "of", l.Repository.String()[:8]+"…")
	fmt.Println("its hash in the tree:", l.Hash())
	// Output:
	// release targets 1 of 09d25293…
	// its hash in the tree: 7zdQVbG4CN4wzGZhYcakD8TpIUuKzHJEThsy5mkwdjg=
}
