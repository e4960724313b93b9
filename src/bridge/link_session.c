/* SPDX-License-Identifier: MIT */
/* A client's session as its server's side sees it: what is sent to it, and when it is over. */
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "bridge/link.h"

#include <stdio.h>

#define QUEUE_LOOK_NS INT64_C(500000000)    /* a send that waits is looked after */
#define QUEUE_STALL_NS INT64_C(30000000000) /* without progress: the session ends */

/* ---- life ---- */

bool session_enter(struct relay_session *session)
{
	int64_t now = word64_add(&session->flights, 1) & (SESSION_WAITED - 1);

	if (weft_likely((uint64_t)now <= session->relay->options.requests_max))
		return true;
	session_leave(session);
	return false;
}

void session_leave(struct relay_session *session)
{
	weft_parker *owner = session->owner; /* who may free the session at once */

	if (word64_add(&session->flights, -1) == SESSION_WAITED)
		weft_unpark(owner);
}

void session_fail(struct relay_session *session, weft_err err, const char *text)
{
	if (!claim_try(&session->failing))
		return;
	session->fail_err = err;
	(void)snprintf(session->fail_text, sizeof(session->fail_text), "%s", text);
	(void)word_swap(&session->is_failed, 1);
	weft_unpark(session->owner);
}

static void sooner(weft_deadline *next, weft_deadline at)
{
	if (at < *next)
		*next = at;
}

/* The client has ended: is it still owed something that it may get? */
static bool is_drained(struct relay_session *session, weft_deadline *next)
{
	int64_t drain_ns = session->relay->options.drain_timeout_ns;

	if (session->end_err != WEFT_ECLOSED || drain_ns == 0)
		return true;
	if (session->drain_until == 0) {
		session->drain_until = weft_after_ns(drain_ns);
		(void)word64_add(&session->flights, SESSION_WAITED);
	}
	if (word64_get(&session->flights) == (uint64_t)SESSION_WAITED &&
		!word_get(&session->queue.is_used))
		return true;
	sooner(next, session->drain_until);
	return weft_now() >= session->drain_until;
}

static bool is_idle(struct relay_session *session, weft_deadline now, weft_deadline *next)
{
	int64_t idle_ns = session->relay->options.idle_timeout_ns;
	weft_deadline at;

	if (idle_ns == 0)
		return false;
	/* a request that is in flight is no idleness, but nobody tells when it ends */
	at = word64_get(&session->flights) == 0
		? (weft_deadline)counter_get(&session->active_at) + idle_ns
		: now + idle_ns;
	sooner(next, at);
	return now >= at;
}

bool session_is_due(struct relay_session *session, weft_deadline *next)
{
	weft_deadline now;

	if (session->is_cancelled || word_get(&session->is_failed) ||
		word_get(&session->relay->stopping))
		return true;
	if (word_get(&session->is_ended))
		return is_drained(session, next);
	if (session->relay->options.idle_timeout_ns == 0 && session->over_at == WEFT_FOREVER)
		return false;
	now = weft_now();
	sooner(next, session->over_at);
	if (now >= session->over_at) {
		session_fail(session, WEFT_ETIMEDOUT, "the session has reached its time-out");
		return true;
	}
	if (!is_idle(session, now, next))
		return false;
	session_fail(session, WEFT_OK, "idle");
	return true;
}

/* ---- sending ---- */

struct queued {
	struct list node;
	weft_message message;
};

void session_queue_init(struct session_queue *queue)
{
	list_init(&queue->messages);
}

static struct queued *queue_first(struct session_queue *queue)
{
	struct list *node;

	rt_lock_acquire(&queue->lock);
	node = queue->messages.next;
	if (list_is_empty(&queue->messages))
		word_put(&queue->is_used, 0);
	rt_lock_release(&queue->lock);
	return node == &queue->messages ? NULL : container_of(node, struct queued, node);
}

static void queue_remove(struct session_queue *queue, struct queued *queued, size_t size)
{
	rt_lock_acquire(&queue->lock);
	list_remove(&queued->node);
	queue->len--;
	queue->bytes -= size;
	rt_lock_release(&queue->lock);
	weft_message_fini(&queued->message);
	mem_free(queued);
}

void session_queue_fini(struct session_queue *queue)
{
	struct queued *queued;

	while ((queued = queue_first(queue)))
		queue_remove(queue, queued, queued->message.text.len);
}

/* To the end of the queue. Taken. */
static weft_err queue_add_own(struct relay_session *session, weft_message *message)
{
	const struct relay_options *options = &session->relay->options;
	struct session_queue *queue = &session->queue;
	struct queued *queued = mem_alloc(sizeof(*queued));
	size_t size = message->text.len, len, bytes;
	bool has_room;

	if (!queued) {
		weft_message_fini(message);
		return err_set(WEFT_ENOMEM);
	}
	weft_message_move(&queued->message, message);
	rt_lock_acquire(&queue->lock);
	has_room =
		queue->len < options->queue_max && size <= options->queue_bytes_max - queue->bytes;
	if (has_room) {
		list_push_back(&queue->messages, &queued->node);
		queue->len++;
		queue->bytes += size;
		word_put(&queue->is_used, 1);
	}
	len = queue->len;
	bytes = queue->bytes;
	rt_lock_release(&queue->lock);
	if (has_room) {
		weft_unpark(session->owner);
		return WEFT_OK;
	}
	weft_message_fini(&queued->message);
	mem_free(queued);
	return err_setf(WEFT_ECAPACITY,
		"the client does not read: %zu messages of %zu bytes in all wait for it already",
		len, bytes);
}

/* One that waits for its client. WEFT_ETIMEDOUT: it still does. */
static weft_err queue_send(struct relay_session *session, const struct queued *queued)
{
	weft_message copy;

	weft_message_ref(&copy, &queued->message);
	return weft_transport_send_own(session->client, &copy, weft_after_ns(QUEUE_LOOK_NS));
}

void session_queue_run(struct relay_session *session)
{
	struct session_queue *queue = &session->queue;
	weft_deadline next = WEFT_FOREVER, patience = 0;
	struct queued *queued;
	weft_err err;

	while ((queued = queue_first(queue)) && !session_is_due(session, &next)) {
		if (patience == 0)
			patience = weft_after_ns(QUEUE_STALL_NS);
		err = queue_send(session, queued);
		if (err == WEFT_ECANCELED) {
			session->is_cancelled = true;
		} else if (err != WEFT_ETIMEDOUT) {
			queue_remove(queue, queued, queued->message.text.len);
			patience = 0;
			if (err && err != WEFT_ENOTFOUND)
				session_fail(session, err, weft_error_detail());
		} else if (weft_now() >= patience) {
			session_fail(session, err, "the client does not read what is sent to it");
		}
	}
}

/* A server that others share does not wait for this client: tried, and else queued. Behind what
 * is queued, it is not tried; who queues and who sends here for a session are few, and what of
 * different fibers has no order anyway. */
static weft_err send_unless_slow(struct relay_session *session, weft_message *message)
{
	weft_message again;
	weft_err err;

	if (!word_peek(&session->queue.is_used)) {
		weft_message_ref(&again, message);
		err = weft_transport_send_own(session->client, message, WEFT_NOW);
		if (err != WEFT_ETIMEDOUT) {
			weft_message_fini(&again);
			return err;
		}
		weft_message_move(message, &again);
	}
	return queue_add_own(session, message);
}

static void record(struct relay_session *session, const weft_message *message)
{
	const struct relay_options *options = &session->relay->options;
	struct relay_message recorded = {
		.session = session->number,
		.direction = RELAY_TO_CLIENT,
		.server = session->relay->name,
		.message = message,
	};

	if (!options->on_message)
		return;
	recorded.transport = weft_transport_kind(session->client);
	options->on_message(options->user, &recorded);
}

weft_err session_send_own(struct relay_session *session, weft_message *message)
{
	weft_err err;

	record(session, message);
	counts_message(session->relay->counts, COUNTS_TO_CLIENT, message->text.len);
	if (session->relay->options.idle_timeout_ns)
		counter_set(&session->active_at, (uint64_t)weft_now());
	err = session->link->only ? weft_transport_send_own(session->client, message, WEFT_FOREVER)
				  : send_unless_slow(session, message);
	if (weft_unlikely(err && err != WEFT_EMSGSIZE && err != WEFT_ENOTFOUND))
		session_fail(session, err, weft_error_detail());
	return err;
}
