package room

import "golang.org/x/sys/unix"

// ForConnections returns half of the number of files that the process may have open,
// at least 2: the other half is its own.
func ForConnections() int {
	const most = 1 << 16 // with more, memory is what runs out
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return most // no limit is known, so there is none to keep
	}
	return int(max(2, min(most, limit.Cur/2)))
}
