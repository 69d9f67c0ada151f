package main

import (
	"flag"
	"fmt"
	"runtime"
	"sort"
	"time"
)

// asking is a small request that is repeated, and the answer it must get.
type asking struct {
	server
	method, path        string
	headers             list
	length              int64
	connections, warmup int
	seconds             float64
}

func (a *asking) parse(flags *flag.FlagSet, arguments []string) error {
	a.flags(flags)
	flags.StringVar(&a.method, "method", "GET", "the request's method")
	flags.StringVar(&a.path, "path", "/v2/", "its path and query")
	flags.Var(&a.headers, "header", "a further header, `name: value`; may be repeated")
	flags.Int64Var(&a.length, "length", -1, "the Content-Length that the answer must have")
	flags.IntVar(&a.connections, "connections", 32, "how many connections")
	flags.IntVar(&a.warmup, "warmup", 3, "requests on each of them that are not counted")
	flags.Float64Var(&a.seconds, "seconds", 1, "for how long")
	return flags.Parse(arguments)
}

// once asks on a connection and checks the answer.
func (a *asking) once(on *connection, request []byte) error {
	found, err := on.expect(200, a.method, request)
	if err == nil && a.length >= 0 && found.declared != a.length {
		err = fmt.Errorf("%d bytes instead of %d", found.declared, a.length)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", a.method, a.path, err)
	}
	return nil
}

// prepare connects and warms up. One thread runs it all from here on: more of them would spin between answers and take
// the servers' cores.
func (a *asking) prepare() ([]*connection, []byte, error) {
	runtime.GOMAXPROCS(1)
	connections, err := a.connectAll(a.connections)
	if err != nil {
		return nil, nil, err
	}
	request := connections[0].head(a.method, a.path, a.headers...)
	err = together(len(connections), func(number int) error {
		for count := 0; count < a.warmup; count++ {
			if err := a.once(connections[number], request); err != nil {
				return err
			}
		}
		return nil
	})
	return connections, request, err
}

func small(flags *flag.FlagSet, arguments []string) error {
	var a asking
	if err := a.parse(flags, arguments); err != nil {
		return err
	}
	connections, request, err := a.prepare()
	if err != nil {
		return err
	}
	return timed(connections, func(found *result) error {
		end := time.Now().Add(time.Duration(a.seconds * float64(time.Second)))
		times := make([][]time.Duration, len(connections))
		err := together(len(connections), func(number int) error {
			for before := time.Now(); before.Before(end); {
				if err := a.once(connections[number], request); err != nil {
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

// paced asks at a rate: a request waits for a free connection if there is none, and that waiting counts.
func paced(flags *flag.FlagSet, arguments []string) error {
	var a asking
	rate := flags.Float64("rate", 500, "requests per second")
	if err := a.parse(flags, arguments); err != nil {
		return err
	}
	connections, request, err := a.prepare()
	if err != nil {
		return err
	}
	return timed(connections, func(found *result) error {
		count := int(*rate * a.seconds)
		due := make(chan time.Time, count)
		go func() {
			begun := time.Now()
			for number := 0; number < count; number++ {
				time.Sleep(time.Until(begun.Add(time.Duration(float64(number) / *rate * float64(time.Second)))))
				due <- time.Now()
			}
			close(due)
		}()
		times := make([][]time.Duration, len(connections))
		err := together(len(connections), func(number int) error {
			for from := range due {
				if err := a.once(connections[number], request); err != nil {
					return err
				}
				times[number] = append(times[number], time.Since(from))
			}
			return nil
		})
		found.count(times)
		return err
	})
}

// uploads starts an upload and cancels it, so that their number stays what it was.
func uploads(flags *flag.FlagSet, arguments []string) error {
	var a asking
	if err := a.parse(flags, arguments); err != nil {
		return err
	}
	connections, err := a.connectAll(a.connections)
	if err != nil {
		return err
	}
	return timed(connections, func(found *result) error {
		end := time.Now().Add(time.Duration(a.seconds * float64(time.Second)))
		times := make([][]time.Duration, len(connections))
		err := together(len(connections), func(number int) error {
			on := connections[number]
			for before := time.Now(); before.Before(end); before = time.Now() {
				started, err := on.expect(202, "POST", on.head("POST", a.path, "Content-Length: 0"))
				if err != nil {
					return err
				}
				place, err := target(started.location)
				if err != nil {
					return err
				}
				if _, err = on.expect(204, "DELETE", on.head("DELETE", place)); err != nil {
					return err
				}
				times[number] = append(times[number], time.Since(before))
			}
			return nil
		})
		found.count(times)
		return err
	})
}

func (r *result) count(times [][]time.Duration) {
	var all []time.Duration
	for _, each := range times {
		all = append(all, each...)
	}
	r.Requests = len(all)
	if len(all) == 0 {
		return
	}
	sort.Slice(all, func(one, other int) bool { return all[one] < all[other] })
	r.P50 = float64(all[len(all)/2]) / 1e6
	r.P99 = float64(all[len(all)*99/100]) / 1e6
}
