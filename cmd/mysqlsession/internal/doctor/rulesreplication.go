package doctor

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// readOnly is a server that takes no writes, as what may be its part in a list.
func readOnly(l *findings, f *Facts) {
	name := f.readOnly()
	if name == "" {
		return
	}
	is := "is " + f.readOnlyValue(name)
	switch {
	case f.Others:
		l.note(name, is+": the server is passed over while another one takes writes", "leave it, if this is a replica; if not, "+f.writable(name))
	case f.Refuses || !f.wrote():
		l.err(name, is+": all writes fail", "name the primary in the DSN; if it is this server, "+f.writable(name))
	default:
		l.warn(name, is+", and only privileges of account "+f.Account+" let its writes pass: on a replica they are lost",
			"name the primary in the DSN; if it is this server, "+f.writable(name))
	}
}

// wrote reports whether the server is known to let the account write.
func (f *Facts) wrote() bool {
	refused, tried := f.Denied["INSERT "+f.Config.TableName]
	return tried && !refused
}

func (f *Facts) readOnlyValue(name string) string {
	if value := f.Global[name]; value != "" {
		return value
	}
	return f.Session[name]
}

// writable is what lets a server take writes. One that follows another must not be made to
// by a setting alone: the two would go apart.
func (f *Facts) writable(name string) string {
	switch {
	case f.inGroup():
		return "SELECT group_replication_set_as_primary(@@server_uuid);"
	case len(f.Replicas) > 0:
		return "end its replication first: STOP REPLICA; RESET REPLICA ALL; " + f.set("read_only", "OFF")
	case name == "innodb_read_only":
		return "start it without innodb_read_only"
	case name == "super_read_only": // which goes with the other
		return f.set("read_only", "OFF")
	default:
		return f.set(name, "OFF")
	}
}

// replicaStopped is a replica that does not follow. A group, and Galera, have their own ways.
func replicaStopped(l *findings, f *Facts) {
	for _, r := range f.followed() {
		switch {
		case r.Applies != "Yes":
			l.warn("replication", "has stopped: the server does not apply what its source writes, and would be a source with old sessions", "START REPLICA; -- SHOW REPLICA STATUS tells why it stopped")
		case r.Receives != "Yes":
			l.warn("replication", "receives nothing from its source (it says \""+r.Receives+"\"), so that sessions are lost if the source is", "START REPLICA; -- SHOW REPLICA STATUS tells what is in the way")
		}
	}
}

func replicaWritable(l *findings, f *Facts) {
	if len(f.followed()) > 0 && f.readOnly() == "" {
		l.warn("replication", "leads from another server to this one, which takes writes: the source does not get what is written here, unless it is a replica too",
			f.set("read_only", "ON"))
	}
}

// lagTolerance is more than a replica that keeps up is behind.
const lagTolerance = 10 * time.Second

func replicaLag(l *findings, f *Facts) {
	for _, r := range f.followed() {
		if behind := time.Duration(r.Behind) * time.Second; behind > lagTolerance {
			l.warn("replication", fmt.Sprintf("is %v behind its source: as a source it would not have the sessions of that time, and have those that were deleted", behind), f.moreWorkers())
		}
	}
}

// moreWorkers lets a replica apply more at a time, which it begins with when it starts.
func (f *Facts) moreWorkers() string {
	if f.mariaDB() {
		return "STOP REPLICA; SET GLOBAL slave_parallel_threads = 16; START REPLICA; -- and in the option file: slave_parallel_threads = 16"
	}
	return "STOP REPLICA; SET PERSIST replica_parallel_workers = 16; START REPLICA;"
}

func (f *Facts) followed() []Replica {
	if f.inGroup() || f.galera() {
		return nil
	}
	return f.Replicas
}

func (f *Facts) galera() bool { return f.Global.on("wsrep_on") }

// galeraState is what a node of Galera says about itself.
func galeraState(l *findings, f *Facts) {
	if !f.galera() {
		return
	}
	status, state := f.GlobalStatus["wsrep_cluster_status"], f.GlobalStatus["wsrep_local_state_comment"]
	switch {
	case status != "" && status != "Primary":
		l.err("wsrep_cluster_status", "is "+status+": the node is in a part of the cluster without a majority, and serves nobody",
			"mend the network between the nodes; if the others are gone for good: SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES';")
	case f.GlobalStatus.off("wsrep_ready"):
		l.err("wsrep_ready", "is OFF: the node serves nobody", "wait until it has joined, or see why not in its log")
	case state != "" && state != "Synced":
		l.warn("wsrep_local_state_comment", "is "+state+": the node lags behind the others", "wait until it is Synced")
	}
	if size, ok := f.GlobalStatus.number("wsrep_cluster_size"); ok && size < 3 && status == "Primary" {
		l.note("wsrep_cluster_size", fmt.Sprintf("is %d: a node that fails leaves no majority that goes on", size), "run three nodes, or two and an arbitrator (garbd)")
	}
}

// suspectPattern is in wsrep_provider_options how long a silent node is waited for.
var suspectPattern = regexp.MustCompile(`evs\.suspect_timeout\s*=\s*PT([0-9.]+)S`)

// galeraSettings compares what nodes wait for with what the library waits for.
func galeraSettings(l *findings, f *Facts) {
	if !f.galera() {
		return
	}
	if wait, ok := f.Global.number("wsrep_sync_wait"); ok && wait&1 == 0 && f.Others {
		l.note("wsrep_sync_wait", fmt.Sprintf("is %d: after a failover a read may not see the last writes", wait), f.set("wsrep_sync_wait", "1"))
	}
	match := suspectPattern.FindStringSubmatch(f.Global["wsrep_provider_options"])
	if match == nil || f.Config.ReadTimeout <= 0 {
		return
	}
	seconds, err := strconv.ParseFloat(match[1], 64)
	if suspect := time.Duration(seconds * float64(time.Second)); err == nil && suspect >= f.Config.ReadTimeout {
		l.warn("evs.suspect_timeout", fmt.Sprintf("is %v, and ReadTimeout %v: writes that wait while a node fails have an unknown outcome", suspect, f.Config.ReadTimeout),
			"wsrep_provider_options = 'evs.suspect_timeout=PT2S' in the option file, or "+fmt.Sprintf("read_timeout=%v in the DSN", 2*suspect))
	}
}

func (f *Facts) inGroup() bool { return f.Global["group_replication_group_name"] != "" }

// groupState is what a member of Group Replication knows of itself and of the others.
func groupState(l *findings, f *Facts) {
	for _, m := range f.Group {
		switch {
		case m.State == "ONLINE":
		case m.Self:
			l.err("group_replication", "has this member "+m.State+": it does not serve", "START GROUP_REPLICATION; -- the server's log tells why it left")
		default:
			l.warn("group_replication", "has member "+m.Host+" "+m.State+", which is missed in the majority", "START GROUP_REPLICATION; -- on that member")
		}
	}
}

func groupSize(l *findings, f *Facts) {
	if n := len(f.Group); n > 0 && n < 3 && !strings.EqualFold(f.Group[0].State, "OFFLINE") {
		l.note("group_replication", fmt.Sprintf("has %d of the three members that a majority needs after a failure", n), "add members to the group")
	}
}
