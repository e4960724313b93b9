// SPDX-License-Identifier: MIT

// Go's net beside echo.c: a goroutine a connection, one processor.
package main

import (
	"fmt"
	"net"
	"runtime"
)

func main() {
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer conn.Close()
			data := make([]byte, 4096)
			for {
				got, err := conn.Read(data)
				if err != nil {
					return
				}
				if _, err = conn.Write(data[:got]); err != nil {
					return
				}
			}
		}()
	}
}
