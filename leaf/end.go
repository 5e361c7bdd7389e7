package leaf

// End is the last entry of a log that has ended, and the only entry that is not a
// leaf: one line, with its line feed. The signed tree that holds it says which log
// ends, and at which size. No entry follows it.
const End = "tuflog end v1\n"

// IsEnd reports whether an entry is the end of its log. An entry that only begins
// like End is neither the end nor a leaf.
func IsEnd(entry []byte) bool { return string(entry) == End }
