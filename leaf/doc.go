// Package leaf reads and prints the entries of a log. [Parse] reads a leaf and
// [Leaf.Marshal] prints it. A leaf has exactly one spelling: any other spelling is not a
// leaf. The only entry that is not a leaf is the [End] of a log.
package leaf
