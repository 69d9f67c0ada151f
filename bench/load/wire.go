package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
)

const (
	agent = "docker/24.0.7 go/go1.20.10 git-commit/311b9ff kernel/6.1.0 os/linux arch/amd64 " +
		`UpstreamClient(Docker-Client/24.0.7 \(linux\))`
	wireBuffer  = 256 << 10
	plainBuffer = 128 << 10
)

// server is where to connect, from where, whom to trust, and what to show it.
type server struct {
	address, local, ca, authorization string
	trust                             sync.Once
	roots                             *x509.CertPool
}

func (s *server) flags(flags *flag.FlagSet) {
	flags.StringVar(&s.address, "server", "", "host:port")
	flags.StringVar(&s.ca, "ca", "", "the PEM file of the CA to trust")
	flags.StringVar(&s.authorization, "authorization", "", "the Authorization of every request; none if empty")
}

// buffered reads and writes the socket in large pieces: TLS alone would make two system calls for each record. What was
// written leaves when the buffer is full or when somebody waits for an answer.
type buffered struct {
	net.Conn
	in     *bufio.Reader
	out    *bufio.Writer
	direct bool
}

func (b *buffered) Read(into []byte) (int, error) {
	if b.out.Buffered() > 0 {
		if err := b.out.Flush(); err != nil {
			return 0, err
		}
	}
	return b.in.Read(into)
}

func (b *buffered) Write(content []byte) (int, error) {
	if b.direct {
		return b.Conn.Write(content)
	}
	return b.out.Write(content)
}

// connection is one TLS connection that speaks HTTP/1.1 by hand.
type connection struct {
	tls  *tls.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	host string
	more []string
}

func (s *server) connect() (*connection, error) {
	var err error
	s.trust.Do(func() {
		var pem []byte
		pem, err = os.ReadFile(s.ca)
		s.roots = x509.NewCertPool()
		s.roots.AppendCertsFromPEM(pem)
	})
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(s.address)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	if s.local != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(s.local)}
	}
	socket, err := dialer.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	below := &buffered{
		socket, bufio.NewReaderSize(socket, wireBuffer), bufio.NewWriterSize(socket, wireBuffer), true,
	}
	above := tls.Client(below, &tls.Config{RootCAs: s.roots, ServerName: host, DynamicRecordSizingDisabled: true})
	if err := above.Handshake(); err != nil {
		return nil, fmt.Errorf("TLS with %s: %w", s.address, err)
	}
	below.direct = false
	var more []string
	if s.authorization != "" {
		more = []string{"Authorization: " + s.authorization}
	}
	return &connection{
		above, bufio.NewReaderSize(above, plainBuffer), bufio.NewWriterSize(above, plainBuffer), s.address, more,
	}, nil
}

func (s *server) connectAll(count int) ([]*connection, error) {
	var connections []*connection
	for len(connections) < count {
		one, err := s.connect()
		if err != nil {
			return nil, err
		}
		connections = append(connections, one)
	}
	return connections, nil
}

func (c *connection) close() { _ = c.tls.Close() }

func (c *connection) spoken() string {
	state := c.tls.ConnectionState()
	versions := map[uint16]string{tls.VersionTLS12: "TLS1.2", tls.VersionTLS13: "TLS1.3"}
	return versions[state.Version] + " " + tls.CipherSuiteName(state.CipherSuite)
}

// head is a request up to its body. A User-Agent takes the place of docker's if it is the first header.
func (c *connection) head(method, path string, headers ...string) []byte {
	lines := []string{method + " " + path + " HTTP/1.1", "Host: " + c.host}
	if len(headers) == 0 || !strings.HasPrefix(headers[0], "User-Agent: ") {
		lines = append(lines, "User-Agent: "+agent)
	}
	lines = append(lines, "Accept-Encoding: identity")
	lines = append(lines, c.more...)
	lines = append(lines, headers...)
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

// answer is the head of an answer; length is that of the body that follows on the connection,
// declared what Content-Length says.
type answer struct {
	status   int
	length   int64
	declared int64
	location string
}

func (c *connection) ask(request []byte) error {
	if _, err := c.out.Write(request); err != nil {
		return err
	}
	return c.out.Flush()
}

// receive reads the head of an answer to method.
func (c *connection) receive(method string) (answer, error) {
	found := answer{length: -1}
	line, err := c.line()
	if err != nil {
		return found, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return found, fmt.Errorf("no answer of HTTP/1.1: %q", line)
	}
	if found.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return found, err
	}
	for {
		if line, err = c.line(); err != nil {
			return found, err
		}
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			return found, fmt.Errorf("a header without a colon: %q", line)
		}
		name, value := line[:colon], bytes.TrimSpace(line[colon+1:])
		switch len(name) {
		case len("Content-Length"):
			if bytes.EqualFold(name, []byte("Content-Length")) {
				if found.length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
					return found, err
				}
			}
		case len("Location"):
			if bytes.EqualFold(name, []byte("Location")) {
				found.location = string(value)
			}
		}
	}
	found.declared = found.length
	switch {
	case method == "HEAD" || found.status == 204:
		found.length = 0
	case found.length < 0:
		return found, fmt.Errorf("status %d without Content-Length", found.status)
	}
	return found, nil
}

func (c *connection) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the server closed the connection in the middle of an answer")
		}
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// expect asks, reads the whole answer, and refuses another status.
func (c *connection) expect(status int, method string, request []byte) (answer, error) {
	if err := c.ask(request); err != nil {
		return answer{}, err
	}
	return c.finish(status, method)
}

func (c *connection) finish(status int, method string) (answer, error) {
	found, err := c.receive(method)
	if err != nil {
		return found, err
	}
	if found.status != status {
		body := make([]byte, 300)
		if found.length < int64(len(body)) {
			body = body[:found.length]
		}
		_, _ = io.ReadFull(c.in, body)
		return found, fmt.Errorf("%s was answered %d instead of %d: %s", method, found.status, status, body)
	}
	_, err = c.in.Discard(int(found.length))
	return found, err
}

// target is the path and query of a Location.
func target(location string) (string, error) {
	parsed, err := url.Parse(location)
	if err != nil {
		return "", err
	}
	return parsed.RequestURI(), nil
}
