package api

// Limits of one submission.
const (
	MaxFiles      = 1024     // files in one tar
	MaxSubmission = 64 << 20 // bytes of one request body
)
