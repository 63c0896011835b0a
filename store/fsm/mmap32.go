//go:build 386 || arm || mips || mipsle

package fsm

// mmapSize is the address space reserved for the state file: as long as it is
// not exceeded, a growing file never has to wait for readers to be mapped anew.
// Address space is scarce here.
const mmapSize = 128 << 20
