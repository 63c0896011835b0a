package hostaddr

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// settle is how long nothing may have changed before the box is looked at: a
	// new lease takes the old address away first.
	settle = 300 * time.Millisecond
	// patience bounds that on a box whose links never rest.
	patience = 3 * time.Second
	// resubscribe is how long to wait before listening to the kernel again, after
	// it told more than was taken in time.
	resubscribe = time.Second
)

// Watch calls changed with the box's addresses, as Find returns them, once there
// are some, and whenever they have changed and settled. A box that loses its
// address keeps the last one until it has another. It works until ctx ends, and
// returns nil then.
func Watch(ctx context.Context, ignore func(netip.Addr) bool, changed func([]netip.Addr)) error {
	var last []netip.Addr
	look := func() error {
		now, err := find(ignore, last)
		if errors.Is(err, ErrNone) {
			return nil
		}
		if err == nil && !slices.Equal(now, last) {
			last = now
			changed(slices.Clone(now))
		}
		return err
	}
	for ctx.Err() == nil {
		if err := follow(ctx, look); err != nil {
			return fmt.Errorf("follow this box's address: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(resubscribe):
		}
	}
	return nil
}

// follow looks now, and after each change that the kernel tells of, until ctx ends
// or the kernel tells no more.
func follow(ctx context.Context, look func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news, err := subscribe(ctx)
	if err != nil {
		return err
	}
	if err := look(); err != nil {
		return err
	}
	for {
		open, err := settled(ctx, news)
		if ctx.Err() != nil {
			return nil
		}
		if err = errors.Join(err, look()); err != nil || !open {
			return err
		}
	}
}

// settled waits for news and until no more come; false if none will come at all.
func settled(ctx context.Context, news <-chan struct{}) (open bool, err error) {
	select {
	case <-ctx.Done():
		return false, nil
	case _, open = <-news:
	}
	end := time.After(patience)
	for open {
		select {
		case <-ctx.Done():
			return false, nil
		case _, open = <-news:
		case <-time.After(settle):
			return true, nil
		case <-end:
			return true, nil
		}
	}
	return false, nil
}

// subscribe returns a channel that tells when addresses, default routes or links
// may have changed, until ctx ends; it is closed if the kernel tells no more.
func subscribe(ctx context.Context) (<-chan struct{}, error) {
	addrs, routes, links := make(chan netlink.AddrUpdate), make(chan netlink.RouteUpdate), make(chan netlink.LinkUpdate)
	// Errors end in a closed channel, which is answered by beginning anew.
	ignore := func(error) {}
	if err := netlink.AddrSubscribeWithOptions(addrs, ctx.Done(), netlink.AddrSubscribeOptions{ErrorCallback: ignore}); err != nil {
		return nil, fmt.Errorf("subscribe to addresses: %w", err)
	}
	if err := netlink.RouteSubscribeWithOptions(routes, ctx.Done(), netlink.RouteSubscribeOptions{ErrorCallback: ignore}); err != nil {
		return nil, fmt.Errorf("subscribe to routes: %w", err)
	}
	if err := netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: ignore}); err != nil {
		return nil, fmt.Errorf("subscribe to links: %w", err)
	}
	news := make(chan struct{}, 1)
	go func() {
		defer drain(addrs, routes, links)
		defer close(news)
		for {
			ok, matters := true, true
			var r netlink.RouteUpdate
			select {
			case _, ok = <-addrs:
			case _, ok = <-links:
			case r, ok = <-routes:
				matters = isDefault(r.Route)
			}
			if !ok {
				return
			}
			if !matters {
				continue
			}
			select {
			case news <- struct{}{}:
			default:
			}
		}
	}()
	return news, nil
}

// drain takes what is still told, so that those who tell it can end.
func drain(addrs <-chan netlink.AddrUpdate, routes <-chan netlink.RouteUpdate, links <-chan netlink.LinkUpdate) {
	go func() {
		for range addrs {
		}
	}()
	go func() {
		for range routes {
		}
	}()
	for range links {
	}
}
