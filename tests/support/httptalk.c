/* SPDX-License-Identifier: MIT */
#include "support/httptalk.h"

#include "support/both.h"
#include "support/httpcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define FIELDS_MORE 4
#define EVENT_TEXT 64

static uint64_t below(uint64_t bound)
{
	return weft_sim_random_below(bound);
}

static size_t at_most(size_t len, size_t max)
{
	return len < max ? len : max;
}

/* ---- the handler ---- */

static weft_err check_trailer(weft_http_exchange *x, const struct ask *ask)
{
	const weft_http_fields *trailers = weft_http_exchange_trailers(x);
	char text[16];

	if (ask->up != TALK_UP_CHUNKS)
		return WEFT_OK;
	snprintf(text, sizeof(text), "%zu", ask->up_len);
	if (trailers) /* NULL: no memory, or none was sent, as by raw clients */
		want(!strcmp(weft_http_fields_get(trailers, "X-Length"), text));
	return WEFT_OK;
}

/* Echoes what it reads if it is to. */
static weft_err take_body(
	weft_http_exchange *x, const struct talks *talks, const struct ask *ask, bool echoes)
{
	size_t at = 0, got, size;
	uint8_t data[1024];
	weft_err err;

	for (;; at += got) {
		httpcheck_dawdle(ask->slow_handler);
		size = at_most(httpcheck_piece(talks), sizeof(data));
		err = weft_http_exchange_read(x, data, size, &got, talks->until);
		if (err)
			break;
		want(got > 0 && got <= size);
		httpcheck_compare(ask, true, at, data, got);
		if (echoes)
			err = weft_http_exchange_write(x, data, got, talks->until);
		if (err)
			break;
	}
	if (err != WEFT_ECLOSED)
		return err;
	want(at == ask->up_len);
	return check_trailer(x, ask);
}

static weft_err send_body(
	weft_http_exchange *x, const struct talks *talks, const struct ask *ask, size_t len)
{
	uint8_t data[1024];
	weft_err err = WEFT_OK;
	size_t n;

	for (size_t at = 0; !err && at < len; at += n) {
		httpcheck_dawdle(ask->slow_handler);
		n = at_most(at_most(httpcheck_piece(talks), sizeof(data)), len - at);
		httpcheck_fill(ask, false, at, data, n);
		err = weft_http_exchange_write(x, data, n, talks->until);
		if (!err && below(8) == 0)
			err = weft_http_exchange_flush(x, talks->until);
	}
	return err;
}

static weft_err answer_whole(
	weft_http_exchange *x, const struct talks *talks, const struct ask *ask)
{
	uint8_t *data = malloc(ask->down_len + 1);
	weft_err err;

	want(data);
	httpcheck_fill(ask, false, 0, data, ask->down_len);
	err = weft_http_exchange_reply(x, 200, NULL, data, ask->down_len, talks->until);
	free(data);
	return err;
}

/* The length as the field, or as the trailer. */
static weft_err length_field(weft_http_fields **out, const char *name, size_t len)
{
	char text[24];
	weft_err err = weft_http_fields_create(out);

	snprintf(text, sizeof(text), "%zu", len);
	return err ? err : weft_http_fields_set(*out, name, text);
}

static weft_err answer_stream(
	weft_http_exchange *x, const struct talks *talks, const struct ask *ask)
{
	bool chunks = ask->answer != TALK_LENGTH;
	weft_http_fields *fields = NULL;
	weft_err err;

	err = length_field(&fields, chunks ? "X-Length" : "Content-Length", ask->down_len);
	if (!err)
		err = weft_http_exchange_begin(x, 200, chunks ? NULL : fields, talks->until);
	if (!err && ask->answer == TALK_ECHO)
		err = take_body(x, talks, ask, true);
	else if (!err)
		err = send_body(x, talks, ask,
			ask->answer == TALK_CUT ? (size_t)below(ask->down_len + 1) : ask->down_len);
	if (!err && ask->answer == TALK_CUT)
		err = WEFT_EIO;
	if (!err && (chunks || below(2)))
		err = weft_http_exchange_finish(x, chunks ? fields : NULL, talks->until);
	weft_http_fields_free(fields);
	return err;
}

static size_t event_text(const struct ask *ask, size_t i, char *text)
{
	return (size_t)snprintf(text, EVENT_TEXT, "event %zu\nof %u", i, ask->number);
}

static weft_err answer_events(
	weft_http_exchange *x, const struct talks *talks, const struct ask *ask)
{
	weft_err err = weft_http_exchange_sse_begin(x, NULL, talks->until);
	char text[EVENT_TEXT];

	for (size_t i = 0; !err && i < ask->down_len; i++) {
		weft_sse_event event = { .data = text };

		httpcheck_dawdle(ask->slow_handler);
		event.data_len = event_text(ask, i, text);
		err = weft_http_exchange_sse_send(x, &event, talks->until);
	}
	return err;
}

static weft_err answer_upgrade(weft_http_exchange *x, const struct talks *talks)
{
	weft_http_fields *fields = NULL;
	weft_conn *conn = NULL;
	weft_err err;

	err = weft_http_fields_create(&fields);
	if (!err)
		err = weft_http_fields_set(fields, "Upgrade", "talk");
	if (!err)
		err = weft_http_exchange_upgrade(x, fields, &conn, talks->until);
	if (!err)
		err = weft_conn_copy(conn, conn, NULL, NULL, NULL, talks->until);
	if (!err)
		err = weft_conn_shutdown(conn);
	if (err && conn)
		weft_conn_abort(conn);
	weft_conn_free(conn);
	weft_http_fields_free(fields);
	return err;
}

static weft_err answer(weft_http_exchange *x, const struct talks *talks, const struct ask *ask)
{
	weft_err err = WEFT_OK;

	if (ask->answer != TALK_EARLY && ask->answer != TALK_ECHO &&
		(ask->answer == TALK_EVENTS || below(8) != 0))
		err = take_body(x, talks, ask, false);
	if (err)
		return err;
	switch (ask->answer) {
	case TALK_WHOLE:
	case TALK_EARLY:
		return answer_whole(x, talks, ask);
	case TALK_LENGTH:
	case TALK_CHUNKS:
	case TALK_ECHO:
	case TALK_CUT:
		return answer_stream(x, talks, ask);
	case TALK_EVENTS:
		return answer_events(x, talks, ask);
	case TALK_UPGRADE:
		return answer_upgrade(x, talks);
	case TALK_REFUSE:
	case TALK_ANSWERS:
		break;
	}
	return WEFT_EIO;
}

static weft_err handle(weft_http_exchange *x, void *arg)
{
	const char *path = weft_http_exchange_path(x);
	struct talks *talks = arg;
	struct ask *ask;
	unsigned number;
	weft_err err;

	want(!strncmp(path, HTTPCHECK_PREFIX, strlen(HTTPCHECK_PREFIX)));
	number = (unsigned)strtoul(path + strlen(HTTPCHECK_PREFIX), NULL, 10);
	want(number < talks->asks_len);
	ask = &talks->asks[number];
	ask->handled++;
	want(ask->handled <= ask->most);
	want(!strcmp(weft_http_exchange_method(x), ask->method));
	err = answer(x, talks, ask);
	if (err == WEFT_EIO && (ask->answer == TALK_CUT || ask->answer == TALK_REFUSE))
		return err;
	return err ? httpcheck_handled_badly(talks, ask, err) : WEFT_OK;
}

weft_err talk_route(weft_http_server *server, struct talks *talks)
{
	return weft_http_server_route(server, "*", HTTPCHECK_PREFIX "{number}", handle, talks);
}

/* ---- weft's client ---- */

struct upload {
	const struct talks *talks;
	const struct ask *ask;
	size_t at;
};

static weft_err upload_read(void *user, void *data, size_t size, size_t *got, weft_deadline until)
{
	struct upload *u = user;
	size_t n = at_most(at_most(httpcheck_piece(u->talks), size), u->ask->up_len - u->at);

	(void)until;
	if (n == 0)
		return WEFT_ECLOSED;
	httpcheck_dawdle(u->ask->slow_client);
	httpcheck_fill(u->ask, true, u->at, data, n);
	u->at += n;
	*got = n;
	return WEFT_OK;
}

static weft_err upload_rewind(void *user)
{
	struct upload *u = user;

	u->at = 0;
	return WEFT_OK;
}

/* A request with all that belongs to it; its memory lives until its response is freed. */
struct sending {
	weft_http_request request;
	weft_http_fields *fields, *trailers;
	struct upload upload;
	uint8_t *body;
	char url[96];
};

static weft_err add_fields(struct sending *s, const struct ask *ask)
{
	weft_err err = weft_http_fields_create(&s->fields);
	char name[24], value[48];

	for (uint64_t i = below(FIELDS_MORE); !err && i > 0; i--) {
		snprintf(name, sizeof(name), "X-Field-%u", (unsigned)below(FIELDS_MORE));
		snprintf(value, sizeof(value), "of %u, %u", ask->number, (unsigned)below(1000000));
		err = weft_http_fields_add(s->fields, name, value);
	}
	if (!err && ask->answer == TALK_UPGRADE)
		err = weft_http_fields_set(s->fields, "Upgrade", "talk");
	return err;
}

static weft_err add_body(struct sending *s, const struct talks *talks, const struct ask *ask)
{
	if (ask->up == TALK_UP_NONE)
		return WEFT_OK;
	if (ask->up == TALK_UP_BYTES) {
		s->body = malloc(ask->up_len + 1);
		want(s->body);
		httpcheck_fill(ask, true, 0, s->body, ask->up_len);
		s->request.body = s->body;
		s->request.body_size = ask->up_len;
		return WEFT_OK;
	}
	s->upload = (struct upload){ talks, ask, 0 };
	s->request.body_read = upload_read;
	s->request.body_user = &s->upload;
	if (ask->most > 1)
		s->request.body_rewind = upload_rewind;
	if (ask->up == TALK_UP_LENGTH) {
		s->request.body_length = ask->up_len; /* 0: in chunks, of which there is none */
		return WEFT_OK;
	}
	s->request.trailers = s->trailers;
	return WEFT_OK;
}

static weft_err sending_init(
	struct sending *s, const struct talks *talks, const struct ask *ask, const char *base)
{
	weft_err err;

	memset(s, 0, sizeof(*s));
	s->request = (weft_http_request)WEFT_HTTP_REQUEST_DEFAULT;
	snprintf(s->url, sizeof(s->url), "%s" HTTPCHECK_PREFIX "%u", base, ask->number);
	err = add_fields(s, ask);
	if (!err)
		err = length_field(&s->trailers, "X-Length", ask->up_len);
	if (!err)
		err = add_body(s, talks, ask);
	s->request.url = s->url;
	s->request.method = ask->method;
	s->request.fields = s->fields;
	s->request.expect_continue = ask->expects;
	s->request.upgrade = ask->answer == TALK_UPGRADE;
	s->request.fresh = below(16) == 0;
	return err;
}

static void sending_fini(struct sending *s)
{
	weft_http_fields_free(s->fields);
	weft_http_fields_free(s->trailers);
	free(s->body);
}

static weft_deadline talk_until(const struct talks *talks, const struct ask *ask)
{
	weft_deadline near = weft_after_ns((int64_t)below(100 * MS));

	return ask->loose && below(16) == 0 && near < talks->until ? near : talks->until;
}

static weft_err read_answer(
	const struct talks *talks, const struct ask *ask, weft_http_response *response, size_t *at)
{
	size_t got = 0, size;
	uint8_t data[1024];
	weft_err err = WEFT_OK;

	for (*at = 0; !err; *at += got) {
		weft_deadline until = talk_until(talks, ask);

		if (ask->leaves && below(8) == 0)
			return WEFT_OK;
		httpcheck_dawdle(ask->slow_client);
		size = at_most(httpcheck_piece(talks), sizeof(data));
		got = 0;
		err = weft_http_response_read(response, data, size, &got, until);
		if (err == WEFT_ETIMEDOUT && until < talks->until && below(2))
			err = WEFT_OK; /* one may read on */
		want(got <= size);
		httpcheck_compare(ask, ask->answer == TALK_ECHO, *at, data, got);
	}
	return err;
}

/* Counts events where bytes are counted elsewhere. */
static weft_err read_events(
	const struct talks *talks, const struct ask *ask, weft_http_response *response, size_t *at)
{
	weft_sse_parser *parser = NULL;
	weft_sse_event event;
	uint8_t data[256];
	char text[EVENT_TEXT];
	weft_err err = weft_sse_parser_create(&parser, NULL);

	while (!err && !(ask->leaves && below(8) == 0)) {
		const uint8_t *rest = data;
		size_t got = 0;

		httpcheck_dawdle(ask->slow_client);
		err = weft_http_response_read(response, data, sizeof(data), &got, talks->until);
		while (!err && !(err = weft_sse_parser_next(parser, &rest, &got, &event)) &&
			event.kind != WEFT_SSE_NONE) {
			size_t len = event_text(ask, *at, text);

			want(event.data_len == len && !memcmp(event.data, text, len));
			++*at;
		}
	}
	weft_sse_parser_free(parser);
	return err;
}

static weft_err talk_upgraded(
	const struct talks *talks, const struct ask *ask, weft_http_response *response, size_t *at)
{
	uint8_t data[HTTPCHECK_UPGRADE_MAX];
	weft_conn *conn = NULL;
	weft_err err = weft_http_response_take(response, &conn);
	size_t got;

	httpcheck_fill(ask, true, 0, data, ask->down_len);
	if (!err)
		err = weft_conn_write(conn, data, ask->down_len, NULL, talks->until);
	if (!err)
		err = weft_conn_shutdown(conn);
	while (!err) {
		got = 0;
		err = weft_conn_read(conn, data, sizeof(data), &got, talks->until);
		httpcheck_compare(ask, true, *at, data, got);
		*at += got;
	}
	weft_conn_free(conn);
	return err;
}

static void receive(struct talks *talks, struct ask *ask, weft_http_response *response)
{
	unsigned status = weft_http_response_status(response);
	size_t at = 0;
	weft_err err;

	if (!httpcheck_status(talks, ask, status))
		return;
	if (status == 101)
		err = talk_upgraded(talks, ask, response, &at);
	else if (ask->answer == TALK_EVENTS)
		err = read_events(talks, ask, response, &at);
	else
		err = read_answer(talks, ask, response, &at);
	if (!err)
		return; /* it left */
	httpcheck_answered(talks, ask, err, at);
}

void talk_ask(struct talks *talks, weft_http_client *client, const char *base, struct ask *ask)
{
	weft_http_response *response = NULL;
	struct sending *s = malloc(sizeof(*s));
	weft_http_timings timings;
	weft_err err;

	want(s);
	err = sending_init(s, talks, ask, base);
	if (!err)
		err = weft_http_client_send(client, &s->request, &response, talk_until(talks, ask));
	want(!err == !!response);
	if (!err) {
		receive(talks, ask, response);
		weft_http_response_timings(response, &timings);
		want(timings.retries <= 1);
	} else {
		httpcheck_unanswered(talks, ask, err);
	}
	weft_http_response_free(response);
	sending_fini(s);
	free(s);
}
