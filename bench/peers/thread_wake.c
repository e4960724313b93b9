/* SPDX-License-Identifier: MIT */
/*
 * Two pinned threads beside wake.c, with a futex or (rows "eventfd-...") an eventfd
 * each in place of park and unpark. They never spin.
 */
#include "../bench.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

enum { ASLEEP_PAUSE_NS = 300000 };

struct seat {
	_Alignas(128) _Atomic uint32_t word; /* turns given to it so far */
	int fd;
};

static struct seat seats[2];
static bool with_eventfd, asleep;
static uint64_t rounds;
static int64_t sent_ns, *samples;

static void wait_turn(struct seat *seat, uint32_t nth)
{
	uint64_t count;
	if (with_eventfd) {
		if (read(seat->fd, &count, sizeof count) != sizeof count)
			bench_die("read eventfd");
		return;
	}
	for (;;) {
		/* acquire; pairs with the release in give_turn: publishes sent_ns */
		uint32_t now = atomic_load_explicit(&seat->word, memory_order_acquire);
		if (now >= nth)
			return;
		syscall(SYS_futex, &seat->word, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
	}
}

static void give_turn(struct seat *seat, uint32_t nth)
{
	uint64_t one = 1;
	if (with_eventfd) {
		if (write(seat->fd, &one, sizeof one) != sizeof one)
			bench_die("write eventfd");
		return;
	}
	/* release; pairs with the acquire in wait_turn */
	atomic_store_explicit(&seat->word, nth, memory_order_release);
	syscall(SYS_futex, &seat->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *woken(void *arg)
{
	(void)arg;
	bench_pin(1);
	uint64_t warm = rounds / 10;
	for (uint64_t i = 0; i < warm + rounds; i++) {
		wait_turn(&seats[1], (uint32_t)i + 1);
		if (asleep && i >= warm)
			samples[i - warm] = bench_now_ns() - sent_ns;
		give_turn(&seats[0], (uint32_t)i + 1);
	}
	return NULL;
}

static void run(const char *row)
{
	int64_t begin = 0;
	pthread_t thread;
	asleep = strstr(row, "asleep") != NULL;
	rounds = bench_count(asleep ? 3000 : 100000);
	samples = calloc(rounds, sizeof *samples);
	seats[0].fd = eventfd(0, 0);
	seats[1].fd = eventfd(0, 0);
	bench_pin(0);
	if (pthread_create(&thread, NULL, woken, NULL))
		bench_die("pthread_create");
	uint64_t warm = rounds / 10;
	for (uint64_t i = 0; i < warm + rounds; i++) {
		if (i == warm)
			begin = bench_now_ns();
		int64_t until = bench_now_ns() + (asleep ? ASLEEP_PAUSE_NS : 0);
		while (asleep && bench_now_ns() < until)
			;
		sent_ns = asleep ? bench_now_ns() : 0;
		give_turn(&seats[1], (uint32_t)i + 1);
		wait_turn(&seats[0], (uint32_t)i + 1);
	}
	int64_t end = bench_now_ns();
	pthread_join(thread, NULL);
	bench_report(row,
		asleep ? bench_median(samples, rounds)
		       : (double)(end - begin) / (double)(2 * rounds),
		"ns");
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s futex|eventfd ROW\n", argv[0]);
		return 2;
	}
	with_eventfd = !strcmp(argv[1], "eventfd");
	run(argv[2]);
	return 0;
}
