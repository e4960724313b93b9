// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

func receive2(in []chan uint64, total uint64) (sum uint64) {
	for ; total > 0; total-- {
		select {
		case m := <-in[0]:
			sum += m
		case m := <-in[1]:
			sum += m
		}
	}
	return sum
}

func receive8(in []chan uint64, total uint64) (sum uint64) {
	for ; total > 0; total-- {
		select {
		case m := <-in[0]:
			sum += m
		case m := <-in[1]:
			sum += m
		case m := <-in[2]:
			sum += m
		case m := <-in[3]:
			sum += m
		case m := <-in[4]:
			sum += m
		case m := <-in[5]:
			sum += m
		case m := <-in[6]:
			sum += m
		case m := <-in[7]:
			sum += m
		}
	}
	return sum
}

func selectPass(chans, capacity int, messages uint64, locked bool) float64 {
	each := messages / uint64(chans)
	if each == 0 {
		each = 1
	}
	in := make([]chan uint64, chans)
	for i := range in {
		in[i] = make(chan uint64, capacity)
	}
	var sum uint64
	var all sync.WaitGroup
	all.Add(chans + 1)
	begin := time.Now()
	go func() {
		if locked {
			runtime.LockOSThread()
		}
		receive := receive2
		if chans == 8 {
			receive = receive8
		}
		sum = receive(in, each*uint64(chans))
		all.Done()
	}()
	for _, c := range in {
		go func(c chan uint64) {
			if locked {
				runtime.LockOSThread()
			}
			for i := uint64(1); i <= each; i++ {
				c <- i
			}
			all.Done()
		}(c)
	}
	all.Wait()
	took := float64(time.Since(begin).Nanoseconds())
	if sum != uint64(chans)*(each*(each+1)/2) {
		panic("messages were lost")
	}
	return took * float64(messages) / float64(each*uint64(chans))
}

// "select8-cap64-1w"
func selectRow(row string) (float64, bool) {
	part := strings.Split(row, "-")
	chans, err := strconv.Atoi(strings.TrimPrefix(part[0], "select"))
	if err != nil || (chans != 2 && chans != 8) {
		return 0, false
	}
	capacity, err := strconv.Atoi(strings.TrimPrefix(part[1], "cap"))
	if err != nil {
		return 0, false
	}
	return calibrated(messagesMax, func(n uint64) float64 {
		return selectPass(chans, capacity, n, part[2] == "threads")
	}), true
}
