/* SPDX-License-Identifier: MIT */
#include "support/muxtalk.h"

#include "support/both.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define IN_VAIN_NS (20000 * MS)

/* One end's program of one stream. */
struct talk {
	struct talks *all;
	unsigned end;
	uint32_t id;
	weft_stream *stream;
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
};

#define NO_MEMORY_MAX 10 /* then the stream has lost something for good */

static uint64_t below(uint64_t bound)
{
	return weft_sim_random_below(bound);
}

static uint8_t pattern(const struct talk *t, unsigned writer, uint64_t at)
{
	uint64_t x = at + t->all->key * 77 + t->id * UINT64_C(1031) + writer * UINT64_C(517);

	return (uint8_t)(x * 31 + x / 251 + x / 65521);
}

static bool may_fail(const struct talks *talks, unsigned end, weft_err err)
{
	if (err == WEFT_ERESET)
		return talks->faults || talks->versions_differ || talks->closing[0] ||
			talks->closing[1];
	if (err == WEFT_EPROTO)
		return talks->versions_differ;
	if (err == WEFT_ECLOSED)
		return talks->closing[end];
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

/* True when the time-out was the session's: it gives up. */
static bool is_late(const struct talks *talks, weft_err err)
{
	return err == WEFT_ETIMEDOUT && weft_now() >= talks->until;
}

static void close_here(struct talk *t)
{
	t->mine->ending = t->mine->closed = true;
	t->closed = true;
	weft_stream_close(t->stream);
}

static void shut_here(struct talk *t)
{
	weft_err err;

	t->mine->ending = true;
	t->shut = true;
	err = weft_stream_shutdown(t->stream);
	if (err)
		talks_may_fail(t->all, t->end, err);
}

/* What became of a call; true when there is no use in another one. */
static bool is_over(struct talk *t, weft_err err)
{
	if (err != WEFT_ENOMEM)
		t->no_memory = 0;
	if (!err)
		return false;
	if (err == WEFT_ECLOSED && (t->closed || t->shut))
		return true;
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

static weft_err write_piece(struct talk *t, size_t size)
{
	size_t first = (size_t)below(size + 1), written = size + 1;
	struct iovec iov[3] = { { t->out, first }, { t->out, 0 },
		{ t->out + first, size - first } };
	weft_deadline until = write_until(t);
	weft_err err;

	for (size_t i = 0; i < size; i++)
		t->out[i] = pattern(t, t->end, t->mine->written + i);
	t->mine->begun = t->mine->written + size;
	if (below(3))
		err = weft_stream_write(t->stream, t->out, size, &written, until);
	else
		err = weft_stream_writev(t->stream, iov, 3, &written, until);
	want(written <= size);
	want(err || written == size);
	t->mine->written += written;
	memset(t->out, 0xdb, size); /* nobody may look at it any more */
	return err;
}

static weft_err write_half(void *arg)
{
	struct talk *t = arg;
	weft_err err = WEFT_OK;

	while (t->mine->written < t->bytes) {
		size_t size = piece(t->all), rest = t->bytes - (size_t)t->mine->written;

		err = write_piece(t, size < rest ? size : rest);
		if (is_over(t, err)) {
			t->write_done = true;
			return WEFT_OK;
		}
		if (err == WEFT_ECANCELED)
			return WEFT_OK;
		if (err == WEFT_ETIMEDOUT && is_in_vain(t))
			break;
		if (err || below(4) == 0)
			both_pause();
	}
	if (t->closes)
		close_here(t);
	else
		shut_here(t);
	t->write_done = true;
	return WEFT_OK;
}

/* ---- reading ---- */

static void check_bytes(const struct talk *t, const uint8_t *data, size_t len)
{
	want(t->mine->read + len <= t->theirs->begun);
	for (size_t i = 0; i < len; i++)
		want(data[i] == pattern(t, !t->end, t->mine->read + i));
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

static bool is_end(const struct talk *t, weft_err err)
{
	return err == WEFT_ECLOSED && !t->closed && !t->all->closing[t->end];
}

/* The ledgers are compared when both ends are done. */
static void see_end(struct talk *t)
{
	size_t got;

	want(!t->all->versions_differ);
	want(!t->theirs->there || t->theirs->ending || t->all->closing[!t->end]);
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
		weft_err err = below(3) ? read_copy(t, size, &got) : read_slice(t, size, &got);

		if (!err)
			t->mine->read += got;
		if (err == WEFT_ECANCELED)
			return WEFT_OK;
		if (is_end(t, err)) {
			see_end(t);
			t->read_done = true;
		} else if (is_over(t, err)) {
			t->read_done = true;
		} else if (t->mine->read >= t->leave_at) {
			close_here(t);
			t->read_done = true;
		} else if (err || below(5) == 0) {
			both_pause();
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
	t->out = malloc(all->piece_max);
	t->in = malloc(all->piece_max);
	want(t->out && t->in);
}

void talks_stream(struct talks *talks, unsigned end, weft_stream *stream)
{
	struct talk t = { .all = talks, .end = end, .stream = stream };
	struct talk_ledger *ledger;
	weft_scope *scope;

	t.id = weft_stream_id(stream);
	want(t.id / 2 < TALKS_STREAMS_MAX);
	ledger = &talks->streams[t.id % 2][t.id / 2];
	t.mine = &ledger->ends[end];
	t.theirs = &ledger->ends[!end];
	want(!t.mine->there);
	t.mine->there = true;
	make_plan(&t);
	scope = talks_scope();
	(void)talks_spawn(scope, "reads", read_stints, &t);
	(void)talks_spawn(scope, "writes", write_stints, &t);
	if (t.interrupts)
		(void)talks_spawn(scope, "interrupts", interrupt, &t);
	while (weft_scope_wait(scope, WEFT_FOREVER) == WEFT_ENOMEM)
		;
	weft_scope_free(scope);
	weft_sim_note(t.mine->read);
	t.mine->ending = t.mine->closed = true;
	if (below(2))
		close_here(&t);
	weft_stream_free(stream);
	free(t.out);
	free(t.in);
}

static void compare_end(const struct talk_end *reader, const struct talk_end *writer)
{
	want(reader->read <= writer->begun);
	if (reader->saw_end)
		want(reader->read == writer->written);
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
