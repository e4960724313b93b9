/* SPDX-License-Identifier: MIT */
/*
 * What a caller asks of a response: its head, and its body as it comes.
 *
 * Bytes of the body lie behind the head in the block. Content that needs no decoding goes straight
 * to the caller's memory, if there is enough room in that.
 */
#include "http/client.h"

#include "net/conn.h"

#include <string.h>

#define ALL_FIRST ((size_t)16 << 10) /* bytes that read_all begins with */

/* --- the head ------------------------------------------------------------------------------- */

unsigned weft_http_response_status(const weft_http_response *r)
{
	return r->parser.head.status;
}

const char *weft_http_response_reason(const weft_http_response *r)
{
	return r->parser.head.reason.len ? r->data + r->parser.head.reason.at : "";
}

unsigned weft_http_response_minor(const weft_http_response *r)
{
	return r->parser.head.minor;
}

const char *weft_http_response_url(const weft_http_response *r)
{
	return r->url;
}

void weft_http_response_endless_set(weft_http_response *r, bool endless)
{
	r->endless = endless;
}

int64_t weft_http_response_length(const weft_http_response *r)
{
	return r->length;
}

/* Views of fields at data, in array if they fit. */
static void view(struct weft_http_fields *fields, struct http_field *array, size_t cap,
	const struct http1_field *from, size_t count, const char *data)
{
	http_fields_init_over(fields, array, cap);
	for (size_t i = 0; i < count; i++) {
		const struct http1_field *f = &from[i];

		/* no more than fit were parsed */
		if (http_fields_add_view(fields, data + f->name_at, f->name_len, data + f->value_at,
			    f->value_len) != WEFT_OK)
			return;
	}
}

static void index_fields(struct weft_http_response *r)
{
	if (r->indexed)
		return;
	r->indexed = true;
	view(&r->fields, r->views, r->client->options.fields_max, r->parser.head.fields,
		r->parser.head.field_count, r->data);
}

/* The index is what changes, not what it tells. */
static struct weft_http_response *inside(const weft_http_response *r)
{
	return (struct weft_http_response *)(uintptr_t)r;
}

const weft_http_fields *weft_http_response_fields(const weft_http_response *r)
{
	index_fields(inside(r));
	return &r->fields;
}

const weft_http_fields *weft_http_response_trailers(const weft_http_response *r)
{
	return &r->trailers;
}

const weft_conn *weft_http_response_conn(const weft_http_response *r)
{
	return r->conn->conn;
}

/* --- the body's state ----------------------------------------------------------------------- */

weft_err client_body_fail(struct weft_http_response *r, weft_err err)
{
	r->state = CLIENT_FAILED;
	r->failed = err;
	r->keep = false;
	err_slot_copy(&r->failure, err_slot_self());
	return err;
}

static weft_err failed_before(const struct weft_http_response *r)
{
	err_slot_copy(err_slot_self(), &r->failure);
	return r->failed;
}

static void body_end(struct weft_http_response *r)
{
	r->state = CLIENT_ENDED;
	r->ended = r->at_once ? r->first_byte : weft_now();
	/* bytes behind the response, which nobody asked for, may be the answer to somebody
	 * else's next request: such a connection ends here */
	if (r->body_at != r->body_end || r->body.kind == HTTP1_UNTIL_CLOSE)
		r->keep = false;
}

static void take_trailers(struct weft_http_response *r, const char *data)
{
	char *base = r->body_data + (data - r->body_data);

	for (size_t i = 0; i < r->body.trailer_count; i++) {
		const struct http1_field *f = &r->body.trailers[i];

		base[f->name_at + f->name_len] = '\0';
		base[f->value_at + f->value_len] = '\0';
	}
	/* without memory for a list of them they are as if they had not come */
	view(&r->trailers, NULL, 0, r->body.trailers, r->body.trailer_count, base);
}

/* The next piece of content into r->piece; none, or the end: that stays empty. */
static weft_err next_piece(struct weft_http_response *r)
{
	const char *data = r->body_data + r->body_at;
	size_t len = r->body_end - r->body_at;
	enum http1_body_event event;
	struct http1_piece piece;

	event = http1_body_next(&r->body, &data, &len, &piece);
	r->body_at = r->body_end - len;
	switch (event) {
	case HTTP1_BODY_DATA:
		r->piece = piece;
		break;
	case HTTP1_BODY_END:
		if (r->body.trailer_count)
			take_trailers(r, piece.data);
		body_end(r);
		break;
	case HTTP1_BODY_FAULT:
		return client_body_fail(r,
			err_setf(WEFT_EPROTO, "the response's body: %s",
				http1_fault_text(r->body.fault)));
	case HTTP1_BODY_MORE:
		break;
	}
	return WEFT_OK;
}

void client_body_read_begin(struct weft_http_response *r)
{
	const struct http1_head *head = &r->parser.head;
	size_t room = r->cap - head->size;

	r->state = CLIENT_BODY;
	r->length = head->framing.content_length;
	r->body_data = r->data + head->size;
	r->body_cap = room;
	r->body_at = 0;
	r->body_end = r->len - head->size;
	http1_body_init(&r->body, &head->framing);
	if (head->framing.kind == HTTP1_CHUNKED) {
		/* trailers take the place of the head's fields, as they were parsed */
		index_fields(r);
		http1_body_want_trailers(&r->body, r->raw, (uint16_t)r->client->options.fields_max);
	}
	if (head->framing.kind == HTTP1_NO_BODY)
		body_end(r);
}

/* --- reading -------------------------------------------------------------------------------- */

/* Room to read into, at body_end. Nothing is kept but what a decoder wants to see again. */
static weft_err make_room(struct weft_http_response *r)
{
	size_t kept = r->body_end - r->body_at;
	weft_err err;

	if (r->body_at) {
		memmove(r->body_data, r->body_data + r->body_at, kept);
		r->body_at = 0;
		r->body_end = kept;
	}
	if (r->body_cap > CLIENT_BODY_ROOM - 512 && r->body_cap > r->body_end)
		return WEFT_OK;
	if (r->body_block.data)
		return err_setf(WEFT_EMSGSIZE, "the response's trailers are too long");
	err = weft_buf_alloc(&r->body_block, r->client->buffers, CLIENT_BLOCK_SIZE);
	if (err)
		return err;
	memcpy(r->body_block.data, r->body_data, kept);
	r->body_data = (char *)r->body_block.data;
	r->body_cap = r->body_block.len;
	return WEFT_OK;
}

static weft_err ended_early(struct weft_http_response *r)
{
	if (http1_body_eof(&r->body)) {
		r->keep = false;
		body_end(r);
		return WEFT_OK;
	}
	return client_body_fail(r,
		err_setf(WEFT_ERESET,
			"the connection ended within the response's body, after %llu bytes of it",
			(unsigned long long)r->body.total));
}

/* By the earlier of the caller's deadline and the longest silence, which goes on from call to
 * call: one who only ever looks must find a stall, too. */
static weft_err read_conn(
	struct weft_http_response *r, void *data, size_t size, size_t *got, weft_deadline until)
{
	int64_t stall = r->endless ? INT64_MAX : r->client->options.stall_timeout_ns;
	weft_deadline from = r->silent_since || stall == INT64_MAX ? r->silent_since : weft_now();
	weft_deadline stalled = client_since(from, stall);
	weft_err err;

	*got = 0;
	r->at_once = false;
	err = weft_conn_read(r->conn->conn, data, size, got, client_earlier(until, stalled));
	r->silent_since = err == WEFT_ETIMEDOUT ? from : 0;
	if (err == WEFT_ECLOSED)
		return ended_early(r);
	if (err == WEFT_ETIMEDOUT && stalled < until)
		return client_body_fail(r,
			err_setf(err, "the response's body: nothing came for %lld ms",
				(long long)(stall / 1000000)));
	if (err && err != WEFT_ETIMEDOUT && err != WEFT_ECANCELED) {
		if (r->sender && client_sender_gave_up(r->sender))
			err = client_sender_result(r->sender);
		return client_body_fail(r, err);
	}
	return err;
}

/* More bytes into the block. */
static weft_err fill(struct weft_http_response *r, weft_deadline until)
{
	size_t got;
	weft_err err;

	err = make_room(r);
	if (err)
		return err == WEFT_EMSGSIZE ? client_body_fail(r, err) : err;
	err = read_conn(r, r->body_data + r->body_end, r->body_cap - r->body_end, &got, until);
	r->body_end += got;
	return err;
}

static weft_err check_size(struct weft_http_response *r)
{
	uint64_t max = r->client->options.body_size_max;

	/* a filter counts what comes out of it */
	if (weft_likely(r->body.total <= max) || r->endless || r->filter)
		return WEFT_OK;
	return client_body_fail(r,
		err_setf(WEFT_EMSGSIZE, "the response's body is longer than %llu bytes",
			(unsigned long long)max));
}

/* Straight to the caller. */
static weft_err read_direct(
	struct weft_http_response *r, void *data, size_t size, size_t *got, weft_deadline until)
{
	uint64_t direct = http1_body_direct(&r->body);
	weft_err err;

	err = read_conn(r, data, direct < size ? (size_t)direct : size, got, until);
	if (!err && *got)
		http1_body_took(&r->body, *got);
	return err;
}

static size_t take_piece(struct weft_http_response *r, void *data, size_t size)
{
	size_t n = r->piece.len < size ? r->piece.len : size;

	memcpy(data, r->piece.data, n);
	r->piece.data += n;
	r->piece.len -= n;
	return n;
}

/* A step: content (*got), the end (the state), or neither. */
static weft_err read_step(
	struct weft_http_response *r, void *data, size_t size, size_t *got, weft_deadline until)
{
	weft_err err;

	if (!r->piece.len) {
		err = next_piece(r);
		if (err || r->state == CLIENT_ENDED)
			return err;
	}
	if (!r->piece.len && r->body_at == r->body_end && size >= CLIENT_DIRECT_MIN &&
		http1_body_direct(&r->body) >= CLIENT_DIRECT_MIN)
		err = read_direct(r, data, size, got, until);
	else if (!r->piece.len)
		err = fill(r, until);
	else
		err = WEFT_OK;
	if (!err)
		err = check_size(r);
	if (!err && r->piece.len)
		*got = take_piece(r, data, size);
	return err;
}

weft_err client_body_read(
	struct weft_http_response *r, void *data, size_t size, size_t *got, weft_deadline until)
{
	size_t n = 0;
	weft_err err = WEFT_OK;

	if (r->state == CLIENT_FAILED)
		return failed_before(r);
	while (!err && !n && r->state == CLIENT_BODY)
		err = read_step(r, data, size, &n, until);
	if (!err && n) {
		*got = n;
		return WEFT_OK;
	}
	return err ? err : err_set(WEFT_ECLOSED);
}

weft_err weft_http_response_read(
	weft_http_response *r, void *data, size_t size, size_t *got, weft_deadline until)
{
	if (size == 0) {
		*got = 0;
		return WEFT_OK;
	}
	if (r->filter && r->state != CLIENT_FAILED)
		return r->filter->read(r->filter, r, data, size, got, until);
	return client_body_read(r, data, size, got, until);
}

/* Bytes to have room for next: what is said to come, if that is not too much to believe. */
static size_t next_cap(const weft_http_response *r, size_t cap, size_t size_max)
{
	int64_t length = r->length;
	size_t wanted = cap ? cap * 2 : ALL_FIRST;

	/* one more than there will be: the read that finds the end needs room, too */
	if (!cap && length >= 0 && (uint64_t)length < ((uint64_t)1 << 20))
		wanted = (size_t)length + 1;
	return wanted - 1 < size_max ? wanted : size_max + 1;
}

static weft_err grow(weft_http_response *r, weft_buf *buf, size_t len, size_t size_max)
{
	weft_buf larger = WEFT_BUF_EMPTY;
	weft_err err;

	err = weft_buf_alloc(&larger, NULL, next_cap(r, buf->len, size_max));
	if (err)
		return err;
	if (len)
		memcpy(larger.data, buf->data, len);
	weft_buf_unref(buf);
	*buf = larger;
	return WEFT_OK;
}

weft_err weft_http_response_read_all(
	weft_http_response *r, weft_buf *out, size_t size_max, weft_deadline until)
{
	weft_buf buf = WEFT_BUF_EMPTY;
	size_t len = 0, got;
	weft_err err = WEFT_OK;

	if (size_max >= WEFT_BUF_SIZE_MAX)
		size_max = WEFT_BUF_SIZE_MAX - 1;
	while (!err) {
		if (len == buf.len)
			err = grow(r, &buf, len, size_max);
		if (err)
			break;
		err = weft_http_response_read(r, buf.data + len, buf.len - len, &got, until);
		if (!err)
			len += got;
		if (!err && len > size_max)
			err = client_body_fail(r,
				err_setf(WEFT_EMSGSIZE,
					"the response's body is longer than %zu bytes", size_max));
	}
	if (err != WEFT_ECLOSED) {
		weft_buf_unref(&buf);
		/* what was read is lost: the rest must not pass for the whole */
		return len && r->state != CLIENT_FAILED ? client_body_fail(r, err) : err;
	}
	buf.len = len;
	*out = buf;
	return WEFT_OK;
}

/* --- the end -------------------------------------------------------------------------------- */

weft_err weft_http_response_take(weft_http_response *r, weft_conn **out)
{
	/* a piece that was not handed out to its end lies in front of the rest */
	const char *rest = r->piece.len ? r->piece.data : r->body_data + r->body_at;
	weft_conn *conn = r->conn->conn;
	weft_err err;

	if (r->parser.head.framing.kind != HTTP1_TUNNEL || !conn)
		return err_setf(WEFT_EINVAL, "the response gives no connection: status %u",
			weft_http_response_status(r));
	err = conn_unread(conn, rest, (size_t)(r->body_data + r->body_end - rest));
	if (err)
		return err;
	r->state = CLIENT_ENDED;
	r->keep = false;
	r->conn->conn = NULL;
	*out = conn;
	return WEFT_OK;
}

void weft_http_response_timings(const weft_http_response *r, weft_http_timings *out)
{
	const struct client_conn *conn = r->conn;
	weft_http_timings t = { .reused = r->reused, .retries = r->retries };

	t.queue_ns = r->got_conn - r->begun;
	if (!r->reused) {
		t.resolve_ns = conn->resolve_ns;
		t.connect_ns = conn->connect_ns;
		t.tls_ns = conn->tls_ns;
		t.queue_ns -= t.resolve_ns + t.connect_ns + t.tls_ns;
		if (t.queue_ns < 0) /* it was under way before */
			t.queue_ns = 0;
	}
	t.send_ns = r->sent - r->got_conn;
	t.first_byte_ns = r->first_byte - r->sent;
	t.total_ns = (r->ended ? r->ended : weft_now()) - r->begun;
	*out = t;
}

/* What has come of the rest is read away, if it is not much. */
static void drain(struct weft_http_response *r)
{
	size_t max = r->client->options.drain_max, done = 0;
	char scratch[512];
	size_t got = 0;

	if (!r->keep || http1_body_want(&r->body) > max)
		return;
	while (done <= max && r->state == CLIENT_BODY &&
		client_body_read(r, scratch, sizeof(scratch), &got, WEFT_NOW) == WEFT_OK)
		done += got;
}

static void give_back(weft_http_response *r)
{
	struct client_conn *conn = r->conn;
	weft_http_client *client = r->client;
	bool keep;

	if (r->state == CLIENT_BODY)
		drain(r);
	keep = r->state == CLIENT_ENDED && r->keep && conn->conn;
	if (keep && r->sender)
		keep = client_sender_ended(r->sender) && client_sender_result(r->sender) == WEFT_OK;
	conn->pool.idle_since = r->ended;
	client_response_fini(r);
	if (keep)
		pool_put(client->pool, &conn->pool);
	else
		pool_drop(client->pool, &conn->pool);
}

void weft_http_response_free(weft_http_response *r)
{
	struct err_slot kept = { .err = WEFT_OK };

	if (!r)
		return;
	if (r->state == CLIENT_ENDED && r->keep && !r->sender) {
		give_back(r);
		return;
	}
	/* who frees it after an error will want to tell that one */
	err_slot_copy(&kept, err_slot_self());
	give_back(r);
	err_slot_copy(err_slot_self(), &kept);
	err_slot_fini(&kept);
}
