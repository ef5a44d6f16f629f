package doctor

import (
	"fmt"
	"time"

	"github.com/mysqlsession/mysqlsession"
)

const (
	// rowRoom is what a request or a row holds besides the value.
	rowRoom = 1 << 10
	// reserve are connections for administrators, monitoring and what else is there.
	reserve = 10
	// preparedPerConnection is how many statements a connection holds that has used each of
	// the library's in each size.
	preparedPerConnection = 50
)

// packets compares the largest value with the largest request that the server takes.
func packets(l *findings, f *Facts) {
	allowed, ok := f.Global.number("max_allowed_packet")
	need := int64(f.Config.MaxPacketSize) + rowRoom
	if f.Config.StatementMode == mysqlsession.StatementModeText {
		need = 2*int64(f.Config.MaxPacketSize) + rowRoom // values are hexadecimal there
	}
	if !ok || allowed >= need {
		return
	}
	l.warn("max_allowed_packet", fmt.Sprintf("is %d, and a value of %d bytes, which MaxPacketSize allows, takes a request of up to %d: larger ones are refused",
		allowed, f.Config.MaxPacketSize-4, need), f.set("max_allowed_packet", fmt.Sprint(max(need, 16<<20))))
}

// idleTime compares how long the two sides keep an idle connection.
func idleTime(l *findings, f *Facts) {
	seconds, ok := f.Session.number("wait_timeout")
	keep, limit := f.Config.KeepaliveTimeout, time.Duration(seconds)*time.Second
	switch {
	case !ok:
	case keep < 0:
		l.note("wait_timeout", fmt.Sprintf("is %d s, and KeepaliveTimeout has no limit: the server closes the connections that are idle for longer", seconds),
			fmt.Sprintf("keepalive_timeout=%v in the DSN", halfOf(limit)))
	case limit <= keep:
		l.warn("wait_timeout", fmt.Sprintf("is %d s, and KeepaliveTimeout %v: the server closes connections that the pool counts on", seconds, keep),
			f.set("wait_timeout", fmt.Sprint(int64((2*keep+time.Second-1)/time.Second)))+fmt.Sprintf(" -- or keepalive_timeout=%v in the DSN", halfOf(limit)))
	}
}

// halfOf is a time that is safely shorter, and that a configuration may have.
func halfOf(limit time.Duration) time.Duration { return max(limit/2, 500*time.Millisecond) }

// wanted is how many connections all instances may hold. With several servers each has a
// probe besides its pool.
func (f *Facts) wanted() int64 {
	each := int64(f.Config.PoolSize)
	if f.Others {
		each++
	}
	return each * int64(f.Instances)
}

// instances says whose connections they are.
func (f *Facts) instances() string {
	if f.Instances == 1 {
		return fmt.Sprintf("PoolSize is %d", f.Config.PoolSize)
	}
	return fmt.Sprintf("PoolSize is %d in each of %d instances", f.Config.PoolSize, f.Instances)
}

func connections(l *findings, f *Facts) {
	limit, ok := f.Global.number("max_connections")
	need := f.wanted() + reserve
	if !ok || limit >= need {
		return
	}
	l.warn("max_connections", fmt.Sprintf("is %d, and %s: with %d for administrators and others that takes %d, or logins are refused", limit, f.instances(), reserve, need),
		f.set("max_connections", fmt.Sprint(need))+f.smallerPool(limit-reserve))
}

// accountConnections is connections for the account's own limit, which the variable of a
// session is.
func accountConnections(l *findings, f *Facts) {
	limit, ok := f.Session.number("max_user_connections")
	if !ok || limit == 0 || limit >= f.wanted() {
		return
	}
	l.warn("max_user_connections", fmt.Sprintf("is %d for account %s, and %s: further logins are refused", limit, f.Account, f.instances()),
		fmt.Sprintf("ALTER USER %s WITH MAX_USER_CONNECTIONS %d;", f.grantee(), f.wanted())+f.smallerPool(limit))
}

// smallerPool is the other way to fit into so many connections; "" if there is none.
func (f *Facts) smallerPool(fit int64) string {
	size := fit / int64(f.Instances)
	if f.Others {
		size--
	}
	if size < 1 {
		return ""
	}
	return fmt.Sprintf(" -- or pool_size=%d in the DSN", size)
}

// reachedConnections tells that there were as many connections as there may be. Not every
// server counts the logins that it then refuses.
func reachedConnections(l *findings, f *Facts) {
	limit, _ := f.Global.number("max_connections")
	refused, _ := f.GlobalStatus.number("connection_errors_max_connections")
	most, _ := f.GlobalStatus.number("max_used_connections")
	if refused == 0 && (most == 0 || most < limit) {
		return
	}
	problem := fmt.Sprintf("was reached: %d connections were open at once since the server started", most)
	if refused > 0 {
		problem = fmt.Sprintf("was reached: %d logins have been refused since the server started", refused)
	}
	l.note("max_connections", problem, f.set("max_connections", fmt.Sprint(max(2*limit, f.wanted()+reserve))))
}

func preparedStatements(l *findings, f *Facts) {
	limit, ok := f.Global.number("max_prepared_stmt_count")
	each := int64(min(preparedPerConnection, f.Config.StatementCacheCapacity))
	need := each * int64(f.Config.PoolSize) * int64(f.Instances)
	if !ok || f.Config.StatementMode != mysqlsession.StatementModePrepared || limit >= need {
		return
	}
	l.warn("max_prepared_stmt_count", fmt.Sprintf("is %d, and %s: at %d statements a connection that takes up to %d, beyond which statements travel as text, and other programs' are refused",
		limit, f.instances(), each, need), f.set("max_prepared_stmt_count", fmt.Sprint(2*need)))
}
