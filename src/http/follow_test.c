/* SPDX-License-Identifier: MIT */
/* Redirects, codings and the environment's proxies, through the whole client, against a server
 * that says what it is told to. */
#define _POSIX_C_SOURCE 200809L
#include "support/both.h"
#include "support/rawhttp.h"
#include "support/webfake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOON weft_after_ms(20000)
#define TEXT_MAX 4096

struct web {
	struct webfake a, b; /* two origins */
	weft_http_client *client;
	weft_http_request request;
	weft_http_fields *fields, *secrets;
	char url[256]; /* of the request */
};

static void web_open(struct web *w, webfake_fn answer, const char *path)
{
	const weft_http_request none = WEFT_HTTP_REQUEST_DEFAULT;

	want_ok(webfake_open(&w->a, answer, w));
	want_ok(webfake_open(&w->b, answer, w));
	want_ok(weft_http_client_create(&w->client, NULL));
	want_ok(weft_http_fields_create(&w->fields));
	want_ok(weft_http_fields_create(&w->secrets));
	snprintf(w->url, sizeof(w->url), "%s%s", w->a.url, path);
	w->request = none;
	w->request.url = w->url;
	w->request.fields = w->fields;
	w->request.origin_fields = w->secrets;
	w->request.redirects_max = 10;
}

static void web_close(struct web *w)
{
	weft_http_client_unref(w->client);
	weft_http_fields_free(w->fields);
	weft_http_fields_free(w->secrets);
	webfake_close(&w->a);
	webfake_close(&w->b);
}

/* The whole exchange; the body as text. */
static weft_err fetch(struct web *w, unsigned *status, char *text)
{
	weft_http_response *response = NULL;
	weft_buf body = WEFT_BUF_EMPTY;
	weft_err err = weft_http_client_send(w->client, &w->request, &response, SOON);

	if (err)
		return err;
	*status = weft_http_response_status(response);
	err = weft_http_response_read_all(response, &body, TEXT_MAX - 1, SOON);
	if (!err) {
		if (body.len)
			memcpy(text, body.data, body.len);
		text[body.len] = '\0';
		weft_buf_unref(&body);
	}
	weft_http_response_free(response);
	return err;
}

/* What of a request arrives: its body, and whether fields are there. */
static weft_err echo(weft_conn *conn, const struct webfake_request *r)
{
	static const char *const names[] = { "Authorization", "Cookie", "X-Key", "X-Own",
		"Content-Type", "Accept-Encoding" };
	char text[1024];
	int len = snprintf(text, sizeof(text), "%s %s [%s]", r->method, r->target, r->body);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = webfake_field(r, names[i]);

		if (value)
			len += snprintf(
				text + len, sizeof(text) - (size_t)len, " %s=%s", names[i], value);
	}
	return webfake_reply(conn, 200, "", text);
}

/* ---- redirects ---- */

/* /STATUS/there: a redirect to /end of the same (s) or the other (o) origin; e: without body. */
static weft_err hop(struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	struct web *w = f->user;
	char where = 's', fields[512];
	unsigned status = 0;

	if (sscanf(r->target, "/%u/%c", &status, &where) != 2)
		return echo(conn, r);
	snprintf(fields, sizeof(fields), "Location: %s/end\r\n",
		where == 'o' ? (f == &w->a ? w->b.url : w->a.url) : "");
	return webfake_reply(conn, status, fields, where == 'e' ? "" : "moved");
}

static void expect(struct web *w, const char *text)
{
	char got[TEXT_MAX];
	unsigned status;

	want_ok(fetch(w, &status, got));
	want(status == 200);
	if (strcmp(got, text) != 0) {
		fprintf(stderr, "got      %s\nexpected %s\n", got, text);
		both_failed(__FILE__, __LINE__, "the same");
	}
}

BOTH_TEST(a_redirect_is_followed_on_the_same_connection)
{
	struct web w;

	web_open(&w, hop, "/302/e");
	expect(&w, "GET /end []");
	want(w.a.requests == 2 && w.a.connections == 1);
	web_close(&w);
	return WEFT_OK;
}

BOTH_TEST(without_leave_a_redirect_is_the_answer)
{
	struct web w;
	char text[TEXT_MAX];
	unsigned status;

	web_open(&w, hop, "/302/s");
	w.request.redirects_max = 0;
	want_ok(fetch(&w, &status, text));
	want(status == 302 && strcmp(text, "moved") == 0 && w.a.requests == 1);
	web_close(&w);
	return WEFT_OK;
}

static weft_err again(void *user)
{
	*(size_t *)user = 0;
	return WEFT_OK;
}

static weft_err once(WEFT_UNUSED void *user)
{
	return WEFT_EIO;
}

/* "abc", a byte at a time; user: how much of it was given. */
static weft_err abc(void *user, void *data, WEFT_UNUSED size_t size, size_t *got,
	WEFT_UNUSED weft_deadline until)
{
	size_t *at = user;

	if (*at == 3)
		return WEFT_ECLOSED;
	*(char *)data = (char)('a' + (int)(*at)++);
	*got = 1;
	return WEFT_OK;
}

BOTH_TEST(a_post_becomes_a_get_or_brings_its_body_along)
{
	static const struct {
		const char *path, *end;
	} cases[] = { { "/301/s", "GET /end []" }, { "/302/s", "GET /end []" },
		{ "/303/s", "GET /end []" }, { "/307/s", "POST /end [abc] Content-Type=t" },
		{ "/308/o", "POST /end [abc] Content-Type=t" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) * 3; i++) {
		struct web w;
		size_t at = 0;

		web_open(&w, hop, cases[i / 3].path);
		want_ok(weft_http_fields_add(w.fields, "Content-Type", "t"));
		w.request.method = "POST";
		if (i % 3 == 0) {
			w.request.body = "abc";
			w.request.body_size = 3;
		} else {
			w.request.body_read = abc;
			w.request.body_user = &at;
			w.request.body_rewind = again;
			w.request.body_length = i % 3 == 1 ? 3 : 0;
		}
		expect(&w, cases[i / 3].end);
		want(w.a.requests + w.b.requests == 2);
		web_close(&w);
	}
	return WEFT_OK;
}

/* Promises to keep a connection whose request it has not read, and closes it. */
static void closes_unread(struct raw_conn *c)
{
	char length[16];

	while (raw_request(c)) {
		if (c->served > 1) /* of what comes on the same connection it knows nothing */
			return;
		if (strcmp(c->target, "/307") == 0)
			raw_say(c,
				"HTTP/1.1 307 Temporary Redirect\r\nLocation: /end\r\n"
				"Connection: keep-alive\r\nContent-Length: 0\r\n\r\n");
		else if (raw_field(c, "Content-Length", length, sizeof(length)))
			raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	}
}

BOTH_TEST(a_body_is_not_sent_again_where_it_may_lie_unread)
{
	struct raw_server server;
	struct web w;

	raw_start(&server, closes_unread, NULL, NULL);
	web_open(&w, hop, "");
	snprintf(w.url, sizeof(w.url), "%s/307", server.url);
	w.request.method = "POST";
	w.request.body = "abc";
	w.request.body_size = 3;
	expect(&w, "hi");
	want(counter_get(&server.conns) == 2);
	web_close(&w);
	raw_stop(&server);
	return WEFT_OK;
}

BOTH_TEST(a_body_that_is_gone_is_an_error)
{
	struct web w;
	char text[TEXT_MAX];
	unsigned status;
	size_t at = 0;

	web_open(&w, hop, "/307/s");
	w.request.method = "POST";
	w.request.body_read = abc;
	w.request.body_user = &at;
	want_err(WEFT_ENOSYS, fetch(&w, &status, text));
	want(strncmp(weft_error_detail(), "http POST http://", 17) == 0);
	at = 0;
	w.request.body_rewind = once;
	want_err(WEFT_EIO, fetch(&w, &status, text));
	want(w.a.requests == 2);
	web_close(&w);
	return WEFT_OK;
}

static void add_secrets(struct web *w)
{
	want_ok(weft_http_fields_add(w->fields, "Authorization", "s"));
	want_ok(weft_http_fields_add(w->fields, "Cookie", "c"));
	want_ok(weft_http_fields_add(w->fields, "X-Own", "o"));
	want_ok(weft_http_fields_add(w->secrets, "X-Key", "k"));
}

BOTH_TEST(credentials_reach_their_own_origin_alone)
{
	struct web same, other;

	web_open(&same, hop, "/302/s");
	add_secrets(&same);
	expect(&same, "GET /end [] Authorization=s Cookie=c X-Key=k X-Own=o");
	web_close(&same);

	web_open(&other, hop, "/302/o");
	add_secrets(&other);
	expect(&other, "GET /end [] X-Own=o");
	want(webfake_field(&other.a.last, "X-Key"));
	web_close(&other);
	return WEFT_OK;
}

static weft_err to_a_user(struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	char fields[512];

	if (strcmp(r->target, "/end") == 0)
		return echo(conn, r);
	snprintf(fields, sizeof(fields), "Location: http://u:p@%.64s/end\r\n", f->url + 7);
	return webfake_reply(conn, 302, fields, "");
}

BOTH_TEST(a_server_does_not_say_who_we_are)
{
	struct web w;

	web_open(&w, to_a_user, "/");
	expect(&w, "GET /end []");
	web_close(&w);
	return WEFT_OK;
}

/* To the other origin and back. */
static weft_err there_and_back(struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	struct web *w = f->user;
	char fields[512];

	if (strcmp(r->target, "/end") == 0)
		return echo(conn, r);
	snprintf(fields, sizeof(fields), "Location: %s%s\r\n", f == &w->a ? w->b.url : w->a.url,
		f == &w->a ? "/" : "/end");
	return webfake_reply(conn, 302, fields, "");
}

BOTH_TEST(credentials_left_behind_do_not_come_back)
{
	struct web w;

	web_open(&w, there_and_back, "/");
	add_secrets(&w);
	expect(&w, "GET /end [] X-Own=o");
	want(w.a.requests == 2 && w.b.requests == 1);
	web_close(&w);
	return WEFT_OK;
}

static weft_err count_up(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	char fields[64];

	snprintf(fields, sizeof(fields), "Location: /%d\r\n", atoi(r->target + 1) + 1);
	return webfake_reply(conn, 302, fields, "");
}

static weft_err turn_round(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	return webfake_reply(conn, 302,
		strcmp(r->target, "/") == 0 ? "Location: /x\r\n" : "Location: /\r\n", "");
}

static weft_err lead_astray(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, WEFT_UNUSED const struct webfake_request *r)
{
	return webfake_reply(conn, 302, "Location: file:///etc/passwd\r\n", "");
}

BOTH_TEST(endless_redirects_end)
{
	struct web w;
	char text[TEXT_MAX];
	unsigned status;

	web_open(&w, count_up, "/0");
	want_err(WEFT_ECAPACITY, fetch(&w, &status, text));
	want(w.a.requests == 11);
	want(strstr(weft_error_detail(), "/10: redirect to http"));
	w.request.redirects_max = WEFT_HTTP_REDIRECTS_MAX + 1;
	want_err(WEFT_EINVAL, fetch(&w, &status, text));
	web_close(&w);

	web_open(&w, turn_round, "/");
	want_err(WEFT_EPROTO, fetch(&w, &status, text));
	want(w.a.requests == 2 && strstr(weft_error_detail(), "a loop"));
	web_close(&w);

	web_open(&w, lead_astray, "/");
	want_err(WEFT_EPROTO, fetch(&w, &status, text));
	want(strstr(weft_error_detail(), "file:///etc/passwd"));
	web_close(&w);
	return WEFT_OK;
}

static weft_err told(void *user, weft_http_response *response, const char *url)
{
	char *log = user;

	want(weft_http_response_status(response) == 302);
	want(strstr(url, "/end") != NULL);
	strcat(log, "told ");
	return strlen(log) > 8 ? WEFT_EACCESS : WEFT_OK;
}

BOTH_TEST(a_redirect_is_told_and_may_be_refused)
{
	struct web w;
	char log[32] = "", text[TEXT_MAX], end[300];
	unsigned status;
	weft_http_response *response;

	web_open(&w, hop, "/302/o");
	w.request.on_redirect = told;
	w.request.user = log;
	want_ok(weft_http_client_send(w.client, &w.request, &response, SOON));
	snprintf(end, sizeof(end), "%s/end", w.b.url);
	want(strcmp(weft_http_response_url(response), end) == 0);
	weft_http_response_free(response);
	want(strcmp(log, "told ") == 0);
	want_err(WEFT_EACCESS, fetch(&w, &status, text));
	want(w.b.requests == 1);
	web_close(&w);
	return WEFT_OK;
}

/* ---- codings ---- */

#ifdef WEFT_ZLIB
/* "hello, hello, hello\n" as gzip(1) and as zlib have it */
static const char gzipped[] =
	"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00"
	"\xe7\x42\x6e\x52\x14\x00\x00\x00";
static const char deflated[] =
	"\x78\x9c\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00\x4b\x07\x06\xdf";
#define GZIPPED_LEN (sizeof(gzipped) - 1)
#define DEFLATED_LEN (sizeof(deflated) - 1)

/* /CODING/FRAMING/LENGTH of what is sent */
static weft_err coded(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	char coding[32] = "", framing = 'l';
	size_t len = 0, used = 0;
	const char *data;
	weft_err err;

	if (sscanf(r->target, "/%31[a-z]/%c/%zu", coding, &framing, &len) != 3)
		return WEFT_EPROTO;
	data = strcmp(coding, "deflate") == 0 ? deflated : gzipped;
	err = webfake_say(conn, "HTTP/1.1 200 x\r\nContent-Encoding: %s\r\nETag: x\r\n", coding);
	if (!err && framing == 'l')
		err = webfake_say(conn, "Content-Length: %zu\r\n\r\n", len);
	else if (!err)
		err = webfake_say(conn, "Transfer-Encoding: chunked\r\n\r\n");
	while (!err && framing == 'c' && used < len) {
		err = webfake_say(conn, "1\r\n");
		if (!err)
			err = weft_conn_write(conn, data + used++, 1, NULL, SOON);
		if (!err)
			err = webfake_say(conn, "\r\n");
	}
	if (!err && framing == 'c')
		return webfake_say(conn, "0\r\n\r\n");
	return err || strcmp(r->method, "HEAD") == 0 ? err
						     : weft_conn_write(conn, data, len, NULL, SOON);
}

BOTH_TEST(what_was_asked_to_be_coded_comes_out_plain)
{
	static const struct {
		const char *coding;
		size_t len;
	} cases[] = { { "gzip", GZIPPED_LEN }, { "deflate", DEFLATED_LEN } };

	for (size_t i = 0; i < 4; i++) {
		char path[64], text[TEXT_MAX];
		weft_http_response *response;
		unsigned status;
		struct web w;

		snprintf(path, sizeof(path), "/%s/%c/%zu", cases[i / 2].coding, i % 2 ? 'c' : 'l',
			cases[i / 2].len);
		web_open(&w, coded, path);
		w.request.decode = true;
		want_ok(fetch(&w, &status, text));
		want(strcmp(text, "hello, hello, hello\n") == 0);
		want(strcmp(webfake_field(&w.a.last, "Accept-Encoding"), "gzip, deflate") == 0);
		/* the connection is good for another */
		want_ok(weft_http_client_send(w.client, &w.request, &response, SOON));
		want(!weft_http_fields_get(
			weft_http_response_fields(response), "Content-Encoding"));
		want(!weft_http_fields_get(weft_http_response_fields(response), "Content-Length"));
		want(weft_http_fields_get(weft_http_response_fields(response), "ETag"));
		want(weft_http_response_length(response) == -1);
		weft_http_response_free(response);
		want(w.a.connections == 1);
		web_close(&w);
	}
	return WEFT_OK;
}

BOTH_TEST(what_was_not_asked_for_stays_as_it_is)
{
	char text[TEXT_MAX], path[64];
	unsigned status;
	struct web w;

	snprintf(path, sizeof(path), "/gzip/l/%zu", GZIPPED_LEN);
	web_open(&w, coded, path);
	want_ok(fetch(&w, &status, text));
	want(memcmp(text, gzipped, GZIPPED_LEN) == 0);
	want(!webfake_field(&w.a.last, "Accept-Encoding"));
	/* who asks alone undoes alone */
	w.request.decode = true;
	want_ok(weft_http_fields_add(w.fields, "accept-encoding", "gzip"));
	want_ok(fetch(&w, &status, text));
	want(memcmp(text, gzipped, GZIPPED_LEN) == 0);
	want(strcmp(webfake_field(&w.a.last, "Accept-Encoding"), "gzip") == 0);
	web_close(&w);

	snprintf(path, sizeof(path), "/br/l/%zu", GZIPPED_LEN);
	web_open(&w, coded, path);
	w.request.decode = true;
	want_ok(fetch(&w, &status, text));
	want(memcmp(text, gzipped, GZIPPED_LEN) == 0);
	web_close(&w);
	return WEFT_OK;
}

BOTH_TEST(a_head_without_a_body_keeps_its_coding)
{
	weft_http_response *response;
	struct web w;
	size_t got;
	char byte;

	web_open(&w, coded, "/gzip/l/30");
	w.request.decode = true;
	w.request.method = "HEAD";
	want_ok(weft_http_client_send(w.client, &w.request, &response, SOON));
	want(weft_http_fields_get(weft_http_response_fields(response), "Content-Encoding"));
	want_err(WEFT_ECLOSED, weft_http_response_read(response, &byte, 1, &got, SOON));
	weft_http_response_free(response);
	web_close(&w);
	return WEFT_OK;
}

BOTH_TEST(a_body_cut_short_in_its_coding_is_an_error)
{
	weft_http_response *response;
	char path[64], text[64];
	struct web w;
	size_t got;
	weft_err err;

	snprintf(path, sizeof(path), "/gzip/l/%zu", GZIPPED_LEN - 3);
	web_open(&w, coded, path);
	w.request.decode = true;
	want_ok(weft_http_client_send(w.client, &w.request, &response, SOON));
	do
		err = weft_http_response_read(response, text, sizeof(text), &got, SOON);
	while (!err);
	want(err == WEFT_EPROTO);
	want(strstr(weft_error_detail(), "cut short"));
	want_err(WEFT_EPROTO, weft_http_response_read(response, text, sizeof(text), &got, SOON));
	weft_http_response_free(response);
	web_close(&w);
	return WEFT_OK;
}

BOTH_TEST(a_limit_of_the_body_counts_what_comes_out)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	char text[TEXT_MAX], path[64];
	unsigned status;
	struct web w;

	snprintf(path, sizeof(path), "/deflate/l/%zu", DEFLATED_LEN);
	web_open(&w, coded, path);
	weft_http_client_unref(w.client);
	options.body_size_max = DEFLATED_LEN + 1;
	want_ok(weft_http_client_create(&w.client, &options));
	want_ok(fetch(&w, &status, text));
	w.request.decode = true;
	want_err(WEFT_EMSGSIZE, fetch(&w, &status, text));
	web_close(&w);
	return WEFT_OK;
}
#endif

/* ---- proxies ---- */

static weft_err proxied(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, const struct webfake_request *r)
{
	const char *authorization = webfake_field(r, "Proxy-Authorization");
	char text[1024];

	snprintf(text, sizeof(text), "%s|%s", r->target, authorization ? authorization : "");
	return webfake_reply(conn, 200, "", text);
}

BOTH_TEST(the_environment_leads_through_a_proxy)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	char text[TEXT_MAX], proxy[128];
	unsigned status;
	struct web w;

	web_open(&w, proxied, "/x");
	snprintf(proxy, sizeof(proxy), "http://u:p@%.64s", w.b.url + strlen("http://"));
	setenv("http_proxy", proxy, 1);
	/* what counts is the environment when the client was made */
	weft_http_client_unref(w.client);
	options.proxy_env = true;
	want_ok(weft_http_client_create(&w.client, &options));
	unsetenv("http_proxy");
	w.request.url = "http://example.test/y?z";
	want_ok(fetch(&w, &status, text));
	want(strcmp(text, "http://example.test/y?z|Basic dTpw") == 0);
	want(strcmp(webfake_field(&w.b.last, "Host"), "example.test") == 0);
	want(w.b.requests == 1);
	/* but not who says otherwise */
	w.request.proxy = "";
	w.request.url = w.url;
	want_ok(fetch(&w, &status, text));
	want(strcmp(text, "/x|") == 0 && w.a.requests == 1);
	web_close(&w);
	return WEFT_OK;
}

BOTH_TEST(a_request_names_its_proxy)
{
	char text[TEXT_MAX];
	unsigned status;
	struct web w;

	web_open(&w, proxied, "/x");
	w.request.proxy = w.b.url;
	want_ok(fetch(&w, &status, text));
	want(w.a.requests == 0 && w.b.requests == 1);
	want(strncmp(text, w.url, strlen(w.url)) == 0);
	w.request.proxy = "socks5://u:secret@h:1";
	want_err(WEFT_ENOSYS, fetch(&w, &status, text));
	want(strstr(weft_error_detail(), "socks5://h:1") && !strstr(weft_error_detail(), "secret"));
	web_close(&w);
	return WEFT_OK;
}

/* ---- memory ---- */

static weft_err all_of_it(WEFT_UNUSED void *arg)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *response = NULL;
	weft_http_client *client = NULL;
	weft_buf body = WEFT_BUF_EMPTY;
	char url[128];
	struct web w = { .client = NULL };
	weft_err err = webfake_open(&w.a, hop, &w);

	if (!err)
		err = webfake_open(&w.b, hop, &w);
	if (!err)
		err = weft_http_client_create(&client, NULL);
	if (!err)
		err = weft_http_fields_create(&w.fields);
	if (!err)
		err = weft_http_fields_add(w.fields, "X-Key", "k");
	snprintf(url, sizeof(url), "%s/302/o", w.a.url);
	request.url = url;
	request.origin_fields = w.fields;
	request.redirects_max = 3;
	request.decode = true;
	if (!err)
		err = weft_http_client_send(client, &request, &response, SOON);
	if (!err)
		err = weft_http_response_read_all(response, &body, TEXT_MAX, SOON);
	weft_buf_unref(&body);
	weft_http_response_free(response);
	weft_http_client_unref(client);
	weft_http_fields_free(w.fields);
	webfake_close(&w.a);
	webfake_close(&w.b);
	return err;
}

START_TEST(out_of_memory_is_returned)
{
	weft_sim_options options = WEFT_SIM_OPTIONS_DEFAULT;
	unsigned failures = 0;

	ck_assert_int_eq(weft_sim_run(all_of_it, NULL, &options, NULL), WEFT_OK);
	T_EACH_FAILING_MALLOC(n) {
		weft_err err = weft_sim_run(all_of_it, NULL, &options, NULL);

		/* a connection that ends for want of memory at the other end is a reset */
		ck_assert_msg(err == WEFT_OK || err == WEFT_ENOMEM || err == WEFT_ERESET,
			"n %llu: %s", (unsigned long long)n, weft_error_detail());
		failures += err == WEFT_ENOMEM;
	}
	ck_assert_uint_gt(failures, 10);
}
END_TEST

static void follow_tests(TCase *tc)
{
	both_add(tc, a_redirect_is_followed_on_the_same_connection);
	both_add(tc, without_leave_a_redirect_is_the_answer);
	both_add(tc, a_post_becomes_a_get_or_brings_its_body_along);
	both_add(tc, a_body_is_not_sent_again_where_it_may_lie_unread);
	both_add(tc, a_body_that_is_gone_is_an_error);
	both_add(tc, credentials_reach_their_own_origin_alone);
	both_add(tc, credentials_left_behind_do_not_come_back);
	both_add(tc, a_server_does_not_say_who_we_are);
	both_add(tc, endless_redirects_end);
	both_add(tc, a_redirect_is_told_and_may_be_refused);
#ifdef WEFT_ZLIB
	both_add(tc, what_was_asked_to_be_coded_comes_out_plain);
	both_add(tc, what_was_not_asked_for_stays_as_it_is);
	both_add(tc, a_head_without_a_body_keeps_its_coding);
	both_add(tc, a_body_cut_short_in_its_coding_is_an_error);
	both_add(tc, a_limit_of_the_body_counts_what_comes_out);
#endif
	both_add(tc, the_environment_leads_through_a_proxy);
	both_add(tc, a_request_names_its_proxy);
	t_add(tc, out_of_memory_is_returned);
}
T_SUITE("follow", follow_tests)
