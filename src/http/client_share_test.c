/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* One client for many: fibers of several workers, plain threads; and no memory for it. */
#include "support/clientcheck.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUESTS 60

static void answers(struct raw_conn *c)
{
	char text[1200];

	while (raw_request(c)) {
		/* each is told its own path */
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			strlen(c->target), c->target);
		raw_say(c, text);
		/* now and then without a word */
		if (both_random(20) == 0)
			return;
	}
}

struct shared {
	weft_http_client *client;
	struct raw_server server;
	struct counter running, resets;
	int requests;
};

static void ask(struct shared *shared, unsigned number, int i)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *r = NULL;
	char path[64];
	weft_err err;

	snprintf(path, sizeof(path), "/%u/%d", number, i);
	request.method = i % 3 ? "GET" : "POST";
	err = try_send(shared->client, &shared->server, &request, path, &r, WEFT_FOREVER);
	if (err == WEFT_ERESET) { /* closed in its way */
		counter_add(&shared->resets, 1);
		return;
	}
	want_ok(err);
	want_body(r, path);
	weft_http_response_free(r);
}

static weft_err shared_fiber(void *arg)
{
	struct shared *shared = arg;
	unsigned number = (unsigned)both_random(1000000);

	for (int i = 0; i < shared->requests; i++)
		ask(shared, number, i);
	counter_sub(&shared->running, 1);
	return WEFT_OK;
}

static void *shared_thread(void *arg)
{
	want_ok(shared_fiber(arg));
	return NULL;
}

static void share(size_t conns_max, unsigned fibers, unsigned threads, int requests)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	unsigned workers = weft_worker_count();
	struct shared shared = { .requests = requests };
	weft_http_client_stats stats;
	pthread_t ids[8];
	weft_scope *scope;

	options.connections_max = conns_max;
	shared.client = client_make(&options);
	raw_start(&shared.server, answers, NULL, NULL);
	counter_set(&shared.running, fibers + threads);
	want_ok(weft_scope_create(&scope));
	for (unsigned i = 0; i < threads; i++)
		want(pthread_create(&ids[i], NULL, shared_thread, &shared) == 0);
	for (unsigned i = 0; i < fibers; i++)
		want_ok(weft_scope_spawn_on(scope, workers > 1 ? i % workers : UINT32_MAX, "shares",
			shared_fiber, &shared));
	while (counter_get(&shared.running))
		want_ok(weft_sleep_ns(MS));
	for (unsigned i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	want_ok(weft_scope_wait(scope, WEFT_FOREVER));
	weft_scope_free(scope);
	/* a dial may be under way whose request was served otherwise */
	while (stats_of(shared.client).dialling_now)
		want_ok(weft_sleep_ns(MS));
	stats = stats_of(shared.client);
	want(stats.connections_now == stats.idle_now && stats.connections_now <= conns_max);
	want(stats.waiting_now == 0 && stats.dials_failed == 0);
	/* the server saw what was sent, not more */
	want(counter_get(&shared.server.requests) <=
		(uint64_t)(fibers + threads) * (uint64_t)requests + stats.retries);
	client_end(shared.client);
	raw_stop(&shared.server);
}

BOTH_TEST(client_is_shared_by_fibers_and_threads)
{
	bool alone = weft_in_sim();

	share(3, 8, alone ? 0 : 4, alone ? 10 : REQUESTS);
	share(100, 8, alone ? 0 : 4, alone ? 10 : REQUESTS);
	return WEFT_OK;
}

static weft_err fails_read(void *user, void *data, size_t size, size_t *got, weft_deadline until)
{
	(void)user;
	(void)data;
	(void)size;
	(void)got;
	(void)until;
	return WEFT_EIO;
}

/* The fiber that sends is on another thread than who reads, and hears of its end. */
static void *body_thread(void *arg)
{
	struct shared *shared = arg;

	for (int i = 0; i < shared->requests; i++) {
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		weft_http_response *r = NULL;

		request.method = "PUT";
		request.body_read = fails_read;
		want_err(WEFT_EIO,
			try_send(shared->client, &shared->server, &request, "/", &r, WEFT_FOREVER));
		want_in(weft_error_detail(), "sending");
	}
	counter_sub(&shared->running, 1);
	return NULL;
}

static void silent(struct raw_conn *c)
{
	raw_until_closed(c);
}

static weft_err bodies_main(void *arg)
{
	struct shared shared = { .requests = 40 };
	pthread_t ids[4];

	(void)arg;
	shared.client = client_make(NULL);
	raw_start(&shared.server, silent, NULL, NULL);
	counter_set(&shared.running, 4);
	for (int i = 0; i < 4; i++)
		want(pthread_create(&ids[i], NULL, body_thread, &shared) == 0);
	while (counter_get(&shared.running))
		want_ok(weft_sleep_ns(MS));
	for (int i = 0; i < 4; i++)
		pthread_join(ids[i], NULL);
	client_end(shared.client);
	raw_stop(&shared.server);
	return WEFT_OK;
}

START_TEST(client_tells_threads_why_a_body_was_given_up)
{
	both_run_epoll(bodies_main);
}
END_TEST

BOTH_TEST(client_tells_where_the_time_went)
{
	weft_http_client *client = client_make(NULL);
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	struct raw_server server;

	raw_start(&server, says, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	for (int i = 0; i < 2; i++) {
		weft_http_response *r = send_to(client, &server, &request, "/");
		weft_http_timings t, later;

		want_body(r, "hi");
		weft_http_response_timings(r, &t);
		want(t.reused == (i == 1) && t.retries == 0);
		want((t.connect_ns > 0) == (i == 0) && t.resolve_ns == 0 && t.tls_ns == 0);
		want(t.queue_ns >= 0 && t.send_ns >= 0 && t.first_byte_ns >= 0);
		want(t.total_ns >= t.queue_ns + t.connect_ns + t.send_ns + t.first_byte_ns - 1000);
		/* the end is the end */
		want_ok(weft_sleep_ns(5 * MS));
		weft_http_response_timings(r, &later);
		want(later.total_ns == t.total_ns);
		weft_http_response_free(r);
	}
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

/* --- memory --------------------------------------------------------------------------------- */

/* Everything that asks for memory: a body in a fiber, a long head, chunks with trailers. */
static weft_err memory_turn(const char *url)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	struct text_body body = { .text = "some text", .piece = 4 };
	weft_http_client *client = NULL;
	weft_buf buf = WEFT_BUF_EMPTY;
	weft_err err;

	err = weft_http_client_create(&client, NULL);
	request.url = url;
	request.method = "PUT";
	request.body_read = text_read;
	request.body_rewind = text_rewind;
	request.body_user = &body;
	for (int i = 0; i < 2 && !err; i++) {
		weft_http_response *r = NULL;

		body.at = 0;
		err = weft_http_client_send(client, &request, &r, weft_after_ms(20000));
		if (!err)
			err = weft_http_response_read_all(r, &buf, 100, weft_after_ms(20000));
		if (!err)
			want(buf.len == 2 && memcmp(buf.data, "hi", 2) == 0);
		weft_buf_unref(&buf);
		weft_http_response_free(r);
	}
	weft_http_client_unref(client);
	return err;
}

static weft_err memory_main(void *arg)
{
	const char *url = arg;

	(void)memory_turn(url);
	want_ok(memory_turn(url));
	want_ok(weft_sleep_ns(5 * MS));
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = memory_turn(url);

		want(err == WEFT_OK || err == WEFT_ENOMEM);
		want(err == WEFT_OK || t_malloc_failed());
		want_ok(weft_sleep_ns(2 * MS));
	}
	return WEFT_OK;
}

/* A server without a line of the library's: its memory does not count. */
static void *plain_server(void *arg)
{
	static const char reply[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				    "2\r\nhi\r\n0\r\nX-A: b\r\n\r\n";
	int fd = *(int *)arg, conn;
	char data[2048];

	while ((conn = accept(fd, NULL, NULL)) >= 0) {
		size_t len = 0;
		ssize_t n;

		while ((n = read(conn, data + len, sizeof(data) - 1 - len)) > 0) {
			len += (size_t)n;
			data[len] = '\0';
			if (!strstr(data, "\r\n0\r\n\r\n"))
				continue;
			len = 0;
			if (write(conn, reply, sizeof(reply) - 1) < 0)
				break;
		}
		close(conn);
	}
	return NULL;
}

START_TEST(client_survives_every_failing_malloc)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t thread;
	char url[64];

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(addr.sin_port));
	ck_assert_int_eq(pthread_create(&thread, NULL, plain_server, &fd), 0);
	options.workers = 1;
	want_ok(weft_run(memory_main, url, &options));
	ck_assert_int_eq(shutdown(fd, SHUT_RDWR), 0);
	pthread_join(thread, NULL);
	close(fd);
}
END_TEST

static void client_share_tests(TCase *tc)
{
	both_add(tc, client_is_shared_by_fibers_and_threads);
	t_add(tc, client_tells_threads_why_a_body_was_given_up);
	both_add(tc, client_tells_where_the_time_went);
	t_add(tc, client_survives_every_failing_malloc);
}

T_SUITE("http client, shared", client_share_tests)
