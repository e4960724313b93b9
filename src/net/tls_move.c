/* SPDX-License-Identifier: MIT */
/* Between SSL's blocks of memory and the lower conn; see tls_conn.c. */
#include "base/err.h"
#include "base/mem.h"
#include "net/tls.h"
#include "net/tls_cache.h"
#include "rt/rt.h"

#include <openssl/err.h>

#include <string.h>

#define IN_MIN ((size_t)4096)
#define IN_MAX ((size_t)33 << 10) /* two whole records; see in_prepare */
#define IN_CALM 64		  /* fills in a row that needed less than a block of IN_MIN */
#define LAST_RECORDS 64		  /* looked at for an alert */
#define OUT_KEEP ((size_t)4096)	  /* of an idle conn */

/* ---- faults ---- */

/* Lock held. SSL can't go on. */
void tls_fault_set(struct tls_conn *c, weft_err err, const char *text)
{
	if (c->fault)
		return;
	c->fault = err;
	c->fault_text = mem_strdup(text);
}

/* Lock held. */
weft_err tls_fault_get(struct tls_conn *c, const char *what)
{
	return err_setf(c->fault, "%s %s: %s", what, c->base.peer_name ? c->base.peer_name : "tls",
		c->fault_text ? c->fault_text : weft_strerror(c->fault));
}

/* ---- roles ---- */

/* Lock held, released while parked: until whoever has the role has given it up once, or earlier. */
static weft_err role_wait(struct tls_conn *c, struct tls_role *role, weft_deadline until)
{
	weft_parker *parker = weft_parker_self();
	weft_err err;

	role->waiter = parker;
	rt_lock_release(&c->lock);
	err = rt_park(until, "tls");
	rt_lock_acquire(&c->lock);
	if (role->waiter == parker)
		role->waiter = NULL;
	return err;
}

/* Lock held, released while parked: until whoever has the role gives it up. */
weft_err tls_role_await(struct tls_conn *c, struct tls_role *role, weft_deadline until)
{
	weft_err err = WEFT_OK;

	while (!err && role->taken)
		err = role_wait(c, role, until);
	return err;
}

/* Lock held. */
void tls_role_give_up(struct tls_role *role)
{
	weft_parker *waiter = role->waiter;

	role->taken = false;
	role->waiter = NULL;
	if (waiter)
		weft_unpark(waiter);
}

/* ---- filling ---- */

/* Lock held; by who fills. Larger when bytes come in bulk, but so that what is copied from here to
 * SSL's record is still in the core's first cache (48 KiB): blocks of 64 KiB took 5 % more time. */
static weft_err in_prepare(struct tls_conn *c)
{
	struct tls_block *in = &c->in;
	size_t want = in->cap ? in->cap : IN_MIN;

	if (in->head == in->cap && in->cap && in->cap < IN_MAX)
		want = in->cap * 4 < IN_MAX ? in->cap * 4 : IN_MAX;
	c->fills_small = in->head <= IN_MIN ? c->fills_small + 1 : 0;
	if (in->cap > IN_MIN && c->fills_small >= IN_CALM)
		want = IN_MIN;
	in->head = 0;
	if (want == in->cap)
		return WEFT_OK;
	tls_block_free(in);
	c->fills_small = 0;
	return tls_block_reserve(c, in, want) ? WEFT_OK : err_set(WEFT_ENOMEM);
}

static void first_note(struct tls_conn *c, size_t got)
{
	for (size_t i = 0; i < got && c->first_len + i < sizeof(c->first); i++)
		c->first[c->first_len + i] = c->in.data[i];
	c->first_len += got;
}

static weft_err ended(struct tls_conn *c)
{
	if (c->is_interrupted)
		return err_set(WEFT_ECLOSED);
	if (!c->is_up)
		return err_setf(WEFT_ERESET, "the peer closed the connection%s",
			c->first_len ? " within the handshake" : " without a word of TLS");
	return err_setf(WEFT_ERESET, "read %s: the stream was cut: it ended without close_notify",
		c->base.peer_name);
}

/* Lock held, released meanwhile. WEFT_OK: there may be more for SSL to read. */
weft_err tls_fill(struct tls_conn *c, weft_deadline until)
{
	struct iovec in;
	size_t got = 0;
	weft_err err;

	if (c->in.len)
		return WEFT_OK;
	/* Once only: what came may be all that the caller lacked, though the other has taken the
	 * role again since, for bytes that may be long in coming. */
	if (c->filling.taken)
		return role_wait(c, &c->filling, until);
	err = in_prepare(c);
	if (err)
		return err;
	c->filling.taken = true;
	in = (struct iovec){ c->in.data, c->in.cap };
	rt_lock_release(&c->lock);
	err = weft_conn_readv(c->lower, &in, 1, &got, until);
	rt_lock_acquire(&c->lock);
	if (!err) {
		if (!c->is_up)
			first_note(c, got);
		c->in.len = got;
	}
	tls_role_give_up(&c->filling);
	return err == WEFT_ECLOSED ? ended(c) : err;
}

/* ---- sending ---- */

/* The role is had; lock held, released meanwhile. Until all is sent. */
weft_err tls_send_all(struct tls_conn *c, weft_deadline until)
{
	struct tls_block *flight = &c->flight;
	weft_err err = WEFT_OK;

	while (!err && (flight->len || c->out.len)) {
		size_t written = 0;

		if (!flight->len) {
			struct tls_block swap = *flight;

			*flight = c->out;
			c->out = swap;
			c->out.head = 0;
		}
		rt_lock_release(&c->lock);
		err = weft_conn_write(
			c->lower, flight->data + flight->head, flight->len, &written, until);
		rt_lock_acquire(&c->lock);
		flight->head += written;
		flight->len -= written;
		if (!flight->len)
			flight->head = 0;
	}
	return err;
}

/* Nothing waits here, so that a fiber that was cancelled may do it, too. */
weft_err tls_send_now(struct tls_conn *c)
{
	weft_err err;

	weft_shield_begin();
	err = tls_send_all(c, WEFT_NOW);
	weft_shield_end();
	return err;
}

/* Lock held. What an idle conn need not keep. */
void tls_blocks_trim(struct tls_conn *c)
{
	if (!c->flight.len && c->flight.cap > OUT_KEEP)
		tls_block_free(&c->flight);
	if (!c->out.len && (c->out.cap > OUT_KEEP || c->flight.cap))
		tls_block_free(&c->out);
}

/* What is tried beside does not change what the caller's error says. */
static struct err_slot error_keep(void)
{
	struct err_slot kept = { .err = WEFT_OK };

	err_slot_copy(&kept, err_slot_self());
	return kept;
}

static void error_restore(struct err_slot *kept)
{
	err_slot_copy(err_slot_self(), kept);
	err_slot_fini(kept);
}

/* Lock held, released meanwhile. By who is not the writer: what needs no waiting. */
void tls_send_soon(struct tls_conn *c)
{
	struct err_slot kept;

	if (c->is_writing || c->sending.taken || !(c->out.len || c->flight.len))
		return;
	kept = error_keep();
	c->sending.taken = true;
	(void)!tls_send_now(c);
	tls_blocks_trim(c);
	tls_role_give_up(&c->sending);
	error_restore(&kept);
}

/* ---- SSL ---- */

/* Lock held. After a call that returned that. */
enum tls_step tls_judge(struct tls_conn *c, int result)
{
	char text[TLS_TEXT_MAX];
	weft_err err;

	if (result > 0)
		return TLS_STEP_DONE;
	switch (SSL_get_error(c->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return c->in.len ? TLS_STEP_AGAIN : TLS_STEP_FILL;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_STEP_END;
	default:
		err = tls_error_take(c, text);
		tls_fault_set(c, err, text);
		return TLS_STEP_FAULT;
	}
}

/*
 * Lock held, released meanwhile. The peer takes no more; before it closed it may have said why: an
 * alert, which who only writes would never see. If there is one, it becomes the fault.
 */
void tls_last_words(struct tls_conn *c)
{
	struct err_slot kept = error_keep();
	enum tls_step step = TLS_STEP_AGAIN;
	uint8_t byte;
	size_t got;

	weft_shield_begin();
	for (int i = 0; i < LAST_RECORDS && !c->fault && !c->is_interrupted; i++) {
		if ((step != TLS_STEP_FILL && step != TLS_STEP_AGAIN) || tls_fill(c, WEFT_NOW))
			break;
		ERR_clear_error();
		step = tls_judge(c,
			SSL_in_init(c->ssl) ? SSL_do_handshake(c->ssl)
					    : SSL_peek_ex(c->ssl, &byte, sizeof(byte), &got));
	}
	weft_shield_end();
	error_restore(&kept);
}

/* Tickets that came meanwhile go to the cache, without the lock. */
void tls_fresh_keep(struct tls_conn *c)
{
	SSL_SESSION *fresh[TLS_FRESH_MAX];
	unsigned count;
	bool is_current;

	is_current = weft_cell_enter(c->tls->context) == c->context;
	weft_cell_leave(c->tls->context);
	rt_lock_acquire(&c->lock);
	count = c->fresh_len;
	memcpy(fresh, c->fresh, sizeof(fresh));
	c->fresh_len = 0;
	rt_lock_release(&c->lock);
	for (unsigned i = 0; i < count; i++)
		tls_cache_put_own(is_current ? c->tls->cache : NULL, c->session_key, fresh[i],
			tls_cache_now());
}

void tls_let_others(struct tls_conn *c)
{
	rt_lock_release(&c->lock);
	(void)weft_yield(); /* cancelled: the next wait says so */
	rt_lock_acquire(&c->lock);
}
