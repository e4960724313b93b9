/* SPDX-License-Identifier: MIT */
/*
 * Channels: ring.h, blocks.c, rendezvous.c, chan.c, wait.c.
 *
 * Held by each: every message that a send took is received once; those of one sender in its
 * order; who waits is woken when it can go on, and everybody once the channel is closed; the
 * bytes of a message are read after they were written, and a slot is written after it was
 * read (else there is a race); each block is freed once.
 */
#include "model.h"

#include <weft/chan.h>

#include <string.h>

#define MAYBE 1 /* a deadline that may be over at any moment */
#define MESSAGES_MAX 8

static weft_chan *chan;
/* by thread: what it got, in order, and its errors */
static uint64_t got[MODEL_THREADS_MAX + 1][MESSAGES_MAX];
static unsigned got_n[MODEL_THREADS_MAX + 1];
static unsigned sent[MODEL_THREADS_MAX + 1]; /* by sender: messages taken */

static void make(size_t capacity)
{
	MODEL_CHECK(weft_chan_create(&chan, sizeof(uint64_t), capacity, NULL) == WEFT_OK);
}

/* A message says who sent it and as which. */
static weft_err send_one(weft_deadline until)
{
	unsigned self = model_self();
	uint64_t message = self * 16 + sent[self] + 1;
	weft_err err = weft_chan_send(chan, &message, until);

	model_note("send gave", err);
	if (err == WEFT_OK)
		sent[self]++;
	return err;
}

static void note(uint64_t message)
{
	unsigned self = model_self();

	for (unsigned i = 0; i < got_n[self]; i++)
		MODEL_CHECK(got[self][i] / 16 != message / 16 || got[self][i] < message);
	got[self][got_n[self]++] = message;
}

static weft_err recv_one(weft_deadline until)
{
	uint64_t message = 0;
	weft_err err = weft_chan_recv(chan, &message, until);

	model_note("recv gave", err);
	if (err == WEFT_OK)
		note(message);
	return err;
}

static void send_1(void)
{
	MODEL_CHECK(send_one(WEFT_FOREVER) == WEFT_OK);
}

static void send_2(void)
{
	send_1();
	send_1();
}

static void send_3(void)
{
	send_2();
	send_1();
}

static void send_4(void)
{
	send_2();
	send_2();
}

static void recv_1(void)
{
	MODEL_CHECK(recv_one(WEFT_FOREVER) == WEFT_OK);
}

static void recv_2(void)
{
	recv_1();
	recv_1();
}

static void recv_3(void)
{
	recv_2();
	recv_1();
}

static void try_send_1(void)
{
	weft_err err = send_one(WEFT_NOW);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_ECLOSED);
}

static void try_recv_1(void)
{
	weft_err err = recv_one(WEFT_NOW);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_ECLOSED);
}

static void try_recv_2(void)
{
	try_recv_1();
	try_recv_1();
}

static void try_recv_4(void)
{
	try_recv_2();
	try_recv_2();
}

static void send_maybe(void)
{
	weft_err err = send_one(MAYBE);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ETIMEDOUT);
}

static void recv_maybe(void)
{
	weft_err err = recv_one(MAYBE);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ETIMEDOUT);
}

/* Thread 3: until it has what thread 2 sends. */
static void recv_until_2(void)
{
	do
		recv_1();
	while (got[3][got_n[3] - 1] / 16 != 2);
}

/* Until the channel is closed. */
static void send_closed(void)
{
	for (int i = 0; i < 2; i++)
		if (send_one(WEFT_FOREVER) == WEFT_ECLOSED)
			return;
}

static void recv_closed(void)
{
	while (recv_one(WEFT_FOREVER) != WEFT_ECLOSED)
		;
}

static void close_it(void)
{
	weft_chan_close(chan);
}

static void send_close(void)
{
	send_1();
	close_it();
}

static void meet_recv_closed(void)
{
	(void)recv_one(WEFT_FOREVER);
}

static void meet_send_closed(void)
{
	(void)send_one(WEFT_FOREVER);
}

/* Gives back what it got, if it got it: so that whoever else waits must get it. */
static void recv_maybe_back(void)
{
	uint64_t message = 0;

	if (weft_chan_recv(chan, &message, MAYBE) == WEFT_OK)
		MODEL_CHECK(weft_chan_send(chan, &message, WEFT_FOREVER) == WEFT_OK);
}

/* Fills what a sender that gave up has left free: so that whoever receives gets enough. */
static void send_maybe_back(void)
{
	if (send_one(MAYBE) == WEFT_OK)
		recv_1();
}

/* What is left, and that every message was received once. */
static void drain_and_check(void)
{
	unsigned count[MODEL_THREADS_MAX + 1] = { 0 };
	uint64_t message = 0;

	while (weft_chan_recv(chan, &message, WEFT_NOW) == WEFT_OK)
		note(message);
	for (unsigned t = 0; t <= MODEL_THREADS_MAX; t++)
		for (unsigned i = 0; i < got_n[t]; i++) {
			unsigned sender = (unsigned)(got[t][i] / 16);

			MODEL_CHECK(sender <= MODEL_THREADS_MAX);
			count[sender]++;
			for (unsigned u = 0; u <= MODEL_THREADS_MAX; u++)
				for (unsigned k = 0; k < got_n[u]; k++)
					MODEL_CHECK((t == u && i == k) || got[t][i] != got[u][k]);
		}
	for (unsigned t = 0; t <= MODEL_THREADS_MAX; t++)
		MODEL_CHECK(count[t] == sent[t]);
	weft_chan_unref(chan);
}

static void ring_1(void)
{
	make(1);
}

static void ring_2(void)
{
	make(2);
}

static void unbounded(void)
{
	make(WEFT_CHAN_UNBOUNDED);
}

static void unbounded_1(void)
{
	make(WEFT_CHAN_UNBOUNDED);
	send_1();
}

static void unbounded_2(void)
{
	make(WEFT_CHAN_UNBOUNDED);
	send_2();
}

static void unbounded_3(void)
{
	make(WEFT_CHAN_UNBOUNDED);
	send_3();
}

static void rendezvous(void)
{
	make(0);
}

static void ring_1_full(void)
{
	make(1);
	send_1();
}

static void ring_2_full(void)
{
	make(2);
	send_2();
}

const struct model models[] = {
	Q("ring-1-1x1", "capacity 1: 2 messages", ring_1, { send_2, recv_2 }, drain_and_check),
	Q("ring-2-1x1", "capacity 2: 3 messages", ring_2, { send_3, recv_3 }, drain_and_check),
	M("ring-1-2x1", "capacity 1: two senders", ring_1, { send_1, send_1, recv_2 },
		drain_and_check),
	M("ring-1-1x2", "capacity 1: two receivers", ring_1, { send_2, recv_1, recv_1 },
		drain_and_check),
	M("ring-2-2x1", "capacity 2: two senders", ring_2, { send_1, send_1, recv_2 },
		drain_and_check),
	Q("ring-serve-on", "capacity 1, one in: a sender, two receivers", ring_1_full,
		{ send_1, recv_1, recv_1 }, drain_and_check),
	M("ring-1-try", "capacity 1, one in: attempts", ring_1_full,
		{ try_send_1, try_send_1, try_recv_1 }, drain_and_check),
	M("ring-2-try", "capacity 2: attempts", ring_2,
		{ try_send_1, try_send_1, try_recv_1, try_recv_1 }, drain_and_check),
	M("ring-cancel-recv", "a receiver gives up, another waits", ring_1,
		{ recv_maybe_back, recv_1, send_1 }, drain_and_check),
	M("ring-cancel-send", "a sender gives up, another waits", ring_1_full,
		{ send_maybe_back, send_1, recv_1 }, drain_and_check),
	M("ring-close-recv", "closed while two receive", ring_1,
		{ recv_closed, recv_closed, send_close }, drain_and_check),
	Q("ring-close-send", "closed while full and two send", ring_1_full,
		{ send_closed, send_closed, close_it }, drain_and_check),
	Q("ring-close-both", "closed while one sends, one receives", ring_1,
		{ send_closed, recv_closed, close_it }, drain_and_check),
	Q("blocks-1x1", "blocks of 2: 3 messages", unbounded, { send_3, recv_3 }, drain_and_check),
	M("blocks-2x1", "blocks of 2, one in: two senders", unbounded_1,
		{ send_1, send_1, try_recv_2 }, drain_and_check),
	M("blocks-1x2", "blocks of 2, one in: two receivers", unbounded_1,
		{ send_1, recv_1, recv_1 }, drain_and_check),
	M("blocks-try", "blocks of 2, one in: attempts", unbounded_1,
		{ send_2, try_recv_2, try_recv_2 }, drain_and_check),
	M("blocks-cancel", "one gives up, another waits", unbounded,
		{ recv_maybe_back, recv_1, send_1 }, drain_and_check),
	M("blocks-close", "closed while one receives", unbounded,
		{ recv_closed, send_closed, close_it }, drain_and_check),
	M("blocks-reuse", "blocks of 2, two in: one is read while sent to", unbounded_2,
		{ send_4, try_recv_1, try_recv_1 }, drain_and_check),
	M("blocks-1-chain", "blocks of 1: 4 messages", unbounded, { send_4, try_recv_4 },
		drain_and_check),
	M("blocks-3-readers", "blocks of 3, three in: three receivers", unbounded_3,
		{ try_recv_1, try_recv_1, try_recv_1 }, drain_and_check),
	M("blocks-3-spare", "blocks of 3, three in: read while sent to", unbounded_3,
		{ try_recv_2, try_recv_2, send_2 }, drain_and_check),
	Q("meet-1x1", "rendezvous: 2 messages", rendezvous, { send_2, recv_2 }, drain_and_check),
	M("meet-2x1", "rendezvous: two senders", rendezvous, { send_1, send_1, recv_2 },
		drain_and_check),
	Q("meet-2x2", "rendezvous: two and two", rendezvous, { send_1, send_1, recv_1, recv_1 },
		drain_and_check),
	Q("meet-cancel-send", "a sender gives up", rendezvous, { send_maybe, send_1, recv_until_2 },
		drain_and_check),
	M("meet-cancel-both", "both may give up", rendezvous, { send_maybe, recv_maybe },
		drain_and_check),
	Q("meet-try", "an attempt meets who waits", rendezvous,
		{ send_maybe, try_recv_1, recv_maybe }, drain_and_check),
	Q("meet-close", "closed while one sends, one receives", rendezvous,
		{ meet_send_closed, meet_recv_closed, close_it }, drain_and_check),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
