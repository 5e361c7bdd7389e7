// Package pack writes and reads packs: the files that the leaves of one bundle of
// entries name, in one piece, so that a reader of the whole log asks once for what it
// would otherwise ask for 500 times. [Encode] makes the pack of a bundle and [Parse]
// reads one. A pack is not signed. The entries that it belongs to, which the log's tree
// proves, say which files it may hold, and each file is checked by its hash.
//
// A pack is a sequence of records, each of one file:
//
//	32 bytes   SHA-256 of the file
//	 4 bytes   length of the file, big-endian, 1 to 65,536
//	           the file
//
// Its files are those that a leaf of the bundle names as its metadata or its snapshot,
// each once, in the order of first mention; the leaf's metadata comes before its
// snapshot. A file that the log does not hold or withholds, and one of more than
// [MaxFile] bytes, is left out; it is fetched by itself, as a blob. A pack has at most
// [MaxSize] bytes: it ends before the first file that would make it larger. So a pack is
// determined by the entries and by which of the files there are, and the pack of a
// bundle's first entries is the beginning of the pack of the bundle.
package pack
