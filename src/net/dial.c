/* SPDX-License-Identifier: MIT */
/*
 * Connecting. A single address is tried in the calling fiber; several race as RFC 8305
 * says, each in a fiber of its own: the next one starts when the delay is over or one
 * has failed, the first that connects wins, the others are cancelled and closed before
 * weft_dial returns.
 */
#define _GNU_SOURCE
#include "net/dial.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/addr.h"
#include "net/options.h"
#include "net/sockconn.h"
#include "rt/lock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BUSY_RETRY_MIN_NS INT64_C(1000000) /* a unix listener's backlog is full */
#define BUSY_RETRY_MAX_NS INT64_C(50000000)
#define REASON_SIZE 96

struct dial {
	const char *address; /* as errors name it */
	weft_net_options options;
	weft_deadline until;
};

/* A reason a single attempt failed for: the code, and a text for people. */
struct failure {
	weft_err err;
	char text[REASON_SIZE];
};

static void fail_errno(struct failure *failure, int errnum)
{
	failure->err = err_from_errno(errnum);
	(void)snprintf(failure->text, sizeof(failure->text), "%s", net_reason(errnum));
	/* The words of the error list, where the code says it all. */
	if (failure->err == WEFT_EREFUSED || failure->err == WEFT_ETIMEDOUT)
		(void)snprintf(
			failure->text, sizeof(failure->text), "%s", weft_strerror(failure->err));
}

static void fail_err(struct failure *failure, weft_err err)
{
	failure->err = err;
	(void)snprintf(failure->text, sizeof(failure->text), "%s", weft_strerror(err));
}

/* ---- one attempt ---- */

/*
 * Connecting to a port of this host's own that nobody listens on may, when the kernel
 * picks that very port as the local one, connect the socket with itself.
 */
static bool is_self_connected(struct io_handle *handle)
{
	struct io_addr local, peer;

	return handle->ops->names(handle, &local, &peer) == 0 && local.sa.sa_family != AF_UNIX &&
		net_addr_equal(&local, &peer);
}

static bool connect_once(const struct dial *dial, struct io_handle *handle, struct io_addr *addr,
	struct failure *failure)
{
	struct io_op op;
	weft_err err;

	op.handle = handle;
	op.kind = IO_CONNECT;
	op.iov_count = 0;
	op.iov = NULL;
	op.addr = addr;
	err = rt_io_run(&op, dial->until, "connect");
	if (err)
		fail_err(failure, err);
	else if (op.result < 0)
		fail_errno(failure, (int)-op.result);
	else if (is_self_connected(handle))
		fail_errno(failure, ECONNREFUSED);
	else
		return true;
	/* Only a unix listener without room says that; it is as busy, not as out of order. */
	if (!err && addr->sa.sa_family == AF_UNIX &&
		(op.result == -EAGAIN || op.result == -ENOBUFS))
		fail_err(failure, WEFT_EAGAIN);
	return false;
}

/* NULL: failed, *failure says why. */
static struct io_handle *attempt(
	const struct dial *dial, const struct io_addr *addr, struct failure *failure)
{
	struct io *io = rt_io();
	struct io_addr to = *addr;
	struct io_handle *handle = NULL;
	int rc;

	rc = io->ops->socket(io, &handle, to.sa.sa_family);
	if (rc < 0) {
		fail_errno(failure, -rc);
		return NULL;
	}
	net_options_apply(&dial->options, handle, to.sa.sa_family != AF_UNIX);
	if (connect_once(dial, handle, &to, failure))
		return handle;
	handle->ops->close(handle, false);
	return NULL;
}

/* With patience for a full backlog, which only unix listeners show. */
static struct io_handle *attempt_patiently(
	const struct dial *dial, const struct io_addr *addr, struct failure *failure)
{
	int64_t delay_ns = BUSY_RETRY_MIN_NS;
	struct io_handle *handle;
	weft_err err;

	for (;;) {
		weft_deadline then;

		handle = attempt(dial, addr, failure);
		if (handle || failure->err != WEFT_EAGAIN)
			return handle;
		then = weft_after_ns(delay_ns);
		err = weft_sleep_until(then < dial->until ? then : dial->until);
		if (!err && then >= dial->until)
			err = WEFT_ETIMEDOUT;
		if (err) {
			fail_err(failure, err);
			return NULL;
		}
		delay_ns = delay_ns * 2 < BUSY_RETRY_MAX_NS ? delay_ns * 2 : BUSY_RETRY_MAX_NS;
	}
}

/* ---- a race ---- */

struct race;

struct lane {
	struct race *race;
	struct io_addr addr;
	struct failure failure; /* valid once done, unless it won */
	bool done;		/* race->lock */
};

struct race {
	const struct dial *dial;
	struct rt_lock lock; /* over all below, and lane.done */
	weft_parker *waiter; /* the dialling fiber; NULL once it has left */
	struct io_handle *winner;
	size_t started, ended;
	size_t lanes_len;
	struct lane lanes[RESOLVE_MAX];
};

static void lane_end(struct lane *lane, struct io_handle *handle)
{
	struct race *race = lane->race;
	weft_parker *waiter;

	rt_lock_acquire(&race->lock);
	lane->done = true;
	race->ended++;
	if (handle && !race->winner) {
		race->winner = handle;
		handle = NULL;
	} else if (handle) {
		fail_err(&lane->failure, WEFT_ECANCELED);
	}
	waiter = race->waiter;
	rt_lock_release(&race->lock);
	if (waiter)
		weft_unpark(waiter);
	if (handle)
		handle->ops->close(handle, false);
}

static weft_err lane_fiber(void *arg)
{
	struct lane *lane = arg;

	lane_end(lane, attempt(lane->race->dial, &lane->addr, &lane->failure));
	return WEFT_OK;
}

static void lane_start(struct race *race, weft_scope *scope)
{
	struct lane *lane = &race->lanes[race->started++];
	weft_err err = weft_scope_spawn(scope, "dial", lane_fiber, lane);

	if (err) {
		fail_err(&lane->failure, err);
		lane_end(lane, NULL);
	}
}

struct progress {
	bool won;
	size_t running;
};

static struct progress race_look(struct race *race)
{
	struct progress progress;

	rt_lock_acquire(&race->lock);
	progress.won = race->winner != NULL;
	progress.running = race->started - race->ended;
	rt_lock_release(&race->lock);
	return progress;
}

/* Until one has won, all have failed, or the deadline (of the dial, or of this fiber's
 * patience) has come. */
static weft_err race_run(struct race *race, weft_scope *scope)
{
	int64_t delay_ns = (int64_t)race->dial->options.attempt_delay_ms * 1000000;
	weft_deadline until = race->dial->until, next = 0;
	size_t running_before = 0;
	weft_err err;

	for (;;) {
		struct progress now = race_look(race);

		if (now.won)
			return WEFT_OK;
		if (race->started < race->lanes_len &&
			(now.running == 0 || now.running < running_before || weft_now() >= next)) {
			lane_start(race, scope);
			next = weft_after_ns(delay_ns);
			running_before = race_look(race).running;
			continue;
		}
		running_before = now.running;
		if (now.running == 0 && race->started == race->lanes_len)
			return WEFT_OK;
		if (race->started == race->lanes_len)
			next = until;
		err = rt_park(next < until ? next : until, "dial");
		if (err && (err != WEFT_ETIMEDOUT || next >= until))
			return err;
	}
}

/* How much a failure tells about the host: the highest is reported. */
static int weight(weft_err err)
{
	static const weft_err order[] = { WEFT_ECANCELED, WEFT_ETIMEDOUT, WEFT_EUNREACH,
		WEFT_ENOMEM, WEFT_ECAPACITY, WEFT_EACCESS, WEFT_ERESET, WEFT_EREFUSED };

	for (int i = 0; i < (int)(sizeof(order) / sizeof(order[0])); i++) {
		if (order[i] == err)
			return i;
	}
	return 0;
}

/* One reason when all failed alike, else each with its address. */
static weft_err race_failure(const struct race *race, const char *address)
{
	char all[ERR_TEXT_MAX / 2] = "", name[NET_NAME_SIZE];
	const struct failure *worst = &race->lanes[0].failure;
	bool alike = true;
	size_t used = 0;

	for (size_t i = 0; i < race->lanes_len; i++) {
		const struct failure *f = &race->lanes[i].failure;

		if (strcmp(f->text, race->lanes[0].failure.text) != 0)
			alike = false;
		if (weight(f->err) > weight(worst->err))
			worst = f;
		net_addr_format(&race->lanes[i].addr, name);
		if (used < sizeof(all))
			used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s: %s",
				i ? "; " : "", name + strlen("tcp://"), f->text);
	}
	return err_setf(worst->err, "connect %s: %s", address, alike ? worst->text : all);
}

static weft_err race_dial(
	const struct dial *dial, const struct resolved *addrs, struct io_handle **out)
{
	struct race *race = mem_calloc(1, sizeof(*race));
	weft_scope *scope = NULL;
	weft_err err;

	if (!race)
		return err_sys(ENOMEM, "connect %s", dial->address);
	race->dial = dial;
	race->waiter = weft_parker_self();
	race->lanes_len = addrs->len;
	for (size_t i = 0; i < addrs->len; i++) {
		race->lanes[i].race = race;
		race->lanes[i].addr = addrs->addrs[i];
	}
	err = weft_scope_create(&scope);
	if (err)
		goto out;
	err = race_run(race, scope);
out:
	/* Joins the others, so that race and dial may go. */
	weft_scope_free(scope);
	if (race->winner) {
		*out = race->winner;
		err = WEFT_OK;
	} else if (err) {
		err = err_setf(err, "connect %s: %s", dial->address, weft_strerror(err));
	} else {
		err = race_failure(race, dial->address);
	}
	mem_free(race);
	return err;
}

/* ---- the call ---- */

weft_err net_connect(struct io_handle **out, const struct resolved *addrs, const char *address,
	const weft_net_options *options, weft_deadline until)
{
	struct dial dial = { address, *options, until };
	struct failure failure;

	if (addrs->len > 1)
		return race_dial(&dial, addrs, out);
	*out = attempt_patiently(&dial, &addrs->addrs[0], &failure);
	if (*out)
		return WEFT_OK;
	return err_setf(failure.err, "connect %s: %s", address, failure.text);
}

static weft_err dial_resolve(
	struct resolved *addrs, const struct dial *dial, const struct net_addr *addr)
{
	weft_err err;

	if (addr->kind == NET_UNIX) {
		addrs->len = 1;
		addrs->addrs[0] = addr->addr;
		return WEFT_OK;
	}
	err = resolve(addrs, addr, dial->until);
	return err ? err_wrap(err, "connect %s", dial->address) : WEFT_OK;
}

static weft_err dial_parsed(weft_conn **out, const struct dial *dial, const struct net_addr *addr,
	struct net_dial_steps *steps)
{
	struct io_handle *handle = NULL;
	struct io_addr peer = addr->addr;
	/* 2 KiB: not for a fiber's stack */
	struct resolved *addrs = mem_alloc(sizeof(*addrs));
	weft_deadline begun = steps ? weft_now() : 0, resolved = begun;
	weft_err err;

	if (!addrs)
		return err_sys(ENOMEM, "connect %s", dial->address);
	err = dial_resolve(addrs, dial, addr);
	if (steps) {
		resolved = weft_now();
		steps->resolve_ns = addr->numeric || addr->kind == NET_UNIX ? 0 : resolved - begun;
		if (steps->step)
			counter_set(steps->step, 1);
	}
	if (!err)
		err = net_connect(&handle, addrs, dial->address, &dial->options, dial->until);
	if (steps)
		steps->connect_ns = weft_now() - resolved;
	mem_free(addrs);
	if (err || !handle)
		return err;
	if (addr->kind == NET_TCP)
		(void)handle->ops->names(handle, NULL, &peer);
	return conn_from_handle_named(out, handle, NULL, &peer, NULL);
}

weft_err net_dial(weft_conn **out, const char *address, const weft_net_options *options,
	struct net_dial_steps *steps, weft_deadline until)
{
	struct dial dial = { .address = address, .until = until };
	char path[NET_NAME_SIZE];
	struct net_addr addr;
	weft_err err;

	if (!address)
		return err_setf(WEFT_EINVAL, "connect: no address is given");
	err = net_addr_parse(&addr, address, strlen(address), NET_DIAL);
	if (err)
		return err;
	err = net_options_check(&dial.options, options);
	if (err)
		return err;
	if (addr.kind == NET_UNIX) {
		net_addr_format(&addr.addr, path);
		dial.address = path;
	}
	if (!rt_io())
		return err_setf(WEFT_EINVAL, "connect %s: no runtime is running", dial.address);
	err = rt_check_cancelled();
	if (err)
		return err_setf(err, "connect %s: %s", dial.address, weft_strerror(err));
	return dial_parsed(out, &dial, &addr, steps);
}

weft_err weft_dial(
	weft_conn **out, const char *address, const weft_net_options *options, weft_deadline until)
{
	return net_dial(out, address, options, NULL, until);
}
