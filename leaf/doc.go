// Package leaf is what an entry of a log says. [Parse] reads one, [Leaf.Marshal] prints it:
// a leaf has exactly one spelling, and what has another one is not a leaf. The only entry
// that is not a leaf is the [End] of a log.
package leaf
