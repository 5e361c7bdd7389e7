// Package source reads the published files of a log for an audit.Auditor. NewHTTP is for
// a log, or a static copy of one, at a URL; OpenFolder for a copy in a folder.
//
// A source bounds what it reads and trusts nothing that it reads: hashes and signatures
// are for the auditor to check. Redirects are not followed. An HTTP source keeps its
// connections, up to MaxConnections, takes answers in zstd and gzip, and tries again what
// a busy server or a bad line may have spoilt.
package source
