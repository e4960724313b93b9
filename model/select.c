/* SPDX-License-Identifier: MIT */
/*
 * Select (select.c) over channels of all kinds and tokens. Held: exactly one case is done; a
 * message is never lost or received twice; a wake that is not used is passed on; two selects
 * that could meet do.
 */
#include "model.h"

#include <weft/cancel.h>
#include <weft/select.h>

#define MAYBE 1
#define BOTH 2

static weft_chan *chans[BOTH];
static unsigned sent, got; /* in setup and check */
static unsigned sent_by[MODEL_THREADS_MAX + 1], got_by[MODEL_THREADS_MAX + 1];

static void make(size_t capacity)
{
	for (int i = 0; i < BOTH; i++)
		MODEL_CHECK(
			weft_chan_create(&chans[i], sizeof(uint64_t), capacity, NULL) == WEFT_OK);
}

static void rings(void)
{
	make(1);
}

static void meets(void)
{
	make(0);
}

static void send_to(int i)
{
	uint64_t message = 7 + (unsigned)i;

	MODEL_CHECK(weft_chan_send(chans[i], &message, WEFT_FOREVER) == WEFT_OK);
	sent_by[model_self()]++;
}

static void send_0(void)
{
	send_to(0);
}

static void send_1(void)
{
	send_to(1);
}

static weft_err select_one(weft_select_case *cases, size_t count, weft_deadline until)
{
	size_t chosen = 99;
	weft_err err = weft_select(cases, count, WEFT_SELECT_BIASED, &chosen, until);

	model_note("select gave", err);
	if (err != WEFT_OK)
		return err;
	MODEL_CHECK(chosen < count);
	if (cases[chosen].result == WEFT_ECLOSED)
		return WEFT_ECLOSED;
	MODEL_CHECK(cases[chosen].result == WEFT_OK);
	if (cases[chosen].kind == WEFT_SELECT_SEND)
		sent_by[model_self()]++;
	if (cases[chosen].kind == WEFT_SELECT_RECV)
		got_by[model_self()]++;
	return WEFT_OK;
}

static weft_err recv_either(weft_deadline until)
{
	uint64_t messages[BOTH] = { 0 };
	weft_select_case cases[BOTH] = {
		{ .kind = WEFT_SELECT_RECV, .chan = chans[0], .message = &messages[0] },
		{ .kind = WEFT_SELECT_RECV, .chan = chans[1], .message = &messages[1] },
	};
	weft_err err = select_one(cases, BOTH, until);

	if (err == WEFT_OK)
		MODEL_CHECK((messages[0] == 7) + (messages[1] == 8) == 1);
	return err;
}

static void selects_1(void)
{
	MODEL_CHECK(recv_either(WEFT_FOREVER) == WEFT_OK);
}

static void selects_2(void)
{
	selects_1();
	selects_1();
}

static void selects_maybe(void)
{
	weft_err err = recv_either(MAYBE);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ETIMEDOUT);
}

/* Sends on one, receives on the other. */
static void exchange(int to, int from)
{
	uint64_t out = 7 + (unsigned)to, in = 0;
	weft_select_case cases[BOTH] = {
		{ .kind = WEFT_SELECT_SEND, .chan = chans[to], .message = &out },
		{ .kind = WEFT_SELECT_RECV, .chan = chans[from], .message = &in },
	};

	MODEL_CHECK(select_one(cases, BOTH, WEFT_FOREVER) == WEFT_OK);
}

static void exchange_0(void)
{
	exchange(0, 1);
}

static void exchange_1(void)
{
	exchange(1, 0);
}

static void close_both(void)
{
	weft_chan_close(chans[0]);
	weft_chan_close(chans[1]);
}

static void selects_closed(void)
{
	weft_err err = recv_either(WEFT_FOREVER);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ECLOSED);
}

static void send_0_maybe(void)
{
	uint64_t message = 7;

	if (weft_chan_send(chans[0], &message, MAYBE) == WEFT_OK)
		sent_by[model_self()]++;
}

static void all_received(void)
{
	uint64_t message;

	for (int i = 0; i < BOTH; i++)
		while (weft_chan_recv(chans[i], &message, WEFT_NOW) == WEFT_OK)
			got++;
	for (unsigned i = 0; i <= MODEL_THREADS_MAX; i++) {
		sent += sent_by[i];
		got += got_by[i];
	}
	MODEL_CHECK(sent == got);
	for (int i = 0; i < BOTH; i++)
		weft_chan_unref(chans[i]);
}

const struct model models[] = {
	Q("select-rings", "two channels, two messages", rings, { selects_2, send_0, send_1 },
		all_received),
	Q("select-meets", "two selects meet at two rendezvous", meets, { exchange_0, exchange_1 },
		all_received),
	M("select-meets-2", "two selects and a sender meet", meets,
		{ selects_1, selects_1, send_0, send_1 }, all_received),
	Q("select-meet-cancel", "a select and a sender may give up", meets,
		{ selects_maybe, send_0_maybe }, all_received),
	Q("select-meet-three", "a select, two senders that may give up", meets,
		{ selects_maybe, send_0_maybe, send_0_maybe }, all_received),
	Q("select-closed", "closed while a select and a sender wait", rings,
		{ selects_closed, close_both }, all_received),
	Q("select-meet-closed", "closed while a select waits", meets,
		{ selects_closed, close_both }, all_received),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
