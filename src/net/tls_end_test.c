/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=240 */
/* Ends, cuts, times and cancellation, and two at once. */
#include "net/tls.h"
#include "support/threads.h"
#include "support/tlsends.h"

static struct tls_conn *inside(weft_conn *conn)
{
	return (struct tls_conn *)conn;
}

/* ---- how a stream ends ---- */

TLS_TEST(tls_a_stream_ends_by_close_notify)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		uint8_t byte;
		size_t got;

		tls_init(&e, v);
		tls_open(&e);
		OK(weft_conn_write(e.server, "last", 4, NULL, SOON));
		weft_conn_free(e.server);
		e.server = NULL;
		for (int i = 0; i < 4; i++)
			OK(weft_conn_read(e.client, &byte, 1, &got, SOON));
		FAILS(WEFT_ECLOSED, weft_conn_read(e.client, &byte, 1, &got, SOON));
		FAILS(WEFT_ECLOSED, weft_conn_read(e.client, &byte, 1, &got, SOON));
		tls_fini(&e);
	}
	return WEFT_OK;
}

TLS_TEST(tls_a_stream_that_is_cut_is_reset)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		uint8_t byte;
		size_t got;

		tls_init(&e, v);
		tls_open(&e);
		OK(weft_conn_write(e.server, "x", 1, NULL, SOON));
		OK(weft_conn_shutdown(inside(e.server)->lower));
		OK(weft_conn_read(e.client, &byte, 1, &got, SOON));
		FAILS(WEFT_ERESET, weft_conn_read(e.client, &byte, 1, &got, SOON));
		HAS(weft_error_detail(), "was cut: it ended without close_notify");
		FAILS(WEFT_ERESET, weft_conn_read(e.client, &byte, 1, &got, SOON));
		tls_fini(&e);
	}
	return WEFT_OK;
}

TLS_TEST(tls_an_abort_is_a_reset)
{
	struct tls_pair_ends e;
	uint8_t byte;
	size_t got;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	tls_open(&e);
	weft_conn_abort(e.server);
	FAILS(WEFT_ERESET, weft_conn_read(e.client, &byte, 1, &got, SOON));
	FAILS(WEFT_ERESET, weft_conn_write(e.client, "x", 1, NULL, SOON));
	FAILS(WEFT_ECLOSED, weft_conn_read(e.server, &byte, 1, &got, SOON));
	tls_fini(&e);
	return WEFT_OK;
}

TLS_TEST(tls_the_other_half_goes_on_after_shutdown)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		uint8_t byte;
		size_t got;

		tls_init(&e, v);
		tls_open(&e);
		OK(weft_conn_shutdown(e.client));
		OK(weft_conn_shutdown(e.client));
		FAILS(WEFT_ECLOSED, weft_conn_read(e.server, &byte, 1, &got, SOON));
		say(e.server, e.client, "still here");
		FAILS(WEFT_ECLOSED, weft_conn_write(e.client, "x", 1, NULL, SOON));
		OK(weft_conn_shutdown(e.server));
		FAILS(WEFT_ECLOSED, weft_conn_read(e.client, &byte, 1, &got, SOON));
		tls_fini(&e);
	}
	return WEFT_OK;
}

static weft_err read_one(void *arg)
{
	struct stream *s = arg;
	uint8_t byte;
	size_t got;

	s->err = weft_conn_read(s->conn, &byte, 1, &got, SOON);
	return WEFT_OK;
}

/* More than tcp takes when nobody reads. */
static weft_err write_much(void *arg)
{
	struct stream *s = arg;
	uint8_t *data;

	s->bytes = 16 << 20;
	data = calloc(1, s->bytes);
	s->err = weft_conn_write(s->conn, data, s->bytes, &s->written, SOON);
	free(data);
	return WEFT_OK;
}

TLS_TEST(tls_closing_ends_readers_and_writers)
{
	struct tls_pair_ends e;
	struct stream r = { 0 }, w = { 0 };
	weft_fiber *reader, *writer;

	for (int i = 0; i < 3; i++) {
		tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
		e.make = i == 2 ? make_tcp : make_memory;
		tls_open(&e);
		r.conn = w.conn = e.client;
		reader = spawn(read_one, &r);
		writer = spawn(write_much, &w);
		wait_parked();
		if (i == 1)
			weft_conn_abort(e.client);
		else
			weft_conn_close(e.client);
		join(reader);
		join(writer);
		FAILS(WEFT_ECLOSED, r.err);
		FAILS(WEFT_ECLOSED, w.err);
		ck_assert_uint_lt(w.written, w.bytes);
		tls_fini(&e);
	}
	return WEFT_OK;
}

/* ---- times ---- */

TLS_TEST(tls_a_read_in_vain_times_out_and_harms_nothing)
{
	struct tls_pair_ends e;
	uint8_t byte;
	size_t got;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	tls_open(&e);
	FAILS(WEFT_ETIMEDOUT, weft_conn_read(e.client, &byte, 1, &got, WEFT_NOW));
	FAILS(WEFT_ETIMEDOUT, weft_conn_read(e.client, &byte, 1, &got, MS(20)));
	say(e.server, e.client, "in time");
	tls_fini(&e);
	return WEFT_OK;
}

TLS_TEST(tls_a_handshake_in_vain_times_out)
{
	struct tls_pair_ends e;
	weft_conn *ends[2], *out = NULL;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	tls_configure(&e);
	for (int i = 0; i < 2; i++) {
		OK(make_memory(ends));
		FAILS(WEFT_ETIMEDOUT,
			weft_tls_connect_own(
				&out, e.client_tls, ends[0], "localhost", i ? MS(20) : WEFT_NOW));
		HAS(weft_error_detail(), "TLS handshake with tls+pair:1: timed out");
		weft_conn_free(ends[1]);
		OK(make_memory(ends));
		FAILS(WEFT_ETIMEDOUT,
			weft_tls_accept_own(&out, e.server_tls, ends[0], i ? MS(20) : WEFT_NOW));
		weft_conn_free(ends[1]);
	}
	ck_assert_ptr_null(out);
	tls_fini(&e);
	return WEFT_OK;
}

struct cancelled {
	struct tls_pair_ends *e;
	weft_conn *conn;
	weft_err err;
};

static weft_err handshake_cancelled(void *arg)
{
	struct cancelled *c = arg;
	weft_conn *out = NULL;

	c->err = weft_tls_connect_own(&out, c->e->client_tls, c->conn, "localhost", SOON);
	return WEFT_OK;
}

static weft_err read_cancelled(void *arg)
{
	struct cancelled *c = arg;
	uint8_t byte;
	size_t got;

	c->err = weft_conn_read(c->conn, &byte, 1, &got, SOON);
	/* what needs no waiting is done all the same */
	OK(weft_conn_shutdown(c->conn));
	return WEFT_OK;
}

static void cancel_in(weft_fiber_fn fn, struct cancelled *c)
{
	weft_scope *scope = NULL;

	OK(weft_scope_create(&scope));
	OK(weft_scope_spawn(scope, "cancelled", fn, c));
	wait_parked();
	weft_scope_cancel(scope);
	weft_scope_free(scope);
	ck_assert_int_eq(c->err, WEFT_ECANCELED);
}

TLS_TEST(tls_waits_are_cancelled)
{
	struct tls_pair_ends e;
	struct cancelled c = { &e, NULL, WEFT_OK };
	weft_conn *ends[2];
	uint8_t byte;
	size_t got;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	tls_configure(&e);
	OK(make_memory(ends));
	c.conn = ends[0];
	cancel_in(handshake_cancelled, &c);
	weft_conn_free(ends[1]);
	tls_open(&e);
	c.conn = e.client;
	cancel_in(read_cancelled, &c);
	FAILS(WEFT_ECLOSED, weft_conn_read(e.server, &byte, 1, &got, SOON));
	say(e.server, e.client, "the other half");
	tls_fini(&e);
	return WEFT_OK;
}

/* ---- writes that are cut ---- */

static weft_err make_narrow(weft_conn *ends[2])
{
	return weft_conn_pair(ends, 4096);
}

/* Nobody reads, now and then: the writer goes on where it was told that it is. */
static void write_in_parts(struct stream *s, const uint8_t *data)
{
	size_t done = 0;
	unsigned cuts = 0;

	while (done < s->bytes) {
		size_t written = 0;
		size_t n = s->piece < s->bytes - done ? s->piece : s->bytes - done;
		weft_err err = weft_conn_write(
			s->conn, data + done, n, &written, cuts % 2 ? MS(1) : WEFT_NOW);

		ck_assert(err == WEFT_OK || err == WEFT_ETIMEDOUT);
		/* whoever was cut has something left to write */
		ck_assert(err == WEFT_OK ? written == n : written < n);
		done += written;
		cuts += err != WEFT_OK;
		if (err)
			OK(weft_yield());
	}
	ck_assert_uint_gt(cuts, 0);
}

static weft_err parts_fiber(void *arg)
{
	struct stream *s = arg;
	uint8_t *data = malloc(s->bytes);

	fill(data, s->bytes, 0);
	write_in_parts(s, data);
	free(data);
	return weft_conn_shutdown(s->conn);
}

TLS_TEST(tls_a_write_that_was_cut_goes_on)
{
	static const size_t pieces[] = { 1, 100, 5000, 200000 };

	BOTH_VERSIONS(v)
	{
		for (int i = 0; i < 4; i++) {
			struct tls_pair_ends e;
			struct stream s = { .bytes = pieces[i] * 3 < 20000 ? 20000 : 600000,
				.piece = pieces[i] };
			weft_fiber *writer;

			tls_init(&e, v);
			e.make = make_narrow;
			tls_open(&e);
			s.conn = e.client;
			writer = spawn(parts_fiber, &s);
			wait_parked();
			read_all(e.server, s.bytes, 3000);
			join(writer);
			tls_fini(&e);
		}
	}
	return WEFT_OK;
}

TLS_TEST(tls_a_write_that_was_cut_must_not_go_elsewhere)
{
	struct tls_pair_ends e;
	uint8_t *data = malloc(10000);
	size_t written, got;
	uint8_t byte;

	fill(data, 10000, 0);
	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.make = make_narrow;
	tls_open(&e);
	FAILS(WEFT_ETIMEDOUT, weft_conn_write(e.client, data, 10000, &written, WEFT_NOW));
	ck_assert_uint_eq(written, 9999);
	byte = (uint8_t)~data[9999];
	FAILS(WEFT_EINVAL, weft_conn_write(e.client, &byte, 1, &written, SOON));
	ck_assert_uint_eq(written, 0);
	HAS(weft_error_detail(), "must go on with the byte after those written");
	FAILS(WEFT_EINVAL, weft_conn_write(e.client, data + 9999, 1, &written, SOON));
	FAILS(WEFT_EINVAL, weft_conn_read(e.client, &byte, 1, &got, SOON));
	tls_fini(&e);
	free(data);
	return WEFT_OK;
}

static weft_err shut(void *arg)
{
	return weft_conn_shutdown(arg);
}

TLS_TEST(tls_shutdown_waits_for_room_and_sends_what_was_left)
{
	struct tls_pair_ends e;
	uint8_t *data = malloc(10000);
	weft_fiber *fiber;
	size_t written;

	fill(data, 10000, 0);
	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	e.make = make_narrow;
	tls_open(&e);
	FAILS(WEFT_ETIMEDOUT, weft_conn_write(e.client, data, 10000, &written, MS(1)));
	fiber = spawn(shut, e.client);
	wait_parked();
	read_all(e.server, 10000, 777);
	join(fiber);
	tls_fini(&e);
	free(data);
	return WEFT_OK;
}

/* ---- forged records ---- */

struct relay {
	weft_conn *from, *to;
	size_t bytes;	    /* carried */
	size_t limit;	    /* of bytes; SIZE_MAX: none */
	size_t flip;	    /* the byte at this offset is changed; SIZE_MAX: none */
	struct relay *back; /* held when the second piece goes this way */
	unsigned pieces;
};

/* Runs on the worker of the test's body, as everything here does. */
static weft_err relay_fiber(void *arg)
{
	struct relay *r = arg;
	uint8_t data[4096];
	size_t got;

	while (!weft_conn_read(r->from, data, sizeof(data), &got, SOON)) {
		if (++r->pieces == 2 && r->back)
			r->back->limit = r->back->bytes + 300;
		if (r->flip - r->bytes < got)
			data[r->flip - r->bytes] ^= 1;
		for (size_t at = 0; at < got;) {
			size_t n = got - at;

			while (r->bytes == r->limit)
				OK(weft_sleep_ms(1));
			n = n < r->limit - r->bytes ? n : r->limit - r->bytes;
			if (weft_conn_write(r->to, data + at, n, NULL, SOON))
				return WEFT_OK;
			at += n;
			r->bytes += n;
		}
	}
	(void)!weft_conn_shutdown(r->to);
	return WEFT_OK;
}

/* Until it has carried all that it may. */
static void relay_await(const struct relay *r)
{
	while (r->bytes < r->limit)
		OK(weft_sleep_ms(1));
}

struct relayed {
	weft_conn *inner[2], *outer[2];
	struct relay up, down; /* client to server, server to client */
	weft_fiber *fibers[2];
};

static void relay_begin(struct relayed *r, struct tls_pair_ends *e)
{
	OK(weft_conn_pair(r->inner, 0));
	OK(weft_conn_pair(r->outer, 0));
	r->up = (struct relay){ r->inner[1], r->outer[0], 0, SIZE_MAX, SIZE_MAX, NULL, 0 };
	r->down = (struct relay){ r->outer[0], r->inner[1], 0, SIZE_MAX, SIZE_MAX, NULL, 0 };
	e->lower[0] = r->inner[0];
	e->lower[1] = r->outer[1];
	r->fibers[0] = spawn(relay_fiber, &r->up);
	r->fibers[1] = spawn(relay_fiber, &r->down);
}

static void relay_end(struct relayed *r)
{
	join(r->fibers[0]);
	join(r->fibers[1]);
	weft_conn_free(r->inner[1]);
	weft_conn_free(r->outer[0]);
}

TLS_TEST(tls_a_changed_record_is_found)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		struct relayed r;
		uint8_t byte;
		size_t got;

		tls_init(&e, v);
		e.server_options.tickets_off = true;
		tls_configure(&e);
		relay_begin(&r, &e);
		tls_open(&e);
		say(e.client, e.server, "untouched");
		r.up.flip = r.up.bytes + 20;
		OK(weft_conn_write(e.client, "some text that is changed", 25, NULL, SOON));
		FAILS(WEFT_ETLS, weft_conn_read(e.server, &byte, 1, &got, SOON));
		HAS(weft_error_detail(), "a record is not authentic");
		FAILS(WEFT_ETLS, weft_conn_write(e.server, "x", 1, NULL, SOON));
		/* and the client is told */
		FAILS(WEFT_ETLS, weft_conn_read(e.client, &byte, 1, &got, SOON));
		HAS(weft_error_detail(), "the peer's alert: bad record mac");
		FAILS(WEFT_ETLS, weft_conn_shutdown(e.client));
		tls_fini(&e);
		relay_end(&r);
	}
	return WEFT_OK;
}

/* The server's ticket comes in two records, and the second is long in coming: SSL, amid the
 * message, does not write. The writer reads then, and so does a reader, in either order; the
 * writer goes on when the ticket is whole, whoever waits for more then. */
TLS_TEST(tls_a_writer_reads_what_the_handshake_lacks)
{
	for (int i = 0; i < 3; i++) {
		struct tls_pair_ends e;
		struct relayed r;
		struct cert cert;
		struct stream s = { 0 };
		weft_fiber *reader = NULL, *writer;
		struct tls_context *context;
		weft_deadline soon;
		const char *names[40]; /* the certificate is in the ticket */
		uint8_t byte;
		size_t got;

		tls_init(&e, WEFT_TLS_1_3);
		for (int n = 0; n < 39; n++)
			names[n] = "a-long-name-of-a-host.example";
		names[39] = NULL;
		cert_make(&cert, "Test Client", names, -1, 10, false, &root);
		e.client_options.cert = (weft_tls_cert){ NULL, NULL, cert.cert_pem, cert.key_pem };
		e.server_options.client_auth = WEFT_TLS_CLIENT_REQUIRED;
		e.server_options.client_ca_pem = root.cert_pem;
		tls_configure(&e);
		context = weft_cell_load(e.server_tls->context);
		SSL_CTX_set_max_send_fragment(context->ctx, 512);
		tls_context_unref(context);
		relay_begin(&r, &e);
		r.up.back = &r.down;
		tls_open(&e);
		relay_await(&r.down);
		FAILS(WEFT_ETIMEDOUT, weft_conn_read(e.client, &byte, 1, &got, MS(20)));
		r.down.limit += 400;
		relay_await(&r.down);
		FAILS(WEFT_ETIMEDOUT, weft_conn_read(e.client, &byte, 1, &got, MS(20)));
		ck_assert(SSL_in_init(inside(e.client)->ssl));
		s.conn = e.client;
		s.bytes = 5;
		if (i == 1)
			reader = spawn(read_one, &s);
		wait_parked();
		writer = spawn(write_fiber, &s);
		wait_parked();
		if (i == 2)
			reader = spawn(read_one, &s);
		wait_parked();
		r.down.limit = SIZE_MAX;
		soon = weft_after_ms(10000);
		join(writer);
		ck_assert_int_lt(weft_now(), soon);
		ck_assert_uint_eq(s.written, 5);
		OK(weft_conn_write(e.server, "y", 1, NULL, SOON));
		if (reader)
			join(reader);
		OK(s.err);
		weft_conn_close(e.server);
		tls_fini(&e);
		relay_end(&r);
		cert_free(&cert);
	}
	return WEFT_OK;
}

/* ---- many at once ---- */

#define CROWD 30

struct one_of_many {
	struct tls_pair_ends *e;
	weft_conn *ends[2];
	unsigned *left; /* of the same worker */
};

static weft_err accept_one(void *arg)
{
	struct one_of_many *o = arg;
	weft_conn *conn = NULL;

	OK(weft_tls_accept_own(&conn, o->e->server_tls, o->ends[1], SOON));
	weft_conn_free(conn);
	--*o->left;
	return WEFT_OK;
}

static weft_err connect_one(void *arg)
{
	struct one_of_many *o = arg;
	weft_conn *conn = NULL;

	OK(weft_tls_connect_own(&conn, o->e->client_tls, o->ends[0], "localhost", SOON));
	weft_conn_free(conn);
	--*o->left;
	return WEFT_OK;
}

/* However many compute, others have a turn after each step of one. */
TLS_TEST(tls_many_handshakes_at_once_let_others_run)
{
	struct one_of_many ones[CROWD];
	unsigned left = 2 * CROWD, turns = 0;
	weft_fiber *fibers[2 * CROWD];
	struct tls_pair_ends e;

	tls_init(&e, WEFT_TLS_1_3);
	tls_configure(&e);
	for (int i = 0; i < CROWD; i++) {
		ones[i] = (struct one_of_many){ &e, { NULL, NULL }, &left };
		OK(make_memory(ones[i].ends));
		fibers[2 * i] = spawn(accept_one, &ones[i]);
		fibers[2 * i + 1] = spawn(connect_one, &ones[i]);
	}
	while (left > 0) {
		OK(weft_yield());
		turns++;
	}
	/* a client takes two steps at least, and a server as many */
	ck_assert_uint_ge(turns, 4 * CROWD);
	for (int i = 0; i < 2 * CROWD; i++)
		join(fibers[i]);
	tls_fini(&e);
	return WEFT_OK;
}

/* Who waits for his turn in vain gives way to the others. */
TLS_TEST(tls_a_handshake_that_waits_for_its_turn_times_out)
{
	struct one_of_many ones[4];
	unsigned left = 8;
	weft_fiber *fibers[8];
	struct tls_pair_ends e;
	weft_conn *ends[2], *out = NULL;

	tls_init(&e, WEFT_TLS_1_3);
	tls_configure(&e);
	for (int i = 0; i < 4; i++) {
		ones[i] = (struct one_of_many){ &e, { NULL, NULL }, &left };
		OK(make_memory(ones[i].ends));
		fibers[2 * i] = spawn(accept_one, &ones[i]);
		fibers[2 * i + 1] = spawn(connect_one, &ones[i]);
	}
	OK(weft_yield());
	for (int i = 0; i < 4; i++) {
		OK(make_memory(ends));
		FAILS(WEFT_ETIMEDOUT,
			weft_tls_connect_own(&out, e.client_tls, ends[0], "localhost",
				i % 2 ? WEFT_NOW : weft_after_ns(1000)));
		weft_conn_free(ends[1]);
	}
	for (int i = 0; i < 8; i++)
		join(fibers[i]);
	tls_fini(&e);
	return WEFT_OK;
}

/* ---- threads ---- */

struct side {
	weft_conn *conn;
	uint64_t bytes;
	weft_tls_version version;
};

static void *side_write(void *arg)
{
	struct side *s = arg;
	uint8_t data[3000];

	for (uint64_t at = 0; at < s->bytes; at += sizeof(data)) {
		fill(data, sizeof(data), at);
		OK(weft_conn_write(s->conn, data, sizeof(data), NULL, SOON));
		if (at % 90000 == 0 && s->version == WEFT_TLS_1_3) {
			struct tls_conn *c = inside(s->conn);

			rt_lock_acquire(&c->lock);
			(void)SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED);
			rt_lock_release(&c->lock);
		}
	}
	return NULL;
}

static void *side_read(void *arg)
{
	struct side *s = arg;
	uint8_t data[7000];
	size_t got;

	for (uint64_t at = 0; at < s->bytes; at += got) {
		OK(weft_conn_read(s->conn, data, sizeof(data), &got, SOON));
		T_OUGHT(matches(data, got, at));
	}
	return NULL;
}

static weft_err side_write_fiber(void *arg)
{
	(void)side_write(arg);
	return WEFT_OK;
}

static weft_err side_read_fiber(void *arg)
{
	(void)side_read(arg);
	return WEFT_OK;
}

static weft_fiber *spawn_there(unsigned worker, weft_fiber_fn fn, void *arg)
{
	weft_fiber *fiber = NULL;

	OK(weft_spawn_on(worker % weft_worker_count(), &fiber, "side", fn, arg));
	return fiber;
}

/* A reader and a writer at each end, each on a thread of its own or on another worker. */
TLS_TEST(tls_two_threads_at_each_end)
{
	BOTH_VERSIONS(v)
	{
		struct tls_pair_ends e;
		struct side client, server;
		pthread_t threads[2];
		weft_fiber *fibers[2];

		tls_init(&e, v);
		e.make = v == WEFT_TLS_1_2 ? make_tcp : make_memory;
		tls_open(&e);
		client = (struct side){ e.client, 1500000, v };
		server = (struct side){ e.server, 1500000, v };
		ck_assert_int_eq(pthread_create(&threads[0], NULL, side_write, &client), 0);
		ck_assert_int_eq(pthread_create(&threads[1], NULL, side_read, &client), 0);
		fibers[0] = spawn_there(0, side_write_fiber, &server);
		fibers[1] = spawn_there(1, side_read_fiber, &server);
		join(fibers[0]);
		join(fibers[1]);
		thread_join(threads[0]);
		thread_join(threads[1]);
		tls_fini(&e);
	}
	return WEFT_OK;
}

/* In a plain thread the handshake, and all else, waits on the thread. */
static void *client_thread(void *arg)
{
	struct tls_pair_ends *e = arg;
	weft_conn *lower = e->lower[0];
	char data[5];

	e->lower[0] = NULL;
	OK(weft_tls_connect_own(&e->client, e->client_tls, lower, "localhost", SOON));
	OK(weft_conn_write(e->client, "hello", 5, NULL, SOON));
	OK(weft_conn_read_full(e->client, data, 5, NULL, SOON));
	ck_assert_mem_eq(data, "hello", 5);
	OK(weft_conn_shutdown(e->client));
	return NULL;
}

TLS_TEST(tls_a_plain_thread_may_be_a_client)
{
	struct tls_pair_ends e;
	pthread_t thread;

	tls_init(&e, WEFT_TLS_VERSION_DEFAULT);
	tls_configure(&e);
	OK(make_tcp(e.lower));
	ck_assert_int_eq(pthread_create(&thread, NULL, client_thread, &e), 0);
	OK(tls_accept_fiber(&e));
	OK(e.accept_err);
	OK(echo_fiber(e.server));
	thread_join(thread);
	tls_fini(&e);
	return WEFT_OK;
}

static void end_tests(TCase *tc)
{
	t_add(tc, tls_a_stream_ends_by_close_notify);
	t_add(tc, tls_a_stream_that_is_cut_is_reset);
	t_add(tc, tls_an_abort_is_a_reset);
	t_add(tc, tls_the_other_half_goes_on_after_shutdown);
	t_add(tc, tls_closing_ends_readers_and_writers);
	t_add(tc, tls_a_read_in_vain_times_out_and_harms_nothing);
	t_add(tc, tls_a_handshake_in_vain_times_out);
	t_add(tc, tls_waits_are_cancelled);
	t_add(tc, tls_a_write_that_was_cut_goes_on);
	t_add(tc, tls_a_write_that_was_cut_must_not_go_elsewhere);
	t_add(tc, tls_shutdown_waits_for_room_and_sends_what_was_left);
	t_add(tc, tls_a_changed_record_is_found);
	t_add(tc, tls_a_writer_reads_what_the_handshake_lacks);
	t_add(tc, tls_many_handshakes_at_once_let_others_run);
	t_add(tc, tls_a_handshake_that_waits_for_its_turn_times_out);
	t_add(tc, tls_two_threads_at_each_end);
	t_add(tc, tls_a_plain_thread_may_be_a_client);
}

T_SUITE("tls_end", end_tests)
