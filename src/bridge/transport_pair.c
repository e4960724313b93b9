/* SPDX-License-Identifier: MIT */
/*
 * Two transports in memory: a channel each way. A message costs an allocation, a place in the
 * channel, and a wake of the other end's fiber if that waits.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/refcount.h"
#include "bridge/transport.h"
#include "rt/rt.h"
#include "sync/word.h"

#include <weft/chan.h>

#include <limits.h>

#define MESSAGES_MAX ((size_t)64)

struct end {
	weft_transport *transport;
	weft_scope *scope;   /* of the fiber that receives */
	weft_chan *in, *out; /* of weft_message *; held */
	struct word worker;  /* of that fiber, and one; 0: none yet */
};

static void message_destroy(void *message, void *user)
{
	weft_message *m = *(weft_message **)message;

	(void)user;
	weft_message_fini(m);
	mem_free(m);
}

static weft_err receive(void *arg)
{
	struct end *e = arg;
	weft_message *m;
	weft_err err;

	while (!(err = weft_chan_recv(e->in, &m, WEFT_FOREVER))) {
		weft_transport_deliver_own(e->transport, m);
		mem_free(m);
	}
	if (err != WEFT_ECLOSED && transport_is_closed(e->transport))
		err = WEFT_ECLOSED;
	weft_transport_deliver_end(e->transport, err, "");
	return WEFT_OK;
}

static weft_err pair_start(void *user, weft_transport *transport)
{
	struct end *e = user;
	unsigned worker = weft_in_fiber() ? weft_worker_self() : weft_worker_least_loaded();
	weft_err err;

	(void)transport;
	word_put(&e->worker, worker + 1);
	err = weft_scope_spawn_on(e->scope, worker, "transport: pair", receive, e);
	return err == WEFT_ECANCELED ? err_set_code(WEFT_ECLOSED) : err;
}

static weft_err pair_send(void *user, weft_message *message, weft_deadline until)
{
	struct end *e = user;
	weft_message *m = mem_alloc(sizeof(*m));
	weft_err err;

	if (!m) {
		weft_message_fini(message);
		return err_set(WEFT_ENOMEM);
	}
	weft_message_move(m, message);
	err = weft_chan_send(e->out, &m, until);
	if (err)
		message_destroy(&m, NULL);
	return err;
}

static void pair_close(void *user)
{
	struct end *e = user;

	weft_chan_close(e->out);
	weft_chan_close(e->in);
	(void)weft_chan_drain(e->in);
	weft_scope_cancel(e->scope);
}

static void pair_free(void *user)
{
	struct end *e = user;

	if (!e)
		return;
	weft_scope_free(e->scope);
	weft_chan_unref(e->in);
	weft_chan_unref(e->out);
	mem_free(e);
}

static unsigned pair_worker(void *user)
{
	struct end *e = user;

	return word_peek(&e->worker) - 1;
}

static const weft_transport_ops pair_ops = {
	.kind = "memory",
	.start = pair_start,
	.send_own = pair_send,
	.close = pair_close,
	.free = pair_free,
	.worker = pair_worker,
};

static weft_err end_create(
	weft_transport **out, weft_chan *in, weft_chan *to, const weft_transport_options *options)
{
	struct end *e = mem_calloc(1, sizeof(*e));
	weft_err err = WEFT_ENOMEM;

	if (!e)
		return err_set(WEFT_ENOMEM);
	err = rt_scope_create_root(&e->scope);
	if (err)
		goto out;
	e->in = weft_chan_ref(in);
	e->out = weft_chan_ref(to);
	err = weft_transport_create(&e->transport, &pair_ops, e, "memory:", options);
	if (!err)
		*out = e->transport;
out:
	if (err)
		pair_free(e);
	return err;
}

weft_err weft_transport_pair(
	weft_transport *ends[2], size_t messages_max, const weft_transport_options *options)
{
	static const weft_chan_options chan_options = { message_destroy, NULL };
	weft_transport *made[2] = { NULL, NULL };
	weft_chan *ways[2] = { NULL, NULL };
	weft_err err = WEFT_OK;

	for (unsigned i = 0; i < 2 && !err; i++)
		err = weft_chan_create(&ways[i], sizeof(weft_message *),
			messages_max ? messages_max : MESSAGES_MAX, &chan_options);
	for (unsigned i = 0; i < 2 && !err; i++)
		err = end_create(&made[i], ways[1 - i], ways[i], options);
	if (err) {
		weft_transport_free(made[0]);
	} else {
		ends[0] = made[0];
		ends[1] = made[1];
	}
	weft_chan_unref(ways[0]);
	weft_chan_unref(ways[1]);
	return err;
}
