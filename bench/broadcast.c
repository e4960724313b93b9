/* SPDX-License-Identifier: MIT */
/*
 * Broadcast: broadcastN-WHERE, ns a delivery (a message of 8 bytes that one of N receivers
 * got) from one sender. Where: as in chan.c; on two workers the sender has one, the
 * receivers the other.
 * A sender never waits, so it sends bursts of 256 into a ring of 1,024 and then waits until
 * each receiver has said, through a channel, that it has the burst: nobody ever lags.
 */
#include "must.h"

enum { RECEIVERS_MAX = 64, RING = 1024, BURST = 256, DELIVERIES_MAX = 1 << 26 };

struct load {
	const char *row;
	size_t receivers;
	unsigned workers; /* 0: plain threads */
	uint64_t bursts;
	weft_broadcast *broadcast;
	weft_chan *done;
};

struct receiver {
	struct load *load;
	weft_broadcast_sub *sub;
	uint64_t sum;
	pthread_t thread;
};

static weft_err receiver(void *arg)
{
	struct receiver *self = arg;
	uint64_t message = 0;
	for (uint64_t burst = 0; burst < self->load->bursts; burst++) {
		for (int i = 0; i < BURST; i++) {
			must(weft_broadcast_sub_recv(self->sub, &message, WEFT_FOREVER),
				"weft_broadcast_sub_recv");
			self->sum += message;
		}
		must(weft_chan_send(self->load->done, &message, WEFT_FOREVER), "weft_chan_send");
	}
	return WEFT_OK;
}

static weft_err sender(void *arg)
{
	const struct load *load = arg;
	uint64_t message = 0, last;
	for (uint64_t burst = 0; burst < load->bursts; burst++) {
		for (int i = 0; i < BURST; i++) {
			message++;
			must(weft_broadcast_send(load->broadcast, &message), "weft_broadcast_send");
		}
		for (size_t i = 0; i < load->receivers; i++)
			must(weft_chan_recv(load->done, &last, WEFT_FOREVER), "weft_chan_recv");
	}
	return WEFT_OK;
}

static void fibers_pass(struct load *load, struct receiver *receivers)
{
	weft_scope *scope = NULL;
	must(weft_scope_create(&scope), "weft_scope_create");
	for (size_t i = 0; i < load->receivers; i++)
		must(weft_scope_spawn_on(scope, load->workers - 1, NULL, receiver, &receivers[i]),
			"weft_scope_spawn_on");
	must(weft_scope_spawn_on(scope, 0, NULL, sender, load), "weft_scope_spawn_on");
	must(weft_scope_wait(scope, WEFT_FOREVER), "weft_scope_wait");
	weft_scope_free(scope);
}

static void *receiver_thread(void *arg)
{
	must(receiver(arg), "receiver");
	return NULL;
}

static void threads_pass(struct load *load, struct receiver *receivers)
{
	for (size_t i = 0; i < load->receivers; i++) {
		if (pthread_create(&receivers[i].thread, NULL, receiver_thread, &receivers[i]))
			bench_die("pthread_create");
	}
	must(sender(load), "sender");
	for (size_t i = 0; i < load->receivers; i++)
		pthread_join(receivers[i].thread, NULL);
}

static double pass_ns(void *arg, uint64_t deliveries)
{
	struct load *load = arg;
	struct receiver receivers[RECEIVERS_MAX] = { { 0 } };
	uint64_t least = BURST * load->receivers;
	load->bursts = deliveries > least ? deliveries / least : 1;
	uint64_t messages = load->bursts * BURST;
	must(weft_broadcast_create(&load->broadcast, sizeof(uint64_t), RING, NULL),
		"weft_broadcast_create");
	must(weft_chan_create(&load->done, sizeof(uint64_t), RECEIVERS_MAX, NULL),
		"weft_chan_create");
	for (size_t i = 0; i < load->receivers; i++) {
		receivers[i].load = load;
		must(weft_broadcast_sub_create(&receivers[i].sub, load->broadcast),
			"weft_broadcast_sub_create");
	}
	int64_t begin = bench_now_ns();
	if (load->workers)
		fibers_pass(load, receivers);
	else
		threads_pass(load, receivers);
	int64_t end = bench_now_ns();
	for (size_t i = 0; i < load->receivers; i++) {
		if (receivers[i].sum != messages * (messages + 1) / 2)
			bench_die("messages were lost");
		weft_broadcast_sub_free(receivers[i].sub);
	}
	weft_broadcast_unref(load->broadcast);
	weft_chan_unref(load->done);
	return (double)(end - begin) * (double)deliveries / (double)(messages * load->receivers);
}

static weft_err broadcast_main(void *arg)
{
	struct load *load = arg;
	bench_report(load->row, bench_calibrated(pass_ns, load, DELIVERIES_MAX), "ns");
	return WEFT_OK;
}

int main(int argc, char **argv)
{
	struct load load = { .row = argc == 2 ? argv[1] : "" };
	bool known = !strncmp(load.row, "broadcast", strlen("broadcast"));
	const char *where = known && strchr(load.row, '-') ? strchr(load.row, '-') + 1 : "";
	load.receivers = known ? strtoul(load.row + strlen("broadcast"), NULL, 10) : 0;
	load.workers = !strcmp(where, "1w") ? 1 : !strcmp(where, "2w") ? 2 : 0;
	if (!load.receivers || load.receivers > RECEIVERS_MAX ||
		(!load.workers && strcmp(where, "threads"))) {
		fprintf(stderr, "usage: broadcast broadcast1|8|64-1w|2w|threads\n");
		return 2;
	}
	if (load.workers)
		must_run(broadcast_main, &load, load.workers);
	else
		must(broadcast_main(&load), "broadcast_main");
	return 0;
}
