/* SPDX-License-Identifier: MIT */
/*
 * A process of the mux's soak, which tools/soak_mux.py drives: it serves sessions on two ports, and
 * opens others to whichever port it is told. Lines of stdin:
 *
 *	run KIND VERSION PORT COUNT MS	load of a kind (see loads), at least so much and so long, in
 *					the background; then {"over": KIND, ...}
 *	stat				{"stat": ...}: what it holds now
 *	trim				malloc gives back what it can; then as stat
 *
 * It begins with {"ports": [of version 1, of version 2]}, and ends with the end of stdin. What must
 * not happen is {"failed": TEXT} and status 1.
 *
 * --leak=stream:N and --leak=block:N make it lose each Nth stream that it serves, or 256 bytes
 * with it, so that it can be seen that the soak finds this.
 */
#include "mux_soak.h"

#include <malloc.h>
#include <sys/resource.h>

#define LANES 16   /* fibers that open streams, or sessions, at once */
#define BATCH 500u /* idle streams between two answers: fewer than a backlog */
#define SLOW_STREAMS 24
#define SLOW_BYTES (400 * 1024)
#define DRAINED_STREAMS 50
#define FLOOD_HELD 200
#define IDLE_MS 40

/* What it was told to do. One at a time. */
struct load {
	const struct load_kind *kind;
	weft_mux_options options;
	unsigned port;
	uint64_t count;
	int64_t ms;
	weft_deadline until;
	struct session *session; /* that its lanes share */
	struct session *many;	 /* count */
	struct counter done;
};

struct lane {
	struct load *load;
	unsigned number;
};

/* ---- opening ---- */

static weft_err session_dial(struct session *s, const struct load *l)
{
	weft_conn *conn = NULL;
	char address[64];
	weft_err err;

	*s = (struct session){ .mux = NULL };
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", l->port);
	err = weft_dial(&conn, address, NULL, SOON);
	return err ? err : session_begin(s, conn, WEFT_MUX_CLIENT, &l->options);
}

/* With its first byte. */
static weft_err stream_open(struct session *s, weft_stream **out, char kind)
{
	weft_err err = weft_mux_open(s->mux, out, SOON);

	if (err)
		return err;
	(void)counter_add(&book.opened, 1);
	/* what pays attention to idleness is to see those of KIND_HOLD only */
	if (kind != KIND_HOLD)
		err = weft_stream_idle_timeout(*out, 0);
	if (!err)
		err = weft_stream_write(*out, &kind, 1, NULL, SOON);
	if (err)
		stream_free(*out);
	return err;
}

static weft_err read_byte(weft_stream *stream)
{
	size_t got;
	char byte;

	return weft_stream_read(stream, &byte, 1, &got, SOON);
}

static weft_err ask(struct session *s, char kind)
{
	weft_stream *stream;
	weft_err err = stream_open(s, &stream, kind);

	if (err)
		return err;
	err = read_byte(stream);
	stream_free(stream);
	return err;
}

/* One stream of those that are opened at full rate; most are answered, some are not waited for. */
static weft_err open_one(struct session *s, uint64_t n)
{
	weft_stream *stream;
	weft_err err = stream_open(s, &stream, KIND_ECHO);

	if (err)
		return err;
	if (n % 16 == 3)
		err = weft_stream_shutdown(stream);
	if (!err && n % 16 != 7)
		err = read_byte(stream);
	if (!err && n % 16 == 3) {
		err = read_byte(stream);
		if (!err)
			die("a stream whose end was to come goes on", WEFT_OK);
		if (err == WEFT_ECLOSED)
			err = WEFT_OK;
	}
	stream_free(stream);
	return err;
}

static bool is_over(const struct load *l)
{
	return counter_get(&l->done) >= l->count && weft_now() >= l->until;
}

/* fn in LANES fibers, over all workers; to their end. */
static void each_lane(struct load *l, weft_fiber_fn fn)
{
	struct lane lanes[LANES];
	weft_scope *scope = NULL;

	must(weft_scope_create(&scope), "weft_scope_create");
	for (unsigned i = 0; i < LANES; i++) {
		lanes[i] = (struct lane){ l, i };
		must(weft_scope_spawn_on(scope, i % weft_worker_count(), "lane", fn, &lanes[i]),
			"weft_scope_spawn_on");
	}
	must(weft_scope_wait(scope, WEFT_FOREVER), "a lane");
	weft_scope_free(scope);
}

/* ---- loads ---- */

static weft_err opens_lane(void *arg)
{
	struct load *l = ((struct lane *)arg)->load;

	while (!is_over(l))
		must(open_one(l->session, counter_add(&l->done, 1)), "a stream");
	return WEFT_OK;
}

static void opens(struct load *l)
{
	struct session s;

	must(session_dial(&s, l), "dial");
	l->session = &s;
	each_lane(l, opens_lane);
	session_end(&s, false);
}

static void hold_batch(struct session *s, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		weft_stream *stream;

		must(stream_open(s, &stream, KIND_HOLD), "open an idle stream");
		held_push(s, stream);
	}
	must(ask(s, KIND_ECHO), "an answer after idle streams");
}

/* Twice on one session; the second begins with what the first has left. */
static void idle(struct load *l)
{
	struct session s;

	must(session_dial(&s, l), "dial");
	for (int i = 0; i < 2; i++) {
		for (uint64_t at = 0; at < l->count; at += BATCH)
			hold_batch(&s, l->count - at < BATCH ? l->count - at : BATCH);
		must(weft_sleep_ms(l->ms), "weft_sleep_ms");
		must(ask(&s, KIND_DROP), "an answer after the drop");
		held_drop(&s);
		(void)counter_add(&l->done, l->count);
	}
	session_end(&s, false);
}

static weft_err sessions_lane(void *arg)
{
	struct lane *lane = arg;
	struct load *l = lane->load;

	for (uint64_t i = lane->number; i < l->count; i += LANES) {
		must(session_dial(&l->many[i], l), "dial one of many");
		must(ask(&l->many[i], KIND_ECHO), "an answer of one of many");
		(void)counter_add(&l->done, 1);
	}
	return WEFT_OK;
}

static weft_err sessions_end_lane(void *arg)
{
	struct lane *lane = arg;
	struct load *l = lane->load;

	for (uint64_t i = lane->number; i < l->count; i += LANES)
		session_end(&l->many[i], (i / LANES) % 2);
	return WEFT_OK;
}

static void sessions(struct load *l)
{
	l->many = must_alloc(l->count * sizeof(struct session));
	each_lane(l, sessions_lane);
	must(weft_sleep_ms(l->ms), "weft_sleep_ms");
	each_lane(l, sessions_end_lane);
	mem_free(l->many);
}

static void answer_back(struct session *s)
{
	weft_stream *asking, *stream;

	must(stream_open(s, &asking, KIND_BACK), "open a stream");
	must(weft_mux_accept(s->mux, &stream, SOON), "accept a stream");
	(void)counter_add(&book.opened, 1);
	must(read_byte(stream), "read of a stream the other way");
	must(weft_stream_write(stream, "y", 1, NULL, SOON), "answer it");
	stream_free(stream);
	must(read_byte(asking), "the end of a stream the other way");
	stream_free(asking);
}

static weft_err churn_lane(void *arg)
{
	struct load *l = ((struct lane *)arg)->load;

	while (!is_over(l)) {
		uint64_t n = counter_add(&l->done, 1);
		struct session s;

		must(session_dial(&s, l), "dial");
		for (unsigned i = 0; i < 4; i++)
			must(ask(&s, KIND_ECHO), "an answer");
		answer_back(&s);
		hold_batch(&s, n % 8);
		session_end(&s, n % 4 == 0);
	}
	return WEFT_OK;
}

static void churn(struct load *l)
{
	each_lane(l, churn_lane);
}

/* Until the peer is killed. */
static weft_err flood_lane(void *arg)
{
	struct lane *lane = arg;
	struct load *l = lane->load;
	bool is_bulk = lane->number % 4 == 3;
	char *data = must_alloc(SLOW_BYTES);
	weft_stream *stream;
	weft_err err = WEFT_OK;

	if (is_bulk)
		err = stream_open(l->session, &stream, 'e'); /* nobody reads more of it */
	if (is_bulk && !err) {
		err = weft_stream_write(stream, data, SLOW_BYTES, NULL, l->until);
		stream_free(stream);
	}
	while (!err && !is_bulk && weft_now() < l->until)
		err = open_one(l->session, counter_add(&l->done, 1));
	if (err && err != WEFT_ERESET && err != WEFT_ECLOSED && err != WEFT_ETIMEDOUT)
		die("a stream whose peer is killed", err);
	mem_free(data);
	return WEFT_OK;
}

static void flood(struct load *l)
{
	struct session s;
	weft_stream *stream;
	weft_err err;

	must(session_dial(&s, l), "dial");
	l->session = &s;
	for (unsigned i = 0; i < FLOOD_HELD; i++) {
		if (stream_open(&s, &stream, KIND_HOLD))
			break;
		held_push(&s, stream);
	}
	printf("{\"flooding\": true}\n");
	fflush(stdout);
	each_lane(l, flood_lane);
	err = weft_mux_wait(s.mux, SOON);
	if (err != WEFT_ERESET)
		die("the session's end after the peer was killed", err);
	session_end(&s, false);
}

static weft_err slow_stream(void *arg)
{
	struct session *s = ((struct lane *)arg)->load->session;
	char *data = must_alloc(SLOW_BYTES);
	weft_stream *stream;
	weft_err err;

	must(stream_open(s, &stream, KIND_SLOW), "open a stream to a slow reader");
	err = weft_stream_write(stream, data, SLOW_BYTES, NULL, weft_after_ms(200));
	if (err && err != WEFT_ETIMEDOUT)
		die("a write to a slow reader", err);
	stream_free(stream);
	mem_free(data);
	(void)counter_add(&((struct lane *)arg)->load->done, 1);
	return WEFT_OK;
}

static void slow(struct load *l)
{
	struct session s;

	must(session_dial(&s, l), "dial");
	l->session = &s;
	do {
		each_lane(l, slow_stream);
	} while (!is_over(l));
	session_end(&s, false);
}

/* Streams that end by their idle time-out. */
static void timeouts(struct load *l)
{
	struct session s;

	l->options.idle_timeout_ns = (int64_t)IDLE_MS * 1000000;
	must(session_dial(&s, l), "dial");
	do {
		for (uint64_t at = 0; at < l->count; at += BATCH)
			hold_batch(&s, l->count - at < BATCH ? l->count - at : BATCH);
		for (size_t i = 0; i < s.held_len; i++) {
			weft_err err = read_byte(s.held[i]);

			if (err != WEFT_ERESET)
				die("a stream whose time is up", err);
		}
		must(ask(&s, KIND_DROP), "an answer after the drop");
		(void)counter_add(&l->done, s.held_len);
		held_drop(&s);
	} while (!is_over(l));
	session_end(&s, false);
}

static weft_err drain_fiber(void *arg)
{
	return weft_mux_drain(((struct session *)arg)->mux, SOON);
}

static void drain_one(struct load *l)
{
	weft_fiber *fiber = NULL;
	weft_stream *stream;
	weft_err result, err;
	struct session s;

	must(session_dial(&s, l), "dial");
	hold_batch(&s, DRAINED_STREAMS);
	must(weft_spawn(&fiber, "drain", drain_fiber, &s), "weft_spawn");
	while (!(err = stream_open(&s, &stream, KIND_ECHO))) {
		stream_free(stream);
		(void)weft_yield();
	}
	if (err != WEFT_ECLOSED)
		die("an open of a session that drains", err);
	held_drop(&s);
	must(weft_fiber_join(fiber, &result, SOON), "the drain");
	must(result, "the drain");
	session_end(&s, false);
	(void)counter_add(&l->done, DRAINED_STREAMS);
}

static void drains(struct load *l)
{
	do {
		drain_one(l);
	} while (!is_over(l));
}

static const struct load_kind {
	const char *name;
	void (*fn)(struct load *l);
} loads[] = {
	{ "opens", opens },	  /* LANES streams at a time, at full rate */
	{ "idle", idle },	  /* count streams at once, which lie idle for ms */
	{ "sessions", sessions }, /* count sessions at once, for ms */
	{ "churn", churn },	  /* sessions made and closed at full rate */
	{ "flood", flood },	  /* everything, until the peer is killed */
	{ "slow", slow },	  /* writers whose readers are slow and close early */
	{ "timeouts", timeouts }, /* count streams that end by themselves */
	{ "drains", drains },	  /* sessions that end in order */
};

static weft_err run_load(void *arg)
{
	struct load *l = arg;
	weft_deadline from = weft_now();

	l->until = weft_after_ms(l->ms);
	l->kind->fn(l);
	printf("{\"over\": \"%s\", \"done\": %llu, \"seconds\": %.3f}\n", l->kind->name,
		(unsigned long long)counter_get(&l->done), (double)(weft_now() - from) / 1e9);
	fflush(stdout);
	mem_free(l);
	return WEFT_OK;
}

/* ---- commands ---- */

static uint64_t next_number(const char **at)
{
	char *end;
	uint64_t n = strtoull(*at, &end, 10);

	if (end == *at)
		die("a command that lacks a number", WEFT_OK);
	*at = end;
	return n;
}

/* line: behind "run ". */
static void start_load(const char *line)
{
	struct load *l = must_alloc(sizeof(*l));
	size_t len = strcspn(line, " ");
	const char *at = line + len;

	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		if (strlen(loads[i].name) == len && !memcmp(loads[i].name, line, len))
			l->kind = &loads[i];
	}
	if (!l->kind)
		die("a kind of load that is not known", WEFT_OK);
	l->options = options_of((unsigned)next_number(&at));
	l->port = (unsigned)next_number(&at);
	l->count = next_number(&at);
	l->ms = (int64_t)next_number(&at);
	must(weft_spawn(NULL, "load", run_load, l), "weft_spawn");
}

static void sessions_sum(size_t *own, size_t *read, size_t *received)
{
	*own = *read = *received = 0;
	(void)pthread_mutex_lock(&book.lock);
	for (struct list *at = book.sessions.next; at != &book.sessions; at = at->next) {
		weft_mux_stats stats;

		weft_mux_stats_get(container_of(at, struct session, link)->mux, &stats);
		*own += stats.memory_own;
		*read += stats.memory_read;
		*received += stats.memory;
	}
	(void)pthread_mutex_unlock(&book.lock);
}

static void print_stat(void)
{
	uint64_t opened = counter_get(&book.opened), freed = counter_get(&book.freed);
	struct mallinfo2 info = mallinfo2();
	size_t own, read, received;

	sessions_sum(&own, &read, &received);
	printf("{\"stat\": {\"fibers\": %llu, \"sessions\": %llu, \"opened\": %llu, "
	       "\"streams\": %lld, \"blocks\": %llu, \"heap\": %zu, \"arena\": %zu, "
	       "\"mux_own\": %zu, \"mux_read\": %zu, \"mux_received\": %zu}}\n",
		(unsigned long long)weft_fiber_count(),
		(unsigned long long)counter_get(&book.sessions_len), (unsigned long long)opened,
		(long long)(opened - freed), (unsigned long long)counter_get(&book.blocks),
		info.uordblks + info.hblkhd, info.arena + info.hblkhd, own, read, received);
	fflush(stdout);
}

static void commands(void)
{
	weft_conn *input = NULL;
	char line[256];
	size_t got;

	must(weft_conn_adopt_own(&input, STDIN_FILENO, -1, true, "commands"), "stdin");
	while (!weft_conn_read_line(input, line, sizeof(line), &got, WEFT_FOREVER)) {
		if (!strcmp(line, "trim\n"))
			mem_give_back();
		if (!strncmp(line, "run ", 4))
			start_load(line + 4);
		else
			print_stat();
	}
	weft_conn_free(input);
}

/* ---- the process ---- */

struct port {
	weft_listener *listener;
	weft_scope *scope;
	unsigned version;
};

static weft_err listen_fiber(void *arg)
{
	struct port *p = arg;

	return weft_listener_serve(p->listener, p->scope, "session", serve, &p->version);
}

static weft_err soak_main(void *arg)
{
	struct port ports[2];
	weft_scope *scope = NULL;

	(void)arg;
	must(weft_scope_create(&scope), "weft_scope_create");
	for (int i = 0; i < 2; i++) {
		ports[i] = (struct port){ NULL, scope, (unsigned)i + 1 };
		must(weft_listen(&ports[i].listener, "tcp://127.0.0.1:0", NULL, SOON), "listen");
		must(weft_scope_spawn(scope, "listen", listen_fiber, &ports[i]), "listen");
	}
	printf("{\"ports\": [%s, %s]}\n", strrchr(weft_listener_name(ports[0].listener), ':') + 1,
		strrchr(weft_listener_name(ports[1].listener), ':') + 1);
	fflush(stdout);
	commands();
	for (int i = 0; i < 2; i++)
		weft_listener_close(ports[i].listener);
	weft_scope_free(scope);
	for (int i = 0; i < 2; i++)
		weft_listener_free(ports[i].listener);
	return WEFT_OK;
}

static void allow_descriptors(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		(void)!setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool parse_leak(const char *text)
{
	if (!strncmp(text, "--leak=stream:", 14))
		book.leak_stream = strtoull(text + 14, NULL, 10);
	else if (!strncmp(text, "--leak=block:", 13))
		book.leak_block = strtoull(text + 13, NULL, 10);
	return book.leak_stream || book.leak_block;
}

int main(int argc, char **argv)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;

	if (argc > 2 || (argc == 2 && !parse_leak(argv[1]))) {
		fputs("usage: mux_soak [--leak=stream:N | --leak=block:N]\n", stderr);
		return 2;
	}
	list_init(&book.sessions);
	allow_descriptors();
	options.workers = 2;
	(void)mem_hooks_set(&hooks);
	must(weft_run(soak_main, NULL, &options), "weft_run");
	return 0;
}
