/* SPDX-License-Identifier: MIT */
/*
 * See weft/sse_client.h.
 *
 * Whatever has to wait for the net is done by one fiber at a time, the job, in the client's
 * scope: a look at the stream for more bytes, or another attempt to connect. _next starts a job
 * when none is there and waits for the scope to be empty, so that its own time may be up without
 * an end of the job, and a cancelled scope ends both. What is there already is read without a
 * job.
 *
 *	OPEN	a response; its body is read	-> OPEN, LOST
 *	LOST	between two connections		-> OPEN, LOST, OVER
 *	OVER	a final error			-> OVER
 *
 * An event costs no allocation and no copy beyond the parser's; a wait a fiber of the pool, a
 * park and a wake.
 */
#include <weft/sse_client.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/random.h"

#include <weft/scope.h>
#include <weft/sim.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define READ_SIZE 16384
#define RETRY_NS INT64_C(3000000000)
#define RETRY_CAP_NS INT64_C(60000000000)
#define RETRY_FAILED_MIN_NS INT64_C(100000000) /* after an attempt that failed, at least */
#define CONNECT_NS INT64_C(30000000000)
#define JITTER_PERCENT 25
#define JITTER_PERCENT_MAX 1000
#define REDIRECTS 10
#define WHY_MAX 512

static const char content_type[] = "text/event-stream";

enum state { OPEN, LOST, OVER };

enum job { NO_JOB, READ, CONNECT };

struct weft_sse_client {
	weft_http_client *http; /* referenced */
	weft_scope *scope;
	weft_http_request request;	 /* its url and fields are owned */
	weft_http_fields *fields;	 /* of the request; owned */
	char *url;			 /* owned */
	weft_sse_client_options options; /* with its defaults */
	weft_sse_parser *parser;
	struct random random;
	enum state state;
	weft_http_response *response; /* OPEN */
	uint64_t reconnects;
	unsigned failures; /* attempts and streams in a row that brought no byte */
	bool has_bytes;	   /* the stream has brought some */

	/* the job: its own while it runs, else that of _next */
	enum job job;
	weft_err job_err;
	char why[WHY_MAX];		  /* the detail of job_err */
	size_t job_got;			  /* READ */
	weft_http_response *job_response; /* CONNECT */

	const uint8_t *data; /* not parsed yet, in buffer */
	size_t len;
	weft_deadline idle_at;	/* OPEN: when it is lost for its silence */
	weft_deadline retry_at; /* LOST */
	weft_err over;		/* OVER: with the detail in why */
	uint8_t buffer[READ_SIZE];
};

/* ---- a connection ---- */

/* What a status other than 200 and 204 is. */
static weft_err status_err(unsigned status)
{
	switch (status) {
	case 401:
	case 403:
	case 407:
		return WEFT_EAUTH;
	case 404:
	case 410:
		return WEFT_ENOTFOUND;
	case 405:
	case 501:
		return WEFT_ENOSYS;
	default:
		return WEFT_EREFUSED;
	}
}

/* text/event-stream, with whatever parameters. */
static bool is_event_stream(const char *type)
{
	size_t len = sizeof(content_type) - 1;

	return type && strncasecmp(type, content_type, len) == 0 &&
		(type[len] == '\0' || type[len] == ';' || type[len] == ' ' || type[len] == '\t');
}

static weft_err response_check(const weft_sse_client *c, const weft_http_response *response)
{
	unsigned status = weft_http_response_status(response);
	const char *type =
		weft_http_fields_get(weft_http_response_fields(response), "Content-Type");

	if (status == 204)
		return err_setf(WEFT_ECLOSED,
			"event stream %s: the server has no more to say (status 204)", c->url);
	if (status != 200)
		return err_setf(status_err(status), "event stream %s: status %u (%s)", c->url,
			status, weft_http_status_text(status));
	if (!is_event_stream(type))
		return err_setf(WEFT_EPROTO, "event stream %s: content type %.100s, not %s", c->url,
			type ? type : "missing", content_type);
	return WEFT_OK;
}

/* *is_final: a response came, and it was not a stream of events. */
static weft_err connect_once(
	weft_sse_client *c, weft_http_response **out, bool *is_final, weft_deadline until)
{
	const char *id = weft_sse_parser_last_id(c->parser);
	weft_http_response *response = NULL;
	weft_err err = WEFT_OK;

	*is_final = false;
	if (*id)
		err = weft_http_fields_set(c->fields, "Last-Event-ID", id);
	else
		(void)weft_http_fields_remove(c->fields, "Last-Event-ID");
	if (!err)
		err = weft_http_client_send(c->http, &c->request, &response, until);
	if (err)
		return err;
	err = response_check(c, response);
	if (err) {
		*is_final = true;
		weft_http_response_free(response);
		return err;
	}
	*out = response;
	return WEFT_OK;
}

static void opened(weft_sse_client *c, weft_http_response *response)
{
	c->response = response;
	c->state = OPEN;
	c->has_bytes = false;
	c->data = c->buffer;
	c->len = 0;
	c->idle_at = WEFT_FOREVER;
	if (c->options.idle_timeout_ns)
		c->idle_at = weft_after_ns(c->options.idle_timeout_ns);
	weft_sse_parser_reset(c->parser);
}

/* ---- waiting between two connections ---- */

static int64_t doubled(int64_t wait_ns, unsigned times, int64_t max_ns)
{
	while (times-- > 0 && wait_ns < max_ns)
		wait_ns = wait_ns > max_ns / 2 ? max_ns : wait_ns * 2;
	return wait_ns;
}

static int64_t retry_wait_ns(weft_sse_client *c)
{
	int64_t said_ms = weft_sse_parser_retry_ms(c->parser), base = c->options.retry_ns, wait;
	int64_t max = c->options.retry_max_ns;

	if (said_ms >= 0)
		base = said_ms > WEFT_SSE_RETRY_MAX_NS / 1000000 ? WEFT_SSE_RETRY_MAX_NS
								 : said_ms * 1000000;
	wait = base;
	if (c->failures > 0) {
		if (wait < RETRY_FAILED_MIN_NS)
			wait = RETRY_FAILED_MIN_NS;
		wait = doubled(wait, c->failures - 1, max > base ? max : base);
	}
	if (c->options.jitter_percent > 0)
		wait += (int64_t)random_below(
			&c->random, (uint64_t)(wait / 100 * c->options.jitter_percent) + 1);
	return wait;
}

/* Keeps the detail of an error. */
static void why_keep(weft_sse_client *c)
{
	(void)snprintf(c->why, sizeof(c->why), "%s", weft_error_detail());
}

static weft_err over_again(const weft_sse_client *c)
{
	return err_setf(c->over, "%s", c->why);
}

/* From now on it is over; the detail there is says why. No job is there. */
static weft_err over(weft_sse_client *c, weft_err err)
{
	weft_http_response_free(c->response);
	c->response = NULL;
	c->state = OVER;
	c->over = err;
	why_keep(c);
	return err;
}

static bool is_closed(weft_sse_client *c)
{
	return weft_cancel_is_cancelled(weft_scope_token(c->scope));
}

static weft_err closed(weft_sse_client *c)
{
	weft_err ended;

	/* the job was cancelled, too: it ends at once */
	weft_shield_begin();
	ended = weft_scope_wait(c->scope, WEFT_FOREVER);
	weft_shield_end();
	(void)ended;
	c->job = NO_JOB;
	(void)err_setf(WEFT_ECLOSED, "event stream %s: closed", c->url);
	return over(c, WEFT_ECLOSED);
}

/* A stream that ended, or an attempt that failed, in c->why. */
static weft_err lost(weft_sse_client *c)
{
	int64_t wait_ns;

	weft_http_response_free(c->response);
	c->response = NULL;
	c->state = LOST;
	if (c->options.attempts_max && c->failures >= c->options.attempts_max) {
		(void)err_setf(WEFT_ECAPACITY, "event stream %s: given up after %u attempts: %s",
			c->url, c->failures, c->why);
		return over(c, WEFT_ECAPACITY);
	}
	wait_ns = retry_wait_ns(c);
	c->retry_at = weft_after_ns(wait_ns);
	return err_setf(WEFT_ERESET, "event stream %s: lost, next attempt in %lld ms: %s", c->url,
		(long long)(wait_ns / 1000000), c->why);
}

/* ---- the job ---- */

static void job_done(weft_sse_client *c, weft_err err)
{
	c->job_err = err;
	if (err)
		why_keep(c);
}

static weft_err read_job(void *arg)
{
	weft_sse_client *c = arg;
	weft_err err = weft_http_response_read(
		c->response, c->buffer, sizeof(c->buffer), &c->job_got, c->idle_at);

	if (err == WEFT_ETIMEDOUT)
		err = err_setf(err, "no byte for %lld ms",
			(long long)(c->options.idle_timeout_ns / 1000000));
	job_done(c, err);
	return WEFT_OK;
}

/* What another attempt won't change: a request that can't be made, a client that was closed. */
static bool is_hopeless(weft_err err)
{
	return err == WEFT_EINVAL || err == WEFT_ECLOSED || err == WEFT_ENOSYS;
}

/* job_err: WEFT_ERESET for what may be tried again. */
static weft_err connect_job(void *arg)
{
	weft_sse_client *c = arg;
	bool is_final = false;
	weft_err err = weft_sleep_until(c->retry_at);

	if (!err) {
		err = connect_once(c, &c->job_response, &is_final,
			weft_after_ns(c->options.connect_timeout_ns));
		if (err && err != WEFT_ENOMEM && !is_final && !is_hopeless(err))
			err = err_wrap(WEFT_ERESET, "connecting again");
	}
	job_done(c, err);
	return WEFT_OK;
}

/* The job's end; starts it if there is none. */
static weft_err job_wait(weft_sse_client *c, enum job job, weft_deadline until)
{
	weft_err err;

	if (c->job == NO_JOB) {
		err = weft_scope_spawn(c->scope, job == READ ? "sse read" : "sse connect",
			job == READ ? read_job : connect_job, c);
		if (err)
			return err;
		c->job = job;
	}
	err = weft_scope_wait(c->scope, until);
	if (err)
		return err;
	c->job = NO_JOB;
	return WEFT_OK;
}

/* ---- next ---- */

static void got_bytes(weft_sse_client *c, size_t got)
{
	c->data = c->buffer;
	c->len = got;
	c->has_bytes = true;
	c->failures = 0;
	if (c->options.idle_timeout_ns)
		c->idle_at = weft_after_ns(c->options.idle_timeout_ns);
}

/* err: of the read, with its detail in why. */
static weft_err stream_ended(weft_sse_client *c, weft_err err)
{
	if (err == WEFT_ECLOSED)
		(void)snprintf(c->why, sizeof(c->why), "the server ended it");
	if (!c->has_bytes)
		c->failures++;
	return lost(c);
}

/* OPEN: more bytes, or the loss of the stream. */
static weft_err more(weft_sse_client *c, weft_deadline until)
{
	size_t got;
	weft_err err;

	if (c->job == NO_JOB) {
		err = weft_http_response_read(
			c->response, c->buffer, sizeof(c->buffer), &got, WEFT_NOW);
		if (!err) {
			got_bytes(c, got);
			return WEFT_OK;
		}
		if (err == WEFT_ECANCELED || err == WEFT_ENOMEM)
			return err;
		if (err != WEFT_ETIMEDOUT) {
			why_keep(c);
			return stream_ended(c, err);
		}
	}
	err = job_wait(c, READ, until);
	if (err || is_closed(c))
		return err;
	if (c->job_err == WEFT_ENOMEM)
		return err_set(WEFT_ENOMEM);
	if (c->job_err)
		return stream_ended(c, c->job_err);
	got_bytes(c, c->job_got);
	return WEFT_OK;
}

/* LOST: a connection, or an error. */
static weft_err again(weft_sse_client *c, weft_deadline until)
{
	weft_http_response *response;
	weft_err err = job_wait(c, CONNECT, until);

	if (err || is_closed(c))
		return err;
	err = c->job_err;
	if (!err) {
		response = c->job_response;
		c->job_response = NULL;
		opened(c, response);
		c->reconnects++;
		return WEFT_OK;
	}
	if (err == WEFT_ENOMEM)
		return err_set(err);
	if (err != WEFT_ERESET) {
		(void)err_setf(err, "%s", c->why);
		return over(c, err);
	}
	c->failures++;
	return lost(c);
}

weft_err weft_sse_client_next(weft_sse_client *c, weft_sse_event *event, weft_deadline until)
{
	weft_err err = WEFT_OK;

	while (!err) {
		if (c->state == OVER)
			return over_again(c);
		if (is_closed(c))
			return closed(c);
		if (c->state == LOST) {
			err = again(c, until);
			continue;
		}
		err = weft_sse_parser_next(c->parser, &c->data, &c->len, event);
		if (err || event->kind != WEFT_SSE_NONE)
			return err;
		err = more(c, until);
	}
	/* a closed scope refuses jobs */
	return c->state != OVER && is_closed(c) ? closed(c) : err;
}

const char *weft_sse_client_last_id(const weft_sse_client *c)
{
	return weft_sse_parser_last_id(c->parser);
}

bool weft_sse_client_is_open(const weft_sse_client *c)
{
	return c->state == OPEN;
}

bool weft_sse_client_is_over(const weft_sse_client *c)
{
	return c->state == OVER;
}

weft_deadline weft_sse_client_retry_at(const weft_sse_client *c)
{
	return c->retry_at;
}

const weft_http_response *weft_sse_client_response(const weft_sse_client *c)
{
	return c->response;
}

uint64_t weft_sse_client_reconnects(const weft_sse_client *c)
{
	return c->reconnects;
}

/* ---- its life ---- */

void weft_sse_client_close(weft_sse_client *c)
{
	weft_scope_cancel(c->scope);
}

void weft_sse_client_free(weft_sse_client *c)
{
	if (!c)
		return;
	weft_scope_free(c->scope);
	weft_http_response_free(c->job_response);
	weft_http_response_free(c->response);
	weft_sse_parser_free(c->parser);
	weft_http_fields_free(c->fields);
	weft_http_client_unref(c->http);
	mem_free(c->url);
	mem_free(c);
}

static weft_err options_check(const weft_sse_client_options *o)
{
	const weft_http_request *r = o->request;
	const char *field = NULL;

	if (o->retry_ns < 0 || o->retry_ns > WEFT_SSE_RETRY_MAX_NS)
		field = "retry_ns";
	else if (o->retry_max_ns < 0 || o->retry_max_ns > WEFT_SSE_RETRY_MAX_NS)
		field = "retry_max_ns";
	else if (o->jitter_percent < -1 || o->jitter_percent > JITTER_PERCENT_MAX)
		field = "jitter_percent";
	else if (o->connect_timeout_ns < 0)
		field = "connect_timeout_ns";
	else if (o->idle_timeout_ns < 0)
		field = "idle_timeout_ns";
	else if (r && (r->method || r->url || r->url_parsed || r->body || r->body_read))
		field = "request (method, URL or body)";
	return field ? err_setf(WEFT_EINVAL, "event stream: option %s is out of range", field)
		     : WEFT_OK;
}

static void defaults_fill(weft_sse_client_options *o)
{
	if (!o->retry_ns)
		o->retry_ns = RETRY_NS;
	if (!o->retry_max_ns)
		o->retry_max_ns = RETRY_CAP_NS;
	if (!o->jitter_percent)
		o->jitter_percent = JITTER_PERCENT;
	if (!o->connect_timeout_ns)
		o->connect_timeout_ns = CONNECT_NS;
}

static weft_err request_make(weft_sse_client *c)
{
	const weft_http_request none = WEFT_HTTP_REQUEST_DEFAULT;
	weft_err err;

	c->request = c->options.request ? *c->options.request : none;
	err = c->request.fields ? weft_http_fields_copy(&c->fields, c->request.fields)
				: weft_http_fields_create(&c->fields);
	if (!err)
		err = weft_http_fields_set(c->fields, "Accept", content_type);
	/* what the cache mode "no-store" is on the wire (Fetch, HTTP-network-or-cache fetch) */
	if (!err)
		err = weft_http_fields_set(c->fields, "Cache-Control", "no-cache");
	if (err)
		return err;
	c->request.url = c->url;
	c->request.fields = c->fields;
	c->request.endless = true;
	if (!c->request.redirects_max)
		c->request.redirects_max = REDIRECTS;
	return WEFT_OK;
}

static weft_err parts_make(weft_sse_client *c, const char *url)
{
	weft_err err;

	random_seed(&c->random, weft_in_sim() ? weft_sim_random() : random_entropy());
	c->url = mem_strdup(url);
	if (!c->url)
		return err_set(WEFT_ENOMEM);
	err = weft_sse_parser_create(&c->parser, &c->options.parser);
	if (!err)
		err = weft_sse_parser_last_id_set(c->parser, c->options.last_event_id);
	if (!err)
		err = request_make(c);
	if (!err)
		err = weft_scope_create(&c->scope);
	return err;
}

weft_err weft_sse_client_open(weft_sse_client **out, weft_http_client *http, const char *url,
	const weft_sse_client_options *options, weft_deadline until)
{
	const weft_sse_client_options defaults = WEFT_SSE_CLIENT_OPTIONS_DEFAULT;
	weft_http_response *response = NULL;
	weft_sse_client *c;
	bool is_final;
	weft_err err;

	err = options_check(options ? options : &defaults);
	if (err)
		return err;
	c = mem_calloc(1, sizeof(*c));
	if (!c)
		return err_set(WEFT_ENOMEM);
	c->http = weft_http_client_ref(http);
	c->options = options ? *options : defaults;
	defaults_fill(&c->options);
	err = parts_make(c, url);
	if (!err)
		err = connect_once(c, &response, &is_final, until);
	if (err) {
		weft_sse_client_free(c);
		return err;
	}
	opened(c, response);
	*out = c;
	return WEFT_OK;
}
