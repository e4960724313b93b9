// SPDX-License-Identifier: MIT

// Go beside wake.c: two goroutines on two processors hand a turn to and fro through
// channels. "locked" ties each to a thread of its own, so that the wake does cross
// threads; "free" leaves the scheduler its choice, which is to keep both on one.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"time"
)

func count(full int) int {
	if os.Getenv("BENCH_QUICK") != "" {
		return (full + 9) / 10
	}
	return full
}

func main() {
	runtime.GOMAXPROCS(2)
	locked := os.Args[1] == "locked"
	row := os.Args[2]
	asleep := strings.Contains(row, "asleep")
	rounds := count(100000)
	if asleep {
		rounds = count(3000)
	}
	warm := rounds / 10
	there, back := make(chan int64, 1), make(chan int64, 1)
	samples := make([]int64, 0, rounds+warm)
	start := time.Now()
	go func() {
		if locked {
			runtime.LockOSThread()
		}
		for sent := range there {
			samples = append(samples, int64(time.Since(start))-sent)
			back <- 0
		}
	}()
	if locked {
		runtime.LockOSThread()
	}
	var begin time.Time
	for i := 0; i < warm+rounds; i++ {
		if i == warm {
			begin = time.Now()
		}
		if asleep {
			for now := time.Now(); time.Since(now) < 300*time.Microsecond; {
			}
		}
		there <- int64(time.Since(start))
		<-back
	}
	took := time.Since(begin)
	ns := float64(took.Nanoseconds()) / float64(2*rounds)
	if asleep {
		samples = samples[warm:]
		sort.Slice(samples, func(a, b int) bool { return samples[a] < samples[b] })
		ns = float64(samples[len(samples)/2])
	}
	fmt.Printf("%s %.6g ns\n", row, ns)
}
