// Package monitor follows logs and live repositories for as long as its process runs. Begin
// with Read, which reads the one configuration file, and with New and Monitor.Run.
//
// Each log has a goroutine of its own around an audit.Auditor: trouble with one log, a slow
// answer or a damaged state delays no other. The loop never stops at what it cannot judge: that
// is a finding, and the next leaf is judged. Beside the log, its witnesses are asked which
// checkpoint they cosigned last, and live repositories what they serve. All findings are in
// the log's audit state.
//
// What a monitor last saw is in one file for each log (ReadStatus), so that another process
// can show it.
package monitor
