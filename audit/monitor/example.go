package monitor

import _ "embed"

// Example is an annotated configuration file. It can be used once it names a log's policy.
//
//go:embed example.toml
var Example string
