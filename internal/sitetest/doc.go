// Package sitetest takes web applications through what happens to sessions: visits, sign-in,
// rotation, requests at the same time, sign-out, expiry, a failing database. Each way of
// using the store from an application has to pass it, with a small application of its own.
package sitetest
