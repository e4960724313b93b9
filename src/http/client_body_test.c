/* SPDX-License-Identifier: MIT */
/* weft-test: timeout=300 */
/* Bodies of requests and responses, as they go and come. */
#include "support/clientcheck.h"

#define BIG ((size_t)200000)

static char pattern(uint64_t i)
{
	return (char)('a' + (i * 2654435761u >> 9) % 26);
}

static char *pattern_make(size_t size)
{
	char *data = malloc(size + 1);

	want(data != NULL);
	for (size_t i = 0; i < size; i++)
		data[i] = pattern(i);
	data[size] = '\0';
	return data;
}

/* --- requests' bodies ----------------------------------------------------------------------- */

/* Says how many bytes came, and what the first of them are. */
static void counts(struct raw_conn *c)
{
	char text[2048], body[1200];

	while (raw_request(c)) {
		for (uint64_t i = 0; i < c->body_len && i < RAW_BODY_MAX; i++)
			want(c->body[i] == pattern(i));
		snprintf(body, sizeof(body), "%llu %s %s", (unsigned long long)c->body_len,
			c->chunked ? "chunked" : "counted", c->trailers);
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			strlen(body), body);
		raw_say(c, text);
	}
}

BOTH_TEST(client_sends_bodies_of_bytes)
{
	static const size_t sizes[] = { 1, 100, 5000, BIG };
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client = client_make(NULL);
	struct raw_server server;
	char *data = pattern_make(BIG), expected[64];

	raw_start(&server, counts, NULL, NULL);
	request.method = "POST";
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		weft_http_response *r;

		request.body = data;
		request.body_size = sizes[i];
		r = send_to(client, &server, &request, "/");
		snprintf(expected, sizeof(expected), "%zu counted ", sizes[i]);
		want_body(r, expected);
		weft_http_response_free(r);
	}
	want(counter_get(&server.conns) == 1);
	client_end(client);
	raw_stop(&server);
	free(data);
	return WEFT_OK;
}

BOTH_TEST(client_sends_bodies_of_functions)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client = client_make(NULL);
	struct text_body body = { 0 };
	struct raw_server server;
	weft_http_fields *trailers;
	char *data = pattern_make(BIG), expected[64];
	weft_http_response *r;

	raw_start(&server, counts, NULL, NULL);
	want_ok(weft_http_fields_create(&trailers));
	want_ok(weft_http_fields_add(trailers, "X-Sum", "7"));
	request.method = "PUT";
	request.body_read = text_read;
	request.body_user = &body;
	for (int i = 0; i < 4; i++) {
		bool counted = i & 1;

		body = (struct text_body){ .text = data, .piece = i < 2 ? 1 << 20 : 999 };
		request.body_length = counted ? BIG : 0;
		request.trailers = i == 2 ? trailers : NULL;
		r = send_to(client, &server, &request, "/");
		snprintf(expected, sizeof(expected), "%zu %s %s%s", BIG,
			counted ? "counted" : "chunked", i == 2 ? "X-Sum: 7\r\n" : "",
			counted ? "" : "\r\n");
		want_body(r, expected);
		weft_http_response_free(r);
	}
	want(counter_get(&server.conns) == 1);
	weft_http_fields_free(trailers);
	client_end(client);
	raw_stop(&server);
	free(data);
	return WEFT_OK;
}

static void reads_to_the_end(struct raw_conn *c)
{
	bool *whole = c->server->user;

	*whole = raw_head(c) && raw_body(c);
}

static void want_body_err(struct text_body body, uint64_t length, weft_err err, const char *part)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client = client_make(NULL);
	struct raw_server server;
	weft_http_response *r = NULL;
	bool whole = false;

	raw_start(&server, reads_to_the_end, &whole, NULL);
	request.method = "PUT";
	request.body_read = text_read;
	request.body_user = &body;
	request.body_length = length;
	want_err(err, try_send(client, &server, &request, "/", &r, WEFT_FOREVER));
	want_in(weft_error_detail(), part);
	want(body.rewinds == 0);
	want(stats_of(client).connections_now == 0);
	client_end(client);
	want_ok(weft_sleep_ns(10 * MS));
	raw_stop(&server);
	want(!whole);
}

BOTH_TEST(client_reports_what_a_bodys_function_returned)
{
	struct text_body body = { .text = "hello", .piece = 2, .fails = WEFT_EIO };

	want_body_err(body, 0, WEFT_EIO, "sending");
	want_body_err(body, 10, WEFT_EIO, "sending");
	body.fails = WEFT_OK;
	want_body_err(body, 10, WEFT_EINVAL, "body_read ended 5 bytes before body_length");
	return WEFT_OK;
}

/* --- early responses ------------------------------------------------------------------------ */

static void refuses_bodies(struct raw_conn *c)
{
	if (!raw_head(c))
		return;
	raw_say(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!");
	/* it does not read on, and does not close: that is the client's turn */
	while (weft_sleep_ns(MS) == WEFT_OK && !counter_get(c->server->user))
		;
	raw_until_closed(c);
}

static weft_err endless_read(void *user, void *data, size_t size, size_t *got, weft_deadline until)
{
	uint64_t *count = user;

	(void)until;
	memset(data, 'x', size);
	*got = size;
	*count += size;
	return WEFT_OK;
}

BOTH_TEST(client_delivers_a_refusal_while_the_body_is_being_sent)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client = client_make(NULL);
	struct raw_server server;
	weft_http_response *r;
	uint64_t count = 0;
	struct counter done = { 0 };

	raw_start(&server, refuses_bodies, &done, NULL);
	request.method = "POST";
	request.body_read = endless_read;
	request.body_user = &count;
	r = send_to(client, &server, &request, "/");
	want(weft_http_response_status(r) == 413);
	want_body(r, "no!");
	weft_http_response_free(r);
	counter_set(&done, 1);
	want(stats_of(client).connections_now == 0);
	while (counter_get(&server.conns_open))
		want_ok(weft_sleep_ns(MS));
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

static void refuses_and_reads_on(struct raw_conn *c)
{
	if (!raw_head(c))
		return;
	raw_say(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno!");
	raw_until_closed(c);
}

BOTH_TEST(client_stops_sending_a_body_that_was_refused)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client = client_make(NULL);
	struct raw_server server;
	weft_http_response *r;
	uint64_t count = 0, then;

	raw_start(&server, refuses_and_reads_on, NULL, NULL);
	request.method = "POST";
	request.body_read = endless_read;
	request.body_user = &count;
	r = send_to(client, &server, &request, "/");
	then = count;
	want_ok(weft_sleep_ns(20 * MS));
	want(count == then);
	want_body(r, "no!");
	weft_http_response_free(r);
	want(stats_of(client).connections_now == 0);
	client_end(client);
	raw_stop(&server);
	return WEFT_OK;
}

/* Chunks go back as they come. */
static void echoes_chunks(struct raw_conn *c)
{
	char line[64], piece[256];
	size_t got, size;

	if (!raw_head(c))
		return;
	want(c->chunked);
	raw_say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	do {
		want_ok(weft_conn_read_line(c->conn, line, sizeof(line), &got, WEFT_FOREVER));
		size = strtoull(line, NULL, 16);
		want(size + 2 <= sizeof(piece));
		want_ok(weft_conn_read_full(c->conn, piece, size + 2, NULL, WEFT_FOREVER));
		raw_say_bytes(c, line, got);
		raw_say_bytes(c, piece, size + 2);
	} while (size);
	raw_until_closed(c);
}

/* Each piece is sent when the one before has come back. */
struct duplex {
	weft_chan *turns;
	unsigned left;
};

static weft_err duplex_read(void *user, void *data, size_t size, size_t *got, weft_deadline until)
{
	struct duplex *duplex = user;
	weft_err err;
	int turn;

	if (!duplex->left)
		return WEFT_ECLOSED;
	err = weft_chan_recv(duplex->turns, &turn, until);
	if (err)
		return err;
	duplex->left--;
	want(size >= 5);
	memcpy(data, "piece", 5);
	*got = 5;
	return WEFT_OK;
}

BOTH_TEST(client_sends_and_reads_at_the_same_time)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client = client_make(NULL);
	struct duplex duplex = { NULL, 10 };
	struct raw_server server;
	weft_http_response *r;
	char text[8];
	size_t got, done = 0;
	int turn = 0;

	want_ok(weft_chan_create(&duplex.turns, sizeof(int), 1, NULL));
	raw_start(&server, echoes_chunks, NULL, NULL);
	request.method = "POST";
	request.body_read = duplex_read;
	request.body_user = &duplex;
	r = send_to(client, &server, &request, "/");
	for (int i = 0; i < 10; i++) {
		want_ok(weft_chan_send(duplex.turns, &turn, WEFT_FOREVER));
		for (done = 0; done < 5; done += got)
			want_ok(weft_http_response_read(
				r, text + done, 5 - done, &got, WEFT_FOREVER));
		want(memcmp(text, "piece", 5) == 0);
	}
	want_err(WEFT_ECLOSED, weft_http_response_read(r, text, 5, &got, WEFT_FOREVER));
	weft_http_response_free(r);
	/* both ways were whole: it is kept */
	want(stats_of(client).idle_now == 1);
	client_end(client);
	raw_stop(&server);
	weft_chan_unref(duplex.turns);
	return WEFT_OK;
}

/* --- 100 (Continue) ------------------------------------------------------------------------- */

enum expects { CONTINUES, KEEPS_SILENT, REFUSES };

static void expects(struct raw_conn *c)
{
	enum expects what = *(enum expects *)c->server->user;
	char value[32];

	while (raw_head(c)) {
		want_text(raw_field(c, "expect", value, sizeof(value)), "100-continue");
		if (what == REFUSES) {
			raw_say(c, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
			raw_until_closed(c);
			return;
		}
		if (what == CONTINUES)
			raw_say(c, "HTTP/1.1 100 Continue\r\n\r\n");
		want(raw_body(c));
		want(c->body_len == 5);
		raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	}
}

BOTH_TEST(client_waits_for_100_with_the_body)
{
	static enum expects all[] = { CONTINUES, KEEPS_SILENT, REFUSES };

	for (size_t i = 0; i < 3; i++) {
		weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		struct text_body body = { .text = "hello", .piece = 3 };
		weft_http_client *client;
		struct raw_server server;
		weft_http_response *r;

		options.expect_timeout_ns = all[i] == KEEPS_SILENT ? 50 * MS : -1;
		client = client_make(&options);
		raw_start(&server, expects, &all[i], NULL);
		request.method = "POST";
		request.expect_continue = true;
		request.body_read = text_read;
		request.body_user = &body;
		r = send_to(client, &server, &request, "/");
		want(weft_http_response_status(r) == (all[i] == REFUSES ? 417 : 200));
		want_body(r, all[i] == REFUSES ? "" : "hi");
		weft_http_response_free(r);
		want((body.reads == 0) == (all[i] == REFUSES));
		want(stats_of(client).idle_now == (all[i] == REFUSES ? 0 : 1));
		client_end(client);
		raw_stop(&server);
	}
	return WEFT_OK;
}

/* --- responses' bodies ---------------------------------------------------------------------- */

struct big {
	size_t size;
	bool chunked;
	struct counter said; /* bodies, each to its end */
};

static void says_big(struct raw_conn *c)
{
	struct big *big = c->server->user;
	char *data = pattern_make(big->size), text[128];

	while (raw_request(c)) {
		size_t done = 0, n;

		snprintf(text, sizeof(text),
			big->chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				     : "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
			big->size);
		raw_say(c, text);
		while (done < big->size) {
			n = 1 + both_random(20000);
			n = n < big->size - done ? n : big->size - done;
			snprintf(text, sizeof(text), "%zx\r\n", n);
			if (big->chunked)
				raw_say(c, text);
			raw_say_bytes(c, data + done, n);
			if (big->chunked)
				raw_say(c, "\r\n");
			done += n;
		}
		if (big->chunked)
			raw_say(c, "0\r\n\r\n");
		counter_add(&big->said, 1);
	}
	free(data);
}

static void read_big(weft_http_response *r, size_t size, size_t piece_max)
{
	char *data = malloc(piece_max);
	size_t done = 0, got = 0;
	weft_err err;

	want(data != NULL);
	for (;;) {
		size_t piece = 1 + both_random(piece_max);

		err = weft_http_response_read(r, data, piece, &got, WEFT_FOREVER);
		if (err)
			break;
		want(got >= 1 && got <= piece);
		for (size_t i = 0; i < got; i++)
			want(data[i] == pattern(done + i));
		done += got;
	}
	want_err(WEFT_ECLOSED, err);
	want(done == size);
	free(data);
}

BOTH_TEST(client_reads_large_bodies_by_pieces_of_any_size)
{
	static const size_t pieces[] = { 100, 5000, 100000 };
	struct big big = { .size = BIG };

	for (int i = 0; i < 6; i++) {
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		weft_http_client *client = client_make(NULL);
		struct raw_server server;

		big.chunked = i % 2;
		raw_start(&server, says_big, &big, NULL);
		for (int turn = 0; turn < 2; turn++) {
			weft_http_response *r = send_to(client, &server, &request, "/");

			read_big(r, BIG, pieces[i / 2]);
			weft_http_response_free(r);
		}
		want(counter_get(&server.conns) == 1);
		client_end(client);
		raw_stop(&server);
	}
	return WEFT_OK;
}

static void want_read_err(const char *text, weft_err expected, const char *part)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	weft_http_client *client;
	struct raw_server server;
	weft_http_response *r;
	char byte;
	size_t got;
	weft_err err;

	options.body_size_max = 1000;
	client = client_make(&options);
	raw_start(&server, says_and_closes, NULL, text);
	r = send_to(client, &server, &request, "/");
	do {
		err = weft_http_response_read(r, &byte, 1, &got, WEFT_FOREVER);
	} while (!err);
	want_err(expected, err);
	want_in(weft_error_detail(), part);
	/* for good */
	want_err(expected, weft_http_response_read(r, &byte, 1, &got, WEFT_FOREVER));
	want_in(weft_error_detail(), part);
	weft_http_response_free(r);
	want(stats_of(client).connections_now == 0);
	client_end(client);
	raw_stop(&server);
}

BOTH_TEST(client_reports_bodies_that_are_cut_or_wrong)
{
	char large[1200] = "HTTP/1.1 200 OK\r\n\r\n";

	want_read_err(
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", WEFT_ERESET, "after 5 bytes");
	want_read_err("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		WEFT_ERESET, "after 5 bytes");
	want_read_err("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		WEFT_ERESET, "after 5 bytes");
	want_read_err(
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
		WEFT_EPROTO, "chunk size");
	want_read_err("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhellofive",
		WEFT_EPROTO, "chunk");
	want_read_err("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1"
		      "\r\n\r\n",
		WEFT_EPROTO, "trailer");
	memset(large + strlen(large), 'x', 1100);
	want_read_err(large, WEFT_EMSGSIZE, "longer than 1000 bytes");
	return WEFT_OK;
}

BOTH_TEST(client_never_uses_a_connection_again_that_said_too_much)
{
	static const char *const texts[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!",
		("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
		 "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
		"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		weft_http_client *client = client_make(NULL);
		struct raw_server server;

		raw_start(&server, says, NULL, texts[i]);
		for (unsigned turn = 1; turn <= 3; turn++) {
			weft_http_response *r = send_to(client, &server, &request, "/");

			want_body(r, i == 2 ? "" : "hi");
			weft_http_response_free(r);
			/* what comes later is found before the next request */
			want_ok(weft_sleep_ns(20 * MS));
		}
		want(counter_get(&server.conns) == 3);
		client_end(client);
		raw_stop(&server);
	}
	return WEFT_OK;
}

BOTH_TEST(client_reads_all_up_to_a_cap)
{
	static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, 50000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int chunked = 0; chunked < 2; chunked++) {
			weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
			weft_http_client *client = client_make(NULL);
			struct big big = { .size = sizes[i], .chunked = chunked };
			weft_buf buf = WEFT_BUF_EMPTY;
			struct raw_server server;
			weft_http_response *r;

			raw_start(&server, says_big, &big, NULL);
			r = send_to(client, &server, &request, "/");
			want_ok(weft_http_response_read_all(r, &buf, sizes[i], WEFT_FOREVER));
			want(buf.len == sizes[i]);
			for (size_t k = 0; k < buf.len; k++)
				want((char)buf.data[k] == pattern(k));
			weft_buf_unref(&buf);
			weft_http_response_free(r);
			want(stats_of(client).idle_now == 1);
			if (sizes[i]) {
				r = send_to(client, &server, &request, "/");
				want_err(WEFT_EMSGSIZE,
					weft_http_response_read_all(
						r, &buf, sizes[i] - 1, WEFT_FOREVER));
				want(buf.data == NULL);
				weft_http_response_free(r);
				want(stats_of(client).connections_now == 0);
			}
			client_end(client);
			raw_stop(&server);
		}
	}
	return WEFT_OK;
}

static void says_half(struct raw_conn *c)
{
	weft_chan *go = c->server->user;
	int turn;

	if (!raw_request(c))
		return;
	raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
	if (weft_chan_recv(go, &turn, WEFT_FOREVER) == WEFT_OK)
		raw_say(c, "lf");
	raw_until_closed(c);
}

BOTH_TEST(client_takes_no_rest_of_a_body_for_all_of_it)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client = client_make(NULL);
	weft_buf buf = WEFT_BUF_EMPTY;
	struct raw_server server;
	weft_http_response *r;
	weft_chan *go;
	int turn = 0;
	weft_err err;

	want_ok(weft_chan_create(&go, sizeof(int), 1, NULL));
	raw_start(&server, says_half, go, NULL);
	r = send_to(client, &server, &request, "/");
	want_err(WEFT_ETIMEDOUT, weft_http_response_read_all(r, &buf, 100, weft_after_ms(30)));
	want_ok(weft_chan_send(go, &turn, WEFT_FOREVER));
	err = weft_http_response_read_all(r, &buf, 100, WEFT_FOREVER);
	/* not a byte had come by then, or it is over */
	want(err == WEFT_OK ? buf.len == 4 : err == WEFT_ETIMEDOUT && !buf.data);
	weft_buf_unref(&buf);
	weft_http_response_free(r);
	want(stats_of(client).connections_now == (err ? 0 : 1));
	client_end(client);
	raw_stop(&server);
	weft_chan_unref(go);
	return WEFT_OK;
}

BOTH_TEST(client_keeps_a_connection_whose_body_was_left_unread_if_little_is_missing)
{
	for (int large = 0; large < 2; large++) {
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		weft_http_client *client = client_make(NULL);
		struct big big = { .size = large ? BIG : 1000 };
		struct raw_server server;
		weft_http_response *r;

		raw_start(&server, says_big, &big, NULL);
		r = send_to(client, &server, &request, "/");
		while (!large && !counter_get(&big.said))
			want_ok(weft_sleep_ns(MS));
		/* of the small one all is there by now */
		want_ok(weft_sleep_ns(20 * MS));
		weft_http_response_free(r);
		want(stats_of(client).idle_now == (large ? 0 : 1));
		want(stats_of(client).connections_now == (large ? 0 : 1));
		client_end(client);
		raw_stop(&server);
	}
	return WEFT_OK;
}

BOTH_TEST(client_reads_on_after_a_deadline_but_not_after_a_stall)
{
	for (int stalls = 0; stalls < 2; stalls++) {
		weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
		weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
		weft_http_client *client;
		struct raw_server server;
		weft_http_response *r;
		weft_chan *go;
		char text[8];
		size_t got;
		int turn = 0;

		options.stall_timeout_ns = stalls ? 40 * MS : 10 * SECOND;
		client = client_make(&options);
		want_ok(weft_chan_create(&go, sizeof(int), 1, NULL));
		raw_start(&server, says_half, go, NULL);
		r = send_to(client, &server, &request, "/");
		for (size_t done = 0; done < 2; done += got)
			want_ok(weft_http_response_read(r, text, 2 - done, &got, WEFT_FOREVER));
		if (stalls) {
			want_err(WEFT_ETIMEDOUT,
				weft_http_response_read(r, text, 4, &got, WEFT_FOREVER));
			want_in(weft_error_detail(), "nothing came for 40 ms");
			want_ok(weft_chan_send(go, &turn, WEFT_FOREVER));
			want_err(WEFT_ETIMEDOUT,
				weft_http_response_read(r, text, 4, &got, WEFT_FOREVER));
		} else {
			want_err(WEFT_ETIMEDOUT,
				weft_http_response_read(r, text, 4, &got, weft_after_ms(20)));
			want_ok(weft_chan_send(go, &turn, WEFT_FOREVER));
			for (size_t done = 0; done < 2; done += got)
				want_ok(weft_http_response_read(
					r, text + done, 4, &got, WEFT_FOREVER));
			want(memcmp(text, "lf", 2) == 0);
			want_err(WEFT_ECLOSED,
				weft_http_response_read(r, text, 4, &got, WEFT_FOREVER));
		}
		weft_http_response_free(r);
		want(stats_of(client).idle_now == (stalls ? 0 : 1));
		client_end(client);
		raw_stop(&server);
		weft_chan_unref(go);
	}
	return WEFT_OK;
}

/* Who asks now and then, and never waits for long, learns of a stall all the same. */
BOTH_TEST(client_finds_a_stall_over_many_reads)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_client *client;
	struct raw_server server;
	weft_http_response *r;
	weft_deadline begun;
	weft_chan *go;
	char text[8];
	size_t got;
	unsigned looks = 0;
	weft_err err;

	options.stall_timeout_ns = 60 * MS;
	client = client_make(&options);
	want_ok(weft_chan_create(&go, sizeof(int), 1, NULL));
	raw_start(&server, says_half, go, NULL);
	r = send_to(client, &server, &request, "/");
	for (size_t done = 0; done < 2; done += got)
		want_ok(weft_http_response_read(r, text, 2 - done, &got, WEFT_FOREVER));
	begun = weft_now();
	for (;;) {
		err = weft_http_response_read(
			r, text, 4, &got, looks++ % 2 ? WEFT_NOW : weft_after_ms(5));
		want_err(WEFT_ETIMEDOUT, err);
		if (strstr(weft_error_detail(), "nothing came for 60 ms"))
			break;
		want(weft_now() - begun < 50 * SECOND);
		want_ok(weft_sleep_ns(5 * MS));
	}
	want(looks > 2 && weft_now() - begun >= 60 * MS);
	weft_http_response_free(r);
	want(stats_of(client).connections_now == 0);
	client_end(client);
	raw_stop(&server);
	weft_chan_unref(go);
	return WEFT_OK;
}

static void client_body_tests(TCase *tc)
{
	both_add(tc, client_sends_bodies_of_bytes);
	both_add(tc, client_sends_bodies_of_functions);
	both_add(tc, client_reports_what_a_bodys_function_returned);
	both_add(tc, client_delivers_a_refusal_while_the_body_is_being_sent);
	both_add(tc, client_stops_sending_a_body_that_was_refused);
	both_add(tc, client_sends_and_reads_at_the_same_time);
	both_add(tc, client_waits_for_100_with_the_body);
	both_add(tc, client_reads_large_bodies_by_pieces_of_any_size);
	both_add(tc, client_reports_bodies_that_are_cut_or_wrong);
	both_add(tc, client_never_uses_a_connection_again_that_said_too_much);
	both_add(tc, client_reads_all_up_to_a_cap);
	both_add(tc, client_takes_no_rest_of_a_body_for_all_of_it);
	both_add(tc, client_keeps_a_connection_whose_body_was_left_unread_if_little_is_missing);
	both_add(tc, client_reads_on_after_a_deadline_but_not_after_a_stall);
	both_add(tc, client_finds_a_stall_over_many_reads);
}

T_SUITE("http client's bodies", client_body_tests)
