package state

import (
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Verdict is the judgement of a leaf.
type Verdict string

// The verdicts on a leaf.
const (
	Right       Verdict = "right"        // the rules give exactly this leaf
	Wrong       Verdict = "wrong"        // they do not, or it is not a leaf
	NotJudged   Verdict = "not-judged"   // a blob that the judgement needs is missing or wrong
	UnknownToUs Verdict = "unknown-kind" // a newer auditor may know it
	TheEnd      Verdict = "end"          // it is not a leaf: the log has ended
)

// The numbers of words in the database are their places here. Words are added at the
// end.
var (
	verdicts  = []Verdict{"", Right, Wrong, NotJudged, UnknownToUs, TheEnd}
	kinds     = []leaf.Kind{"", leaf.Release, leaf.Evidence}
	listings  = []leaf.Listing{"", leaf.ByHash, leaf.ByVersion}
	encodings = []tuf.Encoding{"", tuf.JSON, tuf.Pigweed}
)

func code[T comparable](words []T, word T) (int64, error) {
	if i := slices.Index(words, word); i >= 0 {
		return int64(i), nil
	}
	return 0, &Error{fmt.Errorf("it has no number for %v", word)}
}

func word[T any](words []T, code int64) (T, error) {
	if code < 0 || code >= int64(len(words)) {
		var none T
		return none, damaged("number %d stands for no word", code)
	}
	return words[code], nil
}
