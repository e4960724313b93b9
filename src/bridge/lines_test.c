/* SPDX-License-Identifier: MIT */
/* Messages a line, over conns in memory that give and take as the test says. */
#include "support/both.h"

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
};

static weft_err crowd_fiber(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < c->count; i++) {
		char *text = malloc(c->size + 200);
		int len;

		want(text);
		len = sprintf(text,
			"{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":{\"who\":%lu,\"n\":%u,"
			"\"fill\":\"",
			(unsigned long)(uintptr_t)c, i);
		memset(text + len, 'x', c->size);
		strcpy(text + len + c->size, "\"}}");
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
		crowd[i] = (struct crowd){ ends[0], 50, size };
		want_ok(weft_scope_spawn_on(
			scope, i % weft_worker_count(), "sender", crowd_fiber, &crowd[i]));
	}
	for (unsigned n = 0; n < 200; n++) {
		unsigned long who;
		unsigned number, i;

		want_ok(weft_transport_receive(ends[1], &m, WEFT_FOREVER));
		want(m.rpc.kind == WEFT_JSONRPC_NOTIFICATION);
		want(sscanf(m.rpc.params.text, "{\"who\":%lu,\"n\":%u", &who, &number) == 2);
		for (i = 0; i < 4 && who != (uintptr_t)&crowd[i]; i++)
			;
		want(i < 4 && number == next[i]);
		next[i]++;
		weft_message_fini(&m);
	}
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

static void lines_tests(TCase *tc)
{
	both_add(tc, a_message_comes_and_goes_a_line);
	both_add(tc, line_ends_and_blank_lines_are_as_they_come);
	both_add(tc, each_fibers_messages_stay_in_order);
}

T_SUITE("lines", lines_tests)
