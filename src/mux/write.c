/* SPDX-License-Identifier: MIT */
/* A stream's writing half: small writes are copied to a chunk, which goes with the next
 * gather; of large ones the sender takes the bytes where they lie. */
#include "base/err.h"
#include "base/mem.h"
#include "mux/session.h"

#include <string.h>

#define NS_PER_MS 1000000
#define LOW_PART 4 /* of a window */

/* ---- the peer's window ---- */

/* How much may be sent now, at most size. Negative: the stream has failed. */
static int64_t allowance(const struct weft_stream *s, size_t size)
{
	uint64_t credit;
	int32_t inflight, window, left;

	if (s->mux->options.version < 2)
		return (int64_t)size;
	credit = word64_get(&s->credit);
	inflight = (int32_t)((uint32_t)counter_get(&s->written) - (uint32_t)(credit >> 32));
	window = (int32_t)(uint32_t)credit;
	if (inflight < 0)
		return -1;
	left = (int32_t)((uint32_t)window - (uint32_t)inflight);
	if (left <= 0)
		return 0;
	return (size_t)left < size ? left : (int64_t)size;
}

bool stream_is_writable(const struct weft_stream *s)
{
	return allowance(s, 1) != 0;
}

/*
 * The peer may have opened its window again long ago: a worker that is busy writing looks at its
 * connections when 64 fibers have run, 2 MiB later. Then the window would be used up, and the
 * connection run empty, each time. The last part of it is worth a look for each write.
 */
static bool is_running_low(const struct weft_stream *s)
{
	uint32_t window = (uint32_t)word64_peek(&s->credit);

	return mux_is_here(s->mux) && allowance(s, window) < (int64_t)(window / LOW_PART);
}

static weft_err check(struct weft_stream *s)
{
	uint32_t state = word_get(&s->state);

	if (weft_unlikely(gate_word(&s->gate) & GATE_CLOSED))
		return err_set(WEFT_ECLOSED);
	if (weft_unlikely(state & STREAM_FAILED))
		return stream_failure(s, state);
	return WEFT_OK;
}

static void count_stall(struct weft_stream *s, weft_deadline since)
{
	struct mux_counters *c = &s->mux->counters;
	uint64_t ns = (uint64_t)(weft_now() - since);

	word_put(&s->stalls_window, word_peek(&s->stalls_window) + 1);
	word_put(&s->stalled_ms, word_peek(&s->stalled_ms) + (uint32_t)(ns / NS_PER_MS));
	(void)counter_add(&c->stalls_window, 1);
	(void)counter_add(&c->stalled_window_ns, ns);
}

/* Where who waits is looked for. A poller's entry stays in the stream's own bell. */
static struct bell *bell_of(struct weft_stream *s)
{
	struct poll_entry *e = stream_poll(s);

	return e ? &e->writer : &s->writer;
}

/* A poller's writer: what opens the window from now on is an event; failures are in any case. */
static weft_err arm(struct weft_stream *s)
{
	struct poll_entry *e = stream_poll(s);

	if (weft_unlikely(e)) {
		(void)word_swap(&e->armed, 1);
		if (stream_is_writable(s)) {
			(void)word_swap(&e->armed, 0);
			return WEFT_OK;
		}
	}
	return err_set(WEFT_ETIMEDOUT);
}

static weft_err await_window(struct weft_stream *s, weft_deadline until)
{
	struct bell *bell = bell_of(s);
	weft_deadline since;
	weft_parker *parker;
	weft_err err;

	if (until == WEFT_NOW)
		return arm(s);
	parker = rt_parker_self();
	if (!parker)
		return err_set(WEFT_ENOMEM);
	since = weft_now();
	bell_set(bell, parker);
	err = check(s);
	/* who opens the window, fails or closes the stream rings after */
	while (!err && allowance(s, 1) == 0) {
		err = rt_park(until, "stream write: window");
		if (!err)
			err = check(s);
	}
	bell_clear(bell);
	count_stall(s, since);
	return err;
}

/* ---- small writes ---- */

static struct tx_chunk *chunk_with_room(struct tx_chunk *c, size_t wanted, size_t max)
{
	size_t size = TX_CHUNK_MIN, len = c ? c->len : 0;
	struct tx_chunk *larger;

	if (c && c->len + wanted <= c->room)
		return c;
	while (size < max && size < sizeof(*c) + len + wanted)
		size *= 2;
	if (c && size <= sizeof(*c) + c->room)
		return c;
	larger = mem_realloc(c, size);
	if (!larger)
		return c;
	if (!c)
		memset(larger, 0, sizeof(*larger));
	larger->room = (uint32_t)(size - sizeof(*larger));
	return larger;
}

/* A poller's writer, which has the chunk: that it was taken is an event. */
static void await_chunk(struct weft_stream *s, struct tx_chunk *c)
{
	struct poll_entry *e = stream_poll(s);

	if (!e)
		return;
	(void)word_swap(&e->armed, 1);
	c->is_awaited = true;
}

/* As much as the chunk takes; 0: it is full (then *err stays), or there is no memory. */
static size_t put_small(
	struct weft_stream *s, const uint8_t *data, size_t size, bool is_try, weft_err *err)
{
	struct tx_chunk *c = chunk_with_room(slot_take(&s->out), size, s->mux->chunk_max);
	size_t n;

	if (!c) {
		*err = WEFT_ENOMEM;
		return 0;
	}
	n = c->room - c->len;
	if (n > size)
		n = size;
	memcpy(c->data + c->len, data, n);
	c->len += (uint32_t)n;
	if (n == 0 && is_try)
		await_chunk(s, c);
	(void)slot_swap(&s->out, c);
	if (n > 0)
		tx_data(s);
	return n;
}

/* ---- large writes ---- */

/* Takes the request back; false: it is done. */
static bool withdraw(struct weft_stream *s, struct tx_request *r)
{
	unsigned spins = 0;

	while (!word_get(&r->done)) {
		if (slot_take(&s->big))
			return true;
		/* the sender has it for one call that does not wait */
		(void)rt_relax(&spins, true);
	}
	return false;
}

/* The rest of a frame needs a place when the conn takes a part of it: from the session's first large
 * write on there is one. False: no memory. */
static bool has_spill(weft_mux *m)
{
	void *spill;

	if (weft_likely(slot_look(&m->spill)))
		return true;
	spill = mem_alloc(m->options.max_frame_size);
	if (spill && !slot_offer(&m->spill, spill))
		mem_free(spill);
	return slot_look(&m->spill);
}

/* Returns how much was sent. */
static size_t put_large(
	struct weft_stream *s, const uint8_t *data, size_t size, weft_deadline until, weft_err *err)
{
	struct tx_request r = { .data = data, .left = size, .parker = rt_parker_self() };
	struct bell *bell = bell_of(s);

	if (!r.parker || !has_spill(s->mux)) {
		*err = err_set(WEFT_ENOMEM);
		return 0;
	}
	bell_set(bell, r.parker);
	(void)slot_swap(&s->big, &r);
	tx_data(s);
	*err = WEFT_OK;
	while (!*err && !word_get(&r.done)) {
		*err = check(s);
		if (!*err && !word_get(&r.done))
			*err = rt_park(until, "stream write");
	}
	bell_clear(bell);
	if (!*err || !withdraw(s, &r)) {
		*err = WEFT_OK;
		return size;
	}
	return size - r.left;
}

/* ---- all ---- */

/* A piece of it, or a wait. */
static weft_err write_some(struct weft_stream *s, const uint8_t *data, size_t size, size_t *written,
	weft_deadline until)
{
	weft_err err = check(s);
	int64_t may;

	if (err)
		return err;
	may = allowance(s, size);
	if (may < 0) {
		(void)word_set_bits(&s->state, STREAM_BAD);
		stream_kick(s);
		return stream_failure(s, STREAM_BAD);
	}
	if (may == 0)
		return await_window(s, until);
	if ((size_t)may <= TX_SMALL_MAX || until == WEFT_NOW)
		*written = put_small(s, data, (size_t)may, until == WEFT_NOW, &err);
	if (*written == 0 && until == WEFT_NOW)
		return err_set(err ? err : WEFT_ETIMEDOUT);
	if (*written > 0)
		return err;
	if (is_running_low(s))
		rt_poll_soon();
	*written = put_large(s, data, (size_t)may, until, &err);
	return err;
}

static weft_err write_all(struct weft_stream *s, const uint8_t *data, size_t size, size_t *written,
	weft_deadline until)
{
	while (size > 0) {
		size_t n = 0;
		weft_err err = write_some(s, data, size, &n, until);

		counter_own_add(&s->written, n);
		*written += n;
		data += n;
		size -= n;
		if (err == WEFT_ETIMEDOUT && until != WEFT_NOW && stream_poll(s))
			until = WEFT_NOW; /* as a try it makes sure of the event */
		else if (err)
			return err;
	}
	return WEFT_OK;
}

weft_err weft_stream_writev(weft_stream *s, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	weft_err err = stream_enter(s, GATE_WRITE);
	size_t done = 0;

	if (!err) {
		for (unsigned i = 0; i < iov_count && !err; i++)
			err = write_all(s, iov[i].iov_base, iov[i].iov_len, &done, until);
		/* on an error its detail is to stay; the sender has its turn soon */
		if (!err && tx_is_early(s->mux))
			tx_flush_early(s->mux);
		stream_leave(s, GATE_WRITE);
	}
	if (written)
		*written = done;
	return err;
}

weft_err weft_stream_write(
	weft_stream *s, const void *data, size_t size, size_t *written, weft_deadline until)
{
	struct iovec iov = { (void *)(uintptr_t)data, size }; /* only read */

	return weft_stream_writev(s, &iov, 1, written, until);
}
