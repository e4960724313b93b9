// SPDX-License-Identifier: MIT

// Go beside chan.c. For the rows "threads" each goroutine is tied to a thread.
package main

import (
	"fmt"
	"os"
	"runtime"
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

func pass(senders, receivers, capacity, messages int, locked bool) float64 {
	each := messages / senders
	queue := make(chan uint64, capacity)
	sums := make([]uint64, receivers)
	var sending, receiving sync.WaitGroup
	sending.Add(senders)
	receiving.Add(receivers)
	begin := time.Now()
	for r := 0; r < receivers; r++ {
		go func(r int) {
			if locked {
				runtime.LockOSThread()
			}
			var sum uint64
			for message := range queue {
				sum += message
			}
			sums[r] = sum
			receiving.Done()
		}(r)
	}
	for s := 0; s < senders; s++ {
		go func() {
			if locked {
				runtime.LockOSThread()
			}
			for i := 1; i <= each; i++ {
				queue <- uint64(i)
			}
			sending.Done()
		}()
	}
	sending.Wait()
	close(queue)
	receiving.Wait()
	took := time.Since(begin)
	var sum uint64
	for _, s := range sums {
		sum += s
	}
	if sum != uint64(senders)*uint64(each)*uint64(each+1)/2 {
		panic("messages were lost")
	}
	return float64(took.Nanoseconds()) / float64(each*senders)
}

func main() {
	row := os.Args[1]
	part := strings.Split(row, "-")
	senders, receivers := 1, 1
	if part[0] != "spsc" {
		senders = 4
	}
	if part[0] == "mpmc4" {
		receivers = 4
	}
	capacity, err := strconv.Atoi(strings.TrimPrefix(part[1], "cap"))
	if err != nil {
		panic(err)
	}
	messages, procs := count(500000), 2
	if part[2] == "1w" {
		messages, procs = count(4000000), 1
	}
	runtime.GOMAXPROCS(procs)
	pass(senders, receivers, capacity, messages/10, part[2] == "threads")
	ns := pass(senders, receivers, capacity, messages, part[2] == "threads")
	fmt.Printf("%s %.6g ns\n", row, ns)
}
