/* SPDX-License-Identifier: MIT */
/* See bridgeland.h: children, which write lines as they please. */
#include "support/bridgeland.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE ((size_t)2 * LAND_MESSAGE_MAX)
#define QUESTIONS_MAX 64

struct child {
	weft_conn *conn;
	weft_mutex *writing;
	weft_scope *jobs;
	unsigned number, questions_len;
	bool is_dead;
	bool has_client;
	unsigned client, session; /* whose child it is, if it is one's */
	bool asked[QUESTIONS_MAX];
};

struct job {
	struct child *child;
	char id[LAND_MARK_SIZE], mark[LAND_MARK_SIZE], token[LAND_MARK_SIZE];
	bool is_initialize, is_stateless;
};

/* ---- what it writes ---- */

static void put(struct child *c, const char *text, size_t len)
{
	weft_err err = weft_mutex_lock(c->writing, WEFT_FOREVER);

	if (!err) {
		if (!c->is_dead)
			err = weft_conn_write(
				c->conn, text, len, NULL, weft_after_ns(60 * LAND_SECOND));
		c->is_dead = c->is_dead || err;
		weft_mutex_unlock(c->writing);
	}
}

static void say(struct child *c, const char *format, ...) WEFT_PRINTF(2, 3);

static void say(struct child *c, const char *format, ...)
{
	char text[2048];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	want(len > 0 && (size_t)len < sizeof(text) - 1);
	text[len] = '\n';
	put(c, text, (size_t)len + 1);
}

/* A line larger than any that may be; of a request's answer, or of nobody. */
static void say_huge(struct child *c, const char *id)
{
	size_t size = LAND_MESSAGE_MAX + 200 + land_below(LAND_MESSAGE_MAX);
	char *text = malloc(size);
	int len;

	want(text != NULL);
	memset(text, 'x', size);
	len = snprintf(text, size, "{\"jsonrpc\":\"2.0\",%s%s%s\"result\":\"", id ? "\"id\":" : "",
		id ? id : "", id ? "," : "");
	text[len] = 'x';
	memcpy(text + size - 3, "\"}\n", 3);
	put(c, text, size);
	free(text);
}

static void say_garbage(struct child *c, const char *id)
{
	switch (land_below(6)) {
	case 0:
		say(c, "listening on port 8080...");
		break;
	case 1:
		say(c, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":", id);
		break;
	case 2:
		say(c, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"a\":\"\xff\xfe\"}}", id);
		break;
	case 3:
		say(c, "[1,{},[],null]");
		break;
	case 4:
		say(c, " \t\r");
		break;
	default:
		say(c, "{\"jsonrpc\":\"1.0\",\"id\":%s,\"result\":1,\"error\":2}", id);
	}
}

static void say_strange(struct child *c, const struct job *job)
{
	static const char *const ids[] = { "1000007", "\"x\"", "-1", "1.5", "\"1000009\"", "1e99" };

	say(c, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":\"%s\"}", ids[land_below(6)], job->mark);
	say(c,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
		"\"progressToken\":%s,\"progress\":1}}",
		ids[land_below(6)]);
	say(c,
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
		"\"requestId\":%s}}",
		ids[land_below(6)]);
}

/* Before anything else that may end the request. */
static void ask(struct child *c, const struct job *job)
{
	char mark[LAND_MARK_SIZE];

	if (!land_chance(land.plan.ask) || c->questions_len == QUESTIONS_MAX || job->is_stateless)
		return;
	memcpy(mark, job->mark, sizeof(mark));
	for (char *at = mark; (at = strchr(at, '@'));)
		*at = '#';
	c->asked[c->questions_len] = true;
	say(c,
		"{\"jsonrpc\":\"2.0\",\"id\":\"%u/%u\",\"method\":\"roots/list\",\"params\":{"
		"\"a\":\"%s\"}}",
		c->number, c->questions_len++, job->is_initialize ? "" : mark);
}

static void noise(struct child *c, const struct job *job)
{
	/* what is for all is nobody's */
	bool is_mine = !land.plan.is_shared && !job->is_stateless;

	if (*job->token && land_chance(land.plan.progress))
		say(c,
			"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
			"\"progressToken\":%s,\"progress\":1,\"message\":\"%s\"}}",
			job->token, job->mark);
	if (land_chance(land.plan.shout))
		say(c,
			"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{"
			"\"level\":\"info\",\"data\":\"%s\"}}",
			is_mine ? job->mark : "");
	for (unsigned i = land_chance(land.plan.flood) ? 30 : 0; i > 0; i--)
		say(c, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
	if (land_chance(land.plan.garbage))
		say_garbage(c, job->id);
	if (land_chance(land.plan.strange))
		say_strange(c, job);
	if (land_chance(land.plan.huge))
		say_huge(c, land_below(2) ? job->id : NULL);
}

static void answer(struct child *c, const struct job *job)
{
	unsigned pad = land_below(6) ? 0 : (unsigned)land_below(1500);
	const char *begin = "", *end = "";

	if (land_chance(land.plan.batch)) { /* of 2025-03-26 */
		begin = "[{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"},";
		end = ",{\"jsonrpc\":\"2.0\",\"id\":1000003,\"result\":\"stray\"}]";
	}
	if (job->is_initialize)
		say(c,
			"{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"protocolVersion\":"
			"\"2025-11-25\",\"capabilities\":{},\"serverInfo\":{\"name\":\"child\","
			"\"version\":\"1\"}}}",
			job->id);
	else
		say(c,
			"%s{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"of\":\"%s\",\"pad\":"
			"\"%0*u\"}}%s",
			begin, job->id, job->mark, (int)pad + 1, 0u, end);
}

static weft_err job_run(void *arg)
{
	struct job *job = arg;
	struct child *c = job->child;

	if (land_nap((int64_t)land_below((uint64_t)land.plan.late_ns + 1))) {
		ask(c, job);
		noise(c, job);
		(void)land_nap((int64_t)land_below((uint64_t)land.plan.late_ns + 1));
		answer(c, job);
		if (land_chance(land.plan.twice))
			answer(c, job);
	}
	free(job);
	return WEFT_OK;
}

/* ---- what it reads ---- */

static void copy(char to[LAND_MARK_SIZE], weft_json value)
{
	want(value.len < LAND_MARK_SIZE);
	memcpy(to, value.text ? value.text : "", value.len);
	to[value.len] = '\0';
}

/* A child of one client's session sees no other's. */
static void know(struct child *c, const char *mark)
{
	unsigned client, session, ask;

	if (sscanf(mark, "@%u-%u-%u@", &client, &session, &ask) != 3) {
		want(strcmp(mark, "weft") == 0); /* what it speaks, asks the bridge itself */
		return;
	}
	if (land.plan.is_shared)
		return;
	want(!c->has_client || (c->client == client && c->session == session));
	c->has_client = true;
	c->client = client;
	c->session = session;
}

/* The mark is a text in name, with its quotes. */
static void mark_of(char to[LAND_MARK_SIZE], weft_json name)
{
	want(name.len > 2);
	copy(to, (weft_json){ name.text + 1, name.len - 2 });
}

static void job_start(struct child *c, const weft_jsonrpc *rpc)
{
	static const char *const path[] = { "clientInfo", "name" };
	struct job *job = calloc(1, sizeof(*job));
	weft_json name = rpc->name;

	want(job != NULL);
	job->child = c;
	job->is_initialize = weft_json_string_is(rpc->method, "initialize");
	if (job->is_initialize)
		want_ok(weft_json_get_path(&name, rpc->params, path, 2));
	copy(job->id, rpc->id);
	copy(job->token, rpc->meta_progress_token);
	mark_of(job->mark, name);
	job->is_stateless = rpc->meta_protocol_version.text != NULL;
	/* those without a session share a child */
	if (!job->is_stateless)
		know(c, job->mark);
	if (weft_scope_spawn(c->jobs, "job", job_run, job)) {
		free(job);
		c->is_dead = true;
	}
}

static void do_request(struct child *c, const weft_jsonrpc *rpc)
{
	bool is_first = weft_json_string_is(rpc->method, "initialize");

	if (weft_json_string_is(rpc->method, "server/discover")) {
		if (land.plan.is_modern)
			say(c,
				"{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"result\":{\"resultType\":"
				"\"complete\",\"supportedVersions\":[\"" LAND_STATELESS "\"],"
				"\"capabilities\":{}}}",
				(int)rpc->id.len, rpc->id.text);
		else
			say(c,
				"{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":{\"code\":-32601,"
				"\"message\":\"what?\"}}",
				(int)rpc->id.len, rpc->id.text);
		return;
	}
	if (land_chance(is_first ? land.plan.die / 3 : land.plan.die))
		c->is_dead = true;
	else if (is_first || !land_chance(land.plan.hold))
		job_start(c, rpc);
}

static void do_answer(struct child *c, const weft_jsonrpc *rpc)
{
	unsigned number, question;
	char text[LAND_MARK_SIZE];
	size_t len;

	want_ok(weft_json_string_decode(rpc->id, text, sizeof(text) - 1, &len));
	text[len] = '\0';
	want(sscanf(text, "%u/%u", &number, &question) == 2);
	want(number == c->number && question < c->questions_len);
	want(c->asked[question]);
	c->asked[question] = false;
	if (rpc->kind == WEFT_JSONRPC_RESPONSE) {
		mark_of(text, rpc->result);
		know(c, text);
	}
}

static void do_line(struct child *c, const char *line, size_t len)
{
	weft_jsonrpc rpc;
	char mark[LAND_MARK_SIZE];

	switch (weft_jsonrpc_scan(&rpc, line, len, NULL)) {
	case WEFT_JSONRPC_REQUEST:
		do_request(c, &rpc);
		break;
	case WEFT_JSONRPC_RESPONSE:
	case WEFT_JSONRPC_ERROR:
		do_answer(c, &rpc);
		break;
	case WEFT_JSONRPC_NOTIFICATION:
		if (rpc.name.text) {
			mark_of(mark, rpc.name);
			know(c, mark);
		}
		break;
	case WEFT_JSONRPC_NONE:
	case WEFT_JSONRPC_BATCH:
	case WEFT_JSONRPC_INVALID:
	default:
		fprintf(stderr, "a child was told: %.*s\n", (int)len, line);
		want(false);
	}
}

static weft_err child_run(void *arg)
{
	struct child *c = arg;
	char *line = malloc(LINE_SIZE);
	size_t len;

	want(line != NULL);
	CAMPAIGN_INSIST(weft_scope_create(&c->jobs));
	CAMPAIGN_INSIST(weft_mutex_create(&c->writing));
	while (!c->is_dead && !weft_conn_read_line(c->conn, line, LINE_SIZE, &len, WEFT_FOREVER)) {
		if (line[len - 1] == '\n') /* else it was cut */
			do_line(c, line, len - 1);
	}
	if (land_below(2))
		weft_conn_abort(c->conn);
	else
		weft_conn_close(c->conn);
	weft_scope_free(c->jobs);
	weft_conn_free(c->conn);
	weft_mutex_free(c->writing);
	free(line);
	free(c);
	land.children_now--;
	return WEFT_OK;
}

void land_child_own(weft_conn *conn)
{
	struct child *c = calloc(1, sizeof(*c));

	want(c != NULL);
	c->conn = conn;
	c->number = land.children++;
	land.children_now++;
	if (!weft_scope_spawn(land.scope, "child", child_run, c))
		return;
	land.children_now--;
	weft_conn_free(conn);
	free(c);
}

weft_err land_children(void *arg)
{
	weft_listener *listener = NULL;
	weft_conn *conn;
	weft_err err = WEFT_ENOMEM;

	(void)arg;
	while (err && err != WEFT_ECANCELED && !land.is_over) {
		err = weft_listen(&listener, "tcp://0.0.0.0:" LAND_CHILD_PORT, NULL, WEFT_FOREVER);
		if (err)
			both_sleep_ns(LAND_MS);
	}
	while (err != WEFT_ECANCELED && !land.is_over) {
		err = weft_listener_accept(listener, &conn, weft_after_ns(LAND_SECOND));
		if (!err)
			land_child_own(conn);
		else if (err != WEFT_ETIMEDOUT)
			both_sleep_ns(LAND_MS);
	}
	weft_listener_free(listener);
	return WEFT_OK;
}
