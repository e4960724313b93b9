/* SPDX-License-Identifier: MIT */
/* Concurrency Kit's ck_ring beside chan.c's rows "spsc-...-threads". It has no way to wait: who
 * finds it full or empty yields the processor. A ring of N slots holds N - 1.
 * Of several senders each commits after the one before it, spinning, so that one that is
 * pre-empted in between stalls all: with more threads than cores a row may take minutes. */
#include "../bench.h"

#include <ck_ring.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { MESSAGES_MAX = 1 << 24 };

struct message {
	uint64_t number;
};

CK_RING_PROTOTYPE(message, message)

static ck_ring_t ring;
static struct message *slots;
static uint64_t each;
static _Atomic bool closed;

static void *sender(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; i <= each; i++) {
		struct message message = { i };
		while (!ck_ring_enqueue_spsc_message(&ring, slots, &message))
			sched_yield();
	}
	return NULL;
}

static void *receiver(void *arg)
{
	uint64_t *sum = arg;
	struct message message = { 0 };
	for (;;) {
		/* acquire; pairs with the release in pass_ns: all that was sent is there. Read
		 * before the ring is found empty */
		bool last = atomic_load_explicit(&closed, memory_order_acquire);
		if (ck_ring_dequeue_spsc_message(&ring, slots, &message))
			*sum += message.number;
		else if (last)
			return NULL;
		else
			sched_yield();
	}
}

static double pass_ns(void *arg, uint64_t messages)
{
	pthread_t sending, receiving;
	uint64_t sum = 0;
	(void)arg;
	each = messages;
	/* relaxed; no thread is there yet */
	atomic_store_explicit(&closed, false, memory_order_relaxed);
	int64_t begin = bench_now_ns();
	if (pthread_create(&receiving, NULL, receiver, &sum) ||
		pthread_create(&sending, NULL, sender, NULL))
		bench_die("pthread_create");
	pthread_join(sending, NULL);
	/* release; pairs with the acquire in receiver */
	atomic_store_explicit(&closed, true, memory_order_release);
	pthread_join(receiving, NULL);
	int64_t end = bench_now_ns();
	if (sum != each * (each + 1) / 2)
		bench_die("messages were lost");
	return (double)(end - begin);
}

int main(int argc, char **argv)
{
	const char *row = argc == 2 ? argv[1] : "";
	const char *capacity = strstr(row, "-cap");
	unsigned size = capacity ? (unsigned)strtoul(capacity + strlen("-cap"), NULL, 10) : 0;
	if (strncmp(row, "spsc-", 5) || size < 4 || (size & (size - 1))) {
		fprintf(stderr, "usage: ck_chan spsc-cap64|cap1024-threads\n");
		return 2;
	}
	slots = calloc(size, sizeof *slots);
	if (!slots)
		bench_die("calloc");
	ck_ring_init(&ring, size);
	bench_report(row, bench_calibrated(pass_ns, NULL, MESSAGES_MAX), "ns");
	return 0;
}
