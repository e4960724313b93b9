/* SPDX-License-Identifier: MIT */
/*
 * Broadcasts: broadcast.c, crowd.c, wait.c.
 *
 * Held by each: a message that a subscriber gets is of one piece, those of one sender come in
 * its order, and what it gets and what it is told to have missed are together what was sent;
 * who waits is woken when there is something, and everybody once it is closed; what a counted
 * message refers to is there as long as a subscriber has it, and gone at the end.
 */
#include "model.h"

#include <weft/broadcast.h>

#include <stdatomic.h>

#define MAYBE 1 /* a deadline that may be over at any moment */

struct message {
	uint64_t value, again;
};

struct thing {
	_Atomic int refs;
	uint64_t value; /* plain: freed memory and races are found */
};

static weft_broadcast *b;
static weft_broadcast_sub *subs[MODEL_THREADS_MAX + 1];
static unsigned sent[MODEL_THREADS_MAX + 1];
static struct thing *things[8];

static void make(size_t capacity, const weft_broadcast_options *options)
{
	size_t size = options ? sizeof(struct thing *) : sizeof(struct message);

	MODEL_CHECK(weft_broadcast_create(&b, size, capacity, options) == WEFT_OK);
}

static void subscribe(unsigned first, unsigned last)
{
	for (unsigned t = first; t <= last; t++)
		MODEL_CHECK(weft_broadcast_sub_create(&subs[t], b) == WEFT_OK);
}

static weft_err send_next(void)
{
	unsigned self = model_self();
	uint64_t value = self * 16 + sent[self] + 1;
	struct message message = { value, value };
	weft_err err = weft_broadcast_send(b, &message);

	if (err == WEFT_OK)
		sent[self]++;
	return err;
}

static void send_1(void)
{
	MODEL_CHECK(send_next() == WEFT_OK);
}

static void send_2(void)
{
	send_1();
	send_1();
}

static void send_3(void)
{
	send_2();
	send_1();
}

static void send_many_2(void)
{
	uint64_t value = model_self() * 16;
	struct message messages[2] = { { value + 1, value + 1 }, { value + 2, value + 2 } };

	MODEL_CHECK(weft_broadcast_send_many(b, messages, 2) == WEFT_OK);
}

static void send_closed(void)
{
	weft_err err = send_next();

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ECLOSED);
}

static void close_it(void)
{
	weft_broadcast_close(b);
}

/* How many messages this stands for; the last of each sender is kept. */
static unsigned recv_once(weft_deadline until, uint64_t *last, weft_err *err)
{
	weft_broadcast_sub *sub = subs[model_self()];
	struct message message = { 0, 0 };

	*err = weft_broadcast_sub_recv(sub, &message, until);
	model_note("recv gave", *err);
	if (*err == WEFT_ELAGGED) {
		MODEL_CHECK(weft_broadcast_sub_missed(sub) > 0);
		return (unsigned)weft_broadcast_sub_missed(sub);
	}
	if (*err != WEFT_OK)
		return 0;
	MODEL_CHECK(message.value == message.again && message.value > 0);
	MODEL_CHECK(message.value > last[message.value / 16]);
	last[message.value / 16] = message.value;
	return 1;
}

static void recv_n(unsigned n)
{
	uint64_t last[MODEL_THREADS_MAX + 1] = { 0 };
	weft_err err;

	for (unsigned got = 0; got < n;) {
		got += recv_once(WEFT_FOREVER, last, &err);
		MODEL_CHECK(err == WEFT_OK || err == WEFT_ELAGGED);
		MODEL_CHECK(got <= n);
	}
}

static void recv_1(void)
{
	recv_n(1);
}

static void recv_2(void)
{
	recv_n(2);
}

static void recv_3(void)
{
	recv_n(3);
}

static void recv_maybe(void)
{
	uint64_t last[MODEL_THREADS_MAX + 1] = { 0 };
	weft_err err;

	(void)recv_once(MAYBE, last, &err);
	MODEL_CHECK(err == WEFT_OK || err == WEFT_ETIMEDOUT);
}

static void recv_closed(void)
{
	uint64_t last[MODEL_THREADS_MAX + 1] = { 0 };
	unsigned got = 0;
	weft_err err;

	do
		got += recv_once(WEFT_FOREVER, last, &err);
	while (err != WEFT_ECLOSED);
	MODEL_CHECK(weft_broadcast_sub_len(subs[model_self()]) == 0);
	MODEL_CHECK(got <= 2);
}

/* --- counted ---------------------------------------------------------------------------- */

static void thing_ref(void *message, void *user)
{
	struct thing *t = *(struct thing **)message;

	(void)user;
	MODEL_CHECK(atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed) > 0);
}

static void thing_unref(void *message, void *user)
{
	struct thing *t = *(struct thing **)message;

	(void)user;
	if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
		model_free(t, __builtin_return_address(0));
}

static void things_make(void)
{
	static const weft_broadcast_options options = { thing_ref, thing_unref, NULL };

	make(1, &options);
	for (unsigned i = 0; i < 2; i++) {
		things[i] = model_alloc(sizeof(struct thing), 16);
		atomic_store_explicit(&things[i]->refs, 1, memory_order_relaxed);
		things[i]->value = i + 1;
	}
}

static void send_things(void)
{
	MODEL_CHECK(weft_broadcast_send(b, &things[0]) == WEFT_OK);
	MODEL_CHECK(weft_broadcast_send(b, &things[1]) == WEFT_OK);
}

static void recv_things(void)
{
	weft_broadcast_sub *sub = subs[model_self()];
	uint64_t last = 0;

	while (last != 2) {
		struct thing *t = NULL;
		weft_err err = weft_broadcast_sub_recv(sub, &t, WEFT_FOREVER);

		MODEL_CHECK(err == WEFT_OK || err == WEFT_ELAGGED);
		if (err != WEFT_OK)
			continue;
		MODEL_CHECK(t->value > last);
		last = t->value;
		thing_unref(&t, NULL);
	}
}

/* The first that it gets, or a lag. */
static void recv_thing(void)
{
	struct thing *t = NULL;
	weft_err err = weft_broadcast_sub_recv(subs[model_self()], &t, WEFT_FOREVER);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ELAGGED);
	if (err != WEFT_OK)
		return;
	MODEL_CHECK(t->value > 0);
	thing_unref(&t, NULL);
}

static void counted_1(void)
{
	things_make();
	subscribe(2, 2);
}

/* The first is there already. */
static void counted_2(void)
{
	things_make();
	subscribe(2, 3);
	MODEL_CHECK(weft_broadcast_send(b, &things[0]) == WEFT_OK);
}

static void send_second(void)
{
	MODEL_CHECK(weft_broadcast_send(b, &things[1]) == WEFT_OK);
}

/* --- setups, by capacity and by which threads receive ---------------------------------------- */

static void one_2(void)
{
	make(1, NULL);
	subscribe(2, 2);
}

static void one_3(void)
{
	make(1, NULL);
	subscribe(3, 3);
}

static void one_23(void)
{
	make(1, NULL);
	subscribe(2, 3);
}

static void two_2(void)
{
	make(2, NULL);
	subscribe(2, 2);
}

static void two_3(void)
{
	make(2, NULL);
	subscribe(3, 3);
}

static void two_23(void)
{
	make(2, NULL);
	subscribe(2, 3);
}

static void finish(void)
{
	for (unsigned t = 0; t <= MODEL_THREADS_MAX; t++)
		weft_broadcast_sub_free(subs[t]);
	weft_broadcast_unref(b);
}

const struct model models[] = {
	Q("bcast-1-1x1", "capacity 1: 2 messages", one_2, { send_2, recv_2 }, finish),
	M("bcast-2-1x1", "capacity 2: 3 messages", two_2, { send_3, recv_3 }, finish),
	M("bcast-1-2x1", "capacity 1: two senders", one_3, { send_1, send_1, recv_2 }, finish),
	M("bcast-2-2x1", "capacity 2: two senders", two_3, { send_1, send_1, recv_2 }, finish),
	M("bcast-1-1x2", "capacity 1: two subscribers", two_23, { send_1, recv_1, recv_1 }, finish),
	Q("bcast-many", "capacity 2: 2 at once", two_2, { send_many_2, recv_2 }, finish),
	Q("bcast-cancel", "a subscriber gives up, another waits", one_23,
		{ send_1, recv_maybe, recv_1 }, finish),
	Q("bcast-close", "closed while one sends, one receives", one_3,
		{ send_closed, close_it, recv_closed }, finish),
	M("bcast-close-2", "closed while two receive", one_23,
		{ close_it, recv_closed, recv_closed }, finish),
	Q("bcast-counted", "capacity 1: 2 counted messages", counted_1,
		{ send_things, recv_things }, finish),
	M("bcast-counted-2", "a second counted message, two receive", counted_2,
		{ send_second, recv_thing, recv_thing }, finish),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
