/* SPDX-License-Identifier: MIT */
#ifndef WEFT_JSON_H
#define WEFT_JSON_H

#include <weft/base.h>
#include <weft/buf.h>

#include <stdbool.h>
#include <sys/uio.h> /* struct iovec */

WEFT_BEGIN_DECLS
/*
 * JSON texts (RFC 8259) where they lie: a value is a span of the text, nothing is built of it.
 *
 * Memory:   no call here allocates but those that make a weft_buf. Spans point into the text
 *           they were found in and are valid as long as it is.
 * Threads:  no state: anything may be called from anywhere.
 * Blocking: never.
 * Trust:    every function reads only within the span given, whatever it holds. Those that look
 *           into a value check what they pass, and say WEFT_EPROTO of what is no JSON.
 */
typedef struct weft_json {
	const char *text; /* its first byte; NULL: there is none */
	size_t len;	  /* bytes, the quotes of a string and the brackets included */
} weft_json;

typedef enum weft_json_type {
	WEFT_JSON_NONE, /* no value */
	WEFT_JSON_NULL,
	WEFT_JSON_BOOLEAN,
	WEFT_JSON_NUMBER,
	WEFT_JSON_STRING,
	WEFT_JSON_ARRAY,
	WEFT_JSON_OBJECT,
} weft_json_type;

#define WEFT_JSON_SIZE_DEFAULT ((size_t)10 << 20)
#define WEFT_JSON_DEPTH_DEFAULT 64u
#define WEFT_JSON_DEPTH_MAX 1024u

typedef struct weft_json_limits {
	size_t size_max;    /* bytes of a text at most. 0: WEFT_JSON_SIZE_DEFAULT */
	unsigned depth_max; /* arrays and objects within one another. 0: WEFT_JSON_DEPTH_DEFAULT;
			     * what is above WEFT_JSON_DEPTH_MAX is taken as that */
} weft_json_limits;

/*
 * Checks a whole text: one value, white space around it, UTF-8 throughout (RFC 3629). *out is
 * the value without the space. limits may be NULL.
 * What RFC 8259 leaves open: a byte order mark is refused; an escaped surrogate without its other
 * half is JSON; numbers have any size; names of members may repeat.
 * Errors: WEFT_EPROTO (the detail says at which byte and what), WEFT_EMSGSIZE (size_max,
 *	   depth_max).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_check(
	weft_json *out, const char *text, size_t len, const weft_json_limits *limits);

/* What a value is, by its first byte; WEFT_JSON_NONE for no value, and for what begins none. */
WEFT_API weft_json_type weft_json_type_of(weft_json value);

/* ---- members and elements ---- */

/*
 * The member of an object that has this name; it is compared as the name reads once its escapes
 * are decoded.
 * Errors: WEFT_ENOTFOUND (none has), WEFT_EDUPLICATE (more than one: which of them others would
 *	   take can't be known), WEFT_EINVAL (no object), WEFT_EPROTO, WEFT_EMSGSIZE (deeper than
 *	   WEFT_JSON_DEPTH_MAX).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_get(weft_json *out, weft_json object, const char *name);
/* The member of a member ...: names[0] of value, names[1] of that, and so on.
 * Errors: as weft_json_get; WEFT_ENOTFOUND also where one on the way is no object. */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_get_path(
	weft_json *out, weft_json value, const char *const *names, unsigned count);

/* Through the members of an object or the elements of an array, in their order:
 *
 *	weft_json_iter iter = weft_json_iter_of(array);
 *	while (!(err = weft_json_next(&iter, NULL, &value)))
 *		...
 *	if (err == WEFT_ENOTFOUND) { all were seen }
 */
typedef struct weft_json_iter {
	weft_json rest; /* its own */
	int state;	/* its own */
} weft_json_iter;
WEFT_API weft_json_iter weft_json_iter_of(weft_json value);
/* name, a string with its quotes, may be NULL; for an element it is no value.
 * Errors: WEFT_ENOTFOUND (no more; also of what is neither object nor array), WEFT_EPROTO,
 *	   WEFT_EMSGSIZE. After any of them there are no more. */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_next(
	weft_json_iter *iter, weft_json *name, weft_json *value);

/* ---- strings ---- */

/* The text of a string that has no escapes, where it lies. Errors: WEFT_EINVAL (no string),
 * WEFT_ENOTFOUND (it has escapes: decode it). */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_string_view(
	weft_json string, const char **text, size_t *len);
/*
 * The text of a string, escapes decoded to UTF-8, into size bytes at to, without a NUL behind
 * it; it may hold NULs. It never has more bytes than the value. A surrogate without its other half
 * becomes U+FFFD.
 * Errors: WEFT_EINVAL (no string), WEFT_EPROTO (a wrong escape), WEFT_EMSGSIZE (does not fit;
 *	   what to points to is unspecified).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_string_decode(
	weft_json string, char *to, size_t size, size_t *len);
/* True when value is a string that reads so once its escapes are decoded. */
WEFT_API bool weft_json_string_is(weft_json value, const char *text);
/* The same for a text of len bytes, which may hold NULs. */
WEFT_API bool weft_json_string_is_bytes(weft_json value, const char *text, size_t len);

/*
 * A string of text, with quotes and escapes: '"', '\' and what is below U+0020 are escaped. What of
 * text is not UTF-8 becomes U+FFFD, so that what is written always is.
 */
/* Bytes that it has: at most 6 * len + 2. */
WEFT_API size_t weft_json_string_size(const char *text, size_t len);
/* Into size bytes at to. Errors: WEFT_EMSGSIZE (does not fit; nothing was written). */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_string_encode(
	const char *text, size_t len, char *to, size_t size, size_t *written);

/* ---- numbers ---- */

/* A number without fraction and exponent that int64_t can hold. Errors: WEFT_EINVAL. */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_integer(weft_json value, int64_t *out);
#define WEFT_JSON_INTEGER_SIZE 20 /* bytes of the longest */
/* A number as a value: its text is in to, which has WEFT_JSON_INTEGER_SIZE bytes. */
WEFT_API weft_json weft_json_of_integer(int64_t number, char *to);

/* ---- changes to a text ---- */

/* In place: each CR and LF between the values of a JSON text becomes a blank; there are none
 * within strings. For peers that take one message a line. Returns how many there were. */
WEFT_API size_t weft_json_to_one_line(char *text, size_t len);

/*
 * Other values in the place of some, nothing else touched: ids and tokens that are rewritten on the
 * way. Each old is a span within the text; they don't overlap; in any order. An edit whose old is
 * no value is passed over. Putting the old values back gives the very bytes there were.
 */
typedef struct weft_json_edit {
	weft_json old;
	weft_json value;
} weft_json_edit;
#define WEFT_JSON_EDITS_MAX 8

/*
 * Where the text lies: blanks fill up what is left of each old. Without a copy of anything else,
 * and the text keeps its length. The new values lie elsewhere.
 * Errors: WEFT_EMSGSIZE (a value is longer than its old: nothing was written), WEFT_EINVAL (more
 *	   than WEFT_JSON_EDITS_MAX, an old outside of the text, two that overlap).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_edit_in_place(
	char *text, size_t len, const weft_json_edit *edits, unsigned count);
/* Bytes that the changed text has. Errors: WEFT_EINVAL as above. */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_edit_size(
	weft_json text, const weft_json_edit *edits, unsigned count, size_t *size);
/* Into size bytes at to, elsewhere. Errors: WEFT_EINVAL, WEFT_EMSGSIZE (does not fit; nothing was
 * written). */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_edit_write(weft_json text, const weft_json_edit *edits,
	unsigned count, char *to, size_t size, size_t *written);
/* Into a new buffer, pool NULL: plain memory. Errors: also those of weft_buf_alloc. */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_edit_buf(weft_buf *out, weft_buf_pool *pool,
	weft_json text, const weft_json_edit *edits, unsigned count);
#define WEFT_JSON_EDIT_IOV_MAX (2 * WEFT_JSON_EDITS_MAX + 1)
/* As pieces of the text and of the values, to be written one behind the other: no copy at all. iov
 * has WEFT_JSON_EDIT_IOV_MAX entries, of which *iov_count are set; what is empty is left out. */
WEFT_API WEFT_MUST_CHECK weft_err weft_json_edit_iov(weft_json text, const weft_json_edit *edits,
	unsigned count, struct iovec *iov, unsigned *iov_count);

WEFT_END_DECLS
#endif
