/* SPDX-License-Identifier: MIT */
/* What is received into the memory of readers that wait. */
#include "support/muxpeer.h"

#define FRAME ((size_t)20000)
#define ROOM ((size_t)65536)
#define POISON 0x5a
#define LEAVES_MAX 500

/* A reader that leaves and comes again. */
struct reading {
	weft_stream *stream;
	uint64_t from, until;
	uint64_t seed;
	bool leaves; /* now and then, by its deadline */
	bool ends;   /* by an error, some time */
	unsigned left;
};

/* Nobody writes to the memory of a reader that has left. */
static void stay_away(struct reading *r, uint8_t *data)
{
	size_t same = 0;

	r->left++;
	memset(data, POISON, ROOM);
	if (r->left % 8 == 0)
		OK(weft_sleep_ns(50000));
	for (size_t i = 0; i < ROOM; i++)
		same += data[i] == POISON;
	ck_assert_uint_eq(same, ROOM);
}

static weft_err read_on(void *arg)
{
	struct reading *r = arg;
	uint8_t *data = malloc(ROOM);
	weft_err err = WEFT_OK;

	T_OUGHT(data);
	while (r->from < r->until) {
		weft_deadline until = SOON;
		size_t got = 0;

		if (r->leaves && r->left < LEAVES_MAX && t_random(&r->seed) % 4 > 0)
			until = weft_after_ns((int64_t)(t_random(&r->seed) % 60000));
		err = weft_stream_read(r->stream, data, ROOM, &got, until);
		if (err == WEFT_ETIMEDOUT && r->leaves) {
			stay_away(r, data);
			continue;
		}
		if (err && r->ends)
			break;
		OK(err);
		ck_assert(matches(data, got, r->from));
		r->from += got;
	}
	free(data);
	return err;
}

static void *read_thread(void *arg)
{
	(void)read_on(arg);
	return NULL;
}

/* ---- in order ---- */

PEER_TEST(mux_receives_the_rest_of_a_frame_into_the_memory_of_its_reader)
{
	struct reading r = { .until = FRAME };
	size_t first = SMUX_HEADER_SIZE + 5000;
	weft_fiber *reader, *flusher;
	weft_stream_stats s;

	peer_start(p);
	r.stream = peer_accept(p, 3);
	OK(weft_spawn_on(weft_worker_self(), &reader, "read", read_on, &r));
	peer_pattern(p, 3, 0, FRAME);
	OK(weft_conn_write(p->conn, p->out, first, NULL, SOON));
	PEER_UNTIL(p, stats, r.from == 5000);
	ck_assert_uint_lt(peer_stats(p).uncopied_in, 5000);
	p->out_len -= first;
	memmove(p->out, p->out + first, p->out_len);
	flusher = spawn(peer_flush_fiber, p);
	join(reader);
	join(flusher);
	/* the last ones are less than is worth it */
	ck_assert_uint_gt(peer_stats(p).uncopied_in, p->sim || p->buffers_little ? 0 : 14999);
	weft_stream_stats_get(r.stream, &s);
	ck_assert_uint_eq(s.bytes_in, FRAME);
	ck_assert_uint_eq(s.frames_in, 1);
	ck_assert_uint_eq(s.unread, 0);
	ck_assert_uint_eq(peer_stats(p).bytes_in, FRAME);
	weft_stream_free(r.stream);
}

/* Frames of one stream, so that another such is expected; then something else comes. */
static void expect_wrongly(struct peer *p, struct reading r[2])
{
	uint64_t at = r[0].until;
	weft_fiber *readers[2], *flusher;

	for (unsigned i = 0; i < 2; i++)
		OK(weft_spawn_on(weft_worker_self(), &readers[i], "read", read_on, &r[i]));
	r[0].until = at + 4 * FRAME + 300 + FRAME;
	r[1].until += FRAME + 9000;
	for (unsigned i = 0; i < 4; i++)
		peer_pattern(p, 3, at + i * FRAME, FRAME);
	flusher = spawn(peer_flush_fiber, p);
	join(flusher);
	PEER_UNTIL(p, stats, r[0].from == at + 4 * FRAME);
	at += 4 * FRAME;
	peer_pattern(p, 5, r[1].from, FRAME);
	peer_pattern(p, 3, at, 300);
	peer_pattern(p, 5, r[1].from + FRAME, 9000);
	peer_pattern(p, 3, at + 300, FRAME);
	flusher = spawn(peer_flush_fiber, p);
	join(flusher);
	join(readers[0]);
	join(readers[1]);
}

PEER_TEST(mux_what_comes_in_place_of_what_was_expected_goes_where_it_belongs)
{
	struct reading r[2] = { { .until = 0 }, { .until = 0 } };
	unsigned frames = 0;

	peer_start(p);
	r[0].stream = peer_accept(p, 3);
	r[1].stream = peer_accept(p, 5);
	for (unsigned round = 0; round < (p->buffers_little ? 1u : 4u); round++) {
		expect_wrongly(p, r);
		frames += 8;
	}
	ck_assert_uint_eq(r[0].from, frames / 8 * (5 * FRAME + 300));
	ck_assert_uint_eq(r[1].from, frames / 8 * (FRAME + 9000));
	/* with two SYNs */
	ck_assert_uint_eq(peer_stats(p).frames_in, frames + 2);
	ck_assert_uint_eq(peer_stats(p).unread, 0);
	weft_stream_free(r[0].stream);
	weft_stream_free(r[1].stream);
}

/* ---- readers that leave ---- */

/* Less than the first window of version 2, whoever reads or not. */
static void flood(struct peer *p, uint64_t *from, uint64_t seed)
{
	for (unsigned i = 0; i < (p->buffers_little ? 3u : 10u); i++) {
		unsigned which = t_random(&seed) % 8 == 0;
		size_t len = t_random(&seed) % 4 == 0 ? 9000 : FRAME;

		peer_pattern(p, which ? 5 : 3, from[which], len);
		from[which] += len;
	}
}

PEER_TEST(mux_readers_may_leave_at_any_time)
{
	struct reading r[2] = { { .seed = 1, .leaves = true }, { .seed = 2, .leaves = true } };
	uint64_t from[2] = { 0, 0 };
	weft_fiber *fiber = NULL, *flusher;
	pthread_t thread = 0;

	peer_start(p);
	r[0].stream = peer_accept(p, 3);
	r[1].stream = peer_accept(p, 5);
	for (unsigned round = 1; round <= 6; round++) {
		flood(p, from, round);
		r[0].until = from[0];
		r[1].until = from[1];
		flusher = spawn(peer_flush_fiber, p);
		if (p->sim)
			fiber = spawn(read_on, &r[0]);
		else
			ck_assert_int_eq(pthread_create(&thread, NULL, read_thread, &r[0]), 0);
		OK(read_on(&r[1]));
		if (fiber)
			join(fiber);
		else
			thread_join(thread);
		join(flusher);
	}
	ck_assert_uint_eq(peer_stats(p).bytes_in, from[0] + from[1]);
	ck_assert_uint_eq(peer_stats(p).unread, 0);
	weft_stream_free(r[0].stream);
	weft_stream_free(r[1].stream);
}

/* Until the session is gone. */
static weft_err write_all(void *arg)
{
	struct peer *p = arg;

	return weft_conn_write(p->conn, p->out, p->out_len, NULL, SOON);
}

PEER_TEST(mux_a_stream_may_be_closed_while_it_is_received_into_its_readers_memory)
{
	struct reading r = { .seed = 3, .ends = true, .until = UINT64_MAX };
	uint64_t from[2] = { 0, 0 };
	weft_fiber *fiber = NULL, *flusher;
	pthread_t thread = 0;

	peer_start(p);
	r.stream = peer_accept(p, 3);
	flood(p, from, 1);
	flusher = spawn(write_all, p);
	if (p->sim)
		fiber = spawn(read_on, &r);
	else
		ck_assert_int_eq(pthread_create(&thread, NULL, read_thread, &r), 0);
	PEER_UNTIL(p, stats, stats.bytes_in > FRAME);
	if (p->version == 1)
		weft_stream_close(r.stream);
	else
		weft_mux_abort(p->mux);
	if (fiber)
		(void)!weft_fiber_join(fiber, NULL, SOON);
	else
		thread_join(thread);
	(void)!weft_fiber_join(flusher, NULL, SOON);
	weft_stream_free(r.stream);
}

static void direct_tests(TCase *tc)
{
	peer_add(tc, mux_receives_the_rest_of_a_frame_into_the_memory_of_its_reader);
	peer_add(tc, mux_what_comes_in_place_of_what_was_expected_goes_where_it_belongs);
	peer_add(tc, mux_readers_may_leave_at_any_time);
	peer_add(tc, mux_a_stream_may_be_closed_while_it_is_received_into_its_readers_memory);
}
T_SUITE("mux_direct", direct_tests)
