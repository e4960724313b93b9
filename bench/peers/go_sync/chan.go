// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

const messagesMax = 1 << 24

func chanPass(senders, receivers, capacity int, messages uint64, locked bool) float64 {
	each := messages / uint64(senders)
	if each == 0 {
		each = 1
	}
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
			for i := uint64(1); i <= each; i++ {
				queue <- i
			}
			sending.Done()
		}()
	}
	sending.Wait()
	close(queue)
	receiving.Wait()
	took := float64(time.Since(begin).Nanoseconds())
	var sum uint64
	for _, s := range sums {
		sum += s
	}
	if sum != uint64(senders)*each*(each+1)/2 {
		panic("messages were lost")
	}
	return took * float64(messages) / float64(each*uint64(senders))
}

// "spsc-cap64-1w": there is no queue without a bound.
func chanRow(row string) (float64, bool) {
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
		return 0, false
	}
	return calibrated(messagesMax, func(n uint64) float64 {
		return chanPass(senders, receivers, capacity, n, part[2] == "threads")
	}), true
}
