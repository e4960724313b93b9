// SPDX-License-Identifier: MIT

// Go beside runtime.c and million.c, with one processor.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

func count(full int) int {
	if os.Getenv("BENCH_QUICK") != "" {
		return (full + 9) / 10
	}
	return full
}

func report(row string, value float64, unit string) {
	fmt.Printf("%s %.6g %s\n", row, value, unit)
}

// Resident pages and the page tables over them, as bench_memory_bytes in bench.h.
func memory() float64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	total := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		field := strings.Fields(lines.Text())
		if field[0] == "VmRSS:" || field[0] == "VmPTE:" {
			kib, _ := strconv.Atoi(field[1])
			total += kib
		}
	}
	return float64(total) * 1024
}

func switchPass(goroutines, yields int) float64 {
	var all sync.WaitGroup
	all.Add(goroutines)
	begin := time.Now()
	for i := 0; i < goroutines; i++ {
		go func() {
			for n := 0; n < yields; n++ {
				runtime.Gosched()
			}
			all.Done()
		}()
	}
	all.Wait()
	return float64(time.Since(begin).Nanoseconds()) / float64(goroutines*yields)
}

func switches(row string) {
	goroutines, _ := strconv.Atoi(strings.TrimPrefix(row, "switch-"))
	yields := count(20000000) / goroutines
	switchPass(goroutines, yields/10)
	report(row, switchPass(goroutines, yields), "ns")
}

func joinPass(n int) {
	for i := 0; i < n; i++ {
		done := make(chan struct{})
		go func() { close(done) }()
		<-done
	}
}

func batchPass(batches int) {
	var all sync.WaitGroup
	ended := 0
	for b := 0; b < batches; b++ {
		all.Add(1000)
		for i := 0; i < 1000; i++ {
			go func() { ended++; all.Done() }()
		}
		all.Wait()
	}
	if ended != batches*1000 {
		panic("goroutines lost")
	}
}

func spawns(row string, n, each int, pass func(int)) {
	pass(n / 10)
	begin := time.Now()
	pass(n)
	report(row, float64(time.Since(begin).Nanoseconds())/float64(n*each), "ns")
}

func park(n int) (spawnNs, bytes, endNs float64) {
	// The collector's own spare memory is not the goroutines'.
	debug.SetGCPercent(-1)
	var all sync.WaitGroup
	gate := make(chan struct{})
	parked := 0
	all.Add(n)
	before := memory()
	t0 := time.Now()
	for i := 0; i < n; i++ {
		go func() { parked++; <-gate; all.Done() }()
	}
	for parked < n {
		runtime.Gosched()
	}
	t1 := time.Now()
	after := memory()
	t2 := time.Now()
	close(gate)
	all.Wait()
	t3 := time.Now()
	return float64(t1.Sub(t0).Nanoseconds()) / float64(n), (after - before) / float64(n),
		float64(t3.Sub(t2).Nanoseconds()) / float64(n)
}

func main() {
	runtime.GOMAXPROCS(1)
	row := os.Args[1]
	switch row {
	case "switch-2", "switch-1000":
		switches(row)
	case "spawn-join":
		spawns(row, count(2000000), 1, joinPass)
	case "spawn-batch":
		spawns(row, count(2000), 1000, batchPass)
	case "memory-parked":
		_, bytes, _ := park(100000)
		report(row, bytes, "bytes")
	case "million":
		spawn, bytes, end := park(1000000)
		report("million-spawn-park", spawn, "ns")
		report("million-memory", bytes, "bytes")
		report("million-wake-end", end, "ns")
	default:
		os.Exit(2)
	}
}
