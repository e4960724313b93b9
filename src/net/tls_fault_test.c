/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=120 */
/* Peers that refuse, go, or talk without end: what the other one is told. */
#include "net/tls.h"
#include "support/tlsends.h"

#include <openssl/err.h>

static struct tls_conn *inside(weft_conn *conn)
{
	return (struct tls_conn *)conn;
}

/* ---- a transport that ends ---- */

/* One end of a pair, of which writing may have ended before reading has. */
struct dying {
	weft_conn *below;
	bool is_dead;
};

static weft_err dying_read(
	void *user, const struct iovec *iov, unsigned iov_count, size_t *got, weft_deadline until)
{
	return weft_conn_readv(((struct dying *)user)->below, iov, iov_count, got, until);
}

static weft_err dying_write(void *user, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	struct dying *d = user;

	if (d->is_dead)
		return WEFT_ERESET;
	return weft_conn_writev(d->below, iov, iov_count, written, until);
}

static weft_err dying_shutdown(void *user)
{
	return weft_conn_shutdown(((struct dying *)user)->below);
}

static void dying_close(void *user)
{
	weft_conn_close(((struct dying *)user)->below);
}

static void dying_abort(void *user)
{
	weft_conn_abort(((struct dying *)user)->below);
}

static void dying_free(void *user)
{
	weft_conn_free(((struct dying *)user)->below);
}

static void dying_begin(struct dying *d, struct tls_pair_ends *e, int end)
{
	static const weft_conn_ops ops = { dying_read, dying_write, dying_shutdown, dying_close,
		dying_abort, dying_free, NULL };

	OK(weft_conn_pair(e->lower, 0));
	*d = (struct dying){ e->lower[end], false };
	OK(weft_conn_create(&e->lower[end], &ops, d, "near", "far"));
}

/* Who only writes when the peer has gone is told why, too: the alert came before. */
TLS_TEST(tls_a_write_in_vain_says_what_the_peer_said)
{
	for (int i = 0; i < 2; i++) {
		struct tls_pair_ends e;
		struct dying d;

		tls_init(&e, WEFT_TLS_1_3);
		e.server_options.client_auth = i ? WEFT_TLS_CLIENT_NONE : WEFT_TLS_CLIENT_REQUIRED;
		e.server_options.client_ca_pem = i ? NULL : root.cert_pem;
		dying_begin(&d, &e, 0);
		tls_try(&e);
		OK(e.connect_err);
		d.is_dead = true;
		if (i) { /* nothing was said */
			FAILS(WEFT_ERESET, weft_conn_write(e.client, "x", 1, NULL, SOON));
			HAS(weft_error_detail(), "reset");
		} else {
			FAILS(WEFT_EAUTH, e.accept_err);
			FAILS(WEFT_EAUTH, weft_conn_write(e.client, "x", 1, NULL, SOON));
			HAS(weft_error_detail(), "the server wants a client certificate");
		}
		tls_fini(&e);
	}
	return WEFT_OK;
}

/* An alert that can't be sent does not change what the error says. */
TLS_TEST(tls_an_error_is_of_what_failed_first)
{
	struct tls_pair_ends e;
	struct tls_conn *c;
	struct dying d;
	uint8_t byte;
	size_t got;

	tls_init(&e, WEFT_TLS_1_3);
	e.server_options.tickets_off = true;
	dying_begin(&d, &e, 0);
	tls_open(&e);
	c = inside(e.server);
	OK(weft_conn_write(
		c->lower, "\x17\x03\x03\x00\x20 sixteen bytes or so, forged too", 37, NULL, SOON));
	d.is_dead = true;
	FAILS(WEFT_ETLS, weft_conn_read(e.client, &byte, 1, &got, SOON));
	HAS(weft_error_detail(), "a record is not authentic");
	FAILS(WEFT_ETLS, weft_conn_write(e.client, "x", 1, NULL, SOON));
	HAS(weft_error_detail(), "a record is not authentic");
	tls_fini(&e);
	return WEFT_OK;
}

/* It sends before it knows whether it is let in, more than the server reads. */
static weft_err eager_client(void *arg)
{
	struct tls_pair_ends *e = arg;
	size_t size = 300000;
	char *data = calloc(1, size);

	e->connect_err =
		weft_tls_connect_own(&e->client, e->client_tls, e->lower[0], "localhost", SOON);
	if (!e->connect_err)
		e->connect_err = weft_conn_write(e->client, data, size, NULL, SOON);
	if (!e->connect_err)
		e->connect_err = weft_conn_read(e->client, data, 1, &size, SOON);
	snprintf(e->connect_text, sizeof(e->connect_text), "%s", weft_error_detail());
	weft_conn_free(e->client);
	e->client = NULL;
	free(data);
	return WEFT_OK;
}

TLS_TEST(tls_a_client_that_has_sent_much_is_told_why_it_is_refused)
{
	for (int i = 0; i < 10; i++) {
		struct tls_pair_ends e;
		weft_fiber *fiber = NULL;

		tls_init(&e, WEFT_TLS_1_3);
		e.server_options.client_auth = WEFT_TLS_CLIENT_REQUIRED;
		e.server_options.client_ca_pem = root.cert_pem;
		tls_configure(&e);
		OK(make_tcp(e.lower));
		OK(weft_spawn_on(
			(unsigned)i % weft_worker_count(), &fiber, "eager", eager_client, &e));
		OK(tls_accept_fiber(&e));
		FAILS(WEFT_EAUTH, e.accept_err);
		HAS(e.accept_text, "the client gave no certificate");
		join(fiber);
		FAILS(WEFT_EAUTH, e.connect_err);
		HAS(e.connect_text, "the server wants a client certificate");
		tls_fini(&e);
	}
	return WEFT_OK;
}

/* A client that is refused and stays keeps the server for a second, not for ever. */
TLS_TEST(tls_a_refused_client_that_stays_is_left)
{
	struct tls_pair_ends e;
	weft_deadline soon;

	tls_init(&e, WEFT_TLS_1_3);
	e.server_options.client_auth = WEFT_TLS_CLIENT_REQUIRED;
	e.server_options.client_ca_pem = root.cert_pem;
	soon = weft_after_ms(10000);
	tls_try(&e); /* the client's end is open until fini */
	ck_assert_int_lt(weft_now(), soon);
	OK(e.connect_err);
	FAILS(WEFT_EAUTH, e.accept_err);
	HAS(e.accept_text, "the client gave no certificate");
	tls_fini(&e);
	return WEFT_OK;
}

/* ---- a flood ---- */

struct flood {
	weft_conn *conn;
	bool over; /* of the same worker */
};

/* As fast as the transport takes them. */
static weft_err flood_fiber(void *arg)
{
	struct flood *f = arg;
	struct tls_conn *c = inside(f->conn);

	while (!f->over) {
		rt_lock_acquire(&c->lock);
		for (int i = 0; i < 100 && c->out.len < 100000; i++) {
			ck_assert_int_eq(SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
			ck_assert_int_eq(SSL_do_handshake(c->ssl), 1);
		}
		tls_send_soon(c);
		rt_lock_release(&c->lock);
		OK(weft_yield());
	}
	return WEFT_OK;
}

TLS_TEST(tls_a_flood_of_what_is_no_data_does_not_outlast_a_deadline)
{
	struct tls_pair_ends e;
	weft_deadline soon;
	weft_fiber *fiber;
	struct flood f;
	uint8_t byte;
	size_t got;

	tls_init(&e, WEFT_TLS_1_3);
	tls_open(&e);
	f = (struct flood){ e.client, false };
	fiber = spawn(flood_fiber, &f);
	wait_parked();
	soon = weft_after_ms(10000);
	FAILS(WEFT_ETIMEDOUT, weft_conn_read(e.server, &byte, 1, &got, MS(50)));
	ck_assert_int_lt(weft_now(), soon);
	f.over = true;
	join(fiber);
	tls_fini(&e);
	return WEFT_OK;
}

/* ---- answers that nobody reads ---- */

#define ASKED 12000 /* times for new keys; each answer has 27 bytes */
#define ASKED_TOGETHER 50
#define HELD_MAX ((size_t)192 << 10)

static weft_err ask(void *arg)
{
	weft_conn *conn = arg;
	struct tls_conn *c = inside(conn);

	for (int i = 0; i < ASKED; i++) {
		rt_lock_acquire(&c->lock);
		ck_assert_int_eq(SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		ck_assert_int_eq(SSL_do_handshake(c->ssl), 1);
		rt_lock_release(&c->lock);
		if (i % ASKED_TOGETHER == 0)
			OK(weft_conn_write(conn, "x", 1, NULL, SOON));
	}
	return WEFT_OK;
}

static weft_err read_one(void *arg)
{
	uint8_t byte;

	return weft_conn_read_full(arg, &byte, 1, NULL, WEFT_FOREVER);
}

static size_t held(weft_conn *conn)
{
	return inside(conn)->out.len + inside(conn)->flight.len;
}

/* What came until a read ended otherwise. Nothing piles up meanwhile. */
static weft_err read_asked(weft_conn *conn, int *came, int max, int64_t wait_ms)
{
	weft_err err = WEFT_OK;
	uint8_t byte;
	size_t got;

	while (!err && *came < max) {
		err = weft_conn_read(conn, &byte, 1, &got, weft_after_ms(wait_ms));
		*came += !err;
		ck_assert_uint_le(held(conn), HELD_MAX);
	}
	return err;
}

/* A peer that asks for ever, and does not read the answers. */
TLS_TEST(tls_answers_that_are_not_read_do_not_pile_up)
{
	const int all = ASKED / ASKED_TOGETHER;
	struct tls_pair_ends e;
	weft_fiber *asks, *reads;
	weft_deadline soon = SOON;
	int came = 0;

	tls_init(&e, WEFT_TLS_1_3);
	OK(weft_conn_pair(e.lower, 16384));
	tls_open(&e);
	asks = spawn(ask, e.client);
	do { /* on a busy machine nothing may come for a while that is still to come */
		FAILS(WEFT_ETIMEDOUT, read_asked(e.server, &came, all, 100));
		ck_assert_int_lt(weft_now(), soon);
	} while (held(e.server) < HELD_MAX / 2);
	ck_assert_int_lt(came, all);
	reads = spawn(read_one, e.client); /* it does now: all goes on */
	OK(read_asked(e.server, &came, all, 20000));
	OK(weft_conn_write(e.server, "y", 1, NULL, SOON));
	join(asks);
	join(reads);
	ck_assert_uint_eq(held(e.server), 0);
	tls_fini(&e);
	return WEFT_OK;
}

/* Who has shut its half down goes on reading, and answers no more. */
TLS_TEST(tls_answers_after_a_shutdown_are_dropped)
{
	const int all = ASKED / ASKED_TOGETHER;
	struct tls_pair_ends e;
	weft_fiber *asks;
	int came = 0;

	tls_init(&e, WEFT_TLS_1_3);
	tls_open(&e);
	OK(weft_conn_shutdown(e.server));
	asks = spawn(ask, e.client);
	OK(read_asked(e.server, &came, all, 20000));
	join(asks);
	tls_fini(&e);
	return WEFT_OK;
}

/* ---- ends at any moment ---- */

#define ROUNDS 30

/* One end of a conn, with a reader and a writer on any worker. */
struct active {
	weft_conn *conn;
	uint64_t state; /* of its random choices */
	uint64_t sent, came;
	weft_err read_err, write_err; /* what ended them */
	weft_deadline over;
};

static uint64_t below(uint64_t *state, uint64_t n)
{
	return t_random(state) % n;
}

static weft_deadline some_time(uint64_t *state)
{
	uint64_t choice = below(state, 4);

	return choice == 0 ? WEFT_NOW : choice == 1 ? weft_after_ns(20000) : SOON;
}

static weft_err active_read(void *arg)
{
	struct active *a = arg;
	uint64_t state = a->state * 3;
	uint8_t data[2000];
	size_t got;

	for (;;) {
		weft_err err = weft_conn_read(
			a->conn, data, 1 + below(&state, sizeof(data)), &got, some_time(&state));

		if (err == WEFT_ETIMEDOUT && weft_now() < a->over)
			err = weft_yield();
		else if (!err)
			a->came += got;
		a->read_err = err;
		if (err)
			return WEFT_OK;
	}
}

static weft_err active_write(void *arg)
{
	struct active *a = arg;
	uint64_t state = a->state * 5;
	uint8_t data[2000] = { 0 };
	size_t written;

	for (;;) {
		weft_err err = weft_conn_write(a->conn, data, 1 + below(&state, sizeof(data)),
			&written, some_time(&state));

		a->sent += written;
		if (err == WEFT_ETIMEDOUT && weft_now() < a->over)
			err = weft_yield();
		a->write_err = err;
		if (err)
			return WEFT_OK;
		if (below(&state, 20) == 0 && !inside(a->conn)->fault) {
			struct tls_conn *c = inside(a->conn);

			rt_lock_acquire(&c->lock);
			(void)SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED);
			ERR_clear_error();
			rt_lock_release(&c->lock);
		}
	}
}

static void active_begin(struct active *a, weft_conn *conn, uint64_t *state, weft_fiber **fibers)
{
	*a = (struct active){ .conn = conn, .state = t_random(state), .over = SOON };
	fibers[0] = fibers[1] = NULL;
	OK(weft_spawn_on((unsigned)below(state, 2) % weft_worker_count(), &fibers[0], "reads",
		active_read, a));
	OK(weft_spawn_on((unsigned)below(state, 2) % weft_worker_count(), &fibers[1], "writes",
		active_write, a));
}

static void active_end(struct active *a, uint64_t how)
{
	switch (how) {
	case 0:
		weft_conn_close(a->conn);
		break;
	case 1:
		weft_conn_abort(a->conn);
		break;
	case 2:
		(void)!weft_conn_shutdown(a->conn);
		break;
	default:
		weft_conn_close(inside(a->conn)->lower);
	}
}

/* Whatever reader and writer do, they all end soon after the conn has. */
TLS_TEST(tls_a_conn_may_end_at_any_moment)
{
	uint64_t state = t_seed();

	for (int i = 0; i < ROUNDS; i++) {
		weft_deadline soon = weft_after_ms(10000);
		struct active client, server;
		weft_fiber *fibers[4];
		struct tls_pair_ends e;
		uint64_t how = below(&state, 4);

		tls_init(&e, WEFT_TLS_1_3);
		tls_configure(&e);
		if (i % 3)
			OK(weft_conn_pair(e.lower, 100 + below(&state, 40000)));
		else
			OK(make_tcp(e.lower));
		tls_open(&e);
		active_begin(&client, e.client, &state, fibers);
		active_begin(&server, e.server, &state, fibers + 2);
		OK(weft_sleep_ns((int64_t)below(&state, 2000000)));
		active_end(&client, how);
		if (how == 2) { /* the server's reader ends; the client's goes on until it does */
			join(fibers[2]);
			FAILS(WEFT_ECLOSED, server.read_err);
			active_end(&server, 0);
		}
		for (int f = 0; f < 4; f++) {
			if (how != 2 || f != 2)
				join(fibers[f]);
		}
		ck_assert_msg(weft_now() < soon, "round %d, how %d", i, (int)how);
		ck_assert(client.came <= server.sent + 1 && server.came <= client.sent + 1);
		tls_fini(&e);
	}
	return WEFT_OK;
}

static void fault_tests(TCase *tc)
{
	t_add(tc, tls_a_write_in_vain_says_what_the_peer_said);
	t_add(tc, tls_an_error_is_of_what_failed_first);
	t_add(tc, tls_a_client_that_has_sent_much_is_told_why_it_is_refused);
	t_add(tc, tls_a_refused_client_that_stays_is_left);
	t_add(tc, tls_a_flood_of_what_is_no_data_does_not_outlast_a_deadline);
	t_add(tc, tls_answers_that_are_not_read_do_not_pile_up);
	t_add(tc, tls_answers_after_a_shutdown_are_dropped);
	t_add(tc, tls_a_conn_may_end_at_any_moment);
}

T_SUITE("tls_fault", fault_tests)
