/* SPDX-License-Identifier: MIT */
/* Fibers that send lines at once. */
#include "support/both.h"

#include <string.h>

#define NOTE "{\"jsonrpc\":\"2.0\",\"method\":\"note\"}"

/* A conn that counts its writes. */
struct counting {
	weft_conn *under;
	unsigned writes;
};

static weft_err counting_readv(
	void *user, const struct iovec *iov, unsigned iov_count, size_t *got, weft_deadline until)
{
	return weft_conn_readv(((struct counting *)user)->under, iov, iov_count, got, until);
}

static weft_err counting_writev(void *user, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	struct counting *c = user;

	c->writes++;
	return weft_conn_writev(c->under, iov, iov_count, written, until);
}

static void counting_close(void *user)
{
	weft_conn_close(((struct counting *)user)->under);
}

static void counting_free(void *user)
{
	weft_conn_free(((struct counting *)user)->under);
}

static weft_err note_fiber(void *arg)
{
	weft_message m;

	want_ok(weft_message_copy(&m, NULL, NOTE, strlen(NOTE), NULL));
	want_ok(weft_transport_send_own(arg, &m, WEFT_FOREVER));
	return WEFT_OK;
}

static void expect_note(weft_conn *peer)
{
	char line[100];
	size_t got;

	want_ok(weft_conn_read_line(peer, line, sizeof(line), &got, WEFT_FOREVER));
	want(got == strlen(NOTE) + 1 && !memcmp(line, NOTE "\n", got));
}

static weft_err share_body(void *arg)
{
	static const weft_conn_ops ops = { counting_readv, counting_writev, NULL, counting_close,
		NULL, counting_free, NULL };
	enum { SENDERS = 20 };
	struct counting counting = { NULL, 0 };
	weft_conn *ends[2], *conn;
	weft_scope *scope;
	weft_transport *transport;

	(void)arg;
	want_ok(weft_conn_pair(ends, 0));
	counting.under = ends[0];
	want_ok(weft_conn_create(&conn, &ops, &counting, NULL, NULL));
	want_ok(weft_transport_lines_own(&transport, conn, NULL));
	want_ok(weft_scope_create(&scope));
	for (unsigned round = 1; round <= 3; round++) {
		for (unsigned i = 0; i < SENDERS; i++)
			want_ok(weft_scope_spawn(scope, "sender", note_fiber, transport));
		for (unsigned i = 0; i < SENDERS; i++)
			expect_note(ends[1]);
		want(counting.writes == round);
	}
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	weft_conn_free(ends[1]);
	weft_transport_free(transport);
	return WEFT_OK;
}

/* Not simulated: there fibers run in any order, and who yields may be the next. */
START_TEST(those_who_send_at_once_share_a_write)
{
	both_run_epoll(share_body);
}
END_TEST

static void lines_share_tests(TCase *tc)
{
	t_add(tc, those_who_send_at_once_share_a_write);
}

T_SUITE("lines_share", lines_share_tests)
