/* SPDX-License-Identifier: MIT */
/* A channel's descriptor, as a foreign event loop sees it. */
#include "support/chans.h"
#include "support/crew.h"
#include "support/t.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

static int fd_of(weft_chan *chan)
{
	int fd = -1;

	ck_assert_int_eq(weft_chan_fd(chan, &fd), WEFT_OK);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, timeout_ms);

	T_OUGHT(n >= 0 && (n == 0 || p.revents == POLLIN));
	return n == 1;
}

static const size_t capacities[] = { 1, 4, WEFT_CHAN_UNBOUNDED };

START_TEST(fd_is_readable_while_there_may_be_something)
{
	weft_chan *chan = chan_of(8, capacities[_i]);
	int before = t_fds_open(), fd = fd_of(chan);
	uint64_t value;

	ck_assert_int_eq(fd_of(chan), fd);
	ck_assert_int_eq(t_fds_open(), before + 1);
	for (uint64_t i = 0; i < 20; i++) {
		ck_assert(!readable(fd, 0));
		send_ok(chan, i);
		ck_assert(readable(fd, 0));
		if (i % 2 && weft_chan_capacity(chan) > 1)
			send_ok(chan, i);
		ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_OK);
		/* level-triggered, until somebody finds the channel empty */
		ck_assert(readable(fd, 0));
		while (weft_chan_try_recv(chan, &value) == WEFT_OK)
			ck_assert(readable(fd, 0));
		ck_assert(!readable(fd, 0));
	}
	/* the other calls that say so, too */
	send_ok(chan, 1);
	ck_assert_int_eq(weft_chan_recv(chan, &value, WEFT_NOW), WEFT_OK);
	ck_assert_int_eq(weft_chan_recv(chan, &value, WEFT_NOW), WEFT_ETIMEDOUT);
	ck_assert(!readable(fd, 0));
	send_ok(chan, 1);
	ck_assert_uint_eq(weft_chan_drain(chan), 1);
	ck_assert(!readable(fd, 0));
	weft_chan_unref(chan);
	ck_assert_int_eq(t_fds_open(), before);
}
END_TEST

START_TEST(fd_that_is_asked_for_late_is_readable)
{
	weft_chan *chan = chan_of(8, 4);

	send_ok(chan, 1);
	ck_assert(readable(fd_of(chan), 0));
	weft_chan_unref(chan);
	chan = chan_of(8, 4);
	weft_chan_close(chan);
	ck_assert(readable(fd_of(chan), 0));
	weft_chan_unref(chan);
}
END_TEST

START_TEST(fd_stays_readable_from_the_close_on)
{
	weft_chan *chan = chan_of(8, capacities[_i]);
	weft_chan_permit permit;
	int fd = fd_of(chan);
	uint64_t value = 3;

	ck_assert_int_eq(weft_chan_try_reserve(chan, &permit), WEFT_OK);
	weft_chan_close(chan);
	/* a permit is out: it is not the end yet, and nothing is there */
	ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_EAGAIN);
	ck_assert(!readable(fd, 0));
	weft_chan_permit_release(&permit);
	for (int i = 0; i < 3; i++) {
		ck_assert(readable(fd, 0));
		ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_ECLOSED);
	}
	weft_chan_unref(chan);
}
END_TEST

START_TEST(fd_is_not_for_a_rendezvous_and_fails_cleanly)
{
	struct rlimit limit, none;
	weft_chan *chan = chan_of(8, 0);
	int fd = -7;

	ck_assert_int_eq(weft_chan_fd(chan, &fd), WEFT_EINVAL);
	weft_chan_unref(chan);
	chan = chan_of(8, 1);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(weft_chan_fd(chan, &fd), WEFT_ECAPACITY);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	T_EACH_FAILING_MALLOC(n) {
		weft_chan *other = NULL;
		weft_err err = weft_chan_create(&other, 8, 4, NULL);

		if (err == WEFT_OK)
			err = weft_chan_fd(other, &fd);
		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		weft_chan_unref(other);
	}
	weft_chan_unref(chan);
}
END_TEST

/* --- beside parked receivers ----------------------------------------------------------------- */

struct waiter {
	weft_chan *chan;
	uint64_t value;
	bool returned;
};

static weft_err recv_body(void *arg)
{
	struct waiter *w = arg;

	ck_assert_int_eq(weft_chan_recv(w->chan, &w->value, WEFT_FOREVER), WEFT_OK);
	w->returned = true;
	return WEFT_OK;
}

static weft_err beside_receivers(void *arg)
{
	weft_chan *chan = chan_of(8, 4);
	struct waiter w = { chan, 0, false };
	weft_scope *scope;
	int fd = fd_of(chan);
	uint64_t value;

	(void)arg;
	ck_assert_int_eq(weft_scope_create(&scope), WEFT_OK);
	ck_assert_int_eq(weft_scope_spawn(scope, "waiter", recv_body, &w), WEFT_OK);
	crew_settle();
	send_ok(chan, 5);
	crew_settle();
	/* the waiter has it, whatever the loop does; the loop finds nothing */
	ck_assert(w.returned && w.value == 5);
	ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_EAGAIN);
	ck_assert(!readable(fd, 0));
	weft_scope_free(scope);
	weft_chan_unref(chan);
	return WEFT_OK;
}

START_TEST(fd_takes_no_wake_from_receivers_who_wait)
{
	ck_assert_int_eq(crew_main(1, beside_receivers, NULL), WEFT_OK);
}
END_TEST

/* --- races ------------------------------------------------------------------------------------- */

enum { SENDERS = 3, EACH = 4000, LOOPS = 2 };

struct loop {
	weft_chan *chan;
	uint64_t seed;
	_Atomic uint32_t sent, received, sends_left;
};

static weft_err send_some(void *arg)
{
	struct loop *l = arg;
	uint64_t state = l->seed + (uintptr_t)&state;

	for (uint64_t i = 0; i < EACH; i++) {
		uint64_t values[3] = { i, i, i };
		weft_chan_permit permit;
		size_t done = 1;

		switch (t_random(&state) % 3) {
		case 0:
			T_OUGHT(weft_chan_send(l->chan, &i, WEFT_FOREVER) == WEFT_OK);
			break;
		case 1:
			T_OUGHT(weft_chan_send_many(l->chan, values, 3, &done, WEFT_FOREVER) ==
				WEFT_OK);
			break;
		default:
			T_OUGHT(weft_chan_reserve(l->chan, &permit, WEFT_FOREVER) == WEFT_OK);
			weft_chan_permit_send(&permit, &i);
		}
		atomic_fetch_add(&l->sent, (uint32_t)done);
		/* so that the loop finds the channel empty now and then */
		if (t_random(&state) % 4 == 0)
			(void)weft_yield();
	}
	weft_chan_sender_unref(l->chan);
	return WEFT_OK;
}

/* A loop of the plain kind: without a time-out, so that a wake that is lost is a dead stop. */
static void *poll_thread(void *arg)
{
	struct loop *l = arg;
	uint64_t value, state = l->seed + (uintptr_t)&state;
	weft_err err = WEFT_OK;
	int fd = fd_of(l->chan);

	while (err != WEFT_ECLOSED) {
		uint64_t most = t_random(&state) % 4 + 1;

		T_OUGHT(readable(fd, -1));
		/* some, or all */
		do {
			err = weft_chan_try_recv(l->chan, &value);
			atomic_fetch_add(&l->received, err == WEFT_OK);
		} while (err == WEFT_OK && --most > 0);
		T_OUGHT(err == WEFT_OK || err == WEFT_EAGAIN || err == WEFT_ECLOSED);
	}
	return NULL;
}

START_TEST(fd_of_a_plain_poll_loop_misses_nothing)
{
	size_t capacity = capacities[_i % 3];
	int loops = _i / 3 % 2 ? LOOPS : 1;
	struct crew_member members[SENDERS];
	struct loop l = { .chan = chan_of(8, capacity), .seed = t_seed() };
	pthread_t threads[LOOPS];
	int before = t_fds_open();

	for (int i = 0; i < SENDERS; i++) {
		members[i] = (struct crew_member){ send_some, &l };
		weft_chan_sender_ref(l.chan);
	}
	for (int i = 0; i < loops; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, poll_thread, &l), 0);
	crew_run(_i / 6 ? CREW_MIXED : CREW_THREADS, 0, members, SENDERS);
	for (int i = 0; i < loops; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(l.received, l.sent);
	weft_chan_unref(l.chan);
	ck_assert_int_eq(t_fds_open(), before);
}
END_TEST

static void chan_fd_tests(TCase *tc)
{
	t_add_loop(tc, fd_is_readable_while_there_may_be_something, 0, 3);
	t_add(tc, fd_that_is_asked_for_late_is_readable);
	t_add_loop(tc, fd_stays_readable_from_the_close_on, 0, 3);
	t_add(tc, fd_is_not_for_a_rendezvous_and_fails_cleanly);
	t_add(tc, fd_takes_no_wake_from_receivers_who_wait);
	t_add_loop(tc, fd_of_a_plain_poll_loop_misses_nothing, 0, 12);
}
T_SUITE("chan_fd", chan_fd_tests)
