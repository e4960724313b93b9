/* SPDX-License-Identifier: MIT */
/*
 * Responses. A head is written into the gather, a small body behind it, so that both leave by one
 * call; larger bodies are sent from where they lie, by the same call.
 */
#include "base/err.h"
#include "http/server.h"

#include <stdio.h>
#include <string.h>

#define HEAD_ROOM ((size_t)1024) /* of the gather, for a head of usual size */

/* ---- heads ---- */

bool http_may_keep(const weft_http_exchange *x)
{
	const struct http1_framing *framing = &x->hot->parser.head.framing;
	size_t requests_max = x->server->options.requests_max;

	if (!x->head || !framing->keep_alive || x->close_asked ||
		http_state(x->server) != WEFT_HTTP_SERVER_RUNNING)
		return false;
	if (requests_max && x->requests >= requests_max)
		return false;
	if (x->body_ended)
		return true;
	/* the client may send the body still, or not */
	if (x->must_continue)
		return false;
	return framing->kind != HTTP1_LENGTH ||
		http1_body_want(&x->body) <= x->server->options.body_drop_max;
}

static unsigned minor_of(const weft_http_exchange *x)
{
	return x->head ? x->hot->parser.head.minor : 1;
}

/* length: of the body, -1: not known. */
static void framing_make(
	weft_http_exchange *x, struct http1_framing *framing, unsigned status, int64_t length)
{
	struct http_response *r = &x->response;
	bool is_reset = status == 205; /* no body, and says so (RFC 9110, section 15.3.6) */

	length = is_reset ? 0 : length;
	*framing = (struct http1_framing){ .kind = HTTP1_NO_BODY, .content_length = length };
	framing->keep_alive = http_may_keep(x);
	r->has_no_body = status == 204 || is_reset || status == 304 ||
		(x->head && x->hot->parser.head.method == HTTP1_METHOD_HEAD);
	r->is_chunked = r->is_counted = false;
	if (r->has_no_body) {
		/* 304: an empty body is not what 200 would have had */
		if (status == 204 || (status == 304 && length == 0))
			framing->content_length = -1;
	} else if (length > 0) {
		framing->kind = HTTP1_LENGTH;
	} else if (length < 0 && minor_of(x) == 1) {
		framing->kind = HTTP1_CHUNKED;
		r->is_chunked = true;
	} else if (length < 0) {
		framing->kind = HTTP1_UNTIL_CLOSE;
		framing->keep_alive = false;
	}
	r->is_counted = length >= 0 && !r->has_no_body;
	r->left = r->is_counted ? (uint64_t)length : 0;
	r->keep_alive = framing->keep_alive;
}

/* Fields of a response; name, value: one more, or NULL. */
struct head_fields {
	const weft_http_fields *list;
	bool has_length; /* Content-Length is in the list, and in the framing already */
	const char *name, *value;
};

static void put_own(weft_http_exchange *x, struct http1_out *out, const struct head_fields *fields)
{
	const char *server = x->server->options.server_field;

	if (!fields->list || http_fields_find(fields->list, "date", 4, 0) == fields->list->len)
		http1_put_known(out, "Date", 4, http_date(x->shard, weft_now()), HTTP1_DATE_LEN);
	if (server)
		http1_put_known(out, "Server", 6, server, strlen(server));
	if (fields->name)
		http1_put_known(out, fields->name, strlen(fields->name), fields->value,
			strlen(fields->value));
}

static void put_fields(struct http1_out *out, const struct head_fields *fields)
{
	const weft_http_fields *list = fields->list;

	for (size_t i = 0; list && i < list->len; i++) {
		const struct http_field *f = &list->list[i];

		if (fields->has_length &&
			http1_same_text(f->name, f->name_len, "content-length", 14))
			continue;
		http1_put_field(out, f->name, f->name_len, f->value, f->value_len);
	}
}

static weft_err head_refused(enum http1_write_fault fault)
{
	return err_setf(WEFT_EINVAL, "reply: %s", http1_write_fault_text(fault));
}

/* Into the gather; interim: 1xx, whose framing says nothing. */
static weft_err put_head(weft_http_exchange *x, unsigned status,
	const struct http1_framing *framing, const struct head_fields *fields, weft_deadline until)
{
	const char *reason = weft_http_status_text(status);
	size_t need = HEAD_ROOM;
	struct http1_out out;
	weft_err err;

	for (;;) {
		err = http_out_reserve(x, need, until);
		if (err)
			return err;
		http1_out_init(&out, (char *)x->out.block.data + x->out.len, http_out_room(x));
		http1_put_response(&out, minor_of(x), status, reason, strlen(reason), framing);
		if (status >= 200)
			put_own(x, &out, fields);
		put_fields(&out, fields);
		if (http1_put_end(&out))
			break;
		if (out.fault != HTTP1_WRITE_SPACE || out.len <= need)
			return head_refused(out.fault);
		need = out.len;
	}
	if (status >= 200)
		x->response.mark = x->out.len;
	x->out.len += out.len;
	return WEFT_OK;
}

static weft_err response_check(
	const weft_http_exchange *x, const char *what, unsigned status, unsigned min, unsigned max)
{
	weft_err err = http_exchange_check(x, what);

	if (err)
		return err;
	if (x->response.state != HTTP_RESPONSE_NONE)
		return err_setf(WEFT_EINVAL, "%s: the response has begun already", what);
	if (status < min || status > max)
		return err_setf(
			WEFT_EINVAL, "%s: status %u is not in %u..%u", what, status, min, max);
	return WEFT_OK;
}

static weft_err response_begin(weft_http_exchange *x, unsigned status, int64_t length,
	const struct head_fields *fields, weft_deadline until)
{
	struct http1_framing framing;
	weft_err err;

	framing_make(x, &framing, status, length);
	err = put_head(x, status, &framing, fields, until);
	if (err)
		return err;
	x->response.state = HTTP_RESPONSE_BEGUN;
	x->response.status = (uint16_t)status;
	counter_own_add(&x->shard->counts.replies[status / 100], 1);
	return WEFT_OK;
}

bool http_response_undo(weft_http_exchange *x)
{
	while (x->is_flushing)
		(void)weft_yield();
	if (x->response.state == HTTP_RESPONSE_NONE)
		return true;
	if (x->response.has_left)
		return false;
	x->out.len = x->response.mark;
	counter_own_sub(&x->shard->counts.replies[x->response.status / 100], 1);
	x->response = (struct http_response){ .state = HTTP_RESPONSE_NONE };
	return true;
}

/* ---- whole responses ---- */

static weft_err put_body(weft_http_exchange *x, const void *body, size_t len, weft_deadline until)
{
	/* An iovec has no const; nothing writes through this one. */
	union {
		const void *in;
		void *out;
	} base = { body };
	struct iovec iov = { base.out, len };

	x->response.body_len += len;
	if (weft_likely(len <= HTTP_COPY_MAX && len <= http_out_room(x))) {
		http_out_put(x, body, len);
		return WEFT_OK;
	}
	return http_out_send(x, &iov, 1, until);
}

static weft_err reply_with(weft_http_exchange *x, unsigned status, const struct head_fields *fields,
	const void *body, size_t len, weft_deadline until)
{
	weft_err err = response_begin(x, status, (int64_t)len, fields, until);

	if (err)
		return err;
	if (len && !x->response.has_no_body)
		err = put_body(x, body, len, until);
	x->response.state = HTTP_RESPONSE_WHOLE;
	return err;
}

weft_err weft_http_exchange_reply(weft_http_exchange *x, unsigned status,
	const weft_http_fields *fields, const void *body, size_t len, weft_deadline until)
{
	struct head_fields head = { .list = fields };
	weft_err err = response_check(x, "reply", status, 200, 599);

	if (err)
		return err;
	if (len > INT64_MAX)
		return err_setf(WEFT_EINVAL, "reply: %zu bytes are too many", len);
	return reply_with(x, status, &head, body, len, until);
}

weft_err weft_http_exchange_reply_text(
	weft_http_exchange *x, unsigned status, const char *text, weft_deadline until)
{
	struct head_fields head = { .name = "Content-Type", .value = "text/plain; charset=utf-8" };
	weft_err err = response_check(x, "reply", status, 200, 599);

	return err ? err : reply_with(x, status, &head, text, strlen(text), until);
}

weft_err http_reply_status(
	weft_http_exchange *x, unsigned status, const char *name, const char *value)
{
	struct head_fields head = { .name = name, .value = value };
	char text[64];
	int len = snprintf(text, sizeof(text), "%u %s\n", status, weft_http_status_text(status));
	weft_err err;

	err = reply_with(x, status, &head, text, status == 204 ? 0 : (size_t)len, WEFT_FOREVER);
	if (err && !x->broken)
		x->broken = err;
	return err;
}

/* ---- responses in parts ---- */

/* The list's Content-Length, if it has one. */
static weft_err find_length(const weft_http_fields *fields, int64_t *length)
{
	const char *text = weft_http_fields_get(fields, "Content-Length"), *at = text;
	int64_t n = 0;

	*length = -1;
	if (!text)
		return WEFT_OK;
	for (; *at >= '0' && *at <= '9' && at - text < 18; at++)
		n = n * 10 + (*at - '0');
	if (at == text || *at || weft_http_fields_get_nth(fields, "Content-Length", 1))
		return err_setf(WEFT_EINVAL, "begin: Content-Length '%.32s' is no length", text);
	*length = n;
	return WEFT_OK;
}

weft_err http_response_open(weft_http_exchange *x, const char *what, unsigned status,
	const weft_http_fields *fields, weft_deadline until)
{
	struct head_fields head = { .list = fields };
	weft_err err = response_check(x, what, status, 200, 599);
	int64_t length = -1;

	if (!err)
		err = find_length(fields, &length);
	if (err)
		return err;
	head.has_length = length >= 0;
	return response_begin(x, status, length, &head, until);
}

weft_err weft_http_exchange_begin(
	weft_http_exchange *x, unsigned status, const weft_http_fields *fields, weft_deadline until)
{
	weft_err err = response_check(x, "begin", status, 200, 599);

	/* who accepts a request may read it still: once the head has gone it is too late to ask */
	if (!err && status < 300)
		err = http_put_continue(x, until);
	return err ? err : http_response_open(x, "begin", status, fields, until);
}

static weft_err begun_check(const weft_http_exchange *x, const char *what)
{
	weft_err err = http_exchange_check(x, what);

	if (!err && (x->response.state != HTTP_RESPONSE_BEGUN || x->sse))
		err = err_setf(WEFT_EINVAL, "%s: no response is under way", what);
	return err;
}

/* A piece of the body, as a chunk if need be. */
static weft_err send_piece(weft_http_exchange *x, const void *data, size_t len, weft_deadline until)
{
	union {
		const void *in;
		void *out;
	} base = { data }, end = { HTTP1_CHUNK_END };
	struct iovec iov[2] = { { base.out, len }, { end.out, 2 } };
	char head[HTTP1_CHUNK_HEAD_MAX], *at;
	bool is_chunked = x->response.is_chunked;
	size_t small = len <= HTTP_COPY_MAX ? len + 2 : 0;
	weft_err err = http_out_reserve(x, sizeof(head) + small, until);

	if (err)
		return err;
	if (is_chunked) {
		at = http1_chunk_head_before(head + sizeof(head), len);
		http_out_put(x, at, (size_t)(head + sizeof(head) - at));
	}
	if (!small)
		return http_out_send(x, iov, is_chunked ? 2 : 1, until);
	http_out_put(x, data, len);
	if (is_chunked)
		http_out_put(x, HTTP1_CHUNK_END, 2);
	return http_out_flush(x, until);
}

weft_err weft_http_exchange_write(
	weft_http_exchange *x, const void *data, size_t len, weft_deadline until)
{
	struct http_response *r = &x->response;
	weft_err err = begun_check(x, "write");

	if (err)
		return err;
	if (x->broken)
		return err_set(x->broken);
	if (r->has_no_body || !len)
		return WEFT_OK;
	if (r->is_counted && len > r->left)
		return err_setf(WEFT_EINVAL,
			"write: %zu bytes where %llu are left of Content-Length", len,
			(unsigned long long)r->left);
	err = send_piece(x, data, len, until);
	if (err)
		return err;
	r->left -= r->is_counted ? len : 0;
	r->body_len += len;
	return WEFT_OK;
}

weft_err weft_http_exchange_flush(weft_http_exchange *x, weft_deadline until)
{
	weft_err err = http_exchange_check(x, "flush");

	return err ? err : http_out_flush(x, until);
}

/* The last chunk and trailers. */
static weft_err put_last(
	weft_http_exchange *x, const weft_http_fields *trailers, weft_deadline until)
{
	struct head_fields fields = { .list = trailers };
	size_t need = 64;
	struct http1_out out;

	for (;;) {
		weft_err err = http_out_reserve(x, need, until);

		if (err)
			return err;
		http1_out_init(&out, (char *)x->out.block.data + x->out.len, http_out_room(x));
		http1_put_last_chunk(&out);
		put_fields(&out, &fields);
		if (http1_put_end(&out))
			break;
		if (out.fault != HTTP1_WRITE_SPACE || out.len <= need)
			return head_refused(out.fault);
		need = out.len;
	}
	x->out.len += out.len;
	return WEFT_OK;
}

weft_err http_response_shut(
	weft_http_exchange *x, const weft_http_fields *trailers, weft_deadline until)
{
	weft_err err = x->response.is_chunked ? put_last(x, trailers, until) : WEFT_OK;

	if (!err)
		x->response.state = HTTP_RESPONSE_WHOLE;
	return err;
}

weft_err weft_http_exchange_finish(
	weft_http_exchange *x, const weft_http_fields *trailers, weft_deadline until)
{
	struct http_response *r = &x->response;
	weft_err err = begun_check(x, "finish");

	if (err)
		return err;
	if (x->broken)
		return err_set(x->broken);
	if (r->is_counted && r->left) {
		x->broken = WEFT_EINVAL;
		return err_setf(WEFT_EINVAL, "finish: %llu bytes are missing of Content-Length",
			(unsigned long long)r->left);
	}
	return http_response_shut(x, trailers, until);
}

weft_err weft_http_exchange_inform(
	weft_http_exchange *x, unsigned status, const weft_http_fields *fields, weft_deadline until)
{
	struct http1_framing framing = {
		.kind = HTTP1_NO_BODY, .keep_alive = true, .content_length = -1
	};
	struct head_fields head = { .list = fields };
	weft_err err = response_check(x, "inform", status, 102, 199);

	if (err)
		return err;
	if (minor_of(x) == 0)
		return WEFT_OK;
	err = put_head(x, status, &framing, &head, until);
	return err ? err : http_out_flush(x, until);
}

weft_err http_put_upgrade(
	weft_http_exchange *x, const weft_http_fields *fields, weft_deadline until)
{
	struct http1_framing framing = {
		.kind = HTTP1_TUNNEL, .keep_alive = true, .upgrade = true, .content_length = -1
	};
	struct head_fields head = { .list = fields };
	weft_err err = response_check(x, "upgrade", 101, 101, 101);

	if (!err)
		err = put_head(x, 101, &framing, &head, until);
	if (err)
		return err;
	x->response.state = HTTP_RESPONSE_WHOLE;
	x->response.status = 101;
	counter_own_add(&x->shard->counts.replies[1], 1);
	return WEFT_OK;
}
