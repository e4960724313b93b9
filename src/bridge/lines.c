/* SPDX-License-Identifier: MIT */
/*
 * A message a line, over any conn.
 *
 * What it costs. Received: a share of a read; an allocation and a copy of the message, if it is
 * small; one that has most of the block that was read into takes that block instead, so no copy.
 * Sent, while nobody else sends: one write from where the message lies, no allocation, no wake, two
 * atomic steps. Sent while another writes: an allocation, and a share of that one's next write. Who
 * has the role and others beside it that are about to send lets them run first: 64 fibers that call
 * one child cost it and us one write, and its reading them at once, in place of 64.
 *
 * Who writes is a role. Whoever finds it free writes at once, as much as the conn takes without
 * waiting; the rest is left to a fiber that is made for it and ends when all is sent. Who finds the
 * role taken puts the message into a list, of which the writer takes all it can into one writev; a
 * bound on what is in there makes senders wait, before any of theirs was sent. So once the first
 * byte of a message has gone nothing but an end of the transport stops the others, and who waits can
 * always be told to stop waiting.
 *
 * The reader's fiber has a little memory of its own for what comes, and takes a block of the pool
 * only for what doesn't fit; after a while without a byte it gives it back.
 *
 *	state: STARTED: there is a reader, which tells the end
 *	       READ:    it is done with the conn
 *	       CLOSING: the owner closes: what is pending may be sent for LINES_CLOSE_WAIT_NS more
 *	       SENT:    ... which was done; the reader closes the conn, if it is not done with it
 *	       FAILED:  nothing can be sent any more: send_err and send_text say why
 *	role:  FREE -> HELD, by whom finds it free; held for good once CLOSING or FAILED was seen
 */
#include "bridge/lines.h"

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "rt/rt.h"

#include <stdio.h>
#include <string.h>

#define PENDING_MAX ((size_t)1024 * 1024) /* bytes that wait to be written, and at least: */
#define PENDING_COST ((size_t)256)	  /* ... for each message */
#define WRITE_MESSAGES 32		  /* in one writev */
#define WRITE_BYTES ((size_t)256 * 1024)  /* the same, when there is more than one */
#define ROUNDS_MAX 4			  /* of writes that one sender does for others */
#define ALONE_SENDS 32			  /* between two looks whether others would send, too */

enum { ROLE_FREE, ROLE_HELD };

/* A message that waits to be written. */
struct pending {
	struct push_node node;
	weft_buf text;
	size_t cost; /* permits of room that it has */
};

/* ---- the end of sending ---- */

static void drop_list(struct push_node *node)
{
	while (node) {
		struct pending *p = container_of(node, struct pending, node);

		node = node->next;
		weft_buf_unref(&p->text);
		mem_free(p);
	}
}

/* By the role, which is held from then on. */
static void drop_pending(struct lines *l)
{
	weft_semaphore_close(l->room);
	drop_list(l->queue);
	drop_list(pushlist_close(&l->pending));
	l->queue = NULL;
	l->queue_end = &l->queue;
	weft_buf_unref(&l->first);
}

/* What came before a failure may still be there to be read, but not for long. */
static weft_err undertake(void *arg)
{
	struct lines *l = arg;

	(void)!weft_sleep_ns(LINES_CLOSE_WAIT_NS);
	if (!(word_get(&l->state) & LINES_CLOSING))
		weft_conn_abort(l->conn);
	return WEFT_OK;
}

static unsigned some_worker(const struct lines *l)
{
	unsigned worker = word_peek(&l->worker);

	return worker ? worker - 1 : weft_worker_least_loaded();
}

/* By the role; err and the detail say why. */
static weft_err fail(struct lines *l, weft_err err)
{
	bool is_stuck = err == WEFT_ETIMEDOUT;

	(void)snprintf(l->send_text, sizeof(l->send_text), "%s", weft_error_detail());
	l->send_err = is_stuck ? WEFT_ERESET : err;
	(void)word_set_bits(&l->state, LINES_FAILED);
	bell_ring(&l->sent_bell);
	drop_pending(l);
	if (is_stuck || !(word_get(&l->state) & LINES_STARTED) ||
		weft_scope_spawn_on(l->scope, some_worker(l), "transport: failed", undertake, l))
		weft_conn_abort(l->conn);
	return err_setf(l->send_err, "%s", l->send_text);
}

/* By the role: all is sent that will be. */
static void end_sending(struct lines *l)
{
	uint32_t state;

	drop_pending(l);
	state = word_set_bits(&l->state, LINES_SENT);
	bell_ring(&l->sent_bell);
	if (!(state & LINES_STARTED) || (state & LINES_READ))
		weft_conn_close(l->conn);
}

static weft_err refused(const struct lines *l)
{
	if (word_get(&l->state) & LINES_FAILED)
		return err_setf(l->send_err, "%s", l->send_text);
	return err_setf(WEFT_ECLOSED, "%s: closed", weft_conn_peer_name(l->conn));
}

/* ---- writing ---- */

/* The messages of one writev. */
struct gather {
	struct iovec iov[2 * WRITE_MESSAGES];
	unsigned len;
	size_t bytes;
};

static void gather_text(struct gather *g, weft_buf *text, size_t sent)
{
	static const union {
		const char *in;
		void *out;
	} line_end = { "\n" };
	bool has_room = weft_buf_is_unique(text) && weft_buf_room(text) > text->len;

	g->bytes += text->len + 1 - sent;
	if (has_room)
		text->data[text->len] = '\n';
	if (sent < text->len + has_room)
		g->iov[g->len++] = (struct iovec){ text->data + sent, text->len + has_room - sent };
	if (!has_room)
		g->iov[g->len++] = (struct iovec){ line_end.out, 1 };
}

static void gather_pending(struct lines *l, struct gather *g)
{
	struct push_node *node = pushlist_take(&l->pending);
	unsigned count = 0;

	while (node) {
		struct push_node *next = node->next;

		node->next = NULL;
		*l->queue_end = node;
		l->queue_end = &node->next;
		node = next;
	}
	g->len = 0;
	g->bytes = 0;
	if (l->first.data) {
		gather_text(g, &l->first, l->sent);
		count++;
	}
	for (node = l->queue; node && count < WRITE_MESSAGES; node = node->next) {
		struct pending *p = container_of(node, struct pending, node);

		if (count > 0 && g->bytes + p->text.len > WRITE_BYTES)
			break;
		gather_text(g, &p->text, count == 0 ? l->sent : 0);
		count++;
	}
}

/* Lets go of what has been written. */
static void forget(struct lines *l, size_t bytes)
{
	bytes += l->sent;
	if (l->first.data) {
		if (bytes <= l->first.len) {
			l->sent = bytes;
			return;
		}
		bytes -= l->first.len + 1;
		weft_buf_unref(&l->first);
	}
	while (l->queue) {
		struct pending *p = container_of(l->queue, struct pending, node);

		if (bytes <= p->text.len)
			break;
		bytes -= p->text.len + 1;
		l->queue = p->node.next;
		if (!l->queue)
			l->queue_end = &l->queue;
		weft_semaphore_release(l->room, p->cost);
		weft_buf_unref(&p->text);
		mem_free(p);
	}
	l->sent = bytes;
}

/* Once. WEFT_ENOTFOUND: there is nothing. WEFT_ETIMEDOUT: the conn did not take all; *moved: bytes
 * that it took. */
static weft_err write_some(struct lines *l, weft_deadline until, size_t *moved)
{
	struct gather g;
	weft_err err;

	*moved = 0;
	gather_pending(l, &g);
	if (g.len == 0)
		return WEFT_ENOTFOUND;
	err = weft_conn_writev(l->conn, g.iov, g.len, moved, until);
	forget(l, *moved);
	if (err == WEFT_ETIMEDOUT && *moved == g.bytes)
		return WEFT_OK;
	return err;
}

static bool has_unsent(const struct lines *l)
{
	return l->first.data || l->queue;
}

/* Lets go of the role. False: there is more to write, and the role is still the caller's. */
static bool release_role(struct lines *l)
{
	if (has_unsent(l) && !(word_get(&l->state) & LINES_CLOSING))
		return false;
	if (word_get(&l->state) & LINES_CLOSING) {
		if (has_unsent(l) || !pushlist_is_empty(&l->pending))
			return false;
		end_sending(l);
		return true;
	}
	(void)word_swap(&l->role, ROLE_FREE);
	if (pushlist_is_empty(&l->pending) && !(word_get(&l->state) & LINES_CLOSING))
		return true;
	return !word_change(&l->role, ROLE_FREE, ROLE_HELD);
}

/* The owner closes, or the program ends: what is there has so much time to go. */
static void begin_last(weft_deadline *end)
{
	weft_shield_begin();
	*end = weft_after_ns(LINES_CLOSE_WAIT_NS);
}

/* One write, which waits. *end: WEFT_FOREVER until there is one. */
static weft_err write_patiently(struct lines *l, weft_deadline *end)
{
	int64_t timeout_ns = transport_options(l->transport)->send_timeout_ns;
	weft_deadline until;
	size_t moved;
	weft_err err;

	if (*end == WEFT_FOREVER && (word_get(&l->state) & LINES_CLOSING))
		begin_last(end);
	until = weft_after_ns(timeout_ns);
	err = write_some(l, until < *end ? until : *end, &moved);
	if (err == WEFT_ECANCELED && *end == WEFT_FOREVER) {
		begin_last(end);
		return WEFT_OK;
	}
	if (err != WEFT_ETIMEDOUT)
		return err;
	if (moved > 0 && weft_now() < *end)
		return WEFT_OK;
	return err_setf(
		WEFT_ETIMEDOUT, "send to %s: it takes nothing", weft_conn_peer_name(l->conn));
}

/* Until all is sent, whatever it takes; then the role is free, or over. */
static void write_all(struct lines *l)
{
	weft_deadline end = WEFT_FOREVER;
	weft_err err;

	do {
		do {
			err = write_patiently(l, &end);
		} while (!err);
		if (err != WEFT_ENOTFOUND) {
			(void)!fail(l, err);
			break;
		}
	} while (!release_role(l));
	if (end != WEFT_FOREVER)
		weft_shield_end();
}

static weft_err write_fiber(void *arg)
{
	write_all(arg);
	return WEFT_OK;
}

/* The conn waits, or there is too much for one caller: somebody else goes on, if there is the
 * memory for one. */
static void hand_over(struct lines *l)
{
	weft_err err =
		weft_scope_spawn_on(l->scope, some_worker(l), "transport: write", write_fiber, l);

	if (!err)
		return;
	weft_shield_begin();
	write_all(l);
	weft_shield_end();
}

static weft_err write_rounds(struct lines *l)
{
	unsigned rounds = 0;
	size_t moved;
	weft_err err;

	do {
		do {
			err = write_some(l, WEFT_NOW, &moved);
		} while (!err && ++rounds < ROUNDS_MAX);
		if (!err || err == WEFT_ETIMEDOUT) {
			hand_over(l);
			return WEFT_OK;
		}
		if (err != WEFT_ENOTFOUND)
			return fail(l, err);
	} while (!release_role(l));
	return WEFT_OK;
}

/* By the role, which it gives up. It does not wait, so whoever is cancelled may do it. */
static weft_err write_here(struct lines *l)
{
	weft_err err;

	weft_shield_begin();
	err = write_rounds(l);
	weft_shield_end();
	return err;
}

/* The role is another's: behind what waits. */
static weft_err send_later(struct lines *l, weft_message *message, weft_deadline until)
{
	size_t cost = message->text.len + PENDING_COST;
	struct pending *p;
	weft_err err;

	if (cost > PENDING_MAX)
		cost = PENDING_MAX;
	err = weft_semaphore_acquire(l->room, cost, until);
	if (err == WEFT_ECLOSED)
		err = refused(l);
	if (err)
		return err;
	p = mem_alloc(sizeof(*p));
	if (!p) {
		weft_semaphore_release(l->room, cost);
		return err_set(WEFT_ENOMEM);
	}
	p->cost = cost;
	p->text = message->text;
	message->text = (weft_buf)WEFT_BUF_EMPTY;
	if (pushlist_push(&l->pending, &p->node) == PUSH_REFUSED) {
		weft_buf_unref(&p->text);
		mem_free(p);
		return refused(l);
	}
	if (word_change(&l->role, ROLE_FREE, ROLE_HELD))
		(void)!write_here(l); /* it has been taken: the end says how it went */
	return WEFT_OK;
}

/* With the role, before a write: fibers of this worker that are about to send, too, come first, and
 * their messages go by the same write. Tried once in ALONE_SENDS, and while it pays. */
static void let_others_join(struct lines *l)
{
	if (l->alone > 0 && --l->alone > 0)
		return;
	if (weft_in_fiber())
		(void)weft_yield();
	l->alone = pushlist_is_empty(&l->pending) ? ALONE_SENDS : 0;
}

static weft_err lines_send(void *user, weft_message *message, weft_deadline until)
{
	struct lines *l = user;
	weft_err err;

	if (word_get(&l->state) & (LINES_CLOSING | LINES_FAILED)) {
		err = refused(l);
	} else if (pushlist_is_empty(&l->pending) && word_change(&l->role, ROLE_FREE, ROLE_HELD)) {
		l->first = message->text;
		message->text = (weft_buf)WEFT_BUF_EMPTY;
		let_others_join(l);
		err = write_here(l);
	} else {
		err = send_later(l, message, until);
	}
	weft_message_fini(message);
	return err;
}

/* ---- the transport ---- */

static weft_err lines_start(void *user, weft_transport *transport)
{
	struct lines *l = user;
	unsigned worker = weft_in_fiber() ? weft_worker_self() : weft_worker_least_loaded();
	weft_err err;

	(void)transport;
	word_put(&l->worker, worker + 1);
	if (word_set_bits(&l->state, LINES_STARTED) & LINES_CLOSING)
		return err_setf(WEFT_ECLOSED, "%s: closed", weft_conn_peer_name(l->conn));
	err = weft_scope_spawn_on(l->scope, worker, "transport: read", lines_read, l);
	if (err)
		weft_conn_close(l->conn);
	return err == WEFT_ECANCELED ? err_set_code(WEFT_ECLOSED) : err;
}

static void lines_close(void *user)
{
	struct lines *l = user;

	(void)word_set_bits(&l->state, LINES_CLOSING);
	weft_semaphore_close(l->room);
	if (word_change(&l->role, ROLE_FREE, ROLE_HELD))
		(void)!write_here(l);
	weft_scope_cancel(l->scope);
}

static void lines_free(void *user)
{
	struct lines *l = user;

	if (!l)
		return;
	weft_scope_free(l->scope);
	drop_pending(l);
	if (l->owner)
		l->owner->free(l->owner_arg);
	else
		weft_conn_free(l->conn);
	weft_semaphore_free(l->room);
	mem_free(l);
}

static unsigned lines_worker(void *user)
{
	struct lines *l = user;

	return word_peek(&l->worker) - 1;
}

static const weft_transport_ops lines_ops = {
	.kind = "lines",
	.start = lines_start,
	.send_own = lines_send,
	.close = lines_close,
	.free = lines_free,
	.worker = lines_worker,
};

weft_err lines_create(weft_transport **out, weft_conn *conn, const char *name, const char *kind,
	const struct lines_owner *owner, void *arg, const weft_transport_options *options)
{
	struct lines *l = mem_calloc(1, sizeof(*l));
	weft_err err;

	if (!l)
		return err_set(WEFT_ENOMEM);
	l->queue_end = &l->queue;
	err = weft_semaphore_create(&l->room, PENDING_MAX);
	if (!err)
		err = rt_scope_create_root(&l->scope);
	if (!err)
		err = weft_transport_create(&l->transport, &lines_ops, l, name, options);
	if (err) {
		weft_scope_free(l->scope);
		weft_semaphore_free(l->room);
		mem_free(l);
		return err;
	}
	l->conn = conn;
	l->owner = owner;
	l->owner_arg = arg;
	l->has_no_reset = !owner && !strcmp(kind, "stdio");
	transport_set_kind(l->transport, kind);
	*out = l->transport;
	return WEFT_OK;
}

/* What a conn is by the name of its end. */
static const char *kind_of(const char *name)
{
	static const char *const kinds[] = { "tcp", "unix", "tls", "stdio", "mux" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		size_t len = strlen(kinds[i]);

		if (!strncmp(name, kinds[i], len) && name[len] == ':')
			return kinds[i];
	}
	return "lines";
}

weft_err weft_transport_lines_own(
	weft_transport **out, weft_conn *conn, const weft_transport_options *options)
{
	const char *name;
	weft_err err;

	if (!conn)
		return err_setf(WEFT_EINVAL, "weft_transport_lines_own: no conn");
	name = weft_conn_peer_name(conn);
	err = lines_create(out, conn, name, kind_of(name), NULL, NULL, options);
	if (err)
		weft_conn_free(conn);
	return err;
}
