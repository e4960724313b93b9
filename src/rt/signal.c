/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * Signals as events. The handler sets a bit and writes an eventfd; the waiter reads that
 * through the netpoll backend. Works whatever the signal masks of other threads are.
 *
 * A handler may still run in another thread while its weft_signals is freed: `handlers`
 * counts those inside, and free waits until it has been zero.
 */
#include "base/mem.h"
#include "rt/fiber.h"

#include <weft/signal.h>

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SIGNALS_MAX 64
#define NUMBERS_MAX 16

struct weft_signals {
	_Atomic uint64_t pending; /* bit n: signal n + 1 arrived */
	int fd;
	struct io_handle *handle;
	size_t count;
	int numbers[NUMBERS_MAX];
	struct sigaction old[NUMBERS_MAX];
};

static struct rt_lock lock; /* over who has which signal */
static _Atomic(struct weft_signals *) owners[SIGNALS_MAX + 1];
static _Atomic uint32_t handlers;

static void on_signal(int number)
{
	int saved = errno;
	struct weft_signals *s;
	uint64_t one = 1;
	ssize_t rc;

	/* seq_cst: before the look at the owner, in one order with free's */
	atomic_fetch_add_explicit(&handlers, 1, memory_order_seq_cst);
	/* seq_cst: see above */
	s = atomic_load_explicit(&owners[number], memory_order_seq_cst);
	if (s) {
		/* release; pairs with take_pending */
		atomic_fetch_or_explicit(
			&s->pending, UINT64_C(1) << (number - 1), memory_order_release);
		rc = write(s->fd, &one, sizeof(one));
		(void)rc; /* full: then it is readable anyway */
	}
	/* seq_cst: after the last use of the owner */
	atomic_fetch_sub_explicit(&handlers, 1, memory_order_seq_cst);
	errno = saved;
}

static bool can_be_named(int number)
{
	switch (number) {
	case SIGKILL:
	case SIGSTOP:
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGCHLD:
		return false;
	default:
		/* those between are libc's own */
		return number > 0 && number <= SIGNALS_MAX && (number < 32 || number >= SIGRTMIN);
	}
}

static void give_back(struct weft_signals *s)
{
	unsigned spins = 0;

	for (size_t i = s->count; i-- > 0;) {
		sigaction(s->numbers[i], &s->old[i], NULL);
		/* seq_cst: in one order with the handler's entry */
		atomic_store_explicit(&owners[s->numbers[i]], NULL, memory_order_seq_cst);
	}
	/* seq_cst: a handler that found the owner is counted here */
	while (atomic_load_explicit(&handlers, memory_order_seq_cst) != 0)
		rt_relax(&spins, false);
}

static weft_err take(struct weft_signals *s, const int *numbers, size_t count)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	weft_err err = WEFT_OK;

	sigemptyset(&sa.sa_mask);
	rt_lock_acquire(&lock);
	for (size_t i = 0; i < count && !err; i++) {
		int n = numbers[i];

		/* relaxed: the lock orders owners among themselves */
		if (atomic_load_explicit(&owners[n], memory_order_relaxed)) {
			err = WEFT_EDUPLICATE;
			break;
		}
		/* seq_cst: complete before the handler can find it */
		atomic_store_explicit(&owners[n], s, memory_order_seq_cst);
		s->numbers[s->count] = n;
		sigaction(n, &sa, &s->old[s->count]);
		s->count++;
	}
	if (err)
		give_back(s);
	rt_lock_release(&lock);
	return err ? err_setf(err, "signals: another weft_signals has one of them") : WEFT_OK;
}

weft_err weft_signals_create(weft_signals **out, const int *numbers, size_t count)
{
	struct io *io = rt_io();
	struct weft_signals *s;
	weft_err err = WEFT_OK;
	int rc;

	if (!io || rt_is_sim())
		return io ? err_setf(WEFT_ENOSYS, "signals: not in a simulated run")
			  : err_setf(WEFT_EINVAL, "signals: no runtime is running");
	if (count < 1 || count > NUMBERS_MAX)
		return err_setf(
			WEFT_EINVAL, "signals: %zu numbers, allowed is 1..%d", count, NUMBERS_MAX);
	for (size_t i = 0; i < count; i++)
		if (!can_be_named(numbers[i]))
			return err_setf(WEFT_EINVAL, "signals: %d can't be waited for", numbers[i]);
	s = mem_calloc(1, sizeof(*s));
	if (!s)
		return err_set(WEFT_ENOMEM);
	s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->fd < 0) {
		err = err_sys(errno, "signals: eventfd");
		goto out;
	}
	rc = io->ops->adopt(io, &s->handle, s->fd);
	if (rc < 0) {
		close(s->fd);
		err = err_sys(-rc, "signals: poll eventfd");
		goto out;
	}
	err = take(s, numbers, count);
out:
	if (err) {
		if (s->handle)
			s->handle->ops->close(s->handle, false);
		mem_free(s);
		return err;
	}
	*out = s;
	return WEFT_OK;
}

static int take_pending(struct weft_signals *s)
{
	/* acquire; pairs with the handler */
	uint64_t bits = atomic_load_explicit(&s->pending, memory_order_acquire);
	int bit;

	if (!bits)
		return 0;
	bit = __builtin_ctzll(bits);
	/* acq_rel: the bit is this caller's */
	atomic_fetch_and_explicit(&s->pending, ~(UINT64_C(1) << bit), memory_order_acq_rel);
	return bit + 1;
}

weft_err weft_signals_wait(weft_signals *s, int *number, weft_deadline until)
{
	uint64_t value;
	struct iovec iov = { &value, sizeof(value) };
	weft_err err;
	int n;

	while (!(n = take_pending(s))) {
		struct io_op op = {
			.handle = s->handle, .kind = IO_READ, .iov = &iov, .iov_count = 1
		};

		err = rt_io_run(&op, until, "signal");
		if (err)
			return err;
		if (op.result < 0)
			return err_sys((int)-op.result, "signals: read eventfd");
	}
	*number = n;
	return WEFT_OK;
}

void weft_signals_free(weft_signals *s)
{
	if (!s)
		return;
	rt_lock_acquire(&lock);
	give_back(s);
	rt_lock_release(&lock);
	s->handle->ops->close(s->handle, false);
	mem_free(s);
}
