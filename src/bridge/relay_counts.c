/* SPDX-License-Identifier: MIT */
/* See relay_counts.h. */
#include "bridge/relay_counts.h"

#include <weft/base.h>
#include <weft/jsonrpc.h>

#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)

const char *const counts_transport_names[COUNTS_TRANSPORTS] = { "http", "sse", "stdio", "tcp",
	"tls", "unix", "mux", "other" };

const char *const counts_error_names[COUNTS_ERRORS] = { "parse_error", "invalid_request",
	"method_not_found", "invalid_params", "internal_error", "server_error", "cancelled",
	"other" };

const int64_t counts_bounds_ns[COUNTS_BUCKETS] = { MS / 2, MS, 5 * MS / 2, 5 * MS, 10 * MS, 25 * MS,
	50 * MS, 100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS,
	30000 * MS };

enum counts_transport counts_transport_of(const char *kind)
{
	unsigned i = 0;

	while (i < COUNTS_OTHER && strcmp(counts_transport_names[i], kind) != 0)
		i++;
	return (enum counts_transport)i;
}

enum counts_error counts_error_of(int64_t code)
{
	switch (code) {
	case WEFT_JSONRPC_PARSE_ERROR:
		return COUNTS_PARSE;
	case WEFT_JSONRPC_INVALID_REQUEST:
		return COUNTS_INVALID_REQUEST;
	case WEFT_JSONRPC_METHOD_NOT_FOUND:
		return COUNTS_METHOD_NOT_FOUND;
	case WEFT_JSONRPC_INVALID_PARAMS:
		return COUNTS_INVALID_PARAMS;
	case WEFT_JSONRPC_INTERNAL_ERROR:
		return COUNTS_INTERNAL;
	case -32800:
		return COUNTS_CANCELLED;
	default:
		return code <= -32000 && code >= -32099 ? COUNTS_SERVER : COUNTS_OTHER_ERROR;
	}
}

void counts_answered(struct relay_counts *counts, int64_t took_ns)
{
	struct counts_cell *cell = counts_cell(counts);
	unsigned bucket = 0;

	while (bucket < COUNTS_BUCKETS && took_ns > counts_bounds_ns[bucket])
		bucket++;
	(void)counter_add(&cell->latency[bucket], 1);
	(void)counter_add(&cell->latency_ns, took_ns > 0 ? (uint64_t)took_ns : 0);
	(void)counter_add(&cell->done, 1);
}

void counts_error(struct relay_counts *counts, enum counts_by by, int64_t code)
{
	(void)counter_add(&counts_cell(counts)->errors[by][counts_error_of(code)], 1);
}

void counts_fault(struct relay_counts *counts, const char *text)
{
	int64_t now = weft_now();

	rt_lock_acquire(&counts->lock);
	(void)snprintf(counts->fault, sizeof(counts->fault), "%s", text);
	counts->fault_at = now;
	rt_lock_release(&counts->lock);
}

void counts_failing(struct relay_counts *counts)
{
	counter_set(&counts->failing_at, (uint64_t)weft_now());
}

static void add(struct counter *to, const struct counter *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		counter_own_add(&to[i], counter_get(&from[i]));
}

void counts_sum(const struct relay_counts *counts, struct counts_cell *out)
{
	memset((void *)out, 0, sizeof(*out));
	/* what ends before what begins: so that mostly no more seem to have ended; whoever
	 * subtracts has to look all the same */
	for (size_t i = 0; i < RELAY_CELLS; i++)
		add(&out->done, &counts->cells[i].done, 1);
	for (size_t i = 0; i < RELAY_CELLS; i++) {
		const struct counts_cell *cell = &counts->cells[i];

		add(&out->requests, &cell->requests, 1);
		add(&out->sent, &cell->sent, 1);
		add(&out->answers, &cell->answers, 1);
		for (unsigned by = 0; by < COUNTS_BYS; by++)
			add(out->errors[by], cell->errors[by], COUNTS_ERRORS);
		add(out->latency, cell->latency, COUNTS_BUCKETS + 1);
		add(&out->latency_ns, &cell->latency_ns, 1);
		add(out->messages, cell->messages, COUNTS_DIRECTIONS);
		add(out->bytes, cell->bytes, COUNTS_DIRECTIONS);
	}
}
