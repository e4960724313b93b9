/* SPDX-License-Identifier: MIT */
/*
 * Select: selectN-capCAPACITY-WHERE, ns a message of 8 bytes. One receiver selects over N
 * channels, each of which has a sender of its own. Where: as in chan.c; on two workers the
 * receiver has one for itself. No channel closes: the receiver knows how many will come.
 */
#include "must.h"

enum { CHANS_MAX = 8, MESSAGES_MAX = 1 << 24 };

struct load {
	const char *row;
	size_t chans, capacity;
	unsigned workers; /* 0: plain threads */
	uint64_t each;	  /* messages a sender */
	weft_chan *chan[CHANS_MAX];
	uint64_t sum;
};

struct end {
	struct load *load;
	weft_chan *chan;
	pthread_t thread;
};

static weft_err sender(void *arg)
{
	const struct end *end = arg;
	for (uint64_t i = 1; i <= end->load->each; i++)
		must(weft_chan_send(end->chan, &i, WEFT_FOREVER), "weft_chan_send");
	return WEFT_OK;
}

static weft_err receiver(void *arg)
{
	struct load *load = ((struct end *)arg)->load;
	weft_select_case cases[CHANS_MAX] = { 0 };
	uint64_t messages[CHANS_MAX];
	size_t chosen = 0;
	for (size_t i = 0; i < load->chans; i++) {
		cases[i].kind = WEFT_SELECT_RECV;
		cases[i].chan = load->chan[i];
		cases[i].message = &messages[i];
	}
	for (uint64_t left = load->each * load->chans; left > 0; left--) {
		must(weft_select(cases, load->chans, WEFT_SELECT_FAIR, &chosen, WEFT_FOREVER),
			"weft_select");
		load->sum += messages[chosen];
	}
	return WEFT_OK;
}

static void fibers_pass(struct load *load, struct end *ends)
{
	weft_scope *scope = NULL;
	must(weft_scope_create(&scope), "weft_scope_create");
	must(weft_scope_spawn_on(scope, load->workers - 1, NULL, receiver, &ends[0]),
		"weft_scope_spawn_on");
	for (size_t i = 0; i < load->chans; i++)
		must(weft_scope_spawn_on(scope, 0, NULL, sender, &ends[i]), "weft_scope_spawn_on");
	must(weft_scope_wait(scope, WEFT_FOREVER), "weft_scope_wait");
	weft_scope_free(scope);
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

static void threads_pass(const struct load *load, struct end *ends)
{
	pthread_t selects;
	if (pthread_create(&selects, NULL, receiver_thread, &ends[0]))
		bench_die("pthread_create");
	for (size_t i = 0; i < load->chans; i++) {
		if (pthread_create(&ends[i].thread, NULL, sender_thread, &ends[i]))
			bench_die("pthread_create");
	}
	for (size_t i = 0; i < load->chans; i++)
		pthread_join(ends[i].thread, NULL);
	pthread_join(selects, NULL);
}

static double pass_ns(void *arg, uint64_t messages)
{
	struct load *load = arg;
	struct end ends[CHANS_MAX] = { { 0 } };
	load->each = messages > load->chans ? messages / load->chans : 1;
	load->sum = 0;
	for (size_t i = 0; i < load->chans; i++) {
		must(weft_chan_create(&load->chan[i], sizeof(uint64_t), load->capacity, NULL),
			"weft_chan_create");
		ends[i].load = load;
		ends[i].chan = load->chan[i];
	}
	int64_t begin = bench_now_ns();
	if (load->workers)
		fibers_pass(load, ends);
	else
		threads_pass(load, ends);
	int64_t end = bench_now_ns();
	for (size_t i = 0; i < load->chans; i++)
		weft_chan_unref(load->chan[i]);
	if (load->sum != load->chans * (load->each * (load->each + 1) / 2))
		bench_die("messages were lost");
	return (double)(end - begin) * (double)messages / (double)(load->each * load->chans);
}

static weft_err select_main(void *arg)
{
	struct load *load = arg;
	bench_report(load->row, bench_calibrated(pass_ns, load, MESSAGES_MAX), "ns");
	return WEFT_OK;
}

int main(int argc, char **argv)
{
	struct load load = { .row = argc == 2 ? argv[1] : "" };
	const char *capacity = strstr(load.row, "-cap");
	const char *where = capacity ? strrchr(load.row, '-') + 1 : "";
	load.workers = !strcmp(where, "1w") ? 1 : !strcmp(where, "2w") ? 2 : 0;
	if (!capacity || (!load.workers && strcmp(where, "threads"))) {
		fprintf(stderr, "usage: select select2|select8-capN-1w|2w|threads\n");
		return 2;
	}
	load.chans = strncmp(load.row, "select8", 7) ? 2 : 8;
	load.capacity = strtoul(capacity + strlen("-cap"), NULL, 10);
	if (load.workers)
		must_run(select_main, &load, load.workers);
	else
		must(select_main(&load), "select_main");
	return 0;
}
