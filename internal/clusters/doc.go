// Package clusters tests the library on real clusters: three nodes of Galera, and three of
// MySQL Group Replication, that are killed, paused, cut off and restarted under traffic
// whose every answer is checked. The tests take minutes and need root, on Debian, as the
// scripts in internal/dbtest/servers do; so they are built with the tag "clusters" only:
//
//	make test-clusters
package clusters
