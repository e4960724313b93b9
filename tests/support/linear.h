/* SPDX-License-Identifier: MIT */
#ifndef LINEAR_H
#define LINEAR_H

/*
 * Linearizability of a recorded history: is there an order of the calls, each at a moment
 * between its begin and its end, in which a sequential object would have answered the same?
 * The search is Wing and Gong's (1993), which remembers what it has tried, as Lowe's (2017).
 *
 *	struct linear_op *op = linear_begin(&log, KIND_GET, key);
 *	found = weft_map_get(map, key, &value);
 *	linear_end(op, found, value);
 *
 * One log a party; linear_gather puts them together. Calls that did nothing and say so (a
 * time-out) are not recorded: linear_forget.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAR_OPS_MAX 64   /* of one history */
#define LINEAR_STATE_MAX 48 /* bytes */

struct linear_op {
	uint64_t begin, end; /* moments: numbers that grow over all parties */
	unsigned kind;
	uint64_t argument;
	bool said;	   /* the call's answer */
	uint64_t answered; /* the call's value, if it gives one */
};

struct linear_log {
	struct linear_op ops[LINEAR_OPS_MAX];
	size_t len;
};

struct linear_model {
	size_t state_size; /* bytes; the first state is all zero; no padding */
	/* Does the call on an object in this state answer as op says? If so changes state. user:
	 * linear_check's. */
	bool (*step)(void *state, const struct linear_op *op, const void *user);
};

struct linear_op *linear_begin(struct linear_log *log, unsigned kind, uint64_t argument);
void linear_end(struct linear_op *op, bool said, uint64_t answered);
/* The log's last one. */
void linear_forget(struct linear_log *log);
/* Appends a party's log to the history. */
void linear_gather(struct linear_log *history, const struct linear_log *log);
bool linear_check(
	const struct linear_model *model, const struct linear_log *history, const void *user);
/* For a failing test: the history, to stderr. */
void linear_print(const struct linear_log *history);

#endif
