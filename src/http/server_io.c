/* SPDX-License-Identifier: MIT */
/*
 * A connection's bytes: the window of what was read, the gather of what is to be sent.
 */
#include "base/err.h"
#include "base/mem.h"
#include "http/server.h"

#include <string.h>

#define WINDOW_ROOM_MIN ((size_t)256) /* less is not worth a read */

weft_deadline http_pace_limit(
	const weft_http_server *server, const struct http_pace *pace, int64_t grace_ns)
{
	uint64_t rate = server->options.body_rate_min;
	uint64_t seconds = pace->moved / rate;
	int64_t earned = seconds > 1000000000
		? WEFT_FOREVER / 2
		: (int64_t)seconds * 1000000000 + (int64_t)(pace->moved % rate * 1000000000 / rate);

	return weft_after_ns(grace_ns + earned - pace->waited_ns);
}

/* ---- reading ---- */

void http_in_init(weft_http_exchange *x)
{
	x->in = (struct http_window){ .base = x->inline_in, .cap = HTTP_IN_INLINE };
}

void http_in_rewind(weft_http_exchange *x, bool keep_block)
{
	x->in.at = 0;
	if (keep_block || !x->in.block.block)
		return;
	weft_buf_unref(&x->in.block);
	http_in_init(x);
}

/* To a block of its own, the bytes with it. */
static weft_err window_move(weft_http_exchange *x, size_t size)
{
	struct http_window *in = &x->in;
	weft_buf block;
	weft_err err = weft_buf_alloc(&block, x->server->pool, size);

	if (err)
		return err_wrap(err, "read from %s", weft_conn_peer_name(x->conn));
	memcpy(block.data, in->base + in->at, in->len);
	if (x->head && !x->head_block.block)
		x->head_block = in->block; /* empty if it is the inline one, which stays */
	else
		weft_buf_unref(&in->block);
	x->head_moved = true;
	in->block = block;
	in->base = (char *)block.data;
	in->cap = size;
	in->at = 0;
	return WEFT_OK;
}

weft_err http_in_reserve(weft_http_exchange *x, size_t want)
{
	struct http_window *in = &x->in;
	bool is_shared = x->head && !x->head_moved; /* with the head, whose place is fixed */
	size_t size;

	if (!is_shared && in->len == 0)
		in->at = 0;
	if (in->cap - in->at - in->len >= want)
		return WEFT_OK;
	if (!is_shared && in->cap - in->len >= want) {
		memmove(in->base, in->base + in->at, in->len);
		in->at = 0;
		return WEFT_OK;
	}
	size = in->len + want < HTTP_IN_BLOCK ? HTTP_IN_BLOCK : 2 * (in->len + want);
	return window_move(x, size);
}

weft_err http_in_readv(weft_http_exchange *x, struct iovec *iov, unsigned iov_count, size_t *got,
	weft_deadline until)
{
	weft_err err;

	*got = 0;
	err = weft_conn_readv(x->conn, iov, iov_count, got, until);
	counter_own_add(&x->shard->counts.reads, 1);
	counter_own_add(&x->shard->counts.bytes_in, *got);
	return err;
}

weft_err http_in_more(weft_http_exchange *x, size_t room, weft_deadline until)
{
	struct http_window *in = &x->in;
	struct iovec iov;
	size_t got;
	weft_err err = http_in_reserve(x, room);

	if (err)
		return err;
	iov.iov_base = in->base + in->at + in->len;
	iov.iov_len = in->cap - in->at - in->len;
	err = http_in_readv(x, &iov, 1, &got, until);
	in->len += got;
	return err;
}

weft_err http_in_fill(weft_http_exchange *x, weft_deadline until)
{
	return http_in_more(x, x->in.len ? 1 : WINDOW_ROOM_MIN, until);
}

/* ---- sending ---- */

static void gather_give(weft_http_exchange *x)
{
	struct http_shard *shard = x->shard;

	x->out.len = 0;
	if (!x->out.block.block)
		return;
	if (!shard->spare_out.block && x->out.cap == HTTP_OUT_BLOCK) {
		shard->spare_out = x->out.block;
		x->out.block = (weft_buf)WEFT_BUF_EMPTY;
	} else {
		weft_buf_unref(&x->out.block);
	}
	x->out.cap = 0;
}

static weft_err gather_take(weft_http_exchange *x, size_t size)
{
	struct http_shard *shard = x->shard;
	weft_err err;

	gather_give(x);
	if (size <= HTTP_OUT_BLOCK && shard->spare_out.block) {
		x->out.block = shard->spare_out;
		shard->spare_out = (weft_buf)WEFT_BUF_EMPTY;
		x->out.cap = HTTP_OUT_BLOCK;
		return WEFT_OK;
	}
	size = size < HTTP_OUT_BLOCK ? HTTP_OUT_BLOCK : size;
	err = weft_buf_alloc(&x->out.block, x->server->pool, size);
	if (err)
		return err_wrap(err, "reply to %s", weft_conn_peer_name(x->conn));
	x->out.cap = size;
	return WEFT_OK;
}

weft_err http_out_reserve(weft_http_exchange *x, size_t size, weft_deadline until)
{
	weft_err err;

	if (weft_likely(http_out_room(x) >= size))
		return WEFT_OK;
	err = http_out_flush(x, until);
	return err ? err : gather_take(x, size);
}

void http_out_put(weft_http_exchange *x, const void *data, size_t len)
{
	memcpy(x->out.block.data + x->out.len, data, len);
	x->out.len += len;
}

/* What was sent of the gather is dropped, the rest moves up. */
static void gather_sent(weft_http_exchange *x, size_t len)
{
	if (x->response.state != HTTP_RESPONSE_NONE) {
		if (len > x->response.mark)
			x->response.has_left = true;
		x->response.mark -= len < x->response.mark ? len : x->response.mark;
	}
	memmove(x->out.block.data, x->out.block.data + len, x->out.len - len);
	x->out.len -= len;
}

static void count_sent(weft_http_exchange *x, const struct http_sent *sent)
{
	counter_own_add(&x->shard->counts.writes, sent->writes);
	counter_own_add(&x->shard->counts.bytes_out, sent->bytes);
	x->timed_out |= sent->timed_out;
}

/* Returns the bytes that are left. */
static size_t iov_advance(struct iovec *iov, unsigned count, size_t len)
{
	size_t left = 0;

	for (unsigned i = 0; i < count; i++) {
		size_t n = len < iov[i].iov_len ? len : iov[i].iov_len;

		iov[i].iov_base = (char *)iov[i].iov_base + n;
		iov[i].iov_len -= n;
		len -= n;
		left += iov[i].iov_len;
	}
	return left;
}

/* One more call, which may wait. False: it is over, *err says how. */
static bool send_more(const weft_http_server *server, weft_conn *conn, struct http_pace *pace,
	struct iovec *iov, unsigned count, weft_deadline until, struct http_sent *sent,
	weft_err *err)
{
	int64_t patience_ns = server->options.write_timeout_ns;
	weft_deadline began = weft_now(), stall = weft_after_ns(patience_ns),
		      limit = http_pace_limit(server, pace, patience_ns), end;
	size_t written = 0, left;

	end = stall < limit ? stall : limit;
	*err = weft_conn_writev(conn, iov, count, &written, end < until ? end : until);
	sent->writes++;
	sent->bytes += written;
	pace->waited_ns += weft_now() - began;
	pace->moved += written;
	left = iov_advance(iov, count, written);
	if (*err != WEFT_ETIMEDOUT || end > until)
		return false;
	/* nothing left: TLS has taken all, and can't get rid of it */
	if (written && stall < limit && left)
		return true; /* it moves */
	sent->timed_out = true;
	*err = err_setf(
		WEFT_ETIMEDOUT, "%s takes the response too slowly", weft_conn_peer_name(conn));
	return false;
}

weft_err http_send(const weft_http_server *server, weft_conn *conn, struct http_pace *pace,
	struct iovec *iov, unsigned count, weft_deadline until, struct http_sent *sent)
{
	size_t written = 0;
	weft_err err;

	*sent = (struct http_sent){ 0 };
	/* mostly it fits, and no clock is looked at; TLS might keep some of it for later */
	if (!server->options.tls || until == WEFT_NOW) {
		err = weft_conn_writev(conn, iov, count, &written, WEFT_NOW);
		sent->writes = 1;
		sent->bytes = written;
		if (weft_likely(!err) || err != WEFT_ETIMEDOUT || until == WEFT_NOW)
			return err;
		pace->moved += written;
		(void)iov_advance(iov, count, written);
	}
	while (send_more(server, conn, pace, iov, count, until, sent, &err))
		;
	return err;
}

/* The gather is ours alone after this. */
static weft_err gather_claim(weft_http_exchange *x)
{
	while (x->is_flushing) /* the keeper waits for its turn within a send */
		(void)weft_yield();
	list_remove(&x->flush_link); /* the keeper would write beside us */
	return x->broken ? err_set(x->broken) : WEFT_OK;
}

weft_err http_out_send(
	weft_http_exchange *x, const struct iovec *more, unsigned more_count, weft_deadline until)
{
	struct http_sent sent;
	struct iovec iov[4];
	unsigned count = 0;
	weft_err err = gather_claim(x);

	if (err)
		return err;
	if (x->out.len)
		iov[count++] = (struct iovec){ x->out.block.data, x->out.len };
	for (unsigned i = 0; i < more_count; i++)
		iov[count++] = more[i];
	if (!count)
		return WEFT_OK;
	if (x->response.state != HTTP_RESPONSE_NONE)
		x->response.has_left = true;
	err = http_send(x->server, x->conn, &x->out_pace, iov, count, until, &sent);
	count_sent(x, &sent);
	if (err)
		x->broken = err;
	gather_give(x);
	return err;
}

weft_err http_out_flush(weft_http_exchange *x, weft_deadline until)
{
	if (!x->out.len && !x->is_flushing)
		return x->broken ? err_set(x->broken) : WEFT_OK;
	return http_out_send(x, NULL, 0, until);
}

weft_err http_out_push(weft_http_exchange *x, weft_deadline until)
{
	struct http_sent sent;
	struct iovec iov;
	weft_err err = gather_claim(x);

	if (err || !x->out.len)
		return err;
	iov = (struct iovec){ x->out.block.data, x->out.len };
	err = http_send(x->server, x->conn, &x->out_pace, &iov, 1, until, &sent);
	count_sent(x, &sent);
	gather_sent(x, (size_t)sent.bytes);
	if (err && (err != WEFT_ETIMEDOUT || sent.timed_out))
		x->broken = err;
	else if (x->out.len)
		http_out_entrust(x); /* the handler may be long */
	else
		gather_give(x);
	return err;
}

bool http_out_try(weft_http_exchange *x)
{
	struct iovec iov;
	size_t written = 0;
	weft_err err;

	if (!x->out.len || x->broken)
		return true;
	iov = (struct iovec){ x->out.block.data, x->out.len };
	x->is_flushing = true;
	err = weft_conn_writev(x->conn, &iov, 1, &written, WEFT_NOW);
	x->is_flushing = false;
	counter_own_add(&x->shard->counts.writes, 1);
	counter_own_add(&x->shard->counts.bytes_out, written);
	gather_sent(x, written);
	if (err && err != WEFT_ETIMEDOUT)
		x->broken = err;
	return err != WEFT_ETIMEDOUT;
}

void http_out_entrust(weft_http_exchange *x)
{
	if (!x->out.len || !list_is_empty(&x->flush_link))
		return;
	list_push_back(&x->shard->flushes, &x->flush_link);
	bell_ring(&x->shard->keeper);
}

void http_out_drop(weft_http_exchange *x)
{
	while (x->is_flushing)
		(void)weft_yield();
	list_remove(&x->flush_link);
	gather_give(x);
}
