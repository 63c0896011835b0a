package latch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"skiff/latch"
)

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := latch.New(2)
		opened := false
		go func() {
			if err := l.Wait(t.Context()); err != nil {
				t.Error(err)
			}
			opened = true
		}()
		l.Done()
		if synctest.Wait(); opened {
			t.Fatal("open with one of two parts")
		}
		l.Done()
		if synctest.Wait(); !opened {
			t.Error("closed with all parts")
		}
	})
}

func TestWaitEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := latch.New(1).Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestOneTooMany(t *testing.T) {
	l := latch.New(1)
	l.Done()
	defer func() {
		if recover() == nil {
			t.Error("a part that nobody waits for is not noticed")
		}
	}()
	l.Done()
}
