package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync/atomic"
)

const (
	pieceSize = 32 << 10 // what docker's io.Copy puts into one HTTP chunk
	readSize  = 256 << 10
)

// pull reads bodies and counts them; with -verify it also compares each with the digest at the end of its path.
func pull(flags *flag.FlagSet, arguments []string) error {
	var from server
	var paths list
	from.flags(flags)
	flags.Var(&paths, "path", "what to read; may be repeated; client i begins with the i-th")
	clients := flags.Int("clients", 1, "how many read at once")
	each := flags.Int64("bytes", 0, "how much each of them reads at least; 0 for one body")
	verify := flags.Bool("verify", false, "compare the digest")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	connections, err := from.connectAll(*clients)
	if err != nil {
		return err
	}
	return timed(connections, func(found *result) error {
		var bytes, requests int64
		err := together(*clients, func(number int) error {
			buffer := make([]byte, readSize)
			for read := int64(0); ; {
				path := paths[number%len(paths)]
				got, err := connections[number].body(path, buffer, *verify)
				if err != nil {
					return fmt.Errorf("GET %s: %w", path, err)
				}
				read += got
				atomic.AddInt64(&bytes, got)
				atomic.AddInt64(&requests, 1)
				if read >= *each {
					return nil
				}
			}
		})
		found.Bytes, found.Requests = bytes, int(requests)
		return err
	})
}

func (c *connection) body(path string, buffer []byte, verify bool, headers ...string) (int64, error) {
	if err := c.ask(c.head("GET", path, headers...)); err != nil {
		return 0, err
	}
	found, err := c.receive("GET")
	if err != nil {
		return 0, err
	}
	if found.status != 200 {
		return 0, fmt.Errorf("status %d", found.status)
	}
	var sum hash.Hash
	if verify {
		sum = sha256.New()
	}
	for left := found.length; left > 0; {
		into := buffer
		if left < int64(len(into)) {
			into = into[:left]
		}
		count, err := c.in.Read(into)
		if sum != nil {
			_, _ = sum.Write(into[:count])
		}
		left -= int64(count)
		if err != nil && (err != io.EOF || left > 0) {
			return 0, fmt.Errorf("%d bytes are missing: %w", left, err)
		}
	}
	if sum != nil {
		if digest := fmt.Sprintf("sha256:%x", sum.Sum(nil)); !strings.HasSuffix(path, digest) {
			return 0, fmt.Errorf("the body's digest is %s", digest)
		}
	}
	return found.length, nil
}

// push sends one blob for each seed, all at once: POST, then PATCH and PUT, or one PUT. Without -digest the client hashes
// as it sends.
func push(flags *flag.FlagSet, arguments []string) error {
	var to server
	var seeds, known, files list
	to.flags(flags)
	flags.Var(&seeds, "seed", "a content's number; may be repeated")
	flags.Var(&known, "digest", "its digest, in the same order")
	flags.Var(&files, "file", "a gzip file that it is made of; may be repeated")
	size := flags.Int64("size", 0, "bytes of each, if they are of no files")
	repository := flags.String("repository", "", "where to")
	how := flags.String("how", "chunked", "chunked or length (of a PATCH), or put")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	numbers, err := seeds.numbers()
	if err != nil {
		return err
	}
	contents, err := newContents(numbers, *size, files)
	if err != nil {
		return err
	}
	connections, err := to.connectAll(len(numbers))
	if err != nil {
		return err
	}
	return timed(connections, func(found *result) error {
		found.Requests = len(numbers)
		for _, each := range contents {
			found.Bytes += each.size
		}
		return together(len(numbers), func(number int) error {
			digest := ""
			if number < len(known) {
				digest = known[number]
			}
			if err := connections[number].upload(*repository, contents[number], digest, *how); err != nil {
				return fmt.Errorf("push to %s: %w", *repository, err)
			}
			return nil
		})
	})
}

// upload sends a blob: as docker does, in one chunked PATCH ("chunked"); as skopeo and podman do, in one PATCH with its
// length ("length"); as containerd and BuildKit do, in the PUT that ends it ("put").
func (c *connection) upload(repository string, content *content, digest, how string) error {
	started, err := c.expect(202, "POST", c.head("POST", "/v2/"+repository+"/blobs/uploads/", "Content-Length: 0"))
	if err != nil {
		return err
	}
	place, err := target(started.location)
	if err != nil {
		return err
	}
	if how == "put" && digest == "" {
		return fmt.Errorf("the digest must be known before one PUT")
	}
	method, begun, end, send := "PATCH", place, []byte(nil), c.raw
	framing := fmt.Sprintf("Content-Length: %d", content.size)
	switch how {
	case "chunked":
		framing, end, send = "Transfer-Encoding: chunked", []byte("0\r\n\r\n"), c.chunks
	case "put":
		method, begun = "PUT", withDigest(place, digest)
	case "length":
	default:
		return fmt.Errorf("nothing is pushed as %q", how)
	}
	if _, err = c.out.Write(c.head(method, begun, framing, "Content-Type: application/octet-stream")); err != nil {
		return err
	}
	sum := sha256.New()
	err = content.each(func(block []byte) error {
		if digest == "" {
			_, _ = sum.Write(block)
		}
		return send(block)
	})
	if err != nil {
		return err
	}
	if how == "put" {
		_, err = c.expect(201, method, end)
		return err
	}
	patched, err := c.expect(202, method, end)
	if err != nil {
		return err
	}
	if place, err = target(patched.location); err != nil {
		return err
	}
	if digest == "" {
		digest = fmt.Sprintf("sha256:%x", sum.Sum(nil))
	}
	_, err = c.expect(201, "PUT", c.head("PUT", withDigest(place, digest), "Content-Length: 0"))
	return err
}

func withDigest(place, digest string) string {
	joint := "?"
	if strings.Contains(place, "?") {
		joint = "&"
	}
	return place + joint + "digest=" + strings.Replace(digest, ":", "%3A", 1)
}

func (c *connection) raw(block []byte) error {
	_, err := c.out.Write(block)
	return err
}

func (c *connection) chunks(block []byte) error {
	for len(block) > 0 {
		piece := block
		if len(piece) > pieceSize {
			piece = piece[:pieceSize]
		}
		if _, err := fmt.Fprintf(c.out, "%x\r\n", len(piece)); err != nil {
			return err
		}
		if _, err := c.out.Write(piece); err != nil {
			return err
		}
		if _, err := c.out.WriteString("\r\n"); err != nil {
			return err
		}
		block = block[len(piece):]
	}
	return nil
}
