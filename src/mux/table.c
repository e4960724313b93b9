/* SPDX-License-Identifier: MIT */
/* Streams by id: chained, since the chain costs a pointer in the stream and an empty session
 * then has no table at all. One owner: no atomics. */
#include "base/mem.h"
#include "mux/session.h"

#define TABLE_MIN 16
#define TABLE_LARGE 4096 /* heads: from there on two streams a head, since they are many */
#define SHRINK_PART 8	 /* fewer streams than this part of the heads: half as many heads */

static size_t slot_of(const struct table *t, uint32_t id)
{
	/* multiply-shift by a secret odd factor: a peer, who may choose any ids, can't fill one
	 * chain with them */
	return (size_t)((id * t->factor) >> 32) & (t->cap - 1);
}

struct weft_stream *table_find(const struct table *t, uint32_t id)
{
	struct weft_stream *s = t->cap ? t->heads[slot_of(t, id)] : NULL;

	while (s && s->id != id)
		s = s->chain;
	return s;
}

static void put(struct table *t, struct weft_stream *s)
{
	struct weft_stream **head = &t->heads[slot_of(t, s->id)];

	s->chain = *head;
	*head = s;
}

/* False: no memory; it stays as it is. */
static bool resize(struct table *t, size_t cap)
{
	struct table other = { .cap = cap, .factor = t->factor };

	other.heads = mem_calloc(cap, sizeof(struct weft_stream *));
	if (!other.heads)
		return false;
	for (size_t i = 0; i < t->cap; i++) {
		while (t->heads[i]) {
			struct weft_stream *s = t->heads[i];

			t->heads[i] = s->chain;
			put(&other, s);
		}
	}
	mem_free(t->heads);
	t->heads = other.heads;
	t->cap = cap;
	counter_set(&t->bytes, cap * sizeof(struct weft_stream *));
	return true;
}

static bool grow(struct table *t)
{
	return resize(t, t->cap ? t->cap * 2 : TABLE_MIN);
}

void table_fit(struct table *t)
{
	size_t cap = t->cap;

	while (cap > TABLE_MIN && t->len < cap / SHRINK_PART)
		cap /= 2;
	if (cap < t->cap)
		(void)resize(t, cap);
}

bool table_insert(struct table *t, struct weft_stream *s)
{
	size_t room = t->cap < TABLE_LARGE ? t->cap : 2 * t->cap;

	/* a table that can't grow still takes them, in longer chains */
	if (t->len >= room && !grow(t) && t->cap == 0)
		return false;
	put(t, s);
	t->len++;
	s->in_table = true;
	stream_ref(s);
	return true;
}

void table_remove(struct table *t, struct weft_stream *s)
{
	struct weft_stream **at = &t->heads[slot_of(t, s->id)];

	while (*at != s)
		at = &(*at)->chain;
	*at = s->chain;
	t->len--;
	s->in_table = false;
	stream_unref(s);
}

void table_fini(struct table *t)
{
	mem_free(t->heads);
	t->heads = NULL;
	t->cap = t->len = 0;
	counter_set(&t->bytes, 0);
}
