// Package crash holds the crash tests of the store: a child process writes with
// 64 clients and is killed at random moments, or its disk loses what was not
// synced, as in a power cut. What the clients were told is compared with what
// is there afterwards.
//
// The short forms run with the normal tests. The long ones:
//
//	SKIFF_CRASH_ROUNDS=200 go test ./test/crash -run TestKill -v -timeout 30m
//	SKIFF_CRASH_ROUNDS=100 go test ./test/crash -run TestPowerCut -v -timeout 30m
//
// TestPowerCut needs root and /dev/fuse, and skips without them.
package crash
