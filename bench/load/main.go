// Command load is the client of bench/: it costs less than the servers it measures, and refuses wrong answers.
//
// Every timed verb connects and warms up first, prints "ready <TLS version> <cipher suite>", waits for a line on stdin,
// works, prints one line of JSON, and holds its connections until stdin ends: so whoever measures the servers can
// look at them between the lines, and no handshake is counted.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

type verb struct {
	help string
	run  func(*flag.FlagSet, []string) error
}

var verbs = map[string]verb{
	"small":    {"the same small request again and again on each of some connections", small},
	"paced":    {"small requests at a fixed rate, whether the server keeps up or not", paced},
	"uploads":  {"start an upload and cancel it, again and again", uploads},
	"pull":     {"large bodies by several clients at once", pull},
	"images":   {"an image by several clients at once, each request on a new connection", images},
	"push":     {"blobs by several clients at once, in one chunked PATCH, one with a length, or one PUT", push},
	"connects": {"a new connection for each small request, by some at once", connects},
	"guesses":  {"wrong passwords at a rate, until stdin ends", guesses},
	"digest":   {"the digests of contents", digests},
	"write":    {"a content to a file", write},
}

func main() {
	if len(os.Args) < 2 || verbs[os.Args[1]].run == nil {
		for name, each := range verbs {
			fmt.Fprintf(os.Stderr, "load %s: %s\n", name, each.help)
		}
		os.Exit(2)
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	if err := verbs[os.Args[1]].run(flags, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func (l *list) numbers() ([]uint64, error) {
	var numbers []uint64
	for _, text := range *l {
		number, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}

// result is what a timed verb found.
type result struct {
	Requests int     `json:"requests"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	P999     float64 `json:"p999_ms"`
}

// timed runs work between the lines described at the top. work fills the result but for its seconds.
func timed(connections []*connection, work func(*result) error) error {
	stdin := bufio.NewReader(os.Stdin)
	fmt.Printf("ready %s\n", connections[0].spoken())
	if _, err := stdin.ReadString('\n'); err != nil {
		return fmt.Errorf("nobody said go: %w", err)
	}
	var found result
	begun := time.Now()
	if err := work(&found); err != nil {
		return err
	}
	found.Seconds = time.Since(begun).Seconds()
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		return err
	}
	for {
		if _, err := stdin.ReadString('\n'); err != nil {
			break
		}
	}
	for _, each := range connections {
		each.close()
	}
	return nil
}

// together runs work for each number below count at once and returns the first error.
func together(count int, work func(int) error) error {
	failures := make(chan error, count)
	for number := 0; number < count; number++ {
		go func(number int) { failures <- work(number) }(number)
	}
	var first error
	for number := 0; number < count; number++ {
		if err := <-failures; err != nil && first == nil {
			first = err
		}
	}
	return first
}
