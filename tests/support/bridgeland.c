/* SPDX-License-Identifier: MIT */
/* See bridgeland.h: what all share, and the oracle. */
#include "support/bridgeland.h"

#include <stdio.h>
#include <string.h>

struct land land;

uint64_t land_below(uint64_t bound)
{
	return weft_sim_random_below(bound);
}

bool land_chance(unsigned permille)
{
	return !land.is_calm && permille && land_below(1000) < permille;
}

bool land_nap(int64_t duration_ns)
{
	return weft_sleep_ns(duration_ns) != WEFT_ECANCELED;
}

weft_deadline land_patience(void)
{
	return weft_after_ns(LAND_PATIENCE_S * LAND_SECOND);
}

/* ---- sessions ---- */

void land_begin(struct land_session *s)
{
	want(s->client < LAND_CLIENTS_MAX && s->number < LAND_SESSIONS_MAX);
	land.sessions[s->client][s->number] = s;
}

void land_end(struct land_session *s)
{
	land.sessions[s->client][s->number] = NULL;
}

/* ---- what clients say ---- */

void land_mark(char to[LAND_MARK_SIZE], const struct land_session *s, unsigned ask)
{
	(void)snprintf(to, LAND_MARK_SIZE, "@%u-%u-%u@", s->client, s->number, ask);
}

void land_id(char to[LAND_MARK_SIZE], unsigned ask)
{
	(void)snprintf(to, LAND_MARK_SIZE, ask % 3 ? "%u" : "\"%u\"", ask);
}

/* What a client may say of itself in each request. */
static void meta(char *to, size_t size, const struct land_session *s, unsigned ask)
{
	char mark[LAND_MARK_SIZE];
	int len;

	land_mark(mark, s, ask);
	len = snprintf(to, size, "{\"progressToken\":\"%s\"", mark);
	if (s->is_stateless)
		len += snprintf(to + len, size - (size_t)len,
			",\"io.modelcontextprotocol/protocolVersion\":\"" LAND_STATELESS "\","
			"\"io.modelcontextprotocol/clientCapabilities\":{}");
	(void)snprintf(to + len, size - (size_t)len, "}");
}

unsigned land_ask(struct land_session *s, char *text)
{
	unsigned ask = s->asks_len++, pad = land_below(4) ? 0 : (unsigned)land_below(1500);
	char id[LAND_MARK_SIZE], mark[LAND_MARK_SIZE], said[256];

	want(ask < LAND_ASKS_MAX);
	s->fates[ask] = LAND_FLYING;
	s->since[ask] = weft_now();
	land.asked++;
	land_id(id, ask);
	land_mark(mark, s, ask);
	meta(said, sizeof(said), s, ask);
	if (ask == 0 && !s->is_stateless)
		(void)snprintf(text, LAND_TEXT_SIZE,
			"{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"initialize\",\"params\":{"
			"\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{"
			"\"name\":\"%s\",\"version\":\"1\"}}}",
			id, mark);
	else
		(void)snprintf(text, LAND_TEXT_SIZE,
			"{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"work\",\"params\":{\"name\":\"%s\","
			"\"_meta\":%s,\"pad\":\"%0*u\"}}",
			id, mark, said, (int)pad + 1, 0u);
	return ask;
}

void land_cancel(struct land_session *s, unsigned ask, char *text)
{
	char id[LAND_MARK_SIZE], mark[LAND_MARK_SIZE];

	land_id(id, ask);
	land_mark(mark, s, ask);
	(void)snprintf(text, LAND_TEXT_SIZE,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
		"\"requestId\":%s,\"reason\":\"%s\"}}",
		id, mark);
}

void land_reply(const struct land_session *s, weft_json id, char *text)
{
	char mark[LAND_MARK_SIZE];

	land_mark(mark, s, 0);
	(void)snprintf(text, LAND_TEXT_SIZE, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":\"%s\"}",
		(int)id.len, id.text, mark);
}

/* ---- what clients hear ---- */

void land_overhear(const struct land_session *s, const char *text, size_t len)
{
	unsigned client, number, ask;
	const char *end = text + len;

	while ((text = memchr(text, '@', (size_t)(end - text)))) {
		char mark[LAND_MARK_SIZE];
		size_t left = (size_t)(end - text);

		left = left < sizeof(mark) ? left : sizeof(mark) - 1;
		memcpy(mark, text, left);
		mark[left] = '\0';
		if (sscanf(mark, "@%u-%u-%u@", &client, &number, &ask) == 3)
			want(client == s->client && number == s->number);
		text++;
	}
}

/*
 * A child's question, which names the request that it is about: one of the session's own, or, at a
 * shared child, one that nobody waits for any more. Its client knows that, unless it has not heard of
 * it yet.
 */
static void hear_question(const struct land_session *s, const weft_jsonrpc *rpc)
{
	const struct land_session *other;
	unsigned client, number, ask;
	char mark[LAND_MARK_SIZE];
	size_t len;
	weft_json about;

	land.questions++;
	if (weft_json_get(&about, rpc->params, "a") || about.len == 2)
		return;
	want_ok(weft_json_string_decode(about, mark, sizeof(mark) - 1, &len));
	mark[len] = '\0';
	want(sscanf(mark, "#%u-%u-%u#", &client, &number, &ask) == 3);
	if (client == s->client && number == s->number)
		return;
	want(land.plan.is_shared && client < LAND_CLIENTS_MAX && number < LAND_SESSIONS_MAX);
	other = land.sessions[client][number];
	if (other && land.plan.is_exact && !other->is_leaving &&
		weft_now() < other->since[ask] + LAND_TIMEOUT_MIN)
		want(other->fates[ask] != LAND_FLYING);
}

static bool ask_of(const struct land_session *s, weft_json id, unsigned *ask)
{
	char text[LAND_MARK_SIZE];

	for (*ask = 0; *ask < s->asks_len; ++*ask) {
		land_id(text, *ask);
		if (strlen(text) == id.len && memcmp(text, id.text, id.len) == 0)
			return true;
	}
	return false;
}

static bool has_mark(const struct land_session *s, weft_json value, unsigned ask)
{
	const char *at = value.text, *end = value.text + value.len;
	char mark[LAND_MARK_SIZE];
	size_t len;

	land_mark(mark, s, ask);
	len = strlen(mark);
	while (at && (at = memchr(at, '@', (size_t)(end - at)))) {
		if ((size_t)(end - at) >= len && memcmp(at, mark, len) == 0)
			return true;
		at++;
	}
	return false;
}

void land_fail(struct land_session *s, unsigned ask)
{
	if (s->fates[ask] != LAND_FLYING)
		return;
	s->fates[ask] = LAND_FAILED;
	land.failed++;
}

static void hear_answer(struct land_session *s, const weft_jsonrpc *rpc, unsigned ask)
{
	want(s->fates[ask] == LAND_FLYING || s->fates[ask] == LAND_CANCELLED ||
		s->fates[ask] == LAND_GONE);
	if (rpc->kind == WEFT_JSONRPC_ERROR) {
		want(rpc->error_message.len > 2);
		land.failed++;
	} else {
		/* of an initialize the first client's answer may be everybody's */
		want((ask == 0 && !s->is_stateless) || has_mark(s, rpc->result, ask));
		land.answered++;
	}
	s->fates[ask] = rpc->kind == WEFT_JSONRPC_ERROR ? LAND_FAILED : LAND_ANSWERED;
}

bool land_hear(struct land_session *s, const weft_jsonrpc *rpc, unsigned ask)
{
	unsigned number;

	if (land.tells)
		fprintf(stderr, "client %u, session %u heard: %.*s\n", s->client, s->number,
			(int)rpc->text.len, rpc->text.text);

	if (rpc->kind == WEFT_JSONRPC_INVALID) {
		want(s->may_be_cut);
		return false;
	}
	land_overhear(s, rpc->text.text, rpc->text.len);
	if (weft_json_string_is(rpc->method, "notifications/progress"))
		/* the client's own, whose mark it is */
		want(rpc->progress_token.len > 2 && rpc->progress_token.text[1] == '@');
	if (rpc->kind == WEFT_JSONRPC_REQUEST)
		hear_question(s, rpc);
	if (rpc->kind == WEFT_JSONRPC_NOTIFICATION || rpc->kind == WEFT_JSONRPC_REQUEST)
		return false;
	if (rpc->kind == WEFT_JSONRPC_ERROR && (!rpc->id.text || rpc->id.text[0] == 'n'))
		return false; /* of what could not be read */
	want(ask_of(s, rpc->id, &number));
	want(ask == LAND_ASKS_MAX || number == ask);
	hear_answer(s, rpc, number);
	return true;
}

bool land_is_flying(const struct land_session *s)
{
	for (unsigned i = 0; i < s->asks_len; i++) {
		if (s->fates[i] == LAND_FLYING)
			return true;
	}
	return false;
}

bool land_is_answered(const struct land_session *s)
{
	for (unsigned i = 0; i < s->asks_len; i++) {
		if (s->fates[i] != LAND_ANSWERED)
			return false;
	}
	return s->asks_len > 0;
}
