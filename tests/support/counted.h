/* SPDX-License-Identifier: MIT */
#ifndef COUNTED_H
#define COUNTED_H

/* Messages that are pointers to something counted, which finds out when it is used, or let go,
 * after its end. */
#include "support/t.h"

#include <stdatomic.h>
#include <stdlib.h>

struct thing {
	_Atomic int refs;
	uint64_t value;
	uint64_t check; /* ~value */
};

static _Atomic int things; /* alive; given as user */

static inline struct thing *thing_new(uint64_t value)
{
	struct thing *t = malloc(sizeof(*t));

	T_OUGHT(t);
	atomic_init(&t->refs, 1);
	t->value = value;
	t->check = ~value;
	atomic_fetch_add(&things, 1);
	return t;
}

static inline void thing_ref(void *message, void *user)
{
	struct thing *t = *(struct thing **)message;

	T_OUGHT(user == &things);
	T_OUGHT(atomic_fetch_add(&t->refs, 1) > 0);
}

static inline void thing_unref(void *message, void *user)
{
	struct thing *t = *(struct thing **)message;
	int before = atomic_fetch_sub(&t->refs, 1);

	T_OUGHT(user == &things);
	T_OUGHT(before > 0);
	if (before == 1) {
		t->check = t->value;
		free(t);
		atomic_fetch_sub(&things, 1);
	}
}

#endif
