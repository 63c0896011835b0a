package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"skiff/store"
)

// register is the model of one key: its revision and value, 0 for none.
type register struct {
	revision int64
	value    string
}

type input struct {
	// write is a compare-and-swap of value at expect; otherwise a read.
	write  bool
	expect int64
	value  string
}

type output struct {
	// ok tells that a write was applied, or that a read found the key.
	ok       bool
	revision int64
	value    string
}

var model = porcupine.Model{
	Init: func() any { return register{} },
	Step: func(state, in, out any) (bool, any) {
		reg, i, o := state.(register), in.(input), out.(output)
		switch {
		case !i.write:
			want := output{ok: reg.revision != 0, revision: reg.revision, value: reg.value}
			return o == want, reg
		case o.ok:
			return reg.revision == i.expect && o.revision > reg.revision, register{o.revision, i.value}
		default:
			return reg.revision != i.expect, reg
		}
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}

// testLinearizable records concurrent reads and writes of one key and asserts
// that some order of them explains all the results.
func testLinearizable(t *testing.T, s store.Store) {
	const clients, each = 8, 60
	start := time.Now()
	var mu sync.Mutex
	var ops []porcupine.Operation
	var wg sync.WaitGroup
	for c := range clients {
		rnd := rand.New(rand.NewPCG(uint64(c), 1))
		wg.Go(func() {
			for n := range each {
				op, err := operate(t.Context(), s, rnd, fmt.Sprintf("%d.%d", c, n), start)
				if err != nil {
					t.Error(err)
					return
				}
				op.ClientId = c
				mu.Lock()
				ops = append(ops, op)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if res := porcupine.CheckOperationsTimeout(model, ops, 20*time.Second); res != porcupine.Ok {
		t.Errorf("%d operations are not linearizable: %v", len(ops), res)
	}
}

func operate(ctx context.Context, s store.Store, rnd *rand.Rand, value string, start time.Time) (porcupine.Operation, error) {
	const key = "registers/r"
	var op porcupine.Operation
	read := func() (output, error) {
		item, _, err := s.Get(ctx, key, store.ReadOptions{})
		if errors.Is(err, store.ErrNotFound) {
			return output{}, nil
		}
		return output{ok: true, revision: item.Revision, value: string(item.Value)}, err
	}
	if rnd.IntN(2) == 0 {
		op.Input, op.Call = input{}, int64(time.Since(start))
		out, err := read()
		op.Output, op.Return = out, int64(time.Since(start))
		return op, err
	}
	seen, err := read()
	if err != nil {
		return op, err
	}
	op.Input, op.Call = input{write: true, expect: seen.revision, value: value}, int64(time.Since(start))
	revs, err := s.Txn(ctx, put(key, value, seen.revision))
	op.Return = int64(time.Since(start))
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &conflict):
		op.Output = output{}
	case err != nil:
		return op, err
	default:
		op.Output = output{ok: true, revision: revs[0], value: value}
	}
	return op, nil
}
