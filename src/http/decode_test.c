/* SPDX-License-Identifier: MIT */
/* Content codings: every format that is seen, in pieces of every size, cut, corrupt, too large. */
#include "http/decode.h"
#include "support/t.h"

#include <stdlib.h>
#include <string.h>
#include <weft/base.h>

START_TEST(a_field_names_a_coding)
{
	static const struct {
		const char *value;
		enum decode_coding coding;
	} cases[] = {
		{ NULL, DECODE_NONE },
		{ "", DECODE_NONE },
		{ " ", DECODE_NONE },
		{ "identity", DECODE_NONE },
		{ "gzip", DECODE_GZIP },
		{ " GZip\t", DECODE_GZIP },
		{ "x-gzip", DECODE_GZIP },
		{ "deflate", DECODE_DEFLATE },
		{ "br", DECODE_OTHER },
		{ "gzip, gzip", DECODE_OTHER },
		{ "gzip,", DECODE_OTHER },
		{ "gzi", DECODE_OTHER },
		{ "gzipp", DECODE_OTHER },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(decode_coding_parse(cases[i].value) == cases[i].coding, "%s",
			cases[i].value);
}
END_TEST

#ifdef WEFT_ZLIB
#define ZLIB_CONST
#include <zlib.h>

#define ROOM ((size_t)1 << 20)

struct format {
	const char *name;
	enum decode_coding coding;
	int bits; /* windowBits of zlib's deflateInit2 */
};

static const struct format formats[] = {
	{ "gzip", DECODE_GZIP, 31 },
	{ "zlib", DECODE_DEFLATE, 15 },
	{ "zlib of a small window", DECODE_DEFLATE, 9 },
	{ "bare deflate", DECODE_DEFLATE, -15 },
};
#define FORMATS ((int)(sizeof(formats) / sizeof(formats[0])))

static uint8_t packed[ROOM], plain[ROOM], out[ROOM];

/* Appends to packed at `at`; the new end. */
static size_t pack_at(size_t at, const void *data, size_t len, int bits, int level)
{
	z_stream z = { .next_in = data,
		.avail_in = (unsigned)len,
		.next_out = packed + at,
		.avail_out = (unsigned)(sizeof(packed) - at) };

	ck_assert_int_eq(deflateInit2(&z, level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	ck_assert_int_eq(deflateEnd(&z), Z_OK);
	return sizeof(packed) - z.avail_out;
}

/* Text that can be compressed, with some that can't. */
static size_t make_plain(uint64_t *seed, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t run = 1 + t_random(seed) % 40;
		uint8_t byte = (uint8_t)t_random(seed);

		for (; run > 0 && at < len; run--)
			plain[at++] = byte;
	}
	return len;
}

/* All of it in pieces of at most in_max and out_max bytes; the sum of what came out. */
static weft_err unpack(enum decode_coding coding, const struct decode_limits *limits, size_t len,
	size_t in_max, size_t out_max, size_t *sum)
{
	struct decode *decode = NULL;
	size_t at = 0, taken, got;
	weft_err err = decode_create(&decode, coding, limits);
	bool is_full = false;

	*sum = 0;
	while (!err && (at < len || is_full)) {
		size_t in_len = len - at < in_max ? len - at : in_max;
		size_t size = sizeof(out) - *sum < out_max ? sizeof(out) - *sum : out_max;

		err = decode_bytes(decode, packed + at, in_len, &taken, out + *sum, size, &got);
		T_OUGHT(taken <= in_len && got <= size);
		T_OUGHT(err || got == size || taken == in_len);
		is_full = got == size;
		at += taken;
		*sum += got;
	}
	if (!err)
		err = decode_end(decode);
	else if (decode)
		T_OUGHT(decode_end(decode) == err);
	decode_free(decode);
	return err;
}

static void same(enum decode_coding coding, size_t packed_len, size_t plain_len, size_t in_max,
	size_t out_max)
{
	size_t sum = 0;
	weft_err err = unpack(coding, NULL, packed_len, in_max, out_max, &sum);

	ck_assert_msg(!err, "%s", weft_error_detail());
	ck_assert_uint_eq(sum, plain_len);
	ck_assert_mem_eq(out, plain, plain_len);
}

START_TEST(every_format_comes_out_as_it_went_in)
{
	const struct format *f = &formats[_i];
	uint64_t seed = t_seed();

	for (int round = 0; round < 20; round++) {
		size_t len = make_plain(&seed, t_random(&seed) % (round % 2 ? 50 : 20000));
		size_t end = pack_at(0, plain, len, f->bits, (int)(t_random(&seed) % 10));

		same(f->coding, end, len, ROOM, ROOM);
		same(f->coding, end, len, 1 + t_random(&seed) % 3, 1 + t_random(&seed) % 5000);
		same(f->coding, end, len, 1 + t_random(&seed) % 2000, 1 + t_random(&seed) % 7);
	}
}
END_TEST

START_TEST(nothing_at_all_is_an_empty_body)
{
	size_t sum;

	ck_assert_int_eq(unpack(formats[_i].coding, NULL, 0, 1, 1, &sum), WEFT_OK);
	ck_assert_uint_eq(sum, 0);
	/* and so is a body that says so */
	same(formats[_i].coding, pack_at(0, "", 0, formats[_i].bits, 6), 0, 1, 1);
}
END_TEST

START_TEST(a_short_bare_stream_is_found_by_its_first_two_bytes)
{
	/* "a" by RFC 1951, section 3.2.6; an empty block; a stored one of "a" */
	static const char *const streams[] = { "\x4b\x04\x00", "\x03\x00",
		"\x01\x01\x00\xfe\xff\x61" };
	static const size_t lens[] = { 3, 2, 6 }, plain_lens[] = { 1, 0, 1 };

	plain[0] = 'a';
	for (size_t i = 0; i < 3; i++) {
		memcpy(packed, streams[i], lens[i]);
		same(DECODE_DEFLATE, lens[i], plain_lens[i], 1, 1);
		same(DECODE_DEFLATE, lens[i], plain_lens[i], ROOM, ROOM);
	}
}
END_TEST

START_TEST(gzip_members_follow_one_another)
{
	uint64_t seed = t_seed();
	size_t len = 0, end = 0;

	make_plain(&seed, 5000);
	for (; len < 5000; len += 500)
		end = pack_at(end, plain + len, 500, 31, 6);
	end = pack_at(end, "", 0, 31, 6);
	same(DECODE_GZIP, end, len, ROOM, ROOM);
	same(DECODE_GZIP, end, len, 1, 1);
	same(DECODE_GZIP, end, len, 7, 300);
}
END_TEST

START_TEST(zero_bytes_may_stand_behind_the_end)
{
	const struct format *f = &formats[_i];
	size_t end;

	memcpy(plain, "hello", 5);
	end = pack_at(0, plain, 5, f->bits, 6);
	memset(packed + end, 0, 100);
	same(f->coding, end + 100, 5, 3, 3);
}
END_TEST

START_TEST(other_bytes_behind_the_end_are_an_error)
{
	static const char *const tails[] = { "x", "\x1f", "\x1fx", "\x1f\x1f", "\n", "gzip" };
	const struct format *f = &formats[_i];
	size_t end = pack_at(0, "hello", 5, f->bits, 6), sum;

	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		memcpy(packed + end, tails[i], strlen(tails[i]));
		ck_assert_int_eq(unpack(f->coding, NULL, end + strlen(tails[i]), 2, ROOM, &sum),
			WEFT_EPROTO);
		ck_assert_uint_eq(sum, 5);
	}
	memcpy(packed + end, "\0x", 2);
	ck_assert_int_eq(unpack(f->coding, NULL, end + 2, ROOM, ROOM, &sum), WEFT_EPROTO);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "behind its end"));
	/* a second stream is for gzip alone */
	end = pack_at(end, "hello", 5, f->bits, 6);
	ck_assert_int_eq(unpack(f->coding, NULL, end, ROOM, ROOM, &sum),
		f->coding == DECODE_GZIP ? WEFT_OK : WEFT_EPROTO);
}
END_TEST

START_TEST(cut_anywhere_it_is_an_error)
{
	const struct format *f = &formats[_i];
	uint64_t seed = t_seed();
	size_t len = make_plain(&seed, 300), end = pack_at(0, plain, len, f->bits, 6), sum;

	for (size_t at = 1; at < end; at++) {
		weft_err err = unpack(f->coding, NULL, at, ROOM, 1 + at % 50, &sum);

		T_OUGHT(err == WEFT_EPROTO && strstr(weft_error_detail(), "cut short"));
		T_OUGHT(sum <= len && memcmp(out, plain, sum) == 0);
	}
	/* within a second member too */
	if (f->coding == DECODE_GZIP) {
		size_t second = pack_at(end, plain, len, f->bits, 6);

		for (size_t at = end + 1; at < second; at++)
			T_OUGHT(unpack(f->coding, NULL, at, ROOM, ROOM, &sum) == WEFT_EPROTO);
	}
}
END_TEST

START_TEST(damage_is_found_or_does_no_harm)
{
	const struct format *f = &formats[_i];
	uint64_t seed = t_seed();
	size_t len = make_plain(&seed, 400), end = pack_at(0, plain, len, f->bits, 6), sum;

	for (size_t bit = 0; bit < end * 8; bit++) {
		weft_err err;

		packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		err = unpack(f->coding, NULL, end, ROOM, ROOM, &sum);
		packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		T_OUGHT(err == WEFT_OK || err == WEFT_EPROTO);
		/* the bare format has no checksum */
		T_OUGHT(f->bits < 0 || err || (sum == len && memcmp(out, plain, len) == 0));
	}
	memcpy(packed, "not compressed at all", 21);
	ck_assert_int_eq(unpack(f->coding, NULL, 21, ROOM, ROOM, &sum), WEFT_EPROTO);
}
END_TEST

START_TEST(what_comes_out_is_bounded_in_bytes)
{
	const struct format *f = &formats[_i];
	struct decode_limits limits = { .out_max = 1000 };
	size_t end, sum;

	memset(plain, 'x', 1001);
	end = pack_at(0, plain, 1000, f->bits, 6);
	ck_assert_int_eq(unpack(f->coding, &limits, end, ROOM, ROOM, &sum), WEFT_OK);
	ck_assert_uint_eq(sum, 1000);
	end = pack_at(0, plain, 1001, f->bits, 6);
	for (size_t out_max = 1; out_max <= 1100; out_max += 333) {
		ck_assert_int_eq(
			unpack(f->coding, &limits, end, ROOM, out_max, &sum), WEFT_EMSGSIZE);
		ck_assert_uint_le(sum, 1000);
	}
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "limit of bytes"));
}
END_TEST

/* Megabytes of zeros in a few kilobytes: the bomb. */
START_TEST(what_comes_out_is_bounded_by_what_went_in)
{
	static uint8_t zeros[8 << 20];
	const struct format *f = &formats[_i];
	struct decode_limits loose = { .ratio_max = 1100 };
	size_t end = pack_at(0, zeros, sizeof(zeros), f->bits, 9), at = 0, taken, got;
	uint64_t sum = 0;
	struct decode *decode;
	weft_err err = WEFT_OK;

	ck_assert_uint_lt(end, 16384);
	ck_assert_int_eq(decode_create(&decode, f->coding, NULL), WEFT_OK);
	while (!err && at < end) {
		err = decode_bytes(decode, packed + at, end - at, &taken, out, sizeof(out), &got);
		at += taken;
		sum += got;
	}
	ck_assert_int_eq(err, WEFT_EMSGSIZE);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "too many times larger"));
	ck_assert_uint_le(sum, DECODE_RATIO_FROM + end * DECODE_RATIO_MAX);
	ck_assert_int_eq(
		decode_bytes(decode, packed, end, &taken, out, sizeof(out), &got), WEFT_EMSGSIZE);
	ck_assert_uint_eq(taken + got, 0);
	decode_free(decode);

	ck_assert_int_eq(decode_create(&decode, f->coding, &loose), WEFT_OK);
	for (at = 0, sum = 0; at < end || got == sizeof(out); at += taken, sum += got) {
		err = decode_bytes(decode, packed + at, end - at, &taken, out, sizeof(out), &got);
		ck_assert_int_eq(err, WEFT_OK);
	}
	ck_assert_int_eq(decode_end(decode), WEFT_OK);
	ck_assert_uint_eq(sum, sizeof(zeros));
	decode_free(decode);
}
END_TEST

START_TEST(out_of_memory_is_returned)
{
	const struct format *f = &formats[_i];
	uint64_t seed = t_seed();
	size_t len = make_plain(&seed, 40000), end = pack_at(0, plain, len, f->bits, 6), sum;

	T_EACH_FAILING_MALLOC(n) {
		weft_err err = unpack(f->coding, NULL, end, 1000, 500, &sum);

		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
	}
}
END_TEST

START_TEST(no_other_coding_is_taken)
{
	struct decode *decode = NULL;

	ck_assert_int_eq(decode_create(&decode, DECODE_OTHER, NULL), WEFT_ENOSYS);
	ck_assert_int_eq(decode_create(&decode, DECODE_NONE, NULL), WEFT_ENOSYS);
	ck_assert_ptr_null(decode);
	ck_assert_str_eq(decode_accepted(), "gzip, deflate");
	decode_free(NULL);
}
END_TEST

static void decode_tests(TCase *tc)
{
	t_add(tc, a_field_names_a_coding);
	t_add_loop(tc, every_format_comes_out_as_it_went_in, 0, FORMATS);
	t_add_loop(tc, nothing_at_all_is_an_empty_body, 0, FORMATS);
	t_add(tc, a_short_bare_stream_is_found_by_its_first_two_bytes);
	t_add(tc, gzip_members_follow_one_another);
	t_add_loop(tc, zero_bytes_may_stand_behind_the_end, 0, FORMATS);
	t_add_loop(tc, other_bytes_behind_the_end_are_an_error, 0, FORMATS);
	t_add_loop(tc, cut_anywhere_it_is_an_error, 0, FORMATS);
	t_add_loop(tc, damage_is_found_or_does_no_harm, 0, FORMATS);
	t_add_loop(tc, what_comes_out_is_bounded_in_bytes, 0, FORMATS);
	t_add_loop(tc, what_comes_out_is_bounded_by_what_went_in, 0, FORMATS);
	t_add_loop(tc, out_of_memory_is_returned, 0, FORMATS);
	t_add(tc, no_other_coding_is_taken);
}
#else
START_TEST(a_build_without_zlib_says_so)
{
	struct decode *decode = NULL;

	ck_assert_int_eq(decode_create(&decode, DECODE_GZIP, NULL), WEFT_ENOSYS);
	ck_assert_ptr_null(decode);
	ck_assert_ptr_null(decode_accepted());
}
END_TEST

static void decode_tests(TCase *tc)
{
	t_add(tc, a_field_names_a_coding);
	t_add(tc, a_build_without_zlib_says_so);
}
#endif
T_SUITE("decode", decode_tests)
