// Package watch has no code of its own: its tests play honest and hostile histories before
// the real monitor, auditor monitor run, and count its alerts.
//
// An honest history of a thousand releases, with outages, rotations and a repository that
// loses files, must not alert. Each of forty hostile scenes must alert once. And a monitor
// that is killed again and again while it alerts loses no alert, and gives none a second id.
// BenchmarkAlert measures how long after its publication a fault is in the hands of a
// destination.
package watch
