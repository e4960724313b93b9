// SPDX-License-Identifier: MIT

// A peer for tests: one session of Go's smux over TCP, told what to do line by line.
//
//	go_smux [flags] client ADDRESS	connects
//	go_smux [flags] server ADDRESS	listens, says "port N", takes one connection
//
// Both say "ready". Commands on stdin; the end of stdin is the end of the program:
//
//	open OP MINE THEIRS COUNT AT_ONCE A B	opens that many streams, AT_ONCE at a time
//	release		lets those who read late begin
//	streams		says "streams N": alive at this end
//	answers		says "answers true" or "false": may this release still write after a FIN
//	die HOW		the connection, at once: fin, close, rst; session; exit
//
// A stream's opener first sends 12 bytes: op, how the acceptor reads, two zeros, then A and B
// (u32, little-endian). The ops, and what both ends do:
//
//	P	A bytes from the opener and B bytes from the acceptor, at the same time
//	H	A bytes from the opener and its FIN; then B bytes from the acceptor
//	R	B bytes from the acceptor and its FIN; then A bytes from the opener
//
// How an end reads is P (at once), L (not before the release) or S (little by little). This
// end closes each stream when it is done, and says "stream ID sent DIGEST received DIGEST"
// (FNV-1a of 64 bits); "ended WHY" when the session is over; "error WHAT" when anything fails.
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/xtaci/smux"
)

const (
	headerSize = 12
	chunkMax   = 100000 // bytes of a write
	slowChunk  = 1000   // bytes of a slow reader's read
	slowRests  = 32     // its reads from rest to rest
	slowRest   = time.Millisecond
)

type header struct {
	op, how byte
	a, b    uint32
}

type peer struct {
	conn     *net.TCPConn
	session  *smux.Session
	saying   sync.Mutex
	released chan struct{}
	dying    bool // under saying: errors are expected from now on
}

func (p *peer) say(format string, args ...interface{}) {
	p.saying.Lock()
	defer p.saying.Unlock()
	fmt.Printf(format+"\n", args...)
}

func (p *peer) fail(what string, err error) {
	p.saying.Lock()
	defer p.saying.Unlock()
	if !p.dying {
		fmt.Printf("error %s: %v\n", what, err)
	}
}

// Bytes that differ from stream to stream and never repeat (splitmix64).
type pattern uint64

func (p *pattern) fill(data []byte) {
	var word [8]byte
	for len(data) > 0 {
		*p += 0x9e3779b97f4a7c15
		z := uint64(*p)
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
		z = (z ^ (z >> 27)) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(word[:], z^(z>>31))
		data = data[copy(data, word[:]):]
	}
}

// Writes of many sizes, size bytes in all.
func send(stream *smux.Stream, size uint32) (uint64, error) {
	digest := fnv.New64a()
	bytes := pattern(uint64(stream.ID())<<32 | uint64(os.Getpid()))
	buffer := make([]byte, chunkMax)
	for size > 0 {
		var length [4]byte
		bytes.fill(length[:])
		n := 1 + binary.LittleEndian.Uint32(length[:])%chunkMax
		if n > size {
			n = size
		}
		bytes.fill(buffer[:n])
		digest.Write(buffer[:n])
		if _, err := stream.Write(buffer[:n]); err != nil {
			return 0, err
		}
		size -= n
	}
	return digest.Sum64(), nil
}

// size bytes, and with toEnd then the end of the stream.
func (p *peer) receive(stream *smux.Stream, how byte, size uint32, toEnd bool) (uint64, error) {
	digest := fnv.New64a()
	buffer := make([]byte, 65536)
	if how == 'L' {
		<-p.released
	} else if how == 'S' {
		buffer = buffer[:slowChunk]
	}
	for reads := 1; size > 0; reads++ {
		if uint32(len(buffer)) > size {
			buffer = buffer[:size]
		}
		// Data may come with an error: that of telling the other end, who has gone.
		n, err := stream.Read(buffer)
		if n == 0 && err != nil {
			return 0, err
		}
		digest.Write(buffer[:n])
		size -= uint32(n)
		if how == 'S' && reads%slowRests == 0 {
			time.Sleep(slowRest)
		}
	}
	if toEnd {
		if n, err := stream.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			return 0, fmt.Errorf("%d bytes (%v) instead of the end", n, err)
		}
	}
	return digest.Sum64(), nil
}

// This end's part of a stream: out bytes from here, in bytes from there.
func (p *peer) play(stream *smux.Stream, op, how byte, out, in uint32) {
	var sent, received uint64
	var sendErr, err error
	switch op {
	case 'P':
		var sending sync.WaitGroup
		sending.Add(1)
		go func() {
			defer sending.Done()
			sent, sendErr = send(stream, out)
		}()
		received, err = p.receive(stream, how, in, false)
		sending.Wait()
	case 'H', 'R':
		// Only the other end can close half of a stream.
		if received, err = p.receive(stream, how, in, true); err == nil {
			sent, sendErr = send(stream, out)
		}
	default:
		err = fmt.Errorf("no op %q", op)
	}
	if err == nil {
		err = sendErr
	}
	stream.Close() // of a session that is over too, and then fails
	if err != nil {
		p.fail(fmt.Sprintf("stream %d", stream.ID()), err)
		return
	}
	p.say("stream %d sent %016x received %016x", stream.ID(), sent, received)
}

func (p *peer) serve(stream *smux.Stream) {
	var b [headerSize]byte
	if _, err := io.ReadFull(stream, b[:]); err != nil {
		p.fail(fmt.Sprintf("header of stream %d", stream.ID()), err)
		return
	}
	a := binary.LittleEndian.Uint32(b[4:])
	p.play(stream, b[0], b[1], binary.LittleEndian.Uint32(b[8:]), a)
}

func (p *peer) accept() {
	for {
		stream, err := p.session.AcceptStream()
		if err != nil {
			p.say("ended %v", err)
			return
		}
		go p.serve(stream)
	}
}

func (p *peer) openOne(mine byte, h header) {
	stream, err := p.session.OpenStream()
	if err != nil {
		p.fail("open", err)
		return
	}
	var b [headerSize]byte
	b[0], b[1] = h.op, h.how
	binary.LittleEndian.PutUint32(b[4:], h.a)
	binary.LittleEndian.PutUint32(b[8:], h.b)
	if _, err := stream.Write(b[:]); err != nil {
		p.fail("header", err)
		return
	}
	p.play(stream, h.op, mine, h.a, h.b)
}

func (p *peer) open(args string) error {
	var op, mine, theirs string
	var count, atOnce int
	var a, b uint32
	if _, err := fmt.Sscan(args, &op, &mine, &theirs, &count, &atOnce, &a, &b); err != nil {
		return err
	}
	turns := make(chan struct{}, count)
	for i := 0; i < count; i++ {
		turns <- struct{}{}
	}
	close(turns)
	for i := 0; i < atOnce; i++ {
		go func() {
			for range turns {
				p.openOne(mine[0], header{op[0], theirs[0], a, b})
			}
		}()
	}
	return nil
}

func (p *peer) die(how string) error {
	p.saying.Lock()
	p.dying = true
	p.saying.Unlock()
	switch how {
	case "fin": // the other direction stays open
		return p.conn.CloseWrite()
	case "close":
		return p.conn.Close()
	case "rst":
		if err := p.conn.SetLinger(0); err != nil {
			return err
		}
		return p.conn.Close()
	case "session":
		return p.session.Close()
	case "exit":
		os.Exit(0)
	}
	return errors.New("no such death: " + how)
}

// Tried, for nothing tells a release: those from 1.5.28 to 1.5.53 refuse it.
func answersAfterEnd() (bool, error) {
	near, far := net.Pipe()
	client, err := smux.Client(near, nil)
	if err != nil {
		return false, err
	}
	defer client.Close()
	server, err := smux.Server(far, nil)
	if err != nil {
		return false, err
	}
	defer server.Close()
	stream, err := client.OpenStream()
	if err != nil {
		return false, err
	}
	accepted, err := server.AcceptStream()
	if err != nil {
		return false, err
	}
	if err := stream.Close(); err != nil {
		return false, err
	}
	if _, err := accepted.Read(make([]byte, 1)); err != io.EOF {
		return false, err
	}
	_, err = accepted.Write(make([]byte, 1))
	return err == nil, nil
}

func (p *peer) obey(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "open":
		return p.open(rest)
	case "release":
		close(p.released)
	case "streams":
		p.say("streams %d", p.session.NumStreams())
	case "answers":
		answers, err := answersAfterEnd()
		if err == nil {
			p.say("answers %v", answers)
		}
		return err
	case "die":
		return p.die(rest)
	default:
		return errors.New("no such command")
	}
	return nil
}

func (p *peer) connect(role, address string) error {
	if role == "client" {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			p.conn = conn.(*net.TCPConn)
		}
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer listener.Close()
	p.say("port %d", listener.Addr().(*net.TCPAddr).Port)
	conn, err := listener.Accept()
	if err == nil {
		p.conn = conn.(*net.TCPConn)
	}
	return err
}

func (p *peer) start(role, address string, config *smux.Config) error {
	err := p.connect(role, address)
	if err != nil {
		return err
	}
	if role == "client" {
		p.session, err = smux.Client(p.conn, config)
	} else {
		p.session, err = smux.Server(p.conn, config)
	}
	return err
}

func main() {
	config := smux.DefaultConfig()
	flag.IntVar(&config.Version, "version", config.Version, "of the protocol: 1 or 2")
	flag.BoolVar(&config.KeepAliveDisabled, "silent", false, "no keepalive")
	flag.DurationVar(&config.KeepAliveInterval, "interval", config.KeepAliveInterval, "of keepalive")
	flag.DurationVar(&config.KeepAliveTimeout, "timeout", config.KeepAliveTimeout, "of keepalive")
	flag.IntVar(&config.MaxFrameSize, "frame", config.MaxFrameSize, "payload of a frame sent")
	flag.IntVar(&config.MaxReceiveBuffer, "receive", config.MaxReceiveBuffer, "bytes, all streams")
	flag.IntVar(&config.MaxStreamBuffer, "window", config.MaxStreamBuffer, "bytes, a stream")
	flag.Parse()
	role, address := flag.Arg(0), flag.Arg(1)
	if flag.NArg() != 2 || (role != "client" && role != "server") {
		fmt.Fprintln(os.Stderr, "usage: go_smux [flags] client|server ADDRESS")
		os.Exit(2)
	}
	p := &peer{released: make(chan struct{})}
	if err := p.start(role, address, config); err != nil {
		fmt.Fprintln(os.Stderr, "go_smux:", err)
		os.Exit(1)
	}
	go p.accept()
	p.say("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := p.obey(lines.Text()); err != nil {
			p.fail(lines.Text(), err)
		}
	}
}
