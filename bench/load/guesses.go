package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// guesses sends a user's wrong passwords at a rate, each another one, from one or more addresses, until stdin ends. It
// begins at a line on stdin, like all that is timed; what is measured goes on beside it.
func guesses(flags *flag.FlagSet, arguments []string) error {
	var from server
	from.flags(flags)
	path := flags.String("path", "/v2/", "what is asked for")
	user := flags.String("user", "", "whose passwords")
	rate := flags.Float64("rate", 200, "requests per second")
	count := flags.Int("connections", 32, "how many connections")
	addresses := flags.Int("addresses", 1, "from how many addresses, below 127.1.0.0 where these are several")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	from.authorization = ""
	var connections []*connection
	for number := 0; number < *count; number++ {
		if *addresses > 1 {
			from.local = fmt.Sprintf("127.1.%d.%d", number%*addresses/250, number%*addresses%250+1)
		}
		one, err := from.connect()
		if err != nil {
			return err
		}
		connections = append(connections, one)
	}
	stdin := bufio.NewReader(os.Stdin)
	fmt.Printf("ready %s\n", connections[0].spoken())
	if _, err := stdin.ReadString('\n'); err != nil {
		return fmt.Errorf("nobody said go: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		close(ended)
	}()
	due := make(chan int)
	go func() {
		defer close(due)
		begun := time.Now()
		for number := 0; ; number++ {
			select {
			case <-ended:
				return
			case <-time.After(time.Until(begun.Add(time.Duration(float64(number) / *rate * float64(time.Second))))):
			}
			select {
			case <-ended:
				return
			case due <- number:
			}
		}
	}()
	var answered int64
	begun := time.Now()
	err := together(len(connections), func(number int) error {
		for guess := range due {
			secret := base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%s:guess %d", *user, guess)))
			on := connections[number]
			if err := on.ask(on.head("GET", *path, "Authorization: Basic "+secret)); err != nil {
				return err
			}
			found, err := on.receive("GET")
			if err != nil {
				return err
			}
			if found.status != 401 && found.status != 429 {
				return fmt.Errorf("a wrong password was answered %d", found.status)
			}
			if _, err := on.in.Discard(int(found.length)); err != nil {
				return err
			}
			atomic.AddInt64(&answered, 1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	found := result{Requests: int(answered), Seconds: time.Since(begun).Seconds()}
	return json.NewEncoder(os.Stdout).Encode(found)
}
