// Package measure measures how fast sessions are read and stored: with callers that each
// wait for their answer, in pairs of rounds with a peer, and with requests that arrive at a
// steady rate. It works in scratch tables of its own, and prints nothing.
package measure
