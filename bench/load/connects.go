package main

import (
	"flag"
	"runtime"
	"time"
)

// connects makes a new connection for each request, as most clients do for each pull: a handshake, one answer, the end.
func connects(flags *flag.FlagSet, arguments []string) error {
	var a asking
	if err := a.parse(flags, arguments); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)
	first, err := a.connect()
	if err != nil {
		return err
	}
	request := first.head(a.method, a.path, append(a.headers, "Connection: close")...)
	for count := 0; count < a.warmup; count++ {
		if err := a.anew(request); err != nil {
			return err
		}
	}
	return timed([]*connection{first}, func(found *result) error {
		end := time.Now().Add(time.Duration(a.seconds * float64(time.Second)))
		times := make([][]time.Duration, a.connections)
		err := together(a.connections, func(number int) error {
			for before := time.Now(); before.Before(end); {
				if err := a.anew(request); err != nil {
					return err
				}
				after := time.Now()
				times[number] = append(times[number], after.Sub(before))
				before = after
			}
			return nil
		})
		found.count(times)
		return err
	})
}

// anew asks on a connection of its own.
func (a *asking) anew(request []byte) error {
	on, err := a.connect()
	if err != nil {
		return err
	}
	defer on.close()
	return a.once(on, request)
}
