/* SPDX-License-Identifier: MIT */
/*
 * The reader of a transport with a message a line: see lines.c for what it costs.
 *
 * Bytes are read into a little memory of the reader's own, and into a block of the pool once they
 * don't fit there. A line that goes beyond its block moves to one of twice the size, up to what a
 * message may have; one that has most of its block in the end keeps it. A line beyond the limit is
 * passed over as it comes, but for its beginning.
 */
#include "base/err.h"
#include "bridge/lines.h"
#include "bridge/message.h"
#include "rt/rt.h"

#include <stdio.h>
#include <string.h>

#define LITTLE_SIZE ((size_t)1024) /* the reader's own memory */
#define HEADROOM ((size_t)64)	   /* before the bytes in a block: for ids that are rewritten */
#define BLOCK_SIZE ((size_t)8192 - HEADROOM) /* of the pool, at first */
#define HOT_NS INT64_C(200000000)	     /* that a block is kept without a byte */
#define TAKE_MIN ((size_t)2048)		     /* a message below that is always copied */
#define TURN_BYTES ((size_t)512 * 1024)	     /* read before others get a turn */
#define TURN_MESSAGES 256		     /* the same */
#define MEMORY_WAIT_NS INT64_C(10000000)     /* before memory is asked for again */
#define MEMORY_WAITS_MAX 100		     /* one after the other; then the transport is lost */

struct reader {
	struct lines *lines;
	weft_json_limits limits;
	weft_buf_pool *pool;
	weft_buf block; /* empty: bytes are in little */
	char *bytes;
	size_t cap;	   /* of bytes */
	size_t begin, end; /* of what came and was not taken */
	size_t seen;	   /* bytes from begin on that hold no line end */
	size_t turn_bytes;
	unsigned turn_messages;
	bool is_skipping;  /* within a line that is too large, of which there are: */
	bool skips_blanks; /* nothing else so far */
	weft_buf head;
	weft_jsonrpc_skim skim;
	char little[LITTLE_SIZE];
};

static void cool(struct reader *r)
{
	weft_buf_unref(&r->block);
	r->bytes = r->little;
	r->cap = sizeof(r->little);
	r->begin = r->end = r->seen = 0;
}

/* There was none. A bound on what messages have (live_max of the pool) makes who reads them wait
 * for who has them. True: to be tried again. */
static bool await_memory(weft_err err, unsigned *waits)
{
	if ((err != WEFT_ENOMEM && err != WEFT_ECAPACITY) || ++*waits > MEMORY_WAITS_MAX)
		return false;
	return weft_sleep_ns(MEMORY_WAIT_NS) == WEFT_OK;
}

static weft_err alloc(struct reader *r, weft_buf *out, size_t size)
{
	unsigned waits = 0;
	weft_err err;

	do {
		err = weft_buf_alloc(out, r->pool, size);
	} while (await_memory(err, &waits));
	return err;
}

/* A block for size bytes, with what was not taken yet. */
static void use_block(struct reader *r, weft_buf block, size_t size)
{
	memcpy(block.data + HEADROOM, r->bytes + r->begin, r->end - r->begin);
	weft_buf_unref(&r->block);
	r->block = block;
	r->bytes = (char *)block.data + HEADROOM;
	r->cap = size;
	r->end -= r->begin;
	r->begin = 0;
}

static weft_err move_to_block(struct reader *r, size_t size)
{
	weft_buf block;
	weft_err err = alloc(r, &block, HEADROOM + size);

	if (!err)
		use_block(r, block, size);
	return err;
}

/* More comes than the reader's own memory has room for: a block, if there is one. */
static void warm(struct reader *r)
{
	weft_buf block;

	if (!weft_buf_alloc(&block, r->pool, HEADROOM + BLOCK_SIZE))
		use_block(r, block, BLOCK_SIZE);
}

/* The most bytes of a line that is not too large, its end included. */
static size_t line_max(const struct reader *r)
{
	return r->limits.size_max + 2;
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	}
	return true;
}

/* len more bytes of a line that is too large. */
static void skip(struct reader *r, size_t len)
{
	const char *bytes = r->bytes + r->begin;

	r->skips_blanks = r->skips_blanks && is_blank(bytes, len);
	weft_jsonrpc_skim_bytes(&r->skim, bytes, len);
}

static void skip_all(struct reader *r)
{
	skip(r, r->end - r->begin);
	r->begin = r->end = r->seen = 0;
}

/* The line is too large: its beginning is kept, the rest passed over. */
static weft_err begin_skipping(struct reader *r)
{
	size_t len = r->end - r->begin;
	weft_err err;

	if (len > MESSAGE_BEGINNING_MAX)
		len = MESSAGE_BEGINNING_MAX;
	err = alloc(r, &r->head, len);
	if (err)
		return err;
	memcpy(r->head.data, r->bytes + r->begin, len);
	r->is_skipping = true;
	r->skips_blanks = true;
	weft_jsonrpc_skim_init(&r->skim);
	skip_all(r);
	if (r->cap > BLOCK_SIZE)
		cool(r);
	return WEFT_OK;
}

/* For at least a byte. */
static weft_err make_room(struct reader *r)
{
	size_t len = r->end - r->begin, max = line_max(r), size;
	weft_err err;

	if (len == 0)
		r->begin = r->end = 0;
	if (r->end < r->cap)
		return WEFT_OK;
	if (len >= max)
		return begin_skipping(r);
	if (len <= r->cap / 2) {
		memmove(r->bytes, r->bytes + r->begin, len);
		r->end = len;
		r->begin = 0;
		return WEFT_OK;
	}
	size = r->cap * 2 < BLOCK_SIZE ? BLOCK_SIZE : r->cap * 2;
	if (size > max && max > BLOCK_SIZE)
		size = max;
	err = move_to_block(r, size);
	/* what there is no memory for is too large, too */
	return err == WEFT_ENOMEM || err == WEFT_ECAPACITY ? begin_skipping(r) : err;
}

static weft_err read_more(struct reader *r)
{
	bool is_idle, is_hot;
	size_t got = 0;
	weft_err err = make_room(r);

	while (!err) {
		is_idle = r->begin == r->end && !r->is_skipping;
		is_hot = is_idle && r->block.data;
		err = weft_conn_read(r->lines->conn, r->bytes + r->end, r->cap - r->end, &got,
			is_hot ? weft_after_ns(HOT_NS) : WEFT_FOREVER);
		if (err != WEFT_ETIMEDOUT)
			break;
		cool(r);
		err = WEFT_OK;
	}
	if (err)
		return err;
	r->end += got;
	r->turn_bytes += got;
	if (r->end == sizeof(r->little) && !r->block.data)
		warm(r);
	return WEFT_OK;
}

static void deliver(struct reader *r, weft_message *message)
{
	r->turn_messages++;
	weft_transport_deliver_own(r->lines->transport, message);
}

/* The block itself becomes the message's; what is behind it moves on. */
static weft_err take_block(struct reader *r, size_t len, size_t taken, weft_message *out)
{
	weft_buf text = weft_buf_ref(&r->block);
	weft_err err = WEFT_OK;

	text.data += HEADROOM + r->begin;
	text.len = len;
	r->begin += taken;
	if (r->begin < r->end)
		err = move_to_block(
			r, r->end - r->begin > BLOCK_SIZE ? r->end - r->begin : BLOCK_SIZE);
	else
		cool(r);
	if (err)
		weft_buf_unref(&text);
	else
		message_adopt(out, text, &r->limits);
	return err;
}

/* len bytes, of which taken go with it. */
static weft_err take_line(struct reader *r, size_t len, size_t taken)
{
	const char *line = r->bytes + r->begin;
	unsigned waits = 0;
	weft_message message;
	weft_err err;

	r->seen = 0;
	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (is_blank(line, len)) {
		r->begin += taken;
		return WEFT_OK;
	}
	if (len >= TAKE_MIN && len > r->cap / 2 && len <= r->limits.size_max && r->block.data) {
		err = take_block(r, len, taken, &message);
	} else {
		do {
			err = weft_message_copy(&message, r->pool, line, len, &r->limits);
		} while (await_memory(err, &waits));
		r->begin += taken;
	}
	if (!err)
		deliver(r, &message);
	return err;
}

/* A line that was too large has ended, with len bytes of those that are there. */
static weft_err take_skipped(struct reader *r, size_t len, size_t taken)
{
	unsigned waits = 0;
	weft_message message;
	weft_err err;

	skip(r, len);
	r->begin += taken;
	r->seen = 0;
	r->is_skipping = false;
	if (r->skips_blanks) {
		weft_buf_unref(&r->head);
		return WEFT_OK;
	}
	do {
		err = message_too_large(
			&message, r->pool, (char *)r->head.data, r->head.len, &r->skim);
	} while (await_memory(err, &waits));
	weft_buf_unref(&r->head);
	if (!err)
		deliver(r, &message);
	return err;
}

/* All lines that are there. */
static weft_err take_lines(struct reader *r)
{
	weft_err err = WEFT_OK;

	while (!err && r->begin + r->seen < r->end) {
		const char *line = r->bytes + r->begin;
		const char *line_end = memchr(line + r->seen, '\n', r->end - r->begin - r->seen);
		size_t len;

		if (!line_end && r->is_skipping) {
			skip_all(r);
			return WEFT_OK;
		}
		if (!line_end) {
			r->seen = r->end - r->begin;
			return WEFT_OK;
		}
		len = (size_t)(line_end - line);
		err = r->is_skipping ? take_skipped(r, len, len + 1) : take_line(r, len, len + 1);
		if (!err && (r->turn_messages >= TURN_MESSAGES || r->turn_bytes >= TURN_BYTES)) {
			r->turn_messages = 0;
			r->turn_bytes = 0;
			err = weft_yield();
		}
	}
	return err;
}

/* The stream has ended: what stands there without a line end is a line, too. */
static weft_err take_rest(struct reader *r)
{
	size_t len = r->end - r->begin;

	if (r->is_skipping)
		return take_skipped(r, len, len);
	return len > 0 ? take_line(r, len, len) : WEFT_OK;
}

/* Closed here: the peer gets what is to be sent and the end of the stream, and what it still sends
 * is read, for else it would be reset, and lose what it was sent. */
static void linger(struct reader *r)
{
	struct lines *l = r->lines;
	weft_deadline until = weft_after_ns(LINES_CLOSE_WAIT_NS);
	size_t got;

	bell_set(&l->sent_bell, rt_parker_self());
	while (!(word_get(&l->state) & (LINES_SENT | LINES_FAILED)) &&
		rt_park(until, "transport: what is to be sent") == WEFT_OK)
		;
	bell_clear(&l->sent_bell);
	if (!(word_get(&l->state) & LINES_SENT) || weft_conn_shutdown(l->conn) || l->has_no_reset)
		return;
	while (!weft_conn_read(l->conn, r->little, sizeof(r->little), &got, until))
		;
}

static void end_closed(struct reader *r)
{
	struct lines *l = r->lines;
	char detail[LINES_REASON_MAX] = "";
	weft_err err = WEFT_ECLOSED;

	weft_transport_deliver_end(l->transport, WEFT_ECLOSED, "");
	linger(r);
	weft_conn_close(l->conn);
	if (l->owner)
		l->owner->ended(l->owner_arg, true, &err, detail, sizeof(detail));
}

/* The peer has ended, or was lost. */
static void end_by_peer(struct lines *l, weft_err err, const char *why)
{
	char detail[LINES_REASON_MAX];

	if (word_get(&l->state) & LINES_FAILED) {
		err = l->send_err;
		why = l->send_text;
	}
	(void)snprintf(detail, sizeof(detail), "%s", err == WEFT_ECLOSED ? "" : why);
	if (l->owner)
		l->owner->ended(l->owner_arg, false, &err, detail, sizeof(detail));
	weft_transport_deliver_end(l->transport, err, detail);
	if (word_set_bits(&l->state, LINES_READ) & (LINES_SENT | LINES_FAILED))
		weft_conn_close(l->conn);
}

static void reader_ended(struct reader *r, weft_err err, const char *why)
{
	weft_shield_begin();
	if (word_get(&r->lines->state) & LINES_CLOSING)
		end_closed(r);
	else
		end_by_peer(r->lines, err, why);
	weft_shield_end();
}

weft_err lines_read(void *arg)
{
	struct reader r;
	char why[LINES_REASON_MAX];
	weft_err err;

	r.lines = arg;
	r.limits = transport_limits(r.lines->transport);
	r.pool = transport_options(r.lines->transport)->pool;
	r.block = r.head = (weft_buf)WEFT_BUF_EMPTY;
	r.turn_bytes = r.turn_messages = 0;
	r.is_skipping = false;
	cool(&r);
	do {
		err = read_more(&r);
		if (!err)
			err = take_lines(&r);
	} while (!err);
	(void)snprintf(why, sizeof(why), "%s", weft_error_detail());
	if (err == WEFT_ECLOSED && take_rest(&r))
		err = WEFT_ENOMEM;
	cool(&r);
	weft_buf_unref(&r.head);
	reader_ended(&r, err, why);
	return WEFT_OK;
}
