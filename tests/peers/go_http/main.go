// SPDX-License-Identifier: MIT

// Go's net/http as a peer: "go_http serve" answers what tests/peers/README.md lists until its
// stdin ends; "go_http check BASE" asks a server for all of it, a line a case, "ok NAME" or
// "not ok NAME: why", and ends with status 1 if one failed.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const patience = 60 * time.Second

// What bodies are made of: byte i of a body is block[i % len(block)].
var block = func() []byte {
	b := make([]byte, 65521)
	for i := range b {
		b[i] = byte(uint32(i) * 2654435761 >> 24)
	}
	return b
}()

// A reader of size bytes of the pattern.
type pattern struct{ at, size int64 }

func (p *pattern) Read(to []byte) (int, error) {
	if p.at == p.size {
		return 0, io.EOF
	}
	if left := p.size - p.at; int64(len(to)) > left {
		to = to[:left]
	}
	n := copy(to, block[p.at%int64(len(block)):])
	p.at += int64(n)
	return n, nil
}

var digests sync.Map // by size

func digest(size int64) string {
	known, ok := digests.Load(size)
	if !ok {
		h := sha256.New()
		io.Copy(h, &pattern{size: size})
		known, _ = digests.LoadOrStore(size, sum(h))
	}
	return known.(string)
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

func main() {
	log.SetFlags(0)
	cert := flag.String("cert", "", "certificate chain")
	key := flag.String("key", "", "its key")
	ca := flag.String("ca", "", "roots of the other end's certificates")
	flag.Parse()
	conf := configure(*cert, *key, *ca)
	switch {
	case flag.Arg(0) == "serve" && flag.NArg() == 1:
		serve(conf)
	case flag.Arg(0) == "check" && flag.NArg() == 2:
		os.Exit(check(flag.Arg(1), conf))
	default:
		log.Fatal("usage: go_http [-cert F -key F] [-ca F] serve | check BASE")
	}
}

func configure(cert, key, ca string) *tls.Config {
	conf := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		fatal(err)
		conf.Certificates = []tls.Certificate{pair}
	}
	if ca != "" {
		text, err := os.ReadFile(ca)
		fatal(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		conf.RootCAs, conf.ClientCAs = pool, pool
		conf.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return conf
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// ---- the server

func serve(conf *tls.Config) {
	mux := http.NewServeMux()
	mux.HandleFunc("/bytes/", sendBytes)
	mux.HandleFunc("/chunked/", sendChunked)
	mux.HandleFunc("/gzip/", sendGzip)
	mux.HandleFunc("/digest", takeDigest)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/fields", fields)
	mux.HandleFunc("/redirect/", redirect)
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	mux.HandleFunc("/peer", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.RemoteAddr)
	})
	mux.HandleFunc("/tls", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "resumed=%v protocol=%s\n", r.TLS.DidResume, r.TLS.NegotiatedProtocol)
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprintln(w, r.RemoteAddr)
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprintln(w, "late")
	})
	mux.HandleFunc("/events", events)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(err)
	fmt.Println("listening", listener.Addr().(*net.TCPAddr).Port)
	if len(conf.Certificates) > 0 {
		conf.NextProtos = []string{"http/1.1"}
		listener = tls.NewListener(listener, conf)
	}
	server := &http.Server{Handler: mux}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		server.Close()
	}()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

func sizeOf(r *http.Request) int64 {
	size, err := strconv.ParseInt(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], 10, 64)
	if err != nil {
		return 0
	}
	return size
}

func sendBytes(w http.ResponseWriter, r *http.Request) {
	size := sizeOf(r)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.Method != http.MethodHead {
		io.Copy(w, &pattern{size: size})
	}
}

func sendChunked(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "X-Digest")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	size, h := sizeOf(r), sha256.New()
	io.Copy(io.MultiWriter(w, h), &pattern{size: size})
	w.Header().Set("X-Digest", sum(h))
}

func sendGzip(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	io.Copy(z, &pattern{size: sizeOf(r)})
	z.Close()
}

func takeDigest(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	size, err := io.Copy(h, r.Body)
	if err != nil {
		log.Print("digest: ", err)
		return
	}
	fmt.Fprintf(w, "%d %s\n", size, sum(h))
	for name, values := range r.Trailer {
		fmt.Fprintf(w, "%s: %s\n", strings.ToLower(name), strings.Join(values, ", "))
	}
}

// This net/http ends a request's body when the reply begins: all of it is read first.
func echo(w http.ResponseWriter, r *http.Request) {
	if body, err := io.ReadAll(r.Body); err == nil {
		w.(http.Flusher).Flush()
		w.Write(body)
	}
}

func fields(w http.ResponseWriter, r *http.Request) {
	lines := []string{"host: " + r.Host}
	for name, values := range r.Header {
		for _, value := range values {
			lines = append(lines, strings.ToLower(name)+": "+value)
		}
	}
	sort.Strings(lines)
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}

func redirect(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", r.URL.Query().Get("to"))
	w.WriteHeader(int(sizeOf(r)))
}

// Three events a connection, from the one after Last-Event-ID, nine in all; then 204.
func events(w http.ResponseWriter, r *http.Request) {
	last, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	if last >= 9 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, "retry: 20\n\n")
	for i := last + 1; i <= last+3; i++ {
		fmt.Fprintf(w, ": a comment\nevent: tick\nid: %d\ndata: number %d\ndata: second line\n\n", i, i)
		w.(http.Flusher).Flush()
	}
	io.WriteString(w, "data: unfinished")
}

// ---- the client

type checker struct {
	base   string
	client *http.Client
}

func check(base string, conf *tls.Config) int {
	transport := &http.Transport{
		TLSClientConfig:       conf,
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{},
		ExpectContinueTimeout: patience,
		DisableCompression:    true,
	}
	c := &checker{strings.TrimSuffix(base, "/"), &http.Client{Transport: transport, Timeout: patience}}
	cases := []struct {
		name string
		run  func() error
	}{
		{"keep-alive", c.keepAlive},
		{"download", func() error { return c.sizes(c.download) }},
		{"download chunked", func() error { return c.sizes(c.downloadChunked) }},
		{"upload", func() error { return c.sizes(c.upload) }},
		{"upload chunked", func() error { return c.sizes(c.uploadChunked) }},
		{"echo", func() error { return c.sizes(c.echoed) }},
		{"head", c.head},
		{"expect", c.expect},
		{"expect refused", c.expectRefused},
		{"close", c.closes},
		{"parallel", c.parallel},
		{"half an upload", c.halfUpload},
		{"not found", c.notFound},
	}
	if strings.HasPrefix(base, "https:") {
		cases = append(cases, struct {
			name string
			run  func() error
		}{"resumed", c.resumed})
	}
	failed := 0
	for _, one := range cases {
		if err := one.run(); err != nil {
			fmt.Printf("not ok %s: %v\n", one.name, err)
			failed = 1
		} else {
			fmt.Printf("ok %s\n", one.name)
		}
	}
	return failed
}

func (c *checker) sizes(run func(int64) error) error {
	for _, size := range []int64{0, 1, 65536, 64 << 20} {
		if err := run(size); err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
	}
	return nil
}

func (c *checker) do(method, path string, body io.Reader, change func(*http.Request)) (*http.Response, error) {
	r, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(r)
	}
	return c.client.Do(r)
}

// The whole reply as text; another status than 200 is an error.
func (c *checker) text(method, path string, body io.Reader, change func(*http.Request)) (string, error) {
	reply, err := c.do(method, path, body, change)
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", reply.StatusCode)
	}
	return string(text), err
}

func expectText(got, wanted string) error {
	if got != wanted {
		return fmt.Errorf("got %.200q, not %.200q", got, wanted)
	}
	return nil
}

func (c *checker) keepAlive() error {
	first, err := c.text("GET", "/peer", nil, nil)
	for i := 0; i < 20 && err == nil; i++ {
		var next string
		if next, err = c.text("GET", "/peer", nil, nil); err == nil {
			err = expectText(next, first)
		}
	}
	return err
}

func (c *checker) get(path string, size int64) (*http.Response, error) {
	reply, err := c.do("GET", path, nil, nil)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	h := sha256.New()
	got, err := io.Copy(h, reply.Body)
	if err == nil && (got != size || sum(h) != digest(size)) {
		err = fmt.Errorf("%d bytes, digest %s", got, sum(h))
	}
	return reply, err
}

func (c *checker) download(size int64) error {
	reply, err := c.get(fmt.Sprintf("/bytes/%d", size), size)
	if err == nil && reply.ContentLength != size {
		err = fmt.Errorf("Content-Length %d", reply.ContentLength)
	}
	return err
}

func (c *checker) downloadChunked(size int64) error {
	reply, err := c.get(fmt.Sprintf("/chunked/%d", size), size)
	if err == nil && reply.ContentLength != -1 {
		err = errors.New("not chunked")
	}
	if err == nil {
		err = expectText(reply.Trailer.Get("X-Digest"), digest(size))
	}
	return err
}

func (c *checker) upload(size int64) error {
	text, err := c.text("POST", "/digest", &pattern{size: size}, func(r *http.Request) {
		r.ContentLength = size
		if size == 0 {
			r.Body = http.NoBody
		}
	})
	if err == nil {
		err = expectText(text, fmt.Sprintf("%d %s\n", size, digest(size)))
	}
	return err
}

func (c *checker) uploadChunked(size int64) error {
	text, err := c.text("POST", "/digest", &pattern{size: size}, func(r *http.Request) {
		r.ContentLength = -1
		r.Trailer = http.Header{"X-Size": {strconv.FormatInt(size, 10)}}
	})
	if err == nil {
		err = expectText(text, fmt.Sprintf("%d %s\nx-size: %d\n", size, digest(size), size))
	}
	return err
}

func (c *checker) echoed(size int64) error {
	reply, err := c.do("POST", "/echo", &pattern{size: size}, func(r *http.Request) { r.ContentLength = -1 })
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	h := sha256.New()
	got, err := io.Copy(h, reply.Body)
	if err == nil && (got != size || sum(h) != digest(size)) {
		err = fmt.Errorf("%d bytes, digest %s", got, sum(h))
	}
	return err
}

func (c *checker) head() error {
	reply, err := c.do("HEAD", "/bytes/65536", nil, nil)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.ContentLength != 65536 {
		return fmt.Errorf("Content-Length %d", reply.ContentLength)
	}
	return c.keepAlive()
}

// The server says 100 before a byte of the body goes out.
func (c *checker) expect() error {
	continued := false
	trace := &httptrace.ClientTrace{Got100Continue: func() { continued = true }}
	text, err := c.text("POST", "/digest", &pattern{size: 65536}, func(r *http.Request) {
		r.ContentLength = 65536
		r.Header.Set("Expect", "100-continue")
		*r = *r.WithContext(httptrace.WithClientTrace(context.Background(), trace))
	})
	if err == nil {
		err = expectText(text, fmt.Sprintf("65536 %s\n", digest(65536)))
	}
	if err == nil && !continued {
		err = errors.New("no 100 Continue")
	}
	return err
}

func (c *checker) expectRefused() error {
	body := &pattern{size: 64 << 20}
	reply, err := c.do("POST", "/refuse", body, func(r *http.Request) {
		r.ContentLength = body.size
		r.Header.Set("Expect", "100-continue")
	})
	if err != nil {
		return err
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusRequestEntityTooLarge || body.at != 0 {
		return fmt.Errorf("status %d after %d bytes", reply.StatusCode, body.at)
	}
	return nil
}

func (c *checker) closes() error {
	first, err := c.text("GET", "/close", nil, nil)
	if err != nil {
		return err
	}
	next, err := c.text("GET", "/peer", nil, nil)
	if err == nil && next == first {
		err = errors.New("the connection was used again")
	}
	return err
}

func (c *checker) parallel() error {
	var group sync.WaitGroup
	errs := make(chan error, 16)
	for i := 0; i < cap(errs); i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for j := 0; j < 10; j++ {
				if err := c.upload(int64(i*1000 + j)); err != nil {
					errs <- err
					return
				}
			}
		}(i)
	}
	group.Wait()
	close(errs)
	return <-errs
}

// An upload that is broken off half-way: the server goes on serving others.
func (c *checker) halfUpload() error {
	body := io.MultiReader(bytes.NewReader(block), brokenReader{})
	if _, err := c.text("POST", "/digest", body, func(r *http.Request) { r.ContentLength = 1 << 20 }); err == nil {
		return errors.New("answered")
	}
	return c.upload(1)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken off") }

func (c *checker) notFound() error {
	reply, err := c.do("GET", "/no/such/thing", nil, nil)
	if err != nil {
		return err
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusNotFound {
		return fmt.Errorf("status %d", reply.StatusCode)
	}
	return nil
}

// A second connection takes up the first one's session.
func (c *checker) resumed() error {
	if _, err := c.text("GET", "/close", nil, nil); err != nil {
		return err
	}
	resumed := false
	trace := &httptrace.ClientTrace{TLSHandshakeDone: func(state tls.ConnectionState, _ error) { resumed = state.DidResume }}
	text, err := c.text("GET", "/tls", nil, func(r *http.Request) {
		*r = *r.WithContext(httptrace.WithClientTrace(context.Background(), trace))
	})
	if err == nil && (!resumed || !strings.Contains(text, "resumed=true")) {
		err = fmt.Errorf("resumed here: %v, there: %s", resumed, text)
	}
	return err
}
