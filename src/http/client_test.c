/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Requests and responses, against servers made by hand: over the loopback and simulated. */
#include "support/clientcheck.h"

#include <stdarg.h>
#include <unistd.h>

/* --- responses ------------------------------------------------------------------------------ */

/* Says it byte by byte, which arrive one by one if the transport likes. */
static void says_slowly(struct raw_conn *c)
{
	const char *text = c->server->text;

	while (raw_request(c)) {
		for (const char *p = text; *p; p++) {
			raw_say_bytes(c, p, 1);
			(void)weft_yield();
		}
	}
}

struct sample {
	const char *text;
	unsigned status;
	const char *reason;
	int64_t length;
	const char *body;
	bool kept; /* the connection */
};

static const struct sample samples[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello", 200, "OK", 5, "hello",
		true },
	{ "HTTP/1.1 200 All is well\r\nTransfer-Encoding: chunked\r\nX-A:  b \r\n\r\n"
	  "3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\n",
		200, "All is well", -1, "hello", true },
	{ "HTTP/1.1 404 \r\nX-A: b\r\nContent-Length: 0\r\n\r\n", 404, "", 0, "", true },
	{ "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", 204, "No Content", -1, "", true },
	{ "HTTP/1.1 304 Not Modified\r\nX-A: b\r\nContent-Length: 5\r\n\r\n", 304, "Not Modified",
		5, "", true },
	{ "HTTP/1.0 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi", 200, "OK", 2, "hi", false },
	{ "HTTP/1.0 200 OK\r\nX-A: b\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", 200,
		"OK", 2, "hi", true },
	{ "HTTP/1.1 200 OK\r\nX-A: b\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", 200,
		"OK", 2, "hi", false },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
	  "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi",
		200, "OK", 2, "hi", true },
};

static void check_sample(
	const struct sample *sample, void (*serve)(struct raw_conn *c), unsigned turns)
{
	struct raw_server server;
	weft_http_client *client = client_make(NULL);
	weft_http_client_stats stats;

	raw_start(&server, serve, NULL, sample->text);
	for (unsigned i = 0; i < turns; i++) {
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		weft_http_response *r = send_to(client, &server, &request, "/a");

		want(weft_http_response_status(r) == sample->status);
		want(strcmp(weft_http_response_reason(r), sample->reason) == 0);
		want(weft_http_response_length(r) == sample->length);
		want_text(weft_http_fields_get(weft_http_response_fields(r), "x-a"), "b");
		want_body(r, sample->body);
		weft_http_response_free(r);
	}
	stats = stats_of(client);
	want(stats.idle_now == (sample->kept && serve != says_and_closes ? 1 : 0) ||
		serve == says_and_closes);
	want(counter_get(&server.conns) == (sample->kept && serve != says_and_closes ? 1 : turns));
	client_end(client);
	raw_stop(&server);
}

BOTH_TEST(client_reads_every_kind_of_response)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		check_sample(&samples[i], says, 3);
	return WEFT_OK;
}

BOTH_TEST(client_reads_responses_that_come_byte_by_byte)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		check_sample(&samples[i], says_slowly, 2);
	return WEFT_OK;
}

/* Without a word: the next request finds out, and goes over a new connection. */
BOTH_TEST(client_goes_on_after_servers_that_close_behind_each_response)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		check_sample(&samples[i], says_and_closes, 3);
	return WEFT_OK;
}

BOTH_TEST(client_reads_until_the_connection_closes)
{
	struct raw_server server;
	weft_http_client *client = client_make(NULL);
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *r;

	raw_start(&server, says_and_closes, NULL, "HTTP/1.1 200 OK\r\n\r\nall of this");
	r = send_to(client, &server, &request, "/");
	want(weft_http_response_length(r) == -1);
	want_body(r, "all of this");
	weft_http_response_free(r);
	want(stats_of(client).connections_now == 0);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

BOTH_TEST(client_gives_trailers_once_the_body_was_read)
{
	struct raw_server server;
	weft_http_client *client = client_make(NULL);
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *r;
	const weft_http_fields *trailers;

	raw_start(&server, says_slowly, NULL,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
		"5\r\nhello\r\n0\r\nX-Sum: 12\r\nX-Empty:\r\n\r\n");
	for (int i = 0; i < 2; i++) {
		r = send_to(client, &server, &request, "/");
		want(weft_http_fields_count(weft_http_response_trailers(r)) == 0);
		want_body(r, "hello");
		trailers = weft_http_response_trailers(r);
		want(weft_http_fields_count(trailers) == 2);
		want_text(weft_http_fields_get(trailers, "x-sum"), "12");
		want_text(weft_http_fields_get(trailers, "X-Empty"), "");
		/* the head's fields are there still */
		want_text(weft_http_fields_get(weft_http_response_fields(r), "X-A"), "b");
		weft_http_response_free(r);
	}
	want(counter_get(&server.conns) == 1);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

BOTH_TEST(client_asks_for_a_head_and_gets_no_body)
{
	struct raw_server server;
	weft_http_client *client = client_make(NULL);
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *r;

	request.method = "HEAD";
	raw_start(&server, says, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	for (int i = 0; i < 2; i++) {
		r = send_to(client, &server, &request, "/");
		want(weft_http_response_length(r) == 1000);
		want_body(r, "");
		weft_http_response_free(r);
	}
	want(counter_get(&server.conns) == 1);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

/* --- requests ------------------------------------------------------------------------------- */

static void echoes_head(struct raw_conn *c)
{
	char text[RAW_HEAD_MAX + 128];

	while (raw_request(c)) {
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			strlen(c->head), c->head);
		raw_say(c, text);
	}
}

WEFT_PRINTF(5, 6)
static void want_head(weft_http_client *client, const struct raw_server *server,
	weft_http_request *request, const char *path, const char *format, ...)
{
	weft_http_response *r = send_to(client, server, request, path);
	char expected[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(expected, sizeof(expected), format, args);
	va_end(args);
	want_body(r, expected);
	weft_http_response_free(r);
}

BOTH_TEST(client_sends_the_heads_that_it_should)
{
	struct raw_server server;
	weft_http_client *client = client_make(NULL);
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	const char *host = server.url + strlen("http://");
	weft_http_fields *fields;

	raw_start(&server, echoes_head, NULL, NULL);
	want_head(client, &server, &request, "/a/b?c=d",
		"GET /a/b?c=d HTTP/1.1\r\nHost: %s\r\nUser-Agent: weft/" WEFT_VERSION "\r\n\r\n",
		host);
	want_head(client, &server, &request, "",
		"GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: weft/" WEFT_VERSION "\r\n\r\n", host);
	want_head(client, &server, &request, "/x/../y z#frag",
		"GET /y%%20z HTTP/1.1\r\nHost: %s\r\nUser-Agent: weft/" WEFT_VERSION "\r\n\r\n",
		host);
	request.method = "POST";
	want_head(client, &server, &request, "/",
		"POST / HTTP/1.1\r\nContent-Length: 0\r\nHost: %s\r\nUser-Agent: weft/" WEFT_VERSION
		"\r\n\r\n",
		host);
	want_ok(weft_http_fields_create(&fields));
	want_ok(weft_http_fields_add(fields, "X-One", "1"));
	want_ok(weft_http_fields_add(fields, "user-agent", "me"));
	want_ok(weft_http_fields_add(fields, "host", "other"));
	request.fields = fields;
	request.body = "hello";
	request.body_size = 5;
	want_head(client, &server, &request, "/",
		"POST / HTTP/1.1\r\nContent-Length: 5\r\nX-One: 1\r\nuser-agent: me\r\n"
		"host: other\r\n\r\n");
	want(counter_get(&server.conns) == 1);
	want_ok(weft_http_fields_add(fields, "Connection", "close"));
	want_head(client, &server, &request, "/",
		"POST / HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\nX-One: 1\r\n"
		"user-agent: me\r\nhost: other\r\n\r\n");
	want(stats_of(client).connections_now == 0);
	weft_http_fields_free(fields);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

static void says_its_text(struct raw_conn *c)
{
	char text[128];

	while (raw_request(c)) {
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			strlen(c->server->text), c->server->text);
		raw_say(c, text);
	}
}

BOTH_TEST(client_keeps_the_connections_of_each_place_apart)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client = client_make(NULL);
	struct raw_server one, other;

	raw_start(&one, says_its_text, NULL, "one");
	raw_start(&other, says_its_text, NULL, "the other");
	for (int i = 0; i < 6; i++) {
		weft_http_response *r = send_to(
			client, i % 2 ? &one : &other, &request, i % 3 ? "/plain" : "/not%20plain");

		want_body(r, i % 2 ? "one" : "the other");
		weft_http_response_free(r);
	}
	/* however a URL is written */
	want(counter_get(&one.conns) == 1 && counter_get(&other.conns) == 1);
	want(stats_of(client).keys_now == 2 && stats_of(client).idle_now == 2);
	client_end(client);
	raw_stop(&one);
	raw_stop(&other);
	return WEFT_OK;
}

BOTH_TEST(client_goes_to_a_socket_in_place_of_the_urls_host)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client = client_make(NULL);
	struct raw_server server, same_host;
	weft_http_response *r;
	char path[64], address[80];

	snprintf(path, sizeof(path), "@weft-http-test-%d", (int)getpid());
	snprintf(address, sizeof(address), "unix:%s", path);
	raw_start_at(&server, address, says_its_text, NULL, "by the socket");
	raw_start(&same_host, says_its_text, NULL, "by the host");
	for (int i = 0; i < 4; i++) {
		request.unix_path = i % 2 ? path : NULL;
		r = send_to(client, &same_host, &request, "/");
		want_body(r, i % 2 ? "by the socket" : "by the host");
		weft_http_response_free(r);
	}
	want(counter_get(&server.conns) == 1 && counter_get(&same_host.conns) == 1);
	want(stats_of(client).keys_now == 2);
	client_end(client);
	raw_stop(&server);
	raw_stop(&same_host);
	return WEFT_OK;
}

static void want_refused(
	weft_http_client *client, const weft_http_request *request, const char *part)
{
	weft_http_response *r = NULL;

	want_err(WEFT_EINVAL, weft_http_client_send(client, request, &r, WEFT_FOREVER));
	want(r == NULL);
	want_in(weft_error_detail(), part);
}

BOTH_TEST(client_refuses_requests_that_are_none)
{
	static const char *const names[] = { "Content-Length", "transfer-encoding", "Expect",
		"Keep-Alive", "Upgrade", "proxy-connection" };
	weft_http_client *client = client_make(NULL);
	weft_http_request good = WEFT_HTTP_REQUEST_DEFAULT, bad;
	weft_http_fields *fields;

	good.url = "http://127.0.0.1:9/";
	bad = good;
	bad.url = NULL;
	want_refused(client, &bad, "no URL");
	bad.url = "ftp://h/";
	want_refused(client, &bad, "http GET: ");
	bad.url = "http://user:secret@h/";
	want_refused(client, &bad, "user information");
	want(strstr(weft_error_detail(), "secret") == NULL);
	bad = good;
	bad.method = "G T";
	want_refused(client, &bad, "method");
	bad.method = "CONNECT";
	want_refused(client, &bad, "CONNECT");
	bad = good;
	bad.trailers = NULL;
	bad.body = "x";
	bad.body_size = 1;
	bad.body_read = text_read;
	want_refused(client, &bad, "body_read");
	bad = good;
	bad.unix_path = "/x";
	bad.proxy = "http://p/";
	want_refused(client, &bad, "proxy");
	bad = good;
	bad.unix_path = "";
	want_refused(client, &bad, "unix_path");
	want_ok(weft_http_fields_create(&fields));
	bad = good;
	bad.fields = bad.trailers = fields;
	want_refused(client, &bad, "trailers");
	bad.trailers = NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		weft_http_fields_clear(fields);
		want_ok(weft_http_fields_add(fields, names[i], "1"));
		want_refused(client, &bad, names[i]);
	}
	weft_http_fields_clear(fields);
	want_ok(weft_http_fields_add(fields, "Connection", "keep-alive, X-One"));
	want_refused(client, &bad, "Connection");
	weft_http_fields_clear(fields);
	want_ok(weft_http_fields_add(fields, "Host", "a"));
	want_ok(weft_http_fields_add(fields, "host", "b"));
	want_refused(client, &bad, "more than one Host");
	weft_http_fields_free(fields);
	want(stats_of(client).dials == 0);
	client_end(client);
	return WEFT_OK;
}

BOTH_TEST(client_names_the_field_of_an_option_that_is_wrong)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	weft_http_client *client = NULL;

	options.idle_timeout_ns = -2;
	want_err(WEFT_EINVAL, weft_http_client_create(&client, &options));
	want_in(weft_error_detail(), "idle_timeout_ns");
	options.idle_timeout_ns = 0;
	options.shards = 3;
	want_err(WEFT_EINVAL, weft_http_client_create(&client, &options));
	want_in(weft_error_detail(), "shards");
	options.shards = 0;
	options.fields_max = 1000;
	want_err(WEFT_EINVAL, weft_http_client_create(&client, &options));
	want_in(weft_error_detail(), "fields_max");
	options.fields_max = 0;
	options.user_agent = "a\nb";
	want_err(WEFT_EINVAL, weft_http_client_create(&client, &options));
	want_in(weft_error_detail(), "user_agent");
	want(client == NULL);
	return WEFT_OK;
}

/* --- what comes before a response ----------------------------------------------------------- */

struct heard {
	unsigned count, last;
	char link[32];
	unsigned heads;
};

static void hear_interim(void *user, unsigned status, const weft_http_fields *fields)
{
	struct heard *heard = user;
	const char *link = weft_http_fields_get(fields, "link");

	heard->count++;
	heard->last = status;
	snprintf(heard->link, sizeof(heard->link), "%s", link ? link : "");
}

static void hear_head(void *user, const char *head, size_t size)
{
	struct heard *heard = user;

	want(size > 4 && memcmp(head, "GET ", 4) == 0);
	want(memcmp(head + size - 4, "\r\n\r\n", 4) == 0);
	heard->heads++;
}

BOTH_TEST(client_tells_of_interim_responses)
{
	struct raw_server server;
	weft_http_client *client = client_make(NULL);
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	struct heard heard = { 0 };
	weft_http_response *r;

	request.on_interim = hear_interim;
	request.on_head = hear_head;
	request.user = &heard;
	raw_start(&server, says_slowly, NULL,
		"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	r = send_to(client, &server, &request, "/");
	want(heard.count == 2 && heard.last == 103 && heard.heads == 1);
	want_text(heard.link, "</a>");
	want(weft_http_fields_get(weft_http_response_fields(r), "link") == NULL);
	want_body(r, "hi");
	weft_http_response_free(r);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

/* An interim response at once, the final one later. */
static void keeps_waiting(struct raw_conn *c)
{
	while (raw_request(c)) {
		raw_say(c, "HTTP/1.1 103 Early Hints\r\n\r\n");
		if (weft_sleep_ns(60 * MS) != WEFT_OK)
			return;
		raw_say(c, c->server->text);
	}
}

BOTH_TEST(client_times_the_final_response)
{
	weft_http_client *client = client_make(NULL);
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_timings timings;
	struct raw_server server;
	weft_http_response *r;

	raw_start(&server, keeps_waiting, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	r = send_to(client, &server, &request, "/");
	weft_http_response_timings(r, &timings);
	want(timings.first_byte_ns >= 50 * MS && timings.total_ns >= timings.first_byte_ns);
	want_body(r, "hi");
	weft_http_response_free(r);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

static void interim_for_ever(struct raw_conn *c)
{
	if (!raw_request(c))
		return;
	while (weft_conn_write(c->conn, "HTTP/1.1 102 P\r\n\r\n", 18, NULL, WEFT_FOREVER) ==
		WEFT_OK)
		;
}

BOTH_TEST(client_bounds_interim_responses)
{
	struct raw_server server;
	weft_http_client *client = client_make(NULL);

	raw_start(&server, interim_for_ever, NULL, NULL);
	want_send_err(client, &server, "GET", WEFT_EPROTO, "16 responses before the final one");
	want(stats_of(client).connections_now == 0);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

/* --- upgrades ------------------------------------------------------------------------------- */

static void upgrades(struct raw_conn *c)
{
	char value[64];
	weft_err err;

	want(raw_request(c));
	want_text(raw_field(c, "upgrade", value, sizeof(value)), "echo");
	want_text(raw_field(c, "connection", value, sizeof(value)), "upgrade");
	raw_say(c,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
		"first");
	err = weft_conn_copy(c->conn, c->conn, NULL, NULL, NULL, WEFT_FOREVER);
	want(err == WEFT_OK || err == WEFT_ECANCELED || err == WEFT_ERESET);
}

BOTH_TEST(client_hands_an_upgraded_connection_over)
{
	struct raw_server server;
	weft_http_client *client = client_make(NULL);
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_fields *fields;
	weft_http_response *r;
	weft_conn *conn = NULL;
	char text[16];
	size_t got;

	want_ok(weft_http_fields_create(&fields));
	want_ok(weft_http_fields_add(fields, "Upgrade", "echo"));
	request.fields = fields;
	request.upgrade = true;
	raw_start(&server, upgrades, NULL, NULL);
	r = send_to(client, &server, &request, "/");
	want(weft_http_response_status(r) == 101);
	/* what was read of it as if it were a body is gone, and no more */
	want_ok(weft_http_response_read(r, text, 1, &got, WEFT_FOREVER));
	want(got == 1);
	want_ok(weft_http_response_take(r, &conn));
	want_err(WEFT_EINVAL, weft_http_response_take(r, &conn));
	want(weft_http_response_conn(r) == NULL);
	weft_http_response_free(r);
	want(stats_of(client).connections_now == 0);
	want_ok(weft_conn_read_full(conn, text + 1, 4, NULL, WEFT_FOREVER));
	want(memcmp(text, "first", 5) == 0);
	want_ok(weft_conn_write(conn, "second", 6, NULL, WEFT_FOREVER));
	want_ok(weft_conn_read_full(conn, text, 6, NULL, WEFT_FOREVER));
	want(memcmp(text, "second", 6) == 0);
	weft_conn_free(conn);
	weft_http_fields_free(fields);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

/* The answer to the head, before the body has been read: a little of it, or nothing. */
struct hasty {
	bool reads; /* and speaks then */
	bool expects;
};

static void upgrades_at_once(struct raw_conn *c)
{
	const struct hasty *hasty = c->server->user;

	if (!raw_head(c))
		return;
	raw_say(c,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
	if (hasty->reads) {
		want(raw_body(c) && c->body_len == c->length);
		raw_say(c, "first");
	} else if (weft_sleep_ns(20 * SECOND) != WEFT_OK) {
		return; /* the test is over */
	}
	raw_until_closed(c);
}

#define HASTY_BODY_MAX ((size_t)16 << 20) /* more than sockets hold, and those of the simulator: */
#define HASTY_BODY_SIM ((size_t)256 << 10)

BOTH_TEST(client_hands_no_connection_over_before_the_request_is_sent)
{
	static struct hasty all[] = { { true, false }, { false, false }, { false, true } };
	size_t size = weft_in_sim() ? HASTY_BODY_SIM : HASTY_BODY_MAX;
	char *body = calloc(1, size), text[5];

	for (size_t i = 0; i < 3; i++) {
		weft_http_client *client = client_make(NULL);
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		struct raw_server server;
		weft_http_fields *fields = NULL;
		weft_http_response *r = NULL;
		weft_conn *conn = NULL;
		weft_err err;

		want_ok(weft_http_fields_create(&fields));
		want_ok(weft_http_fields_add(fields, "Upgrade", "echo"));
		request.method = "POST";
		request.fields = fields;
		request.upgrade = true;
		request.body = body;
		request.body_size = size;
		request.expect_continue = all[i].expects;
		raw_start(&server, upgrades_at_once, &all[i], NULL);
		err = try_send(client, &server, &request, "/", &r,
			all[i].reads || all[i].expects ? WEFT_FOREVER
						       : weft_after_ns(both_ample_ns(60 * MS)));
		if (all[i].reads) {
			want_ok(err);
			want_ok(weft_http_response_take(r, &conn));
			want_ok(weft_conn_read_full(conn, text, 5, NULL, WEFT_FOREVER));
			want(memcmp(text, "first", 5) == 0);
			weft_conn_free(conn);
			want_ok(weft_sleep_ns(MS)); /* nobody writes to it any more */
			weft_http_response_free(r);
		} else {
			want_err(all[i].expects ? WEFT_EPROTO : WEFT_ETIMEDOUT, err);
			want_in(weft_error_detail(), all[i].expects ? "101 instead" : "sending");
		}
		want(stats_of(client).connections_now == 0);
		weft_http_fields_free(fields);
		client_end(client);
		raw_stop(&server);
	}
	free(body);
	return WEFT_OK;
}

/* --- what is no response -------------------------------------------------------------------- */

static const struct {
	const char *text;
	weft_err err;
	const char *part;
} garbage[] = {
	{ "HELLO\r\n\r\n", WEFT_EPROTO, "the response's head" },
	{ "HTTP/2.0 200 OK\r\n\r\n", WEFT_EPROTO, "version" },
	{ "\r\nHTTP/1.1 200 OK\r\n\r\n", WEFT_EPROTO, "the response's head" },
	{ "HTTP/1.1 200 OK\nContent-Length: 0\n\n", WEFT_EPROTO, "bare" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", WEFT_EPROTO,
		"Content-Length" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
		WEFT_EPROTO, "both" },
	{ "HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n", WEFT_EPROTO, "folded" },
	{ "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", WEFT_EPROTO,
		"101" },
	{ "HTTP/1.1 200", WEFT_ERESET, "within the response's head" },
	{ "", WEFT_ERESET, "without a response" },
};

BOTH_TEST(client_refuses_what_is_no_response)
{
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		weft_http_client *client = client_make(NULL);
		struct raw_server server;

		raw_start(&server, says_and_closes, NULL, garbage[i].text);
		want_send_err(client, &server, "GET", garbage[i].err, garbage[i].part);
		want(stats_of(client).connections_now == 0);
		want(counter_get(&server.requests) == 1);
		client_end(client);
		raw_stop(&server);
	}
	return WEFT_OK;
}

static void many_fields(struct raw_conn *c)
{
	const size_t *count = c->server->user;
	char line[128];

	while (raw_request(c)) {
		raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
		for (size_t i = 0; i < *count; i++) {
			snprintf(line, sizeof(line), "X-%zu: %050zu\r\n", i, i);
			raw_say(c, line);
		}
		raw_say(c, "\r\nhi");
	}
}

BOTH_TEST(client_takes_long_heads_up_to_its_limits)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	struct raw_server server;
	weft_http_client *client;
	weft_http_response *r;
	size_t count = 255;

	raw_start(&server, many_fields, &count, NULL);
	options.fields_max = 256;
	client = client_make(&options);
	r = send_to(client, &server, &request, "/");
	want(weft_http_fields_count(weft_http_response_fields(r)) == 256);
	want_text(weft_http_fields_get(weft_http_response_fields(r), "x-254") + 46, "0254");
	want_body(r, "hi");
	weft_http_response_free(r);
	count = 256;
	want_send_err(client, &server, "GET", WEFT_EMSGSIZE, "too many header fields");
	client_end(client);
	count = 20;
	options.head_size_max = 1000;
	client = client_make(&options);
	want_send_err(client, &server, "GET", WEFT_EMSGSIZE, "too large");
	want(stats_of(client).connections_now == 0);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

static void client_tests(TCase *tc)
{
	both_add(tc, client_reads_every_kind_of_response);
	both_add(tc, client_reads_responses_that_come_byte_by_byte);
	both_add(tc, client_goes_on_after_servers_that_close_behind_each_response);
	both_add(tc, client_reads_until_the_connection_closes);
	both_add(tc, client_gives_trailers_once_the_body_was_read);
	both_add(tc, client_asks_for_a_head_and_gets_no_body);
	both_add(tc, client_sends_the_heads_that_it_should);
	both_add(tc, client_keeps_the_connections_of_each_place_apart);
	both_add(tc, client_goes_to_a_socket_in_place_of_the_urls_host);
	both_add(tc, client_refuses_requests_that_are_none);
	both_add(tc, client_names_the_field_of_an_option_that_is_wrong);
	both_add(tc, client_tells_of_interim_responses);
	both_add(tc, client_times_the_final_response);
	both_add(tc, client_bounds_interim_responses);
	both_add(tc, client_hands_an_upgraded_connection_over);
	both_add(tc, client_hands_no_connection_over_before_the_request_is_sent);
	both_add(tc, client_refuses_what_is_no_response);
	both_add(tc, client_takes_long_heads_up_to_its_limits);
}

T_SUITE("http client", client_tests)
