// SPDX-License-Identifier: MIT

// Go's net/http beside http_server.c and http_client.c, on one processor:
//
//	go_http server           prints "port N"
//	go_http client-N PORT
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var body = []byte(strings.Repeat("0123456789abcdef", 8))

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	must(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(body)
	})))
}

func ask(client *http.Client, url string, data []byte) {
	reply, err := client.Get(url)
	must(err)
	n, err := io.ReadFull(reply.Body, data[:len(body)])
	must(err)
	if more, err := reply.Body.Read(data[n:]); more != 0 || err != io.EOF {
		must(fmt.Errorf("a body that is too long: %v", err))
	}
	reply.Body.Close()
}

func cpu() time.Duration {
	var used syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func load(row, port string) {
	atOnce, err := strconv.Atoi(strings.TrimPrefix(row, "client-"))
	must(err)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce,
		DisableCompression: true}}
	url := "http://127.0.0.1:" + port + "/"
	var done atomic.Int64
	for i := 0; i < atOnce; i++ {
		go func() {
			data := make([]byte, len(body)+1)
			ask(client, url, data)
			if !bytes.Equal(data[:len(body)], body) {
				must(fmt.Errorf("another body"))
			}
			for {
				ask(client, url, data)
				done.Add(1)
			}
		}()
	}
	measured := 1500 * time.Millisecond
	if os.Getenv("BENCH_QUICK") != "" {
		measured /= 10
	}
	time.Sleep(200 * time.Millisecond)
	began, used, before := time.Now(), cpu(), done.Load()
	time.Sleep(measured)
	count := float64(done.Load() - before)
	fmt.Printf("%s %f requests/s\n", row, count/time.Since(began).Seconds())
	fmt.Printf("%s-cpu %f ns\n", row, float64((cpu()-used).Nanoseconds())/count)
}

func main() {
	runtime.GOMAXPROCS(1)
	switch {
	case len(os.Args) == 2 && os.Args[1] == "server":
		serve()
	case len(os.Args) == 3:
		load(os.Args[1], os.Args[2])
	default:
		fmt.Fprintln(os.Stderr, "usage: go_http server | client-N PORT")
		os.Exit(2)
	}
}
