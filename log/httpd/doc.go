// Package httpd serves a log over HTTP. [New] returns the [Server] of a [View], which a log
// that is written and one that is followed both are. All resources stand in one table
// (routes.go); package log/api has the types of their answers and a client.
package httpd
