/* SPDX-License-Identifier: MIT */
/*
 * What -v and -i show. -v goes to stderr, a line at a time: "> " before what is sent, "< " before
 * what comes, "* " before what is known otherwise; credentials are hidden, so that it can be shown
 * to others.
 */
#include "http.h"
#include "say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_BYTES 1024

static const char *const secret_names[] = { "Authorization", "Proxy-Authorization", "Cookie",
	"Set-Cookie" };

static bool is_secret(const char *line)
{
	for (size_t i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]); i++) {
		size_t len = strlen(secret_names[i]);

		if (strncasecmp(line, secret_names[i], len) == 0 && line[len] == ':')
			return true;
	}
	return false;
}

/* "Authorization: Bearer abc" as "Authorization: [hidden]". */
static void show_line(const char *prefix, const char *line, size_t len)
{
	char text[LINE_MAX_BYTES];
	size_t shown = len < sizeof(text) ? len : sizeof(text) - 1;

	memcpy(text, line, shown);
	text[shown] = '\0';
	if (is_secret(text))
		say_line("%s%.*s [hidden]", prefix, (int)strcspn(text, ":") + 1, text);
	else
		say_line("%s%s%s", prefix, text, shown < len ? "..." : "");
}

static void show_fields(const weft_http_fields *fields)
{
	const char *name, *value;
	char line[LINE_MAX_BYTES];

	for (size_t i = 0; i < weft_http_fields_count(fields); i++) {
		weft_http_fields_at(fields, i, &name, &value);
		(void)snprintf(line, sizeof(line), "%s: %s", name, value);
		show_line("< ", line, strlen(line));
	}
}

void http_show_request(void *user, const char *head, size_t size)
{
	const char *end = head + size;

	(void)user;
	while (head < end) {
		const char *line_end = memchr(head, '\r', (size_t)(end - head));
		size_t len = (size_t)((line_end ? line_end : end) - head);

		show_line("> ", head, len);
		head += len + strlen("\r\n");
	}
}

void http_show_interim(void *user, unsigned status, const weft_http_fields *fields)
{
	(void)user;
	say_line("< HTTP/1.1 %u %s", status, weft_http_status_text(status));
	show_fields(fields);
	say_line("< ");
}

static void show_connection(const weft_http_response *response)
{
	const weft_conn *conn = weft_http_response_conn(response);
	weft_http_timings timings;
	weft_tls_info tls;

	weft_http_response_timings(response, &timings);
	if (!conn)
		return;
	say_line("* connection: %s%s", weft_conn_peer_name(conn),
		timings.reused ? ", used before" : "");
	if (weft_tls_info_get(conn, &tls) == WEFT_OK)
		say_line("* TLS: %s, %s%s%s%s, %s, %s, %s", tls.version, tls.cipher,
			*tls.alpn ? ", " : "", tls.alpn, tls.resumed ? ", resumed" : "",
			tls.verified ? "verified" : "NOT VERIFIED", tls.peer_subject,
			tls.peer_fingerprint);
}

void http_show_response(const weft_http_response *response)
{
	show_connection(response);
	say_line("< HTTP/1.%u %u %s", weft_http_response_minor(response),
		weft_http_response_status(response), weft_http_response_reason(response));
	show_fields(weft_http_response_fields(response));
	say_line("< ");
}

weft_err http_show_redirect(void *user, weft_http_response *response, const char *url)
{
	(void)user;
	http_show_response(response);
	say_line("* redirect to %s", url);
	return WEFT_OK;
}

static double ms(int64_t ns)
{
	return (double)ns / 1e6;
}

void http_show_end(const weft_http_response *response)
{
	const weft_http_fields *trailers = weft_http_response_trailers(response);
	weft_http_timings t;

	if (weft_http_fields_count(trailers) > 0)
		show_fields(trailers);
	weft_http_response_timings(response, &t);
	say_line("* times: DNS %.1f ms, connect %.1f ms, TLS %.1f ms, first byte %.1f ms, "
		 "total %.1f ms",
		ms(t.resolve_ns), ms(t.connect_ns), ms(t.tls_ns), ms(t.first_byte_ns),
		ms(t.total_ns));
}

/* ---- -i ---- */

static weft_err put(struct sink *sink, const char *text)
{
	return *text ? sink_write(sink, text, strlen(text)) : WEFT_OK;
}

weft_err http_head_write(struct http_command *c, const weft_http_response *response)
{
	const weft_http_fields *fields = weft_http_response_fields(response);
	const char *name, *value;
	char line[64];
	weft_err err;

	(void)snprintf(line, sizeof(line), "HTTP/1.%u %u ", weft_http_response_minor(response),
		weft_http_response_status(response));
	err = put(&c->sink, line);
	if (!err)
		err = put(&c->sink, weft_http_response_reason(response));
	for (size_t i = 0; !err && i < weft_http_fields_count(fields); i++) {
		weft_http_fields_at(fields, i, &name, &value);
		err = put(&c->sink, "\r\n");
		if (!err)
			err = put(&c->sink, name);
		if (!err)
			err = put(&c->sink, ": ");
		if (!err)
			err = put(&c->sink, value);
	}
	return err ? err : put(&c->sink, "\r\n\r\n");
}
