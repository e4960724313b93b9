/* SPDX-License-Identifier: MIT */
/*
 * See link.h. What a request and its answer cost between the two transports, where nothing waits:
 *
 *	allocations	1: the flight. In shared mode, or where a number is longer than the client's
 *			id, a buffer more for the message.
 *	copies		none of a message whose ids have as many bytes on both sides (numbers count
 *			up from 0 on both, so that a client alone with its server often has the
 *			same); else one of the request. Never of the answer.
 *	map		an insert and a remove, by number
 *	atomics		read-modify-write: 2 of the session's count, 2 of the gate, 1 of the ids,
 *			1 of the flight's users; 10 statistics, on the worker's own lines
 *	clock		2 looks
 *	locks, wakes, system calls
 *			none; those of the two transports
 */
#include "bridge/link.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "bridge/message.h"
#include "rt/rt.h"

#include <weft/sim.h>

#include <stdio.h>
#include <string.h>

#define SWEEP_BATCH 32

/* ---- life ---- */

weft_err link_init(struct link *link, struct relay *relay, struct relay_session *only)
{
	weft_map_options flights = WEFT_MAP_OPTIONS_DEFAULT;
	uint32_t version = 0;
	weft_err err;

	memset((void *)link, 0, sizeof(*link));
	link->relay = relay;
	link->only = only;
	list_init(&link->questions);
	list_init(&link->sessions);
	backoff_init(&link->backoff, rt_is_sim() ? weft_sim_random() : random_entropy());
	flights.shards = only ? 1 : 0;
	err = weft_map_create(&link->flights, &flights);
	if (!err)
		err = weft_watch_create(&link->changed, sizeof(version), &version, NULL);
	if (!err && !only)
		err = weft_mutex_create(&link->sessions_lock);
	if (err)
		link_fini(link);
	return err;
}

void link_fini(struct link *link)
{
	CHECK(!link->server && list_is_empty(&link->questions) && list_is_empty(&link->sessions));
	weft_map_free(link->flights);
	weft_watch_unref(link->changed);
	if (link->sessions_lock)
		weft_mutex_free(link->sessions_lock);
	weft_message_fini(&link->welcome);
	mem_free(link->params);
	mem_free(link->speaks);
}

static void count_up(void *value, void *arg)
{
	uint32_t *version = value;

	(void)arg;
	++*version;
}

void link_announce(struct link *link)
{
	/* it fails only when it was closed, which nobody does */
	CHECK(weft_watch_modify(link->changed, count_up, NULL) == WEFT_OK);
}

void link_want(struct link *link, uint32_t wants)
{
	if ((word_set_bits(&link->wants, wants) & wants) != wants)
		bell_ring(&link->bell);
}

void link_why_set(struct link *link, weft_err err, const char *text)
{
	const char *why = text ? text : weft_error_detail();

	/* that there are enough already is no fault of the server's */
	if (err != WEFT_ECAPACITY && err != WEFT_ECANCELED)
		counts_fault(link->relay->counts, why);
	rt_lock_acquire(&link->lock);
	link->why_err = err;
	(void)snprintf(link->why, sizeof(link->why), "%s", why);
	rt_lock_release(&link->lock);
}

/* The reason as the caller's error. code WEFT_OK: as it was. */
static weft_err link_why(struct link *link, weft_err code)
{
	char why[LINK_TEXT_MAX];

	rt_lock_acquire(&link->lock);
	memcpy(why, link->why, sizeof(why));
	if (!code)
		code = link->why_err ? link->why_err : WEFT_ERESET;
	rt_lock_release(&link->lock);
	return err_setf(code, "%s", why[0] ? why : weft_strerror(code));
}

/* ---- the gate ---- */

bool link_enter(struct link *link)
{
	if (!(word64_peek(&link->gate) & (uint64_t)LINK_UP))
		return false;
	if (weft_likely(word64_add(&link->gate, 1) & LINK_UP))
		return true;
	link_leave(link);
	return false;
}

void link_leave(struct link *link)
{
	/* the link outlives who was inside: a client's fiber, whose session is not over */
	if (weft_unlikely(word64_add(&link->gate, -1) == 0))
		bell_ring(&link->bell);
}

/* Nothing to wait for: why. */
static weft_err hopeless(struct link *link, const struct relay_session *session, uint32_t rounds)
{
	if (word_get(&link->is_dead) || word_get(&link->rounds) != rounds)
		return link_why(link, WEFT_OK);
	if (word_get(&link->closing) || word_get(&session->is_over))
		return err_setf(WEFT_ECLOSED, "the session is over");
	return WEFT_OK;
}

weft_err link_await(struct link *link, const struct relay_session *session,
	bool (*is_so)(struct link *link), uint32_t wants, weft_deadline until)
{
	uint32_t rounds = word_get(&link->rounds);
	weft_watch_sub *changes = NULL;
	weft_err err = weft_watch_sub_create(&changes, link->changed);

	while (!err && !is_so(link)) {
		err = hopeless(link, session, rounds);
		if (err)
			break;
		link_want(link, wants);
		err = weft_watch_sub_changed(changes, until);
		if (err == WEFT_ETIMEDOUT) {
			(void)link_why(link, WEFT_ETIMEDOUT);
			err = err_wrap(WEFT_ETIMEDOUT, "not ready in time");
		}
	}
	weft_watch_sub_free(changes);
	return err;
}

weft_err link_enter_soon(struct link *link, const struct relay_session *session)
{
	if (weft_likely(link_enter(link)))
		return WEFT_OK;
	return link_await(link, session, link_enter, LINK_WANT_SERVER,
		weft_after_ns(link->relay->options.connect_timeout_ns));
}

weft_err link_send_own(struct link *link, weft_message *message)
{
	weft_err err = weft_transport_send_own(link->server, message, WEFT_FOREVER);

	message->text = (weft_buf)WEFT_BUF_EMPTY; /* was taken, whoever has let go of it */
	return err;
}

/* ---- flights ---- */

static void flight_retired(struct reclaim_node *node)
{
	mem_free(container_of(node, struct flight, node));
}

void flight_settle(struct flight *flight, bool is_answered)
{
	struct relay_counts *counts;

	if (flight->is_settled || flight->kind == FLIGHT_OWN)
		return;
	flight->is_settled = true;
	counts = flight->session->relay->counts;
	if (is_answered)
		counts_answered(counts, weft_now() - flight->came_at);
	else
		counts_dropped(counts);
}

/* What a flight holds but its memory. */
static void flight_release(struct link *link, struct flight *flight)
{
	flight_settle(flight, false);
	if (flight->kind == FLIGHT_INITIALIZE && !link->only && !flight->is_landed_well)
		link_init_settle(link, LINK_INIT_NONE);
	mem_free(flight->params);
	if (flight->session)
		session_leave(flight->session);
}

void flight_drop(struct link *link, struct flight *flight)
{
	if (!refcount_drop(&flight->users))
		return;
	flight_release(link, flight);
	reclaim_retire(&flight->node, flight_retired);
	reclaim_help();
}

void flight_free(struct link *link, struct flight *flight)
{
	flight_release(link, flight);
	mem_free(flight);
}

bool link_take(struct link *link, uint64_t number, struct flight **out)
{
	uint64_t value;

	if (!weft_map_remove(link->flights, weft_map_int(number), &value))
		return false;
	*out = weft_map_pointer(value);
	return true;
}

static void hold(void *arg, uint64_t value)
{
	struct flight **held = arg, *flight = weft_map_pointer(value);

	if (refcount_try_hold(&flight->users))
		*held = flight;
}

struct flight *link_look(struct link *link, uint64_t number)
{
	struct flight *held = NULL;

	(void)weft_map_view(link->flights, weft_map_int(number), hold, &held);
	return held;
}

struct find {
	const struct relay_session *session;
	weft_json id;
	uint64_t number;
	bool is_found;
};

static bool find(void *arg, weft_map_key key, uint64_t value)
{
	const struct flight *flight = weft_map_pointer(value);
	struct find *f = arg;

	if (flight->session != f->session || !message_same_id(flight->id, f->id))
		return true;
	f->number = key.number;
	f->is_found = true;
	return false;
}

/* Every entry; it can't fail: numbers have hashes of their own. */
static void for_each_flight(struct link *link, weft_map_entry_fn fn, void *arg)
{
	CHECK(weft_map_iterate(link->flights, fn, arg) == WEFT_OK);
}

bool link_find(
	struct link *link, const struct relay_session *session, weft_json id, uint64_t *number)
{
	struct find f = { .session = session, .id = id };

	for_each_flight(link, find, &f);
	if (f.is_found)
		*number = f.number;
	return f.is_found;
}

struct sweep {
	const struct relay_session *session;
	bool (*is_due)(const struct flight *flight, void *arg);
	void *arg;
	unsigned len;
	uint64_t numbers[SWEEP_BATCH];
};

static bool sweep_look(void *arg, weft_map_key key, uint64_t value)
{
	const struct flight *flight = weft_map_pointer(value);
	struct sweep *s = arg;

	if (flight->kind != FLIGHT_OWN && !(key.number & LINK_WAITING) &&
		(!s->session || flight->session == s->session) &&
		(!s->is_due || s->is_due(flight, s->arg)))
		s->numbers[s->len++] = key.number;
	return s->len < SWEEP_BATCH;
}

void link_sweep(struct link *link, const struct relay_session *session,
	bool (*is_due)(const struct flight *flight, void *arg),
	void (*fn)(struct link *link, struct flight *flight, void *arg), void *arg)
{
	struct sweep s = { .session = session, .is_due = is_due, .arg = arg };

	do {
		s.len = 0;
		for_each_flight(link, sweep_look, &s);
		for (unsigned i = 0; i < s.len; i++) {
			struct flight *flight;

			if (link_take(link, s.numbers[i], &flight))
				fn(link, flight, arg);
		}
	} while (s.len == SWEEP_BATCH);
}

struct only {
	struct flight *held;
	bool is_several;
};

static bool only_look(void *arg, weft_map_key key, uint64_t value)
{
	struct flight *flight = weft_map_pointer(value);
	struct only *only = arg;

	if (flight->kind == FLIGHT_OWN || flight->kind == FLIGHT_LISTEN ||
		(key.number & LINK_WAITING))
		return true;
	if (!only->held) {
		if (refcount_try_hold(&flight->users))
			only->held = flight;
		return true;
	}
	only->is_several = only->held->session != flight->session;
	return !only->is_several;
}

struct flight *link_only_flight(struct link *link)
{
	struct only only = { NULL, false };

	for_each_flight(link, only_look, &only);
	if (!only.is_several)
		return only.held;
	flight_drop(link, only.held);
	return NULL;
}
