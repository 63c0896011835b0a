package containerd

import (
	"context"
	"log/slog"
)

func recoverExits(ctx context.Context, l Layout, log *slog.Logger) error { return nil }
