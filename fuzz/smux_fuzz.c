/* SPDX-License-Identifier: MIT */
/*
 * Frames of smux from a peer that may send anything. Besides memory errors: bytes fed in
 * any pieces give the same events as all at once, payload lies within what was fed, and
 * what was understood is, written again, the input itself.
 *
 * Input: the version and how to cut (a byte), then what the peer sends.
 */
#include "proto/smux/smux.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct digest {
	uint64_t hash;
	uint64_t payload; /* bytes */
	uint64_t upds;
};

static void mix(struct digest *d, uint64_t value)
{
	d->hash = (d->hash ^ value) * 0x9e3779b97f4a7c15u;
	d->hash ^= d->hash >> 29;
}

/* Payload by bytes, so that its pieces do not matter. */
static void note(struct digest *d, enum smux_event event, const struct smux_frame *frame)
{
	if (event != SMUX_EVENT_DATA) {
		mix(d, (uint64_t)event << 32 | frame->id);
		if (event != SMUX_EVENT_UPD)
			return;
		mix(d, (uint64_t)frame->consumed << 32 | frame->window);
		d->upds++;
		return;
	}
	CHECK(frame->len > 0 && frame->len <= SMUX_PAYLOAD_MAX);
	for (size_t i = 0; i < frame->len; i++)
		mix(d, UINT64_C(1) << 40 | (uint64_t)frame->data[i] << 32 | frame->id);
	d->payload += frame->len;
}

/* From a block of its own, so that one byte over is seen. Returns what was not taken. */
static size_t feed(
	struct smux_decoder *decoder, const uint8_t *data, size_t size, struct digest *digest)
{
	uint8_t *piece = malloc(size ? size : 1);
	const uint8_t *next = piece;
	size_t len = size;

	CHECK(piece);
	memcpy(piece, data, size);
	for (;;) {
		const uint8_t *before = next;
		struct smux_frame frame;
		enum smux_event event = smux_decoder_next(decoder, &next, &len, &frame);

		CHECK(next + len == piece + size && next >= before);
		CHECK((event == SMUX_EVENT_FAULT) == (decoder->fault != SMUX_FAULT_NONE));
		if (event == SMUX_EVENT_NONE || event == SMUX_EVENT_FAULT)
			break;
		CHECK(next > before);
		if (event == SMUX_EVENT_DATA)
			CHECK(frame.data >= before && frame.data + frame.len == next);
		note(digest, event, &frame);
	}
	CHECK(len == 0 || decoder->fault);
	free(piece);
	return len;
}

/* What the header of the frame under way would be written as. */
static void check_head(const struct smux_decoder *decoder)
{
	uint8_t again[SMUX_HEADER_SIZE];
	const uint8_t *head = decoder->head;

	if (decoder->have < SMUX_HEADER_SIZE)
		return;
	smux_put_header(again, head[0], (enum smux_cmd)head[1], (uint16_t)(head[2] | head[3] << 8),
		head[4] | (uint32_t)head[5] << 8 | (uint32_t)head[6] << 16 |
			(uint32_t)head[7] << 24);
	CHECK(!memcmp(again, head, sizeof(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smux_decoder whole, split;
	struct digest first = { 1, 0, 0 }, second = { 1, 0, 0 };
	uint32_t cut;
	size_t taken, at = 0;

	if (size == 0)
		return 0;
	cut = data[0];
	smux_decoder_init(&whole, 1 + (cut & 1));
	smux_decoder_init(&split, 1 + (cut & 1));
	data++;
	size--;
	taken = size - feed(&whole, data, size, &first);
	check_head(&whole);
	/* every byte that was taken belongs to something */
	if (!whole.fault)
		CHECK(whole.headers * SMUX_HEADER_SIZE + first.payload + first.upds * 8 +
				whole.have ==
			taken);
	while (at < size && !split.fault) {
		size_t n;

		cut = cut * 1103515245 + 12345;
		n = (cut >> 16) % ((cut & 0x800) ? 4 : 40);
		n = n < size - at ? n : size - at;
		at += n - feed(&split, data + at, n, &second);
	}
	CHECK(first.hash == second.hash && first.payload == second.payload);
	CHECK(whole.fault == split.fault && whole.headers == split.headers);
	CHECK(whole.left == split.left);
	/* another version is told by as much of the header as has come */
	CHECK(at - split.have == taken - whole.have);
	CHECK(whole.have == split.have || whole.fault == SMUX_FAULT_VERSION);
	CHECK(split.have <= whole.have && !memcmp(whole.head, split.head, split.have));
	return 0;
}
