// Package faultproxy is a TCP proxy on loopback that stands between a client and a real
// server and does to their connections what networks do: it cuts and resets them, lets
// one side believe in a peer that is gone, stops, slows down, takes to pieces, and alters
// bytes. It is for tests.
//
// What it does is ruled at run time, for each direction by itself. A rule holds for the
// connections that there are and for those to come, until the next one:
//
//	proxy, err := faultproxy.New("127.0.0.1:3306")
//	...
//	happened := proxy.Set(faultproxy.ToClient, faultproxy.Rule{After: 2, Then: faultproxy.Cut})
//	// ... the next reply ends after two bytes, which happened tells
//	proxy.Clear()
package faultproxy
