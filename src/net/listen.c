/* SPDX-License-Identifier: MIT */
/*
 * Listeners. Any number of fibers and threads may accept; a mutex that parks lets one of
 * them at the descriptor. How many conns are alive is counted in a struct that the conns
 * share with the listener, so that they may outlive it.
 */
#define _GNU_SOURCE
#include <weft/log.h>
#include <weft/mutex.h>
#include <weft/net.h>

#include "base/counter.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/addr.h"
#include "net/options.h"
#include "net/resolve.h"
#include "net/sockconn.h"
#include "net/sockfile.h"
#include "rt/lock.h"
#include "sync/gate.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define BACKOFF_MIN_NS INT64_C(5000000)
#define BACKOFF_MAX_NS INT64_C(1000000000)
#define REFUSAL_LOG_NS INT64_C(1000000000) /* one line in that time */

struct weft_listener {
	struct gate gate;	  /* accepts and the closer are visitors */
	struct io_handle *handle; /* until the gate is over */
	weft_mutex *accepting;	  /* held while at the handle */
	struct conn_quota *quota;
	uint64_t connections_max;
	bool is_wildcard; /* local is not the address that conns have */
	struct io_addr local;
	struct socket_file file;
	struct counter accepted, refused, backoffs;
	int64_t backoff_ns;	   /* under accepting; 0: the last accept went well */
	int64_t refusal_logged_at; /* under accepting */
	struct rt_lock lock;
	weft_parker *sleeper; /* under lock: who backs off now */
	char name[NET_NAME_SIZE];
};

/* ---- making ---- */

static bool is_wildcard(const struct io_addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return addr->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

static weft_err listen_tcp_addr(
	struct io_handle **out, const struct io_addr *addr, const struct io_listen_options *options)
{
	struct io *io = rt_io();
	char name[NET_NAME_SIZE];
	int rc = io->ops->listen(io, out, addr, options);

	if (rc >= 0)
		return WEFT_OK;
	net_addr_format(addr, name);
	if (rc == -EADDRNOTAVAIL)
		return err_setf(WEFT_EUNREACH, "listen on %s: not an address of this host", name);
	if (rc == -EADDRINUSE)
		return err_setf(WEFT_EINUSE, "listen on %s: somebody listens there already", name);
	return err_sys(-rc, "listen on %s", name);
}

/* The first that works, IPv4 before IPv6, because a client that is given a bare address has
 * more often one of those. */
static weft_err listen_first(struct io_handle **out, const struct resolved *found,
	const struct io_listen_options *options)
{
	static const sa_family_t order[] = { AF_INET, AF_INET6 };
	weft_err err = err_set(WEFT_ERESOLVE);

	for (size_t f = 0; f < 2; f++) {
		for (size_t i = 0; i < found->len; i++) {
			if (found->addrs[i].sa.sa_family != order[f])
				continue;
			err = listen_tcp_addr(out, &found->addrs[i], options);
			if (!err)
				return WEFT_OK;
		}
	}
	return err;
}

static weft_err listen_tcp(struct io_handle **out, const struct net_addr *addr,
	const struct io_listen_options *options, weft_deadline until)
{
	/* 2 KiB: not for a fiber's stack */
	struct resolved *found = mem_alloc(sizeof(*found));
	weft_err err;

	if (!found)
		return err_sys(ENOMEM, "listen on tcp://%s:%u", addr->host, addr->port);
	err = resolve(found, addr, until);
	if (err)
		err_wrap(err, "listen on tcp://%s:%u", addr->host, addr->port);
	else
		err = listen_first(out, found, options);
	mem_free(found);
	return err;
}

static weft_err listen_handle(weft_listener *l, const struct net_addr *addr,
	const weft_net_options *options, weft_deadline until)
{
	struct io_listen_options io_options = {
		.backlog = (int)options->backlog,
		.reuse_port = options->reuse_port,
		.unix_mode = options->unix_mode,
	};
	weft_err err;

	if (addr->kind == NET_TCP) {
		err = listen_tcp(&l->handle, addr, &io_options, until);
	} else {
		net_addr_format(&addr->addr, l->name);
		err = socket_file_listen(&l->handle, &l->file, &addr->addr, l->name, &io_options,
			options->unix_mode, until);
	}
	if (err)
		return err;
	/* Accepted sockets inherit all of these from the one that listens. */
	net_options_apply(options, l->handle, addr->kind == NET_TCP);
	if (addr->kind == NET_UNIX || l->handle->ops->names(l->handle, &l->local, NULL) < 0)
		l->local = addr->addr;
	l->is_wildcard = is_wildcard(&l->local);
	net_addr_format(&l->local, l->name);
	return WEFT_OK;
}

static weft_err listener_make(weft_listener **out, const struct net_addr *addr,
	const weft_net_options *options, weft_deadline until)
{
	weft_listener *l = mem_calloc(1, sizeof(*l));
	weft_err err;

	if (!l)
		return err_sys(ENOMEM, "listen");
	l->connections_max = options->connections_max ? options->connections_max : UINT64_MAX;
	l->quota = mem_calloc(1, sizeof(*l->quota));
	if (!l->quota) {
		err = err_sys(ENOMEM, "listen");
		goto fail;
	}
	refcount_init(&l->quota->refs, 1);
	err = weft_mutex_create(&l->accepting);
	if (err)
		goto fail;
	err = listen_handle(l, addr, options, until);
	if (err)
		goto fail;
	*out = l;
	return WEFT_OK;
fail:
	weft_mutex_free(l->accepting);
	conn_quota_unref(l->quota);
	mem_free(l);
	return err;
}

weft_err weft_listen(weft_listener **out, const char *address, const weft_net_options *options,
	weft_deadline until)
{
	weft_net_options checked;
	struct net_addr addr;
	weft_err err;

	if (!address)
		return err_setf(WEFT_EINVAL, "listen: no address is given");
	err = net_addr_parse(&addr, address, strlen(address), NET_LISTEN);
	if (err)
		return err;
	err = net_options_check(&checked, options);
	if (err)
		return err;
	if (!rt_io())
		return err_setf(WEFT_EINVAL, "listen: no runtime is running");
	return listener_make(out, &addr, &checked, until);
}

/* ---- ending ---- */

static void listener_leave(weft_listener *l)
{
	if (gate_leave(&l->gate, GATE_VISIT) != GATE_LAST)
		return;
	l->handle->ops->close(l->handle, false);
	gate_finish(&l->gate);
}

static void wake_sleeper(weft_listener *l)
{
	weft_parker *sleeper;

	rt_lock_acquire(&l->lock);
	sleeper = l->sleeper;
	rt_lock_release(&l->lock);
	if (sleeper)
		weft_unpark(sleeper);
}

void weft_listener_close(weft_listener *l)
{
	if (!gate_close(&l->gate, false))
		return;
	socket_file_remove(&l->file);
	l->handle->ops->interrupt(l->handle);
	wake_sleeper(l);
	listener_leave(l);
}

void weft_listener_free(weft_listener *l)
{
	if (!l)
		return;
	weft_listener_close(l);
	gate_wait_gone(&l->gate);
	weft_mutex_free(l->accepting);
	conn_quota_unref(l->quota);
	mem_free(l);
}

/* ---- accepting ---- */

static bool is_closed(const weft_listener *l)
{
	return gate_word(&l->gate) & GATE_CLOSED;
}

/*
 * Descriptors or memory have run out: the connection stays in the kernel's queue, and
 * trying again at once would only spin. Ends early when the listener closes.
 */
static weft_err back_off(weft_listener *l, int errnum, weft_deadline until)
{
	weft_deadline then;
	weft_err err = WEFT_OK;

	l->backoff_ns = l->backoff_ns ? l->backoff_ns * 2 : BACKOFF_MIN_NS;
	if (l->backoff_ns > BACKOFF_MAX_NS)
		l->backoff_ns = BACKOFF_MAX_NS;
	then = weft_after_ns(l->backoff_ns);
	(void)counter_add(&l->backoffs, 1);
	weft_log(WEFT_LOG_WARN, "net", "accept on %s: %s: next try in %d ms", l->name,
		net_reason(errnum), (int)(l->backoff_ns / 1000000));
	rt_lock_acquire(&l->lock);
	l->sleeper = weft_parker_self();
	rt_lock_release(&l->lock);
	while (!err && !is_closed(l) && weft_now() < then)
		err = rt_park(then < until ? then : until, "accept back-off");
	rt_lock_acquire(&l->lock);
	l->sleeper = NULL;
	rt_lock_release(&l->lock);
	return err == WEFT_ETIMEDOUT && then < until ? WEFT_OK : err;
}

static void refuse(weft_listener *l, struct io_handle *handle)
{
	uint64_t refused = counter_add(&l->refused, 1) + 1;
	int64_t now = weft_now();

	handle->ops->close(handle, true);
	if (l->refusal_logged_at && now - l->refusal_logged_at < REFUSAL_LOG_NS)
		return;
	l->refusal_logged_at = now;
	weft_log(WEFT_LOG_WARN, "net",
		"accept on %s: %s: all of its %llu connections are in use, %llu refused so far",
		l->name, weft_err_name(WEFT_ECAPACITY), (unsigned long long)l->connections_max,
		(unsigned long long)refused);
}

/* What goes wrong with one connection is no reason to stop accepting others: accept(2). */
static bool is_of_the_connection(int errnum)
{
	switch (errnum) {
	case ECONNABORTED:
	case ECONNRESET:
	case EPROTO:
	case ENOPROTOOPT:
	case ENETDOWN:
	case ENETUNREACH:
	case ENONET:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case EPERM:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

static weft_err accept_failed(weft_listener *l, int errnum, weft_deadline until)
{
	switch (errnum) {
	case ECANCELED:
		return err_set(WEFT_ECLOSED);
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return back_off(l, errnum, until);
	default:
		if (is_of_the_connection(errnum))
			return WEFT_OK;
		return err_sys(errnum, "accept on %s", l->name);
	}
}

/* Holds accepting. On success a place in the quota is taken. */
static weft_err accept_handle(
	weft_listener *l, struct io_handle **out, struct io_addr *peer, weft_deadline until)
{
	struct io_op op;
	weft_err err;

	for (;;) {
		if (is_closed(l))
			return err_set(WEFT_ECLOSED);
		op.handle = l->handle;
		op.kind = IO_ACCEPT;
		op.iov_count = 0;
		op.iov = NULL;
		op.addr = peer;
		op.accepted = NULL;
		err = rt_io_run(&op, until, "accept");
		if (err)
			return err;
		if (op.result < 0) {
			err = accept_failed(l, (int)-op.result, until);
			if (err)
				return err;
			continue;
		}
		l->backoff_ns = 0;
		if (counter_try_add(&l->quota->alive, 1, l->connections_max)) {
			*out = op.accepted;
			return WEFT_OK;
		}
		refuse(l, op.accepted);
	}
}

static weft_err accept_conn(weft_listener *l, weft_conn **out, weft_deadline until)
{
	struct io_handle *handle = NULL;
	struct io_addr peer;
	weft_err err;

	memset(&peer, 0, sizeof(peer));
	err = weft_mutex_lock(l->accepting, until);
	if (err)
		return err;
	err = accept_handle(l, &handle, &peer, until);
	weft_mutex_unlock(l->accepting);
	if (err)
		return err;
	refcount_hold(&l->quota->refs);
	err = conn_from_handle_named(
		out, handle, l->is_wildcard ? NULL : &l->local, &peer, l->quota);
	if (err) {
		(void)counter_sub(&l->quota->alive, 1);
		conn_quota_unref(l->quota);
		return err;
	}
	(void)counter_add(&l->accepted, 1);
	return WEFT_OK;
}

weft_err weft_listener_accept(weft_listener *l, weft_conn **out, weft_deadline until)
{
	weft_err err;

	err = rt_check_cancelled();
	if (err)
		return err;
	if (!gate_visit(&l->gate))
		return err_set(WEFT_ECLOSED);
	err = accept_conn(l, out, until);
	listener_leave(l);
	return err;
}

const char *weft_listener_name(const weft_listener *l)
{
	return l->name;
}

void weft_listener_stats_get(const weft_listener *l, weft_listener_stats *out)
{
	out->accepted = counter_get(&l->accepted);
	out->refused = counter_get(&l->refused);
	out->backoffs = counter_get(&l->backoffs);
	out->connections = counter_get(&l->quota->alive);
}
