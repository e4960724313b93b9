/* SPDX-License-Identifier: MIT */
/*
 * What all transports share: who receives, how it ends, and who is inside.
 *
 *	NEW --start--> SINK	what comes is given to functions
 *	    --receive--> INBOX	... or waits in a channel of messages
 *
 * A message to a sink costs a load and a call, besides the counts; one to the inbox an allocation
 * and what a channel costs. What comes before anybody receives waits in the fiber that has it.
 */
#include "bridge/transport.h"

#include "base/check.h"
#include "base/counter.h"
#include "base/err.h"
#include "base/mem.h"
#include "bridge/message.h"
#include "rt/lock.h"
#include "sync/gate.h"
#include "sync/wait.h"
#include "sync/word.h"

#include <weft/chan.h>

#include <limits.h>
#include <string.h>

#define CONNECT_TIMEOUT_NS INT64_C(10000000000)
#define SEND_TIMEOUT_NS INT64_C(30000000000)
#define INBOX_MAX ((size_t)1000)

enum mode {
	MODE_NEW,
	MODE_CLAIMED, /* somebody is about to set one of: */
	MODE_SINK,
	MODE_INBOX,
};

struct weft_transport {
	const weft_transport_ops *ops; /* constant, as all up to name */
	void *user;
	const char *kind;
	weft_transport_options options; /* filled in */
	size_t grown_max;		/* see transport_set_grown_max; before it is sent to */
	char *name;

	struct gate gate;	   /* calls under way are visits */
	struct word closed;	   /* 1: so is the gate, or is about to be */
	struct word quiet;	   /* 1: closed, and nobody is inside */
	struct word mode;	   /* enum mode */
	struct wait_queue changed; /* who waits for mode, the end, or quiet */
	weft_transport_sink sink;  /* constant from MODE_SINK on */
	void *sink_user;	   /* likewise */
	weft_chan *inbox;	   /* of struct weft_message *; constant from MODE_INBOX on */

	struct rt_lock lock; /* over the end, and mode against it */
	bool has_ended;
	weft_err end;	  /* valid once has_ended, as: */
	char *end_detail; /* NULL: there was no memory, or none */

	struct counter received, sent, bytes_received, bytes_sent, invalid;
};

weft_err transport_options_fill(weft_transport_options *out, const weft_transport_options *options)
{
	weft_transport_options o = WEFT_TRANSPORT_OPTIONS_DEFAULT;

	if (options)
		o = *options;
	if (o.message_size_max == 0)
		o.message_size_max = WEFT_JSON_SIZE_DEFAULT;
	if (o.message_size_max > WEFT_BUF_SIZE_MAX / 2)
		return err_setf(WEFT_EINVAL, "message_size_max: %zu is above %zu",
			o.message_size_max, WEFT_BUF_SIZE_MAX / 2);
	if (o.depth_max > WEFT_JSON_DEPTH_MAX)
		return err_setf(
			WEFT_EINVAL, "depth_max: %u is above %u", o.depth_max, WEFT_JSON_DEPTH_MAX);
	if (o.depth_max == 0)
		o.depth_max = WEFT_JSON_DEPTH_DEFAULT;
	if (o.connect_timeout_ns < 0 || o.send_timeout_ns < 0)
		return err_setf(WEFT_EINVAL, "%s: negative",
			o.connect_timeout_ns < 0 ? "connect_timeout_ns" : "send_timeout_ns");
	if (o.connect_timeout_ns == 0)
		o.connect_timeout_ns = CONNECT_TIMEOUT_NS;
	if (o.send_timeout_ns == 0)
		o.send_timeout_ns = SEND_TIMEOUT_NS;
	if (o.inbox_max == 0)
		o.inbox_max = INBOX_MAX;
	if (o.inbox_max > WEFT_CHAN_CAPACITY_MAX)
		return err_setf(WEFT_EINVAL, "inbox_max: %zu is above %zu", o.inbox_max,
			WEFT_CHAN_CAPACITY_MAX);
	*out = o;
	return WEFT_OK;
}

weft_err weft_transport_create(weft_transport **out, const weft_transport_ops *ops, void *user,
	const char *name, const weft_transport_options *options)
{
	weft_transport *t;
	weft_transport_options filled;
	weft_err err;

	if (!ops || !ops->kind || !ops->start || !ops->send_own || !ops->close || !ops->free)
		return err_setf(WEFT_EINVAL, "weft_transport_create: %s is missing",
			!ops			 ? "ops"
				: !ops->kind	 ? "ops.kind"
				: !ops->start	 ? "ops.start"
				: !ops->send_own ? "ops.send_own"
				: !ops->close	 ? "ops.close"
						 : "ops.free");
	err = transport_options_fill(&filled, options);
	if (err)
		return err;
	t = mem_calloc(1, sizeof(*t));
	if (!t)
		return err_set(WEFT_ENOMEM);
	t->name = mem_strdup(name ? name : ops->kind);
	if (!t->name) {
		mem_free(t);
		return err_set(WEFT_ENOMEM);
	}
	t->ops = ops;
	t->user = user;
	t->kind = ops->kind;
	t->options = filled;
	wait_queue_init(&t->changed);
	*out = t;
	return WEFT_OK;
}

const weft_transport_options *transport_options(const weft_transport *t)
{
	return &t->options;
}

weft_json_limits transport_limits(const weft_transport *t)
{
	return (weft_json_limits){ t->options.message_size_max, t->options.depth_max };
}

void transport_set_kind(weft_transport *t, const char *kind)
{
	t->kind = kind;
}

void transport_set_grown_max(weft_transport *t, size_t bytes)
{
	t->grown_max = bytes;
}

bool transport_is_closed(const weft_transport *t)
{
	return word_get(&t->closed);
}

const char *weft_transport_name(const weft_transport *t)
{
	return t->name;
}

const char *weft_transport_kind(const weft_transport *t)
{
	return t->kind;
}

unsigned weft_transport_worker(const weft_transport *t)
{
	return t->ops->worker ? t->ops->worker(t->user) : UINT_MAX;
}

void weft_transport_stats_get(const weft_transport *t, weft_transport_stats *out)
{
	*out = (weft_transport_stats){
		.received = counter_get(&t->received),
		.sent = counter_get(&t->sent),
		.bytes_received = counter_get(&t->bytes_received),
		.bytes_sent = counter_get(&t->bytes_sent),
		.invalid = counter_get(&t->invalid),
	};
}

/* ---- who is inside ---- */

static void tell_changed(weft_transport *t)
{
	if (wait_any(&t->changed))
		wait_wake_all(&t->changed, &t->changed.lock, WEFT_OK);
}

static void leave(weft_transport *t)
{
	if (gate_leave(&t->gate, GATE_VISIT) != GATE_LAST)
		return;
	(void)word_swap(&t->quiet, 1);
	tell_changed(t);
	gate_finish(&t->gate); /* the owner may free it now */
}

static bool is_quiet(const void *object)
{
	const weft_transport *t = object;

	return word_get(&t->quiet);
}

static weft_err closed(const weft_transport *t)
{
	return err_setf(WEFT_ECLOSED, "%s: closed", t->name);
}

/* ---- receiving ---- */

/* The mode, once; by the one who claimed it. WEFT_OK, or how it has ended already. */
static weft_err set_mode(weft_transport *t, enum mode mode)
{
	bool has_ended;

	rt_lock_acquire(&t->lock);
	has_ended = t->has_ended;
	(void)word_swap(&t->mode, mode);
	rt_lock_release(&t->lock);
	tell_changed(t);
	return has_ended ? WEFT_ECLOSED : WEFT_OK;
}

/* Why no more comes. */
static weft_err ended(const weft_transport *t)
{
	if (t->end_detail)
		return err_setf(t->end, "%s: %s", t->name, t->end_detail);
	return err_set(t->end);
}

weft_err weft_transport_start(weft_transport *t, const weft_transport_sink *sink, void *user)
{
	weft_err err;

	if (!sink || !sink->message || !sink->ended)
		return err_setf(WEFT_EINVAL, "weft_transport_start: a function of sink is missing");
	if (!gate_visit(&t->gate))
		return closed(t);
	if (!word_change(&t->mode, MODE_NEW, MODE_CLAIMED)) {
		leave(t);
		return err_setf(WEFT_EINVAL, "%s: somebody receives already", t->name);
	}
	t->sink = *sink;
	t->sink_user = user;
	if (set_mode(t, MODE_SINK)) {
		err = ended(t) == WEFT_ENOMEM ? WEFT_ENOMEM : err_set_code(WEFT_ECLOSED);
	} else {
		err = t->ops->start(t->user, t);
		if (err) {
			rt_lock_acquire(&t->lock);
			t->has_ended = true; /* the sink is not called */
			t->end = err;
			rt_lock_release(&t->lock);
		}
	}
	leave(t);
	return err;
}

static void inbox_destroy(void *message, void *user)
{
	weft_message *m = *(weft_message **)message;

	(void)user;
	weft_message_fini(m);
	mem_free(m);
}

static bool has_mode(const void *object)
{
	const weft_transport *t = object;

	return word_get(&t->mode) >= MODE_SINK || transport_is_closed(t);
}

static bool is_settled(const void *object)
{
	const weft_transport *t = object;

	return word_get(&t->mode) != MODE_CLAIMED || transport_is_closed(t);
}

/* The first who receives begins it. */
static weft_err begin_inbox(weft_transport *t)
{
	static const weft_chan_options options = { inbox_destroy, NULL };
	weft_chan *inbox;
	weft_err err;

	err = weft_chan_create(&inbox, sizeof(weft_message *), t->options.inbox_max, &options);
	if (err) {
		(void)word_swap(&t->mode, MODE_NEW); /* another may try */
		tell_changed(t);
		return err;
	}
	t->inbox = inbox;
	if (set_mode(t, MODE_INBOX) || transport_is_closed(t)) { /* see _close */
		weft_chan_close(inbox);
		return WEFT_OK;
	}
	err = t->ops->start(t->user, t);
	if (err)
		weft_transport_deliver_end(t, err, weft_error_detail());
	return WEFT_OK;
}

static weft_err want_inbox(weft_transport *t, weft_deadline until)
{
	for (;;) {
		weft_err err = WEFT_OK;

		switch ((enum mode)word_peek(&t->mode)) {
		case MODE_INBOX:
			return WEFT_OK;
		case MODE_SINK:
			return err_setf(WEFT_EINVAL, "%s: a sink gets what comes", t->name);
		case MODE_NEW:
			if (word_change(&t->mode, MODE_NEW, MODE_CLAIMED))
				err = begin_inbox(t);
			break;
		case MODE_CLAIMED:
			err = wait_until(&t->changed, is_settled, t, until, "transport: its start");
			if (!err && transport_is_closed(t))
				return closed(t);
			break;
		}
		if (err)
			return err;
	}
}

weft_err weft_transport_receive(weft_transport *t, weft_message *out, weft_deadline until)
{
	weft_message *m = NULL;
	weft_err err;

	if (!gate_visit(&t->gate))
		return closed(t);
	err = want_inbox(t, until);
	if (!err)
		err = weft_chan_recv(t->inbox, &m, until);
	if (m) {
		*out = *m;
		mem_free(m);
	} else if (err == WEFT_ECLOSED) {
		err = transport_is_closed(t) ? closed(t) : ended(t);
	} else if (err == WEFT_ETIMEDOUT && until != WEFT_NOW) {
		err = err_wrap(err, "receive from %s", t->name);
	}
	leave(t);
	return err;
}

/* No message is lost in silence. */
static void lose(weft_transport *t, weft_message *message)
{
	weft_message_fini(message);
	weft_transport_deliver_end(t, WEFT_ENOMEM, "no memory for a message that came");
	weft_transport_close(t);
}

static void put_inbox(weft_transport *t, weft_message *message)
{
	weft_message *m = mem_alloc(sizeof(*m));

	if (!m) {
		lose(t, message);
		return;
	}
	weft_message_move(m, message);
	if (weft_chan_send(t->inbox, &m, WEFT_FOREVER)) /* closed, or the fiber is to end */
		inbox_destroy(&m, NULL);
}

static void deliver_one(weft_transport *t, weft_message *message)
{
	if (message->rpc.kind == WEFT_JSONRPC_INVALID) {
		(void)counter_add(&t->invalid, 1);
	} else {
		(void)counter_add(&t->received, 1);
		(void)counter_add(&t->bytes_received, message->text.len);
	}
	if (word_peek(&t->mode) == MODE_SINK)
		t->sink.message(t->sink_user, message);
	else
		put_inbox(t, message);
}

static void deliver_batch(weft_transport *t, weft_message *batch)
{
	weft_json_limits limits = transport_limits(t);
	weft_message element;
	size_t at = 0;

	while (message_batch_next(batch, &at, &element, &limits))
		deliver_one(t, &element);
	weft_message_fini(batch);
}

void weft_transport_deliver_own(weft_transport *t, weft_message *message)
{
	if (weft_unlikely(word_peek(&t->mode) < MODE_SINK) &&
		wait_until(&t->changed, has_mode, t, WEFT_FOREVER, "transport: a receiver")) {
		weft_message_fini(message);
		return;
	}
	if (weft_unlikely(transport_is_closed(t)))
		weft_message_fini(message);
	else if (weft_unlikely(message->rpc.kind == WEFT_JSONRPC_BATCH))
		deliver_batch(t, message);
	else
		deliver_one(t, message);
}

void weft_transport_deliver_end(weft_transport *t, weft_err err, const char *detail)
{
	char *copy = detail && *detail ? mem_strdup(detail) : NULL;
	enum mode mode;
	bool first;

	rt_lock_acquire(&t->lock);
	mode = (enum mode)word_peek(&t->mode);
	first = !t->has_ended;
	if (first) {
		t->has_ended = true;
		t->end = err;
		t->end_detail = copy;
	}
	rt_lock_release(&t->lock);
	if (!first) {
		mem_free(copy);
		return;
	}
	if (mode == MODE_SINK)
		t->sink.ended(t->sink_user, err, detail ? detail : "");
	else if (mode == MODE_INBOX)
		weft_chan_close(t->inbox);
}

/* ---- sending ---- */

static weft_err check_sendable(const weft_transport *t, const weft_message *message)
{
	if (message->rpc.kind == WEFT_JSONRPC_INVALID || message->rpc.kind == WEFT_JSONRPC_NONE)
		return err_setf(WEFT_EINVAL, "%s: send: this is no message", t->name);
	if (message->text.len > t->options.message_size_max + t->grown_max)
		return err_setf(WEFT_EMSGSIZE, "%s: send: %zu bytes, at most %zu", t->name,
			message->text.len, t->options.message_size_max);
	return WEFT_OK;
}

weft_err weft_transport_send_own(weft_transport *t, weft_message *message, weft_deadline until)
{
	size_t len = message->text.len;
	weft_err err;

	if (!gate_visit(&t->gate)) {
		weft_message_fini(message);
		return closed(t);
	}
	err = check_sendable(t, message);
	if (err)
		weft_message_fini(message);
	else
		err = t->ops->send_own(t->user, message, until);
	if (!err) {
		(void)counter_add(&t->sent, 1);
		(void)counter_add(&t->bytes_sent, len);
	} else if (err == WEFT_ETIMEDOUT && until != WEFT_NOW) {
		err = err_wrap(err, "send to %s", t->name);
	}
	leave(t);
	return err;
}

/* ---- ending ---- */

void weft_transport_close(weft_transport *t)
{
	(void)word_swap(&t->closed, 1);
	if (!gate_close(&t->gate, false))
		return;
	/* one who begins the inbox just now looks at closed after it said so */
	if (word_get(&t->mode) == MODE_INBOX)
		weft_chan_close(t->inbox);
	t->ops->close(t->user);
	tell_changed(t);
	leave(t);
}

void weft_transport_free(weft_transport *t)
{
	if (!t)
		return;
	weft_shield_begin();
	weft_transport_close(t);
	while (wait_until(&t->changed, is_quiet, t, WEFT_FOREVER, "transport: calls under way"))
		;
	gate_wait_gone(&t->gate);
	t->ops->free(t->user);
	weft_transport_deliver_end(t, WEFT_ECLOSED, "closed");
	weft_shield_end();
	if (t->inbox)
		weft_chan_unref(t->inbox);
	mem_free(t->end_detail);
	mem_free(t->name);
	mem_free(t);
}
