package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync/atomic"
	"time"
)

// asking is a small request that is repeated, or several in turn, and the answer that each must get.
type asking struct {
	server
	method, path, vary  string
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
		line, _, _ := bytes.Cut(request, []byte("\r\n"))
		return fmt.Errorf("%s: %w", line, err)
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

// small asks the same again and again; or, with -vary, what a file says, line by line: all of it is asked once before the
// clock starts, unless it is to be asked for the first time (-once), and then it ends with the file.
func small(flags *flag.FlagSet, arguments []string) error {
	var a asking
	flags.StringVar(&a.vary, "vary", "", "a file of requests: a path on each line, and headers behind tabs")
	once := flags.Bool("once", false, "ask each of them once and end, however long it takes")
	if err := a.parse(flags, arguments); err != nil {
		return err
	}
	connections, request, err := a.prepare()
	if err != nil {
		return err
	}
	requests := [][]byte{request}
	if a.vary != "" {
		if requests, err = a.varied(connections[0]); err != nil {
			return err
		}
		if !*once {
			if _, err = a.all(connections, requests, time.Time{}); err != nil {
				return err
			}
		}
	}
	return timed(connections, func(found *result) error {
		end := time.Time{}
		if !*once {
			end = time.Now().Add(time.Duration(a.seconds * float64(time.Second)))
		}
		times, err := a.all(connections, requests, end)
		found.count(times)
		return err
	})
}

// varied reads what is asked from a file.
func (a *asking) varied(on *connection) ([][]byte, error) {
	text, err := os.ReadFile(a.vary)
	if err != nil {
		return nil, err
	}
	var requests [][]byte
	for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		words := strings.Split(line, "\t")
		requests = append(requests, on.head(a.method, words[0], append(words[1:], a.headers...)...))
	}
	return requests, nil
}

// all asks the requests in turn on all connections: until end, or each once if that is no time.
func (a *asking) all(connections []*connection, requests [][]byte, end time.Time) ([][]time.Duration, error) {
	times := make([][]time.Duration, len(connections))
	var next int64
	err := together(len(connections), func(number int) error {
		for before := time.Now(); end.IsZero() || before.Before(end); {
			turn := int(atomic.AddInt64(&next, 1)) - 1
			if end.IsZero() && turn >= len(requests) {
				break
			}
			request := requests[turn%len(requests)]
			if err := a.once(connections[number], request); err != nil {
				return err
			}
			after := time.Now()
			times[number] = append(times[number], after.Sub(before))
			before = after
		}
		return nil
	})
	return times, err
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
	r.P999 = float64(all[len(all)*999/1000]) / 1e6
}
