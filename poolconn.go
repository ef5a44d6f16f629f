package mysqlsession

// PoolConn is a connection that was acquired from a pool. Release gives it back.
type PoolConn struct {
	pool   *Pool
	member *pooled
	hold   uint64
}

// Conn is the connection. It must not be used after Release.
func (c *PoolConn) Conn() *Conn { return c.member.conn }

// Release gives the connection back. If it has failed, or has a transaction open, or does
// not commit by itself, it is closed instead. A second call does nothing.
func (c *PoolConn) Release() { c.pool.release(c.member, c.hold) }

// Discard is Release of a connection that must be closed: the caller has changed its
// session in ways that no later caller should find.
func (c *PoolConn) Discard() {
	if c.member.letGo(c.hold) {
		c.member.conn.abort()
		c.pool.takeBack(c.member)
	}
}
