/* SPDX-License-Identifier: MIT */
/* Messages a line, over conns in memory that give and take as the test says. */
#include "support/both.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)

/* A transport with a bare conn at the other end. */
struct talk {
	weft_transport *transport;
	weft_conn *peer;
};

static void talk_open_with(struct talk *t, size_t buffer, const weft_transport_options *options)
{
	weft_conn *ends[2];

	want_ok(weft_conn_pair(ends, buffer));
	want_ok(weft_transport_lines_own(&t->transport, ends[0], options));
	t->peer = ends[1];
}

static void talk_open(struct talk *t)
{
	talk_open_with(t, 0, NULL);
}

static void talk_close(struct talk *t)
{
	weft_conn_free(t->peer);
	weft_transport_free(t->transport);
}

static void say(struct talk *t, const char *bytes)
{
	want_ok(weft_conn_write(t->peer, bytes, strlen(bytes), NULL, WEFT_FOREVER));
}

static void expect(struct talk *t, weft_jsonrpc_kind kind, const char *text)
{
	weft_message m;

	want_ok(weft_transport_receive(t->transport, &m, WEFT_FOREVER));
	want(m.rpc.kind == kind);
	want(m.text.len == strlen(text) && !memcmp(m.text.data, text, m.text.len));
	weft_message_fini(&m);
}

static void expect_line(struct talk *t, const char *text)
{
	char line[1024];
	size_t got;

	want_ok(weft_conn_read_line(t->peer, line, sizeof(line), &got, WEFT_FOREVER));
	want(got == strlen(text) + 1 && line[got - 1] == '\n');
	want(!memcmp(line, text, got - 1));
}

static void send_text(weft_transport *transport, const char *text)
{
	weft_message m;

	want_ok(weft_message_copy(&m, NULL, text, strlen(text), NULL));
	want_ok(weft_transport_send_own(transport, &m, WEFT_FOREVER));
}

#define PING "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"
#define NOTE "{\"jsonrpc\":\"2.0\",\"method\":\"note\"}"

BOTH_TEST(a_message_comes_and_goes_a_line)
{
	struct talk t;

	talk_open(&t);
	say(&t, PING "\n");
	expect(&t, WEFT_JSONRPC_REQUEST, PING);
	send_text(t.transport, NOTE);
	expect_line(&t, NOTE);
	talk_close(&t);
	return WEFT_OK;
}

BOTH_TEST(line_ends_and_blank_lines_are_as_they_come)
{
	struct talk t;

	talk_open(&t);
	say(&t, "\n\r\n  \t\n" PING "\r\n\n" NOTE "\n" PING);
	want_ok(weft_conn_shutdown(t.peer));
	expect(&t, WEFT_JSONRPC_REQUEST, PING);
	expect(&t, WEFT_JSONRPC_NOTIFICATION, NOTE);
	expect(&t, WEFT_JSONRPC_REQUEST, PING);
	want_err(WEFT_ECLOSED, weft_transport_receive(t.transport, &(weft_message){ 0 }, 0));
	talk_close(&t);
	return WEFT_OK;
}

struct crowd {
	weft_transport *transport;
	unsigned count;
	size_t size;
	unsigned who;
};

/* Of one of them, whose messages are counted in next. */
static void expect_in_order(weft_transport *transport, unsigned *next, unsigned count)
{
	int64_t who, number;
	weft_message m;
	weft_json value;

	want_ok(weft_transport_receive(transport, &m, WEFT_FOREVER));
	want(m.rpc.kind == WEFT_JSONRPC_NOTIFICATION);
	want_ok(weft_json_get(&value, m.rpc.params, "who"));
	want_ok(weft_json_integer(value, &who));
	want_ok(weft_json_get(&value, m.rpc.params, "n"));
	want_ok(weft_json_integer(value, &number));
	want(who < count && number == next[who]);
	next[who]++;
	weft_message_fini(&m);
}

static weft_err crowd_fiber(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < c->count; i++) {
		size_t size = c->size + 200;
		char *text = malloc(size);
		int len;

		want(text);
		len = snprintf(text, size,
			"{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":{\"who\":%u,\"n\":%u,"
			"\"fill\":\"",
			c->who, i);
		memset(text + len, 'x', c->size);
		(void)snprintf(text + len + c->size, 4, "\"}}");
		send_text(c->transport, text);
		free(text);
		if (both_random(4) == 0)
			both_pause();
	}
	return WEFT_OK;
}

/* Several senders, messages of this size, and a peer that reads a little at a time. */
static void crowd_talks(size_t size)
{
	struct crowd crowd[4];
	unsigned next[4] = { 0 };
	weft_transport *ends[2];
	weft_conn *conns[2];
	weft_scope *scope;
	weft_message m;

	want_ok(weft_conn_pair(conns, 700));
	for (int i = 0; i < 2; i++)
		want_ok(weft_transport_lines_own(&ends[i], conns[i], NULL));
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 4; i++) {
		crowd[i] = (struct crowd){ ends[0], 50, size, i };
		want_ok(weft_scope_spawn_on(
			scope, i % weft_worker_count(), "sender", crowd_fiber, &crowd[i]));
	}
	for (unsigned n = 0; n < 200; n++)
		expect_in_order(ends[1], next, 4);
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	weft_transport_free(ends[0]);
	want_err(WEFT_ECLOSED, weft_transport_receive(ends[1], &m, WEFT_FOREVER));
	weft_transport_free(ends[1]);
}

BOTH_TEST(each_fibers_messages_stay_in_order)
{
	crowd_talks(10);
	crowd_talks(1000);
	crowd_talks(20000);
	return WEFT_OK;
}

/* ---- what comes ---- */

/* However the bytes are cut. */
BOTH_TEST(lines_may_be_cut_anywhere)
{
	static const char text[] = PING "\r\n\n" NOTE "\n  \r\n" PING "\n";
	struct talk t;

	for (unsigned round = 0; round < 20; round++) {
		talk_open_with(&t, 1 + both_random(40), NULL);
		for (size_t at = 0, n; at < strlen(text); at += n) {
			n = 1 + both_random(20);
			if (n > strlen(text) - at)
				n = strlen(text) - at;
			if (at == 0) /* the reader begins */
				want_err(WEFT_ETIMEDOUT,
					weft_transport_receive(
						t.transport, &(weft_message){ 0 }, WEFT_NOW));
			want_ok(weft_conn_write(t.peer, text + at, n, NULL, WEFT_FOREVER));
		}
		expect(&t, WEFT_JSONRPC_REQUEST, PING);
		expect(&t, WEFT_JSONRPC_NOTIFICATION, NOTE);
		expect(&t, WEFT_JSONRPC_REQUEST, PING);
		talk_close(&t);
	}
	return WEFT_OK;
}

static void expect_invalid(struct talk *t, weft_err err, const char *id)
{
	weft_message m;

	want_ok(weft_transport_receive(t->transport, &m, WEFT_FOREVER));
	want(m.rpc.kind == WEFT_JSONRPC_INVALID && m.err == err);
	want(!m.rpc.id.text == !id);
	want(!id || (m.rpc.id.len == strlen(id) && !memcmp(m.rpc.id.text, id, strlen(id))));
	weft_message_fini(&m);
}

BOTH_TEST(what_is_no_message_is_told_and_passed_over)
{
	weft_transport_stats stats;
	struct talk t;

	talk_open(&t);
	say(&t, "garbage\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"\xff\"}\n");
	want_ok(weft_conn_write(t.peer, "{\"a\0\":1}\n", 9, NULL, WEFT_FOREVER));
	say(&t, "{\"jsonrpc\":\"2.0\",\"id\":4}\n" PING "\n");
	expect_invalid(&t, WEFT_EPROTO, NULL);
	expect_invalid(&t, WEFT_EPROTO, "3");
	expect_invalid(&t, WEFT_EPROTO, NULL);
	expect_invalid(&t, WEFT_EPROTO, "4");
	expect(&t, WEFT_JSONRPC_REQUEST, PING);
	weft_transport_stats_get(t.transport, &stats);
	want(stats.received == 1 && stats.invalid == 4);
	want(stats.bytes_received == strlen(PING) && stats.sent == 0);
	talk_close(&t);
	return WEFT_OK;
}

BOTH_TEST(a_batch_comes_as_its_elements)
{
	struct talk t;

	talk_open(&t);
	say(&t, "[" PING ", 5 ," NOTE "]\n[]\n");
	expect(&t, WEFT_JSONRPC_REQUEST, PING);
	expect_invalid(&t, WEFT_EPROTO, NULL);
	expect(&t, WEFT_JSONRPC_NOTIFICATION, NOTE);
	expect_invalid(&t, WEFT_EPROTO, NULL);
	talk_close(&t);
	return WEFT_OK;
}

/* ---- sizes ---- */

#define FILL_HEAD "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\""
#define FILL_END "\"}"

/* A request of that many bytes; the caller frees it. */
static char *filled(size_t size)
{
	char *text = malloc(size + 3);

	want(text);
	memset(text, 'x', size);
	for (size_t i = 0; i < strlen(FILL_HEAD); i++)
		text[i] = FILL_HEAD[i];
	(void)snprintf(text + size - strlen(FILL_END), strlen(FILL_END) + 1, "%s", FILL_END);
	return text;
}

struct saying {
	weft_conn *conn;
	size_t size, rounds;
	const char *line_end;
};

static weft_err say_filled(void *arg)
{
	struct saying *s = arg;
	char *text = filled(s->size);

	(void)snprintf(text + s->size, 3, "%s", s->line_end);
	for (size_t i = 0; i < s->rounds; i++)
		want_ok(weft_conn_write(s->conn, text, strlen(text), NULL, WEFT_FOREVER));
	free(text);
	return WEFT_OK;
}

/* Sizes around those of buffers; the limit is between. */
BOTH_TEST(only_what_is_over_the_limit_is_passed_over)
{
	static const size_t limits[] = { 100, 1020, 1024, 5000, 8190, 8192, 20000, 70000 };
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;

	for (size_t k = 0; k < sizeof(limits) / sizeof(*limits); k++) {
		struct talk t;

		options.message_size_max = limits[k];
		talk_open_with(&t, 3000, &options);
		for (unsigned i = 0; i < 10; i++) {
			struct saying s = { t.peer, limits[k] - 2 + i / 2, 1,
				i % 2 ? "\r\n" : "\n" };
			weft_fiber *fiber;
			weft_message m;

			want_ok(weft_spawn(&fiber, "say", say_filled, &s));
			if (s.size <= limits[k]) {
				want_ok(weft_transport_receive(t.transport, &m, WEFT_FOREVER));
				want(m.rpc.kind == WEFT_JSONRPC_REQUEST && m.text.len == s.size);
				weft_message_fini(&m);
			} else {
				expect_invalid(&t, WEFT_EMSGSIZE, "77");
			}
			want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
		}
		say(&t, PING "\n");
		expect(&t, WEFT_JSONRPC_REQUEST, PING);
		talk_close(&t);
	}
	return WEFT_OK;
}

/* A pool of little more than a message is enough for lines of any length, and a transport that
 * waits has none of it. */
BOTH_TEST(memory_is_bounded_and_given_back)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	weft_buf_pool_options pool_options = { .live_max = 100 * 1024 };
	weft_buf_pool_stats stats;
	weft_fiber *fiber;
	weft_message m;
	struct talk t;
	struct saying s;

	want_ok(weft_buf_pool_create(&options.pool, &pool_options));
	options.message_size_max = 30000;
	options.inbox_max = 1;
	talk_open_with(&t, 0, &options);
	s = (struct saying){ t.peer, 3000000, 1, "\n" };
	want_ok(weft_spawn(&fiber, "say", say_filled, &s));
	expect_invalid(&t, WEFT_EMSGSIZE, "77");
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	s = (struct saying){ t.peer, 30000, 20, "\n" };
	want_ok(weft_spawn(&fiber, "say", say_filled, &s));
	for (unsigned i = 0; i < 20; i++) {
		want_ok(weft_transport_receive(t.transport, &m, WEFT_FOREVER));
		want(m.text.len == 30000);
		weft_message_fini(&m);
	}
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	do {
		both_sleep_ns(50 * MS);
		weft_buf_pool_stats_get(options.pool, &stats);
	} while (stats.live_blocks > 0);
	talk_close(&t);
	weft_buf_pool_free(options.pool);
	return WEFT_OK;
}

static weft_err large_body(void *arg)
{
	weft_transport *ends[2];
	weft_conn *conns[2];
	size_t size = WEFT_JSON_SIZE_DEFAULT;
	char *text = filled(size);
	weft_message m;

	(void)arg;
	want_ok(weft_conn_pair(conns, 0));
	for (int i = 0; i < 2; i++)
		want_ok(weft_transport_lines_own(&ends[i], conns[i], NULL));
	for (int i = 0; i < 2; i++) {
		send_text(ends[i], text);
		want_ok(weft_transport_receive(ends[!i], &m, WEFT_FOREVER));
		want(m.rpc.kind == WEFT_JSONRPC_REQUEST);
		want(m.text.len == size && !memcmp(m.text.data, text, size));
		weft_message_fini(&m);
	}
	free(text);
	for (int i = 0; i < 2; i++)
		weft_transport_free(ends[i]);
	return WEFT_OK;
}

/* What the pool can't hold is passed over as what is over the limit is. */
BOTH_TEST(a_message_without_memory_for_it_is_passed_over)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	weft_buf_pool_options pool_options = { .live_max = 100 * 1024 };
	weft_fiber *fiber;
	struct talk t;
	struct saying s;

	want_ok(weft_buf_pool_create(&options.pool, &pool_options));
	talk_open_with(&t, 0, &options);
	s = (struct saying){ t.peer, 200000, 1, "\n" };
	want_ok(weft_spawn(&fiber, "say", say_filled, &s));
	expect_invalid(&t, WEFT_EMSGSIZE, "77");
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	say(&t, PING "\n");
	expect(&t, WEFT_JSONRPC_REQUEST, PING);
	talk_close(&t);
	weft_buf_pool_free(options.pool);
	return WEFT_OK;
}

START_TEST(a_large_message_goes_through)
{
	both_run_epoll(large_body);
}
END_TEST

/* ---- sending ---- */

BOTH_TEST(what_can_not_be_sent_is_refused)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	struct talk t;
	weft_message m;

	options.message_size_max = strlen(PING) - 1;
	talk_open_with(&t, 0, &options);
	want_ok(weft_message_copy(&m, NULL, PING, strlen(PING), NULL));
	want_err(WEFT_EMSGSIZE, weft_transport_send_own(t.transport, &m, WEFT_FOREVER));
	want(!m.text.data);
	want_ok(weft_message_copy(&m, NULL, "no", 2, NULL));
	want_err(WEFT_EINVAL, weft_transport_send_own(t.transport, &m, WEFT_FOREVER));
	send_text(t.transport, NOTE);
	expect_line(&t, NOTE);
	weft_transport_close(t.transport);
	want_ok(weft_message_copy(&m, NULL, NOTE, strlen(NOTE), NULL));
	want_err(WEFT_ECLOSED, weft_transport_send_own(t.transport, &m, WEFT_FOREVER));
	talk_close(&t);
	return WEFT_OK;
}

/* Sends until that is how it ends, of a time-out: nothing more is taken in time; how many messages
 * were. */
static size_t fill_up(weft_transport *transport, const char *text, weft_err err)
{
	size_t count = 0;

	for (;;) {
		weft_message m;
		weft_err sent;

		want_ok(weft_message_copy(&m, NULL, text, strlen(text), NULL));
		sent = weft_transport_send_own(transport, &m,
			err == WEFT_ETIMEDOUT ? weft_after_ns(20 * MS) : WEFT_FOREVER);
		if (sent) {
			want_err(err, sent);
			return count;
		}
		count++;
		want(count < 100000);
	}
}

/* Who waits for a slow peer can stop waiting, and what was begun is whole. */
BOTH_TEST(a_slow_peer_makes_senders_wait)
{
	struct talk t;
	char *text = filled(700);
	size_t count;

	talk_open_with(&t, 100, NULL);
	count = fill_up(t.transport, text, WEFT_ETIMEDOUT);
	want(strstr(weft_error_detail(), "send to pair:"));
	want(count > 1000 && count < 2000); /* 1 MiB, less 256 bytes for each */
	for (size_t i = 0; i < count; i++)
		expect_line(&t, text);
	send_text(t.transport, NOTE);
	expect_line(&t, NOTE);
	talk_close(&t);
	free(text);
	return WEFT_OK;
}

BOTH_TEST(a_peer_that_takes_nothing_is_given_up)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	char *text = filled(100000);
	weft_message m;
	struct talk t;

	options.send_timeout_ns = 5 * MS;
	talk_open_with(&t, 100, &options);
	want_err(WEFT_ETIMEDOUT,
		weft_transport_receive(t.transport, &(weft_message){ 0 }, WEFT_NOW));
	(void)fill_up(t.transport, text, WEFT_ERESET);
	want(strstr(weft_error_detail(), "takes nothing"));
	want_err(WEFT_ERESET, weft_transport_receive(t.transport, &m, WEFT_FOREVER));
	want(strstr(weft_error_detail(), "takes nothing"));
	talk_close(&t);
	free(text);
	return WEFT_OK;
}

/* It goes on taking a little. */
BOTH_TEST(a_peer_that_takes_little_is_not_given_up)
{
	weft_transport_options options = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	char *text = filled(10000), *back = malloc(10001);
	struct talk t;

	want(back);
	options.send_timeout_ns = both_ample_ns(200 * MS); /* all of it takes longer */
	talk_open_with(&t, 100, &options);
	send_text(t.transport, text);
	for (size_t at = 0, got; at < 10001; at += got) {
		want_ok(weft_conn_read(t.peer, back + at, 1000, &got, WEFT_FOREVER));
		both_sleep_ns(10 * MS);
	}
	want(!memcmp(back, text, 10000) && back[10000] == '\n');
	talk_close(&t);
	free(text);
	free(back);
	return WEFT_OK;
}

struct thread {
	struct crowd crowd;
	pthread_t thread;
};

static void *crowd_thread(void *arg)
{
	struct thread *t = arg;

	want_ok(crowd_fiber(&t->crowd));
	return NULL;
}

static weft_err threads_body(void *arg)
{
	struct thread threads[3];
	unsigned next[3] = { 0 };
	weft_transport *ends[2];
	weft_conn *conns[2];

	(void)arg;
	want_ok(weft_conn_pair(conns, 3000));
	for (int i = 0; i < 2; i++)
		want_ok(weft_transport_lines_own(&ends[i], conns[i], NULL));
	for (unsigned i = 0; i < 3; i++) {
		threads[i].crowd = (struct crowd){ ends[0], 100, 1000, i };
		want(!pthread_create(&threads[i].thread, NULL, crowd_thread, &threads[i]));
	}
	for (unsigned n = 0; n < 300; n++)
		expect_in_order(ends[1], next, 3);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i].thread, NULL);
	weft_transport_free(ends[0]);
	weft_transport_free(ends[1]);
	return WEFT_OK;
}

START_TEST(plain_threads_may_send)
{
	both_run_epoll(threads_body);
}
END_TEST

/* ---- ends ---- */

BOTH_TEST(after_the_peers_end_something_can_be_sent)
{
	struct talk t;

	talk_open(&t);
	say(&t, PING "\n");
	want_ok(weft_conn_shutdown(t.peer));
	expect(&t, WEFT_JSONRPC_REQUEST, PING);
	want_err(WEFT_ECLOSED,
		weft_transport_receive(t.transport, &(weft_message){ 0 }, WEFT_FOREVER));
	send_text(t.transport, NOTE);
	expect_line(&t, NOTE);
	talk_close(&t);
	return WEFT_OK;
}

BOTH_TEST(a_reset_is_told)
{
	struct talk t;

	talk_open(&t);
	weft_conn_abort(t.peer);
	want_err(WEFT_ERESET,
		weft_transport_receive(t.transport, &(weft_message){ 0 }, WEFT_FOREVER));
	talk_close(&t);
	return WEFT_OK;
}

static weft_err read_slowly(void *arg)
{
	struct talk *t = arg;
	char line[1024];
	size_t got;
	weft_err err;

	while (!(err = weft_conn_read_line(t->peer, line, sizeof(line), &got, WEFT_FOREVER)))
		both_pause();
	want(err == WEFT_ECLOSED);
	return WEFT_OK;
}

/* What was taken is sent, and the peer sees an end in order. */
BOTH_TEST(closing_sends_what_is_pending)
{
	struct talk t;
	weft_fiber *fiber;
	char line[100];
	size_t got;

	for (int i = 0; i < 2; i++) {
		talk_open_with(&t, 50, NULL);
		if (i)
			want_err(WEFT_ETIMEDOUT,
				weft_transport_receive(
					t.transport, &(weft_message){ 0 }, WEFT_NOW));
		for (int k = 0; k < 20; k++)
			send_text(t.transport, NOTE);
		weft_transport_close(t.transport);
		for (int k = 0; k < 20; k++)
			expect_line(&t, NOTE);
		want_err(WEFT_ECLOSED,
			weft_conn_read_line(t.peer, line, sizeof(line), &got, WEFT_FOREVER));
		talk_close(&t);
	}
	/* the same with what the peer says meanwhile, and free alone */
	talk_open_with(&t, 50, NULL);
	want_ok(weft_spawn(&fiber, "reads", read_slowly, &t));
	for (int k = 0; k < 20; k++)
		send_text(t.transport, NOTE);
	weft_transport_free(t.transport);
	want_ok(weft_fiber_join(fiber, NULL, WEFT_FOREVER));
	weft_conn_free(t.peer);
	return WEFT_OK;
}

/* With a reader or without, with something to be sent or without. */
static weft_err leave_peer(void *arg)
{
	unsigned which = *(unsigned *)arg;
	char *text = filled(100000);
	weft_deadline begin;
	struct talk t;

	talk_open_with(&t, 50, NULL);
	if (which & 1)
		want_err(WEFT_ETIMEDOUT,
			weft_transport_receive(t.transport, &(weft_message){ 0 }, WEFT_NOW));
	if (which & 2)
		send_text(t.transport, text);
	begin = weft_now();
	weft_transport_free(t.transport);
	/* no longer than it is to wait, where time is what is waited for */
	want(!weft_in_sim() || weft_now() - begin < 3000 * MS);
	weft_conn_free(t.peer);
	free(text);
	return WEFT_OK;
}

/* A peer that does not read, nor ends, is waited for a second. */
BOTH_TEST(a_peer_that_does_not_end_is_left)
{
	unsigned which[4] = { 0, 1, 2, 3 };
	weft_scope *scope;

	want_ok(weft_scope_create(&scope));
	for (int i = 0; i < 4; i++)
		want_ok(weft_scope_spawn(scope, "leaves", leave_peer, &which[i]));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	return WEFT_OK;
}

static weft_err receive_closed(void *arg)
{
	weft_message m;

	want_err(WEFT_ECLOSED, weft_transport_receive(arg, &m, WEFT_FOREVER));
	return WEFT_OK;
}

static weft_err send_closed(void *arg)
{
	char *text = filled(100000);
	weft_err err = WEFT_OK;

	while (!err) {
		weft_message m;

		want_ok(weft_message_copy(&m, NULL, text, strlen(text), NULL));
		err = weft_transport_send_own(arg, &m, WEFT_FOREVER);
	}
	want_err(WEFT_ECLOSED, err);
	free(text);
	return WEFT_OK;
}

static weft_err close_soon(void *arg)
{
	both_sleep_ns((int64_t)both_random(3) * MS);
	weft_transport_close(arg);
	return WEFT_OK;
}

BOTH_TEST(closing_ends_calls_under_way)
{
	weft_fiber_fn fns[] = { receive_closed, receive_closed, send_closed, send_closed,
		close_soon, close_soon };
	weft_scope *scope;
	struct talk t;

	talk_open_with(&t, 100, NULL);
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < 6; i++)
		want_ok(weft_scope_spawn_on(
			scope, i % weft_worker_count(), "inside", fns[i], t.transport));
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_transport_free(t.transport);
	weft_scope_free(scope);
	weft_conn_free(t.peer);
	return WEFT_OK;
}

static void park_message(void *user, weft_message *message)
{
	weft_message_fini(message);
	want_err(WEFT_ECANCELED, weft_chan_recv(user, NULL, WEFT_FOREVER));
}

static void count_end(void *user, weft_err err, const char *detail)
{
	want(err == WEFT_ECLOSED && !*detail);
	weft_chan_close(user);
}

/* Closing cancels the fiber that a sink has. */
BOTH_TEST(a_sink_that_waits_is_cancelled)
{
	static const weft_transport_sink sink = { park_message, count_end };
	weft_chan *chan;
	struct talk t;

	want_ok(weft_chan_create(&chan, 0, 1, NULL));
	talk_open(&t);
	want_ok(weft_transport_start(t.transport, &sink, chan));
	say(&t, PING "\n" PING "\n");
	both_pause();
	weft_transport_close(t.transport);
	want_ok(weft_chan_wait_closed(chan, WEFT_FOREVER));
	talk_close(&t);
	weft_chan_unref(chan);
	return WEFT_OK;
}

/* What the peer said before it stopped reading is received. */
BOTH_TEST(a_failure_to_send_does_not_lose_what_came)
{
	struct talk t;
	weft_err err;

	talk_open(&t);
	say(&t, PING "\n" NOTE "\n");
	weft_conn_close(t.peer);
	expect(&t, WEFT_JSONRPC_REQUEST, PING);
	(void)fill_up(t.transport, NOTE, WEFT_ERESET);
	expect(&t, WEFT_JSONRPC_NOTIFICATION, NOTE);
	err = weft_transport_receive(t.transport, &(weft_message){ 0 }, WEFT_FOREVER);
	want(err == WEFT_ERESET || err == WEFT_ECLOSED); /* whichever was seen first */
	talk_close(&t);
	return WEFT_OK;
}

/* ---- without memory ---- */

static weft_err scarce_body(void *arg)
{
	weft_transport *ends[2] = { NULL, NULL };
	weft_conn *conns[2];
	char *text = filled(20000);
	weft_message m;
	weft_err err;

	(void)arg;
	err = weft_conn_pair(conns, 1000);
	if (!err) {
		err = weft_transport_lines_own(&ends[0], conns[0], NULL);
		if (err)
			weft_conn_free(conns[1]);
		else
			err = weft_transport_lines_own(&ends[1], conns[1], NULL);
	}
	for (int i = 0; i < 4 && !err; i++) {
		err = weft_message_copy(&m, NULL, text, 20000, NULL);
		if (!err)
			err = weft_transport_send_own(ends[0], &m, weft_after_ns(1000 * MS));
	}
	for (int i = 0; i < 4 && !err; i++) {
		err = weft_transport_receive(ends[1], &m, weft_after_ns(1000 * MS));
		if (!err)
			weft_message_fini(&m);
	}
	weft_transport_free(ends[0]);
	weft_transport_free(ends[1]);
	free(text);
	return err;
}

START_TEST(without_memory_nothing_is_left)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	unsigned failures = 0;

	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_sim_run(scarce_body, NULL, &options, NULL);

		ck_assert_msg(!err || t_malloc_failed(), "%s", weft_error_detail());
		failures += err != WEFT_OK;
	}
	ck_assert_uint_gt(failures, 10);
}
END_TEST

static void lines_tests(TCase *tc)
{
	both_add(tc, a_message_comes_and_goes_a_line);
	both_add(tc, line_ends_and_blank_lines_are_as_they_come);
	both_add(tc, each_fibers_messages_stay_in_order);
	both_add(tc, lines_may_be_cut_anywhere);
	both_add(tc, what_is_no_message_is_told_and_passed_over);
	both_add(tc, a_batch_comes_as_its_elements);
	both_add(tc, only_what_is_over_the_limit_is_passed_over);
	both_add(tc, memory_is_bounded_and_given_back);
	both_add(tc, a_message_without_memory_for_it_is_passed_over);
	t_add(tc, a_large_message_goes_through);
	both_add(tc, what_can_not_be_sent_is_refused);
	both_add(tc, a_slow_peer_makes_senders_wait);
	both_add(tc, a_peer_that_takes_nothing_is_given_up);
	both_add(tc, a_peer_that_takes_little_is_not_given_up);
	t_add(tc, plain_threads_may_send);
	both_add(tc, after_the_peers_end_something_can_be_sent);
	both_add(tc, a_reset_is_told);
	both_add(tc, closing_sends_what_is_pending);
	both_add(tc, a_peer_that_does_not_end_is_left);
	both_add(tc, closing_ends_calls_under_way);
	both_add(tc, a_sink_that_waits_is_cancelled);
	both_add(tc, a_failure_to_send_does_not_lose_what_came);
	t_add(tc, without_memory_nothing_is_left);
}

T_SUITE("lines", lines_tests)
