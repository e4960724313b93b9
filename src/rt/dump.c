/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * The dump of all fibers: each worker writes its own, at its next turn, so that nothing is
 * locked and nothing is torn. Requests: an atomic descriptor number per worker, set by
 * anybody, a signal handler included.
 */
#include "rt/fiber.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct sigaction old_quit;

static const char *state_name(const struct rt_fiber *f)
{
	switch ((enum rt_fiber_state)f->state) {
	case RT_FIBER_RUNNABLE:
		return "runnable";
	case RT_FIBER_RUNNING:
		return "running";
	case RT_FIBER_PARKED:
		return "parked";
	case RT_FIBER_FREE:
		break;
	}
	return "free";
}

struct out {
	int fd;
	size_t len;
	char text[1500];
};

static void flush(struct out *o)
{
	size_t done = 0;

	while (done < o->len) {
		ssize_t n = write(o->fd, o->text + done, o->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	o->len = 0;
}

static void line(struct out *o, const char *text, int len)
{
	if (len <= 0)
		return;
	if ((size_t)len > sizeof(o->text) - o->len)
		flush(o);
	memcpy(o->text + o->len, text, (size_t)len);
	o->len += (size_t)len;
}

void rt_dump_worker(struct rt_worker *w, int fd)
{
	int64_t now = w->io->ops->now(w->io);
	struct out o = { .fd = fd };
	char text[200];
	size_t count = 0;

	list_for_each(it, &w->fibers)
		count++;
	line(&o, text,
		snprintf(text, sizeof(text), "weft: worker %u: %zu fibers\n", w->index, count));
	list_for_each(it, &w->fibers) {
		struct rt_fiber *f = container_of(it, struct rt_fiber, worker_link);
		bool parked = f->state == RT_FIBER_PARKED;

		line(&o, text,
			snprintf(text, sizeof(text), "weft: fiber %llu %-8s %10.3f s %-14s %s\n",
				(unsigned long long)f->id, state_name(f),
				parked ? (double)(now - f->parked_at) / 1e9 : 0.0,
				parked && f->why ? f->why : "-", f->name[0] ? f->name : "-"));
	}
	flush(&o);
}

static void request(struct rt_runtime *rt, int fd)
{
	for (unsigned i = 0; i < rt->workers_len; i++) {
		/* relaxed: a number; the wake that follows orders nothing it needs */
		atomic_store_explicit(&rt->workers[i].dump_fd, fd, memory_order_relaxed);
		rt->workers[i].io->ops->wake(rt->workers[i].io);
	}
}

void weft_dump(int fd)
{
	struct rt_runtime *rt = rt_runtime_enter();

	if (!rt)
		return;
	if (rt->is_sim)
		rt_dump_worker(&rt->workers[0], fd);
	else
		request(rt, fd);
	rt_runtime_leave(rt);
}

static void on_quit(int number)
{
	int saved = errno;
	struct rt_runtime *rt = rt_visit();

	(void)number;
	if (rt) {
		request(rt, STDERR_FILENO);
		rt_visit_end();
	}
	errno = saved;
}

int rt_dump_install(void)
{
	struct sigaction sa = { .sa_handler = on_quit, .sa_flags = SA_RESTART };

	sigemptyset(&sa.sa_mask);
	return sigaction(SIGQUIT, &sa, &old_quit);
}

/* A handler may still run in another thread: it visits the runtime, which waits for that. */
void rt_dump_uninstall(void)
{
	sigaction(SIGQUIT, &old_quit, NULL);
}
