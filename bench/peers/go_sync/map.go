// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

type mapRow struct {
	size, readPercent uint64
	threads           int
	churn             bool
}

// xorshift64*: bench_key of bench.h.
type keys uint64

func keysFrom(seed uint64) keys {
	return keys(seed*0x9e3779b97f4a7c15 | 1)
}

func (k *keys) next() uint64 {
	x := uint64(*k)
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	*k = keys(x)
	return x * 0x2545f4914f6cdd1d
}

func mapKey(index uint64) uint64 {
	return (index + 1) * 0x9e3779b97f4a7c15
}

// The same work in several goroutines at once, begun together.
func crew(threads int, n uint64, work func(nth int, each uint64)) float64 {
	each := n / uint64(threads)
	if each == 0 {
		each = 1
	}
	var ready, all sync.WaitGroup
	ready.Add(threads)
	all.Add(threads)
	start := make(chan struct{})
	for nth := 0; nth < threads; nth++ {
		go func(nth int) {
			ready.Done()
			<-start
			work(nth, each)
			all.Done()
		}(nth)
	}
	ready.Wait()
	begin := time.Now()
	close(start)
	all.Wait()
	took := float64(time.Since(begin).Nanoseconds())
	return took * float64(n) / float64(each*uint64(threads))
}

func mapWork(m *sync.Map, row mapRow, nth int, ops uint64) {
	k, own, sum := keysFrom(uint64(nth+1)), uint64(0), uint64(0)
	first := row.size * uint64(nth+1)
	for i := uint64(0); i < ops; i++ {
		random := k.next()
		index := random & (row.size - 1)
		switch {
		case ((random>>32)*100)>>32 < row.readPercent:
			if value, ok := m.Load(mapKey(index)); ok {
				sum += value.(uint64)
			}
		case !row.churn:
			m.Store(mapKey(index), i+1)
		case own&1 == 1:
			m.Delete(mapKey(first + own/2%row.size))
			own++
		default:
			m.Store(mapKey(first+own/2%row.size), i+1)
			own++
		}
	}
	if own&1 == 1 {
		m.Delete(mapKey(first + own/2%row.size))
	}
	runtime.KeepAlive(sum)
}

// sync.Map beside map.c; map_rows.h says what the rows are.
func mapRowNs(name string) (float64, bool) {
	var mix, size string
	var row mapRow
	for i, c := range name {
		if c == '-' {
			name = name[:i] + " " + name[i+1:]
		}
	}
	if n, _ := fmt.Sscanf(name, "map %s %s %dt", &mix, &size, &row.threads); n != 3 {
		return 0, false
	}
	row.churn, row.size, row.readPercent = mix == "churn", 1<<10, 50
	if size == "1Mi" {
		row.size = 1 << 20
	}
	if !row.churn {
		fmt.Sscan(mix, &row.readPercent)
	}
	runtime.GOMAXPROCS(row.threads)
	var m sync.Map
	for i := uint64(0); i < row.size; i++ {
		m.Store(mapKey(i), i+1)
	}
	return calibrated(1<<28, func(n uint64) float64 {
		return crew(row.threads, n, func(nth int, each uint64) { mapWork(&m, row, nth, each) })
	}), true
}
