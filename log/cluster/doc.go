// Package cluster is what several front ends of one log need beside it: a [Forwarder]
// passes requests on to the one that leads, and a [Front] serves the present log of a
// process, be it followed or led.
package cluster
