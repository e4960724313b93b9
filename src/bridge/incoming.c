/* SPDX-License-Identifier: MIT */
/* Where sessions come from: anything that accepts; this process's stdin and stdout; a listener. */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/transport.h"
#include "rt/rt.h"
#include "sync/word.h"

#include <weft/chan.h>

#define READY_MAX 64 /* sessions that wait to be accepted, after their handshakes */

struct weft_incoming {
	const weft_incoming_ops *ops;
	void *user;
	char *name;
};

weft_err weft_incoming_create(
	weft_incoming **out, const weft_incoming_ops *ops, void *user, const char *name)
{
	weft_incoming *incoming;

	if (!ops || !ops->accept || !ops->close || !ops->free)
		return err_setf(WEFT_EINVAL, "weft_incoming_create: %s is missing",
			!ops		       ? "ops"
				: !ops->accept ? "ops.accept"
				: !ops->close  ? "ops.close"
					       : "ops.free");
	incoming = mem_calloc(1, sizeof(*incoming));
	if (!incoming)
		return err_set(WEFT_ENOMEM);
	incoming->name = mem_strdup(name ? name : "");
	if (!incoming->name) {
		mem_free(incoming);
		return err_set(WEFT_ENOMEM);
	}
	incoming->ops = ops;
	incoming->user = user;
	*out = incoming;
	return WEFT_OK;
}

weft_err weft_incoming_accept(weft_incoming *incoming, weft_transport **out, weft_deadline until)
{
	return incoming->ops->accept(incoming->user, out, until);
}

void weft_incoming_close(weft_incoming *incoming)
{
	incoming->ops->close(incoming->user);
}

void weft_incoming_free(weft_incoming *incoming)
{
	if (!incoming)
		return;
	incoming->ops->close(incoming->user);
	incoming->ops->free(incoming->user);
	mem_free(incoming->name);
	mem_free(incoming);
}

const char *weft_incoming_name(const weft_incoming *incoming)
{
	return incoming->name;
}

/* ---- stdin and stdout ---- */

struct stdio {
	struct slot session;   /* the transport, until it is accepted */
	struct word is_closed; /* 1: no more, accepted or not */
};

static weft_err stdio_accept(void *user, weft_transport **out, weft_deadline until)
{
	struct stdio *s = user;
	weft_transport *session;

	(void)until;
	session = word_get(&s->is_closed) ? NULL : slot_take(&s->session);
	if (!session)
		return err_setf(WEFT_ECLOSED, "stdio: there is one session");
	*out = session;
	return WEFT_OK;
}

static void stdio_close(void *user)
{
	struct stdio *s = user;

	(void)word_swap(&s->is_closed, 1);
}

static void stdio_free(void *user)
{
	struct stdio *s = user;

	weft_transport_free(slot_take(&s->session));
	mem_free(s);
}

static const weft_incoming_ops stdio_ops = { stdio_accept, stdio_close, stdio_free };

weft_err weft_incoming_stdio(weft_incoming **out, const weft_transport_options *options)
{
	struct stdio *s = mem_calloc(1, sizeof(*s));
	weft_transport *session = NULL;
	weft_conn *conn;
	weft_err err;

	if (!s)
		return err_set(WEFT_ENOMEM);
	err = weft_conn_stdio(&conn);
	if (!err)
		err = weft_transport_lines_own(&session, conn, options);
	if (!err)
		err = weft_incoming_create(out, &stdio_ops, s, "stdio:");
	if (err) {
		weft_transport_free(session);
		mem_free(s);
	} else {
		(void)slot_swap(&s->session, session);
	}
	return err;
}

/* ---- a listener ---- */

/*
 * Handshakes of TLS take as long as the clients like, so each has a fiber of its own, which hands
 * on what it made; who accepts waits for these. Clear connections are taken as they come.
 */
struct net {
	weft_listener *listener; /* owned */
	weft_tls *tls;		 /* held; NULL: clear */
	weft_transport_options options;
	weft_scope *scope; /* TLS: of the handshakes */
	weft_chan *ready;  /* TLS: of weft_transport * */
};

static weft_err net_accept(void *user, weft_transport **out, weft_deadline until)
{
	struct net *n = user;
	weft_conn *conn;
	weft_err err;

	if (n->tls)
		return weft_chan_recv(n->ready, out, until);
	err = weft_listener_accept(n->listener, &conn, until);
	return err ? err : weft_transport_lines_own(out, conn, &n->options);
}

/* A connection's. */
static weft_err shake_hands(weft_conn *conn, void *arg)
{
	struct net *n = arg;
	weft_transport *session;
	weft_err err;

	err = weft_tls_accept_own(
		&conn, n->tls, conn, weft_after_ns(n->options.connect_timeout_ns));
	if (err)
		return err;
	err = weft_transport_lines_own(&session, conn, &n->options);
	if (err)
		return err;
	err = weft_chan_send(n->ready, &session, weft_after_ns(n->options.connect_timeout_ns));
	if (!err)
		return WEFT_OK;
	weft_transport_free(session);
	return err == WEFT_ETIMEDOUT ? err_setf(err, "nobody takes the session") : WEFT_OK;
}

static weft_err listen_fiber(void *arg)
{
	struct net *n = arg;

	(void)!weft_listener_serve(n->listener, n->scope, "incoming: tls", shake_hands, n);
	weft_chan_close(n->ready);
	return WEFT_OK;
}

static void net_close(void *user)
{
	struct net *n = user;

	weft_listener_close(n->listener);
	if (n->ready)
		weft_chan_close(n->ready);
}

static void net_free(void *user)
{
	struct net *n = user;
	weft_transport *session;

	weft_listener_close(n->listener);
	weft_scope_free(n->scope);
	while (n->ready && !weft_chan_try_recv(n->ready, &session))
		weft_transport_free(session);
	weft_chan_unref(n->ready);
	weft_tls_unref(n->tls);
	weft_listener_free(n->listener);
	mem_free(n);
}

static const weft_incoming_ops net_ops = { net_accept, net_close, net_free };

static weft_err net_start(struct net *n)
{
	weft_err err = weft_chan_create(&n->ready, sizeof(weft_transport *), READY_MAX, NULL);

	if (!err)
		err = rt_scope_create_root(&n->scope);
	if (!err)
		err = weft_scope_spawn_on(n->scope,
			weft_in_fiber() ? weft_worker_self() : weft_worker_least_loaded(),
			"incoming: listener", listen_fiber, n);
	return err;
}

weft_err weft_incoming_listener_own(weft_incoming **out, weft_listener *listener, weft_tls *tls,
	const weft_transport_options *options)
{
	struct net *n = mem_calloc(1, sizeof(*n));
	weft_incoming *incoming = NULL;
	weft_err err;

	if (!n) {
		weft_listener_free(listener);
		return err_set(WEFT_ENOMEM);
	}
	n->listener = listener;
	n->tls = tls ? weft_tls_ref(tls) : NULL;
	err = transport_options_fill(&n->options, options);
	if (!err)
		err = weft_incoming_create(&incoming, &net_ops, n, weft_listener_name(listener));
	if (err) {
		net_free(n);
		return err;
	}
	if (tls)
		err = net_start(n);
	if (err)
		weft_incoming_free(incoming);
	else
		*out = incoming;
	return err;
}
