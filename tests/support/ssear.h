/* SPDX-License-Identifier: MIT */
#ifndef SSEAR_H
#define SSEAR_H

/* A client of event streams at a server that says what a test tells it to. */
#include "support/both.h"
#include "support/webfake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOON weft_after_ms(20000)
#define MS INT64_C(1000000)
#define HEAD "HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\n\r\n"

/* A client of a fake, with options of few milliseconds. */
struct ear {
	struct webfake fake;
	weft_http_client *http;
	weft_sse_client *sse;
	weft_sse_client_options options;
	char url[128];
};

WEFT_UNUSED static void ear_prepare(struct ear *e, webfake_fn answer, void *user)
{
	const weft_sse_client_options none = WEFT_SSE_CLIENT_OPTIONS_DEFAULT;

	want_ok(webfake_open(&e->fake, answer, user));
	want_ok(weft_http_client_create(&e->http, NULL));
	e->sse = NULL;
	e->options = none;
	e->options.retry_ns = 2 * MS;
	e->options.jitter_percent = -1;
	snprintf(e->url, sizeof(e->url), "%s/events", e->fake.url);
}

WEFT_UNUSED static weft_err ear_try(struct ear *e)
{
	return weft_sse_client_open(&e->sse, e->http, e->url, &e->options, SOON);
}

WEFT_UNUSED static void ear_open(struct ear *e, webfake_fn answer, void *user)
{
	ear_prepare(e, answer, user);
	want_ok(ear_try(e));
}

WEFT_UNUSED static void ear_close(struct ear *e)
{
	weft_sse_client_free(e->sse);
	weft_http_client_unref(e->http);
	webfake_close(&e->fake);
}

WEFT_UNUSED static void hears(struct ear *e, const char *data)
{
	weft_sse_event event;

	want_ok(weft_sse_client_next(e->sse, &event, SOON));
	want(event.kind == WEFT_SSE_MESSAGE);
	want(event.data_len == strlen(data) && memcmp(event.data, data, event.data_len) == 0);
}

WEFT_UNUSED static void fails(struct ear *e, weft_err err, const char *named)
{
	weft_sse_event event;

	want_err(err, weft_sse_client_next(e->sse, &event, SOON));
	if (!strstr(weft_error_detail(), named)) {
		fprintf(stderr, "no \"%s\" in: %s\n", named, weft_error_detail());
		both_failed(__FILE__, __LINE__, "the message names it");
	}
}

WEFT_UNUSED static int number_of(const weft_sse_event *event)
{
	char text[16];

	snprintf(text, sizeof(text), "%.*s", (int)event->data_len, event->data);
	return atoi(text);
}

/* A stream of one event, with id 7. */
WEFT_UNUSED static weft_err one_event(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, WEFT_UNUSED const struct webfake_request *r)
{
	weft_err err = webfake_say(conn, HEAD "id: 7\ndata: x\n\n");

	return err ? err : WEFT_ECLOSED;
}

/* A head, then the end. */
WEFT_UNUSED static weft_err head_only(
	WEFT_UNUSED struct webfake *f, weft_conn *conn, WEFT_UNUSED const struct webfake_request *r)
{
	weft_err err = webfake_say(conn, HEAD);

	return err ? err : WEFT_ECLOSED;
}

#endif
