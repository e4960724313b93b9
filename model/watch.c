/* SPDX-License-Identifier: MIT */
/*
 * Watches of plain values: watch.c, crowd.c, wait.c. Boxed ones are a pointer that is
 * exchanged, below reclamation, which has models of its own.
 *
 * Held by each: a value that is looked at is of one piece and no older than the last one
 * looked at; a receiver that is told of a change finds one, and has found the last when it
 * learns of the close.
 */
#include "model.h"

#include "rt/reclaim.h"

#include <weft/watch.h>

#define MAYBE 1 /* a deadline that may be over at any moment */

struct value {
	uint64_t value, again;
};

static weft_watch *w;
static weft_watch_sub *subs[MODEL_THREADS_MAX + 1];

/* Not for plain values. */
_Thread_local struct reclaim_self reclaim_self;
struct reclaim_clock reclaim_clock;

void reclaim_retire(struct reclaim_node *node, void (*fn)(struct reclaim_node *node))
{
	(void)node;
	(void)fn;
	model_fail("retired");
}

void reclaim_pin_slow(void) {}

void reclaim_unpin_slow(void) {}

void reclaim_help_slow(void) {}

static void make(unsigned first, unsigned last)
{
	struct value value = { 0, 0 };

	MODEL_CHECK(weft_watch_create(&w, sizeof(value), &value, NULL) == WEFT_OK);
	for (unsigned t = first; t <= last; t++)
		MODEL_CHECK(weft_watch_sub_create(&subs[t], w) == WEFT_OK);
}

static void send_value(uint64_t number)
{
	struct value value = { number, number };

	MODEL_CHECK(weft_watch_send(w, &value) == WEFT_OK);
}

static void send_1(void)
{
	send_value(1);
}

static void send_2(void)
{
	send_value(1);
	send_value(2);
}

static void send_3(void)
{
	send_2();
	send_value(3);
}

/* As in a counted sender: who is the last closes. */
static void send_and_leave(void)
{
	struct value old, value = { model_self(), model_self() };

	MODEL_CHECK(weft_watch_replace(w, &value, &old) == WEFT_OK);
	MODEL_CHECK(old.value == old.again && old.value != value.value);
	weft_watch_sender_unref(w);
}

static void send_close(void)
{
	send_value(1);
	weft_watch_close(w);
}

static void send_perhaps(void)
{
	struct value value = { 1, 1 };
	weft_err err = weft_watch_send(w, &value);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ECLOSED);
}

static void close_it(void)
{
	weft_watch_close(w);
	MODEL_CHECK(weft_watch_is_closed(w));
}

static uint64_t look(uint64_t last)
{
	struct value value = { 0, 0 };

	weft_watch_sub_borrow_and_update(subs[model_self()], &value);
	MODEL_CHECK(value.value == value.again && value.value >= last);
	return value.value;
}

static void look_twice(void)
{
	(void)look(look(0));
}

/* Until it has found that number. */
static void follow(uint64_t number)
{
	uint64_t last = 0, next;

	while (last != number) {
		MODEL_CHECK(weft_watch_sub_changed(subs[model_self()], WEFT_FOREVER) == WEFT_OK);
		next = look(last);
		MODEL_CHECK(next > last);
		last = next;
	}
}

static void follow_1(void)
{
	follow(1);
}

static void follow_2(void)
{
	follow(2);
}

static void follow_maybe(void)
{
	weft_err err = weft_watch_sub_changed(subs[model_self()], MAYBE);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ETIMEDOUT);
}

static void follow_closed(void)
{
	uint64_t last = 0;

	while (weft_watch_sub_changed(subs[model_self()], WEFT_FOREVER) == WEFT_OK)
		last = look(0);
	MODEL_CHECK(last != 0 && look(0) == last);
}

static void follow_to_the_end(void)
{
	while (weft_watch_sub_changed(subs[model_self()], WEFT_FOREVER) == WEFT_OK)
		(void)look(1);
}

static void make_2(void)
{
	make(2, 2);
}

static void make_23(void)
{
	make(2, 3);
}

static void make_3(void)
{
	make(3, 3);
}

static void make_counted(void)
{
	make(3, 3);
	weft_watch_sender_ref(w);
	weft_watch_sender_ref(w);
}

static void leave(void)
{
	weft_watch_sub_free(subs[2]);
	subs[2] = NULL;
}

static void await_unwatched(void)
{
	MODEL_CHECK(weft_watch_wait_unwatched(w, WEFT_FOREVER) == WEFT_OK);
}

static void finish(void)
{
	for (unsigned t = 0; t <= MODEL_THREADS_MAX; t++)
		weft_watch_sub_free(subs[t]);
	weft_watch_unref(w);
}

const struct model models[] = {
	Q("watch-look", "3 changes, looks meanwhile", make_2, { send_3, look_twice }, finish),
	Q("watch-1x1", "2 changes are followed", make_2, { send_2, follow_2 }, finish),
	M("watch-1x2", "a change, two follow", make_23, { send_1, follow_1, follow_1 }, finish),
	Q("watch-cancel", "one gives up, another waits", make_23,
		{ send_1, follow_maybe, follow_1 }, finish),
	M("watch-2x1", "two senders, the last closes", make_counted,
		{ send_and_leave, send_and_leave, follow_closed }, finish),
	Q("watch-close", "a change and the close", make_2, { send_close, follow_closed }, finish),
	M("watch-close-race", "closed while one sends, one follows", make_3,
		{ send_perhaps, close_it, follow_to_the_end }, finish),
	Q("watch-unwatched", "a receiver leaves, one waits for that", make_2,
		{ await_unwatched, leave }, finish),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
