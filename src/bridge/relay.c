/* SPDX-License-Identifier: MIT */
/* See relay.h, and link.h. Here: what a relay is made of, and how a session begins and ends. */
#include "bridge/relay.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "bridge/link.h"
#include "bridge/transport.h"
#include "rt/rt.h"

#include <stdio.h>
#include <string.h>

#define SESSIONS_DEFAULT 1000
#define CHILDREN_DEFAULT 64
#define REQUESTS_DEFAULT 1000
#define STARTS_DEFAULT 5
#define QUEUE_DEFAULT 1000
#define QUEUE_BYTES_DEFAULT ((size_t)16 << 20)
#define CONNECT_TIMEOUT_NS INT64_C(10000000000)
#define LIMIT_MAX ((size_t)1 << 30)
#define REFUSED_MAX 64 /* sessions over the limit that are told so; more are just closed */

/* ---- options ---- */

static weft_err limit(size_t *value, const char *name, size_t fallback)
{
	if (*value == 0)
		*value = fallback;
	if (*value > LIMIT_MAX)
		return err_setf(WEFT_EINVAL, "%s: %zu is above %zu", name, *value, LIMIT_MAX);
	return WEFT_OK;
}

static weft_err duration(int64_t value, const char *name)
{
	return value < 0 ? err_setf(WEFT_EINVAL, "%s: negative", name) : WEFT_OK;
}

static weft_err check(struct relay_options *o)
{
	weft_err err = WEFT_OK;

	if (!o->name || !o->outgoing)
		return err_setf(WEFT_EINVAL, "%s is missing", o->name ? "outgoing" : "name");
	if (o->starts_max == 0)
		o->starts_max = STARTS_DEFAULT;
	if (o->connect_timeout_ns == 0)
		o->connect_timeout_ns = CONNECT_TIMEOUT_NS;
	err = limit(&o->sessions_max, "sessions_max", SESSIONS_DEFAULT);
	err = err ? err : limit(&o->children_max, "children_max", CHILDREN_DEFAULT);
	err = err ? err : limit(&o->requests_max, "requests_max", REQUESTS_DEFAULT);
	err = err ? err : limit(&o->queue_max, "queue_max", QUEUE_DEFAULT);
	err = err ? err : limit(&o->queue_bytes_max, "queue_bytes_max", QUEUE_BYTES_DEFAULT);
	err = err ? err : duration(o->connect_timeout_ns, "connect_timeout_ns");
	err = err ? err : duration(o->read_timeout_ns, "read_timeout_ns");
	err = err ? err : duration(o->idle_timeout_ns, "idle_timeout_ns");
	err = err ? err : duration(o->session_timeout_ns, "session_timeout_ns");
	err = err ? err : duration(o->drain_timeout_ns, "drain_timeout_ns");
	return err;
}

/* ---- life ---- */

static weft_err shared_fiber(void *arg)
{
	struct link *link = arg;

	link_run(link);
	link_shut(link);
	link_drop(link, "the relay was stopped");
	return WEFT_OK;
}

static weft_err start_shared(struct relay *relay)
{
	weft_err err;

	relay->shared = mem_calloc(1, sizeof(*relay->shared));
	if (!relay->shared)
		return err_set(WEFT_ENOMEM);
	err = link_init(relay->shared, relay, NULL);
	if (err) {
		mem_free(relay->shared);
		relay->shared = NULL;
		return err;
	}
	return weft_scope_spawn(relay->scope, "relay", shared_fiber, relay->shared);
}

weft_err relay_create(struct relay **out, const struct relay_options *options)
{
	struct relay_options checked = *options;
	weft_err err = check(&checked);
	struct relay *relay;

	if (err)
		return err_wrap(err, "create relay");
	relay = mem_calloc(1, sizeof(*relay));
	if (!relay)
		return err_set(WEFT_ENOMEM);
	relay->options = checked;
	list_init(&relay->sessions);
	relay->name = mem_strdup(options->name);
	relay->own_counts = checked.counts ? NULL : mem_calloc(1, sizeof(*relay->own_counts));
	relay->counts = checked.counts ? checked.counts : relay->own_counts;
	if (!relay->name || !relay->counts)
		err = err_set(WEFT_ENOMEM);
	if (!err)
		err = rt_scope_create_root(&relay->scope);
	if (!err && checked.is_shared)
		err = start_shared(relay);
	if (err) {
		relay_free(relay);
		return err;
	}
	*out = relay;
	return WEFT_OK;
}

void relay_stop(struct relay *relay)
{
	(void)word_swap(&relay->stopping, 1);
	rt_lock_acquire(&relay->lock);
	list_for_each(node, &relay->sessions)
		weft_unpark(container_of(node, struct relay_session, in_relay)->owner);
	rt_lock_release(&relay->lock);
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	CHECK(list_is_empty(&relay->sessions));
	if (relay->shared) {
		(void)word_swap(&relay->shared->closing, 1);
		bell_ring(&relay->shared->bell);
	}
	weft_scope_free(relay->scope);
	if (relay->shared) {
		link_fini(relay->shared);
		mem_free(relay->shared);
	}
	mem_free(relay->own_counts);
	mem_free(relay->name);
	mem_free(relay);
}

static uint64_t total(const struct counter *counters, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += counter_get(&counters[i]);
	return sum;
}

void relay_stats_get(const struct relay *relay, struct relay_stats *out)
{
	const struct relay_counts *c = relay->counts;
	struct counts_cell cell;

	counts_sum(c, &cell);
	*out = (struct relay_stats){
		.sessions = total(c->sessions, COUNTS_TRANSPORTS),
		.sessions_refused = total(c->sessions_refused, COUNTS_TRANSPORTS),
		.sessions_failed = counter_get(&c->sessions_failed),
		.sessions_now = (size_t)total(c->sessions_now, COUNTS_TRANSPORTS),
		.servers_now = (size_t)counter_get(&c->servers_now),
		.servers_started = counter_get(&c->servers),
		.servers_lost = counter_get(&c->lost),
		.requests = counter_get(&cell.sent),
		.answers = counter_get(&cell.answers),
		.errors = total(cell.errors[COUNTS_BY_BRIDGE], COUNTS_ERRORS),
		.cancelled = counter_get(&c->cancelled),
		.late = counter_get(&c->late),
		.invalid = counter_get(&c->invalid),
	};
}

/* ---- sessions begin ---- */

/* Its own, or the relay's. */
static weft_err session_link(struct relay_session *session, bool is_refused)
{
	struct relay *relay = session->relay;
	struct link *link = relay->shared;
	weft_err err = WEFT_OK;

	if (is_refused || !link) {
		link = mem_alloc(sizeof(*link));
		if (!link)
			return err_set(WEFT_ENOMEM);
		err = link_init(link, relay, session);
	}
	if (err)
		mem_free(link);
	else
		session->link = link;
	return err;
}

/* NULL: out of memory. */
static struct relay_session *session_create(
	struct relay *relay, weft_transport *client, bool is_refused)
{
	struct relay_session *session = mem_calloc(1, sizeof(*session));
	struct counter *last = relay->options.session_last;
	int64_t timeout_ns = relay->options.session_timeout_ns;

	if (!session)
		return NULL;
	session->relay = relay;
	session->client = client;
	transport_set_grown_max(client, LINK_GROWN_MAX);
	session->owner = weft_parker_self();
	session->answers_all = strcmp(weft_transport_kind(client), "http") == 0;
	session->number = counter_add(last ? last : &relay->session_last, 1) + 1;
	session->over_at = timeout_ns ? weft_after_ns(timeout_ns) : WEFT_FOREVER;
	counter_set(&session->active_at, (uint64_t)weft_now());
	list_init(&session->in_relay);
	list_init(&session->in_link);
	session_queue_init(&session->queue);
	if (!session_link(session, is_refused))
		return session;
	mem_free(session);
	return NULL;
}

static void session_free(struct relay_session *session)
{
	session_queue_fini(&session->queue);
	if (session->link->only) {
		link_fini(session->link);
		mem_free(session->link);
	}
	mem_free(session);
}

static void session_register(struct relay_session *session)
{
	rt_lock_acquire(&session->relay->lock);
	list_push_back(&session->relay->sessions, &session->in_relay);
	rt_lock_release(&session->relay->lock);
}

static void session_unregister(struct relay_session *session)
{
	rt_lock_acquire(&session->relay->lock);
	list_remove(&session->in_relay);
	rt_lock_release(&session->relay->lock);
}

/* Not where it ended before it began. */
static void session_start(struct relay_session *session)
{
	weft_err err = weft_transport_start(session->client, &link_client_sink, session);

	if (!err)
		return;
	session_fail(session, err, weft_error_detail());
	session->end_err = err; /* nobody else will tell */
	(void)word_swap(&session->is_ended, 1);
}

/* ---- and end ---- */

static void wait_ended(struct relay_session *session)
{
	while (!word_get(&session->is_ended))
		(void)!weft_park(WEFT_FOREVER);
}

/* Its flights are out of the map; some may be landing. */
static void wait_landed(struct relay_session *session)
{
	if (!session->drain_until)
		(void)word64_add(&session->flights, SESSION_WAITED);
	while (word64_get(&session->flights) != (uint64_t)SESSION_WAITED)
		(void)!weft_park(WEFT_FOREVER);
}

/* No server fiber has to do with it any more, but through its flights. */
static void detach(struct relay_session *session)
{
	struct link *link = session->link;

	CHECK(weft_mutex_lock(link->sessions_lock, WEFT_FOREVER) == WEFT_OK); /* shielded */
	list_remove(&session->in_link);
	weft_mutex_unlock(link->sessions_lock);
}

/* Its client does not wait for it any more: the server, which goes on for others, is told. */
static void abandon(struct link *link, struct flight *flight, void *arg)
{
	char digits[WEFT_JSON_INTEGER_SIZE];
	weft_message message = { 0 };

	(void)arg;
	if (!say_cancelled(link->relay, &message,
		    weft_json_of_integer((int64_t)flight->number, digits), "the client has gone") &&
		link_enter(link)) {
		(void)!link_send_own(link, &message);
		link_leave(link);
	}
	weft_message_fini(&message);
	flight_drop(link, flight);
}

/*
 * The order: nobody waits any more, for a server or for the client; its flights are taken out,
 * and have landed; then the client is freed, which waits for its fibers. Fibers of a client with a
 * link of its own may still come until then, and find the gate down.
 */
static void session_end(struct relay_session *session)
{
	struct link *link = session->link;
	bool is_alone = link->only != NULL;

	weft_shield_begin();
	(void)word_swap(&session->is_over, 1);
	if (is_alone)
		(void)word_swap(&link->closing, 1);
	else
		detach(session);
	weft_transport_close(session->client);
	link_announce(link);
	if (is_alone) {
		link_shut(link);
		link_drop(link, NULL);
	} else {
		wait_ended(session); /* what its fibers would still send, no sweep would find */
		link_sweep(link, session, NULL, abandon, NULL);
	}
	wait_landed(session);
	link_questions_refuse(link, session);
	weft_transport_free(session->client);
	weft_shield_end();
}

/* It has ended in order, but had no server: what it asked was answered with why. */
static weft_err unreached(struct relay_session *session)
{
	struct link *link = session->link;
	char why[LINK_TEXT_MAX];
	weft_err err = WEFT_OK;

	if (word_get(&link->was_reached))
		return WEFT_OK;
	rt_lock_acquire(&link->lock);
	memcpy(why, link->why, sizeof(why));
	err = link->why_err;
	rt_lock_release(&link->lock);
	return err ? err_setf(err, "%s", why) : WEFT_OK;
}

/* Why it was over; the caller's error then. A client that has gone is no failure, and neither is
 * what could not be sent to it any more. */
static weft_err verdict(struct relay_session *session)
{
	bool is_failed = word_get(&session->is_failed), is_ended = word_get(&session->is_ended);
	weft_err err = is_failed ? session->fail_err : WEFT_OK;

	if (session->is_cancelled)
		return err_set(WEFT_ECANCELED);
	if (is_ended && (err == WEFT_OK || err == WEFT_ECLOSED || err == WEFT_ERESET))
		return session->end_err == WEFT_ECLOSED
			? unreached(session)
			: err_setf(session->end_err, "%s", session->end_text);
	return err ? err_setf(err, "%s", session->fail_text) : WEFT_OK;
}

/* ---- sessions ---- */

static void serve_shared(struct relay_session *session)
{
	struct link *link = session->link;
	weft_deadline next;

	if (weft_mutex_lock(link->sessions_lock, WEFT_FOREVER)) {
		session->is_cancelled = true;
		return;
	}
	list_push_back(&link->sessions, &session->in_link);
	weft_mutex_unlock(link->sessions_lock);
	link_want(link, LINK_WANT_SERVER);
	session_start(session);
	for (;;) {
		session_queue_run(session);
		next = WEFT_FOREVER;
		if (session_is_due(session, &next))
			return;
		if (weft_park(next) == WEFT_ECANCELED)
			session->is_cancelled = true;
	}
}

/* Told with its first request, and closed. */
static void serve_refused(struct relay_session *session)
{
	struct link *link = session->link;
	weft_err err = err_setf(WEFT_ECAPACITY, "%zu sessions are there already",
		session->relay->options.sessions_max);
	weft_deadline until = weft_after_ns(session->relay->options.connect_timeout_ns);
	weft_deadline next;

	link_why_set(link, err, NULL);
	(void)word_swap(&link->is_dead, 1);
	bell_set(&link->bell, session->owner);
	session_start(session);
	do {
		next = until;
		if (session_is_due(session, &next))
			return;
		link_wait(link, next);
	} while (!word_get(&link->told) && weft_now() < until);
	session_fail(session, WEFT_ECAPACITY, link->why);
}

static weft_err serve(struct relay *relay, weft_transport *client, bool is_refused)
{
	struct relay_session *session = session_create(relay, client, is_refused);
	weft_err err;

	if (!session) {
		weft_transport_free(client);
		return err_set(WEFT_ENOMEM);
	}
	session_register(session);
	relay_tell(relay, session, WEFT_LOG_DEBUG, WEFT_OK, "a session with server \"%s\"",
		relay->name);
	if (is_refused) {
		serve_refused(session);
	} else if (session->link->only) {
		session_start(session);
		link_run(session->link);
	} else {
		serve_shared(session);
	}
	err = verdict(session);
	if (err)
		relay_tell(relay, session, WEFT_LOG_INFO, err, "over: %s", weft_error_detail());
	session_end(session);
	session_unregister(session);
	session_free(session);
	return err;
}

weft_err relay_serve(struct relay *relay, weft_transport *client)
{
	struct relay_counts *counts = relay->counts;
	enum counts_transport kind = counts_transport_of(weft_transport_kind(client));
	bool has_place = counter_try_add(&relay->sessions_now, 1, relay->options.sessions_max);
	bool is_told = has_place || counter_try_add(&relay->refused_now, 1, REFUSED_MAX);
	weft_err err = WEFT_OK;

	(void)counter_add(has_place ? &counts->sessions[kind] : &counts->sessions_refused[kind], 1);
	if (has_place)
		(void)counter_add(&counts->sessions_now[kind], 1);
	if (is_told)
		err = serve(relay, client, !has_place);
	else
		weft_transport_free(client);
	if (has_place) {
		(void)counter_sub(&counts->sessions_now[kind], 1);
		(void)counter_sub(&relay->sessions_now, 1);
	} else if (is_told) {
		(void)counter_sub(&relay->refused_now, 1);
	}
	if (!has_place)
		return err_setf(WEFT_ECAPACITY, "%zu sessions with server \"%s\" are there already",
			relay->options.sessions_max, relay->name);
	if (err && err != WEFT_ECANCELED)
		(void)counter_add(&counts->sessions_failed, 1);
	return err;
}
