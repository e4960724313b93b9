/* SPDX-License-Identifier: MIT */
#include "support/muxtalk.h"

#include "support/both.h"
#include "support/muxcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define IN_VAIN_NS (20000 * MS)
#define IN_VAIN_MAX 30 /* such waits without a byte, where nothing is in the way */
#define IDLE_MAX_NS (3000 * MS)
#define IDLE_ROUNDED_NS (2 * MS) /* its time-outs and times are in whole ms */
#define SHORT_MAX 40		 /* bytes */

/* One end's program of one stream. */
struct talk {
	struct talks *all;
	unsigned end;
	uint32_t id;
	weft_stream *stream;
	struct talk_ledger *ledger;
	struct talk_end *mine, *theirs;
	/* the plan */
	size_t bytes;	   /* to write */
	size_t leave_at;   /* bytes to read, then to close; SIZE_MAX: all */
	bool closes;	   /* after it wrote, instead of shutting down */
	bool interrupts;   /* it is shut down or closed in the middle */
	int64_t late_ns;   /* before the first read */
	uint8_t *out, *in; /* piece_max bytes */
	/* what happened */
	bool closed, shut; /* here */
	bool write_done, read_done;
	unsigned no_memory; /* calls that failed for want of it, one after the other */
	unsigned in_vain;   /* writes that waited for long, the same */
};

#define NO_MEMORY_MAX 10 /* then the stream has lost something for good */

static uint64_t below(uint64_t bound)
{
	return weft_sim_random_below(bound);
}

/* ---- bytes ---- */

/* Eight at a time: which depends on who writes them, to which stream, and where. */
static uint64_t pattern_word(const struct talk *t, unsigned writer, uint64_t at)
{
	uint64_t x =
		at / 8 + t->all->key * 7700001 + t->id * UINT64_C(103100001) + writer * 51700001;

	x *= UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 31;
}

/* Of that word, from at on; at most as many as len. */
static size_t pattern_part(
	const struct talk *t, unsigned writer, uint64_t at, size_t len, uint8_t out[8])
{
	uint64_t word = pattern_word(t, writer, at) >> at % 8 * 8;
	size_t n = 8 - (size_t)(at % 8);

	memcpy(out, &word, sizeof(word));
	return n < len ? n : len;
}

static void pattern_fill(const struct talk *t, uint64_t at, uint8_t *data, size_t len)
{
	size_t n;

	for (; len > 0; data += n, at += n, len -= n) {
		uint8_t part[8];

		n = pattern_part(t, t->end, at, len, part);
		if (n == 8)
			memcpy(data, part, 8);
		else
			for (size_t i = 0; i < n; i++)
				data[i] = part[i];
	}
}

static bool pattern_holds(const struct talk *t, uint64_t at, const uint8_t *data, size_t len)
{
	size_t n;

	for (; len > 0; data += n, at += n, len -= n) {
		uint8_t part[8];

		n = pattern_part(t, !t->end, at, len, part);
		if (n == 8 ? memcmp(data, part, 8) != 0 : memcmp(data, part, n) != 0)
			return false;
	}
	return true;
}

/* ---- errors ---- */

static bool may_fail(const struct talks *talks, unsigned end, weft_err err)
{
	if (err == WEFT_ERESET)
		return talks->faults || talks->versions_differ || talks->closing[0] ||
			talks->closing[1];
	if (err == WEFT_EPROTO)
		return talks->versions_differ;
	if (err == WEFT_ECLOSED)
		return talks->closing[end] || talks->draining[end];
	if (err == WEFT_ENOMEM)
		return talks->memory_fails;
	if (err == WEFT_ETIMEDOUT)
		return talks->faults || weft_now() < talks->until;
	return err == WEFT_ECANCELED;
}

void talks_may_fail(const struct talks *talks, unsigned end, weft_err err)
{
	char text[512];

	if (may_fail(talks, end, err))
		return;
	snprintf(text, sizeof(text), "no reason for %s (%s)", weft_err_name(err),
		weft_error_detail());
	both_failed(__FILE__, __LINE__, text);
}

weft_deadline talks_until(const struct talks *talks)
{
	weft_deadline near;

	if (below(8) != 0)
		return talks->until;
	near = below(3) ? weft_after_ns((int64_t)below(20 * MS)) : WEFT_NOW;
	return near < talks->until ? near : talks->until;
}

/* Now; or, when a call failed on the way, some time since it began: perhaps after its stream. */
static void has_moved(struct talk *t, weft_err err)
{
	t->mine->moved_at = weft_now();
	if (!err)
		mux_check_moved(t->all->checks[t->end], t->id, t->mine->moved_at);
}

/*
 * A call that began at since failed with that. Was it the idle time-out, and rightly? A call that
 * had to wait for its error has it at the very moment; else it is older. What moves at the same
 * moment may do so after.
 */
static bool is_idle_end(const struct talk *t, weft_err err, int64_t since)
{
	struct mux_check_came came = mux_check_came(t->all->checks[t->end], t->id);
	int64_t now = weft_now(), moved = came.moved < now ? came.moved : came.moved_before;

	if (err != WEFT_ERESET || !strstr(weft_error_detail(), ": idle for "))
		return false;
	want(t->mine->idle_ns > 0);
	want(now == since || now - moved >= t->mine->idle_ns - IDLE_ROUNDED_NS);
	return true;
}

/* A call's time has run out. */
static void look_late(const struct talk *t)
{
	int64_t idle_ns = t->mine->idle_ns, late_ns = t->all->idle_late_ns[t->end];
	int64_t moved = mux_check_came(t->all->checks[t->end], t->id).moved;

	if (moved < t->mine->moved_at)
		moved = t->mine->moved_at;
	if (idle_ns > 0 && late_ns > 0 && !t->closed && !t->all->closing[t->end])
		want(weft_now() - moved <= idle_ns + late_ns + IDLE_ROUNDED_NS);
}

/* True when the time-out was the session's: it gives up. */
static bool is_late(const struct talks *talks, weft_err err)
{
	return err == WEFT_ETIMEDOUT && weft_now() >= talks->until;
}

static void close_here(struct talk *t)
{
	t->mine->ending = t->mine->closed = true;
	mux_check_idle(t->all->checks[t->end], t->id, 0);
	t->closed = true;
	weft_stream_close(t->stream);
}

static void shut_here(struct talk *t)
{
	weft_err err;

	t->mine->ending = true;
	mux_check_idle(t->all->checks[t->end], t->id, 0);
	t->shut = true;
	err = weft_stream_shutdown(t->stream);
	if (err)
		talks_may_fail(t->all, t->end, err);
}

/* What became of a call that began at since; true when there is no use in another one. */
static bool is_over(struct talk *t, weft_err err, int64_t since)
{
	if (err != WEFT_ENOMEM)
		t->no_memory = 0;
	if (!err)
		return false;
	if (err == WEFT_ECLOSED && (t->closed || t->shut))
		return true;
	if (is_idle_end(t, err, since))
		return true;
	if (err == WEFT_ETIMEDOUT)
		look_late(t);
	talks_may_fail(t->all, t->end, err);
	if (is_late(t->all, err) || (err == WEFT_ENOMEM && ++t->no_memory == NO_MEMORY_MAX))
		close_here(t);
	return err != WEFT_ETIMEDOUT && err != WEFT_ECANCELED && err != WEFT_ENOMEM;
}

/* ---- writing ---- */

/* Small ones mostly; large ones are not copied. */
static size_t piece(const struct talks *all)
{
	return 1 +
		(size_t)below(
			below(3) ? (all->piece_max < 200 ? all->piece_max : 200) : all->piece_max);
}

/* The end that is to read it has gone. */
static bool is_in_vain(const struct talk *t)
{
	return t->theirs->closed || (t->mine->saw_end && !t->theirs->there);
}

static weft_deadline write_until(const struct talk *t)
{
	weft_deadline until = talks_until(t->all);

	return t->all->windows && until == WEFT_FOREVER ? weft_after_ns(IN_VAIN_NS) : until;
}

/*
 * What the stream's numbers say after a write: how it waited for its window. Nobody may wait for
 * one that was there already, or, where nothing is in the way, for one that never comes.
 */
static void look_at_write(
	struct talk *t, weft_err err, size_t written, uint64_t stalled_ns, int64_t since)
{
	int64_t told = mux_check_came(t->all->checks[t->end], t->id).upd;
	int64_t now = weft_now(), in_ms = 2 * MS;
	weft_stream_stats stats;

	weft_stream_stats_get(t->stream, &stats);
	want(stats.bytes_out == t->mine->written);
	if (err != WEFT_ETIMEDOUT || written > 0 || is_in_vain(t)) {
		t->in_vain = 0;
		return;
	}
	if ((int64_t)(stats.stalled_window_ns - stalled_ns) + in_ms > now - since)
		want(stats.window_out == 0 || told <= since || told + in_ms >= now);
	if (t->all->windows && now - since >= IN_VAIN_NS && !t->all->faults)
		want(++t->in_vain < IN_VAIN_MAX);
}

static weft_err write_piece(struct talk *t, size_t size)
{
	size_t first = (size_t)below(size + 1), written = size + 1;
	int64_t since = weft_now();
	struct iovec iov[3] = { { t->out, first }, { t->out, 0 },
		{ t->out + first, size - first } };
	weft_deadline until = write_until(t);
	weft_stream_stats stats;
	weft_err err;

	weft_stream_stats_get(t->stream, &stats);
	pattern_fill(t, t->mine->written, t->out, size);
	t->mine->begun = t->mine->written + size;
	if (below(3))
		err = weft_stream_write(t->stream, t->out, size, &written, until);
	else
		err = weft_stream_writev(t->stream, iov, 3, &written, until);
	want(written <= size);
	want(err || written == size);
	t->mine->written += written;
	if (written > 0)
		has_moved(t, err);
	memset(t->out, 0xdb, size); /* nobody may look at it any more */
	look_at_write(t, err, written, stats.stalled_window_ns, since);
	return err;
}

static weft_err write_half(void *arg)
{
	struct talk *t = arg;
	weft_err err = WEFT_OK;

	while (t->mine->written < t->bytes) {
		size_t size = piece(t->all), rest = t->bytes - (size_t)t->mine->written;
		int64_t since = weft_now();

		err = write_piece(t, size < rest ? size : rest);
		if (is_over(t, err, since)) {
			t->write_done = true;
			return WEFT_OK;
		}
		if (err == WEFT_ECANCELED)
			return WEFT_OK;
		if (err == WEFT_ETIMEDOUT && is_in_vain(t))
			break;
		if (err || below(4) == 0)
			both_pause();
		if (below(16) == 0)
			want_ok(weft_stream_weight(t->stream, 1 + (unsigned)below(64)));
	}
	if (t->closes)
		close_here(t);
	else
		shut_here(t);
	t->write_done = true;
	return WEFT_OK;
}

/* All in one, without a pause: beside others of its kind it has its turns by weight. */
static weft_err write_bulk(void *arg)
{
	struct talk *t = arg;
	int64_t since = weft_now();
	size_t written = 0;
	weft_err err;

	pattern_fill(t, 0, t->out, t->bytes);
	t->mine->begun = t->bytes;
	mux_check_busy(t->all->checks[t->end], t->id, t->ledger->weight, t->bytes);
	err = weft_stream_write(t->stream, t->out, t->bytes, &written, t->all->until);
	mux_check_calm(t->all->checks[t->end], t->id);
	t->mine->written = written;
	if (written > 0)
		has_moved(t, err);
	if (!is_over(t, err, since) && !t->closed)
		shut_here(t);
	t->write_done = true;
	return WEFT_OK;
}

/* ---- reading ---- */

static void check_bytes(const struct talk *t, const uint8_t *data, size_t len)
{
	want(t->mine->read + len <= t->theirs->begun);
	want(pattern_holds(t, t->mine->read, data, len));
}

static weft_err read_copy(struct talk *t, size_t size, size_t *got)
{
	size_t first = (size_t)below(size + 1);
	struct iovec iov[2] = { { t->in, first }, { t->in + first, size - first } };
	weft_deadline until = talks_until(t->all);
	weft_err err;

	if (below(3))
		err = weft_stream_read(t->stream, t->in, size, got, until);
	else
		err = weft_stream_readv(t->stream, iov, 2, got, until);
	if (err)
		return err;
	has_moved(t, err);
	want(*got >= 1 && *got <= size);
	check_bytes(t, t->in, *got);
	return WEFT_OK;
}

/* The bytes must stay while they are held, whatever else comes. */
static weft_err read_slice(struct talk *t, size_t size, size_t *got)
{
	weft_buf buf = WEFT_BUF_EMPTY, part;
	weft_err err;

	if (below(2))
		size = 0;
	err = weft_stream_read_buf(t->stream, &buf, size, talks_until(t->all));
	if (err)
		return err;
	has_moved(t, err);
	want(buf.len >= 1 && (size == 0 || buf.len <= size));
	*got = buf.len;
	part = weft_buf_slice(&buf, 0, buf.len);
	weft_buf_unref(&buf);
	if (below(4) == 0)
		both_sleep_ns((int64_t)below(20 * MS));
	check_bytes(t, part.data, part.len);
	weft_buf_unref(&part);
	return WEFT_OK;
}

/* What the stream's numbers say after a read. */
static void look_at_read(struct talk *t, weft_err err, int64_t since)
{
	struct mux_check_came came = mux_check_came(t->all->checks[t->end], t->id);
	weft_stream_stats stats;

	weft_stream_stats_get(t->stream, &stats);
	want(stats.bytes_in >= t->mine->read);
	want(t->closed || t->all->memory_fails || stats.unread == stats.bytes_in - t->mine->read);
	/* it waited, and what it waited for came before */
	if (err == WEFT_ETIMEDOUT && weft_now() > since && !t->closed)
		want((stats.unread == 0 || came.data >= weft_now()) &&
			(came.fin == 0 || came.fin >= weft_now()));
}

static bool is_end(const struct talk *t, weft_err err)
{
	return err == WEFT_ECLOSED && !t->closed && !t->all->closing[t->end];
}

/* The ledgers are compared when both ends are done. */
static void see_end(struct talk *t)
{
	size_t got;

	want(!t->all->versions_differ);
	want(!t->theirs->there || t->theirs->ending || t->all->closing[!t->end] ||
		t->theirs->idle_ns > 0);
	t->mine->saw_end = true;
	if (below(4) == 0)
		want(weft_stream_read(t->stream, t->in, 1, &got, WEFT_NOW) != WEFT_OK);
}

static weft_err read_half(void *arg)
{
	struct talk *t = arg;
	size_t got = 0;

	both_sleep_ns(t->late_ns);
	t->late_ns = 0;
	while (!t->read_done) {
		size_t size = piece(t->all);
		int64_t since = weft_now();
		weft_err err = below(3) ? read_copy(t, size, &got) : read_slice(t, size, &got);

		if (!err)
			t->mine->read += got;
		look_at_read(t, err, since);
		if (err == WEFT_ECANCELED)
			return WEFT_OK;
		if (is_end(t, err)) {
			see_end(t);
			t->read_done = true;
		} else if (is_over(t, err, since)) {
			t->read_done = true;
		} else if (t->mine->read >= t->leave_at) {
			close_here(t);
			t->read_done = true;
		} else if (err || below(5) == 0) {
			both_pause();
		} else if (below(100) == 0) {
			both_sleep_ns((int64_t)below(300 * MS));
		}
	}
	return WEFT_OK;
}

/* ---- both ---- */

weft_err talks_spawn(weft_scope *scope, const char *name, weft_fiber_fn fn, void *arg)
{
	weft_err err;

	do
		err = weft_scope_spawn(scope, name, fn, arg);
	while (err == WEFT_ENOMEM);
	want(err == WEFT_OK || err == WEFT_ECANCELED);
	return err;
}

weft_scope *talks_scope(void)
{
	weft_scope *scope = NULL;
	weft_err err;

	do
		err = weft_scope_create(&scope);
	while (err == WEFT_ENOMEM);
	want_ok(err);
	return scope;
}

void talks_stints(const char *name, weft_fiber_fn fn, void *arg, const bool *done)
{
	weft_err err = WEFT_OK;

	while (!*done && below(5) == 0) {
		weft_scope *scope = talks_scope();

		err = talks_spawn(scope, name, fn, arg);
		if (!err)
			err = weft_scope_wait(scope, weft_after_ns((int64_t)below(30 * MS)));
		weft_scope_free(scope);
		if (err == WEFT_ECANCELED) /* its node has crashed */
			return;
		want(err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_ENOMEM);
	}
	if (!*done)
		(void)fn(arg);
}

static weft_err write_stints(void *arg)
{
	struct talk *t = arg;

	talks_stints("writes a while", write_half, t, &t->write_done);
	return WEFT_OK;
}

static weft_err read_stints(void *arg)
{
	struct talk *t = arg;

	talks_stints("reads a while", read_half, t, &t->read_done);
	return WEFT_OK;
}

static weft_err interrupt(void *arg)
{
	struct talk *t = arg;

	both_sleep_ns((int64_t)below(60 * MS));
	if (below(2))
		shut_here(t);
	else
		close_here(t);
	return WEFT_OK;
}

/* This end does, of that id. */
static bool opens(const struct talk *t)
{
	return t->end == (t->id % 2 == t->all->odd);
}

static void make_plan(struct talk *t)
{
	const struct talks *all = t->all;
	size_t few = all->bytes_max < 3000 ? all->bytes_max : 3000;

	t->bytes = (size_t)below(1 + (below(3) ? few : all->bytes_max));
	if (below(12) == 0)
		t->bytes = 0;
	t->leave_at = below(8) ? SIZE_MAX : (size_t)below(all->bytes_max);
	t->closes = below(6) == 0;
	t->interrupts = below(8) == 0;
	t->late_ns = below(4) ? 0 : (int64_t)below(500 * MS);
	if (t->ledger->kind == TALK_BULK) {
		t->bytes = opens(t) ? t->ledger->bulk * t->ledger->weight : 0;
		t->leave_at = SIZE_MAX;
		t->closes = t->interrupts = false;
	}
	t->out = malloc(t->bytes > all->piece_max ? t->bytes : all->piece_max);
	t->in = malloc(all->piece_max);
	want(t->out && t->in);
	if (below(10) == 0 && t->ledger->kind != TALK_BULK)
		want_ok(weft_stream_weight(t->stream, 1 + (unsigned)below(64)));
	if (below(20) == 0) {
		/* not 0 in place of the session's: that may have ended it already */
		if (t->mine->idle_ns > 0 || below(4))
			t->mine->idle_ns = MS + (int64_t)below(IDLE_MAX_NS);
		want_ok(weft_stream_idle_timeout(t->stream, t->mine->idle_ns));
		if (!t->mine->ending)
			mux_check_idle(t->all->checks[t->end], t->id, t->mine->idle_ns);
	}
}

static void talk_init(struct talk *t, struct talks *talks, unsigned end, weft_stream *stream)
{
	*t = (struct talk){ .all = talks, .end = end, .stream = stream };
	t->id = weft_stream_id(stream);
	want(t->id / 2 < TALKS_STREAMS_MAX);
	t->ledger = &talks->streams[t->id % 2][t->id / 2];
	t->mine = &t->ledger->ends[end];
	t->theirs = &t->ledger->ends[!end];
}

/* First of all. */
static void talk_begin(struct talk *t)
{
	want(!t->mine->there);
	t->mine->there = true;
	t->mine->idle_ns = t->all->idle_ns[t->end];
	mux_check_idle(t->all->checks[t->end], t->id, t->mine->idle_ns);
}

static void talk_end(struct talk *t)
{
	weft_sim_note(t->mine->read);
	t->mine->ending = t->mine->closed = true;
	mux_check_idle(t->all->checks[t->end], t->id, 0);
	if (below(2))
		close_here(t);
	weft_stream_free(t->stream);
}

void talks_opened(struct talks *talks, weft_stream *stream, enum talk_kind kind, size_t bulk)
{
	static const unsigned weights[] = { 1, 2, 3, TALKS_WEIGHT_MAX };
	struct talk t;

	talk_init(&t, talks, weft_stream_id(stream) % 2 == talks->odd, stream);
	has_moved(&t, WEFT_OK);
	t.ledger->kind = kind;
	t.ledger->weight = weights[below(4)];
	t.ledger->bulk = bulk;
	if (kind == TALK_BULK)
		want_ok(weft_stream_weight(stream, t.ledger->weight));
}

enum talk_kind talks_kind(const struct talks *talks, const weft_stream *stream)
{
	uint32_t id = weft_stream_id(stream);

	return talks->streams[id % 2][id / 2].kind;
}

void talks_stream(struct talks *talks, unsigned end, weft_stream *stream)
{
	weft_scope *scope;
	struct talk t;

	talk_init(&t, talks, end, stream);
	talk_begin(&t);
	make_plan(&t);
	scope = talks_scope();
	(void)talks_spawn(scope, "reads", read_stints, &t);
	(void)talks_spawn(scope, "writes",
		t.ledger->kind == TALK_BULK && t.bytes > 0 ? write_bulk : write_stints, &t);
	if (t.interrupts)
		(void)talks_spawn(scope, "interrupts", interrupt, &t);
	while (weft_scope_wait(scope, WEFT_FOREVER) == WEFT_ENOMEM)
		;
	weft_scope_free(scope);
	talk_end(&t);
	free(t.out);
	free(t.in);
}

/* ---- short ones ---- */

void talks_short_begin(struct talks *talks, unsigned end, weft_stream *stream)
{
	uint8_t out[SHORT_MAX];
	int64_t since = weft_now();
	weft_err err = WEFT_OK;
	struct talk t;

	talk_init(&t, talks, end, stream);
	talk_begin(&t);
	t.out = out;
	if (below(8))
		err = write_piece(&t, 1 + (size_t)below(SHORT_MAX));
	if (!is_over(&t, err, since) && !t.closed)
		shut_here(&t);
}

void talks_short_end(struct talks *talks, unsigned end, weft_stream *stream)
{
	uint8_t in[SHORT_MAX];
	size_t got = 0;
	struct talk t;
	bool is_done = false;

	talk_init(&t, talks, end, stream);
	t.in = in;
	t.shut = true;
	while (!is_done) {
		int64_t since = weft_now();
		weft_err err = read_copy(&t, SHORT_MAX, &got);

		if (!err)
			t.mine->read += got;
		look_at_read(&t, err, since);
		if (is_end(&t, err)) {
			see_end(&t);
			is_done = true;
		} else {
			is_done = is_over(&t, err, since) || err == WEFT_ECANCELED;
		}
	}
	talk_end(&t);
}

/* ---- all ---- */

unsigned talks_open(const struct talks *talks, unsigned end)
{
	unsigned open = 0;

	for (unsigned parity = 0; parity < 2; parity++) {
		for (unsigned i = 0; i < TALKS_STREAMS_MAX; i++) {
			const struct talk_end *e = &talks->streams[parity][i].ends[end];

			open += e->there && !e->closed;
		}
	}
	return open;
}

static void compare_end(const struct talk_end *reader, const struct talk_end *writer)
{
	want(reader->read <= writer->begun);
	/* one that ends for idleness may have small writes that did not go yet */
	if (reader->saw_end)
		want(reader->read == writer->written ||
			(writer->idle_ns > 0 && reader->read <= writer->written));
}

void talks_compare(const struct talks *talks)
{
	for (unsigned parity = 0; parity < 2; parity++) {
		for (unsigned i = 0; i < TALKS_STREAMS_MAX; i++) {
			const struct talk_ledger *l = &talks->streams[parity][i];

			compare_end(&l->ends[0], &l->ends[1]);
			compare_end(&l->ends[1], &l->ends[0]);
		}
	}
}
