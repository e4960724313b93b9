/* SPDX-License-Identifier: MIT */
/*
 * Bodies in a content coding, whole and in pieces: both end the same way with the same bytes, and
 * within the limits.
 *
 * The first byte: its lowest bit which coding, the others how long the pieces are.
 */
#include "http/decode.h"

#include <stdlib.h>
#include <string.h>

#define OUT_MAX ((size_t)1 << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool cond)
{
	if (!cond)
		abort();
}

/* In pieces of at most that many bytes; 0: whole. */
static weft_err decode_all(enum decode_coding coding, const uint8_t *data, size_t size,
	size_t piece, uint8_t *out, size_t *len)
{
	const struct decode_limits limits = { .out_max = OUT_MAX };
	struct decode *decode = NULL;
	size_t at = 0, taken, got;
	bool is_full = false;
	weft_err err = decode_create(&decode, coding, &limits);

	*len = 0;
	while (!err && (at < size || is_full)) {
		size_t in = piece && size - at > piece ? piece : size - at;
		size_t room = piece && OUT_MAX + 1 - *len > piece ? piece : OUT_MAX + 1 - *len;

		err = decode_bytes(decode, data + at, in, &taken, out + *len, room, &got);
		must(taken <= in && got <= room);
		must(err || got == room || taken == in);
		is_full = got == room;
		at += taken;
		*len += got;
		must(*len <= OUT_MAX);
	}
	if (!err)
		err = decode_end(decode);
	decode_free(decode);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t whole[OUT_MAX + 1], pieces[OUT_MAX + 1];
	enum decode_coding coding;
	size_t whole_len, pieces_len;
	weft_err a, b;

	if (size == 0)
		return 0;
	coding = data[0] & 1 ? DECODE_GZIP : DECODE_DEFLATE;
	a = decode_all(coding, data + 1, size - 1, 0, whole, &whole_len);
	b = decode_all(coding, data + 1, size - 1, 1 + (data[0] >> 1), pieces, &pieces_len);
	must(a == b);
	/* what comes before a limit is reached depends on the pieces */
	must(a == WEFT_EMSGSIZE || whole_len == pieces_len);
	must(memcmp(whole, pieces, whole_len < pieces_len ? whole_len : pieces_len) == 0);
	return 0;
}
