/* SPDX-License-Identifier: MIT */
/*
 * A server's life: its word, the warden, the keepers.
 *
 * State and count of connections are one word, so that a connection enters by one step, which
 * fails once the server drains or is full, and nothing can slip in between.
 *
 *	stop: state = DRAINING; stopping is cancelled, by which listeners close; warden wakes
 *	warden: rings the keepers, which close what is idle; waits for the count to be 0, until the
 *		deadline; then CUT: keepers reset what is left, its fibers are cancelled
 *	last:	STOPPED; stopped is cancelled, by which weft_http_server_wait returns
 */
#include "base/err.h"
#include "http/server.h"

#include <weft/log.h>

#define RETRY_MIN_NS INT64_C(10000000) /* of a send that the keeper could not do at once */
#define RETRY_MAX_NS INT64_C(1000000000)

/* ---- the word ---- */

static uint32_t count_of(uint32_t word)
{
	return word & (HTTP_COUNT_MAX - 1);
}

static uint32_t state_bits(weft_http_server_state state)
{
	return (uint32_t)state << HTTP_STATE_SHIFT;
}

static weft_http_server_state state_of(uint32_t word)
{
	return (weft_http_server_state)(word >> HTTP_STATE_SHIFT & 3);
}

weft_http_server_state weft_http_server_state_get(const weft_http_server *server)
{
	return http_state(server);
}

/* From one state to another; false: it was not in that. */
static bool change_state(
	weft_http_server *server, weft_http_server_state from, weft_http_server_state to)
{
	uint32_t word;

	do {
		word = word_get(&server->word);
		if (state_of(word) != from)
			return false;
	} while (!word_change(&server->word, word, word - state_bits(from) + state_bits(to)));
	return true;
}

static weft_err was_stopped(const weft_http_server *server)
{
	return err_setf(WEFT_ECLOSED, "%s: the server was stopped", server->options.name);
}

weft_err http_enter(weft_http_server *server)
{
	uint32_t word, next;

	do {
		word = word_get(&server->word);
		next = word + 1;
		if (state_of(word) == WEFT_HTTP_SERVER_CREATED)
			next += state_bits(WEFT_HTTP_SERVER_RUNNING);
		else if (state_of(word) != WEFT_HTTP_SERVER_RUNNING)
			return was_stopped(server);
		if (count_of(word) >= server->options.connections_max)
			return err_set(WEFT_ECAPACITY);
	} while (!word_change(&server->word, word, next));
	return WEFT_OK;
}

void http_leave(weft_http_server *server)
{
	uint32_t word;

	do {
		word = word_get(&server->word);
	} while (!word_change(&server->word, word, word - 1));
	if (count_of(word) == 1 && state_of(word) != WEFT_HTTP_SERVER_RUNNING)
		bell_ring(&server->warden);
}

/* ---- keepers ---- */

/* Each once, though it ends meanwhile, as do others: what is done to it may wait. */
static void each_conn(struct http_shard *shard, void (*fn)(weft_http_exchange *x))
{
	struct list done;

	list_init(&done);
	for (struct list *it; (it = list_pop_front(&shard->conns)) != NULL;) {
		/* in a list all the time, so that its fiber, if it ends, takes it out */
		list_push_back(&done, it);
		fn(container_of(it, weft_http_exchange, link));
	}
	while (!list_is_empty(&done))
		list_push_back(&shard->conns, list_pop_front(&done));
}

/* Those that wait for their handlers' word are told as the handlers are. */
static void close_idle(weft_http_exchange *x)
{
	if (x->phase == HTTP_IDLE) {
		x->phase = HTTP_CLOSING;
		weft_conn_close(x->conn);
	} else if (x->gone) {
		weft_cancel_trigger(x->gone, WEFT_ECANCELED);
	}
}

static void reset(weft_http_exchange *x)
{
	if (x->phase != HTTP_HANDED_ON)
		weft_conn_abort(x->conn);
}

/* Replies that were gathered before a handler that now waits. False: some must be tried again. */
static bool send_gathered(struct http_shard *shard)
{
	struct list again;
	bool is_done = true;

	list_init(&again);
	for (struct list *it; (it = list_pop_front(&shard->flushes)) != NULL;) {
		weft_http_exchange *x = container_of(it, weft_http_exchange, flush_link);

		/* in a list all the time, so that its fiber, if it ends, takes it out */
		list_push_back(&again, it);
		if (http_out_try(x))
			list_remove(&x->flush_link);
		else
			is_done = false;
	}
	while (!list_is_empty(&again))
		list_push_back(&shard->flushes, list_pop_front(&again));
	return is_done;
}

static bool keeper_is_done(const struct http_shard *shard)
{
	weft_http_server_state state = http_state(shard->server);

	return state != WEFT_HTTP_SERVER_RUNNING && list_is_empty(&shard->conns);
}

/* Shielded: it ends when the connections have. */
static weft_err keeper(void *arg)
{
	struct http_shard *shard = arg;
	int64_t retry_ns = 0;
	bool is_closing = false, is_cutting = false;

	weft_shield_begin();
	bell_set(&shard->keeper, weft_parker_self());
	while (!keeper_is_done(shard)) {
		uint32_t word = word_get(&shard->server->word);

		if ((word & HTTP_CUT) && !is_cutting)
			each_conn(shard, reset);
		else if (state_of(word) != WEFT_HTTP_SERVER_RUNNING && !is_closing)
			each_conn(shard, close_idle);
		is_closing = state_of(word) != WEFT_HTTP_SERVER_RUNNING;
		is_cutting = word & HTTP_CUT;
		if (send_gathered(shard))
			retry_ns = 0;
		else
			retry_ns = retry_ns ? 2 * retry_ns : RETRY_MIN_NS;
		if (retry_ns > RETRY_MAX_NS)
			retry_ns = RETRY_MAX_NS;
		(void)rt_park(retry_ns ? weft_after_ns(retry_ns) : WEFT_FOREVER, "http keeper");
	}
	bell_clear(&shard->keeper);
	shard->keeper_lives = false;
	weft_shield_end();
	return WEFT_OK;
}

weft_err http_keeper_start(struct http_shard *shard)
{
	struct rt_spawn spawn = {
		.scope = shard->server->sessions,
		.worker = UINT32_MAX,
		.node = UINT32_MAX,
		.name = "http keeper",
		.fn = keeper,
		.arg = shard,
	};
	weft_err err;

	if (weft_likely(shard->keeper_lives))
		return WEFT_OK;
	shard->worker = rt_worker_here();
	err = rt_spawn(&spawn);
	shard->keeper_lives = !err;
	return err;
}

static void ring_keepers(weft_http_server *server)
{
	for (unsigned i = 0; i < server->shards_len; i++)
		bell_ring(&server->shards[i].keeper);
}

/* ---- the warden ---- */

static bool is_busy(weft_http_server *server)
{
	uint32_t word = word_get(&server->word);

	return count_of(word) || (word & HTTP_ACCEPTING);
}

/* Until there is no connection, and nobody accepts. */
static weft_err wait_empty(weft_http_server *server, weft_deadline until)
{
	weft_err err = WEFT_OK;

	bell_set(&server->warden, weft_parker_self());
	while (is_busy(server) && !err)
		err = rt_park(until, "http drain");
	if (!is_busy(server))
		err = WEFT_OK;
	bell_clear(&server->warden);
	return err;
}

/* Connections that enter the shard's list after its keeper's walk look at the word themselves. */
static void cut(weft_http_server *server)
{
	(void)word_set_bits(&server->word, HTTP_CUT);
	ring_keepers(server);
	weft_scope_cancel(server->sessions);
	weft_shield_begin();
	(void)wait_empty(server, WEFT_FOREVER);
	weft_shield_end();
}

static void begin_drain(weft_http_server *server)
{
	if (change_state(server, WEFT_HTTP_SERVER_CREATED, WEFT_HTTP_SERVER_STOPPED))
		return;
	(void)change_state(server, WEFT_HTTP_SERVER_RUNNING, WEFT_HTTP_SERVER_DRAINING);
}

static void fall(void *arg)
{
	weft_http_server_stop(arg);
}

weft_err http_tie_sessions(weft_http_server *server)
{
	return weft_cancel_watch_create(
		&server->sessions_tie, weft_scope_token(server->sessions), fall, server);
}

weft_err http_warden(void *arg)
{
	weft_http_server *server = arg;
	bool has_fallen;
	weft_err err;

	err = weft_cancel_wait(server->stopping, WEFT_FOREVER);
	has_fallen = weft_cancel_is_cancelled(weft_scope_token(server->sessions));
	begin_drain(server);
	/* the scope above was cancelled: nobody listens any more either */
	weft_cancel_trigger(server->stopping, WEFT_ECANCELED);
	ring_keepers(server);
	if (!err)
		err = wait_empty(server, weft_after_ns(server->options.stop_timeout_ns));
	if (err)
		cut(server);
	/* by now it would be here, too, if it came from above */
	if (has_fallen && !weft_cancel_is_cancelled(weft_fiber_token()))
		weft_log(WEFT_LOG_ERROR, "http",
			"%s: stopped: a fiber that a handler left behind has failed",
			server->options.name);
	(void)change_state(server, WEFT_HTTP_SERVER_DRAINING, WEFT_HTTP_SERVER_STOPPED);
	ring_keepers(server);
	weft_cancel_trigger(server->stopped, WEFT_ECANCELED);
	return WEFT_OK;
}

void weft_http_server_stop(weft_http_server *server)
{
	begin_drain(server);
	weft_cancel_trigger(server->stopping, WEFT_ECANCELED);
}

weft_err weft_http_server_wait(weft_http_server *server, weft_deadline until)
{
	return weft_cancel_wait(server->stopped, until);
}

void http_end(weft_http_server *server)
{
	weft_http_server_stop(server);
	weft_scope_cancel(server->own); /* the warden does not wait any longer */
	weft_shield_begin();
	while (weft_http_server_wait(server, WEFT_FOREVER) != WEFT_OK)
		(void)weft_yield();
	weft_shield_end();
}

/* ---- serving ---- */

static weft_err serve_session(weft_conn *conn, void *arg)
{
	weft_err err = http_conn_serve(arg, conn);

	/* the peer's affair, and in the access log; the listener would log each */
	return err == WEFT_ENOMEM ? err : WEFT_OK;
}

static void close_listener(void *arg)
{
	weft_listener_close(arg);
}

/* The listener closes when the server stops. */
static weft_err tie(weft_cancel_watch **tie, weft_http_server *server, weft_listener *listener)
{
	return weft_cancel_watch_create(tie, server->stopping, close_listener, listener);
}

/* Accepts until the listener, which is tied, closes. */
static weft_err serve(weft_http_server *server, weft_listener *listener)
{
	weft_err err = weft_listener_serve(
		listener, server->sessions, server->options.name, serve_session, server);

	if (err == WEFT_ECANCELED && weft_cancel_is_cancelled(server->stopping))
		err = WEFT_OK;
	return err;
}

static weft_err begin(weft_http_server *server)
{
	/* a start that fails may take it back: then the first connection does it again */
	(void)change_state(server, WEFT_HTTP_SERVER_CREATED, WEFT_HTTP_SERVER_RUNNING);
	if (http_state(server) == WEFT_HTTP_SERVER_RUNNING)
		return WEFT_OK;
	return was_stopped(server);
}

weft_err weft_http_server_serve(weft_http_server *server, weft_listener *listener)
{
	weft_cancel_watch *watch = NULL;
	weft_err err = begin(server);

	if (!err)
		err = tie(&watch, server, listener);
	if (!err)
		err = serve(server, listener);
	(void)weft_cancel_watch_free(watch);
	return err;
}

struct handed_in {
	weft_http_server *server;
	weft_conn *conn; /* NULL: taken */
};

static weft_err serve_handed_in(void *arg)
{
	struct handed_in *h = arg;
	weft_conn *conn = h->conn;

	h->conn = NULL;
	return http_conn_serve(h->server, conn);
}

/* In a fiber that is cut with those of the server's own connections: the caller is nobody that the
 * server may cancel. */
weft_err weft_http_serve_conn_own(weft_http_server *server, weft_conn *conn)
{
	struct handed_in h = { server, conn };
	weft_cancel *cut = weft_scope_token(server->sessions);
	weft_err err;

	if (weft_in_fiber() && weft_worker_self() < server->shards_len)
		err = weft_cancel_run(cut, serve_handed_in, &h, WEFT_FOREVER);
	else
		err = err_setf(
			WEFT_EINVAL, "%s: a connection is served in a fiber", server->options.name);
	if (!h.conn)
		return err;
	weft_conn_free(h.conn);
	return err == WEFT_ECANCELED && weft_cancel_is_cancelled(cut) ? was_stopped(server) : err;
}

struct start {
	weft_http_server *server;
	weft_listener *listener;
	bool is_mine; /* this call's init ran */
};

/* The listener is not touched after this. */
static void accepting_ends(weft_http_server *server)
{
	uint32_t word;

	(void)weft_cancel_watch_free(server->listener_tie);
	server->listener_tie = NULL;
	do {
		word = word_get(&server->word);
	} while (!word_change(&server->word, word, word - HTTP_ACCEPTING));
	bell_ring(&server->warden);
}

/* Of the sessions' scope: so nothing is made here that there might be no memory for. */
static weft_err start_fiber(void *arg)
{
	weft_http_server *server = arg;
	weft_err err = serve(server, server->listener);

	if (err)
		weft_log(WEFT_LOG_ERROR, "http", "%s: %s", server->options.name,
			weft_error_detail());
	accepting_ends(server);
	return WEFT_OK;
}

static weft_err start_once(void *arg, void **value)
{
	struct start *start = arg;
	weft_http_server *server = start->server;
	uint32_t running = state_bits(WEFT_HTTP_SERVER_RUNNING);
	weft_err err;

	start->is_mine = true;
	if (!word_change(
		    &server->word, state_bits(WEFT_HTTP_SERVER_CREATED), running | HTTP_ACCEPTING))
		return http_state(server) == WEFT_HTTP_SERVER_RUNNING
			? err_setf(WEFT_EDUPLICATE, "%s: the server runs already",
				  server->options.name)
			: was_stopped(server);
	server->listener = start->listener;
	err = tie(&server->listener_tie, server, server->listener);
	if (!err)
		err = weft_scope_spawn(server->sessions, server->options.name, start_fiber, server);
	if (err) {
		accepting_ends(server);
		/* unless connections were served meanwhile */
		(void)word_change(&server->word, running, state_bits(WEFT_HTTP_SERVER_CREATED));
		return err;
	}
	*value = server;
	return WEFT_OK;
}

weft_err weft_http_server_start(weft_http_server *server, weft_listener *listener)
{
	struct start start = { server, listener, false };
	void *value;
	weft_err err;

	err = weft_once_make(server->started, &value, start_once, &start, WEFT_FOREVER);
	if (err || start.is_mine)
		return err;
	return err_setf(WEFT_EDUPLICATE, "%s: the server runs already", server->options.name);
}
