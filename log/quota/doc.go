// Package quota says who may have how much of a log, so that no stranger holds up another.
// [Limits] is the one table of capacities, shares and reserves; [Sources] tells who sends a
// request and keeps count of it; a [Room] is what there is of something, such as memory.
package quota
