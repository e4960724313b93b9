/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * weft's client, for servers of others. A line on stdin is a request, its words between tabs:
 *
 *	METHOD URL WORD...
 *		h=Name: value	a header field
 *		o=Name: value	one that is not for other origins
 *		size=N		a body of N bytes of the pattern, with Content-Length
 *		chunked=N	the same in chunks
 *		t=Name: value	a trailer
 *		expect		waits for 100 (Continue)
 *		timeout=MS	for all of it
 *		redirects=N	to be followed
 *		decode		asks for gzip and deflate
 *		fresh, idempotent
 *		unix=PATH	instead of the URL's host and port
 *		proxy=URL
 *		text		tells the body itself, up to 64 KiB
 *		read=N		reads N bytes of the body, and drops the rest
 *		times=N		N such requests at once; tells how many were well, and an error
 *		upgrade=TEXT	takes the connection, sends TEXT and reads as much
 *
 * The method EVENTS takes events until there are no more to come, or times=N.
 *
 * What came of it is a line of JSON on stdout (tell_response). "STATS" instead tells the client's
 * numbers. One client for all; the end of stdin is the end.
 */
#include "peer.h"

#include <weft/sse_client.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 65536

static struct {
	weft_http_client_options client;
	weft_tls_client_options tls;
	const char *tls_min, *tls_max;
	uint64_t insecure, sessions_off, proxy_env;
	uint64_t workers, connections, head_size, fields, interim, drain, decode_ratio;
} set = { .client = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT, .tls = WEFT_TLS_CLIENT_OPTIONS_DEFAULT };

static weft_http_client *client;

/* A request body: so far, of so much. */
struct source {
	uint64_t at, size;
};

struct job {
	weft_http_request request;
	weft_http_fields *fields, *trailers, *origin_fields;
	uint64_t body;
	const char *upgrade;
	uint64_t times, read_max;
	int64_t timeout_ns;
	bool text;
};

/* One request of a job, and what came of it. */
struct outcome {
	const struct job *job;
	struct source source;
	weft_err err; /* its detail is in `detail` */
	char *detail;
	weft_http_response *response; /* NULL: none */
	char digest[DIGEST_TEXT_SIZE];
	uint64_t size;
	char *text; /* of the body; NULL: not asked for */
	size_t text_len;
	unsigned interim; /* responses before */
};

static weft_err source_read(void *user, void *data, size_t size, size_t *got, weft_deadline until)
{
	struct source *source = &((struct outcome *)user)->source;
	const void *from;
	size_t len;

	(void)until;
	if (source->at == source->size)
		return WEFT_ECLOSED;
	len = pattern_at(source->at, source->size, &from);
	*got = len < size ? len : size;
	memcpy(data, from, *got);
	source->at += *got;
	return WEFT_OK;
}

static weft_err source_rewind(void *user)
{
	((struct outcome *)user)->source.at = 0;
	return WEFT_OK;
}

static void count_interim(void *user, unsigned status, const weft_http_fields *fields)
{
	(void)status;
	(void)fields;
	((struct outcome *)user)->interim++;
}

static void note(struct outcome *outcome, weft_err err)
{
	if (!err || outcome->err)
		return;
	outcome->err = err;
	outcome->detail = strdup(weft_error_detail());
}

/* === a request ============================================================================== */

static void keep_text(struct outcome *outcome, const char *data, size_t len)
{
	if (!outcome->text)
		return;
	if (len > TEXT_MAX - outcome->text_len)
		len = TEXT_MAX - outcome->text_len;
	memcpy(outcome->text + outcome->text_len, data, len);
	outcome->text_len += len;
}

static void read_body(struct outcome *outcome, weft_deadline until)
{
	char *data = malloc(IO_SIZE);
	uint64_t left = outcome->job->read_max;
	struct tally tally;
	weft_err err = data ? WEFT_OK : WEFT_ENOMEM;
	size_t got;

	tally_begin(&tally);
	if (outcome->job->text)
		outcome->text = malloc(TEXT_MAX);
	while (!err && left > 0) {
		err = weft_http_response_read(outcome->response, data,
			left < IO_SIZE ? (size_t)left : IO_SIZE, &got, until);
		if (!err) {
			tally_add(&tally, data, got);
			keep_text(outcome, data, got);
			left -= got;
		}
	}
	if (err != WEFT_ECLOSED)
		note(outcome, err);
	outcome->size = tally.size;
	tally_end(&tally, outcome->digest);
	free(data);
}

/* Sends a text over the connection that has become ours, and reads as much. */
static void use_upgraded(struct outcome *outcome, weft_deadline until)
{
	const char *text = outcome->job->upgrade;
	size_t len = strlen(text);
	weft_conn *conn = NULL;
	weft_err err = weft_http_response_take(outcome->response, &conn);

	outcome->text = malloc(len + 1);
	if (!err)
		err = weft_conn_write(conn, text, len, NULL, until);
	if (!err)
		err = weft_conn_read_full(conn, outcome->text, len, &outcome->text_len, until);
	note(outcome, err);
	weft_conn_free(conn);
}

static void do_request(struct outcome *outcome)
{
	const struct job *job = outcome->job;
	weft_http_request request = job->request;
	weft_deadline until = weft_after_ns(job->timeout_ns);

	outcome->source.size = job->body;
	if (request.body_read) {
		request.body_user = outcome;
		request.body_rewind = source_rewind;
	}
	request.user = outcome;
	request.on_interim = count_interim;
	note(outcome, weft_http_client_send(client, &request, &outcome->response, until));
	if (!outcome->response)
		return;
	if (job->upgrade && weft_http_response_status(outcome->response) == 101)
		use_upgraded(outcome, until);
	else
		read_body(outcome, until);
}

static void forget(struct outcome *outcome)
{
	weft_http_response_free(outcome->response);
	free(outcome->text);
	free(outcome->detail);
}

/* === what came of it ======================================================================== */

static void tell(FILE *out, const char *name, const char *text)
{
	fprintf(out, ", \"%s\": ", name);
	peer_json(out, text ? text : "", text ? strlen(text) : 0);
}

/* A list of pairs, as they came. */
static void tell_fields(FILE *out, const char *what, const weft_http_fields *fields)
{
	const char *name, *value, *first = "";

	fprintf(out, ", \"%s\": [", what);
	for (size_t i = 0; i < weft_http_fields_count(fields); i++) {
		weft_http_fields_at(fields, i, &name, &value);
		fprintf(out, "%s[", first);
		peer_json(out, name, strlen(name));
		putc(',', out);
		peer_json(out, value, strlen(value));
		putc(']', out);
		first = ", ";
	}
	putc(']', out);
}

static void tell_tls(FILE *out, const weft_http_response *response)
{
	const weft_conn *conn = weft_http_response_conn(response);
	weft_tls_info info;

	if (!conn || weft_tls_info_get(conn, &info))
		return;
	tell(out, "tls", info.version);
	tell(out, "cipher", info.cipher);
	tell(out, "alpn", info.alpn);
	tell(out, "subject", info.peer_subject);
	fprintf(out, ", \"resumed\": %s", info.resumed ? "true" : "false");
}

static void tell_response(FILE *out, const struct outcome *outcome)
{
	const weft_http_response *response = outcome->response;
	weft_http_timings timings;

	weft_http_response_timings(response, &timings);
	fprintf(out, ", \"status\": %u, \"minor\": %u, \"length\": %" PRId64 ", \"size\": %" PRIu64,
		weft_http_response_status(response), weft_http_response_minor(response),
		weft_http_response_length(response), outcome->size);
	fprintf(out, ", \"reused\": %s, \"retries\": %u, \"interim\": %u, \"sent\": %" PRIu64,
		timings.reused ? "true" : "false", timings.retries, outcome->interim,
		outcome->source.at);
	tell(out, "digest", outcome->digest);
	tell(out, "url", weft_http_response_url(response));
	tell_fields(out, "fields", weft_http_response_fields(response));
	tell_fields(out, "trailers", weft_http_response_trailers(response));
	tell_tls(out, response);
	if (outcome->text) {
		fprintf(out, ", \"text\": ");
		peer_json(out, outcome->text, outcome->text_len);
	}
}

static void tell_outcome(const struct outcome *outcome)
{
	printf("{\"error\": \"%s\"", outcome->err ? weft_err_name(outcome->err) : "");
	tell(stdout, "detail", outcome->detail ? outcome->detail : "");
	if (outcome->response)
		tell_response(stdout, outcome);
	printf("}\n");
	fflush(stdout);
}

static weft_err do_one(void *arg)
{
	do_request(arg);
	return WEFT_OK;
}

/* Many at once: how many had status 200 and all of their body, and the first error. */
static void do_many(const struct job *job)
{
	struct outcome *all = calloc(job->times, sizeof(*all));
	weft_scope *scope = NULL;
	const char *detail = "";
	uint64_t good = 0;

	if (!all)
		peer_die("no memory");
	peer_must(weft_scope_create(&scope), "scope");
	for (uint64_t i = 0; i < job->times; i++) {
		all[i].job = job;
		peer_must(weft_scope_spawn_on(scope, (unsigned)(i % weft_worker_count()), "request",
				  do_one, &all[i]),
			"spawn");
	}
	peer_must(weft_scope_wait(scope, WEFT_FOREVER), "wait");
	weft_scope_free(scope);
	for (uint64_t i = 0; i < job->times; i++) {
		if (all[i].detail && !*detail)
			detail = all[i].detail;
		if (!all[i].err && weft_http_response_status(all[i].response) == 200)
			good++;
	}
	printf("{\"good\": %" PRIu64, good);
	tell(stdout, "detail", detail);
	printf("}\n");
	fflush(stdout);
	for (uint64_t i = 0; i < job->times; i++)
		forget(&all[i]);
	free(all);
}

static void tell_event(const weft_sse_event *event, bool first)
{
	printf("%s[", first ? "" : ", ");
	peer_json(stdout, event->type, event->type_len);
	printf(", ");
	peer_json(stdout, event->id, event->id_len);
	printf(", ");
	peer_json(stdout, event->data, event->data_len);
	putchar(']');
}

/* Events to the stream's final end, across losses. */
static void do_events(const struct job *job)
{
	weft_sse_client_options options = WEFT_SSE_CLIENT_OPTIONS_DEFAULT;
	weft_http_request request = job->request;
	weft_deadline until = weft_after_ns(job->timeout_ns);
	uint64_t count = 0, losses = 0, reconnects = 0;
	weft_sse_client *sse = NULL;
	weft_sse_event event;
	weft_err err;

	request.url = NULL;
	options.request = &request;
	options.retry_ns = 1000 * 1000;
	printf("{\"events\": [");
	err = weft_sse_client_open(&sse, client, job->request.url, &options, until);
	while ((!err || err == WEFT_ERESET) && count < job->times) {
		err = weft_sse_client_next(sse, &event, until);
		if (!err)
			tell_event(&event, count++ == 0);
		else if (err == WEFT_ERESET)
			losses++;
	}
	printf("], \"error\": \"%s\"", err ? weft_err_name(err) : "");
	tell(stdout, "detail", err ? weft_error_detail() : "");
	if (sse) {
		tell(stdout, "last_id", weft_sse_client_last_id(sse));
		reconnects = weft_sse_client_reconnects(sse);
	}
	printf(", \"losses\": %" PRIu64 ", \"reconnects\": %" PRIu64 "}\n", losses, reconnects);
	fflush(stdout);
	weft_sse_client_free(sse);
}

static void tell_stats(void)
{
	weft_http_client_stats stats;

	weft_http_client_stats_get(client, &stats);
	printf("{\"dials\": %" PRIu64 ", \"reuses\": %" PRIu64 ", \"retries\": %" PRIu64
	       ", \"stale\": %" PRIu64 ", \"connections\": %" PRIu64 ", \"idle\": %" PRIu64
	       ", \"fibers\": %" PRIu64 "}\n",
		stats.dials, stats.reuses, stats.retries, stats.stale, stats.connections_now,
		stats.idle_now, weft_fiber_count());
	fflush(stdout);
}

/* === lines ================================================================================== */

static void add_line(weft_http_fields **fields, const char *line)
{
	if (!*fields)
		peer_must(weft_http_fields_create(fields), "fields");
	peer_must(weft_http_fields_add_line(*fields, line), line);
}

static void body_of(struct job *job, const char *size, bool chunked)
{
	job->body = strtoull(size, NULL, 10);
	if (job->body == 0 && !chunked)
		return;
	job->request.body_read = source_read;
	job->request.body_length = chunked ? 0 : job->body;
}

static bool has_value(struct job *job, const char *name, const char *value)
{
	weft_http_request *request = &job->request;

	if (strcmp(name, "h") == 0)
		add_line(&job->fields, value);
	else if (strcmp(name, "o") == 0)
		add_line(&job->origin_fields, value);
	else if (strcmp(name, "t") == 0)
		add_line(&job->trailers, value);
	else if (strcmp(name, "size") == 0)
		body_of(job, value, false);
	else if (strcmp(name, "chunked") == 0)
		body_of(job, value, true);
	else if (strcmp(name, "timeout") == 0)
		job->timeout_ns = strtoll(value, NULL, 10) * 1000 * 1000;
	else if (strcmp(name, "redirects") == 0)
		request->redirects_max = (unsigned)strtoul(value, NULL, 10);
	else if (strcmp(name, "unix") == 0)
		request->unix_path = value;
	else if (strcmp(name, "proxy") == 0)
		request->proxy = value;
	else if (strcmp(name, "read") == 0)
		job->read_max = strtoull(value, NULL, 10);
	else if (strcmp(name, "times") == 0)
		job->times = strtoull(value, NULL, 10);
	else if (strcmp(name, "upgrade") == 0)
		job->upgrade = value;
	else
		return false;
	return true;
}

static bool is_switch(struct job *job, const char *word)
{
	weft_http_request *request = &job->request;

	if (strcmp(word, "expect") == 0)
		request->expect_continue = true;
	else if (strcmp(word, "decode") == 0)
		request->decode = true;
	else if (strcmp(word, "fresh") == 0)
		request->fresh = true;
	else if (strcmp(word, "idempotent") == 0)
		request->idempotent = true;
	else if (strcmp(word, "text") == 0)
		job->text = true;
	else
		return false;
	return true;
}

static void word_of(struct job *job, char *word)
{
	char *value;

	if (is_switch(job, word))
		return;
	value = strchr(word, '=');
	if (value)
		*value++ = '\0';
	if (!value || !has_value(job, word, value))
		peer_die(word);
}

static void obey(char *line)
{
	struct job job = { .request = WEFT_HTTP_REQUEST_DEFAULT,
		.times = 1,
		.read_max = UINT64_MAX,
		.timeout_ns = PATIENCE_NS };
	struct outcome outcome = { .job = &job };
	bool is_events;
	char *state = NULL;

	job.request.method = strtok_r(line, "\t\n", &state);
	job.request.url = strtok_r(NULL, "\t\n", &state);
	if (!job.request.url) {
		tell_stats();
		return;
	}
	is_events = strcmp(job.request.method, "EVENTS") == 0;
	if (is_events) {
		job.request.method = NULL;
		job.times = UINT64_MAX;
	}
	for (char *word; (word = strtok_r(NULL, "\t\n", &state));)
		word_of(&job, word);
	job.request.fields = job.fields;
	job.request.trailers = job.trailers;
	job.request.origin_fields = job.origin_fields;
	job.request.upgrade = job.upgrade;
	if (is_events) {
		do_events(&job);
	} else if (job.times > 1) {
		do_many(&job);
	} else {
		do_request(&outcome);
		tell_outcome(&outcome);
		forget(&outcome);
	}
	weft_http_fields_free(job.fields);
	weft_http_fields_free(job.trailers);
	weft_http_fields_free(job.origin_fields);
}

static weft_err talk(void *arg)
{
	weft_conn *in = NULL;
	char *line = malloc(LINE_SIZE);
	size_t got;

	(void)arg;
	set.tls.version_min = peer_tls_version(set.tls_min);
	set.tls.version_max = peer_tls_version(set.tls_max);
	if (set.tls.ca_file || set.insecure)
		peer_must(weft_tls_client_create(&set.client.tls, &set.tls), "tls");
	peer_must(weft_http_client_create(&client, &set.client), "client");
	peer_must(weft_conn_adopt_own(&in, 0, -1, false, "stdin"), "stdin");
	while (line && !weft_conn_read_line(in, line, LINE_SIZE, &got, WEFT_FOREVER))
		obey(line);
	free(line);
	weft_conn_free(in);
	weft_http_client_unref(client);
	weft_tls_unref(set.client.tls);
	return WEFT_OK;
}

static void flags(int argc, char **argv)
{
	static const char *const alpn[] = { "http/1.1", NULL };
	const struct flag all[] = {
		{ "--ca", &set.tls.ca_file, NULL, NULL },
		{ "--cert", &set.tls.cert.cert_file, NULL, NULL },
		{ "--key", &set.tls.cert.key_file, NULL, NULL },
		{ "--tls-min", &set.tls_min, NULL, NULL },
		{ "--tls-max", &set.tls_max, NULL, NULL },
		{ "--insecure", NULL, NULL, &set.insecure },
		{ "--sessions-off", NULL, NULL, &set.sessions_off },
		{ "--proxy-env", NULL, NULL, &set.proxy_env },
		{ "--connect-timeout", NULL, &set.client.connect_timeout_ns, NULL },
		{ "--head-timeout", NULL, &set.client.head_timeout_ns, NULL },
		{ "--stall-timeout", NULL, &set.client.stall_timeout_ns, NULL },
		{ "--expect-timeout", NULL, &set.client.expect_timeout_ns, NULL },
		{ "--workers", NULL, NULL, &set.workers },
		{ "--connections-max", NULL, NULL, &set.connections },
		{ "--head-size-max", NULL, NULL, &set.head_size },
		{ "--fields-max", NULL, NULL, &set.fields },
		{ "--interim-max", NULL, NULL, &set.interim },
		{ "--drain-max", NULL, NULL, &set.drain },
		{ "--body-size-max", NULL, NULL, &set.client.body_size_max },
		{ "--decode-ratio-max", NULL, NULL, &set.decode_ratio },
	};

	peer_begin(argc, argv, all, sizeof(all) / sizeof(all[0]));
	set.tls.alpn = alpn;
	set.tls.insecure = set.insecure != 0;
	set.tls.sessions_off = set.sessions_off != 0;
	set.client.proxy_env = set.proxy_env != 0;
	set.client.connections_max = set.connections;
	set.client.head_size_max = set.head_size;
	set.client.fields_max = set.fields;
	set.client.interim_max = (unsigned)set.interim;
	set.client.drain_max = set.drain;
	set.client.decode_ratio_max = (unsigned)set.decode_ratio;
}

int main(int argc, char **argv)
{
	flags(argc, argv);
	return peer_run(talk, (unsigned)set.workers);
}
