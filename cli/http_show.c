/* SPDX-License-Identifier: MIT */
/*
 * What -v and -i show. -v goes to stderr, a line at a time: "> " before what is sent, "< " before
 * what comes, "* " before what is known otherwise; credentials are hidden, so that it can be shown
 * to others.
 */
#define _POSIX_C_SOURCE 200809L /* strndup */
#include "http.h"
#include "say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const secret_names[] = { "Authorization", "Proxy-Authorization", "Cookie",
	"Set-Cookie" };

static bool is_name(const char *line, const char *name)
{
	size_t len = strlen(name);

	return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

/* secrets: those of -H @FILE; NULL: none. */
static bool is_secret(const weft_http_fields *secrets, const char *line)
{
	size_t count = secrets ? weft_http_fields_count(secrets) : 0;
	const char *name, *value;

	for (size_t i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]); i++) {
		if (is_name(line, secret_names[i]))
			return true;
	}
	for (size_t i = 0; i < count; i++) {
		weft_http_fields_at(secrets, i, &name, &value);
		if (is_name(line, name))
			return true;
	}
	return false;
}

/* "Authorization: Bearer abc" as "Authorization: [hidden]". */
static void show_line(const char *prefix, const char *line, const weft_http_fields *secrets)
{
	if (is_secret(secrets, line))
		say_line("%s%.*s [hidden]", prefix, (int)strcspn(line, ":") + 1, line);
	else
		say_long(prefix, line);
}

static void show_field(const char *name, const char *value)
{
	size_t size = strlen(name) + strlen(value) + sizeof(": ");
	char *line = malloc(size);

	if (!line) {
		say("out of memory");
		return;
	}
	(void)snprintf(line, size, "%s: %s", name, value);
	show_line("< ", line, NULL);
	free(line);
}

static void show_fields(const weft_http_fields *fields)
{
	const char *name, *value;

	for (size_t i = 0; i < weft_http_fields_count(fields); i++) {
		weft_http_fields_at(fields, i, &name, &value);
		show_field(name, value);
	}
}

void http_show_request(void *user, const char *head, size_t size)
{
	const struct http_command *c = user;
	const char *end = head + size;

	sink_bar_hide(&c->sink);
	while (head < end) {
		const char *line_end = memchr(head, '\r', (size_t)(end - head));
		size_t len = (size_t)((line_end ? line_end : end) - head);
		char *line = strndup(head, len);

		if (!line) {
			say("out of memory");
			return;
		}
		show_line("> ", line, c->secrets);
		free(line);
		head += len + strlen("\r\n");
	}
}

void http_show_interim(void *user, unsigned status, const weft_http_fields *fields)
{
	const struct http_command *c = user;

	sink_bar_hide(&c->sink);
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
	(void)user; /* nothing has been written yet, and there is no bar */
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
	return *text ? sink_write_head(sink, text, strlen(text)) : WEFT_OK;
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
