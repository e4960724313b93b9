// SPDX-License-Identifier: MIT

// What is measured: bench/mux_rows.h and bench/mux.c in Go; sizes and order are theirs.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	patternSize       = 1 << 20
	writeSizeMax      = 65536
	messageSize       = 64
	lookEvery         = 64
	echoSize          = 4096
	roundTripsChecked = 1000
	samplesMax        = 1 << 20
	openers           = 16
	opensChecked      = 64
	idleStreams       = 20000
	idleBatch         = 100
)

const (
	kindFlow = iota
	kindPingpong
	kindOpen
	kindIdle
)

type row struct {
	name                string
	kind                int
	per                 string
	perCount            float64
	what                string
	lanes               int
	writeSize, readSize int
	checked             int
	unit                string
	unitBytes           float64
}

var rows = []row{
	{"bulk-1", kindFlow, "s/GiB", 1 << 30, "write", 1, 65536, 65536, 16 << 20, "GiB/s", 1 << 30},
	{"bulk-64", kindFlow, "s/GiB", 1 << 30, "write", 64, 65536, 65536, 1 << 20, "GiB/s", 1 << 30},
	{"messages-64", kindFlow, "s/million", 1e6 * messageSize, "message", 64, messageSize, 4096, 65536,
		"messages/s", messageSize},
	{"pingpong", kindPingpong, "s/million", 1e6, "roundtrip", 0, 0, 0, 0, "", 0},
	{"open-16", kindOpen, "s/million", 1e6, "stream", 0, 0, 0, 0, "", 0},
	{"idle", kindIdle, "", 1, "", 0, 0, 0, 0, "", 0},
}

func rowFind(name string) *row {
	for i := range rows {
		if rows[i].name == name {
			return &rows[i]
		}
	}
	return nil
}

// In one process the end that reports the figure speaks for both.
func (r *row) clientReports() bool { return r.kind == kindPingpong || r.kind == kindOpen }

func count(full int) int {
	if os.Getenv("BENCH_QUICK") != "" {
		return (full + 9) / 10
	}
	return full
}

// --- the bytes that are compared ---

var pattern [patternSize + writeSizeMax]byte

func patternFill() {
	for i := range pattern {
		pattern[i] = byte(uint32(i%patternSize) * 2654435761 >> 13)
	}
}

func patternAt(number, at, size int) []byte {
	from := (number*4099 + at) % patternSize
	return pattern[from : from+size]
}

func patternCompare(number, at int, data []byte) {
	if !bytes.Equal(data, patternAt(number, at, len(data))) {
		must(fmt.Errorf("bytes came through changed"))
	}
}

// --- one end's clocks ---

type meter struct {
	row   *row
	end   string
	quiet bool
	began time.Time
	took  time.Duration
	cpu   float64
	wakes int64
}

// Processor seconds, and how often a thread slept and was woken.
func spent() (float64, int64) {
	var used syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9, used.Nvcsw
}

func (m *meter) begin() time.Time {
	m.cpu, m.wakes = spent()
	m.began = time.Now()
	return m.began.Add(time.Duration(count(1500000000)))
}

func (m *meter) finish() {
	m.took = time.Since(m.began)
	cpu, wakes := spent()
	m.cpu, m.wakes = cpu-m.cpu, wakes-m.wakes
}

func (m *meter) reportAs(what string, value float64, unit string) {
	fmt.Printf("%s%s %.6g %s\n", m.row.name, what, value, unit)
}

func (m *meter) report(counted, total int) {
	unit := 1
	if m.row.kind == kindFlow {
		unit = m.row.writeSize
	}
	if !m.quiet {
		m.reportAs("-cpu"+m.end, m.cpu/(float64(counted)/m.row.perCount), m.row.per)
		m.reportAs("-wakes"+m.end, float64(m.wakes)/(float64(counted)/float64(unit)),
			"wakes/"+m.row.what)
		m.reportAs("-units", float64(total)/float64(unit), "units")
	}
}

func (m *meter) reportRate(count float64, unit string) {
	m.reportAs("", count/m.took.Seconds(), unit)
}

// Resident pages and the page tables over them.
func memoryBytes() float64 {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	must(err)
	total := 0
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "VmPTE:") {
			kib, err := strconv.Atoi(strings.Fields(line)[1])
			must(err)
			total += kib * 1024
		}
	}
	return float64(total)
}

// --- an end ---

type stream = io.ReadWriteCloser

type end struct {
	session        session
	row            *row
	meter          meter
	until          time.Time
	counted, total int
}

type lane struct {
	end     *end
	stream  stream
	number  int
	counted int
}

func eachLane(lanes []lane, fn func(*lane)) {
	var group sync.WaitGroup
	group.Add(len(lanes))
	for i := range lanes {
		go func(l *lane) {
			fn(l)
			group.Done()
		}(&lanes[i])
	}
	group.Wait()
}

func writeAll(s stream, data []byte) {
	_, err := s.Write(data)
	must(err)
}

func readAll(s stream, data []byte) {
	_, err := io.ReadFull(s, data)
	must(err)
}

func (e *end) open() stream {
	s, err := e.session.open()
	must(err)
	return s
}

func (e *end) accept() stream {
	s, err := e.session.accept()
	must(err)
	return s
}

// The server ends the session once it has seen everything.
func (e *end) waitForTheEnd() {
	if _, err := e.session.accept(); err == nil {
		must(fmt.Errorf("a stream that nobody opens"))
	}
}

func (e *end) run(client bool) {
	if client {
		[]func(){e.flowClient, e.pingpongClient, e.openClient, e.idleClient}[e.row.kind]()
	} else {
		[]func(){e.flowServer, e.pingpongServer, e.openServer, e.idleServer}[e.row.kind]()
	}
}

// --- flows ---

func writeChecked(l *lane) {
	answer := make([]byte, 1)
	writeAll(l.stream, []byte{byte(l.number)})
	for at := 0; at < l.end.row.checked; at += l.end.row.writeSize {
		writeAll(l.stream, patternAt(l.number, at, l.end.row.writeSize))
	}
	readAll(l.stream, answer)
}

func writeOn(l *lane) {
	size, look := l.end.row.writeSize, lookEvery
	if size > messageSize {
		look = 1
	}
	for time.Now().Before(l.end.until) {
		for i := 0; i < look; i++ {
			writeAll(l.stream, pattern[:size])
		}
		l.counted += look * size
	}
	l.stream.Close()
}

func readChecked(l *lane) {
	number := make([]byte, 1)
	readAll(l.stream, number)
	data := make([]byte, l.end.row.readSize)
	for at := 0; at < l.end.row.checked; {
		room := l.end.row.checked - at
		if room > len(data) {
			room = len(data)
		}
		got, err := l.stream.Read(data[:room])
		must(err)
		patternCompare(int(number[0]), at, data[:got])
		at += got
	}
	writeAll(l.stream, []byte("k"))
}

func readOn(l *lane) {
	data := make([]byte, l.end.row.readSize)
	for {
		got, err := l.stream.Read(data)
		l.counted += got
		if err != nil {
			return
		}
	}
}

func (e *end) flowSum(lanes []lane) {
	for i := range lanes {
		e.counted += lanes[i].counted
	}
	e.total = e.counted + e.row.lanes*e.row.checked
}

func (e *end) flowClient() {
	lanes := make([]lane, e.row.lanes)
	for i := range lanes {
		lanes[i] = lane{e, e.open(), i, 0}
	}
	eachLane(lanes, writeChecked)
	e.until = e.meter.begin()
	eachLane(lanes, writeOn)
	e.waitForTheEnd()
	e.meter.finish()
	e.flowSum(lanes)
}

func (e *end) flowServer() {
	lanes := make([]lane, e.row.lanes)
	for i := range lanes {
		lanes[i] = lane{e, e.accept(), i, 0}
	}
	eachLane(lanes, readChecked)
	e.meter.begin()
	eachLane(lanes, readOn)
	e.meter.finish()
	e.flowSum(lanes)
	e.meter.reportRate(float64(e.counted)/e.row.unitBytes, e.row.unit)
	for i := range lanes {
		lanes[i].stream.Close()
	}
}

// --- ping-pong ---

func (e *end) pingpongClient() {
	s, reply := e.open(), make([]byte, messageSize)
	for i := 0; i < roundTripsChecked; i++ {
		writeAll(s, patternAt(i, 0, messageSize))
		readAll(s, reply)
		patternCompare(i, 0, reply)
	}
	samples := make([]int64, 0, samplesMax)
	until := e.meter.begin()
	for before := e.meter.began; before.Before(until); e.counted++ {
		writeAll(s, pattern[:messageSize])
		readAll(s, reply)
		now := time.Now()
		if len(samples) < samplesMax {
			samples = append(samples, int64(now.Sub(before)))
		}
		before = now
	}
	e.meter.finish()
	e.total = e.counted + roundTripsChecked
	sort.Slice(samples, func(a, b int) bool { return samples[a] < samples[b] })
	e.meter.reportAs("", float64(samples[len(samples)/2])/1000, "us")
	e.meter.reportAs("-p99", float64(samples[len(samples)*99/100])/1000, "us")
	s.Close()
	e.waitForTheEnd()
}

func (e *end) pingpongServer() {
	s, data := e.accept(), make([]byte, messageSize)
	for {
		if _, err := io.ReadFull(s, data); err != nil {
			break
		}
		if e.total++; e.total == roundTripsChecked+1 {
			e.meter.begin()
		}
		writeAll(s, data)
	}
	e.meter.finish()
	e.counted = e.total - roundTripsChecked
	s.Close()
}

// --- open, echo, close ---

func (e *end) openOnce(check int) {
	reply := make([]byte, messageSize)
	s := e.open()
	writeAll(s, patternAt(check, 0, messageSize))
	readAll(s, reply)
	if check > 0 {
		patternCompare(check, 0, reply)
	}
	s.Close()
}

func (e *end) openClient() {
	lanes := make([]lane, openers)
	for i := range lanes {
		lanes[i] = lane{e, nil, i, 0}
	}
	eachLane(lanes, func(l *lane) {
		for i := 1; i <= opensChecked; i++ {
			e.openOnce(l.number*opensChecked + i)
		}
	})
	e.until = e.meter.begin()
	eachLane(lanes, func(l *lane) {
		for ; time.Now().Before(e.until); l.counted++ {
			e.openOnce(0)
		}
	})
	e.meter.finish()
	for i := range lanes {
		e.counted += lanes[i].counted
	}
	e.total = e.counted + openers*opensChecked
	e.meter.reportRate(float64(e.counted), "streams/s")
}

func echo(s stream) {
	data := make([]byte, echoSize)
	for {
		got, err := s.Read(data)
		if err != nil {
			s.Close()
			return
		}
		if _, err := s.Write(data[:got]); err != nil {
			s.Close()
			return
		}
	}
}

func (e *end) openServer() {
	for {
		s, err := e.session.accept()
		if err != nil {
			break
		}
		if e.total++; e.total == openers*opensChecked+1 {
			e.meter.begin()
		}
		go echo(s)
	}
	e.meter.finish()
	e.counted = e.total - openers*opensChecked
}

// --- idle streams ---

func (e *end) idleClient() {
	streams, answer := make([]stream, count(idleStreams)+idleBatch), make([]byte, 1)
	for i := range streams {
		streams[i] = e.open()
		if (i+1)%idleBatch == 0 {
			readAll(streams[0], answer)
		}
	}
	e.waitForTheEnd()
}

func (e *end) idleServer() {
	streams := make([]stream, count(idleStreams)+idleBatch)
	for i := range streams {
		streams[i] = streams[0]
	}
	before := 0.0
	for i := range streams {
		streams[i] = e.accept()
		if i+1 == idleBatch {
			before = memoryBytes()
		}
		if (i+1)%idleBatch == 0 {
			writeAll(streams[0], []byte("k"))
		}
	}
	used := memoryBytes() - before
	e.meter.reportAs("", used/float64(len(streams)-idleBatch), "bytes")
	for i := range streams {
		streams[i].Close()
	}
}
