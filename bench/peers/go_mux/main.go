// SPDX-License-Identifier: MIT

// Go's multiplexers beside mux.c: the same rows, a goroutine where that has a fiber.
//
//	go_mux [-mux smux|yamux] [-v 1|2] [-stream-buffer BYTES] ROLE ROW [PORT]
//
// Goroutines run on as many threads as processors may be used: one when pinned to one.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"
	"github.com/xtaci/smux"
)

type session interface {
	open() (io.ReadWriteCloser, error)
	accept() (io.ReadWriteCloser, error)
	Close() error
}

type smuxSession struct{ *smux.Session }

func (s smuxSession) open() (io.ReadWriteCloser, error)   { return s.OpenStream() }
func (s smuxSession) accept() (io.ReadWriteCloser, error) { return s.AcceptStream() }

type yamuxSession struct{ *yamux.Session }

func (s yamuxSession) open() (io.ReadWriteCloser, error)   { return s.OpenStream() }
func (s yamuxSession) accept() (io.ReadWriteCloser, error) { return s.AcceptStream() }

var (
	library      = flag.String("mux", "smux", "smux or yamux")
	version      = flag.Int("v", 1, "of smux's protocol")
	streamBuffer = flag.Int("stream-buffer", 0, "bytes; and 16 MiB in place of 4 for smux's session")
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// See mux_rows.h: before the socket is connected.
func useReno(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		const tcpCongestion = 13
		must(syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, tcpCongestion, "reno"))
	})
}

func newSmux(conn net.Conn, client bool) session {
	config := smux.DefaultConfig()
	config.Version = *version
	if *streamBuffer > 0 {
		config.MaxStreamBuffer = *streamBuffer
		config.MaxReceiveBuffer = 16 << 20
	}
	make := smux.Server
	if client {
		make = smux.Client
	}
	s, err := make(conn, config)
	must(err)
	return smuxSession{s}
}

func newYamux(conn net.Conn, client bool) session {
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	config.ConnectionWriteTimeout = time.Minute
	if *streamBuffer > 0 {
		config.MaxStreamWindowSize = uint32(*streamBuffer)
	}
	make := yamux.Server
	if client {
		make = yamux.Client
	}
	s, err := make(conn, config)
	must(err)
	return yamuxSession{s}
}

func runEnd(conn net.Conn, r *row, client, single bool) {
	e := &end{row: r}
	if *library == "yamux" {
		e.session = newYamux(conn, client)
	} else {
		e.session = newSmux(conn, client)
	}
	if !single && client {
		e.meter.end = "-client"
	} else if !single {
		e.meter.end = "-server"
	}
	e.meter.row = r
	e.meter.quiet = r.kind == kindIdle || (single && client != r.clientReports())
	e.run(client)
	e.meter.report(e.counted, e.total)
	e.session.Close()
}

func runClient(address string, r *row, single bool) {
	dialer := net.Dialer{Control: useReno}
	conn, err := dialer.Dial("tcp", address)
	must(err)
	runEnd(conn, r, true, single)
}

func runServer(r *row, single bool) {
	config := net.ListenConfig{Control: useReno}
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	must(err)
	done := make(chan struct{})
	if single {
		go func() {
			runClient(listener.Addr().String(), r, true)
			close(done)
		}()
	} else {
		fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
		close(done)
	}
	conn, err := listener.Accept()
	must(err)
	runEnd(conn, r, false, single)
	<-done
}

func main() {
	flag.Parse()
	args := flag.Args()
	if len(args) < 2 || rowFind(args[1]) == nil {
		fmt.Fprintln(os.Stderr, "usage: go_mux [OPTIONS] server ROW | client ROW PORT | single ROW")
		os.Exit(2)
	}
	r := rowFind(args[1])
	patternFill()
	switch {
	case args[0] == "client" && len(args) == 3:
		runClient("127.0.0.1:"+args[2], r, false)
	case args[0] == "server" || args[0] == "single":
		runServer(r, args[0] == "single")
	default:
		os.Exit(2)
	}
}
