package leader

import "context"

// drain stops the log in order, for at most Config.DrainTimeout: it refuses new submissions,
// brings those that are queued into the log, publishes them and lets the derived state catch
// up. The log goes on running meanwhile. It ends with ctx.
func (l *Log) drain(ctx context.Context) {
	drain, cancel := context.WithTimeout(ctx, l.cfg.DrainTimeout)
	defer cancel()
	select {
	case <-l.intake.Drain():
	case <-l.publisher.Stopped():
	case <-drain.Done():
	}
	err := l.publisher.WaitPublished(drain, l.publisher.Tree().N)
	if err != nil {
		l.cfg.Logger.Warn("stopping before everything is published; the rest follows after the next start", "err", err)
	}
	// Entries that the derived state lacks only cost time at the next start. A log that
	// has halted does not wait: its storage may be of another date than its state, and
	// another front end waits for the lease.
	if size := l.publisher.Tree().N; l.publisher.Halted() == nil {
		if err := l.indexer.Wait(drain, size); err != nil {
			l.cfg.Logger.Info("the derived state is caught up at the next start", "err", err)
		}
		l.indexer.Behind(drain, size)
	}
}
