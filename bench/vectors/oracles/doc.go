// Package oracles holds no code but tests: they run the vectors of
// testdata/vectors against other implementations of the same formats, namely
// golang.org/x/mod, filippo.io/torchwood and github.com/transparency-dev/formats.
// README.md lists where they disagree with the vectors and who is right.
//
//	cd bench/vectors && go test ./...
package oracles
