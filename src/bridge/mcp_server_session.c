/* SPDX-License-Identifier: MIT */
/*
 * Sessions: from their beginning until they are out of the tables. What is left of their end is the
 * keeper's.
 *
 * Everybody who delivers a message to the transport is inside the session's gate meanwhile. To end
 * a session is to close the gate, and the transport, so that they come out; when they have, the
 * keeper tells the transport's owner.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/random.h"
#include "bridge/mcp_server.h"

#include <weft/sim.h>

#include <stdio.h>
#include <string.h>

static const weft_transport_ops *transport_ops(enum mcps_kind kind);

/* ---- limits ---- */

/* The entry of an address, one more or one less. */
struct address_step {
	uint64_t max; /* 0: one less */
	bool is_refused;
};

static weft_map_verdict address_step(void *arg, bool found, uint64_t *value)
{
	struct address_step *step = arg;
	uint64_t n = found ? *value : 0;

	step->is_refused = step->max && n >= step->max;
	if (step->is_refused)
		return WEFT_MAP_KEEP;
	*value = step->max ? n + 1 : n - 1;
	return *value ? WEFT_MAP_STORE : WEFT_MAP_REMOVE;
}

/* "tcp://127.0.0.1:51514" without the port, which differs from connection to connection. */
static char *address_of(const char *peer)
{
	const char *colon = strrchr(peer, ':');
	bool has_port = colon && strncmp(peer, "tcp://", 6) == 0 && colon > peer + 6;

	return mem_strndup(peer, has_port ? (size_t)(colon - peer) : strlen(peer));
}

static weft_err take_address(struct mcps_session *s, const char *peer)
{
	weft_mcp_server *server = s->server;
	struct address_step step = { server->options.sessions_client_max, false };
	weft_err err;

	s->address = address_of(peer);
	if (!s->address)
		return err_setf(WEFT_ENOMEM, "session: out of memory");
	err = weft_map_compute(server->addresses, weft_map_text(s->address), address_step, &step);
	if (!err && step.is_refused)
		err = err_setf(WEFT_EAGAIN, "%s has %zu sessions, and may not have more",
			s->address, server->options.sessions_client_max);
	if (err) {
		mem_free(s->address);
		s->address = NULL;
	}
	return err;
}

static void give_address(struct mcps_session *s)
{
	struct address_step step = { 0, false };

	/* one less never needs memory */
	if (weft_map_compute(s->server->addresses, weft_map_text(s->address), address_step, &step))
		CHECK(false);
	mem_free(s->address);
	s->address = NULL;
}

/* What a session counts for its client. */
static weft_err take_client(struct mcps_session *s, const char *peer)
{
	weft_mcp_server *server = s->server;
	size_t max = server->options.sessions_client_max;

	if (s->kind == MCPS_STATELESS)
		max = SIZE_MAX;
	else if (server->addresses)
		return take_address(s, peer);
	if (!counter_try_add(&s->principal->sessions, 1, max))
		return err_setf(WEFT_EAGAIN, "%s has %zu sessions, and may not have more",
			*s->principal->name ? s->principal->name : "the token's owner", max);
	s->is_counted = true;
	return WEFT_OK;
}

static void give_client(struct mcps_session *s)
{
	if (s->address)
		give_address(s);
	if (s->is_counted)
		(void)counter_sub(&s->principal->sessions, 1);
	s->is_counted = false;
}

/* ---- memory ---- */

static void session_free(struct mcps_session *s)
{
	if (s->lock)
		mcps_events_drop(s);
	weft_map_free(s->pending);
	mcp_tools_free(s->tools);
	weft_mutex_free(s->lock);
	mcps_principal_unref(s->principal);
	mcps_server_unref(s->server);
	mem_free(s);
}

struct mcps_session *mcps_session_ref(struct mcps_session *session)
{
	refcount_hold(&session->refs);
	return session;
}

void mcps_session_unref(struct mcps_session *session)
{
	if (session && refcount_drop(&session->refs))
		session_free(session);
}

/* Random, and never told to anybody but the client. Simulated runs repeat. */
static bool make_id(char out[MCPS_ID_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[MCPS_ID_BYTES];

	if (weft_in_sim()) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)weft_sim_random_below(256);
	} else if (!random_secret(bytes, sizeof(bytes))) {
		return false;
	}
	for (size_t i = 0; i < sizeof(bytes); i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[MCPS_ID_LEN] = '\0';
	return true;
}

static weft_err session_alloc(struct mcps_session **out, weft_mcp_server *server,
	struct mcps_principal *principal, enum mcps_kind kind)
{
	weft_map_options options = WEFT_MAP_OPTIONS_DEFAULT;
	struct mcps_session *s = mem_calloc(1, sizeof(*s));
	weft_err err;

	if (!s) {
		(void)err_setf(WEFT_ENOMEM, "session: out of memory");
		return WEFT_ENOMEM;
	}
	refcount_init(&s->refs, 1);
	refcount_hold(&server->refs);
	s->server = server;
	s->principal = mcps_principal_ref(principal);
	s->kind = kind;
	s->epoch = word_get(&server->epoch);
	s->worker = weft_worker_self();
	s->born_at = weft_now();
	heap_node_init(&s->check);
	for (size_t rank = 0; rank < MCPS_RANKS; rank++)
		list_init(&s->events[rank]);
	list_init(&s->refused);
	list_init(&s->streams);
	list_init(&s->room);
	mcps_session_touch(s);
	options.keys = WEFT_MAP_BYTES;
	options.value_ref = mcps_stream_ref;
	options.value_unref = mcps_stream_unref;
	options.shards = 1;
	err = weft_mutex_create(&s->lock);
	if (!err)
		err = weft_map_create(&s->pending, &options);
	if (!err && kind == MCPS_STATELESS)
		err = mcp_tools_create(&s->tools);
	if (!err && kind != MCPS_STATELESS && !make_id(s->id))
		err = err_setf(WEFT_EIO, "session: the system has no random numbers");
	if (err)
		mcps_session_unref(s);
	else
		*out = s;
	return err;
}

/* ---- the beginning ---- */

static weft_err transport_make(struct mcps_session *s, const char *peer)
{
	char name[256];
	const char *who = s->principal->name;

	if (strncmp(peer, "tcp://", 6) == 0)
		peer += 6;
	snprintf(name, sizeof(name), "http://%s%s%.*s%s", peer, *who ? " (" : "",
		(int)MCPS_TOKEN_NAME_MAX, who, *who ? ")" : "");
	return weft_transport_create(
		&s->transport, transport_ops(s->kind), s, name, mcps_transport_options(s->server));
}

static bool is_session(void *arg, uint64_t value)
{
	return weft_map_pointer(value) == arg;
}

void mcps_stateless_forget(struct mcps_session *session)
{
	(void)weft_map_remove_if(session->server->stateless, mcps_stateless_key(session->principal),
		is_session, session);
}

/* Out of the tables, and of the counts. */
static void leave_tables(struct mcps_session *s)
{
	if (s->kind != MCPS_STATELESS)
		(void)weft_map_remove(s->server->sessions, weft_map_text(s->id), NULL);
	else
		mcps_stateless_forget(s);
	give_client(s);
	(void)counter_sub(&s->server->stats.sessions_now, 1);
}

static weft_err enter_tables(struct mcps_session *s, const char *peer)
{
	weft_mcp_server *server = s->server;
	weft_err err;

	if (!counter_try_add(&server->stats.sessions_now, 1, server->options.sessions_max))
		return err_setf(WEFT_ECAPACITY, "there are %zu sessions, and may not be more",
			server->options.sessions_max);
	err = take_client(s, peer);
	if (err) {
		(void)counter_sub(&server->stats.sessions_now, 1);
		return err;
	}
	if (s->kind != MCPS_STATELESS)
		err = weft_map_insert(server->sessions, weft_map_text(s->id), weft_map_word(s));
	if (!err)
		err = transport_make(s, peer);
	if (err)
		leave_tables(s);
	return err;
}

/* From now on it ends by mcps_session_end alone. */
static void begin(struct mcps_session *s)
{
	weft_mcp_server *server = s->server;

	(void)counter_add(&server->stats.sessions, 1);
	(void)mcps_session_ref(s); /* the transport's */
	(void)mcps_session_ref(s); /* the keeper's */
	(void)pushlist_push(&server->born, &s->born_node);
	bell_ring(&server->keeper);
	/* a reload, or a stop, may have looked for its sessions before it was there */
	if (word_get(&s->principal->gone))
		mcps_session_end(s, MCPS_END_TOKEN);
	if (word_get(&server->stopping))
		mcps_session_end(s, MCPS_END_SERVER);
}

/* To who accepts. */
static weft_err offer(struct mcps_session *s)
{
	weft_mcp_server *server = s->server;
	int64_t patience_ns = mcps_transport_options(server)->connect_timeout_ns;
	weft_transport *transport = s->transport;
	weft_err err;

	err = weft_chan_send(server->accepting, &transport, weft_after_ns(patience_ns));
	if (err == WEFT_ETIMEDOUT)
		err = err_setf(err, "nobody took the session within %lld ms",
			(long long)(patience_ns / 1000000));
	if (err)
		weft_transport_free(transport);
	return err;
}

weft_err mcps_session_make(struct mcps_session **out, weft_mcp_server *server,
	struct mcps_principal *principal, enum mcps_kind kind, const char *peer)
{
	struct mcps_session *s = NULL;
	weft_err err;

	if (word_get(&server->stopping) || weft_chan_is_closed(server->accepting))
		return err_setf(WEFT_ECLOSED, "no session begins any more");
	if (word_get(&server->is_shut))
		return err_setf(WEFT_ENOTFOUND, "this server is there no more");
	err = session_alloc(&s, server, principal, kind);
	if (err)
		return err;
	err = enter_tables(s, peer);
	if (!err) {
		begin(s);
		err = offer(s);
	}
	if (err == WEFT_ECAPACITY || err == WEFT_EAGAIN)
		(void)counter_add(&server->stats.sessions_refused, 1);
	if (err)
		mcps_session_unref(s);
	else
		*out = s;
	return err;
}

struct mcps_session *mcps_session_find(weft_mcp_server *server, const char *id)
{
	uint64_t value;

	if (strlen(id) != MCPS_ID_LEN || !weft_map_get(server->sessions, weft_map_text(id), &value))
		return NULL;
	return weft_map_pointer(value);
}

/* ---- use ---- */

void mcps_session_touch(struct mcps_session *session)
{
	counter_set(&session->touched, (uint64_t)weft_now());
}

/* Out of the gate; who is the last of an ended one leaves the rest to the keeper. */
static void leave(struct mcps_session *s)
{
	weft_mcp_server *server;

	if (weft_likely(gate_leave(&s->gate, GATE_VISIT) != GATE_LAST))
		return;
	server = s->server;
	(void)pushlist_push(&server->finishing, &s->finish_node);
	bell_ring(&server->keeper);
}

bool mcps_session_deliver(struct mcps_session *session, weft_message *message)
{
	if (!gate_visit(&session->gate)) {
		weft_message_fini(message);
		return false;
	}
	weft_transport_deliver_own(session->transport, message);
	leave(session);
	return !mcps_session_has_ended(session);
}

/* ---- the end ---- */

void mcps_session_end(struct mcps_session *session, enum mcps_end why)
{
	weft_mcp_server *server = session->server;

	if (!gate_close(&session->gate, false))
		return;
	(void)word_swap(&session->end, 1 + (uint32_t)why);
	weft_transport_close(session->transport); /* deliveries under way return */
	leave_tables(session);
	if (why == MCPS_END_IDLE || why == MCPS_END_OLD)
		(void)counter_add(&server->stats.sessions_expired, 1);
	(void)pushlist_push(&server->ending, &session->end_node);
	bell_ring(&server->keeper);
	leave(session);
}

const char *mcps_end_text(const struct mcps_session *session)
{
	uint32_t end = word_get(&session->end);

	switch ((enum mcps_end)(end ? end - 1 : 0)) {
	case MCPS_END_DELETED:
		return "the client has ended the session";
	case MCPS_END_IDLE:
		return "the session was idle for too long";
	case MCPS_END_OLD:
		return "the session's time is over";
	case MCPS_END_TOKEN:
		return "the session's token is not valid any more";
	case MCPS_END_UNTAKEN:
		return "nobody took the session";
	case MCPS_END_REFUSED:
		return "the session was not initialized";
	case MCPS_END_GONE:
		return "the client has closed the session's stream";
	case MCPS_END_SERVER:
		return "the server is stopped";
	case MCPS_END_CLOSED:
	default:
		return "the server has ended the session";
	}
}

/* ---- the transport's functions ---- */

static weft_err transport_start(void *user, weft_transport *transport)
{
	struct mcps_session *s = user;

	(void)transport;
	(void)word_swap(&s->started, 1);
	return WEFT_OK;
}

static void transport_close(void *user)
{
	mcps_session_end(user, MCPS_END_CLOSED);
}

/* After close, which no longer is under way, nor is any other call. */
static void transport_free(void *user)
{
	struct mcps_session *s = user;

	bell_set(&s->freeing, weft_parker_self());
	while (!word_get(&s->finished))
		if (weft_park(WEFT_FOREVER)) /* shielded: it has no reason to fail */
			(void)weft_yield();
	bell_clear(&s->freeing);
	mcps_session_unref(s);
}

static unsigned transport_worker(void *user)
{
	const struct mcps_session *s = user;

	return s->worker;
}

static const weft_transport_ops ops[] = {
	[MCPS_SESSIONS] = { "http", transport_start, mcps_send_own, transport_close, transport_free,
		transport_worker },
	[MCPS_SSE] = { "sse", transport_start, mcps_send_own, transport_close, transport_free,
		transport_worker },
	[MCPS_STATELESS] = { "http", transport_start, mcps_send_own, transport_close,
		transport_free, NULL },
};

static const weft_transport_ops *transport_ops(enum mcps_kind kind)
{
	return &ops[kind];
}
