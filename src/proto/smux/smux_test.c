/* SPDX-License-Identifier: MIT */
/* The codec of smux frames: by hand, at every split, and against a second decoder. */
#include "proto/smux/smux.h"

#include "support/t.h"

#include <stdlib.h>
#include <string.h>

/* ---- what a decoder said of some bytes ---- */

#define NOTES_MAX 600

/* An event; the pieces of one frame's payload are joined. */
struct note {
	enum smux_event event;
	uint32_t id, consumed, window;
	uint64_t headers; /* counted by then */
	size_t at, len;	  /* the payload: where in the input */
};

struct account {
	struct note notes[NOTES_MAX];
	size_t count;
	enum smux_fault fault;
	uint64_t headers;
	bool between; /* nothing is cut */
};

static void add(struct account *a, const struct note *note)
{
	struct note *last = a->count ? &a->notes[a->count - 1] : NULL;

	if (note->event == SMUX_EVENT_DATA && last && last->event == SMUX_EVENT_DATA &&
		last->headers == note->headers) {
		T_OUGHT(last->id == note->id && last->at + last->len == note->at);
		last->len += note->len;
		return;
	}
	T_OUGHT(a->count < NOTES_MAX);
	a->notes[a->count++] = *note;
}

static void same(const struct account *a, const struct account *b)
{
	T_OUGHT(a->count == b->count);
	for (size_t i = 0; i < a->count; i++) {
		const struct note *x = &a->notes[i], *y = &b->notes[i];

		T_OUGHT(x->event == y->event && x->id == y->id);
		T_OUGHT(x->consumed == y->consumed && x->window == y->window);
		T_OUGHT(x->headers == y->headers);
		T_OUGHT(x->at == y->at && x->len == y->len);
	}
	T_OUGHT(a->fault == b->fault);
	T_OUGHT(a->headers == b->headers);
	T_OUGHT(a->between == b->between);
}

/* What the decoder makes of a piece of the input, which begins at `at` there. */
static void feed(
	struct smux_decoder *d, const uint8_t *piece, size_t len, size_t at, struct account *out)
{
	const uint8_t *data = piece, *end = piece + len;
	struct smux_frame frame;
	struct note note;

	for (;;) {
		const uint8_t *before = data;
		size_t left = len;
		enum smux_event event = smux_decoder_next(d, &data, &len, &frame);

		T_OUGHT(data >= before && (size_t)(data - before) == left - len);
		if (event == SMUX_EVENT_NONE || event == SMUX_EVENT_FAULT)
			break;
		memset(&note, 0, sizeof(note));
		note.event = event;
		note.id = frame.id;
		note.headers = d->headers;
		if (event == SMUX_EVENT_UPD) {
			note.consumed = frame.consumed;
			note.window = frame.window;
		}
		if (event == SMUX_EVENT_DATA) {
			T_OUGHT(frame.len > 0 && frame.data >= before);
			T_OUGHT(frame.data + frame.len == data && data <= end);
			note.at = at + (size_t)(frame.data - piece);
			note.len = frame.len;
		}
		add(out, &note);
	}
	T_OUGHT(len == 0 || d->fault);
}

/* The same from a block of exactly that size, so that a byte over is seen. */
static void feed_exactly(
	struct smux_decoder *d, const uint8_t *input, size_t from, size_t to, struct account *out)
{
	uint8_t *piece = malloc(to > from ? to - from : 1);

	T_OUGHT(piece);
	memcpy(piece, input + from, to - from);
	feed(d, piece, to - from, from, out);
	free(piece);
}

static void finish(const struct smux_decoder *d, struct account *out)
{
	out->fault = d->fault;
	out->headers = d->headers;
	out->between = smux_decoder_is_between(d);
}

/* In pieces that end at each of cuts (ascending), and the rest. */
static void decode(struct account *out, unsigned version, const uint8_t *input, size_t len,
	const size_t *cuts, size_t cut_count)
{
	struct smux_decoder d;
	size_t from = 0;

	memset(out, 0, sizeof(*out));
	smux_decoder_init(&d, version);
	for (size_t i = 0; i <= cut_count; i++) {
		size_t to = i < cut_count ? cuts[i] : len;

		feed_exactly(&d, input, from, to, out);
		from = to;
	}
	finish(&d, out);
}

/* ---- a second decoder, that has all its bytes at once ---- */

static uint32_t little(const uint8_t *in, unsigned bytes)
{
	uint32_t value = 0;

	for (unsigned i = bytes; i > 0; i--)
		value = value * 256 + in[i - 1];
	return value;
}

static enum smux_fault second_judges(unsigned version, const uint8_t *head)
{
	uint32_t length = little(head + 2, 2);

	if (head[1] > (version == 1 ? 3 : 4))
		return SMUX_FAULT_CMD;
	if (head[1] == 4 && length != 8)
		return SMUX_FAULT_LENGTH;
	if (head[1] != 4 && head[1] != 2 && length != 0)
		return SMUX_FAULT_LENGTH;
	return SMUX_FAULT_NONE;
}

/* Notes what the frame at `at` says; false when it is cut off before it says it. */
static bool second_frame(struct account *out, const uint8_t *input, size_t len, size_t at)
{
	static const enum smux_event events[] = { SMUX_EVENT_SYN, SMUX_EVENT_FIN, SMUX_EVENT_DATA,
		SMUX_EVENT_NONE, SMUX_EVENT_UPD };
	size_t come = len - at - 8, length = little(input + at + 2, 2);
	struct note note = { .event = events[input[at + 1]], .id = little(input + at + 4, 4) };

	if (note.event == SMUX_EVENT_UPD && come < 8)
		return false;
	note.headers = ++out->headers;
	if (note.event == SMUX_EVENT_UPD) {
		note.consumed = little(input + at + 8, 4);
		note.window = little(input + at + 12, 4);
	}
	if (note.event == SMUX_EVENT_DATA) {
		note.at = at + 8;
		note.len = come < length ? come : length;
		if (note.len == 0)
			return length == 0;
	}
	if (note.event != SMUX_EVENT_NONE)
		add(out, &note);
	return come >= length;
}

static void decode_second(struct account *out, unsigned version, const uint8_t *input, size_t len)
{
	size_t at = 0;

	memset(out, 0, sizeof(*out));
	while (at < len) {
		if (input[at] != version) {
			out->fault = SMUX_FAULT_VERSION;
			return;
		}
		if (len - at < 8)
			return;
		out->fault = second_judges(version, input + at);
		if (out->fault || !second_frame(out, input, len, at))
			return;
		at += 8 + little(input + at + 2, 2);
	}
	out->between = true;
}

/* ---- writing ---- */

struct input {
	uint8_t data[200];
	size_t len;
};

static void put(
	struct input *in, unsigned version, enum smux_cmd cmd, uint32_t id, const char *payload)
{
	uint16_t length = (uint16_t)strlen(payload);

	T_OUGHT(in->len + 8 + length <= sizeof(in->data));
	smux_put_header(in->data + in->len, version, cmd, length, id);
	memcpy(in->data + in->len + 8, payload, length);
	in->len += 8u + length;
}

static void put_upd(struct input *in, uint32_t id, uint32_t consumed, uint32_t window)
{
	T_OUGHT(in->len + SMUX_UPD_SIZE <= sizeof(in->data));
	smux_put_upd(in->data + in->len, id, consumed, window);
	in->len += SMUX_UPD_SIZE;
}

/* Every command, several times, in one go. */
static void put_all(struct input *in, unsigned version)
{
	in->len = 0;
	put(in, version, SMUX_SYN, 3, "");
	put(in, version, SMUX_PSH, 3, "hello");
	put(in, version, SMUX_NOP, 0, "");
	if (version == 2)
		put_upd(in, 3, 0x01020304, 0xfffefdfc);
	put(in, version, SMUX_PSH, 3, "");
	put(in, version, SMUX_SYN, 0xfffffffe, "");
	put(in, version, SMUX_PSH, 0xfffffffe, "a");
	put(in, version, SMUX_PSH, 0xfffffffe, "bc");
	put(in, version, SMUX_FIN, 3, "");
	put(in, version, SMUX_NOP, 7, "");
	if (version == 2)
		put_upd(in, 0xfffffffe, 0xffffffff, 0);
	put(in, version, SMUX_FIN, 0xfffffffe, "");
}

START_TEST(smux_frames_are_written_as_on_the_wire)
{
	static const uint8_t header[] = { 2, 2, 0x34, 0x12, 0xef, 0xcd, 0xab, 0x89 },
			     nop[] = { 1, 3, 0, 0, 0, 0, 0, 0 },
			     upd[] = { 2, 4, 8, 0, 4, 3, 2, 1, 0xd, 0xc, 0xb, 0xa, 0x40, 0x30, 0x20,
				     0x10 };
	uint8_t out[SMUX_UPD_SIZE + 1];

	memset(out, 0x55, sizeof(out));
	smux_put_header(out, 2, SMUX_PSH, 0x1234, 0x89abcdef);
	ck_assert_mem_eq(out, header, 8);
	ck_assert_int_eq(out[8], 0x55);
	smux_put_header(out, 1, SMUX_NOP, 0, 0);
	ck_assert_mem_eq(out, nop, 8);
	smux_put_upd(out, 0x01020304, 0x0a0b0c0d, 0x10203040);
	ck_assert_mem_eq(out, upd, 16);
	ck_assert_int_eq(out[16], 0x55);
}
END_TEST

START_TEST(smux_commands_have_the_numbers_of_the_wire)
{
	ck_assert_int_eq(SMUX_SYN, 0);
	ck_assert_int_eq(SMUX_FIN, 1);
	ck_assert_int_eq(SMUX_PSH, 2);
	ck_assert_int_eq(SMUX_NOP, 3);
	ck_assert_int_eq(SMUX_UPD, 4);
}
END_TEST

/* ---- reading ---- */

START_TEST(smux_every_command_is_an_event)
{
	static const uint8_t input[] = { 2, 0, 0, 0, 3, 0, 0, 0,	    /* SYN */
		2, 2, 3, 0, 3, 0, 0, 0, 'a', 'b', 'c',			    /* PSH */
		2, 4, 8, 0, 3, 0, 0, 0, 1, 2, 3, 4, 0xf5, 0xf6, 0xf7, 0xf8, /* UPD */
		2, 1, 0, 0, 0xff, 0xfe, 0xfd, 0xfc };			    /* FIN */
	struct smux_decoder d;
	struct smux_frame frame;
	const uint8_t *data = input;
	size_t len = sizeof(input);

	smux_decoder_init(&d, 2);
	ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame), SMUX_EVENT_SYN);
	ck_assert_uint_eq(frame.id, 3);
	ck_assert_ptr_eq(data, input + 8);
	ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame), SMUX_EVENT_DATA);
	ck_assert_uint_eq(frame.id, 3);
	ck_assert_uint_eq(frame.len, 3);
	ck_assert_ptr_eq(frame.data, input + 16);
	ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame), SMUX_EVENT_UPD);
	ck_assert_uint_eq(frame.id, 3);
	ck_assert_uint_eq(frame.consumed, 0x04030201);
	ck_assert_uint_eq(frame.window, 0xf8f7f6f5);
	ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame), SMUX_EVENT_FIN);
	ck_assert_uint_eq(frame.id, 0xfcfdfeff);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame), SMUX_EVENT_NONE);
	ck_assert_uint_eq(d.headers, 4);
	ck_assert(smux_decoder_is_between(&d));
}
END_TEST

START_TEST(smux_no_bytes_are_no_event)
{
	const uint8_t *data = NULL;
	struct smux_decoder d;
	struct smux_frame frame;
	size_t len = 0;

	smux_decoder_init(&d, 1);
	ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame), SMUX_EVENT_NONE);
	ck_assert_ptr_null(data);
	ck_assert(smux_decoder_is_between(&d));
	ck_assert_uint_eq(d.headers, 0);
}
END_TEST

START_TEST(smux_nop_and_empty_psh_are_counted_only)
{
	struct input in = { .len = 0 };
	struct account a;

	put(&in, 1, SMUX_NOP, 0, "");
	put(&in, 1, SMUX_PSH, 3, "");
	put(&in, 1, SMUX_NOP, 0xffffffff, "");
	put(&in, 1, SMUX_PSH, 0, "");
	decode(&a, 1, in.data, in.len, NULL, 0);
	ck_assert_uint_eq(a.count, 0);
	ck_assert_uint_eq(a.headers, 4);
	ck_assert_int_eq(a.fault, SMUX_FAULT_NONE);
	ck_assert(a.between);
}
END_TEST

START_TEST(smux_payload_is_whose_header_came_last)
{
	static const size_t cuts[] = { 9, 12, 13 };
	struct input in = { .len = 0 };
	struct account a;

	put(&in, 2, SMUX_PSH, 9, "twelve bytes");
	put(&in, 2, SMUX_PSH, 4, "more");
	decode(&a, 2, in.data, in.len, cuts, 3);
	ck_assert_uint_eq(a.count, 2);
	ck_assert_uint_eq(a.notes[0].id, 9);
	ck_assert_uint_eq(a.notes[0].at, 8);
	ck_assert_uint_eq(a.notes[0].len, 12);
	ck_assert_uint_eq(a.notes[1].id, 4);
	ck_assert_uint_eq(a.notes[1].at, 28);
	ck_assert_uint_eq(a.notes[1].len, 4);
}
END_TEST

START_TEST(smux_the_largest_payload_comes_whole_and_in_pieces)
{
	size_t size = 8 + SMUX_PAYLOAD_MAX + 8, pieces[] = { 1, 3, 4096, 65535, 65536, 70000 };
	uint8_t *input = calloc(1, size);

	ck_assert_ptr_nonnull(input);
	smux_put_header(input, 1, SMUX_PSH, SMUX_PAYLOAD_MAX, 3);
	smux_put_header(input + 8 + SMUX_PAYLOAD_MAX, 1, SMUX_FIN, 0, 3);
	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
		static struct account a;
		struct smux_decoder d;

		memset(&a, 0, sizeof(a));
		smux_decoder_init(&d, 1);
		for (size_t at = 0; at < size; at += pieces[p]) {
			size_t to = at + pieces[p] < size ? at + pieces[p] : size;

			T_OUGHT(smux_decoder_is_between(&d) ==
				(at == 0 || at == 8 + SMUX_PAYLOAD_MAX));
			feed_exactly(&d, input, at, to, &a);
		}
		finish(&d, &a);
		ck_assert_uint_eq(a.count, 2);
		ck_assert_uint_eq(a.notes[0].len, SMUX_PAYLOAD_MAX);
		ck_assert_int_eq(a.notes[1].event, SMUX_EVENT_FIN);
		ck_assert(a.between);
	}
	free(input);
}
END_TEST

START_TEST(smux_every_split_in_two_and_three_says_the_same)
{
	unsigned version = (unsigned)_i;
	static struct account whole, split;
	struct input in;

	put_all(&in, version);
	decode_second(&whole, version, in.data, in.len);
	ck_assert_uint_eq(whole.headers, version == 2 ? 12 : 10);
	ck_assert_uint_eq(whole.count, version == 2 ? 9 : 7);
	ck_assert(whole.between);
	for (size_t i = 0; i <= in.len; i++) {
		for (size_t j = i; j <= in.len; j++) {
			size_t cuts[2] = { i, j };

			decode(&split, version, in.data, in.len, cuts, 2);
			same(&whole, &split);
		}
	}
}
END_TEST

START_TEST(smux_byte_by_byte_says_the_same)
{
	unsigned version = (unsigned)_i;
	static struct account whole, split;
	struct smux_decoder d;
	struct input in;

	put_all(&in, version);
	decode(&whole, version, in.data, in.len, NULL, 0);
	memset(&split, 0, sizeof(split));
	smux_decoder_init(&d, version);
	for (size_t i = 0; i < in.len; i++)
		feed_exactly(&d, in.data, i, i + 1, &split);
	finish(&d, &split);
	same(&whole, &split);
}
END_TEST

START_TEST(smux_every_cut_is_told_from_an_end_between_frames)
{
	unsigned version = (unsigned)_i;
	static struct account first, second;
	struct input in;
	size_t ends = 0;

	put_all(&in, version);
	for (size_t len = 0; len <= in.len; len++) {
		decode(&first, version, in.data, len, NULL, 0);
		decode_second(&second, version, in.data, len);
		same(&first, &second);
		ends += first.between;
	}
	ck_assert_uint_eq(ends, version == 2 ? 13 : 11);
}
END_TEST

/* ---- faults ---- */

/* Every version and command with lengths of interest, by both decoders. */
START_TEST(smux_every_header_is_judged_as_the_second_decoder_judges_it)
{
	static const uint16_t lengths[] = { 0, 1, 7, 8, 9, 256, 0x800, 65535 };
	unsigned version = (unsigned)_i;
	static struct account first, second;
	unsigned right = 0;

	for (unsigned v = 0; v < 256; v++) {
		for (unsigned cmd = 0; cmd < 256; cmd++) {
			for (unsigned l = 0; l < 8; l++) {
				uint8_t in[16] = { (uint8_t)v, (uint8_t)cmd, (uint8_t)lengths[l],
					(uint8_t)(lengths[l] >> 8), 1, 2, 3, 4, 5, 6, 7, 8, 9 };

				decode(&first, version, in, lengths[l] == 0 ? 8 : 16, NULL, 0);
				decode_second(&second, version, in, lengths[l] == 0 ? 8 : 16);
				same(&first, &second);
				right += !first.fault;
			}
		}
	}
	/* SYN, FIN, NOP; PSH, but where what follows its payload is no frame; UPD */
	ck_assert_uint_eq(right, version == 2 ? 10 : 9);
}
END_TEST

static const struct {
	unsigned version;
	uint8_t head[8];
	enum smux_fault fault;
} faults[] = {
	{ 1, { 2, 0, 0, 0, 3, 0, 0, 0 }, SMUX_FAULT_VERSION },
	{ 2, { 1, 0, 0, 0, 3, 0, 0, 0 }, SMUX_FAULT_VERSION },
	{ 1, { 0, 0, 0, 0, 3, 0, 0, 0 }, SMUX_FAULT_VERSION },
	{ 2, { 'G', 'E', 'T', ' ', '/', ' ', 'H', 'T' }, SMUX_FAULT_VERSION },
	{ 1, { 1, 4, 8, 0, 3, 0, 0, 0 }, SMUX_FAULT_CMD },
	{ 2, { 2, 5, 0, 0, 3, 0, 0, 0 }, SMUX_FAULT_CMD },
	{ 2, { 2, 255, 0, 0, 3, 0, 0, 0 }, SMUX_FAULT_CMD },
	{ 1, { 1, 0, 1, 0, 3, 0, 0, 0 }, SMUX_FAULT_LENGTH },
	{ 1, { 1, 1, 0, 1, 3, 0, 0, 0 }, SMUX_FAULT_LENGTH },
	{ 2, { 2, 3, 1, 0, 0, 0, 0, 0 }, SMUX_FAULT_LENGTH },
	{ 2, { 2, 4, 7, 0, 3, 0, 0, 0 }, SMUX_FAULT_LENGTH },
	{ 2, { 2, 4, 9, 0, 3, 0, 0, 0 }, SMUX_FAULT_LENGTH },
	{ 2, { 2, 4, 0, 0, 3, 0, 0, 0 }, SMUX_FAULT_LENGTH },
	{ 2, { 2, 4, 8, 1, 3, 0, 0, 0 }, SMUX_FAULT_LENGTH },
};
#define FAULTS ((int)(sizeof(faults) / sizeof(faults[0])))

START_TEST(smux_every_fault_is_told_and_shows_its_header)
{
	const uint8_t *data = faults[_i].head;
	struct smux_decoder d;
	struct smux_frame frame;
	size_t len = 8;

	smux_decoder_init(&d, faults[_i].version);
	ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame), SMUX_EVENT_FAULT);
	ck_assert_int_eq(d.fault, faults[_i].fault);
	ck_assert_mem_eq(d.head, faults[_i].head, 8);
	ck_assert_uint_eq(d.headers, 0);
	ck_assert(!smux_decoder_is_between(&d));
}
END_TEST

START_TEST(smux_a_fault_stays_and_takes_nothing_more)
{
	uint8_t good[8];
	const uint8_t *data = faults[_i].head;
	struct smux_decoder d;
	struct smux_frame frame;
	size_t len = 8;

	smux_decoder_init(&d, faults[_i].version);
	ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame), SMUX_EVENT_FAULT);
	smux_put_header(good, faults[_i].version, SMUX_SYN, 0, 3);
	for (int again = 0; again < 3; again++) {
		data = good;
		len = sizeof(good);
		ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame), SMUX_EVENT_FAULT);
		ck_assert_ptr_eq(data, good);
		ck_assert_uint_eq(len, sizeof(good));
	}
	len = 0;
	ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame), SMUX_EVENT_FAULT);
	ck_assert_int_eq(d.fault, faults[_i].fault);
}
END_TEST

/* What waits for eight bytes of a peer that sent one and waits too waits for ever. */
START_TEST(smux_another_protocol_is_told_at_its_first_byte)
{
	for (unsigned version = 1; version <= 2; version++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			uint8_t in = (uint8_t)byte;
			const uint8_t *data = &in;
			struct smux_decoder d;
			struct smux_frame frame;
			size_t len = 1;

			smux_decoder_init(&d, version);
			ck_assert_int_eq(smux_decoder_next(&d, &data, &len, &frame),
				byte == version ? SMUX_EVENT_NONE : SMUX_EVENT_FAULT);
			ck_assert_int_eq(
				d.fault, byte == version ? SMUX_FAULT_NONE : SMUX_FAULT_VERSION);
		}
	}
}
END_TEST

START_TEST(smux_a_fault_behind_good_frames_comes_after_them)
{
	static struct account first, second;
	struct input in;

	put_all(&in, faults[_i].version);
	memcpy(in.data + in.len, faults[_i].head, 8);
	in.len += 8;
	decode_second(&second, faults[_i].version, in.data, in.len);
	ck_assert_int_eq(second.fault, faults[_i].fault);
	ck_assert_uint_ge(second.count, 7);
	for (size_t cut = 0; cut <= in.len; cut++) {
		decode(&first, faults[_i].version, in.data, in.len, &cut, 1);
		same(&first, &second);
	}
}
END_TEST

/* ---- at random ---- */

#define RANDOM_SIZE_MAX 2000

/* Mostly right frames, else it would end at once. */
static size_t make_random(uint8_t *out, unsigned version, uint64_t *state)
{
	size_t len = 0, size = t_random(state) % RANDOM_SIZE_MAX;
	bool right = t_random(state) % 2;

	while (len + 80 < size) {
		uint64_t r = t_random(state);
		enum smux_cmd cmd = (enum smux_cmd)(r % (version + 3));
		uint16_t length = cmd == SMUX_PSH ? (uint16_t)(r >> 8) % 64 : 0;

		smux_put_header(
			out + len, version, cmd, cmd == SMUX_UPD ? 8 : length, (uint32_t)(r >> 32));
		if (!right && r % 61 == 0)
			out[len + (r >> 20) % 4] ^= (uint8_t)(r >> 24);
		len += 8;
		for (unsigned i = cmd == SMUX_UPD ? 8 : length; i > 0; i--)
			out[len++] = (uint8_t)t_random(state);
	}
	return len - (len ? t_random(state) % (len < 20 ? len : 20) : 0);
}

START_TEST(smux_both_decoders_agree_on_random_bytes_and_splits)
{
	uint64_t state = t_seed();
	static uint8_t input[RANDOM_SIZE_MAX];
	static struct account first, second;
	unsigned faulty = 0, rounds = 3000;

	for (unsigned round = 0; round < rounds; round++) {
		unsigned version = 1 + t_random(&state) % 2;
		size_t len = make_random(input, version, &state), at = 0;
		size_t piece_max = 1 + t_random(&state) % (t_random(&state) % 2 ? 10 : 400);
		struct smux_decoder d;

		memset(&first, 0, sizeof(first));
		smux_decoder_init(&d, version);
		while (at < len) {
			size_t n = t_random(&state) % (piece_max + 1);

			n = n < len - at ? n : len - at;
			feed_exactly(&d, input, at, at + n, &first);
			at += n;
		}
		finish(&d, &first);
		decode_second(&second, version, input, len);
		same(&first, &second);
		faulty += first.fault != SMUX_FAULT_NONE;
	}
	ck_assert_uint_gt(faulty, rounds / 20);
	ck_assert_uint_lt(faulty, rounds / 2);
}
END_TEST

static void smux_tests(TCase *tc)
{
	t_add(tc, smux_frames_are_written_as_on_the_wire);
	t_add(tc, smux_commands_have_the_numbers_of_the_wire);
	t_add(tc, smux_every_command_is_an_event);
	t_add(tc, smux_no_bytes_are_no_event);
	t_add(tc, smux_nop_and_empty_psh_are_counted_only);
	t_add(tc, smux_payload_is_whose_header_came_last);
	t_add(tc, smux_the_largest_payload_comes_whole_and_in_pieces);
	t_add_loop(tc, smux_every_split_in_two_and_three_says_the_same, 1, 3);
	t_add_loop(tc, smux_byte_by_byte_says_the_same, 1, 3);
	t_add_loop(tc, smux_every_cut_is_told_from_an_end_between_frames, 1, 3);
	t_add_loop(tc, smux_every_header_is_judged_as_the_second_decoder_judges_it, 1, 3);
	t_add_loop(tc, smux_every_fault_is_told_and_shows_its_header, 0, FAULTS);
	t_add_loop(tc, smux_a_fault_stays_and_takes_nothing_more, 0, FAULTS);
	t_add(tc, smux_another_protocol_is_told_at_its_first_byte);
	t_add_loop(tc, smux_a_fault_behind_good_frames_comes_after_them, 0, FAULTS);
	t_add(tc, smux_both_decoders_agree_on_random_bytes_and_splits);
}
T_SUITE("smux", smux_tests)
