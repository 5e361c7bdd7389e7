//go:build !(js && wasm)

package main

import (
	"fmt"
	"os"
)

// main is there so that tools that look at all packages find one here.
func main() {
	fmt.Fprintln(os.Stderr, "wasm runs in a browser: go generate ./audit/page builds it")
	os.Exit(2)
}
