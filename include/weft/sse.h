/* SPDX-License-Identifier: MIT */
#ifndef WEFT_SSE_H
#define WEFT_SSE_H

#include <weft/base.h>
#include <weft/buf.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * Server-Sent Events (text/event-stream): a parser, bytes in and events out, and a writer.
 * No I/O. The rules are those of the HTML standard, 9.2.5 "Parsing an event stream" and 9.2.6
 * "Interpreting an event stream" (html.spec.whatwg.org, server-sent-events.html).
 *
 * Threads:  a parser is one fiber's or thread's at a time; the writer has no state.
 * Blocking: never.
 */

typedef enum weft_sse_kind {
	WEFT_SSE_NONE,	  /* parser: the bytes are used up. Writer: the same as MESSAGE */
	WEFT_SSE_MESSAGE, /* an event that the standard dispatches */
	WEFT_SSE_COMMENT, /* a line that begins with ':' */
	WEFT_SSE_RETRY,	  /* the peer set the time before a reconnection */
} weft_sse_kind;

/*
 * What a parser found, or a writer is to write. All of 0 is an event without any field, so
 * that { .data = text, .data_len = strlen(text) } is a whole one.
 */
typedef struct weft_sse_event {
	weft_sse_kind kind;
	/*
	 * MESSAGE: its type, with a NUL behind it. Parser: "message" where the peer named none.
	 * Writer: NULL and "": no `event` line.
	 */
	const char *type;
	/* Bytes of type, which may hold a NUL when it comes from a peer. Writer: 0: up to the
	 * NUL. */
	size_t type_len;
	/*
	 * MESSAGE: its data, not NUL-terminated; several `data` lines come joined by LF.
	 * COMMENT: what stands behind the ':'. Writer: NULL: no `data` line at all, so that
	 * the receiver takes id and retry and dispatches nothing; data_len 0 otherwise: one
	 * empty line, which is dispatched.
	 */
	const char *data;
	size_t data_len;
	/*
	 * Parser: the last event id as it stands after this event, with a NUL behind it; ""
	 * when there is none. Writer: NULL: no `id` line; "": one that clears the id.
	 */
	const char *id;
	size_t id_len;	   /* bytes of id. Writer: 0: up to the NUL */
	bool retry_set;	   /* writer: write retry_ms. Parser: true for RETRY */
	uint64_t retry_ms; /* writer: where retry_set. Parser: RETRY; INT64_MAX at most */
} weft_sse_event;

/*
 * weft_sse_parser
 * Lifetime: one owner, from _create to _free.
 * Memory:   what of an event was not whole in the bytes given is kept until it is. It grows by
 *           need, within the limits, and what was grown beyond WEFT_SSE_KEPT_MAX goes back
 *           once the event has been looked at, so that an idle stream holds little.
 * Copies:   the data of an event of one `data` line that lies whole within the bytes given
 *           is a view of these bytes. Any other data is copied once.
 */
typedef struct weft_sse_parser weft_sse_parser;

#define WEFT_SSE_KEPT_MAX 32768 /* bytes that a parser may keep between events */

typedef struct weft_sse_options {
	/* Bytes of a line without its end, at most. 0: 10 MiB and 1 KiB. */
	size_t line_max;
	/* Bytes of an event's data at most, LF between lines and replaced bytes counted.
	 * 0: 10 MiB. */
	size_t event_max;
	/* Bytes of an id and of an event's type, each, at most; what is more of a comment is
	 * cut off. 0: 8 KiB. */
	size_t field_max;
	bool report_comments; /* WEFT_SSE_COMMENT; otherwise they are passed over */
	bool report_retry;    /* WEFT_SSE_RETRY; otherwise only weft_sse_parser_retry_ms knows */
} weft_sse_options;

#define WEFT_SSE_OPTIONS_DEFAULT       \
	{                              \
		0, 0, 0, false, false, \
	}

/* options may be NULL. Errors: WEFT_EINVAL (a limit above WEFT_BUF_SIZE_MAX), WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_sse_parser_create(
	weft_sse_parser **out, const weft_sse_options *options);
/* NULL is allowed. */
WEFT_API void weft_sse_parser_free(weft_sse_parser *parser);

/*
 * The next of what the bytes at *data hold, in their order: takes from *data and *len what
 * belongs to it. Call it until kind is WEFT_SSE_NONE: then all bytes are taken, and more are
 * needed. Bytes may come in any pieces, cut anywhere, also within a character or a CRLF; an
 * event is had as soon as the first byte of the end of its empty line is there.
 *
 *	while (!(err = weft_sse_parser_next(parser, &data, &len, &event)) && event.kind)
 *		...
 *
 * What event points to is valid until the next call for this parser, or until the bytes given
 * are gone, whichever comes first.
 *
 * The stream is decoded as the standard's "UTF-8 decode" says: a byte order mark at its very
 * beginning is dropped, and each maximal part of what is not UTF-8 becomes one U+FFFD. So what
 * comes out is always valid UTF-8. Nothing is ever an error of the protocol: what the standard
 * ignores is ignored, such as an id with a NUL, or a retry that is not all digits.
 * The end of the stream needs no call: an event that was not ended by an empty line is none.
 *
 * Errors: WEFT_EMSGSIZE (a line, an event's data, an id or a type is over its limit; the detail
 *	   says which), WEFT_ENOMEM. *event is untouched, what led there has been taken. That one
 *	   event will not be reported, and its fields other than the one at fault count as
 *	   usual; whoever wants to go on just calls again. Either is reported once an event.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_sse_parser_next(
	weft_sse_parser *parser, const uint8_t **data, size_t *len, weft_sse_event *event);

/* For another stream, after a reconnection: forgets what is unfinished, expects a byte order
 * mark again, and keeps the last event id and the retry. */
WEFT_API void weft_sse_parser_reset(weft_sse_parser *parser);

/* The last event id, to be sent as Last-Event-ID: it changes at the empty line of an event,
 * also of one without data, which is not reported. "" when there is none; it holds no CR, LF or
 * NUL. Valid until the next call of _next or _last_id_set. */
WEFT_API const char *weft_sse_parser_last_id(const weft_sse_parser *parser);
/* What was kept from an earlier parser; NULL is "". Errors: WEFT_EINVAL (a CR or LF in it),
 * WEFT_EMSGSIZE (over field_max), WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_sse_parser_last_id_set(
	weft_sse_parser *parser, const char *id);
/* The last `retry` of the peer (ms), or -1. INT64_MAX for what is larger than that. */
WEFT_API int64_t weft_sse_parser_retry_ms(const weft_sse_parser *parser);
/* Bytes of memory that the parser holds at the moment beside itself. */
WEFT_API size_t weft_sse_parser_memory(const weft_sse_parser *parser);

/*
 * The writer. MESSAGE: the lines `event`, `id`, `retry` and `data`, those that are set, and an
 * empty line. Data is split into a `data` line for each of its lines; a CR or CRLF ends a line
 * as LF does, so that the receiver has LF in its place. RETRY: that line alone. COMMENT: each
 * line of data behind a ':'. Each ends with an empty line.
 * Data is written as it is, whatever it holds; what in it is not UTF-8 the receiver replaces.
 *
 * Errors of all: WEFT_EINVAL (a CR, LF or NUL in type or id: nothing can be smuggled in; data
 * NULL with a length; an unknown kind).
 */

/* Bytes that the writer will write, in *size. */
WEFT_API WEFT_MUST_CHECK weft_err weft_sse_size(const weft_sse_event *event, size_t *size);
/* Into size bytes at to; *written says how many. No NUL is added.
 * Errors: also WEFT_EMSGSIZE (does not fit; nothing was written). */
WEFT_API WEFT_MUST_CHECK weft_err weft_sse_write(
	const weft_sse_event *event, void *to, size_t size, size_t *written);
/* Into a new buffer, pool NULL: plain memory. *out owns it.
 * Errors: also those of weft_buf_alloc; WEFT_EMSGSIZE (above WEFT_BUF_SIZE_MAX). */
WEFT_API WEFT_MUST_CHECK weft_err weft_sse_write_buf(
	weft_buf *out, weft_buf_pool *pool, const weft_sse_event *event);
/*
 * For data that need not be copied, since it has no line end in it: what goes before it, into
 * size bytes at to, and *tail, static, 2 bytes, what goes behind it. On WEFT_OK head, data and
 * tail in this order are what weft_sse_write would write.
 * Errors: also WEFT_EMSGSIZE (does not fit), WEFT_ENOTFOUND (data has more than one line, or
 *	   there is none; the kind is not MESSAGE): write it whole.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_sse_write_around(
	const weft_sse_event *event, void *to, size_t size, size_t *written, const char **tail);

WEFT_END_DECLS
#endif
