/* SPDX-License-Identifier: MIT */
#include "support/linear.h"

#include "support/t.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIED_MAX ((size_t)1 << 21) /* of one search; a history that needs more is too wide */

static _Atomic uint64_t moments;

struct linear_op *linear_begin(struct linear_log *log, unsigned kind, uint64_t argument)
{
	struct linear_op *op;

	T_OUGHT(log->len < LINEAR_OPS_MAX);
	op = &log->ops[log->len++];
	op->kind = kind;
	op->argument = argument;
	op->begin = atomic_fetch_add(&moments, 1);
	return op;
}

void linear_end(struct linear_op *op, bool said, uint64_t answered)
{
	op->end = atomic_fetch_add(&moments, 1);
	op->said = said;
	op->answered = answered;
}

void linear_forget(struct linear_log *log)
{
	log->len--;
}

void linear_gather(struct linear_log *history, const struct linear_log *log)
{
	T_OUGHT(history->len + log->len <= LINEAR_OPS_MAX);
	memcpy(&history->ops[history->len], log->ops, log->len * sizeof(log->ops[0]));
	history->len += log->len;
}

void linear_print(const struct linear_log *history)
{
	for (size_t i = 0; i < history->len; i++) {
		const struct linear_op *op = &history->ops[i];

		fprintf(stderr, "%" PRIu64 "..%" PRIu64 " kind %u (%" PRIu64 "): %d, %" PRIu64 "\n",
			op->begin, op->end, op->kind, op->argument, op->said, op->answered);
	}
}

/* What was tried in vain: these calls done, this state. */
struct tried {
	struct tried *next;
	uint64_t done;
	unsigned char state[LINEAR_STATE_MAX];
};

enum { BUCKETS = 4096 };

struct search {
	const struct linear_model *model;
	const struct linear_log *history;
	const void *user;
	struct tried *buckets[BUCKETS];
	size_t tried;
};

static size_t bucket_of(const struct search *s, uint64_t done, const unsigned char *state)
{
	uint64_t h = done * UINT64_C(0x9e3779b97f4a7c15);

	for (size_t i = 0; i < s->model->state_size; i++)
		h = (h ^ state[i]) * UINT64_C(0x100000001b3);
	return (size_t)(h >> 32) % BUCKETS;
}

/* False: it was tried before. */
static bool try_first(struct search *s, uint64_t done, const unsigned char *state)
{
	size_t at = bucket_of(s, done, state);
	struct tried *t;

	for (t = s->buckets[at]; t; t = t->next)
		if (t->done == done && memcmp(t->state, state, s->model->state_size) == 0)
			return false;
	T_OUGHT(s->tried++ < TRIED_MAX);
	t = calloc(1, sizeof(*t));
	T_OUGHT(t != NULL);
	t->done = done;
	memcpy(t->state, state, s->model->state_size);
	t->next = s->buckets[at];
	s->buckets[at] = t;
	return true;
}

static bool search_from(struct search *s, uint64_t done, const unsigned char *state)
{
	const struct linear_log *h = s->history;
	uint64_t first_end = UINT64_MAX;

	for (size_t i = 0; i < h->len; i++)
		if (!(done >> i & 1) && h->ops[i].end < first_end)
			first_end = h->ops[i].end;
	if (first_end == UINT64_MAX)
		return true;
	if (!try_first(s, done, state))
		return false;
	for (size_t i = 0; i < h->len; i++) {
		unsigned char next[LINEAR_STATE_MAX];

		/* what began after another's end comes after it */
		if ((done >> i & 1) || h->ops[i].begin > first_end)
			continue;
		memcpy(next, state, sizeof(next));
		if (s->model->step(next, &h->ops[i], s->user) &&
			search_from(s, done | UINT64_C(1) << i, next))
			return true;
	}
	return false;
}

bool linear_check(
	const struct linear_model *model, const struct linear_log *history, const void *user)
{
	static struct search search;
	unsigned char state[LINEAR_STATE_MAX] = { 0 };
	bool found;

	T_OUGHT(model->state_size <= LINEAR_STATE_MAX);
	search = (struct search){ .model = model, .history = history, .user = user };
	found = search_from(&search, 0, state);
	for (size_t i = 0; i < BUCKETS; i++) {
		while (search.buckets[i]) {
			struct tried *t = search.buckets[i];

			search.buckets[i] = t->next;
			free(t);
		}
	}
	return found;
}
