// Package expected compares what a log releases of a repository with what its vendor said,
// signed, that it would (package expect). Begin with New, and with Watcher.Step, which
// judges the leaves that came since the step before.
//
// Expectations are read from a URL or a file, at which they may be replaced by newer ones. What
// was seen is kept in the log's audit state: the newest expectations, so that older ones that
// are served afterwards are found out; and how far the leaves have been judged, so that each
// is judged once, also those that were logged while nobody watched.
//
// # Which expectations a release is judged by
//
// A log does not say when an entry came. A watcher knows of each a time at which it was not
// there yet, and one at which it was: seconds apart while it runs, longer if it did not, or
// if the log did not answer. The release is expected if expectations allow it that were in
// force at any moment between these two. Expectations are in force from their from to their
// until, and not after the from of others with a higher version. They have to be there when
// the release is judged, and are read once more before that. With Config.Late, expectations
// that are signed so much later still count. If newer ones are read later and were in force
// already, because somebody kept them from the watcher, the releases since that were expected
// are judged again.
//
// Expectations count as long as a key of the configuration signed them. If that is replaced,
// those of the other key are the first.
//
// The first expectations that are seen say where to begin: behind the newest leaf that one of
// their bases names, so that what was released since they were signed is judged, too. If
// none of their bases is logged, it is the end of the log as it is then. What was logged
// before the first expectations were in force is not judged.
//
// A release is compared with the newest one of its role that was expected itself, or that the
// newest expectations name as their base. So what was not expected once is not expected in
// the next release either, until the vendor says so.
//
// If no expectations are in force, because the newest have ended, no release is expected.
package expected
