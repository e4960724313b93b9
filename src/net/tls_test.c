/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=240 */
/* TLS as a conn: over every kind of conn below it, both versions. */
#include "net/tls.h"
#include "support/tlsends.h"

static struct tls_conn *inside(weft_conn *conn)
{
	return (struct tls_conn *)conn;
}

/* ---- over every kind of conn ---- */

static void echo_once(struct ends *ends, weft_tls_version version, uint64_t bytes)
{
	struct stream s = { .bytes = bytes, .piece = 0 };
	uint8_t *data = malloc(bytes);
	weft_fiber *echo, *writer;
	struct tls_pair_ends e;

	tls_init(&e, version);
	e.lower[0] = ends->a;
	e.lower[1] = ends->b;
	ends->a = ends->b = NULL;
	tls_open(&e);
	echo = spawn(echo_fiber, e.server);
	s.conn = e.client;
	writer = spawn(write_fiber, &s);
	OK(weft_conn_read_full(e.client, data, bytes, NULL, SOON));
	ck_assert(matches(data, bytes, 0));
	join(writer);
	OK(s.err);
	OK(weft_conn_shutdown(e.client));
	read_all(e.client, 0, 100);
	join(echo);
	FAILS(WEFT_ECLOSED, weft_conn_write(e.client, "x", 1, NULL, SOON));
	tls_fini(&e);
	free(data);
}

static void echo_body(struct ends *ends)
{
	/* seven bytes at a time take long */
	uint64_t bytes = ends->kind->make == make_small_memory ? 20000 : 300000;
	weft_conn *more[2];

	echo_once(ends, WEFT_TLS_1_2, bytes);
	OK(ends->kind->make(more));
	ends->a = more[0];
	ends->b = more[1];
	echo_once(ends, WEFT_TLS_1_3, bytes);
}

START_TEST(tls_carries_bytes_both_ways_and_half_closes)
{
	int64_t live = t_malloc_live();

	certs_begin();
	run_over(_i, echo_body);
	certs_end();
	ck_assert_int_eq(t_malloc_live(), live);
}
END_TEST

TLS_TEST(tls_says_what_was_agreed_on)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		weft_tls_info client, server;

		tls_init(&e, v);
		tls_open(&e);
		OK(weft_tls_info_get(e.client, &client));
		OK(weft_tls_info_get(e.server, &server));
		ck_assert_str_eq(client.version, v == WEFT_TLS_1_2 ? "TLSv1.2" : "TLSv1.3");
		ck_assert_str_eq(server.version, client.version);
		ck_assert_str_eq(server.cipher, client.cipher);
		ck_assert(client.cipher[0]);
		ck_assert(client.verified && !server.verified);
		ck_assert(!client.resumed && !server.resumed);
		ck_assert_str_eq(client.peer_subject, "CN=Test Server");
		ck_assert_str_eq(server.server_name, "localhost");
		ck_assert_str_eq(client.server_name, "localhost");
		ck_assert_str_eq(weft_conn_peer_name(e.client), "tls+pair:1");
		tls_fini(&e);
	}
	return WEFT_OK;
}

TLS_TEST(tls_names_are_those_below)
{
	weft_tls_info info;
	struct tls_pair_ends e;
	weft_conn *pair[2];

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.make = make_tcp;
	tls_open(&e);
	ck_assert_str_eq(weft_conn_peer_name(e.client), weft_conn_local_name(e.server));
	ck_assert_int_eq(strncmp(weft_conn_peer_name(e.client), "tls://127.0.0.1:", 16), 0);
	ck_assert_int_ge(weft_conn_fd(e.client), 0);
	tls_fini(&e);
	OK(make_memory(pair));
	FAILS(WEFT_EINVAL, weft_tls_info_get(pair[0], &info));
	weft_conn_free(pair[0]);
	weft_conn_free(pair[1]);
	return WEFT_OK;
}

TLS_TEST(tls_goes_over_tls)
{
	struct tls_pair_ends outer, inner;

	tls_init(&outer, WEFT_TLS_VERSION_DEFAULT);
	outer.make = make_tcp;
	tls_open(&outer);
	tls_init(&inner, WEFT_TLS_1_2);
	inner.lower[0] = outer.client;
	inner.lower[1] = outer.server;
	outer.client = outer.server = NULL;
	tls_open(&inner);
	say(inner.client, inner.server, "within");
	say(inner.server, inner.client, "and back");
	ck_assert_int_eq(strncmp(weft_conn_peer_name(inner.client), "tls+tls://", 10), 0);
	tls_fini(&inner);
	tls_fini(&outer);
	return WEFT_OK;
}

/* ---- pieces ---- */

static weft_err write_bytewise(void *arg)
{
	struct stream *s = arg;

	for (uint64_t i = 0; i < s->bytes; i++) {
		uint8_t byte = pattern(i);

		OK(weft_conn_write(s->conn, &byte, 1, NULL, SOON));
	}
	return weft_conn_shutdown(s->conn);
}

TLS_TEST(tls_single_bytes_are_read_and_written)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		struct stream s = { .bytes = 3000 };
		weft_fiber *writer;

		tls_init(&e, v);
		tls_open(&e);
		s.conn = e.client;
		writer = spawn(write_bytewise, &s);
		read_all(e.server, s.bytes, 1);
		join(writer);
		tls_fini(&e);
	}
	return WEFT_OK;
}

#define PIECES 300

static size_t pieces_fill(struct iovec *iov, uint8_t *data)
{
	static const size_t sizes[] = { 1, 0, 7, 100, 20000, 0, 16384, 3, 40000, 1000 };
	size_t at = 0;

	for (unsigned i = 0; i < PIECES; i++) {
		size_t n = sizes[i % 10];

		if (i % 10 == 4 && i > 20)
			n = 17;
		if (i % 10 == 8 && i > 20)
			n = 16385;
		if (i % 10 == 6 && i > 20)
			n = 0;
		iov[i].iov_base = data ? data + at : NULL;
		iov[i].iov_len = n;
		at += n;
	}
	return at;
}

struct gathered {
	weft_conn *conn;
	struct iovec iov[PIECES];
	size_t total;
};

static weft_err write_gathered(void *arg)
{
	struct gathered *g = arg;
	size_t written = 0;

	OK(weft_conn_writev(g->conn, g->iov, PIECES, &written, SOON));
	ck_assert_uint_eq(written, g->total);
	return weft_conn_shutdown(g->conn);
}

/* Records carry 16 KiB each, however short the pieces: fewer than one for each piece. */
TLS_TEST(tls_short_pieces_are_gathered_into_records)
{
	struct iovec none[PIECES];
	size_t total = pieces_fill(none, NULL);
	uint8_t *data = malloc(total);
	struct gathered *g = malloc(sizeof(*g));
	struct tls_pair_ends e;
	weft_fiber *writer;

	fill(data, total, 0);
	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	tls_open(&e);
	g->conn = e.client;
	g->total = pieces_fill(g->iov, data);
	writer = spawn(write_gathered, g);
	read_all(e.server, total, 50000);
	join(writer);
	ck_assert_uint_lt(inside(e.client)->records, 2 * (total / TLS_RECORD_MAX) + 4);
	tls_fini(&e);
	free(g);
	free(data);
	return WEFT_OK;
}

TLS_TEST(tls_reads_scatter)
{
	uint8_t a[3], b[5], c[100];
	struct iovec iov[] = { { a, 3 }, { NULL, 0 }, { b, 5 }, { c, 100 } };
	struct tls_pair_ends e;
	size_t got = 0, done = 0;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	tls_open(&e);
	OK(weft_conn_write(e.client, "01234", 5, NULL, SOON));
	OK(weft_conn_write(e.client, "56789", 5, NULL, SOON));
	/* both records are there */
	OK(weft_conn_readv(e.server, iov, 4, &got, SOON));
	done = got;
	ck_assert_uint_eq(done, 10);
	ck_assert_mem_eq(a, "012", 3);
	ck_assert_mem_eq(b, "34567", 5);
	ck_assert_mem_eq(c, "89", 2);
	/* nothing asked for is nothing to wait for */
	OK(weft_conn_readv(e.server, iov, 0, &got, WEFT_NOW));
	OK(weft_conn_write(e.client, NULL, 0, NULL, WEFT_NOW));
	tls_fini(&e);
	return WEFT_OK;
}

TLS_TEST(tls_lines_are_read)
{
	struct tls_pair_ends e;
	char line[64];
	size_t got;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	tls_open(&e);
	OK(weft_conn_write(e.client, "one\ntwo\nthr", 11, NULL, SOON));
	OK(weft_conn_read_line(e.server, line, sizeof(line), &got, SOON));
	ck_assert_str_eq(line, "one\n");
	OK(weft_conn_write(e.client, "ee", 2, NULL, SOON));
	OK(weft_conn_shutdown(e.client));
	OK(weft_conn_read_line(e.server, line, sizeof(line), &got, SOON));
	ck_assert_str_eq(line, "two\n");
	OK(weft_conn_read_line(e.server, line, sizeof(line), &got, SOON));
	ck_assert_str_eq(line, "three");
	tls_fini(&e);
	return WEFT_OK;
}

static weft_err write_all(void *arg)
{
	(void)write_fiber(arg);
	return weft_conn_shutdown(((struct stream *)arg)->conn);
}

/* What an idle conn keeps is small again after bulk. */
TLS_TEST(tls_bulk_leaves_nothing_behind)
{
	struct tls_pair_ends e;
	struct stream s = { .bytes = 20 << 20 };
	weft_fiber *writer;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.make = make_tcp;
	tls_open(&e);
	s.conn = e.client;
	writer = spawn(write_all, &s);
	read_all(e.server, s.bytes, 200000);
	join(writer);
	OK(s.err);
	ck_assert_uint_eq(s.written, s.bytes);
	ck_assert_uint_le(inside(e.client)->out.cap + inside(e.client)->flight.cap, 8192);
	ck_assert_uint_eq(inside(e.server)->in.cap, 33 << 10);
	for (int i = 0; i < 100; i++)
		say(e.server, e.client, "small");
	tls_fini(&e);
	return WEFT_OK;
}

TLS_TEST(tls_a_large_block_shrinks_when_reads_are_small)
{
	struct tls_pair_ends e;
	struct stream s = { .bytes = 2 << 20 };
	weft_fiber *writer;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.make = make_tcp;
	tls_open(&e);
	s.conn = e.client;
	writer = spawn(write_fiber, &s);
	uint8_t *data = malloc(s.bytes);

	OK(weft_conn_read_full(e.server, data, s.bytes, NULL, SOON));
	join(writer);
	ck_assert_uint_eq(inside(e.server)->in.cap, 33 << 10);
	for (int i = 0; i < 100; i++)
		say(e.client, e.server, "small");
	ck_assert_uint_eq(inside(e.server)->in.cap, 4096);
	free(data);
	tls_fini(&e);
	return WEFT_OK;
}

/* ---- keys ---- */

static void keys_update(weft_conn *conn, int request)
{
	rt_lock_acquire(&inside(conn)->lock);
	ck_assert_int_eq(SSL_key_update(inside(conn)->ssl, request), 1);
	rt_lock_release(&inside(conn)->lock);
}

TLS_TEST(tls_keys_are_updated_under_way)
{
	struct tls_pair_ends e;

	tls_init(&e, WEFT_TLS_1_3);
	tls_open(&e);
	for (int i = 0; i < 20; i++) {
		keys_update(i % 2 ? e.client : e.server,
			i % 3 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
		say(e.client, e.server, "new keys, one way");
		say(e.server, e.client, "or the other, or both");
	}
	/* by itself, when they have been used often enough */
	inside(e.client)->records = (uint64_t)1 << 23;
	say(e.client, e.server, "with new keys");
	ck_assert_uint_eq(inside(e.client)->records, 1);
	say(e.server, e.client, "and back");
	tls_fini(&e);
	return WEFT_OK;
}

/* A peer that sends nothing but updates lets others run, and does no harm. */
static weft_err flood(void *arg)
{
	weft_conn *conn = arg;
	struct tls_conn *c = inside(conn);

	for (int i = 0; i < 3000; i++) {
		keys_update(conn, SSL_KEY_UPDATE_NOT_REQUESTED);
		rt_lock_acquire(&c->lock);
		ck_assert_int_eq(SSL_do_handshake(c->ssl), 1);
		rt_lock_release(&c->lock);
	}
	return weft_conn_write(conn, "x", 1, NULL, SOON);
}

TLS_TEST(tls_a_flood_of_key_updates_is_read)
{
	struct tls_pair_ends e;
	weft_fiber *fiber;
	uint8_t byte;
	size_t got;

	tls_init(&e, WEFT_TLS_1_3);
	tls_open(&e);
	fiber = spawn(flood, e.client);
	OK(weft_conn_read(e.server, &byte, 1, &got, SOON));
	join(fiber);
	tls_fini(&e);
	return WEFT_OK;
}

static void tls_tests(TCase *tc)
{
	t_add_loop(tc, tls_carries_bytes_both_ways_and_half_closes, 0, KINDS);
	t_add(tc, tls_says_what_was_agreed_on);
	t_add(tc, tls_names_are_those_below);
	t_add(tc, tls_goes_over_tls);
	t_add(tc, tls_single_bytes_are_read_and_written);
	t_add(tc, tls_short_pieces_are_gathered_into_records);
	t_add(tc, tls_reads_scatter);
	t_add(tc, tls_lines_are_read);
	t_add(tc, tls_bulk_leaves_nothing_behind);
	t_add(tc, tls_a_large_block_shrinks_when_reads_are_small);
	t_add(tc, tls_keys_are_updated_under_way);
	t_add(tc, tls_a_flood_of_key_updates_is_read);
}

T_SUITE("tls", tls_tests)
