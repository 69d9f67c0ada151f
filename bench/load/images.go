package main

import (
	"flag"
	"fmt"
	"sync/atomic"
)

const layersAtOnce = 3 // dockerd's max-concurrent-downloads

// images has several clients pull an image at once, as dockerd does: a new TLS connection for each request, closed behind
// it; the version check, the manifest, the configuration, and then layers, three at a time.
func images(flags *flag.FlagSet, arguments []string) error {
	var from server
	var headers, layers list
	from.flags(flags)
	flags.Var(&headers, "header", "a further header of the manifest's request, `name: value`; may be repeated")
	flags.Var(&layers, "layer", "a layer's path; may be repeated")
	manifest := flags.String("manifest", "", "the manifest's path")
	configuration := flags.String("configuration", "", "the configuration's path")
	clients := flags.Int("clients", 1, "how many pull at once")
	verify := flags.Bool("verify", false, "compare the digests of what is read")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	first, err := from.connect()
	if err != nil {
		return err
	}
	return timed([]*connection{first}, func(found *result) error {
		found.Requests = *clients
		return together(*clients, func(int) error {
			get := func(path string, compare bool, headers ...string) error {
				count, err := from.fetch(path, compare, headers...)
				atomic.AddInt64(&found.Bytes, count)
				return err
			}
			if err := get("/v2/", false); err != nil {
				return err
			}
			if err := get(*manifest, false, headers...); err != nil {
				return err
			}
			if err := get(*configuration, *verify); err != nil {
				return err
			}
			var next int64
			return together(layersAtOnce, func(int) error {
				for {
					turn := int(atomic.AddInt64(&next, 1)) - 1
					if turn >= len(layers) {
						return nil
					}
					if err := get(layers[turn], *verify); err != nil {
						return err
					}
				}
			})
		})
	})
}

// fetch reads a body on a connection of its own.
func (s *server) fetch(path string, verify bool, headers ...string) (int64, error) {
	on, err := s.connect()
	if err != nil {
		return 0, err
	}
	defer on.close()
	count, err := on.body(path, make([]byte, readSize), verify, append(headers, "Connection: close")...)
	if err != nil {
		return 0, fmt.Errorf("GET %s: %w", path, err)
	}
	return count, nil
}
