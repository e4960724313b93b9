// SPDX-License-Identifier: MIT

// Go beside chan.c, select.c, broadcast.c, map.c, cell.c and token.c. For the rows "threads" of
// channels each goroutine is tied to a thread.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

func measuredNs() float64 {
	if os.Getenv("BENCH_QUICK") != "" {
		return 20e6
	}
	return 200e6
}

// ns an operation; bench_calibrated of bench.h.
func calibrated(most uint64, pass func(n uint64) float64) float64 {
	measured := measuredNs()
	count := uint64(1000)
	if count > most {
		count = most
	}
	atLeastOne := func(ns float64) float64 {
		if ns < 1 {
			return 1
		}
		return ns
	}
	for {
		took := atLeastOne(pass(count))
		if took >= measured/16 || count >= most {
			break
		}
		more := measured / 12 / took
		if more < 2 {
			more = 2
		} else if more > 16 {
			more = 16
		}
		count = uint64(float64(count) * more)
		if count > most {
			count = most
		}
	}
	full := float64(count) * measured / atLeastOne(pass(count))
	count = most
	if full < 1 {
		count = 1
	} else if full < float64(most) {
		count = uint64(full)
	}
	return pass(count) / float64(count)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go_sync ROW")
		os.Exit(2)
	}
	row := os.Args[1]
	procs := 2
	if strings.HasSuffix(row, "-1w") {
		procs = 1
	}
	runtime.GOMAXPROCS(procs)
	rows := []struct {
		prefix string
		run    func(row string) (float64, bool)
	}{
		{"spsc-", chanRow}, {"mpsc4-", chanRow}, {"mpmc4-", chanRow},
		{"select", selectRow}, {"broadcast", broadcastRow}, {"map-", mapRowNs},
		{"cell-", cellRow}, {"token-", tokenRow}, {"once-", onceRow},
	}
	for _, r := range rows {
		if !strings.HasPrefix(row, r.prefix) {
			continue
		}
		if ns, ok := r.run(row); ok {
			fmt.Printf("%s %.6g ns\n", row, ns)
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: go_sync ROW: no such row")
	os.Exit(2)
}
