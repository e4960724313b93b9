/* SPDX-License-Identifier: MIT */
/* See session.h. */
#include "bridge/session.h"

#include "base/err.h"
#include "base/mem.h"
#include "bridge/endpoint_tls.h"
#include "bridge/flow.h"

#include <weft/park.h>
#include <weft/process.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX (ERR_TEXT_MAX + 64) /* an event's line */
#define PEER_MAX 128
#define TAIL_MAX ((size_t)1 << 20) /* the most that a pipe may hold for us */

struct session {
	struct weft_bridge *bridge;
	uint64_t number;
	char peer[PEER_MAX];   /* FROM's end, cut */
	weft_conn *from;       /* owned; freed before the child is stopped */
	weft_conn *to;	       /* owned, or the process's */
	weft_process *process; /* owned; NULL unless TO is a child */
	weft_scope *scope;     /* of the two other fibers */
	weft_parker *waiter;   /* the child's fiber, once the child has ended */
	struct pace pace;
	struct flow up, down;
	unsigned flows_left; /* running */
	bool is_over;	     /* both conns are closed, or about to be */
	bool is_reset;	     /* is_over: by a reset */
	bool is_cut;
	bool holds_child; /* counted in children_now */
	bool child_ended; /* by itself; child is valid */
	weft_process_status child;
	weft_err err;	      /* why it ended, when not in order */
	weft_log_level level; /* of err */
	char *detail;	      /* of err; owned; may be NULL */
};

/* ---- telling ---- */

static void tell(const struct session *s, weft_log_level level, weft_err err, const char *format,
	...) WEFT_PRINTF(4, 5);

static void tell(
	const struct session *s, weft_log_level level, weft_err err, const char *format, ...)
{
	char text[TEXT_MAX];
	weft_bridge_event event = {
		.level = level,
		.session = s->number,
		.peer = s->peer,
		.err = err,
		.text = text,
		.bytes_in = s->up.bytes,
		.bytes_out = s->down.bytes,
	};
	va_list args;

	if (!s->bridge->options.on_event && !weft_log_enabled(level))
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	bridge_event(s->bridge, &event);
}

/* The first failure is the session's. */
static void failed(struct session *s, weft_log_level level, weft_err err, const char *detail)
{
	if (s->err)
		return;
	s->err = err;
	s->level = level;
	s->detail = mem_strdup(detail);
}

/* ---- ending ---- */

/* Makes both flows end, if they have not. */
static void end(struct session *s, bool is_reset)
{
	if (s->is_over)
		return;
	s->is_over = true;
	s->is_reset = is_reset;
	if (is_reset) {
		weft_conn_abort(s->from);
		weft_conn_abort(s->to);
	} else {
		weft_conn_close(s->from);
		weft_conn_close(s->to);
	}
}

/* A client that goes away is everyday life; a server that does is worth a line. */
static weft_log_level level_of(const struct session *s, const struct flow *f)
{
	bool is_from = (f == &s->up) == (f->end == FLOW_READ_FAILED);

	return is_from || f->is_idle ? WEFT_LOG_INFO : WEFT_LOG_WARN;
}

static void write_failed(struct session *s, struct flow *f, const struct flow *other)
{
	const struct endpoint *side = f == &s->up ? &s->bridge->to : &s->bridge->from;

	failed(s, level_of(s, f), f->err, weft_error_detail());
	/* The reading half of stdio: may never end by itself. */
	if (side->kind == ENDPOINT_STDIO || f->err == WEFT_ETIMEDOUT || f->err == WEFT_ECANCELED)
		end(s, !f->is_idle);
	else if (other->end != FLOW_RUNNING)
		end(s, other->end != FLOW_EOF);
}

static void stream_ended(struct session *s, struct flow *f, const struct flow *other)
{
	weft_err err = weft_conn_shutdown(f->dst);

	if (f == &s->up && other->is_throwaway)
		failed(s, WEFT_LOG_INFO, other->err, weft_strerror(other->err));
	/* A reset of dst is its reader's to find. */
	if (other->end == FLOW_WRITE_FAILED || err == WEFT_ENOSYS || s->err)
		end(s, false);
}

/* In the flow's own fiber, after its end. */
static void flow_ended(struct session *s, struct flow *f)
{
	const struct flow *other = f == &s->up ? &s->down : &s->up;

	/* the mux session under it may have been closed, which looks like an end */
	if (f->err == WEFT_ECANCELED || bridge_is_cutting(s->bridge))
		s->is_cut = true;
	if (s->is_cut)
		end(s, true);
	if (f == &s->up)
		s->down.may_throw_away = false;
	if (!s->is_over && f->end == FLOW_EOF) {
		stream_ended(s, f, other);
	} else if (!s->is_over && f->end == FLOW_WRITE_FAILED) {
		write_failed(s, f, other);
	} else if (!s->is_over) {
		failed(s, level_of(s, f), f->err, weft_error_detail());
		end(s, !f->is_idle);
	}
	if (s->waiter)
		weft_unpark(s->waiter);
	if (--s->flows_left == 0)
		weft_scope_cancel(s->scope);
}

static weft_err down_fiber(void *arg)
{
	struct session *s = arg;

	flow_run(&s->down);
	flow_ended(s, &s->down);
	return WEFT_OK;
}

/* ---- the child ---- */

static void child_is_gone(struct session *s)
{
	if (s->holds_child)
		(void)counter_sub(&s->bridge->counters.children_now, 1);
	s->holds_child = false;
}

/* Until the flow has ended: true; or that time has come. */
static bool wait_flow(const struct flow *f, weft_deadline until)
{
	while (f->end == FLOW_RUNNING) {
		if (weft_park(until))
			return f->end != FLOW_RUNNING;
	}
	return true;
}

/*
 * The child has ended. What it wrote is carried to its end; a grandchild that holds the
 * pipe open gets the grace. Then the peer, which has seen the end of the stream, gets it
 * to close its own side: closing while it still sends would reset away what it has not
 * read. Not with stdio:, which knows no resets, and where a person may be at the other end.
 */
static void child_ended(struct session *s)
{
	int64_t grace_ns = s->bridge->options.child_grace_ns;

	s->waiter = weft_parker_self();
	if (!wait_flow(&s->down, weft_after_ns(grace_ns))) {
		if (weft_cancel_is_cancelled(weft_fiber_token()))
			return; /* the flows are cut, by a reset */
		if (s->down.is_reading)
			end(s, false);
		s->down.tail_max = TAIL_MAX;
		if (!wait_flow(&s->down, WEFT_FOREVER))
			return;
	}
	if (s->bridge->from.kind != ENDPOINT_STDIO)
		(void)wait_flow(&s->up, weft_after_ns(grace_ns));
	end(s, false);
}

static weft_err child_fiber(void *arg)
{
	struct session *s = arg;

	if (weft_process_wait(s->process, &s->child, WEFT_FOREVER))
		return WEFT_OK;
	s->child_ended = true;
	child_is_gone(s);
	child_ended(s);
	return WEFT_OK;
}

/* After the flows. A child that goes by itself within the grace has its status heard. */
static void child_stop(struct session *s)
{
	weft_process_status stopped;

	if (!s->child_ended && !s->is_over && !s->is_cut)
		s->child_ended = !weft_process_wait(
			s->process, &s->child, weft_after_ns(s->bridge->options.child_grace_ns));
	if (!s->child_ended) {
		weft_process_stop(s->process, &stopped);
		tell(s, WEFT_LOG_DEBUG, WEFT_OK, "child %d was stopped",
			weft_process_pid(s->process));
	}
	child_is_gone(s);
	weft_process_free(s->process);
}

static void child_judge(struct session *s)
{
	const char *name = s->bridge->to.words.argv[0];
	char text[TEXT_MAX];

	if (!s->child_ended || (s->child.exited && s->child.code == 0))
		return;
	if (s->child.exited)
		(void)snprintf(
			text, sizeof(text), "%s: exited with status %d", name, s->child.code);
	else
		(void)snprintf(text, sizeof(text), "%s: killed by signal %d", name,
			s->child.signal_number);
	failed(s, WEFT_LOG_WARN, WEFT_ECHILD, text);
}

static weft_err child_spawn(struct session *s)
{
	struct weft_bridge *b = s->bridge;
	weft_process_options options = WEFT_PROCESS_OPTIONS_DEFAULT;
	weft_err err;

	if (!counter_try_add(&b->counters.children_now, 1, b->options.children_max))
		return err_setf(WEFT_ECAPACITY, "%s: all of the %zu children are in use",
			weft_err_name(WEFT_ECAPACITY), b->options.children_max);
	s->holds_child = true;
	(void)counter_add(&b->counters.children, 1);
	options.argv = (const char *const *)b->to.words.argv;
	options.env = (const char *const *)b->env.argv;
	options.pass_env = (const char *const *)b->pass_env.argv;
	options.stop_grace_ns = b->options.child_grace_ns;
	err = weft_process_spawn(&s->process, &options);
	if (!err)
		s->to = weft_process_conn(s->process);
	return err;
}

/* ---- a session's life ---- */

static weft_err open_to(struct session *s)
{
	struct weft_bridge *b = s->bridge;
	weft_deadline until;

	switch (b->to.kind) {
	case ENDPOINT_STDIO:
		return weft_conn_stdio(&s->to);
	case ENDPOINT_EXEC:
		return child_spawn(s);
	case ENDPOINT_HTTP: /* carries messages: not here */
	case ENDPOINT_TCP:
	case ENDPOINT_UNIX:
		break;
	}
	until = weft_after_ns(b->options.connect_timeout_ns);
	return endpoint_is_mux(&b->to) ? mux_pool_open(&b->to_pool, &s->to, until)
				       : endpoint_dial(&s->to, &b->to, b->to_tls, until);
}

static struct bridge_cell *cell_here(struct weft_bridge *b)
{
	return &b->counters.cells[weft_worker_self() % BRIDGE_CELLS];
}

static void moved_up(void *user, size_t bytes)
{
	(void)counter_add(&cell_here(user)->bytes_in, bytes);
}

static void moved_down(void *user, size_t bytes)
{
	(void)counter_add(&cell_here(user)->bytes_out, bytes);
}

static void flows_init(struct session *s)
{
	struct weft_bridge *b = s->bridge;

	s->pace = (struct pace){ .idle_ns = b->options.idle_timeout_ns,
		.reply_ns = b->options.read_timeout_ns,
		.last = weft_now() };
	s->up = (struct flow){ .src = s->from,
		.dst = s->to,
		.pool = b->pool,
		.pace = &s->pace,
		.may_throw_away = s->process,
		.moved = moved_up,
		.user = b };
	s->down = (struct flow){ .src = s->to,
		.dst = s->from,
		.pool = b->pool,
		.pace = &s->pace,
		.is_reply = true,
		/* What FROM still sends goes up while TO's replies, which nobody takes any
		 * more, are dropped: unread they could keep TO from reading. */
		.may_throw_away = b->from.kind != ENDPOINT_STDIO,
		.moved = moved_down,
		.user = b };
	s->flows_left = 2;
}

static weft_err carry(struct session *s)
{
	char name[32];
	weft_err err;

	flows_init(s);
	err = weft_scope_create(&s->scope);
	if (err)
		return err;
	(void)snprintf(name, sizeof(name), "session %llu back", (unsigned long long)s->number);
	err = weft_scope_spawn(s->scope, name, down_fiber, s);
	if (!err && s->process) {
		(void)snprintf(
			name, sizeof(name), "session %llu child", (unsigned long long)s->number);
		err = weft_scope_spawn(s->scope, name, child_fiber, s);
	}
	if (err) {
		end(s, true);
	} else {
		flow_run(&s->up);
		flow_ended(s, &s->up);
		if (weft_scope_wait(s->scope, WEFT_FOREVER) == WEFT_ECANCELED) {
			s->is_cut = true;
			end(s, true);
		}
	}
	weft_scope_free(s->scope);
	return err;
}

static void count_end(struct session *s)
{
	struct bridge_counters *counters = &s->bridge->counters;

	if (s->is_cut)
		(void)counter_add(&counters->cut, 1);
	else if (s->err == WEFT_ECAPACITY && s->level == WEFT_LOG_WARN)
		(void)counter_add(&counters->refused, 1);
	else if (s->err && s->err != WEFT_ECHILD && !s->up.is_idle && !s->down.is_idle)
		(void)counter_add(&counters->failed, 1);
}

static void tell_end(struct session *s)
{
	struct weft_bridge *b = s->bridge;
	const char *detail = s->detail ? s->detail : weft_strerror(s->err);

	if (s->is_cut) {
		tell(s, WEFT_LOG_INFO, WEFT_ECANCELED, "cut: the drain time-out is over");
	} else if (!s->err) {
		tell(s, WEFT_LOG_INFO, WEFT_OK, "ended: %llu bytes in, %llu out",
			(unsigned long long)s->up.bytes, (unsigned long long)s->down.bytes);
	} else if (bridge_has_one_session(b)) {
		b->only_err = s->err;
		b->only_detail = s->detail;
		s->detail = NULL;
	} else {
		tell(s, s->level, s->err, "%s", detail);
	}
}

/* A session that a listener of TLS brought begins by the handshake. (Streams of a mux have had
 * theirs.) */
static weft_err open_from(struct session *s)
{
	struct weft_bridge *b = s->bridge;

	if (endpoint_is_mux(&b->from))
		return WEFT_OK;
	return endpoint_accept(&s->from, b->from_tls, weft_after_ns(b->options.connect_timeout_ns));
}

/* An end did not open, or there was no memory to carry the session. */
static void begin_failed(struct session *s, weft_err err)
{
	if (!s->from) { /* a client that is no good: everyday life, but worth a line if it is TLS */
		s->is_cut = err == WEFT_ECANCELED;
		failed(s, err == WEFT_ETLS || err == WEFT_EAUTH ? WEFT_LOG_WARN : WEFT_LOG_INFO,
			err, weft_error_detail());
		return;
	}
	s->is_cut = err == WEFT_ECANCELED;
	failed(s, err == WEFT_ECAPACITY && !s->to ? WEFT_LOG_WARN : WEFT_LOG_ERROR, err,
		weft_error_detail());
	weft_conn_abort(s->from);
}

static weft_err session_fiber(void *arg)
{
	struct session *s = arg;
	struct weft_bridge *b = s->bridge;
	weft_err err;

	err = open_from(s);
	if (!err)
		err = open_to(s);
	if (!err) {
		tell(s, WEFT_LOG_DEBUG, WEFT_OK, "begun, to %s", weft_conn_peer_name(s->to));
		err = carry(s);
	}
	if (err)
		begin_failed(s, err);
	weft_conn_free(s->from);
	if (s->process) {
		child_stop(s);
		child_judge(s);
	} else {
		weft_conn_free(s->to);
		child_is_gone(s);
	}
	count_end(s);
	tell_end(s);
	mem_free(s->detail);
	mem_free(s);
	(void)counter_sub(&b->counters.sessions_now, 1);
	if (bridge_has_one_session(b))
		weft_bridge_stop(b);
	return WEFT_OK;
}

/* A place among the sessions. A listener counts its own connections, and a mux session
 * does not know those of the others. */
static weft_err place_take(struct weft_bridge *b)
{
	size_t max = endpoint_is_mux(&b->from) ? b->options.connections_max : SIZE_MAX;
	struct bridge_counters *counters = &b->counters;

	if (bridge_has_one_session(b) && !counter_try_add(&counters->only, 1, 1))
		return err_setf(WEFT_ECAPACITY, "%s: there is one session, and it has begun",
			weft_err_name(WEFT_ECAPACITY));
	if (!counter_try_add(&counters->sessions_now, 1, max))
		return err_setf(WEFT_ECAPACITY, "%s: all of the %zu sessions are in use",
			weft_err_name(WEFT_ECAPACITY), max);
	(void)counter_add(&counters->sessions, 1);
	return WEFT_OK;
}

/* Of a session that did not begin. */
static void place_give_back(struct weft_bridge *b)
{
	(void)counter_sub(&b->counters.sessions_now, 1);
	if (bridge_has_one_session(b))
		(void)counter_sub(&b->counters.only, 1);
}

static weft_err spawn(struct session *s, weft_scope *scope, unsigned worker)
{
	char name[32];

	(void)snprintf(s->peer, sizeof(s->peer), "%s", weft_conn_peer_name(s->from));
	(void)snprintf(name, sizeof(name), "session %llu", (unsigned long long)s->number);
	return weft_scope_spawn_on(scope, worker, name, session_fiber, s);
}

weft_err session_start(
	struct weft_bridge *bridge, weft_scope *scope, unsigned worker, weft_conn *from)
{
	struct session *s = mem_calloc(1, sizeof(*s));
	weft_err err;

	if (!s)
		return err_set(WEFT_ENOMEM);
	err = place_take(bridge);
	if (!err) {
		s->bridge = bridge;
		s->number = counter_add(&bridge->session_last, 1) + 1;
		s->from = from;
		err = spawn(s, scope, worker);
		if (err)
			place_give_back(bridge);
	}
	if (err) {
		(void)counter_add(&bridge->counters.refused, 1);
		mem_free(s);
	}
	return err;
}
