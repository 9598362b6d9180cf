// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// balance passes connections on port to the given ports in turn, as a load balancer without stickiness does; one that
// refuses is passed over. The test's end closes it.
func balance(t testing.TB, port int, to func() []int) {
	t.Helper()
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	var turn atomic.Uint64
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go pass(conn, to(), int(turn.Add(1)))
		}
	}()
}

func pass(client net.Conn, ports []int, turn int) {
	defer func() { _ = client.Close() }()
	for i := range ports {
		server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[(turn+i)%len(ports)]))
		if err != nil {
			continue
		}
		defer func() { _ = server.Close() }()
		ended := make(chan struct{}, 2)
		copyTo := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			// What the other side still says is passed on.
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			ended <- struct{}{}
		}
		go copyTo(server, client)
		go copyTo(client, server)
		<-ended
		<-ended
		return
	}
}
