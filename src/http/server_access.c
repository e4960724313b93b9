/* SPDX-License-Identifier: MIT */
/*
 * The access log: a record an exchange, and two ways to write it as a line. What a client sent
 * is escaped, so that it can neither end the line nor steer a terminal.
 */
#include "base/err.h"
#include "http/server.h"

#include <weft/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the log takes in a line: in longer ones long strings are cut, so that what is left is a
 * whole line still. */
#define LINE_SIZE 1800

/* ---- writing with a bound, as snprintf ---- */

struct line {
	char *out;
	size_t size, len;
	size_t string_max; /* bytes of a string that are written; then "..." */
};

static void put_bytes(struct line *line, const char *text, size_t len)
{
	size_t room = line->len < line->size ? line->size - line->len : 0;

	if (room)
		memcpy(line->out + line->len, text, len < room ? len : room);
	line->len += len;
}

static void put(struct line *line, const char *text)
{
	put_bytes(line, text, strlen(text));
}

WEFT_PRINTF(2, 3) static void putf(struct line *line, const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(line, text);
}

/* With the NUL; the length that it has or would have. */
static size_t line_end(struct line *line)
{
	if (line->size)
		line->out[line->len < line->size ? line->len : line->size - 1] = '\0';
	return line->len;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c != 0x7f && c != '"' && c != '\\';
}

/* hex: how other bytes are written. */
static void put_escaped(struct line *line, const char *text, const char *hex)
{
	for (size_t left = line->string_max; *text && left; text++, left--) {
		unsigned char c = (unsigned char)*text;

		if (is_plain(c)) {
			put_bytes(line, text, 1);
		} else if (c == '"' || c == '\\') {
			put(line, "\\");
			put_bytes(line, text, 1);
		} else {
			put(line, hex);
			putf(line, "%02x", c);
		}
	}
	if (*text)
		put(line, "...");
}

/* In quotes; "-" for none. */
static void put_quoted(struct line *line, const char *text)
{
	put(line, "\"");
	put_escaped(line, *text ? text : "-", "\\x");
	put(line, "\"");
}

/* "06/Nov/1994:08:49:37 +0000", out of "Sun, 06 Nov 1994 08:49:37 GMT". */
static void put_date(struct line *line, int64_t time_s)
{
	char date[HTTP1_DATE_LEN];

	http1_date_format(date, time_s);
	put_bytes(line, date + 5, 2);
	put(line, "/");
	put_bytes(line, date + 8, 3);
	put(line, "/");
	put_bytes(line, date + 12, 4);
	put(line, ":");
	put_bytes(line, date + 17, 8);
	put(line, " +0000");
}

static const char *version_text(unsigned version)
{
	return version == 11 ? "HTTP/1.1" : version == 10 ? "HTTP/1.0" : "-";
}

/* Without "tcp://" and the like: what logs of others have there. */
static const char *bare(const char *peer)
{
	const char *at = strstr(peer, "://");

	return at ? at + 3 : peer;
}

static size_t format_text(const weft_http_access *a, char *out, size_t size, size_t string_max)
{
	struct line line = { out, size, 0, string_max };

	put_escaped(&line, bare(a->peer), "\\x");
	put(&line, " - - [");
	put_date(&line, a->time_s);
	put(&line, "] \"");
	put_escaped(&line, *a->method ? a->method : "-", "\\x");
	put(&line, " ");
	put_escaped(&line, *a->target ? a->target : "-", "\\x");
	putf(&line, " %s\" %u %llu ", version_text(a->version), a->status,
		(unsigned long long)a->bytes_out);
	put_quoted(&line, a->referer);
	put(&line, " ");
	put_quoted(&line, a->agent);
	putf(&line, " %lld.%06lld", (long long)(a->duration_ns / 1000000000),
		(long long)(a->duration_ns % 1000000000 / 1000));
	if (a->err) {
		put(&line, " ");
		put(&line, weft_err_name(a->err));
	}
	return line_end(&line);
}

static void put_pair(struct line *line, const char *name, const char *text)
{
	putf(line, "\"%s\":\"", name);
	put_escaped(line, text, "\\u00");
	put(line, "\",");
}

static size_t format_json(const weft_http_access *a, char *out, size_t size, size_t string_max)
{
	struct line line = { out, size, 0, string_max };

	put(&line, "{");
	putf(&line, "\"time_s\":%lld,", (long long)a->time_s);
	put_pair(&line, "peer", a->peer);
	put_pair(&line, "method", a->method);
	put_pair(&line, "target", a->target);
	put_pair(&line, "host", a->host);
	put_pair(&line, "referer", a->referer);
	put_pair(&line, "agent", a->agent);
	putf(&line, "\"version\":%u,\"status\":%u,", a->version, a->status);
	putf(&line, "\"bytes_in\":%llu,", (unsigned long long)a->bytes_in);
	putf(&line, "\"bytes_out\":%llu,", (unsigned long long)a->bytes_out);
	if (a->err) {
		put_pair(&line, "err", weft_err_name(a->err));
		put_pair(&line, "err_text", a->err_text);
	}
	putf(&line, "\"duration_ns\":%lld}", (long long)a->duration_ns);
	return line_end(&line);
}

size_t weft_http_access_text(const weft_http_access *access, char *out, size_t size)
{
	return format_text(access, out, size, SIZE_MAX);
}

size_t weft_http_access_json(const weft_http_access *access, char *out, size_t size)
{
	return format_json(access, out, size, SIZE_MAX);
}

static void log_line(const weft_http_access *access,
	size_t (*format)(const weft_http_access *a, char *out, size_t size, size_t string_max))
{
	char line[LINE_SIZE];
	size_t string_max = sizeof(line);

	if (!weft_log_enabled(WEFT_LOG_INFO))
		return;
	while (format(access, line, sizeof(line), string_max) >= sizeof(line))
		string_max /= 2;
	weft_log(WEFT_LOG_INFO, "http", "%s", line);
}

void weft_http_access_log_text(void *user, const weft_http_access *access)
{
	(void)user;
	log_line(access, format_text);
}

void weft_http_access_log_json(void *user, const weft_http_access *access)
{
	(void)user;
	log_line(access, format_json);
}

/* ---- the record ---- */

static const char *field_or_empty(weft_http_exchange *x, const char *name)
{
	const char *value = weft_http_exchange_field(x, name);

	return value ? value : "";
}

static void tell(weft_http_exchange *x, weft_err err)
{
	weft_deadline now = weft_now();
	weft_http_access a = {
		.peer = weft_conn_peer_name(x->conn),
		.method = "",
		.target = "",
		.host = "",
		.referer = "",
		.agent = "",
		.status = x->response.status,
		.bytes_in = x->body_in,
		.bytes_out = x->response.body_len,
		.err = err,
		.err_text = err && err_slot_self()->err == err ? weft_error_detail() : "",
	};

	(void)http_date(x->shard, now);
	a.time_s = x->shard->time_s;
	if (x->head) {
		a.method = weft_http_exchange_method(x);
		a.target = weft_http_exchange_target(x);
		a.version = weft_http_exchange_version(x);
		a.host = weft_http_exchange_host(x);
		a.referer = field_or_empty(x, "referer");
		a.agent = field_or_empty(x, "user-agent");
		a.duration_ns = now - x->head_at;
		a.time_s -= a.duration_ns / 1000000000;
	}
	x->server->options.access(x->server->options.user, &a);
}

void http_access(weft_http_exchange *x, weft_err err)
{
	if (weft_unlikely(!x->response.status))
		counter_own_add(&x->shard->counts.replies[0], 1);
	if (x->server->options.access)
		tell(x, err);
}
