/* SPDX-License-Identifier: MIT */
/*
 * A connection, from its first byte to its last, in one fiber:
 *
 *	idle --first byte--> head --whole--> handler --> the body's rest --+
 *	 ^  ^                 |                                            |
 *	 |  `-- nothing left -+- malformed, too slow: 4xx, end             |
 *	 |                                                                 |
 *	 `--------------------- keep-alive --------------------------------+--> end
 *
 * Replies stay in the gather while the next request is there already, whole.
 */
#include "base/err.h"
#include "base/mem.h"
#include "http/server.h"

#include <weft/log.h>

#include <string.h>

/* ---- what a request needs ---- */

static weft_err hot_take(weft_http_exchange *x)
{
	struct http_shard *shard = x->shard;
	size_t fields = x->server->options.header_count_max;

	if (weft_likely(shard->spare_hot.block != NULL)) {
		x->hot_block = shard->spare_hot;
		shard->spare_hot = (weft_buf)WEFT_BUF_EMPTY;
		x->hot = (struct http_hot *)(void *)x->hot_block.data;
	} else {
		weft_err err = weft_buf_alloc(&x->hot_block, x->server->pool,
			sizeof(*x->hot) + fields * sizeof(struct http1_field));

		if (err)
			return err_wrap(err, "request of %s", weft_conn_peer_name(x->conn));
		x->hot = (struct http_hot *)(void *)x->hot_block.data;
		http1_parser_init(&x->hot->parser, HTTP1_REQUEST, x->hot->fields, (uint16_t)fields,
			&x->server->limits);
	}
	http1_parser_reset(&x->hot->parser, HTTP1_METHOD_GET);
	return WEFT_OK;
}

static void hot_give(weft_http_exchange *x)
{
	if (!x->shard->spare_hot.block) {
		x->shard->spare_hot = x->hot_block;
		x->hot_block = (weft_buf)WEFT_BUF_EMPTY;
	} else {
		weft_buf_unref(&x->hot_block);
	}
	x->hot = NULL;
}

static void exchange_begin(weft_http_exchange *x)
{
	memset(&x->response, 0,
		offsetof(weft_http_exchange, inline_in) - offsetof(weft_http_exchange, response));
	x->body_max = x->server->options.body_size_max;
}

/* ---- waiting for a request ---- */

static bool is_draining(const weft_http_exchange *x)
{
	return http_state(x->server) != WEFT_HTTP_SERVER_RUNNING;
}

/* The first byte of a request, or why there is none: WEFT_ECLOSED is in order. */
static weft_err wait_idle(weft_http_exchange *x)
{
	const weft_http_server_options *options = &x->server->options;
	weft_deadline now = weft_now(),
		      until = x->requests ? now + options->idle_timeout_ns
					  : x->began_at + options->header_timeout_ns;
	weft_err err;

	http_in_rewind(x, true);
	x->phase = HTTP_IDLE;
	/* looked at after the phase was set: the keeper, woken later, finds it */
	if (is_draining(x)) {
		err = err_set(WEFT_ECLOSED);
	} else if (x->in.block.block && until - now > HTTP_REST_NS) {
		err = http_in_fill(x, now + HTTP_REST_NS);
		if (err == WEFT_ETIMEDOUT) {
			http_in_rewind(x, false);
			err = http_in_fill(x, until);
		}
	} else {
		err = http_in_fill(x, until);
	}
	/* what came as it was closed can't be answered: so it is not begun */
	if (!err && x->phase == HTTP_CLOSING)
		err = err_set(WEFT_ECLOSED);
	x->phase = HTTP_BUSY;
	if (err == WEFT_ETIMEDOUT) {
		counter_own_add(&x->shard->counts.timeouts, 1);
		return err_set(WEFT_ECLOSED);
	}
	/* a client that goes between two requests says so in this way, too */
	return err == WEFT_ERESET && x->requests ? err_set(WEFT_ECLOSED) : err;
}

/* More of a head that has begun. */
static weft_err head_more(weft_http_exchange *x, weft_deadline until)
{
	weft_err err = http_out_flush(x, WEFT_FOREVER);

	if (!err)
		err = http_in_fill(x, until);
	if (err == WEFT_ECLOSED)
		return err_setf(WEFT_ERESET, "%s: the connection ended within a request's head",
			weft_conn_peer_name(x->conn));
	return err;
}

/* The next request's head, into hot->parser.head. Errors: WEFT_ECLOSED (in order),
 * WEFT_EPROTO (the parser says why), WEFT_ETIMEDOUT (part of it came), others. */
static weft_err head_read(weft_http_exchange *x)
{
	weft_deadline until = WEFT_NOW;
	enum http1_step step;
	weft_err err;

	if (!x->in.len) {
		err = http_out_flush(x, WEFT_FOREVER);
		if (!err)
			err = wait_idle(x);
		if (err)
			return err;
	}
	exchange_begin(x);
	err = hot_take(x);
	if (err)
		return err;
	for (;;) {
		step = http1_parse(&x->hot->parser, x->in.base + x->in.at, x->in.len);
		if (weft_likely(step == HTTP1_DONE))
			return WEFT_OK;
		if (step == HTTP1_BAD)
			return err_setf(WEFT_EPROTO, "request of %s: %s",
				weft_conn_peer_name(x->conn),
				http1_fault_text(x->hot->parser.fault));
		if (until == WEFT_NOW)
			until = x->requests ? weft_after_ns(x->server->options.header_timeout_ns)
					    : x->began_at + x->server->options.header_timeout_ns;
		err = head_more(x, until);
		if (err)
			return err;
	}
}

/* ---- the end ---- */

/* Sends our end and reads what comes, for a while: a close with bytes unread would be a
 * reset, which might reach the client before it has read the reply. */
static void linger(weft_http_exchange *x)
{
	weft_deadline until = weft_after_ns(HTTP_LINGER_NS);
	size_t dropped = 0;

	if (weft_conn_shutdown(x->conn) != WEFT_OK)
		return;
	do {
		http_in_rewind(x, true);
		x->in.len = 0;
		if (http_in_fill(x, until) != WEFT_OK)
			return;
		dropped += x->in.len;
	} while (dropped < HTTP_LINGER_MAX);
}

static bool is_cut(const weft_http_server *server)
{
	return word_peek(&server->word) & HTTP_CUT;
}

/* The head is not whole, and will not be. */
static weft_err refuse_head(weft_http_exchange *x, weft_err err)
{
	unsigned status = err == WEFT_EPROTO ? http1_fault_status(x->hot->parser.fault)
		: err == WEFT_ETIMEDOUT	     ? 408
		: err == WEFT_ENOMEM	     ? 503
					     : 0;

	if (err == WEFT_EPROTO)
		counter_own_add(&x->shard->counts.malformed, 1);
	if (err == WEFT_ETIMEDOUT)
		counter_own_add(&x->shard->counts.timeouts, 1);
	if (!status)
		return err;
	x->close_asked = true;
	if (http_reply_status(x, status, NULL, NULL) == WEFT_OK)
		(void)http_out_flush(x, WEFT_FOREVER);
	http_access(x, err);
	if (!x->broken)
		linger(x);
	return err_set_code(err);
}

/* ---- one exchange ---- */

/* Path and query of the target; false: the target is no good. */
static bool find_path(weft_http_exchange *x)
{
	const struct http1_head *head = &x->hot->parser.head;
	char *data = x->head;
	char *path = data + head->path.at, *query;
	size_t len = head->path.len;

	if (head->form == HTTP1_ASTERISK_FORM || (!len && head->method == HTTP1_METHOD_OPTIONS)) {
		x->path = "*";
		x->path_len = 1;
		return true;
	}
	if (head->form == HTTP1_AUTHORITY_FORM || !len) {
		x->path = "/";
		x->path_len = 1;
		return true;
	}
	query = memchr(path, '?', len);
	x->path_len = query ? (size_t)(query - path) : len;
	x->path = path;
	if (query) {
		/* a copy, since the target is to stay as it was sent */
		x->query = query + 1;
		path = x->path_len < HTTP_SCRATCH ? x->hot->scratch : http_note(x, x->path_len);
		if (!path)
			return false;
		memcpy(path, x->path, x->path_len);
		path[x->path_len] = '\0';
		x->path = path;
	}
	return true;
}

/* "http://host?query": a path is due before the query. */
static void mend_path(weft_http_exchange *x)
{
	if (!x->path_len || *x->path == '?') {
		x->path = "/";
		x->path_len = 1;
	}
}

/* 0, or the status of a request that no handler is to see. */
static unsigned head_judge(weft_http_exchange *x)
{
	const struct http1_head *head = &x->hot->parser.head;

	if (!find_path(x))
		return 503;
	mend_path(x);
	if (!http_path_is_sound(x->path, x->path_len))
		return 400;
	if (head->framing.expect_other)
		return 417;
	if (head->method == HTTP1_METHOD_CONNECT)
		return 501;
	return http_guard(x);
}

/* The head becomes the exchange's: it stays where it is until the end. */
static void head_take(weft_http_exchange *x)
{
	const struct http1_head *head = &x->hot->parser.head;
	struct http_window *in = &x->in;

	x->head = in->base + in->at;
	in->at += head->size;
	in->len -= head->size;
	/* over the blanks behind them */
	x->head[head->method_text.at + head->method_text.len] = '\0';
	x->head[head->target.at + head->target.len] = '\0';
	http1_body_init(&x->body, &head->framing);
	x->body_ended = head->framing.kind == HTTP1_NO_BODY || head->framing.kind == HTTP1_TUNNEL;
	if (head->framing.kind == HTTP1_CHUNKED) {
		size_t room = x->server->options.header_count_max - head->field_count;

		http1_body_want_trailers(&x->body, head->fields + head->field_count,
			(uint16_t)(room < HTTP_TRAILER_FIELDS_MAX ? room
								  : HTTP_TRAILER_FIELDS_MAX));
	}
	x->must_continue = head->framing.expect_continue && !x->body_ended;
	x->requests++;
	counter_own_add(&x->shard->counts.requests, 1);
	if (x->server->options.access)
		x->head_at = weft_now();
}

/* No handler has this path and method. */
static weft_err reply_unrouted(weft_http_exchange *x)
{
	const struct http1_head *head = &x->hot->parser.head;
	char allow[256];
	size_t len;

	if (head->form == HTTP1_ASTERISK_FORM || *x->path == '*')
		return http_reply_status(x, 204, NULL, NULL);
	len = http_router_allow(x->router, x->path, x->path_len, allow, sizeof(allow) - 1);
	allow[len] = '\0';
	if (!len)
		return http_reply_status(x, 404, NULL, NULL);
	return http_reply_status(
		x, head->method == HTTP1_METHOD_OPTIONS ? 204 : 405, "Allow", allow);
}

/* Why the handler failed, for people: the client is told no more than the status. */
static void say_failure(const weft_http_exchange *x, weft_err err, unsigned status)
{
	weft_log(WEFT_LOG_WARN, "http", "%s: %s %s from %s: %u: %s", x->server->options.name,
		weft_http_exchange_method(x), x->path, weft_conn_peer_name(x->conn), status,
		err_slot_self()->err == err ? weft_error_detail() : weft_strerror(err));
}

/* Nobody waits for the response: the server cuts what is left, or the client has gone. */
static bool is_abandoned(const weft_http_exchange *x)
{
	return weft_cancel_is_cancelled(weft_fiber_token()) || is_cut(x->server) ||
		http_client_is_gone(x);
}

/* After the handler: the response is made whole, or undone and replaced, or cut. */
static weft_err response_end(weft_http_exchange *x, weft_err err)
{
	struct http_response *r = &x->response;
	unsigned status = x->fault_status ? x->fault_status : 500;

	if (r->state == HTTP_RESPONSE_WHOLE)
		return err;
	if (!err && r->state == HTTP_RESPONSE_NONE)
		err = err_setf(WEFT_EINVAL, "the handler has not replied");
	if (!err && x->sse)
		return http_sse_finish(x);
	if (!err)
		return weft_http_exchange_finish(x, NULL, WEFT_FOREVER);
	if (!x->fault_status && err != WEFT_ECANCELED && !x->broken && !http_client_is_gone(x))
		say_failure(x, err, status);
	if (x->broken || !http_response_undo(x)) {
		if (!x->broken)
			x->broken = err;
		return err;
	}
	if (is_abandoned(x)) {
		x->broken = err;
		return err;
	}
	(void)http_reply_status(x, status, NULL, NULL);
	return err_set_code(err);
}

static weft_err exchange_run(weft_http_exchange *x)
{
	const struct http1_head *head;
	unsigned status;
	weft_err err;

	head_take(x);
	head = &x->hot->parser.head;
	status = head_judge(x);
	http_router_take(x);
	if (weft_unlikely(status)) {
		x->close_asked |= status != 403;
		err = http_reply_status(x, status, NULL, NULL);
	} else if (weft_likely(http_router_find(x->router, weft_http_exchange_method(x),
			   head->method_text.len, x->path, x->path_len, &x->hot->match))) {
		if (x->out.len)
			http_out_entrust(x);
		err = x->hot->match.route->handler(x, x->hot->match.route->arg);
		http_exchange_join(x);
		if (weft_likely(!x->upgraded))
			err = response_end(x, err);
	} else {
		err = reply_unrouted(x);
	}
	return err;
}

/* What is left to do before the next request. False: there is none. */
static bool exchange_finish(weft_http_exchange *x, weft_err err)
{
	bool goes_on = !x->upgraded && !x->broken && x->response.keep_alive;

	if (x->upgraded)
		return false;
	if (goes_on && !x->body_ended) {
		weft_err dropped = http_out_flush(x, WEFT_FOREVER);

		if (!dropped)
			dropped = http_body_drop(x);
		goes_on = !dropped;
	}
	if (!goes_on || !x->in.len) {
		weft_err sent = x->broken ? WEFT_OK : http_out_flush(x, WEFT_FOREVER);

		if (sent) {
			err = err ? err : sent;
			goes_on = false;
		}
	}
	http_access(x, err);
	return goes_on;
}

/* Between two requests, or after the last one. */
static void exchange_end(weft_http_exchange *x)
{
	http_exchange_fini(x);
	http_router_give(x);
	x->head = NULL;
	weft_buf_unref(&x->head_block);
	hot_give(x);
}

/* More requests may be on their way, or what is left of one. */
static bool more_may_come(const weft_http_exchange *x)
{
	return !x->body_ended || x->in.len || x->hot->parser.head.framing.keep_alive;
}

/* Requests until one is the last. x->broken: the connection is to be reset. */
static weft_err conn_loop(weft_http_exchange *x)
{
	bool goes_on;
	weft_err err;

	do {
		err = head_read(x);
		if (err) {
			if (x->hot)
				err = refuse_head(x, err);
			return err == WEFT_ECLOSED ? WEFT_OK : err;
		}
		err = exchange_run(x);
		goes_on = exchange_finish(x, err);
		if (!goes_on && !x->upgraded && !x->broken && more_may_come(x))
			linger(x);
		if (goes_on)
			exchange_end(x);
	} while (goes_on);
	return x->broken;
}

static void conn_register(weft_http_exchange *x)
{
	list_push_back(&x->shard->conns, &x->link);
	counter_own_add(&x->shard->counts.connections, 1);
}

static void conn_unregister(weft_http_exchange *x)
{
	struct http_shard *shard = x->shard;

	http_out_drop(x);
	list_remove(&x->link);
	if (list_is_empty(&shard->conns) && is_draining(x))
		bell_ring(&shard->keeper);
}

/* Owns x->conn, unless it was handed on. */
static weft_err conn_run(weft_http_exchange *x)
{
	weft_err err;

	conn_register(x);
	err = conn_loop(x);
	if (err == WEFT_ECANCELED || is_cut(x->server))
		counter_own_add(&x->shard->counts.cut, 1);
	if (x->timed_out)
		counter_own_add(&x->shard->counts.timeouts, 1);
	conn_unregister(x);
	if (x->hot)
		exchange_end(x);
	weft_buf_unref(&x->in.block);
	if (x->conn && (x->broken || is_cut(x->server)))
		weft_conn_abort(x->conn);
	weft_conn_free(x->conn);
	return err;
}

static weft_http_exchange *exchange_create(weft_http_server *server, weft_conn *conn)
{
	/* its window's memory is written before it is read */
	weft_http_exchange *x = mem_alloc(sizeof(*x));

	if (!x)
		return NULL;
	memset(x, 0, offsetof(weft_http_exchange, inline_in));
	x->server = server;
	x->shard = &server->shards[weft_worker_self()];
	x->conn = conn;
	list_init(&x->link);
	list_init(&x->flush_link);
	x->began_at = weft_now();
	http_in_init(x);
	return x;
}

/* ---- over the limit ---- */

static weft_err refuse_conn(weft_http_server *server, weft_conn *conn)
{
	static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
				   "Content-Length: 0\r\nConnection: close\r\n\r\n";
	weft_deadline until = weft_after_ns(HTTP_REFUSE_NS);
	char dropped[256];
	size_t got;

	(void)counter_add(&server->refused, 1);
	if (server->options.tls || !counter_try_add(&server->refusing, 1, HTTP_REFUSALS_MAX)) {
		weft_conn_abort(conn);
	} else {
		if (weft_conn_write(conn, text, sizeof(text) - 1, NULL, WEFT_NOW) == WEFT_OK &&
			weft_conn_shutdown(conn) == WEFT_OK)
			while (weft_conn_read(conn, dropped, sizeof(dropped), &got, until) ==
				WEFT_OK)
				;
		counter_sub(&server->refusing, 1);
	}
	weft_conn_free(conn);
	return err_setf(WEFT_ECAPACITY, "%s: all of its %zu connections are in use",
		server->options.name, server->options.connections_max);
}

struct greeting {
	weft_http_exchange *x;
	weft_conn *raw; /* NULL: taken */
};

static weft_err greet(void *arg)
{
	struct greeting *g = arg;
	weft_http_exchange *x = g->x;
	weft_conn *raw = g->raw;

	g->raw = NULL;
	return weft_tls_accept_own(&x->conn, x->server->options.tls, raw,
		x->began_at + x->server->options.header_timeout_ns);
}

/* The connection is in no list yet: a drain ends it by the token. */
static weft_err speak_tls(weft_http_exchange *x)
{
	struct greeting g = { x, x->conn };
	weft_err err;

	if (!x->server->options.tls)
		return WEFT_OK;
	x->conn = NULL;
	err = weft_cancel_run(x->server->stopping, greet, &g, WEFT_FOREVER);
	if (g.raw)
		weft_conn_abort(g.raw);
	weft_conn_free(g.raw);
	if (err == WEFT_ECANCELED && weft_cancel_is_cancelled(x->server->stopping))
		err = err_setf(WEFT_ECLOSED, "%s: the server was stopped within the handshake",
			x->server->options.name);
	return err;
}

weft_err http_conn_serve(weft_http_server *server, weft_conn *conn)
{
	weft_http_exchange *x;
	weft_err err = http_enter(server);

	if (err == WEFT_ECAPACITY)
		return refuse_conn(server, conn);
	if (err) {
		weft_conn_free(conn);
		return err;
	}
	x = exchange_create(server, conn);
	if (!x) {
		err = err_setf(
			WEFT_ENOMEM, "connection of %s: out of memory", weft_conn_peer_name(conn));
		weft_conn_abort(conn);
		weft_conn_free(conn);
		goto out;
	}
	err = http_keeper_start(x->shard);
	if (!err)
		err = speak_tls(x);
	if (!err) {
		err = conn_run(x);
	} else if (x->conn) {
		weft_conn_abort(x->conn);
		weft_conn_free(x->conn);
	}
out:
	mem_free(x);
	http_leave(server);
	return err;
}
