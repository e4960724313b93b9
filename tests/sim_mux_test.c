/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/*
 * The campaign of the mux: nodes, sessions between them of both versions and with options
 * large and tiny, streams that both ends open, programs over those (support/muxtalk.h), and
 * faults, all chosen by the seed. Whatever happens:
 *
 *   - the bytes of a stream arrive in order and whole, or an error says that they do not;
 *   - what is on the wire keeps the rules (support/muxcheck.h): windows, order, limits;
 *   - without faults there is no error that no program caused;
 *   - nobody waits for ever, all is given back, and the run repeats exactly.
 *
 * That it can fail: of 50 batches so many did with an UPD dropped in full writes (1), no wake after
 * an UPD (11), control frames lost when a write is full (22), equal weights (49), turns not given
 * back (36), a drain that forgets a stream (50), a measure of the round trip that never ends (5),
 * idle times that nothing renews (14), windows that shrink to nothing (50) or stay counted (50),
 * memory that is not given back (50), a FIN before its data (50), bytes counted twice (49), a block
 * read into while it is held (50), an early send that loses frames (50).
 */
#include "support/campaign.h"
#include "support/muxcheck.h"
#include "support/muxtalk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define SEEDS 1000
#define PORT 7000
#define NODES_MAX 5
#define LINKS_MAX 3
#define ACCEPTERS_MAX 3
#define OPENERS_MAX 4
#define LATENCY_MIN_NS 50000 /* where a seed leaves it to the simulator */
#define SESSION_SECONDS 120
#define STEPS_MAX 400000
#define BURST_MAX 200 /* streams opened at once */
#define BURST_BUFFER_MIN 500000
#define BULKS_MAX 3 /* large writes at once */
#define BULK_FRAME 500
#define BULK_FRAMES 8
#define BULK_BYTES_MIN 5000 /* more than is copied */
#define BULK_BYTES_MAX ((BULK_BYTES_MIN + BULK_FRAME * BULK_FRAMES) * TALKS_WEIGHT_MAX)
#define CALM_SECONDS 1000 /* until all that was sent has come */

struct world;
struct session;

struct side {
	struct session *session;
	unsigned end; /* 0 dials, 1 listens */
	unsigned node;
	weft_mux_role role;
	weft_mux_options options;
	weft_mux *mux;		 /* while it is served */
	struct mux_check *check; /* NULL: no conn yet */
	weft_scope *scope;	 /* of those who use it */
	bool opened_all;	 /* open will give nothing any more */
	bool accepted_all;	 /* nor will accept */
	bool is_ready;		 /* all have talked */
	bool aborted;
	bool drains; /* and waits until all its streams are closed */
};

/* A session is tried once: a port, a conn, a mux at each end. */
struct session {
	struct talks talks;
	struct world *world;
	struct side sides[2];
	weft_listener *listener;
	unsigned port;
	bool bulks;	    /* large writes beside each other */
	bool bursts;	    /* many short streams at once */
	bool gentle;	    /* nobody stops it early */
	bool is_calm;	    /* gentle: both ends have looked at the other's numbers */
	unsigned busy;	    /* who may still talk */
	weft_cancel *quiet; /* nobody */
};

struct link {
	struct world *world;
	unsigned number;
	struct session *session; /* the one under way */
};

static struct world {
	bool faults, memory_fails;
	unsigned nodes_len, links_len;
	unsigned nodes[NODES_MAX];
	struct link links[LINKS_MAX];
	unsigned ports;
	bool over;
} world;

static uint64_t below(uint64_t bound)
{
	return weft_sim_random_below(bound);
}

static void done_talking(struct session *s)
{
	want(s->busy > 0);
	if (--s->busy == 0)
		weft_cancel_trigger(s->quiet, WEFT_OK);
}

/* ---- streams ---- */

struct accepted {
	struct side *side;
	weft_stream *stream;
};

static void talk_shortly(const struct side *side, weft_stream *stream)
{
	struct talks *talks = &side->session->talks;

	talks_short_begin(talks, side->end, stream);
	talks_short_end(talks, side->end, stream);
}

static weft_err talk_accepted(void *arg)
{
	struct accepted *a = arg;
	struct session *s = a->side->session;

	if (talks_kind(&s->talks, a->stream) == TALK_SHORT)
		talk_shortly(a->side, a->stream);
	else
		talks_stream(&s->talks, a->side->end, a->stream);
	free(a);
	done_talking(s);
	return WEFT_OK;
}

static void talk_in_fiber(struct side *side, weft_stream *stream)
{
	struct accepted *a = malloc(sizeof(*a));
	weft_err err;

	want(a);
	*a = (struct accepted){ side, stream };
	side->session->busy++;
	do
		err = weft_scope_spawn(side->scope, "accepted", talk_accepted, a);
	while (err == WEFT_ENOMEM);
	if (!err)
		return;
	want(err == WEFT_ECANCELED);
	weft_stream_free(stream);
	free(a);
	done_talking(side->session);
}

static weft_err accept_some(void *arg)
{
	struct side *side = arg;
	struct talks *talks = &side->session->talks;

	while (!side->accepted_all) {
		weft_stream *stream = NULL;
		weft_err err = weft_mux_accept(side->mux, &stream, talks_until(talks));

		want(!err == !!stream);
		if (err) {
			talks_may_fail(talks, side->end, err);
			if (err == WEFT_ECANCELED)
				break;
			if (err != WEFT_ETIMEDOUT && err != WEFT_ENOMEM)
				side->accepted_all = true;
			else if (weft_now() >= talks->until)
				side->accepted_all = true;
			both_pause();
		} else if (talks_kind(talks, stream) == TALK_SHORT && below(8)) {
			talk_shortly(
				side, stream); /* its peer has shut it down by now, or will soon */
		} else {
			talk_in_fiber(side, stream);
		}
	}
	return WEFT_OK;
}

static weft_err accept_stints(void *arg)
{
	struct side *side = arg;

	talks_stints("accepts a while", accept_some, side, &side->accepted_all);
	return WEFT_OK;
}

/* NULL: not now, or not any more; then opened_all. */
static weft_stream *open_one(struct side *side)
{
	struct session *s = side->session;
	bool was_draining = s->talks.draining[side->end];
	weft_stream *stream = NULL;
	weft_err err = weft_mux_open(side->mux, &stream, talks_until(&s->talks));

	want(!err == !!stream);
	want(!stream || !was_draining);
	if (err == WEFT_ECAPACITY)
		want(side->options.max_streams > 0);
	else if (err)
		talks_may_fail(&s->talks, side->end, err);
	side->opened_all = err == WEFT_ECLOSED || err == WEFT_ERESET || err == WEFT_EPROTO ||
		err == WEFT_ECANCELED;
	return stream;
}

/* One stream after the other. */
static weft_err open_some(void *arg)
{
	struct side *side = arg;
	struct session *s = side->session;

	for (unsigned i = 1 + (unsigned)below(3); i > 0 && !side->opened_all; i--) {
		weft_stream *stream = open_one(side);

		if (stream) {
			talks_opened(&s->talks, stream, TALK_RANDOM, 0);
			talks_stream(&s->talks, side->end, stream);
		}
		both_sleep_ns((int64_t)below(50 * MS));
	}
	done_talking(s);
	return WEFT_OK;
}

/* Many at once, so that control frames fill a write, and streams go before the sender's turn. */
static weft_err open_burst(void *arg)
{
	struct side *side = arg;
	struct session *s = side->session;
	weft_stream *streams[BURST_MAX];
	unsigned len = 0, most = 1 + (unsigned)below(below(3) ? 40 : BURST_MAX);

	both_sleep_ns((int64_t)below(100 * MS));
	while (len < most && (streams[len] = open_one(side)) != NULL) {
		talks_opened(&s->talks, streams[len], TALK_SHORT, 0);
		talks_short_begin(&s->talks, side->end, streams[len]);
		len++;
		if (below(30) == 0)
			both_pause();
	}
	for (unsigned i = 0; i < len; i++)
		talks_short_end(&s->talks, side->end, streams[i]);
	done_talking(s);
	return WEFT_OK;
}

static weft_err open_bulk(void *arg)
{
	struct side *side = arg;
	struct session *s = side->session;
	weft_stream *stream = open_one(side);

	if (stream) {
		talks_opened(&s->talks, stream, TALK_BULK,
			BULK_BYTES_MIN + (size_t)below(BULK_FRAME * BULK_FRAMES));
		talks_stream(&s->talks, side->end, stream);
	}
	done_talking(s);
	return WEFT_OK;
}

/* ---- sessions ---- */

static void stop(struct side *side)
{
	side->session->talks.closing[side->end] = true;
	side->aborted = side->aborted || below(4) == 0;
	if (side->aborted)
		weft_mux_abort(side->mux);
	else
		weft_mux_close(side->mux);
	want(!weft_mux_is_alive(side->mux));
}

static weft_err stop_early(void *arg)
{
	both_sleep_ns((int64_t)below(200 * MS));
	stop(arg);
	return WEFT_OK;
}

/* Begins it at once, then waits, by stints; so that all streams are closed when it says so. */
static weft_err drain(void *arg)
{
	struct side *side = arg;
	struct talks *talks = &side->session->talks;
	weft_deadline until = WEFT_NOW;
	weft_mux_stats stats;
	weft_err err;

	both_sleep_ns((int64_t)below(200 * MS));
	do {
		err = weft_mux_drain(side->mux, until);
		talks->draining[side->end] = true;
		until = talks_until(talks);
		if (err == WEFT_ETIMEDOUT)
			both_sleep_ns((int64_t)below(100 * MS));
	} while ((err == WEFT_ETIMEDOUT && weft_now() < talks->until) || err == WEFT_ENOMEM);
	want(!err || err == WEFT_ETIMEDOUT || err == WEFT_ECANCELED);
	weft_mux_stats_get(side->mux, &stats);
	if (!err)
		want(stats.streams == 0 && talks_open(talks, side->end) == 0);
	return WEFT_OK;
}

static weft_err look(void *arg)
{
	struct side *side = arg;

	while (side->session->busy > 0 && !weft_sleep_ns((int64_t)below(100 * MS)))
		mux_check_counters(side->check);
	return WEFT_OK;
}

static void spawn_openers(struct side *side, const char *name, weft_fiber_fn fn, unsigned len)
{
	side->session->busy += len;
	for (unsigned i = 0; i < len; i++)
		if (talks_spawn(side->scope, name, fn, side))
			done_talking(side->session);
}

static void spawn_users(struct side *side)
{
	const struct session *s = side->session;

	spawn_openers(side, "opens", open_some, (unsigned)below(OPENERS_MAX + 1));
	if (s->bursts && below(3) == 0)
		spawn_openers(side, "opens many", open_burst, 1);
	if (s->bulks)
		spawn_openers(side, "opens large", open_bulk, (unsigned)below(BULKS_MAX + 1));
	for (unsigned i = 1 + (unsigned)below(ACCEPTERS_MAX); i > 0; i--)
		(void)talks_spawn(side->scope, "accepts", accept_stints, side);
	if (!s->gentle && below(4) == 0)
		(void)talks_spawn(side->scope, "stops early", stop_early, side);
	side->drains = below(8) == 0;
	if (side->drains)
		(void)talks_spawn(side->scope, "drains", drain, side);
	if (below(8) == 0)
		(void)talks_spawn(side->scope, "looks", look, side);
}

/* All that either end has sent has come to the other, and nothing of it is held any more. */
static bool is_calm(const struct session *s)
{
	weft_mux_stats a, b;

	weft_mux_stats_get(s->sides[0].mux, &a);
	weft_mux_stats_get(s->sides[1].mux, &b);
	return a.bytes_out == b.bytes_in && b.bytes_out == a.bytes_in &&
		a.opened == b.accepted + b.refused && b.opened == a.accepted + a.refused &&
		a.streams + a.unread + a.memory + a.windows == 0 &&
		b.streams + b.unread + b.memory + b.windows == 0;
}

/* The side that is ready last waits for both; then either may go. */
static void await_calm(struct side *side)
{
	struct session *s = side->session;
	weft_deadline until = weft_after_ns(CALM_SECONDS * SECOND);

	side->is_ready = true;
	while (!s->is_calm) {
		if (s->sides[0].is_ready && s->sides[1].is_ready && is_calm(s))
			s->is_calm = true;
		want(weft_now() < until);
		both_sleep_ns(50 * MS);
	}
}

/* Once it is over and its streams are freed it holds nothing. */
static void check_over(const struct side *side)
{
	weft_err err = weft_mux_wait(side->mux, WEFT_FOREVER);
	weft_mux_stats stats;

	want(err == WEFT_ECLOSED || err == WEFT_ERESET || err == WEFT_ECANCELED ||
		(err == WEFT_EPROTO && side->session->talks.versions_differ) ||
		(err == WEFT_ENOMEM && world.memory_fails));
	if (err == WEFT_ECANCELED || err == WEFT_ENOMEM)
		return;
	if (err == WEFT_ECLOSED && !side->aborted)
		mux_check_sent_all(side->check);
	weft_mux_stats_get(side->mux, &stats);
	want(stats.streams == 0);
	want(stats.unread == 0);
	want(stats.memory == 0);
	want(stats.windows == 0);
	weft_sim_note(stats.bytes_in);
	weft_sim_note(stats.bytes_out);
}

/* A handle that is older than its session's end. */
static void use_orphan(weft_stream *stream)
{
	size_t n;
	char c = 0;

	if (!stream)
		return;
	want(weft_stream_read(stream, &c, 1, &n, WEFT_FOREVER) != WEFT_OK);
	want(weft_stream_write(stream, &c, 1, &n, WEFT_FOREVER) != WEFT_OK);
	weft_stream_free(stream);
}

static void serve(struct side *side)
{
	struct session *s = side->session;
	weft_stream *orphan = NULL;

	mux_check_watch(side->check, side->mux);
	s->talks.checks[side->end] = side->check;
	side->scope = talks_scope();
	spawn_users(side);
	done_talking(s);
	while (weft_cancel_wait(s->quiet, s->talks.until) == WEFT_ENOMEM)
		;
	if (s->gentle)
		await_calm(side);
	if (!side->drains && below(4) == 0 &&
		weft_mux_open(side->mux, &orphan, weft_after_ms(1)) != WEFT_OK)
		orphan = NULL;
	stop(side);
	while (weft_scope_wait(side->scope, WEFT_FOREVER) == WEFT_ENOMEM)
		;
	weft_scope_free(side->scope);
	if (!orphan && below(2))
		check_over(side);
	mux_check_watch(side->check, NULL);
	weft_mux_free(side->mux);
	use_orphan(orphan);
}

static weft_err connect_side(const struct side *side, weft_conn **conn)
{
	const struct session *s = side->session;
	weft_deadline until = world.faults ? weft_after_ns(20 * SECOND) : WEFT_FOREVER;
	char address[64];

	if (side->end == 1)
		return weft_listener_accept(s->listener, conn, until);
	snprintf(address, sizeof(address), "tcp://10.0.0.%u:%u", s->sides[1].node + 1, s->port);
	return weft_dial(conn, address, NULL, until);
}

static size_t write_max(const struct session *s)
{
	return s->bulks && s->talks.piece_max < BULK_BYTES_MAX ? BULK_BYTES_MAX
							       : s->talks.piece_max;
}

static weft_err run_side(void *arg)
{
	struct side *side = arg;
	weft_conn *conn = NULL;
	weft_err err;

	err = connect_side(side, &conn);
	if (!err)
		err = mux_check_wrap(&conn, &side->check, conn, side->role, &side->options,
			!side->session->talks.versions_differ, write_max(side->session));
	if (!err)
		err = weft_mux_create_own(&side->mux, conn, side->role, &side->options);
	if (!err) {
		serve(side);
	} else {
		want(world.faults);
		done_talking(side->session);
	}
	mux_check_unref(side->check);
	side->check = NULL;
	return WEFT_OK;
}

static weft_err open_listener(void *arg)
{
	struct session *s = arg;
	char address[64];
	weft_err err;

	snprintf(address, sizeof(address), "tcp://0.0.0.0:%u", s->port);
	err = weft_listen(&s->listener, address, NULL, WEFT_FOREVER);
	want(!err || world.faults);
	return WEFT_OK;
}

/* ---- what a seed chooses ---- */

#define CHOOSE(list) ((list)[below(sizeof(list) / sizeof((list)[0]))])

static void choose_keepalive(weft_mux_options *o)
{
	o->keepalive_disabled = below(3) == 0;
	o->keepalive_interval_ns = 50 * MS + (int64_t)below(5 * SECOND);
	o->keepalive_timeout_ns = o->keepalive_interval_ns * (1 + (int64_t)below(5));
	if (!world.faults) /* a slow net is silent for long, in the middle of a frame */
		o->keepalive_timeout_ns = 100000 * SECOND;
}

static void choose_idle(weft_mux_options *o)
{
	static const int64_t times[] = { 1, 2, 20, 500, 3000, UINT32_MAX };

	if (below(8) == 0)
		o->idle_timeout_ns = CHOOSE(times) * MS;
}

/* So that nothing but turns decides whose frame is next. */
static void choose_bulks(weft_mux_options *o)
{
	o->max_frame_size = BULK_FRAME;
	o->max_receive_buffer = o->max_stream_buffer = 4194304;
	o->max_memory = o->max_streams = o->accept_backlog = 0;
}

/* How much later than said an idle stream may end. */
static int64_t idle_late(const weft_mux_options *o)
{
	int64_t tick = 10 * SECOND;

	if (o->idle_timeout_ns > 0)
		return o->idle_timeout_ns / 4 + 2 * MS;
	if (!o->keepalive_disabled && o->keepalive_interval_ns > tick)
		tick = o->keepalive_interval_ns;
	return 2 * tick;
}

static void choose_options(weft_mux_options *o, unsigned version)
{
	static const size_t frames[] = { 1, 2, 7, 100, 1000, 4096, 32768, 32768, 65535 };
	static const size_t buffers[] = { 1, 10, 1000, 65536, 300000, 4194304, INT32_MAX };
	static const size_t windows[] = { 1, 100, 5000, 65536, 1048576, INT32_MAX };
	static const size_t memories[] = { 1, 5000, 100000, 1000000, SIZE_MAX };

	*o = (weft_mux_options)WEFT_MUX_OPTIONS_DEFAULT;
	o->version = version;
	choose_keepalive(o);
	if (below(3) == 0)
		o->max_frame_size = CHOOSE(frames);
	if (below(2) == 0)
		o->max_receive_buffer = CHOOSE(buffers);
	if (below(2) == 0)
		o->max_stream_buffer = CHOOSE(windows);
	if (o->max_stream_buffer > o->max_receive_buffer)
		o->max_stream_buffer = o->max_receive_buffer;
	o->autotune_disabled = below(2);
	if (below(4) == 0)
		o->max_memory = CHOOSE(memories);
	if (below(6) == 0)
		o->max_streams = 1 + (size_t)below(4);
	if (below(6) == 0)
		o->accept_backlog = 1 + (size_t)below(2);
	choose_idle(o);
	if (below(3) == 0)
		o->linger_ns = (int64_t)below(2 * SECOND) * (int64_t)below(2);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* So that a run takes steps that are not too many. */
static void choose_sizes(struct session *s)
{
	const weft_mux_options *a = &s->sides[0].options, *b = &s->sides[1].options;
	size_t frame = least(a->max_frame_size, b->max_frame_size);
	size_t window = least(a->max_stream_buffer, b->max_stream_buffer);

	s->talks.bytes_max = below(16) ? 20000 : 800000;
	s->talks.bytes_max = least(s->talks.bytes_max, frame * 300);
	if (a->version == 2)
		s->talks.bytes_max = least(s->talks.bytes_max, window * 200);
	s->talks.piece_max = below(3) ? 3000 : 100000;
}

static bool has_room(const weft_mux_options *o)
{
	return o->max_receive_buffer > BURST_BUFFER_MIN &&
		(o->max_memory == 0 || o->max_memory > BURST_BUFFER_MIN);
}

static void choose_session(struct session *s)
{
	unsigned version = 1 + (unsigned)below(2), first = (unsigned)below(world.nodes_len);
	unsigned second = first + 1 + (unsigned)below(world.nodes_len - 1);
	unsigned client = (unsigned)below(2);

	s->talks.faults = world.faults;
	s->talks.memory_fails = world.memory_fails;
	s->talks.versions_differ = below(40) == 0;
	s->talks.key = s->port;
	s->talks.odd = client;
	s->bulks = below(8) == 0;
	s->gentle = !world.faults && !s->talks.versions_differ && below(4) != 0;
	s->talks.until = world.faults ? weft_after_ns(SESSION_SECONDS * SECOND) : WEFT_FOREVER;
	for (unsigned end = 0; end < 2; end++) {
		struct side *side = &s->sides[end];

		side->session = s;
		side->end = end;
		side->node = world.nodes[(end ? second : first) % world.nodes_len];
		side->role = end == client ? WEFT_MUX_CLIENT : WEFT_MUX_SERVER;
		choose_options(
			&side->options, s->talks.versions_differ && end ? 3 - version : version);
		if (s->bulks)
			choose_bulks(&side->options);
		s->talks.idle_ns[end] = side->options.idle_timeout_ns;
		s->talks.idle_late_ns[end] = world.faults ? 0 : idle_late(&side->options);
	}
	/* short ones are read one after the other: what lies unread meanwhile must have room */
	s->bursts = has_room(&s->sides[0].options) && has_room(&s->sides[1].options);
	s->talks.windows = version == 2;
	choose_sizes(s);
}

/* ---- the world ---- */

static void run_session(struct link *link)
{
	struct session *s = calloc(1, sizeof(*s));
	weft_fiber *fibers[2];

	want(s);
	s->port = PORT + world.ports++;
	choose_session(s);
	s->busy = 2;
	CAMPAIGN_INSIST(weft_cancel_create(&s->quiet, NULL));
	campaign_spawn(s->sides[1].node, &fibers[1], "listens", open_listener, s);
	campaign_join(fibers[1]);
	link->session = s;
	for (unsigned end = 0; end < 2 && s->listener; end++)
		campaign_spawn(s->sides[end].node, &fibers[end], end ? "listener" : "dialler",
			run_side, &s->sides[end]);
	for (unsigned end = 0; end < 2 && s->listener; end++)
		campaign_join(fibers[end]);
	link->session = NULL;
	talks_compare(&s->talks);
	weft_listener_free(s->listener);
	weft_cancel_unref(s->quiet);
	free(s);
}

static weft_err run_link(void *arg)
{
	struct link *link = arg;

	for (unsigned i = 1 + (unsigned)below(2); i > 0; i--)
		run_session(link);
	return WEFT_OK;
}

static void stall_one(int64_t pause_ns)
{
	const struct link *link = &world.links[below(world.links_len)];
	const struct side *side = link->session ? &link->session->sides[below(2)] : NULL;

	if (side && side->check)
		mux_check_stall(side->check, weft_after_ns(pause_ns));
}

static weft_err make_faults(void *arg)
{
	(void)arg;
	while (!world.over) {
		both_sleep_ns((int64_t)below(400 * MS));
		campaign_fault(world.nodes, world.nodes_len, stall_one);
	}
	return WEFT_OK;
}

static void build(void)
{
	world.nodes_len = 2 + (unsigned)below(NODES_MAX - 1);
	world.links_len = 1 + (unsigned)below(LINKS_MAX);
	for (unsigned i = 0; i < world.nodes_len; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", i);
		campaign_node(&world.nodes[i], name);
	}
}

static weft_err run_world(void *arg)
{
	weft_fiber *fibers[LINKS_MAX], *faults = NULL;
	bool with_faults = world.faults, memory_fails = world.memory_fails;

	(void)arg;
	memset(&world, 0, sizeof(world));
	world.faults = with_faults;
	world.memory_fails = memory_fails;
	build();
	for (unsigned i = 0; i < world.links_len; i++)
		campaign_spawn(0, &fibers[i], "link", run_link, &world.links[i]);
	if (world.faults && below(4) != 0)
		campaign_spawn(0, &faults, "faults", make_faults, NULL);
	for (unsigned i = 0; i < world.links_len; i++)
		campaign_join(fibers[i]);
	world.over = true;
	if (faults)
		campaign_join(faults);
	both_sleep_ns(60 * SECOND); /* sessions linger, and then are gone by themselves */
	want(weft_fiber_count() == 1);
	return WEFT_OK;
}

static void run_seed(uint64_t seed)
{
	weft_sim_options options = campaign_options(seed, 200);

	options.steps_max = STEPS_MAX;
	world.faults = campaign_has_faults(seed);
	world.memory_fails = options.memory_fail_permille > 0;
	mux_check_latency(options.latency_max_ns ? options.latency_min_ns : LATENCY_MIN_NS);
	campaign_run_short(run_world, &options);
}

START_TEST(a_random_mux_keeps_its_promises)
{
	campaign_batch(_i, run_seed);
}
END_TEST

static void sim_mux_tests(TCase *tc)
{
	campaign_add_batches(tc, a_random_mux_keeps_its_promises, SEEDS);
}
T_SUITE("sim/mux", sim_mux_tests)
