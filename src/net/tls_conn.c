/* SPDX-License-Identifier: MIT */
/*
 * A TLS connection over any conn.
 *
 * SSL never waits: it reads from and writes to blocks of memory (tls_bio.c). Whoever calls it
 * holds conn->lock, for one record at most; what is there to be sent, or is missing, is moved
 * to and from the lower conn outside the lock, by whoever has the role for it:
 *
 *	read:   lock { SSL_read: in -> caller's memory }   wants more: fill: lower -> in
 *	write:  lock { SSL_write: caller's memory -> out }  x 4 records: send: out -> lower
 *
 * The reader fills, the writer sends. But a writer fills, too, when the peer's last record
 * ended within a message of the handshake (a ticket in two parts): SSL does not write then.
 * And a reader whose SSL made an alert, or an answer, sends it if that needs no waiting and
 * no writer is inside; else it goes out with the next write, or, when there is much of that, it is
 * sent before more is read.
 *
 * Copies of a byte: reading, lower -> in -> SSL's record (decrypted in place) -> caller's;
 * writing, caller's -> SSL's record (encrypted in place) -> out -> lower. Bytes of many short
 * iovecs are gathered before that into whole records: one more. Calls of lower: one to write each
 * 64 KiB or less, one to read each 33 KiB or less. Locks: one uncontended pair a record.
 * Allocations: SSL takes its two records of 16 KiB when it needs them and gives them back (an idle
 * conn keeps none); `out` above 4 KiB goes back to the configuration's pool at the end of a write,
 * `in` when reads have become small.
 *
 * A handshake takes 8 KiB of stack at each end, a server with an RSA key 13 (measured by painting
 * it, OpenSSL 3.0.19, x86-64): a fiber of 64 KiB has room for it.
 */
#include "base/err.h"
#include "base/mem.h"
#include "net/tls.h"
#include "net/tls_cache.h"

#include <openssl/err.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define OUT_RECORDS 4 /* encrypted before they are sent together */
/* What a record adds to its bytes at most: SSL3_RT_MAX_ENCRYPTED_OVERHEAD and its header. */
#define RECORD_EXTRA ((size_t)SSL3_RT_MAX_ENCRYPTED_OVERHEAD + SSL3_RT_HEADER_LENGTH)
#define KEY_RECORDS ((uint64_t)1 << 23) /* AES-GCM allows 2^24.5 (RFC 8446, section 5.5) */
#define EMPTY_MAX 32 /* records without data in a row, until others have a turn */
/* Of answers that wait to be sent; more than a writer's records. */
#define ANSWERS_MAX ((size_t)128 << 10)
#define SHUTDOWN_NS INT64_C(10000000000)

static struct tls_conn *self(weft_conn *conn)
{
	return (struct tls_conn *)conn;
}

/* ---- reading ---- */

struct reading {
	const struct iovec *iov;
	unsigned left;
	size_t skip; /* bytes of iov[0] that are read */
	size_t got;
};

static void reading_advance(struct reading *r, size_t bytes)
{
	r->got += bytes;
	r->skip += bytes;
	while (r->left && r->skip == r->iov->iov_len) {
		r->iov++;
		r->left--;
		r->skip = 0;
	}
}

/* Lock held, released between records. As much as is there. */
static enum tls_step read_records(struct tls_conn *c, struct reading *r)
{
	enum tls_step step = TLS_STEP_DONE;
	unsigned empty = 0;
	size_t held = r->got; /* read when the lock was taken */

	while (r->left && (step == TLS_STEP_DONE || step == TLS_STEP_AGAIN)) {
		size_t got = 0;

		if (c->fault)
			return TLS_STEP_FAULT;
		ERR_clear_error();
		step = tls_judge(c,
			SSL_read_ex(c->ssl, (char *)r->iov->iov_base + r->skip,
				r->iov->iov_len - r->skip, &got));
		reading_advance(r, got);
		if (step == TLS_STEP_DONE && r->got && !c->in.len && !SSL_has_pending(c->ssl))
			return TLS_STEP_DONE;
		if (step == TLS_STEP_AGAIN && ++empty == EMPTY_MAX)
			return step;
		if (r->got - held >= TLS_RECORD_MAX) {
			rt_lock_release(&c->lock);
			held = r->got;
			rt_lock_acquire(&c->lock);
		}
	}
	return step;
}

/*
 * Lock held, released meanwhile. SSL answers some of what it reads, such as a KeyUpdate (RFC 8446,
 * section 4.6.3), and the peer need not read that: then no more is read until it has.
 */
static weft_err answers_send(struct tls_conn *c, weft_deadline until)
{
	weft_err err = tls_role_await(c, &c->sending, until);

	if (err)
		return err;
	c->sending.taken = true;
	err = tls_send_all(c, until);
	if (err == WEFT_ERESET || err == WEFT_ECLOSED) { /* nobody takes them; reading may go on */
		c->out.len = c->flight.len = 0;
		err = WEFT_OK;
	}
	tls_blocks_trim(c);
	tls_role_give_up(&c->sending);
	return err;
}

static weft_err read_step(struct tls_conn *c, struct reading *r, weft_deadline until)
{
	for (;;) {
		enum tls_step step;
		weft_err err;

		if (c->out.len >= ANSWERS_MAX) {
			err = answers_send(c, until);
			if (err)
				return err;
		}
		if (c->is_interrupted)
			return err_set(WEFT_ECLOSED);
		step = read_records(c, r);
		if (r->got)
			return WEFT_OK;
		if (step == TLS_STEP_END)
			return err_set(WEFT_ECLOSED);
		if (step == TLS_STEP_FAULT)
			return tls_fault_get(c, "read");
		tls_send_soon(c);
		if (step == TLS_STEP_AGAIN) { /* such a peer need not come to an end */
			tls_let_others(c);
			if (weft_now() >= until)
				return err_set(WEFT_ETIMEDOUT);
			continue;
		}
		err = tls_fill(c, until);
		if (err)
			return err;
	}
}

static weft_err tls_readv(weft_conn *conn, const struct iovec *iov, unsigned iov_count, size_t *got,
	weft_deadline until)
{
	struct tls_conn *c = self(conn);
	struct reading r = { iov, iov_count, 0, 0 };
	bool is_fresh;
	weft_err err;

	reading_advance(&r, 0);
	rt_lock_acquire(&c->lock);
	err = read_step(c, &r, until);
	if (c->out.len)
		tls_send_soon(c);
	is_fresh = c->fresh_len > 0;
	rt_lock_release(&c->lock);
	if (is_fresh)
		tls_fresh_keep(c);
	*got = r.got;
	return err;
}

/* ---- writing ---- */

struct writing {
	const struct iovec *iov;
	unsigned left;
	size_t skip;	   /* bytes of iov[0] that are records, or gathered */
	size_t done;	   /* bytes that are records */
	uint8_t *gathered; /* TLS_RECORD_MAX bytes, if there are short iovecs */
	size_t gathered_len;
	uint8_t last; /* of the bytes that are done */
};

static void writing_advance(struct writing *w, size_t bytes)
{
	w->skip += bytes;
	while (w->left && w->skip == w->iov->iov_len) {
		w->iov++;
		w->left--;
		w->skip = 0;
	}
}

/* What the next record is to carry, *size bytes; NULL: no memory. Without the lock. */
static const uint8_t *record_gather(struct writing *w, size_t *size)
{
	const uint8_t *here = (const uint8_t *)w->iov->iov_base + w->skip;
	size_t left = w->iov->iov_len - w->skip;

	if (left >= TLS_RECORD_MAX || w->left == 1) {
		*size = left < TLS_RECORD_MAX ? left : TLS_RECORD_MAX;
		writing_advance(w, *size);
		return here;
	}
	if (!w->gathered)
		w->gathered = mem_alloc(TLS_RECORD_MAX);
	if (!w->gathered)
		return NULL;
	*size = 0;
	while (w->left && *size < TLS_RECORD_MAX) {
		size_t n = w->iov->iov_len - w->skip, room = TLS_RECORD_MAX - *size;

		n = n < room ? n : room;
		memcpy(w->gathered + *size, (const uint8_t *)w->iov->iov_base + w->skip, n);
		*size += n;
		writing_advance(w, n);
	}
	return w->gathered;
}

/* Lock held. New keys before those that there are have been used too often. */
static void keys_renew(struct tls_conn *c)
{
	if (c->records < KEY_RECORDS || SSL_version(c->ssl) < TLS1_3_VERSION)
		return;
	ERR_clear_error();
	if (SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED))
		c->records = 0;
}

/* Lock held, released while waiting. One record into `out`. */
static weft_err record_write(
	struct tls_conn *c, const uint8_t *data, size_t size, weft_deadline until)
{
	for (;;) {
		size_t written = 0;
		enum tls_step step;
		weft_err err;

		if (c->fault)
			return tls_fault_get(c, "write");
		if (c->is_interrupted)
			return err_set(WEFT_ECLOSED);
		keys_renew(c);
		ERR_clear_error();
		step = tls_judge(c, SSL_write_ex(c->ssl, data, size, &written));
		if (step == TLS_STEP_DONE) {
			c->records++;
			return WEFT_OK;
		}
		if (step == TLS_STEP_END) /* of the other direction: not said of a write */
			return err_setf(
				WEFT_ERESET, "write %s: the peer has closed", c->base.peer_name);
		err = step == TLS_STEP_FILL ? tls_fill(c, until) : WEFT_OK;
		if (err)
			return err;
	}
}

/* Room for a record of size bytes and for those behind it that go with it, and for a KeyUpdate
 * before them: taken at once, so that what is there is not moved. */
static size_t records_room(const struct writing *w, size_t size, unsigned records)
{
	size_t all = size, most = records * TLS_RECORD_MAX;

	for (unsigned i = 0; i < w->left && all < most; i++)
		all += w->iov[i].iov_len - (i ? 0 : w->skip);
	all = all < most ? all : most;
	return all + (all / TLS_RECORD_MAX + 2) * (RECORD_EXTRA + 64);
}

/* Lock held. As many records as go together. */
static weft_err records_write(struct tls_conn *c, struct writing *w, weft_deadline until)
{
	weft_err err = WEFT_OK;

	for (unsigned i = 0; !err && w->left && i < OUT_RECORDS; i++) {
		struct writing at = *w;
		const uint8_t *data;
		size_t size = 0;

		rt_lock_release(&c->lock);
		data = record_gather(w, &size);
		rt_lock_acquire(&c->lock);
		if (!data || !tls_block_reserve(c, &c->out, records_room(w, size, OUT_RECORDS - i)))
			err = err_set(WEFT_ENOMEM);
		else
			err = record_write(c, data, size, until);
		if (err || !data) {
			at.gathered = w->gathered;
			*w = at;
			break;
		}
		w->done += size;
		w->last = data[size - 1];
	}
	return err;
}

/*
 * Lock held. What became a record must go out, but its writer was told that it has written
 * less, so that it comes again; it goes on with the byte that it was told is missing.
 */
static weft_err owed_check(struct tls_conn *c, struct writing *w)
{
	uint8_t next = *((const uint8_t *)w->iov->iov_base + w->skip);

	if (next == c->owed) {
		w->last = next;
		w->done = 1;
		writing_advance(w, 1);
		return WEFT_OK;
	}
	tls_fault_set(c, WEFT_EINVAL,
		"a write that was cut must go on with the byte after those written");
	return tls_fault_get(c, "write");
}

/* Lock held; the sender. */
static weft_err write_step(struct tls_conn *c, struct writing *w, weft_deadline until)
{
	weft_err err = WEFT_OK;

	if (c->fault) {
		(void)!tls_send_now(c); /* a reader's alert, which the reader left to us */
		return tls_fault_get(c, "write");
	}
	if (c->owes_byte)
		err = owed_check(c, w);
	if (!err)
		err = tls_send_all(c, until);
	if (err) {
		w->done = 0;
		return err;
	}
	c->owes_byte = false;
	while (w->left) {
		weft_err sent;

		err = records_write(c, w, until);
		sent = tls_send_all(c, until);
		if (err || sent)
			return err ? err : sent;
	}
	return WEFT_OK;
}

static weft_err tls_writev(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	struct tls_conn *c = self(conn);
	struct writing w = { .iov = iov, .left = iov_count };
	weft_err err;

	writing_advance(&w, 0);
	rt_lock_acquire(&c->lock);
	c->is_writing = true;
	err = tls_role_await(c, &c->sending, until);
	if (!err) {
		c->sending.taken = true;
		err = write_step(c, &w, until);
		if (err && !w.left && w.done && (c->flight.len || c->out.len)) {
			c->owes_byte = true;
			c->owed = w.last;
			w.done--;
		}
		tls_blocks_trim(c);
		tls_role_give_up(&c->sending);
	}
	c->is_writing = false;
	if (err == WEFT_ERESET)
		tls_last_words(c);
	if (err == WEFT_ERESET && c->fault)
		err = tls_fault_get(c, "write");
	if (err == WEFT_ECLOSED && !c->is_interrupted)
		err = err_setf(
			WEFT_ERESET, "write %s: the stream below is closed", conn->peer_name);
	rt_lock_release(&c->lock);
	mem_free(w.gathered);
	*written = w.done;
	return err;
}

/* ---- ending ---- */

/* Lock held. The last record. False: it can't be made. */
static bool close_notify(struct tls_conn *c)
{
	if (c->fault || !c->is_up || SSL_in_init(c->ssl) ||
		!tls_block_reserve(c, &c->out, RECORD_EXTRA + 64))
		return false;
	ERR_clear_error();
	if (!(SSL_get_shutdown(c->ssl) & SSL_SENT_SHUTDOWN))
		(void)SSL_shutdown(c->ssl);
	return true;
}

static weft_err tls_shutdown(weft_conn *conn)
{
	struct tls_conn *c = self(conn);
	weft_deadline until = weft_after_ns(SHUTDOWN_NS);
	weft_err err;

	rt_lock_acquire(&c->lock);
	err = tls_role_await(c, &c->sending, until);
	if (!err) {
		c->sending.taken = true;
		if (c->fault)
			err = tls_fault_get(c, "shutdown");
		else if (!close_notify(c))
			err = err_setf(WEFT_ERESET,
				"shutdown %s: within a message of the peer's handshake",
				conn->peer_name);
		if (!err)
			err = tls_send_now(c);
		if (err == WEFT_ETIMEDOUT)
			err = tls_send_all(c, until);
		if (err == WEFT_ETIMEDOUT)
			tls_fault_set(c, err, "the transport took no close_notify for 10 s");
		tls_blocks_trim(c);
		tls_role_give_up(&c->sending);
	}
	rt_lock_release(&c->lock);
	if (!err) {
		err = weft_conn_shutdown(c->lower);
		if (err == WEFT_ENOSYS) /* close_notify has said it */
			err = WEFT_OK;
	}
	return err;
}

static void tls_interrupt(weft_conn *conn, bool reset)
{
	struct tls_conn *c = self(conn);

	rt_lock_acquire(&c->lock);
	if (!reset && !c->is_writing) {
		(void)close_notify(c); /* not after a fault; then there may be an alert */
		tls_send_soon(c);
	}
	c->is_interrupted = true;
	rt_lock_release(&c->lock);
	if (reset)
		weft_conn_abort(c->lower);
	else
		weft_conn_close(c->lower);
}

static void tls_dispose(weft_conn *conn, bool reset)
{
	struct tls_conn *c = self(conn);

	if (reset)
		weft_conn_abort(c->lower);
	weft_conn_free(c->lower);
	c->lower = NULL;
}

void tls_conn_clear(struct tls_conn *c)
{
	for (unsigned i = 0; i < c->fresh_len; i++)
		SSL_SESSION_free(c->fresh[i]);
	/* A conn without close_notify does not spoil its session (RFC 5246, section 7.2.1), which
	 * others may share; a fault has done so. */
	if (c->ssl && c->is_up)
		SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	tls_block_free(&c->in);
	tls_block_free(&c->out);
	tls_block_free(&c->flight);
	tls_context_unref(c->context);
	weft_tls_unref(c->tls);
	mem_free(c->name);
	mem_free(c->session_key);
	mem_free(c->fault_text);
	mem_free(c->why);
	mem_free(c->peer_subject);
	mem_free(c->alpn);
	mem_free(c->server_name);
}

static void tls_destroy(weft_conn *conn)
{
	tls_conn_clear(self(conn));
}

static int tls_fd(weft_conn *conn)
{
	return weft_conn_fd(self(conn)->lower);
}

const struct conn_type tls_conn_type = {
	.readv = tls_readv,
	.writev = tls_writev,
	.shutdown = tls_shutdown,
	.interrupt = tls_interrupt,
	.dispose = tls_dispose,
	.destroy = tls_destroy,
	.fd = tls_fd,
};
