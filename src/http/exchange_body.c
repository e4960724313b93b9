/* SPDX-License-Identifier: MIT */
/*
 * A request's body. What came with the head is copied out of the window; the rest is read
 * straight to where the handler wants it, as far as the framing says that it is content.
 */
#include "base/err.h"
#include "base/mem.h"
#include "http/server.h"

#include <string.h>

#define DIRECT_MIN ((size_t)1024) /* smaller reads go through the window */
#define GROW_MIN ((size_t)4096)

/* ---- what can go wrong ---- */

static weft_err body_fault(weft_http_exchange *x, unsigned status, weft_err err)
{
	x->fault_status = (uint16_t)status;
	x->fault = err;
	x->close_asked = true;
	x->response.keep_alive = false;
	return err;
}

static weft_err too_large(weft_http_exchange *x)
{
	return body_fault(x, 413,
		err_setf(WEFT_EMSGSIZE, "body of %s: larger than %llu bytes",
			weft_http_exchange_peer(x), (unsigned long long)x->body_max));
}

static weft_err malformed(weft_http_exchange *x)
{
	enum http1_fault fault = x->body.fault;
	unsigned status = http1_fault_status(fault);

	counter_own_add(&x->shard->counts.malformed, 1);
	return body_fault(x, status,
		err_setf(status == 413 ? WEFT_EMSGSIZE : WEFT_EPROTO, "body of %s: %s",
			weft_http_exchange_peer(x), http1_fault_text(fault)));
}

/* ---- reading from the client ---- */

weft_err http_put_continue(weft_http_exchange *x, weft_deadline until)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	weft_err err;

	if (!x->must_continue)
		return WEFT_OK;
	/* it has not waited, or has its answer: then it goes without saying */
	if (!x->in.len && x->response.state == HTTP_RESPONSE_NONE) {
		err = http_out_reserve(x, sizeof(text) - 1, until);
		if (err)
			return err;
		http_out_put(x, text, sizeof(text) - 1);
	}
	x->must_continue = false;
	return WEFT_OK;
}

/* By the client, or by the server itself, which cuts what is left when it stops. */
static weft_err ended_within(weft_http_exchange *x)
{
	(void)http1_body_eof(&x->body);
	return err_setf(WEFT_ERESET, "body of %s: the connection ended within it",
		weft_http_exchange_peer(x));
}

/* To iov, or, NULL, into the window; *got is for the former. */
static weft_err client_read(
	weft_http_exchange *x, struct iovec *iov, size_t *got, weft_deadline until)
{
	weft_deadline began, limit;
	weft_err err = http_out_push(x, until);

	if (err)
		return err;
	began = weft_now();
	limit = http_pace_limit(x->server, &x->in_pace, x->server->options.body_grace_ns);
	if (iov)
		err = http_in_readv(x, iov, 1, got, limit < until ? limit : until);
	else
		err = http_in_fill(x, limit < until ? limit : until);
	x->in_pace.waited_ns += weft_now() - began;
	if (err == WEFT_ETIMEDOUT && limit <= until) {
		x->timed_out = true;
		return body_fault(x, 408,
			err_setf(WEFT_ETIMEDOUT, "body of %s: comes too slowly",
				weft_http_exchange_peer(x)));
	}
	if (err == WEFT_ECLOSED)
		err = ended_within(x);
	if (err && err != WEFT_ETIMEDOUT && err != WEFT_ECANCELED && err != WEFT_ENOMEM)
		x->broken = err;
	return err;
}

/* ---- the framing ---- */

/* The next piece, or the end, of what is in the window. WEFT_EAGAIN: more is needed. */
static weft_err next_piece(weft_http_exchange *x)
{
	const char *data = x->in.base + x->in.at;
	size_t len = x->in.len;
	enum http1_body_event event = http1_body_next(&x->body, &data, &len, &x->piece);

	x->in.at += x->in.len - len;
	x->in.len = len;
	switch (event) {
	case HTTP1_BODY_DATA:
		return WEFT_OK;
	case HTTP1_BODY_END:
		x->body_ended = true;
		if (!http_trailers_make(x, x->piece.data))
			return body_fault(x, 503, err_set(WEFT_ENOMEM));
		x->piece.len = 0;
		return WEFT_OK;
	case HTTP1_BODY_FAULT:
		x->piece.len = 0;
		return malformed(x);
	case HTTP1_BODY_MORE:
	default:
		x->piece.len = 0;
		return WEFT_EAGAIN;
	}
}

/* Content straight to the handler's memory. *got 0: it did not go so. */
static weft_err read_direct(
	weft_http_exchange *x, void *data, size_t size, size_t *got, weft_deadline until)
{
	uint64_t direct = http1_body_direct(&x->body);
	struct iovec iov = { data, size < direct ? size : (size_t)direct };
	weft_err err;

	*got = 0;
	if (x->in.len || iov.iov_len < DIRECT_MIN)
		return WEFT_OK;
	err = client_read(x, &iov, got, until);
	http1_body_took(&x->body, *got);
	return err;
}

static void count_content(weft_http_exchange *x, size_t len)
{
	x->body_in += len;
	x->in_pace.moved += len;
}

/* At least a byte, or the end. The body has not ended, no fault was found before. */
static weft_err read_content(
	weft_http_exchange *x, void *data, size_t size, size_t *got, weft_deadline until)
{
	weft_err err = WEFT_OK;

	*got = 0;
	while (!x->piece.len && !x->body_ended) {
		err = next_piece(x);
		if (err != WEFT_EAGAIN) {
			if (err)
				return err;
			continue;
		}
		err = http_put_continue(x, until);
		if (!err)
			err = read_direct(x, data, size, got, until);
		if (!err && !*got)
			err = client_read(x, NULL, got, until);
		/* of a write before it: a closed connection is no end of a body */
		if (err)
			return err == WEFT_ECLOSED ? ended_within(x) : err;
		if (*got)
			return WEFT_OK;
	}
	if (x->body_ended)
		return err_set(WEFT_ECLOSED);
	*got = x->piece.len < size ? x->piece.len : size;
	memcpy(data, x->piece.data, *got);
	x->piece.data += *got;
	x->piece.len -= *got;
	return WEFT_OK;
}

int64_t weft_http_exchange_body_length(const weft_http_exchange *x)
{
	const struct http1_framing *framing = &x->hot->parser.head.framing;

	if (framing->kind == HTTP1_LENGTH)
		return framing->content_length;
	return framing->kind == HTTP1_CHUNKED ? -1 : 0;
}

void weft_http_exchange_body_size_max_set(weft_http_exchange *x, uint64_t size_max)
{
	x->body_max = size_max;
}

/* What stands against a read, found before. */
static weft_err may_read(weft_http_exchange *x)
{
	weft_err err = http_exchange_check(x, "read");

	if (err)
		return err;
	if (x->fault)
		return err_set(x->fault);
	if (x->body_ended)
		return err_set(WEFT_ECLOSED);
	if (x->gone)
		return err_setf(WEFT_EINVAL, "read: the connection is watched");
	if (!x->body_begun && weft_http_exchange_body_length(x) > 0 &&
		(uint64_t)weft_http_exchange_body_length(x) > x->body_max)
		return too_large(x);
	x->body_begun = true;
	return WEFT_OK;
}

weft_err weft_http_exchange_read(
	weft_http_exchange *x, void *data, size_t size, size_t *got, weft_deadline until)
{
	size_t n = 0;
	weft_err err = may_read(x);

	if (err)
		return err;
	if (!size) {
		*got = 0;
		return WEFT_OK;
	}
	err = read_content(x, data, size, &n, until);
	if (err)
		return err;
	count_content(x, n);
	if (x->body_in > x->body_max)
		return too_large(x);
	*got = n;
	return WEFT_OK;
}

/* Twice the room, within the limit. */
static weft_err grow(weft_http_exchange *x, struct http_note **note, size_t *cap)
{
	size_t larger = *cap ? 2 * *cap : GROW_MIN;
	struct http_note *moved = mem_realloc(*note, sizeof(*moved) + larger + 1);

	if (!moved)
		return err_setf(
			WEFT_ENOMEM, "body of %s: out of memory", weft_http_exchange_peer(x));
	*note = moved;
	*cap = larger;
	return WEFT_OK;
}

static weft_err read_until_end(weft_http_exchange *x, struct http_note **note, size_t cap,
	size_t *len, weft_deadline until)
{
	weft_err err = WEFT_OK;

	do {
		size_t got = 0;

		/* one more than the content: so its end is seen without growing */
		if (*len == cap)
			err = grow(x, note, &cap);
		if (!err)
			err = weft_http_exchange_read(
				x, (*note)->text + *len, cap - *len, &got, until);
		*len += got;
	} while (!err);
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

weft_err weft_http_exchange_read_all(
	weft_http_exchange *x, const char **data, size_t *len, weft_deadline until)
{
	int64_t announced = weft_http_exchange_body_length(x);
	struct http_note *note = NULL;
	size_t cap = 0, done = 0;
	weft_err err = may_read(x);

	if (err && err != WEFT_ECLOSED)
		return err;
	if (announced > 0)
		cap = (size_t)announced + 1;
	/* trust grows with what has come: an announcement alone costs little */
	cap = cap > HTTP_IN_BLOCK ? HTTP_IN_BLOCK : cap ? cap : GROW_MIN;
	note = mem_alloc(sizeof(*note) + cap + 1);
	if (!note)
		return err_setf(
			WEFT_ENOMEM, "body of %s: out of memory", weft_http_exchange_peer(x));
	err = read_until_end(x, &note, cap, &done, until);
	if (err) {
		mem_free(note);
		/* what had come is gone: nobody is to take the rest for the whole */
		return x->fault ? err : body_fault(x, 0, err);
	}
	note->text[done] = '\0';
	note->next = x->notes;
	x->notes = note;
	*data = note->text;
	*len = done;
	return WEFT_OK;
}

weft_err http_body_drop(weft_http_exchange *x)
{
	size_t dropped = 0;

	if (x->fault)
		return err_set(x->fault);
	while (!x->body_ended) {
		size_t n = x->piece.len, none;
		weft_err err = WEFT_OK;

		dropped += n;
		x->piece.len = 0;
		count_content(x, n);
		if (dropped > x->server->options.body_drop_max)
			return err_set(WEFT_EMSGSIZE);
		err = next_piece(x);
		if (err == WEFT_EAGAIN)
			err = client_read(x, NULL, &none, WEFT_FOREVER);
		if (err)
			return err;
	}
	return WEFT_OK;
}
