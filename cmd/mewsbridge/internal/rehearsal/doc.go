// Package rehearsal breaks a real bridge and real nats-servers on purpose, under the load of a simulated Mews, and counts what
// became of every event.
//
// The bridge and the servers are processes of their own, in a folder of their own. A schedule that follows from a seed
// says which fault comes when. Between the processes stand TCP proxies, which also keep their addresses the same while what is behind
// them dies and comes back.
package rehearsal
