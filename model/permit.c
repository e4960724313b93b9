/* SPDX-License-Identifier: MIT */
/*
 * Permits and counted ends: ring.c, blocks.c, chan_permit.c, chan_ends.c.
 *
 * Held by each: what was sent, by a permit or not, is received once, also when the channel is
 * closed meanwhile; a receiver hears of the end after the last permit's message; whoever waits
 * for room, or for the end, is woken when it is there.
 */
#include "model.h"

#include <weft/chan.h>

static weft_chan *chan;
static weft_chan_permit permit; /* of setup, for one thread to end */
static unsigned sent[MODEL_THREADS_MAX + 1], got[MODEL_THREADS_MAX + 1];

static void make(size_t capacity)
{
	MODEL_CHECK(weft_chan_create(&chan, sizeof(uint64_t), capacity, NULL) == WEFT_OK);
}

static void ring_1(void)
{
	make(1);
}

static void send_1(void)
{
	uint64_t message = model_self();

	MODEL_CHECK(weft_chan_send(chan, &message, WEFT_FOREVER) == WEFT_OK);
	sent[model_self()]++;
}

static void ring_1_reserved(void)
{
	make(1);
	MODEL_CHECK(weft_chan_try_reserve(chan, &permit) == WEFT_OK);
}

static void ring_1_reserved_closed(void)
{
	ring_1_reserved();
	weft_chan_close(chan);
}

static void unbounded_reserved(void)
{
	make(WEFT_CHAN_UNBOUNDED);
	MODEL_CHECK(weft_chan_try_reserve(chan, &permit) == WEFT_OK);
}

static void unbounded_reserved_closed(void)
{
	unbounded_reserved();
	weft_chan_close(chan);
}

static void two_senders(void)
{
	make(1);
	weft_chan_sender_ref(chan);
	weft_chan_sender_ref(chan);
}

static void use(void)
{
	uint64_t message = model_self();

	weft_chan_permit_send(&permit, &message);
	sent[model_self()]++;
}

static void give_back(void)
{
	weft_chan_permit_release(&permit);
}

static void reserve_use(void)
{
	uint64_t message = model_self();
	weft_chan_permit own;

	MODEL_CHECK(weft_chan_reserve(chan, &own, WEFT_FOREVER) == WEFT_OK);
	weft_chan_permit_send(&own, &message);
	sent[model_self()]++;
}

static void try_reserve_use(void)
{
	uint64_t message = model_self();
	weft_chan_permit own;

	if (weft_chan_try_reserve(chan, &own) != WEFT_OK)
		return;
	weft_chan_permit_send(&own, &message);
	sent[model_self()]++;
}

static void try_send_1(void)
{
	uint64_t message = model_self();

	sent[model_self()] += weft_chan_try_send(chan, &message) == WEFT_OK;
}

static void reserve_give_back(void)
{
	weft_chan_permit own;

	MODEL_CHECK(weft_chan_reserve(chan, &own, WEFT_FOREVER) == WEFT_OK);
	weft_chan_permit_release(&own);
}

static weft_err recv_one(void)
{
	uint64_t message;
	weft_err err = weft_chan_recv(chan, &message, WEFT_FOREVER);

	got[model_self()] += err == WEFT_OK;
	return err;
}

static void recv_1(void)
{
	MODEL_CHECK(recv_one() == WEFT_OK);
}

static void recv_closed(void)
{
	weft_err err;

	while ((err = recv_one()) == WEFT_OK)
		;
	MODEL_CHECK(err == WEFT_ECLOSED);
}

static void close_it(void)
{
	weft_chan_close(chan);
}

static void leave(void)
{
	weft_chan_sender_unref(chan);
}

static void send_leave(void)
{
	send_1();
	weft_chan_sender_unref(chan);
}

static void check(void)
{
	uint64_t message;
	unsigned in = 0, out = 0;

	while (weft_chan_try_recv(chan, &message) == WEFT_OK)
		out++;
	for (unsigned t = 0; t <= MODEL_THREADS_MAX; t++) {
		in += sent[t];
		out += got[t];
	}
	MODEL_CHECK(in == out);
	weft_chan_unref(chan);
}

/* Who was told that it is the end was told after everything. */
static void check_end(void)
{
	uint64_t message;

	MODEL_CHECK(weft_chan_try_recv(chan, &message) == WEFT_ECLOSED);
	check();
}

const struct model models[] = {
	M("permit-use", "capacity 1: a permit, a send", ring_1, { reserve_use, send_1, recv_1 },
		check),
	M("permit-two", "capacity 1: two permits", ring_1, { reserve_use, reserve_use, recv_1 },
		check),
	Q("permit-counts", "capacity 1: attempts", ring_1, { try_reserve_use, try_send_1 }, check),
	M("permit-back", "capacity 1: a permit given back, a send", ring_1,
		{ reserve_give_back, send_1, recv_1 }, check),
	Q("permit-release", "capacity 1, a permit out: a send waits", ring_1_reserved,
		{ give_back, send_1, recv_1 }, check),
	Q("permit-close", "capacity 1, a permit out: used, and closed", ring_1_reserved,
		{ use, close_it, recv_closed }, check_end),
	Q("permit-last", "closed, a permit out: used", ring_1_reserved_closed, { use, recv_closed },
		check_end),
	Q("permit-last-back", "closed, a permit out: given back", ring_1_reserved_closed,
		{ give_back, recv_closed }, check_end),
	M("permit-last-two", "closed, a permit out: used, two receive", ring_1_reserved_closed,
		{ use, recv_closed, recv_closed }, check_end),
	Q("permit-blocks-last", "unbounded, closed, a permit out: used", unbounded_reserved_closed,
		{ use, recv_closed }, check_end),
	Q("permit-blocks-back", "unbounded, closed, a permit out: given back",
		unbounded_reserved_closed, { give_back, recv_closed }, check_end),
	M("permit-blocks-close", "unbounded, a permit out: used, and closed", unbounded_reserved,
		{ use, close_it, recv_closed }, check_end),
	M("ends-senders", "capacity 1: two counted senders, one sends", two_senders,
		{ send_leave, leave, recv_closed }, check_end),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
