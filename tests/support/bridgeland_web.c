/* SPDX-License-Identifier: MIT */
/* See bridgeland.h: clients of MCP over HTTP by hand, each request on a connection of its own. They
 * leave at any moment, and come back for what they have missed. */
#include "support/bridgeland.h"
#include "support/roughhttp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 5 /* to come back for an answer */

struct web {
	struct land_session *s;
	const char *address;
	weft_scope *scope; /* of asks */
	char session[ROUGH_SESSION_SIZE];
	char endpoint[256];		   /* HTTP+SSE: where to POST; "": not told yet */
	bool is_calm, is_leaving, is_lost; /* is_lost: the server knows it no more */
};

/* A request on its way. */
struct asking {
	struct web *web;
	unsigned ask;
	unsigned leaves;       /* permille: at each event */
	bool is_slow, is_over; /* is_over: answered, or refused */
	char event_id[ROUGH_EVENT_ID_SIZE];
	char *text; /* LAND_TEXT_SIZE bytes: what is said, then what is heard */
};

static weft_err dial(const struct web *web, weft_conn **conn)
{
	return weft_dial(conn, web->address, NULL, weft_after_ns(60 * LAND_SECOND));
}

/* What has no answer but its status. 0: none came. */
static unsigned post(struct web *web, const char *method, const char *body)
{
	struct rough_ask ask = {
		.method = method, .host = "a", .session = web->session, .body = body
	};
	struct rough_head head = { .status = 0 };
	char text[512];
	weft_conn *conn;

	if (*web->endpoint)
		ask.path = web->endpoint;
	if (dial(web, &conn))
		return 0;
	if (rough_send(conn, &ask, land_patience()) || rough_head(conn, &head, land_patience()))
		head.status = 0;
	else if (!head.is_stream && !rough_body(conn, &head, text, sizeof(text), land_patience()))
		land_overhear(web->s, text, strlen(text));
	weft_conn_free(conn);
	web->is_lost |= head.status == 404;
	return head.status;
}

/* ---- what comes ---- */

/* True: that was the answer. */
static bool take(struct asking *a, const char *text)
{
	struct web *web = a->web;
	weft_jsonrpc rpc;
	char reply[LAND_TEXT_SIZE];

	(void)weft_jsonrpc_scan(&rpc, text, strlen(text), NULL);
	if (land_hear(web->s, &rpc, a->ask))
		return true;
	if (rpc.kind == WEFT_JSONRPC_REQUEST && !web->s->is_stateless && land_below(3)) {
		land_reply(web->s, rpc.id, reply);
		(void)post(web, NULL, reply);
	}
	return false;
}

/* Events, up to the answer. WEFT_ECLOSED: the stream has ended without; others: it was lost, or its client
 * has left. */
static weft_err take_events(struct asking *a, weft_conn *conn)
{
	struct rough_event event = { .data = a->text, .size = LAND_TEXT_SIZE };
	weft_err err;

	while (!(err = rough_event(conn, &event, land_patience()))) {
		if (*event.id)
			memcpy(a->event_id, event.id, sizeof(event.id));
		if (*event.data && take(a, event.data)) {
			a->is_over = true;
			return WEFT_OK;
		}
		if (land_chance(a->leaves))
			return WEFT_ERESET;
		if (a->is_slow && !land_nap((int64_t)land_below(LAND_SECOND)))
			return WEFT_ECANCELED;
	}
	return err;
}

/* An answer that is no stream. */
static weft_err take_body(struct asking *a, weft_conn *conn, const struct rough_head *head)
{
	struct web *web = a->web;
	weft_err err = rough_body(conn, head, a->text, LAND_TEXT_SIZE, land_patience());

	if (err)
		return err;
	if (head->status == 200)
		want(take(a, a->text)); /* what else is JSON */
	land_overhear(web->s, a->text, strlen(a->text));
	want(head->status == 200 || head->status >= 400);
	web->is_lost |= head->status == 404 && *web->session;
	land_fail(web->s, a->ask); /* unless it was answered */
	a->is_over = true;
	return WEFT_OK;
}

/* ---- an ask ---- */

static weft_err exchange(struct asking *a, const struct rough_ask *ask)
{
	struct web *web = a->web;
	struct rough_head head;
	weft_conn *conn;
	weft_err err = dial(web, &conn);

	if (err)
		return err;
	err = rough_send(conn, ask, land_patience());
	if (!err && ask->body && land_chance(a->leaves / 2))
		err = WEFT_ERESET; /* it has left before a word was said */
	if (!err)
		err = rough_head(conn, &head, land_patience());
	if (!err && a->ask == 0 && *head.session)
		memcpy(web->session, head.session, sizeof(head.session));
	if (!err)
		err = head.is_stream ? take_events(a, conn) : take_body(a, conn, &head);
	if (err == WEFT_ETIMEDOUT)
		want(web->s->may_be_silent);
	if (land_below(2))
		weft_conn_abort(conn);
	weft_conn_free(conn);
	return err;
}

static void come_back(struct asking *a)
{
	struct rough_ask ask = { .method = "GET", .host = "a", .event_id = a->event_id };

	ask.session = a->web->session;
	for (unsigned i = 0; i < TRIES && !a->is_over && !a->web->is_lost; i++) {
		if (!land_nap((int64_t)land_below(LAND_SECOND)))
			return;
		/* to the end, at last */
		a->leaves = i + 1 < TRIES ? a->leaves / 2 : 0;
		land.resumed++;
		(void)exchange(a, &ask);
	}
}

static weft_err ask_run(void *arg)
{
	struct asking *a = arg;
	struct web *web = a->web;
	struct rough_ask ask = { .host = "a", .session = web->session, .body = a->text };

	if (web->s->is_stateless) {
		ask.version = LAND_STATELESS;
		ask.fields = "Mcp-Method: work\r\n";
	}
	(void)exchange(a, &ask);
	if (!a->is_over && *a->event_id && *web->session)
		come_back(a);
	/* its client has left, or has seen that a connection was lost, or the session */
	if (!a->is_over && !web->is_leaving && !web->is_lost && !a->leaves)
		want(land.plan.is_rough);
	land_fail(web->s, a->ask);
	free(a->text);
	free(a);
	return WEFT_OK;
}

static struct asking *asking_new(struct web *web)
{
	struct asking *a = calloc(1, sizeof(*a));

	want(a != NULL);
	a->web = web;
	a->text = malloc(LAND_TEXT_SIZE);
	want(a->text != NULL);
	if (!web->is_calm && land_below(2))
		a->leaves = (unsigned)land_below(600);
	a->is_slow = !web->is_calm && land_below(6) == 0;
	a->ask = land_ask(web->s, a->text);
	return a;
}

static void ask(struct web *web)
{
	struct asking *a = asking_new(web);

	if (weft_scope_spawn(web->scope, "ask", ask_run, a))
		(void)ask_run(a);
}

/* ---- the rest of what clients do ---- */

/* The stream of a session's own messages. */
static weft_err listen_run(void *arg)
{
	struct web *web = arg;
	struct rough_ask get = { .method = "GET", .host = "a", .session = web->session };
	struct asking a = { .web = web, .ask = LAND_ASKS_MAX, .leaves = 50 };

	a.text = malloc(LAND_TEXT_SIZE);
	want(a.text != NULL);
	while (!web->is_lost && land_nap((int64_t)land_below(LAND_SECOND))) {
		struct rough_head head;
		weft_conn *conn;

		get.event_id = a.event_id;
		if (dial(web, &conn))
			continue;
		if (!rough_send(conn, &get, land_patience()) &&
			!rough_head(conn, &head, land_patience())) {
			web->is_lost |= head.status == 404;
			if (head.is_stream)
				(void)take_events(&a, conn);
		}
		weft_conn_free(conn);
		want(!a.is_over); /* answers come on streams of their own */
	}
	free(a.text);
	return WEFT_OK;
}

static void cancel(struct web *web)
{
	unsigned ask = (unsigned)land_below(web->s->asks_len);
	char text[LAND_TEXT_SIZE];

	if (ask == 0 || web->s->fates[ask] != LAND_FLYING)
		return;
	web->s->fates[ask] = LAND_CANCELLED;
	land_cancel(web->s, ask, text);
	(void)post(web, NULL, text);
}

/* What a server has to refuse. */
static void misbehave(struct web *web)
{
	static const char *const texts[] = { "{", "[]",
		"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":1}", "\"hello\"",
		"{\"jsonrpc\":\"2.0\",\"id\":\"nobody\",\"result\":\"stray\"}" };
	char *text;
	unsigned status;

	if (land_below(3)) {
		status = post(web, NULL, texts[land_below(5)]);
		want(status == 0 || status == 202 || status >= 400);
		return;
	}
	text = malloc(3 * LAND_MESSAGE_MAX);
	want(text != NULL);
	(void)snprintf(text, (size_t)3 * LAND_MESSAGE_MAX,
		"{\"jsonrpc\":\"2.0\",\"id\":\"huge\",\"method\":\"work\",\"params\":{\"a\":\"%0*u\"}}",
		2 * LAND_MESSAGE_MAX, 0u);
	status = post(web, NULL, text);
	want(status == 0 || status >= 400);
	free(text);
}

static void begin(struct web *web)
{
	struct asking *a = asking_new(web);

	a->leaves = 0;
	(void)ask_run(a);
	if (web->s->fates[0] != LAND_ANSWERED || !*web->session)
		web->is_lost = true;
	else
		(void)post(web, NULL,
			"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
}

static void converse(struct web *web)
{
	unsigned count = web->is_calm ? 2 : 1 + (unsigned)land_below(LAND_ASKS_MAX - 2);

	while (count-- > 0 && !web->is_lost) {
		ask(web);
		if (web->is_calm)
			(void)!weft_scope_wait(web->scope, WEFT_FOREVER);
		if (!web->s->is_stateless && land_below(5) == 0 && !web->is_calm)
			cancel(web);
		if (!web->is_calm && land_below(12) == 0)
			misbehave(web);
		if (land_below(2) && !land_nap((int64_t)land_below(200 * LAND_MS)))
			return;
	}
}

bool land_web(struct land_session *s, const char *address, bool is_calm)
{
	struct web *web = calloc(1, sizeof(*web));
	bool is_good, stays = is_calm || land_below(4);
	weft_scope *listening;

	want(web != NULL);
	*web = (struct web){ .s = s, .address = address, .is_calm = is_calm };
	land_begin(s);
	CAMPAIGN_INSIST(weft_scope_create(&web->scope));
	CAMPAIGN_INSIST(weft_scope_create(&listening));
	if (!s->is_stateless)
		begin(web);
	if (!s->is_stateless && !web->is_lost && land_below(2))
		(void)!weft_scope_spawn(listening, "listens", listen_run, web);
	converse(web);
	if (stays)
		(void)!weft_scope_wait(web->scope, WEFT_FOREVER);
	s->is_leaving = true;
	if (*web->session && !is_calm && land_below(3) == 0)
		(void)post(web, "DELETE", NULL); /* whatever is under way */
	web->is_leaving = true;
	weft_scope_free(web->scope);
	weft_scope_free(listening);
	if (*web->session && (is_calm || land_below(2)))
		(void)post(web, "DELETE", NULL);
	is_good = land_is_answered(s);
	land_end(s);
	free(web);
	return is_good;
}

/* ---- HTTP+SSE ---- */

static void fail_all(struct land_session *s)
{
	for (unsigned i = 0; i < s->asks_len; i++)
		land_fail(s, i);
}

/* The session: until its stream ends. */
static weft_err sse_run(void *arg)
{
	struct web *web = arg;
	struct rough_ask get = { .method = "GET", .host = "a", .path = "/sse" };
	struct asking a = { .web = web, .ask = LAND_ASKS_MAX };
	struct rough_event event = { .size = LAND_TEXT_SIZE };
	struct rough_head head = { .status = 0 };
	weft_conn *conn = NULL;
	weft_err err = dial(web, &conn);

	event.data = malloc(LAND_TEXT_SIZE);
	want(event.data != NULL);
	if (!err)
		err = rough_send(conn, &get, land_patience());
	if (!err)
		err = rough_head(conn, &head, land_patience());
	while (!err && head.is_stream && !(err = rough_event(conn, &event, WEFT_FOREVER))) {
		if (strcmp(event.name, "endpoint") == 0)
			(void)snprintf(web->endpoint, sizeof(web->endpoint), "%s", event.data);
		else if (*event.data)
			(void)take(&a, event.data);
	}
	web->is_lost = true;
	fail_all(web->s);
	weft_conn_free(conn);
	free(event.data);
	return WEFT_OK;
}

/* Until it is answered, or the client's patience ends. */
static void sse_wait(struct web *web)
{
	weft_deadline until = land_patience();

	while (!web->is_lost && land_is_flying(web->s) && land_nap(50 * LAND_MS)) {
		want(weft_now() < until || web->s->may_be_silent);
		if (weft_now() >= until)
			return;
	}
}

static void sse_ask(struct web *web, char *text)
{
	unsigned ask = land_ask(web->s, text), status = post(web, NULL, text);

	if (status == 0 && web->s->fates[ask] == LAND_FLYING)
		web->s->fates[ask] = LAND_GONE; /* it may have come */
	else if (status != 202)
		land_fail(web->s, ask);
}

static void sse_converse(struct web *web, char *text)
{
	unsigned count = web->is_calm ? 2 : 1 + (unsigned)land_below(LAND_ASKS_MAX - 2);
	weft_deadline until = land_patience();

	while (!*web->endpoint && !web->is_lost && weft_now() < until && land_nap(LAND_MS * 20))
		;
	if (!*web->endpoint)
		return;
	sse_ask(web, text);
	sse_wait(web);
	if (web->s->fates[0] != LAND_ANSWERED)
		return;
	(void)post(web, NULL, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	while (count-- > 0 && !web->is_lost) {
		sse_ask(web, text);
		if (web->is_calm)
			sse_wait(web);
		else if (land_below(5) == 0)
			cancel(web);
	}
	if (land_below(4))
		sse_wait(web);
}

bool land_sse(struct land_session *s, const char *address, bool is_calm)
{
	struct web *web = calloc(1, sizeof(*web));
	char *text = malloc(LAND_TEXT_SIZE);
	bool is_good;

	want(web != NULL && text != NULL);
	*web = (struct web){ .s = s, .address = address, .is_calm = is_calm };
	land_begin(s);
	CAMPAIGN_INSIST(weft_scope_create(&web->scope));
	if (!weft_scope_spawn(web->scope, "sse", sse_run, web))
		sse_converse(web, text);
	s->is_leaving = true;
	weft_scope_free(web->scope);
	is_good = land_is_answered(s);
	land_end(s);
	free(text);
	free(web);
	return is_good;
}
