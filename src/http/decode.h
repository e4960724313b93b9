/* SPDX-License-Identifier: MIT */
#ifndef HTTP_DECODE_H
#define HTTP_DECODE_H

/*
 * Undoes the gzip and deflate codings of a body as it comes (RFC 9110, section 8.4.1; RFC 1950,
 * 1951, 1952), with zlib.
 *
 * gzip may consist of several members, and zero bytes may follow the last. deflate is the zlib
 * format, or the bare one that some servers send in its place: the first two bytes tell. A body
 * of no bytes at all is an empty one. What would come out is bounded by a number of bytes and by
 * how many times larger it is than what went in, so that a small message can't fill a disk.
 *
 * Lifetime: one owner. Threads: one at a time. No I/O, never blocks. Two allocations at create,
 * two of zlib's (some 44 KiB) with the first byte; none after.
 */
#include <weft/base.h>

#include <stdbool.h>
#include <stdint.h>

enum decode_coding {
	DECODE_NONE,	/* nothing to undo: no field, or "identity" */
	DECODE_GZIP,	/* "gzip", "x-gzip" */
	DECODE_DEFLATE, /* "deflate" */
	DECODE_OTHER,	/* one that was not asked for, or several at once */
};

#define DECODE_RATIO_MAX 200		      /* of decode_limits, unless it says otherwise */
#define DECODE_RATIO_FROM ((uint64_t)1 << 20) /* the first bytes that come out may be any */

/* For Accept-Encoding; NULL: this build undoes nothing. */
const char *decode_accepted(void);
/* What a Content-Encoding field says; value may be NULL. */
enum decode_coding decode_coding_parse(const char *value);

struct decode_limits {
	uint64_t out_max; /* bytes that may come out; 0: any number */
	unsigned
		ratio_max; /* times what went in, once DECODE_RATIO_FROM came out; 0: the default */
};

struct decode;

/* limits may be NULL. Errors: WEFT_ENOMEM; WEFT_ENOSYS (none of the two codings, or a build
 * without zlib). */
WEFT_MUST_CHECK weft_err decode_create(
	struct decode **out, enum decode_coding coding, const struct decode_limits *limits);
/*
 * Takes from in what it can use and writes up to size bytes to out; *taken and *got say how
 * many, on errors too. With size > 0, *got is 0 only when all of in was taken. Call it again
 * with what is left of in, and, as long as *got == size, with nothing.
 * Errors: WEFT_EPROTO (not the coding, corrupt, bytes behind the end), WEFT_EMSGSIZE (out_max or
 * ratio_max), WEFT_ENOMEM. It repeats its error.
 */
WEFT_MUST_CHECK weft_err decode_bytes(struct decode *decode, const uint8_t *in, size_t len,
	size_t *taken, uint8_t *out, size_t size, size_t *got);
/* To be asked when the body has ended and nothing more comes out. Errors: WEFT_EPROTO (it was
 * cut short), or that of decode_bytes. */
WEFT_MUST_CHECK weft_err decode_end(const struct decode *decode);
/* NULL is allowed. */
void decode_free(struct decode *decode);

#endif
