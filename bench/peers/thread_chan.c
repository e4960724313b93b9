/* SPDX-License-Identifier: MIT */
/* The queue that C programs write by hand, beside chan.c's rows "threads": a ring
 * under one pthread mutex with two condition variables. No capacity 0. */
#include "../bench.h"

#include <stdbool.h>

enum { ENDS_MAX = 4, MESSAGES_MAX = 1 << 24 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled, emptied;
	uint64_t *ring;
	size_t capacity, head, count, receivers_waiting, senders_waiting;
	bool closed;
} queue = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0,
	0, 0, 0, 0, false };

static uint64_t each;

static void *sender(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; i <= each; i++) {
		pthread_mutex_lock(&queue.lock);
		while (queue.count == queue.capacity) {
			queue.senders_waiting++;
			pthread_cond_wait(&queue.emptied, &queue.lock);
			queue.senders_waiting--;
		}
		queue.ring[(queue.head + queue.count++) % queue.capacity] = i;
		bool wake = queue.receivers_waiting > 0;
		pthread_mutex_unlock(&queue.lock);
		if (wake)
			pthread_cond_signal(&queue.filled);
	}
	return NULL;
}

static void *receiver(void *arg)
{
	uint64_t *sum = arg;
	pthread_mutex_lock(&queue.lock);
	for (;;) {
		while (!queue.count && !queue.closed) {
			queue.receivers_waiting++;
			pthread_cond_wait(&queue.filled, &queue.lock);
			queue.receivers_waiting--;
		}
		if (!queue.count)
			break;
		*sum += queue.ring[queue.head];
		queue.head = (queue.head + 1) % queue.capacity;
		queue.count--;
		bool wake = queue.senders_waiting > 0;
		pthread_mutex_unlock(&queue.lock);
		if (wake)
			pthread_cond_signal(&queue.emptied);
		pthread_mutex_lock(&queue.lock);
	}
	pthread_mutex_unlock(&queue.lock);
	return NULL;
}

static size_t senders, receivers;

static double pass_ns(void *arg, uint64_t messages)
{
	(void)arg;
	pthread_t all[2 * ENDS_MAX];
	uint64_t sums[ENDS_MAX] = { 0 }, total = 0;
	each = messages > senders ? messages / senders : 1;
	queue.closed = false;
	int64_t begin = bench_now_ns();
	for (size_t i = 0; i < receivers; i++)
		pthread_create(&all[i], NULL, receiver, &sums[i]);
	for (size_t i = 0; i < senders; i++)
		pthread_create(&all[receivers + i], NULL, sender, NULL);
	for (size_t i = 0; i < senders; i++)
		pthread_join(all[receivers + i], NULL);
	pthread_mutex_lock(&queue.lock);
	queue.closed = true;
	pthread_mutex_unlock(&queue.lock);
	pthread_cond_broadcast(&queue.filled);
	for (size_t i = 0; i < receivers; i++) {
		pthread_join(all[i], NULL);
		total += sums[i];
	}
	int64_t end = bench_now_ns();
	if (total != senders * each * (each + 1) / 2)
		bench_die("messages were lost");
	return (double)(end - begin) * (double)messages / (double)(each * senders);
}

int main(int argc, char **argv)
{
	const char *row = argc == 2 ? argv[1] : "";
	const char *capacity = strstr(row, "-cap");
	queue.capacity = capacity ? strtoul(capacity + strlen("-cap"), NULL, 10) : 0;
	if (!queue.capacity) {
		fprintf(stderr, "usage: thread_chan spsc|mpsc4|mpmc4-capN-threads\n");
		return 2;
	}
	queue.ring = calloc(queue.capacity, sizeof *queue.ring);
	senders = strncmp(row, "spsc", 4) ? 4 : 1;
	receivers = strncmp(row, "mpmc4", 5) ? 1 : 4;
	bench_report(row, bench_calibrated(pass_ns, NULL, MESSAGES_MAX), "ns");
	return 0;
}
