package log

// Loaded returns how many repositories are in memory.
func (l *Log) Loaded() int {
	l.registry.mu.Lock()
	defer l.registry.mu.Unlock()
	return len(l.registry.repos)
}

// Forget drops the repositories that are in memory.
func (l *Log) Forget() { l.registry.forget(nil) }

// Histories returns how many whole repositories are kept.
func (l *Log) Histories() int {
	l.registry.mu.Lock()
	defer l.registry.mu.Unlock()
	return len(l.registry.histories)
}
