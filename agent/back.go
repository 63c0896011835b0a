package agent

import "context"

// followServer has what waits for the API server done as soon as it answers again,
// rather than when the next try is due.
func (a *Agent) followServer(ctx context.Context) error {
	if a.deps.Memory == nil {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.deps.Memory.Back():
			a.pods.ServerBack()
			a.statusSoon()
			select {
			case a.leaseNow <- struct{}{}:
			default: // it is about to
			}
		}
	}
}
