/* SPDX-License-Identifier: MIT */
#include "mux/session.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"

#include <weft/runtime.h>
#include <weft/sim.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- death ---- */

weft_err mux_death(const weft_mux *m)
{
	/* what it says is fixed before the streams are told */
	if (!(word_get(&m->state) & MUX_DEAD))
		return err_set(WEFT_ECLOSED);
	return err_setf(m->death, "mux session with %s: %s", m->peer_name, m->death_text);
}

static void kill_stream(struct weft_stream *s)
{
	(void)word_set_bits(&s->state, STREAM_DEAD);
	stream_kick(s);
}

void mux_die(weft_mux *m, weft_err err, const char *text)
{
	struct push_node *node;

	if (word_get(&m->state) & MUX_DEAD)
		return;
	m->death = err;
	snprintf(m->death_text, sizeof(m->death_text), "%s", text);
	(void)word_set_bits(&m->state, MUX_DEAD);
	weft_chan_close(m->backlog);
	poll_look(m);
	m->last = NULL;
	for (size_t i = 0; i < m->table.cap; i++) {
		while (m->table.heads[i]) {
			struct weft_stream *s = m->table.heads[i];

			kill_stream(s);
			table_remove(&m->table, s);
		}
	}
	table_fini(&m->table);
	for (node = pushlist_close(&m->inbox); node;) {
		struct weft_stream *s = container_of(node, struct weft_stream, inbox);

		node = node->next;
		kill_stream(s);
		stream_unref(s);
	}
}

/* ---- life ---- */

static void drop_backlog(weft_mux *m)
{
	struct weft_stream *s;

	while (m->backlog && !weft_chan_try_recv(m->backlog, &s))
		weft_stream_free(s);
}

static void destroy(weft_mux *m)
{
	weft_conn_free(m->conn);
	weft_chan_unref(m->backlog);
	weft_chan_unref(m->drained);
	weft_chan_unref(m->over);
	table_fini(&m->table);
	account_unref(m->account);
	poll_free(slot_take(&m->poll));
	mem_free(slot_take(&m->spill));
	mem_free(m->local_name);
	mem_free(m->peer_name);
	mem_free(m);
}

void mux_unref(weft_mux *m)
{
	if (refcount_drop(&m->refs))
		destroy(m);
}

/* So that a stream's small writes make a frame at once, at most. */
static size_t chunk_max(const weft_mux_options *o)
{
	size_t size = TX_CHUNK_MIN;

	while (size < TX_CHUNK_MAX && size * 2 <= o->max_frame_size + sizeof(struct tx_chunk))
		size *= 2;
	return size;
}

static weft_mux *mux_alloc(weft_conn *conn, weft_mux_role role, const weft_mux_options *o)
{
	weft_mux *m = mem_calloc(1, sizeof(*m));

	if (!m) {
		weft_conn_free(conn);
		return NULL;
	}
	refcount_init(&m->refs, 1);
	m->conn = conn;
	m->options = *o;
	tx_init(&m->tx);
	m->chunk_max = chunk_max(o);
	m->touched = m->touched_few;
	counter_set(&m->touched_cap, TOUCHED_MIN);
	m->rtt.least = m->rtt.lately = INT64_MAX;
	word_put(&m->idle_used, o->idle_timeout_ns > 0);
	m->table.factor = weft_in_sim() ? UINT64_C(0x9e3779b97f4a7c15) : random_entropy() | 1;
	counter_set(&m->ids, role == WEFT_MUX_CLIENT ? 1 : 0);
	smux_decoder_init(&m->decoder, o->version);
	m->local_name = mem_strdup(weft_conn_local_name(conn));
	m->peer_name = mem_strdup(weft_conn_peer_name(conn));
	m->account = account_create(o->max_receive_buffer, o->max_memory);
	if (!m->local_name || !m->peer_name || !m->account ||
		weft_chan_create(
			&m->backlog, sizeof(struct weft_stream *), WEFT_CHAN_UNBOUNDED, NULL) ||
		weft_chan_create(&m->drained, 1, 1, NULL) ||
		weft_chan_create(&m->over, 1, 1, NULL)) {
		mux_unref(m);
		return NULL;
	}
	return m;
}

static weft_err start_fiber(weft_mux *m, const char *name, weft_fiber_fn fn)
{
	struct rt_spawn spawn = {
		.worker = m->worker_index,
		.node = UINT_MAX,
		.name = name,
		.fn = fn,
		.arg = m,
	};
	weft_err err;

	refcount_hold(&m->refs);
	err = rt_spawn_root(&spawn);
	if (err)
		mux_unref(m);
	return err;
}

static weft_err start(weft_mux *m)
{
	weft_err err;

	m->worker_index = weft_worker_self();
	if (m->worker_index == UINT_MAX)
		m->worker_index = weft_worker_least_loaded();
	m->worker = rt_worker_at(m->worker_index);
	if (!m->worker)
		return err_setf(WEFT_EINVAL, "no runtime is running");
	err = start_fiber(m, "mux sender", mux_sender);
	if (err)
		return err;
	err = start_fiber(m, "mux reader", mux_reader);
	if (err) {
		/* the sender's fiber ends by itself then */
		mux_die(m, err, weft_error_detail());
		(void)word_set_bits(&m->state, MUX_READER_GONE);
		bell_ring(&m->sender);
	}
	return err;
}

weft_err weft_mux_create_own(
	weft_mux **out, weft_conn *conn, weft_mux_role role, const weft_mux_options *given)
{
	weft_mux_options o;
	weft_mux *m;
	weft_err err = mux_options_settle(&o, given);

	if (err) {
		weft_conn_free(conn);
		return err;
	}
	m = mux_alloc(conn, role, &o);
	if (!m)
		return err_setf(WEFT_ENOMEM, "open mux session: out of memory");
	err = start(m);
	if (err) {
		mux_unref(m);
		return err_wrap(err, "open mux session");
	}
	*out = m;
	return WEFT_OK;
}

/* Until close: what is queued then may still take linger_ns. */
static weft_err linger(void *arg)
{
	weft_mux *m = arg;
	char none;

	/* closed elsewhere: calls under way end now, not once the connection takes what is left */
	mux_die(m, WEFT_ECLOSED, "the session was closed");
	weft_shield_begin(); /* also when the runtime ends: it is not for ever */
	if (weft_chan_recv(m->over, &none, weft_after_ns(m->options.linger_ns)) != WEFT_ECLOSED)
		weft_conn_abort(m->conn);
	weft_shield_end();
	mux_unref(m);
	return WEFT_OK;
}

void weft_mux_close(weft_mux *m)
{
	if (word_set_bits(&m->state, MUX_CLOSING) & MUX_CLOSING)
		return;
	weft_chan_close(m->backlog);
	poll_look(m);
	if (mux_is_here(m))
		mux_die(m, WEFT_ECLOSED, "the session was closed");
	bell_ring(&m->account->stalled);
	tx_want_self(m, WANT_LOOK);
	if (m->options.linger_ns == 0 || start_fiber(m, "mux linger", linger))
		weft_conn_abort(m->conn);
}

void weft_mux_abort(weft_mux *m)
{
	(void)word_set_bits(&m->state, MUX_CLOSING);
	weft_chan_close(m->backlog);
	poll_look(m);
	/* before streams are told: a FIN of theirs must not get out, and look like an end */
	weft_conn_abort(m->conn);
	if (mux_is_here(m))
		mux_die(m, WEFT_ECLOSED, "the session was closed");
	bell_ring(&m->account->stalled);
}

void weft_mux_free(weft_mux *m)
{
	if (!m)
		return;
	if (mux_poll(m))
		poll_remove(mux_poll(m));
	weft_mux_close(m);
	drop_backlog(m);
	mux_unref(m);
}

/* ---- streams ---- */

/*
 * Who begins to drain changes the state, and then goes through here as a stream would: whoever
 * brings the number to 0 after that sees the state, since each leaving sees what those before did.
 */
bool mux_enter(weft_mux *m)
{
	if (!counter_try_enter(&m->alive, m->options.max_streams))
		return false;
	if (weft_likely(!(word_get(&m->state) & MUX_DRAINING)))
		return true;
	mux_leave(m);
	return false;
}

void mux_leave(weft_mux *m)
{
	if (counter_leave(&m->alive) == 0 && (word_get(&m->state) & MUX_DRAINING)) {
		weft_chan_close(m->drained);
		poll_look(m);
	}
}

weft_err weft_mux_drain(weft_mux *m, weft_deadline until)
{
	weft_err err;
	char none;

	if (!(word_set_bits(&m->state, MUX_DRAINING) & MUX_DRAINING)) {
		weft_chan_close(m->backlog);
		poll_look(m);
		(void)counter_try_enter(&m->alive, UINT64_MAX);
		mux_leave(m);
	}
	err = weft_chan_recv(m->drained, &none, until);
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

static weft_err check_open(const weft_mux *m)
{
	uint32_t state = word_get(&m->state);

	if (weft_likely(state == 0))
		return WEFT_OK;
	return state & MUX_DEAD ? mux_death(m) : err_set(WEFT_ECLOSED);
}

weft_err weft_mux_open(weft_mux *m, weft_stream **out, weft_deadline until)
{
	struct weft_stream *s;
	uint64_t id;
	weft_err err = check_open(m);

	(void)until;
	if (err)
		return err;
	if (!mux_enter(m)) {
		err = check_open(m);
		return err
			? err
			: err_setf(WEFT_ECAPACITY, "open stream to %s: all of the %zu are in use",
				  m->peer_name, m->options.max_streams);
	}
	id = counter_add(&m->ids, 2) + 2;
	if (id > UINT32_MAX) {
		(void)counter_sub(&m->ids, 2); /* stays at the end */
		mux_leave(m);
		return err_setf(
			WEFT_ECAPACITY, "open stream to %s: stream ids have run out", m->peer_name);
	}
	s = stream_create(m, (uint32_t)id);
	if (!s) {
		mux_leave(m);
		return err_setf(WEFT_ENOMEM, "open stream to %s: out of memory", m->peer_name);
	}
	/* known before the SYN goes: what answers it finds the stream */
	stream_tell_worker(s);
	(void)counter_add(&m->counters.opened, 1);
	tx_want(s, WANT_SYN);
	*out = s;
	return WEFT_OK;
}

weft_err weft_mux_accept(weft_mux *m, weft_stream **out, weft_deadline until)
{
	weft_err err = weft_chan_recv(m->backlog, out, until);

	while (err == WEFT_ETIMEDOUT && !poll_arm(m))
		err = weft_chan_recv(m->backlog, out, WEFT_NOW);
	if (err != WEFT_ECLOSED)
		return err;
	return mux_death(m);
}

weft_err weft_mux_wait(weft_mux *m, weft_deadline until)
{
	char none;
	weft_err err = weft_chan_recv(m->over, &none, until);

	if (err != WEFT_ECLOSED)
		return err;
	if (m->death == WEFT_ECLOSED && m->send_err)
		return err_setf(WEFT_ERESET, "mux session with %s: closed before all was sent: %s",
			m->peer_name, m->send_text);
	return mux_death(m);
}

bool weft_mux_is_alive(const weft_mux *m)
{
	return word_get(&m->state) == 0 && counter_get(&m->ids) + 2 <= UINT32_MAX;
}
