/* SPDX-License-Identifier: MIT */
/* The client that pipelines: requests by hand, answers by the codec. */
#include "support/httptalk.h"

#include "proto/http1/http1.h"
#include "support/both.h"
#include "support/httpcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 32
#define ANSWER_SIZE 8192 /* bytes read ahead; more than a head here has */
#define HEAD_SIZE 160
#define CHUNK_EXTRA 32 /* around one chunk */

struct pipeline {
	struct talks *talks;
	struct ask **asks;
	unsigned count;
	weft_conn *conn;
	char *out; /* all requests */
	size_t out_len;
	bool shuts; /* after the last */
	bool done;  /* the reader wants no more */
	/* reader */
	struct http1_parser parser;
	struct http1_field fields[FIELDS_MAX];
	char in[ANSWER_SIZE];
	size_t begin, end; /* of what was read and not used */
};

/* ---- writing ---- */

static char *put_chunks(const struct ask *ask, char *to)
{
	size_t n;

	for (size_t at = 0; at < ask->up_len; at += n) {
		n = 1 + (size_t)weft_sim_random_below(ask->up_len - at);
		to += sprintf(to, "%zx\r\n", n);
		httpcheck_fill(ask, true, at, to, n);
		to += n;
		to += sprintf(to, "\r\n");
	}
	return to + sprintf(to, "0\r\n\r\n");
}

static char *put_request(const struct ask *ask, char *to, bool last)
{
	to += sprintf(to, "%s " HTTPCHECK_PREFIX "%u HTTP/1.1\r\nHost: talk\r\n", ask->method,
		ask->number);
	if (last)
		to += sprintf(to, "Connection: close\r\n");
	if (ask->up == TALK_UP_NONE)
		return to + sprintf(to, "\r\n");
	if (ask->up == TALK_UP_CHUNKS)
		return put_chunks(ask, to + sprintf(to, "Transfer-Encoding: chunked\r\n\r\n"));
	to += sprintf(to, "Content-Length: %zu\r\n\r\n", ask->up_len);
	httpcheck_fill(ask, true, 0, to, ask->up_len);
	return to + ask->up_len;
}

/* They share a connection: a reset may overtake the answers before it, and who leaves does so
 * for those behind, too. */
static void loosen(const struct pipeline *p)
{
	bool cut = false, left = false;

	for (unsigned i = p->count; i > 0; i--) {
		cut |= p->asks[i - 1]->answer == TALK_CUT;
		p->asks[i - 1]->loose |= cut;
	}
	for (unsigned i = 0; i < p->count; i++) {
		p->asks[i]->loose |= left;
		left |= p->asks[i]->leaves;
	}
}

static void put_all(struct pipeline *p)
{
	size_t size = 1;
	char *to;

	for (unsigned i = 0; i < p->count; i++)
		size += HEAD_SIZE + p->asks[i]->up_len * (1 + CHUNK_EXTRA);
	to = p->out = malloc(size);
	want(p->out);
	p->shuts = weft_sim_random_below(2);
	loosen(p);
	for (unsigned i = 0; i < p->count; i++)
		to = put_request(p->asks[i], to, i + 1 == p->count && !p->shuts);
	p->out_len = (size_t)(to - p->out);
	want(p->out_len < size);
}

static weft_err write_all(void *arg)
{
	struct pipeline *p = arg;
	weft_err err = WEFT_OK;
	size_t n;

	for (size_t at = 0; !err && at < p->out_len; at += n) {
		n = httpcheck_piece(p->talks);
		n = n < p->out_len - at ? n : p->out_len - at;
		httpcheck_dawdle(p->asks[0]->slow_client);
		err = weft_conn_write(p->conn, p->out + at, n, NULL, p->talks->until);
	}
	if (!err && p->shuts)
		err = weft_conn_shutdown(p->conn);
	return WEFT_OK; /* the reader finds out what it means */
}

/* ---- reading ---- */

static weft_err read_more(struct pipeline *p, bool slow)
{
	size_t got = 0, room;
	weft_err err;

	httpcheck_dawdle(slow);
	memmove(p->in, p->in + p->begin, p->end - p->begin);
	p->end -= p->begin;
	p->begin = 0;
	room = sizeof(p->in) - p->end;
	want(room > 0);
	err = weft_conn_read(p->conn, p->in + p->end, room, &got, p->talks->until);
	p->end += got;
	return err;
}

static weft_err read_head(struct pipeline *p, const struct ask *ask)
{
	enum http1_step step;
	weft_err err;

	http1_parser_reset(&p->parser, http1_method_of(ask->method, strlen(ask->method)));
	while ((step = http1_parse(&p->parser, p->in + p->begin, p->end - p->begin)) ==
		HTTP1_MORE) {
		err = read_more(p, ask->slow_client);
		if (err)
			return err;
	}
	want(step == HTTP1_DONE);
	p->begin += p->parser.head.size;
	return WEFT_OK;
}

/* WEFT_ECLOSED: the body's end. */
static weft_err read_body(struct pipeline *p, const struct ask *ask, bool compares, size_t *at)
{
	struct http1_body body;
	struct http1_piece part;
	const char *data;
	weft_err err;
	size_t len;

	http1_body_init(&body, &p->parser.head.framing);
	for (*at = 0;;) {
		enum http1_body_event event;

		data = p->in + p->begin;
		len = p->end - p->begin;
		event = http1_body_next(&body, &data, &len, &part);
		p->begin = p->end - len;
		if (event == HTTP1_BODY_END)
			return WEFT_ECLOSED;
		want(event != HTTP1_BODY_FAULT);
		if (event == HTTP1_BODY_DATA) {
			if (compares)
				httpcheck_compare(
					ask, ask->answer == TALK_ECHO, *at, part.data, part.len);
			*at += part.len;
			continue;
		}
		err = read_more(p, ask->slow_client);
		if (err == WEFT_ECLOSED)
			return http1_body_eof(&body) ? WEFT_ECLOSED : WEFT_ERESET;
		if (err)
			return err;
	}
}

/* The handler before left more of the body than the server reads away: it closes, and takes no
 * other request. */
static bool is_passed_over(const struct pipeline *p, unsigned i, weft_err err)
{
	return err == WEFT_ECLOSED && i > 0 && p->asks[i - 1]->up != TALK_UP_NONE &&
		p->asks[i]->handled == 0;
}

/* True: another answer is to come. */
static bool read_answer(struct pipeline *p, unsigned i)
{
	const struct ask *ask = p->asks[i];
	weft_err err = read_head(p, ask);
	size_t at = 0;
	bool good;

	if (is_passed_over(p, i, err))
		return false;
	if (err) {
		httpcheck_unanswered(p->talks, ask, err == WEFT_ECLOSED ? WEFT_ERESET : err);
		return false;
	}
	good = httpcheck_status(p->talks, ask, p->parser.head.status);
	err = read_body(p, ask, good, &at);
	if (good)
		httpcheck_answered(p->talks, ask, err, at);
	return err == WEFT_ECLOSED && p->parser.head.framing.keep_alive &&
		!(ask->leaves && weft_sim_random_below(2));
}

static void read_all(struct pipeline *p)
{
	unsigned i = 0;

	while (i < p->count && read_answer(p, i))
		i++;
	/* What follows an answer that closes was not to be handled. */
	if (i < p->count && p->parser.stage == 2 && !p->parser.head.framing.keep_alive)
		for (i++; i < p->count; i++)
			want(p->asks[i]->handled == 0);
}

void talk_pipeline(struct talks *talks, const char *address, struct ask **asks, unsigned count)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	weft_scope *scope = NULL;
	weft_err err;

	want(p);
	p->talks = talks;
	p->asks = asks;
	p->count = count;
	put_all(p);
	http1_parser_init(&p->parser, HTTP1_RESPONSE, p->fields, FIELDS_MAX, NULL);
	err = weft_dial(&p->conn, address, NULL, talks->until);
	if (!err)
		err = weft_scope_create(&scope);
	if (!err)
		err = weft_scope_spawn(scope, "writes", write_all, p);
	if (err)
		httpcheck_unanswered(talks, asks[0], err);
	else
		read_all(p);
	if (p->conn)
		weft_conn_close(p->conn);
	weft_scope_free(scope);
	weft_conn_free(p->conn);
	free(p->out);
	free(p);
}
