// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	ring          = 1024
	burst         = 256
	deliveriesMax = 1 << 26
)

// A channel to each receiver: Go has no other broadcast.
func broadcastPass(receivers int, deliveries uint64, locked bool) float64 {
	bursts := deliveries / uint64(burst*receivers)
	if bursts == 0 {
		bursts = 1
	}
	sides, sums := make([]chan uint64, receivers), make([]uint64, receivers)
	done := make(chan struct{}, 64)
	var all sync.WaitGroup
	all.Add(receivers + 1)
	for i := range sides {
		sides[i] = make(chan uint64, ring)
	}
	begin := time.Now()
	for i := range sides {
		go func(i int) {
			if locked {
				runtime.LockOSThread()
			}
			var sum uint64
			for b := uint64(0); b < bursts; b++ {
				for m := 0; m < burst; m++ {
					sum += <-sides[i]
				}
				done <- struct{}{}
			}
			sums[i] = sum
			all.Done()
		}(i)
	}
	go func() {
		if locked {
			runtime.LockOSThread()
		}
		message := uint64(0)
		for b := uint64(0); b < bursts; b++ {
			for m := 0; m < burst; m++ {
				message++
				for _, side := range sides {
					side <- message
				}
			}
			for range sides {
				<-done
			}
		}
		all.Done()
	}()
	all.Wait()
	took := float64(time.Since(begin).Nanoseconds())
	messages := bursts * burst
	for _, sum := range sums {
		if sum != messages*(messages+1)/2 {
			panic("messages were lost")
		}
	}
	return took * float64(deliveries) / float64(messages*uint64(receivers))
}

// "broadcast8-1w"
func broadcastRow(row string) (float64, bool) {
	part := strings.Split(row, "-")
	receivers, err := strconv.Atoi(strings.TrimPrefix(part[0], "broadcast"))
	if err != nil {
		return 0, false
	}
	return calibrated(deliveriesMax, func(n uint64) float64 {
		return broadcastPass(receivers, n, part[1] == "threads")
	}), true
}
