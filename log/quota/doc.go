// Package quota shares out the capacities of a log, so that no stranger holds up another.
// [Limits] is the one table of capacities, shares and reserves; [Sources] finds the source of
// a request and keeps count of it, by a rate limit; a [Room] is the stock of something, such as memory.
package quota
