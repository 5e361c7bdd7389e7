// Package logtest is a log with everything around it faked, for tests: [New] has storage, a
// ledger and witnesses in memory, whose faults a test chooses.
package logtest
