/* SPDX-License-Identifier: MIT */
/*
 * See decode.h.
 *
 *	FRESH    no byte yet                  -> HEAD, DATA
 *	HEAD     deflate: one byte seen       -> DATA (the second tells which format)
 *	DATA     within a stream of zlib's    -> DATA, BETWEEN, FAILED
 *	BETWEEN  a stream has ended           -> DATA (gzip: another member), BETWEEN (zero bytes),
 *	                                         FAILED
 *	FAILED   gives the same error again
 */
#include "http/decode.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>
#include <strings.h>

static bool is_coding(const char *value, size_t len, const char *name)
{
	return len == strlen(name) && strncasecmp(value, name, len) == 0;
}

enum decode_coding decode_coding_parse(const char *value)
{
	size_t len;

	if (!value)
		return DECODE_NONE;
	value += strspn(value, " \t");
	len = strlen(value);
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	if (len == 0 || is_coding(value, len, "identity"))
		return DECODE_NONE;
	if (is_coding(value, len, "gzip") || is_coding(value, len, "x-gzip"))
		return DECODE_GZIP;
	if (is_coding(value, len, "deflate"))
		return DECODE_DEFLATE;
	return DECODE_OTHER;
}

#ifdef WEFT_ZLIB
#define ZLIB_CONST
#include <zlib.h>

#define GZIP_FIRST 0x1f
#define GZIP_SECOND 0x8b
#define BITS_GZIP (15 + 16) /* windowBits as inflateInit2 takes them */
#define BITS_ZLIB 15
#define BITS_RAW (-15)
#define STEP_MAX ((unsigned)1 << 30) /* bytes that zlib is given at once */

enum state { FRESH, HEAD, DATA, BETWEEN, FAILED };

struct decode {
	enum decode_coding coding;
	enum state state;
	weft_err err;	 /* FAILED */
	const char *why; /* FAILED; static */
	bool has_zlib;	 /* zlib is initialised */
	bool has_magic;	 /* BETWEEN: a byte that begins a gzip member is the last one seen */
	bool has_zeros;	 /* BETWEEN: zero bytes were seen; nothing else may follow */
	uint8_t prefix_len;
	uint8_t prefix[2]; /* bytes of a head that zlib has yet to be given */
	uint64_t in, out;
	struct decode_limits limits;
	z_stream zlib;
};

static void *zlib_alloc(void *user, unsigned count, unsigned size)
{
	(void)user;
	return mem_calloc(count, size);
}

static void zlib_free(void *user, void *memory)
{
	(void)user;
	mem_free(memory);
}

const char *decode_accepted(void)
{
	return "gzip, deflate";
}

weft_err decode_create(
	struct decode **out, enum decode_coding coding, const struct decode_limits *limits)
{
	struct decode *decode;

	if (coding != DECODE_GZIP && coding != DECODE_DEFLATE)
		return err_setf(WEFT_ENOSYS, "no content coding that can be undone");
	decode = mem_calloc(1, sizeof(*decode));
	if (!decode)
		return err_set(WEFT_ENOMEM);
	decode->coding = coding;
	if (limits)
		decode->limits = *limits;
	if (decode->limits.ratio_max == 0)
		decode->limits.ratio_max = DECODE_RATIO_MAX;
	decode->zlib.zalloc = zlib_alloc;
	decode->zlib.zfree = zlib_free;
	*out = decode;
	return WEFT_OK;
}

void decode_free(struct decode *decode)
{
	if (decode && decode->has_zlib)
		(void)inflateEnd(&decode->zlib);
	mem_free(decode);
}

static const char *coding_name(const struct decode *decode)
{
	return decode->coding == DECODE_GZIP ? "gzip" : "deflate";
}

static weft_err fail_again(const struct decode *decode)
{
	if (decode->err == WEFT_ENOMEM)
		return err_set(decode->err);
	return err_setf(decode->err, "%s body, near byte %llu: %s", coding_name(decode),
		(unsigned long long)decode->in, decode->why);
}

/* why: static. */
static weft_err fail(struct decode *decode, weft_err err, const char *why)
{
	decode->state = FAILED;
	decode->err = err;
	decode->why = why;
	return fail_again(decode);
}

/* zlib reads the format that bits name, beginning with what is in prefix. */
static weft_err start(struct decode *decode, int bits)
{
	if (inflateInit2(&decode->zlib, bits) != Z_OK)
		return fail(decode, WEFT_ENOMEM, NULL);
	decode->has_zlib = true;
	decode->state = DATA;
	return WEFT_OK;
}

/* RFC 1950, section 2.2: the method is 8, the window at most 32 KiB, and both bytes as a number
 * a multiple of 31. */
static bool is_zlib_head(uint8_t first, uint8_t second)
{
	return (first & 0x0f) == 8 && (first >> 4) <= 7 && (first * 256 + second) % 31 == 0;
}

/* How many bytes may still come out. */
static uint64_t room(const struct decode *decode)
{
	uint64_t by_ratio = decode->in > UINT64_MAX / decode->limits.ratio_max
		? UINT64_MAX
		: decode->in * decode->limits.ratio_max;
	uint64_t max = by_ratio > DECODE_RATIO_FROM ? by_ratio : DECODE_RATIO_FROM;

	if (decode->limits.out_max && decode->limits.out_max < max)
		max = decode->limits.out_max;
	return max > decode->out ? max - decode->out : 0;
}

static weft_err too_large(struct decode *decode)
{
	if (decode->limits.out_max && decode->out >= decode->limits.out_max)
		return fail(decode, WEFT_EMSGSIZE, "more comes out than the limit of bytes");
	return fail(decode, WEFT_EMSGSIZE, "what comes out is too many times larger");
}

/* One call of inflate: *taken of in, *got to out. */
static weft_err inflate_once(struct decode *decode, const uint8_t *in, size_t len, size_t *taken,
	uint8_t *out, size_t size, size_t *got)
{
	z_stream *zlib = &decode->zlib;
	unsigned in_len = len > STEP_MAX ? STEP_MAX : (unsigned)len;
	unsigned out_len = size > STEP_MAX ? STEP_MAX : (unsigned)size;
	int status;

	zlib->next_in = in;
	zlib->avail_in = in_len;
	zlib->next_out = out;
	zlib->avail_out = out_len;
	status = inflate(zlib, Z_NO_FLUSH);
	*taken = in_len - zlib->avail_in;
	*got = out_len - zlib->avail_out;
	switch (status) {
	case Z_OK:
	case Z_BUF_ERROR: /* nothing to do before there is more of one or the other */
		return WEFT_OK;
	case Z_STREAM_END:
		decode->state = BETWEEN;
		decode->has_magic = decode->has_zeros = false;
		return WEFT_OK;
	case Z_MEM_ERROR:
		return fail(decode, WEFT_ENOMEM, NULL);
	case Z_NEED_DICT:
		return fail(decode, WEFT_EPROTO, "it needs a dictionary");
	default:
		return fail(decode, WEFT_EPROTO, zlib->msg ? zlib->msg : "not readable");
	}
}

/* DATA: from prefix while there is some, then from in. */
static weft_err data(struct decode *decode, const uint8_t *in, size_t len, size_t *taken,
	uint8_t *out, size_t size, size_t *got)
{
	bool is_prefix = decode->prefix_len > 0;
	size_t used = 0;
	weft_err err;

	if (is_prefix)
		err = inflate_once(
			decode, decode->prefix, decode->prefix_len, &used, out, size, got);
	else
		err = inflate_once(decode, in, len, &used, out, size, got);
	if (is_prefix) {
		decode->prefix_len -= (uint8_t)used;
		memmove(decode->prefix, decode->prefix + used, decode->prefix_len);
	} else {
		decode->in += used;
		*taken = used;
	}
	if (!err && *got > room(decode)) {
		/* what is within the limit is not handed out either: it can't be whole */
		*got = 0;
		err = too_large(decode);
	}
	decode->out += *got;
	return err;
}

/* One byte behind the end of a stream. */
static weft_err between(struct decode *decode, uint8_t byte)
{
	bool is_gzip = decode->coding == DECODE_GZIP;

	if (is_gzip && decode->has_magic && byte == GZIP_SECOND) {
		decode->prefix[0] = GZIP_FIRST;
		decode->prefix[1] = GZIP_SECOND;
		decode->prefix_len = 2;
		(void)inflateReset(&decode->zlib);
		decode->state = DATA;
	} else if (is_gzip && !decode->has_magic && !decode->has_zeros && byte == GZIP_FIRST) {
		decode->has_magic = true;
	} else if (byte == 0 && !decode->has_magic) {
		decode->has_zeros = true;
	} else {
		return fail(decode, WEFT_EPROTO, "something stands behind its end");
	}
	return WEFT_OK;
}

/* FRESH and HEAD: a byte of those that tell the format. */
static weft_err head(struct decode *decode, uint8_t byte)
{
	bool is_zlib;

	decode->prefix[decode->prefix_len++] = byte;
	decode->state = HEAD;
	if (decode->coding == DECODE_GZIP)
		return start(decode, BITS_GZIP);
	if (decode->prefix_len < 2)
		return WEFT_OK;
	is_zlib = is_zlib_head(decode->prefix[0], decode->prefix[1]);
	return start(decode, is_zlib ? BITS_ZLIB : BITS_RAW);
}

weft_err decode_bytes(struct decode *decode, const uint8_t *in, size_t len, size_t *taken,
	uint8_t *out, size_t size, size_t *got)
{
	weft_err err = WEFT_OK;

	*taken = *got = 0;
	if (len == 0)
		in = (const uint8_t *)"";
	while (!err && *got < size) {
		size_t used = 0, made = 0;

		if (decode->state == FAILED)
			return fail_again(decode);
		if (decode->state == DATA) {
			err = data(decode, in + *taken, len - *taken, &used, out + *got,
				size - *got, &made);
			*got += made;
			*taken += used;
			/* zlib has nothing left to give, and nothing to read */
			if (used == 0 && made == 0 && decode->state == DATA &&
				decode->prefix_len == 0 && *taken == len)
				break;
			continue;
		}
		if (*taken == len)
			break;
		decode->in++;
		if (decode->state == BETWEEN)
			err = between(decode, in[*taken]);
		else
			err = head(decode, in[*taken]);
		(*taken)++;
	}
	return err;
}

weft_err decode_end(const struct decode *decode)
{
	switch (decode->state) {
	case FRESH:
		return WEFT_OK;
	case BETWEEN:
		if (!decode->has_magic)
			return WEFT_OK;
		break;
	case FAILED:
		return fail_again(decode);
	case HEAD:
	case DATA:
		break;
	}
	return err_setf(WEFT_EPROTO, "%s body: it is cut short after byte %llu",
		coding_name(decode), (unsigned long long)decode->in);
}

#else

const char *decode_accepted(void)
{
	return NULL;
}

weft_err decode_create(WEFT_UNUSED struct decode **out, WEFT_UNUSED enum decode_coding coding,
	WEFT_UNUSED const struct decode_limits *limits)
{
	return err_setf(WEFT_ENOSYS, "this build can't undo content codings: it is without zlib");
}

weft_err decode_bytes(WEFT_UNUSED struct decode *decode, WEFT_UNUSED const uint8_t *in,
	WEFT_UNUSED size_t len, WEFT_UNUSED size_t *taken, WEFT_UNUSED uint8_t *out,
	WEFT_UNUSED size_t size, WEFT_UNUSED size_t *got)
{
	return err_set(WEFT_ENOSYS);
}

weft_err decode_end(WEFT_UNUSED const struct decode *decode)
{
	return err_set(WEFT_ENOSYS);
}

void decode_free(WEFT_UNUSED struct decode *decode) {}
#endif
