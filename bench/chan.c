/* SPDX-License-Identifier: MIT */
/*
 * Channels: PATTERN-capCAPACITY-WHERE or PATTERN-unbounded-WHERE, ns a message of 8 bytes.
 * Patterns: spsc, mpsc4 (4 senders, 1 receiver), mpmc4 (4 and 4). Where: 1w and 2w, fibers
 * on one worker and on two; threads, plain threads.
 * On two workers spsc and mpsc4 put senders on one and receivers on the other; mpmc4
 * puts two of each on both. The sum of what was received is checked.
 * Unbounded: passes of 200,000 messages, each with a channel of its own. On one worker all of
 * them are in the channel before the first is received.
 */
#include "must.h"

enum { ENDS_MAX = 4, UNBOUNDED_PASS = 200000, MESSAGES_MAX = 1 << 24 };

struct load {
	const char *row;
	size_t senders, receivers, capacity;
	unsigned workers; /* 0: plain threads */
	uint64_t each;	  /* messages a sender */
	weft_chan *chan;
};

struct end {
	struct load *load;
	uint64_t sum;
	pthread_t thread;
};

static weft_err sender(void *arg)
{
	struct end *end = arg;
	const struct load *load = end->load;
	uint64_t sum = 0; /* not in *end, whose line the others' are in */
	for (uint64_t i = 1; i <= load->each; i++) {
		must(weft_chan_send(load->chan, &i, WEFT_FOREVER), "weft_chan_send");
		sum += i;
	}
	end->sum = sum;
	return WEFT_OK;
}

static weft_err receiver(void *arg)
{
	struct end *end = arg;
	weft_chan *chan = end->load->chan;
	uint64_t message, sum = 0;
	while (weft_chan_recv(chan, &message, WEFT_FOREVER) == WEFT_OK)
		sum += message;
	end->sum = sum;
	return WEFT_OK;
}

static void fibers_pass(struct load *load, struct end *senders, struct end *receivers)
{
	weft_scope *sending = NULL, *receiving = NULL;
	bool mixed = load->receivers > 1;
	unsigned last = load->workers - 1;
	must(weft_scope_create(&sending), "weft_scope_create");
	must(weft_scope_create(&receiving), "weft_scope_create");
	for (size_t i = 0; i < load->receivers; i++)
		must(weft_scope_spawn_on(receiving, mixed ? (unsigned)i & last : last, NULL,
			     receiver, &receivers[i]),
			"weft_scope_spawn_on");
	for (size_t i = 0; i < load->senders; i++)
		must(weft_scope_spawn_on(
			     sending, mixed ? (unsigned)i & last : 0, NULL, sender, &senders[i]),
			"weft_scope_spawn_on");
	must(weft_scope_wait(sending, WEFT_FOREVER), "weft_scope_wait");
	weft_chan_close(load->chan);
	must(weft_scope_wait(receiving, WEFT_FOREVER), "weft_scope_wait");
	weft_scope_free(sending);
	weft_scope_free(receiving);
}

static void *sender_thread(void *arg)
{
	must(sender(arg), "sender");
	return NULL;
}

static void *receiver_thread(void *arg)
{
	must(receiver(arg), "receiver");
	return NULL;
}

static void threads_pass(struct load *load, struct end *senders, struct end *receivers)
{
	for (size_t i = 0; i < load->receivers; i++) {
		if (pthread_create(&receivers[i].thread, NULL, receiver_thread, &receivers[i]))
			bench_die("pthread_create");
	}
	for (size_t i = 0; i < load->senders; i++) {
		if (pthread_create(&senders[i].thread, NULL, sender_thread, &senders[i]))
			bench_die("pthread_create");
	}
	for (size_t i = 0; i < load->senders; i++)
		pthread_join(senders[i].thread, NULL);
	weft_chan_close(load->chan);
	for (size_t i = 0; i < load->receivers; i++)
		pthread_join(receivers[i].thread, NULL);
}

static double pass_ns(void *arg, uint64_t messages)
{
	struct load *load = arg;
	struct end senders[ENDS_MAX] = { { 0 } }, receivers[ENDS_MAX] = { { 0 } };
	uint64_t sent = 0, received = 0;
	load->each = messages > load->senders ? messages / load->senders : 1;
	must(weft_chan_create(&load->chan, sizeof(uint64_t), load->capacity, NULL),
		"weft_chan_create");
	for (int i = 0; i < ENDS_MAX; i++)
		senders[i].load = receivers[i].load = load;
	int64_t begin = bench_now_ns();
	if (load->workers)
		fibers_pass(load, senders, receivers);
	else
		threads_pass(load, senders, receivers);
	int64_t end = bench_now_ns();
	weft_chan_unref(load->chan);
	for (int i = 0; i < ENDS_MAX; i++) {
		sent += senders[i].sum;
		received += receivers[i].sum;
	}
	if (sent != received)
		bench_die("messages were lost");
	return (double)(end - begin) * (double)messages / (double)(load->each * load->senders);
}

static weft_err chan_main(void *arg)
{
	struct load *load = arg;
	bench_report(load->row,
		load->capacity == WEFT_CHAN_UNBOUNDED
			? bench_repeated(pass_ns, load, UNBOUNDED_PASS)
			: bench_calibrated(pass_ns, load, MESSAGES_MAX),
		"ns");
	return WEFT_OK;
}

int main(int argc, char **argv)
{
	struct load load = { .row = argc == 2 ? argv[1] : "" };
	const char *capacity = strchr(load.row, '-');
	const char *where = capacity ? strrchr(load.row, '-') + 1 : "";
	load.senders = strncmp(load.row, "spsc", 4) ? 4 : 1;
	load.receivers = strncmp(load.row, "mpmc4", 5) ? 1 : 4;
	load.workers = !strcmp(where, "1w") ? 1 : !strcmp(where, "2w") ? 2 : 0;
	if (!capacity || (!load.workers && strcmp(where, "threads"))) {
		fprintf(stderr, "usage: chan spsc|mpsc4|mpmc4-capN|unbounded-1w|2w|threads\n");
		return 2;
	}
	load.capacity = strncmp(capacity, "-unbounded", strlen("-unbounded"))
		? strtoul(capacity + strlen("-cap"), NULL, 10)
		: WEFT_CHAN_UNBOUNDED;
	if (load.workers)
		must_run(chan_main, &load, load.workers);
	else
		must(chan_main(&load), "chan_main");
	return 0;
}
