// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const loadsMax = 1 << 30

type config struct{ number uint64 }

// atomic.Pointer beside cell.c: a load is a full one, and the collector is the guard.
func cellRow(row string) (float64, bool) {
	if strings.Contains(row, "cached") {
		return 0, false
	}
	var cell atomic.Pointer[config]
	cell.Store(&config{1})
	threads := 1
	if strings.Contains(row, "-2r") {
		threads = 2
	}
	runtime.GOMAXPROCS(2)
	var over int32
	var writing sync.WaitGroup
	if strings.Contains(row, "-writer") {
		writing.Add(1)
		go func() {
			next := time.Now()
			for i := uint64(1); atomic.LoadInt32(&over) == 0; i++ {
				next = next.Add(storeEvery)
				for time.Now().Before(next) {
				}
				cell.Store(&config{i})
			}
			writing.Done()
		}()
	}
	ns := calibrated(loadsMax, func(n uint64) float64 {
		return crew(threads, n, func(_ int, each uint64) {
			var sum uint64
			for ; each > 0; each-- {
				sum += cell.Load().number
			}
			runtime.KeepAlive(sum)
		})
	})
	atomic.StoreInt32(&over, 1)
	writing.Wait()
	return ns, true
}

const storeEvery = 10 * time.Microsecond

// A context that was made to be cancelled.
func tokenRow(row string) (float64, bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	return calibrated(loadsMax, func(n uint64) float64 {
		return crew(1, n, func(_ int, each uint64) {
			count := 0
			for ; each > 0; each-- {
				if ctx.Err() != nil {
					count++
				}
			}
			runtime.KeepAlive(count)
		})
	}), true
}

func onceRow(row string) (float64, bool) {
	var once sync.Once
	var value *config
	return calibrated(loadsMax, func(n uint64) float64 {
		return crew(1, n, func(_ int, each uint64) {
			var sum uint64
			for ; each > 0; each-- {
				once.Do(func() { value = &config{1} })
				sum += value.number
			}
			runtime.KeepAlive(sum)
		})
	}), true
}
