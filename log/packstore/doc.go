// Package packstore makes the packs of a log (package pack), compressed, and keeps those of
// full bundles in a directory. [Store.Kept] returns one that was kept, [Store.Make] makes
// one. What is kept is derived: it may be removed at any time, and is made again when it
// is asked for.
package packstore
