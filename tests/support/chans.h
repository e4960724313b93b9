/* SPDX-License-Identifier: MIT */
#ifndef CHANS_H
#define CHANS_H

/* Steps of tests of channels, which must succeed. */
#include "support/t.h"

#include <weft/chan.h>

WEFT_UNUSED static weft_chan *chan_of(size_t size, size_t capacity)
{
	weft_chan *chan = NULL;

	ck_assert_int_eq(weft_chan_create(&chan, size, capacity, NULL), WEFT_OK);
	return chan;
}

/* Messages of 8 bytes. */
WEFT_UNUSED static void send_ok(weft_chan *chan, uint64_t value)
{
	ck_assert_int_eq(weft_chan_try_send(chan, &value), WEFT_OK);
}

WEFT_UNUSED static uint64_t recv_ok(weft_chan *chan)
{
	uint64_t value = 0;

	ck_assert_int_eq(weft_chan_try_recv(chan, &value), WEFT_OK);
	return value;
}

#endif
