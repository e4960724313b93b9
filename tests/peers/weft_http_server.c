/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * weft's server, for others to talk to: README.md lists what it answers, flags() what may be
 * set. Says "listening PORT". Lines on stdin: "reload" reads certificates again ("reloaded"). The
 * end of stdin stops it: it says "stopped" and its numbers, when all requests have ended.
 */
#include "peer.h"

#include <weft/http_server.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct {
	weft_http_server_options server;
	const char *cert, *key, *ca, *tls_min, *tls_max, *page;
	uint64_t workers, connections, requests, header_size, header_count, body_drop, body_rate;
	weft_tls *tls;
} set = { .server = WEFT_HTTP_SERVER_OPTIONS_DEFAULT };

/* A message for each request whose client went while it was under way. */
static weft_chan *gone;

static uint64_t number_of(weft_http_exchange *x, const char *param)
{
	const char *text = weft_http_exchange_param(x, param);

	return text ? strtoull(text, NULL, 10) : 0;
}

static weft_http_fields *new_fields(void)
{
	weft_http_fields *fields = NULL;

	peer_must(weft_http_fields_create(&fields), "fields");
	return fields;
}

static void add_number(weft_http_fields *fields, const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	peer_must(weft_http_fields_add(fields, name, text), "field");
}

/* === bodies ================================================================================= */

static weft_err send_pattern(weft_http_exchange *x, uint64_t size, struct tally *tally)
{
	weft_err err = WEFT_OK;
	const void *data;

	for (uint64_t at = 0; at < size && !err;) {
		size_t len = pattern_at(at, size, &data);

		if (tally)
			tally_add(tally, data, len);
		err = weft_http_exchange_write(x, data, len, SOON);
		at += len;
	}
	return err;
}

static weft_err send_bytes(weft_http_exchange *x, void *arg)
{
	uint64_t size = number_of(x, "size");
	weft_http_fields *fields = new_fields();
	weft_err err;

	(void)arg;
	add_number(fields, "Content-Length", size);
	err = weft_http_exchange_begin(x, 200, fields, SOON);
	if (!err)
		err = send_pattern(x, size, NULL);
	weft_http_fields_free(fields);
	return err;
}

/* Content-Length says more than comes. */
static weft_err send_less(weft_http_exchange *x, void *arg)
{
	uint64_t size = number_of(x, "size");
	weft_http_fields *fields = new_fields();
	weft_err err;

	(void)arg;
	add_number(fields, "Content-Length", size);
	err = weft_http_exchange_begin(x, 200, fields, SOON);
	if (!err)
		err = send_pattern(x, size / 2, NULL);
	weft_http_fields_free(fields);
	return err ? err : WEFT_EIO;
}

static weft_err send_chunked(weft_http_exchange *x, void *arg)
{
	weft_http_fields *trailers = new_fields();
	char digest[DIGEST_TEXT_SIZE];
	struct tally tally;
	weft_err err;

	(void)arg;
	tally_begin(&tally);
	err = weft_http_exchange_begin(x, 200, NULL, SOON);
	if (!err)
		err = send_pattern(x, number_of(x, "size"), &tally);
	tally_end(&tally, digest);
	peer_must(weft_http_fields_add(trailers, "X-Digest", digest), "trailer");
	if (!err)
		err = weft_http_exchange_finish(x, trailers, SOON);
	weft_http_fields_free(trailers);
	return err;
}

/* Without end, as fast as the client takes it. */
static weft_err send_endless(weft_http_exchange *x, void *arg)
{
	weft_err err = weft_http_exchange_begin(x, 200, NULL, SOON);

	(void)arg;
	while (!err)
		err = weft_http_exchange_write(x, peer_pattern, PATTERN_SIZE, WEFT_FOREVER);
	return err;
}

static weft_err read_body(weft_http_exchange *x, struct tally *tally)
{
	char *data = malloc(IO_SIZE);
	weft_err err;
	size_t got;

	if (!data)
		return WEFT_ENOMEM;
	while (!(err = weft_http_exchange_read(x, data, IO_SIZE, &got, WEFT_FOREVER)))
		tally_add(tally, data, got);
	free(data);
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

static void put_fields(FILE *out, const weft_http_fields *fields)
{
	const char *name, *value;

	for (size_t i = 0; i < weft_http_fields_count(fields); i++) {
		weft_http_fields_at(fields, i, &name, &value);
		for (; *name; name++)
			putc(*name >= 'A' && *name <= 'Z' ? *name + 32 : *name, out);
		fprintf(out, ": %s\n", value);
	}
}

static weft_err reply_stream(weft_http_exchange *x, FILE *out, char **text, size_t *len)
{
	weft_err err;

	if (fclose(out) != 0)
		return WEFT_ENOMEM;
	err = weft_http_exchange_reply(x, 200, NULL, *text, *len, SOON);
	free(*text);
	return err;
}

/* With an arg the limit on bodies is left as it is. */
static weft_err take_digest(weft_http_exchange *x, void *arg)
{
	char digest[DIGEST_TEXT_SIZE], *text = NULL;
	struct tally tally;
	size_t len = 0;
	weft_err err;
	FILE *out;

	if (!arg)
		weft_http_exchange_body_size_max_set(x, UINT64_MAX);
	tally_begin(&tally);
	err = read_body(x, &tally);
	tally_end(&tally, digest);
	if (err)
		return err;
	out = open_memstream(&text, &len);
	if (!out)
		return WEFT_ENOMEM;
	fprintf(out, "%" PRIu64 " %s\n", tally.size, digest);
	if (weft_http_exchange_trailers(x))
		put_fields(out, weft_http_exchange_trailers(x));
	return reply_stream(x, out, &text, &len);
}

/* Fields called X-Reply-NAME come back as NAME. */
static weft_err reflected(weft_http_exchange *x, weft_http_fields *to)
{
	const weft_http_fields *fields = weft_http_exchange_fields(x);
	const char *name, *value;
	weft_err err = fields ? WEFT_OK : WEFT_ENOMEM;

	for (size_t i = 0; i < weft_http_fields_count(fields) && !err; i++) {
		weft_http_fields_at(fields, i, &name, &value);
		if (strncmp(name, "X-Reply-", 8) == 0)
			err = weft_http_fields_add(to, name + 8, value);
	}
	return err;
}

static weft_err echo(weft_http_exchange *x, void *arg)
{
	weft_http_fields *fields = new_fields();
	char *data = malloc(IO_SIZE);
	weft_err err = data ? reflected(x, fields) : WEFT_ENOMEM;
	size_t got;

	(void)arg;
	weft_http_exchange_body_size_max_set(x, UINT64_MAX);
	if (!err)
		err = weft_http_exchange_begin(x, 200, fields, SOON);
	while (!err) {
		err = weft_http_exchange_read(x, data, IO_SIZE, &got, WEFT_FOREVER);
		if (!err)
			err = weft_http_exchange_write(x, data, got, WEFT_FOREVER);
	}
	if (err == WEFT_ECLOSED)
		err = weft_http_exchange_finish(x, weft_http_exchange_trailers(x), SOON);
	free(data);
	weft_http_fields_free(fields);
	return err;
}

/* === small ones ============================================================================= */

static weft_err tell_fields(weft_http_exchange *x, void *arg)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)arg;
	if (!out)
		return WEFT_ENOMEM;
	put_fields(out, weft_http_exchange_fields(x));
	return reply_stream(x, out, &text, &len);
}

static weft_err redirect(weft_http_exchange *x, void *arg)
{
	weft_http_fields *fields = new_fields();
	const char *to = weft_http_exchange_query_param(x, "to");
	weft_err err = to ? weft_http_fields_add(fields, "Location", to) : WEFT_EINVAL;

	(void)arg;
	if (!err)
		err = weft_http_exchange_reply(
			x, (unsigned)number_of(x, "status"), fields, NULL, 0, SOON);
	weft_http_fields_free(fields);
	return err;
}

static weft_err refuse(weft_http_exchange *x, void *arg)
{
	(void)arg;
	return weft_http_exchange_reply(x, 413, NULL, NULL, 0, SOON);
}

static weft_err reply_line(weft_http_exchange *x, const char *line)
{
	char text[520]; /* more than any line here */

	snprintf(text, sizeof(text), "%s\n", line);
	return weft_http_exchange_reply_text(x, 200, text, SOON);
}

static weft_err tell_peer(weft_http_exchange *x, void *arg)
{
	(void)arg;
	return reply_line(x, weft_http_exchange_peer(x));
}

static weft_err tell_and_close(weft_http_exchange *x, void *arg)
{
	(void)arg;
	weft_http_exchange_close(x);
	return reply_line(x, weft_http_exchange_peer(x));
}

static weft_err early(weft_http_exchange *x, void *arg)
{
	weft_http_fields *fields = new_fields();
	weft_err err = weft_http_fields_add(fields, "Link", "</style.css>; rel=preload");

	(void)arg;
	if (!err)
		err = weft_http_exchange_inform(x, 103, fields, SOON);
	weft_http_fields_free(fields);
	return err ? err : reply_line(x, "late");
}

static weft_err tell_tls(weft_http_exchange *x, void *arg)
{
	weft_tls_info info;
	char text[512];
	weft_err err = weft_tls_info_get(weft_http_exchange_conn(x), &info);

	(void)arg;
	if (err)
		return err;
	snprintf(text, sizeof(text), "resumed=%s protocol=%s version=%s cipher=%s name=%s peer=%s",
		info.resumed ? "true" : "false", info.alpn, info.version, info.cipher,
		info.server_name, info.peer_subject);
	return reply_line(x, text);
}

static weft_err tell_stats(weft_http_exchange *x, void *arg)
{
	weft_http_server_stats stats;
	char text[512];

	(void)arg;
	weft_http_server_stats_get(weft_http_exchange_server(x), &stats);
	snprintf(text, sizeof(text),
		"connections=%" PRIu64 " refused=%" PRIu64 " now=%zu requests=%" PRIu64
		" timeouts=%" PRIu64 " malformed=%" PRIu64 " fibers=%" PRIu64 " gone=%zu",
		stats.connections, stats.connections_refused, stats.connections_now, stats.requests,
		stats.timeouts, stats.malformed, weft_fiber_count(), weft_chan_len(gone));
	return reply_line(x, text);
}

/* Echoes bytes of "Upgrade: echo". */
static weft_err upgrade(weft_http_exchange *x, void *arg)
{
	weft_http_fields *fields = new_fields();
	weft_conn *conn = NULL;
	weft_err err = weft_http_fields_add(fields, "Upgrade", "echo");

	(void)arg;
	if (!err)
		err = weft_http_exchange_upgrade(x, fields, &conn, SOON);
	if (!err)
		err = weft_conn_copy(conn, conn, NULL, NULL, NULL, WEFT_FOREVER);
	weft_conn_free(conn);
	weft_http_fields_free(fields);
	return err;
}

/* A line of the request's body, on stdout. */
static weft_err report(weft_http_exchange *x, void *arg)
{
	const char *text;
	size_t len;
	weft_err err = weft_http_exchange_read_all(x, &text, &len, SOON);

	(void)arg;
	if (err)
		return err;
	printf("report %.*s\n", (int)len, text);
	fflush(stdout);
	return reply_line(x, "thank you");
}

/* === events ================================================================================= */

static weft_err send_event(weft_http_exchange *x, uint64_t id)
{
	char data[64], id_text[32];
	weft_sse_event comment = { .kind = WEFT_SSE_COMMENT, .data = " a comment", .data_len = 10 };
	weft_sse_event event = { .type = "tick", .data = data, .id = id_text };
	weft_err err = weft_http_exchange_sse_send(x, &comment, SOON);

	event.data_len =
		(size_t)snprintf(data, sizeof(data), "number %" PRIu64 "\nsecond line", id);
	snprintf(id_text, sizeof(id_text), "%" PRIu64, id);
	return err ? err : weft_http_exchange_sse_send(x, &event, SOON);
}

/* Three a connection, from the one after Last-Event-ID, nine in all; then 204. */
static weft_err events(weft_http_exchange *x, void *arg)
{
	const char *last_id = weft_http_exchange_field(x, "Last-Event-ID");
	uint64_t last = last_id ? strtoull(last_id, NULL, 10) : 0;
	weft_sse_event retry = { .kind = WEFT_SSE_RETRY, .retry_set = true, .retry_ms = 20 };
	weft_err err;

	(void)arg;
	if (last >= 9)
		return weft_http_exchange_reply(x, 204, NULL, NULL, 0, SOON);
	err = weft_http_exchange_sse_begin(x, NULL, SOON);
	if (!err)
		err = weft_http_exchange_sse_send(x, &retry, SOON);
	for (uint64_t id = last + 1; id <= last + 3 && !err; id++)
		err = send_event(x, id);
	return err;
}

/* One connection: the same lines, all that a stream may hold, and an event that is cut off. */
static weft_err events_raw(weft_http_exchange *x, void *arg)
{
	static const char stream[] =
		"\xef\xbb\xbf"
		"data: first\n\ndata:second\r\rid: 5\r\ndata: third\r\n\r\n"
		"data\n\nevent: other\ndata:  two spaces\ndata:\n\n:comment\nfield: unknown\n\n"
		"data: \xc3\xa9\xff\nid\n\nretry: 100000\n\ndata: cut";
	weft_http_fields *fields = new_fields();
	weft_err err;

	(void)arg;
	peer_must(weft_http_fields_add(fields, "Content-Type", "text/event-stream"), "field");
	err = weft_http_exchange_begin(x, 200, fields, SOON);
	for (size_t i = 0; i < sizeof(stream) - 1 && !err; i++) {
		err = weft_http_exchange_write(x, &stream[i], 1, SOON);
		if (!err)
			err = weft_http_exchange_flush(x, SOON);
	}
	weft_http_fields_free(fields);
	return err;
}

/* One event, then nothing until the client goes. */
static weft_err events_live(weft_http_exchange *x, void *arg)
{
	weft_cancel *token = NULL;
	const char one = 1;
	weft_err err = weft_http_exchange_sse_begin(x, NULL, SOON);

	(void)arg;
	if (!err)
		err = send_event(x, 1);
	if (!err)
		err = weft_http_exchange_watch(x, &token);
	if (!err) {
		err = weft_cancel_wait(token, WEFT_FOREVER);
		if (!err)
			err = weft_chan_send(gone, &one, WEFT_FOREVER);
	}
	return err;
}

/* The file of --page. */
static weft_err page(weft_http_exchange *x, void *arg)
{
	weft_http_fields *fields = new_fields();
	FILE *file = set.page ? fopen(set.page, "r") : NULL;
	weft_err err = WEFT_ENOTFOUND;
	char text[8192];

	(void)arg;
	peer_must(weft_http_fields_add(fields, "Content-Type", "text/html"), "field");
	if (file) {
		err = weft_http_exchange_reply(
			x, 200, fields, text, fread(text, 1, sizeof(text), file), SOON);
		(void)fclose(file);
	}
	weft_http_fields_free(fields);
	return err;
}

/* === the program ============================================================================ */

static void add_routes(weft_http_server *server)
{
	static char limited;
	static const struct {
		const char *method, *pattern;
		weft_http_handler handler;
		void *arg;
	} routes[] = {
		{ "GET", "/bytes/{size}", send_bytes, NULL },
		{ "GET", "/less/{size}", send_less, NULL },
		{ "GET", "/chunked/{size}", send_chunked, NULL },
		{ "GET", "/endless", send_endless, NULL },
		{ "*", "/digest", take_digest, NULL },
		{ "POST", "/limited", take_digest, &limited },
		{ "POST", "/echo", echo, NULL },
		{ "GET", "/fields", tell_fields, NULL },
		{ "*", "/redirect/{status}", redirect, NULL },
		{ "POST", "/refuse", refuse, NULL },
		{ "GET", "/peer", tell_peer, NULL },
		{ "GET", "/close", tell_and_close, NULL },
		{ "GET", "/early", early, NULL },
		{ "GET", "/tls", tell_tls, NULL },
		{ "GET", "/stats", tell_stats, NULL },
		{ "GET", "/upgrade", upgrade, NULL },
		{ "POST", "/report", report, NULL },
		{ "GET", "/events", events, NULL },
		{ "GET", "/events/raw", events_raw, NULL },
		{ "GET", "/events/live", events_live, NULL },
		{ "GET", "/page", page, NULL },
	};

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		peer_must(weft_http_server_route(server, routes[i].method, routes[i].pattern,
				  routes[i].handler, routes[i].arg),
			routes[i].pattern);
}

/* What went wrong, for whoever reads a test's failure. */
static void note_access(void *user, const weft_http_access *access)
{
	char line[1024];

	(void)user;
	if (!access->err)
		return;
	(void)weft_http_access_text(access, line, sizeof(line));
	fprintf(stderr, "%s (%s)\n", line, access->err_text);
}

static void make_tls(void)
{
	static const char *const alpn[] = { "http/1.1", NULL };
	weft_tls_cert cert = { .cert_file = set.cert, .key_file = set.key };
	weft_tls_server_options options = WEFT_TLS_SERVER_OPTIONS_DEFAULT;

	if (!set.cert)
		return;
	options.certs = &cert;
	options.cert_count = 1;
	options.alpn = alpn;
	options.client_ca_file = set.ca;
	options.client_auth = set.ca ? WEFT_TLS_CLIENT_REQUIRED : WEFT_TLS_CLIENT_NONE;
	options.version_min = peer_tls_version(set.tls_min);
	options.version_max = peer_tls_version(set.tls_max);
	peer_must(weft_tls_server_create(&set.tls, &options), "tls");
}

static void obey(void)
{
	weft_conn *in = NULL;
	weft_err err = weft_conn_adopt_own(&in, 0, -1, false, "stdin");
	char line[64];
	size_t got;

	peer_must(err, "stdin");
	while (!weft_conn_read_line(in, line, sizeof(line), &got, WEFT_FOREVER)) {
		if (strcmp(line, "reload\n") == 0) {
			peer_must(weft_tls_reload(set.tls), "reload");
			printf("reloaded\n");
			fflush(stdout);
		}
	}
	weft_conn_free(in);
}

static weft_err serve(void *arg)
{
	weft_http_server *server = NULL;
	weft_listener *listener = NULL;
	weft_http_server_stats stats;

	(void)arg;
	make_tls();
	set.server.tls = set.tls;
	set.server.access = note_access;
	peer_must(weft_chan_create(&gone, 1, WEFT_CHAN_UNBOUNDED, NULL), "channel");
	peer_must(weft_http_server_create(&server, &set.server), "server");
	add_routes(server);
	peer_must(weft_listen(&listener, "tcp://127.0.0.1:0", NULL, SOON), "listen");
	peer_must(weft_http_server_start(server, listener), "start");
	printf("listening %s\n", strrchr(weft_listener_name(listener), ':') + 1);
	fflush(stdout);
	obey();
	weft_http_server_stop(server);
	peer_must(weft_http_server_wait(server, SOON), "wait");
	weft_http_server_stats_get(server, &stats);
	printf("stopped requests=%" PRIu64 " now=%zu cut=%" PRIu64 "\n", stats.requests,
		stats.connections_now, stats.connections_cut);
	fflush(stdout);
	weft_http_server_free(server);
	weft_listener_free(listener);
	weft_tls_unref(set.tls);
	weft_chan_unref(gone);
	return WEFT_OK;
}

static void flags(int argc, char **argv)
{
	const struct flag all[] = {
		{ "--cert", &set.cert, NULL, NULL },
		{ "--key", &set.key, NULL, NULL },
		{ "--ca", &set.ca, NULL, NULL },
		{ "--tls-min", &set.tls_min, NULL, NULL },
		{ "--tls-max", &set.tls_max, NULL, NULL },
		{ "--page", &set.page, NULL, NULL },
		{ "--header-timeout", NULL, &set.server.header_timeout_ns, NULL },
		{ "--idle-timeout", NULL, &set.server.idle_timeout_ns, NULL },
		{ "--write-timeout", NULL, &set.server.write_timeout_ns, NULL },
		{ "--body-grace", NULL, &set.server.body_grace_ns, NULL },
		{ "--stop-timeout", NULL, &set.server.stop_timeout_ns, NULL },
		{ "--sse-comment", NULL, &set.server.sse_comment_ns, NULL },
		{ "--workers", NULL, NULL, &set.workers },
		{ "--connections-max", NULL, NULL, &set.connections },
		{ "--requests-max", NULL, NULL, &set.requests },
		{ "--header-size-max", NULL, NULL, &set.header_size },
		{ "--header-count-max", NULL, NULL, &set.header_count },
		{ "--body-size-max", NULL, NULL, &set.server.body_size_max },
		{ "--body-drop-max", NULL, NULL, &set.body_drop },
		{ "--body-rate", NULL, NULL, &set.body_rate },
	};

	peer_begin(argc, argv, all, sizeof(all) / sizeof(all[0]));
	set.server.connections_max = set.connections;
	set.server.requests_max = set.requests;
	set.server.header_size_max = set.header_size;
	set.server.header_count_max = (unsigned)set.header_count;
	set.server.body_drop_max = set.body_drop;
	set.server.body_rate_min = (unsigned)set.body_rate;
}

int main(int argc, char **argv)
{
	flags(argc, argv);
	return peer_run(serve, (unsigned)set.workers);
}
