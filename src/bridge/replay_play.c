/* SPDX-License-Identifier: MIT */
/*
 * A recording as the client. A session has a fiber, which goes through its messages in their order, and
 * a fiber for each request that waits for its answer, beside it on the same worker: what they share is
 * plain. What the server asks is answered in fibers of the weft_rpc's, on any worker.
 */
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "bridge/replay.h"

#include <weft/mutex.h>
#include <weft/park.h>
#include <weft/scope.h>

#include <stdio.h>
#include <string.h>

struct player {
	weft_replay *replay;
	weft_outgoing *outgoing;
	weft_semaphore *places; /* of sessions; one is this one's */
	uint32_t session;
	weft_rpc *rpc;
	weft_mutex *questions; /* over `used` of its entries */
	struct list calls;     /* of struct call.node: answers that were not compared yet */
	weft_parker *parker;   /* the session's fiber */
	weft_deadline begin;
};

struct call {
	struct list node;
	struct player *player;
	uint32_t entry;		 /* the request */
	struct replay_text text; /* of it */
	char *method;		 /* owned */
	weft_scope *scope;	 /* of its fiber */
	bool is_done;
	weft_err err; /* once done */
	char detail[REPLAY_TEXT_MAX];
	weft_message answer;
};

/* ---- calls ---- */

static weft_err call_fiber(void *arg)
{
	struct call *c = arg;

	c->err = weft_rpc_call(
		c->player->rpc, c->method, c->text.line.rpc.params, &c->answer, WEFT_FOREVER);
	if (c->err)
		(void)snprintf(c->detail, sizeof(c->detail), "%s", weft_error_detail());
	c->is_done = true;
	weft_unpark(c->player->parker);
	return WEFT_OK;
}

static void call_free(struct call *c)
{
	if (!c)
		return;
	list_remove(&c->node);
	weft_scope_free(c->scope);
	weft_message_fini(&c->answer);
	replay_text_fini(&c->text);
	mem_free(c->method);
	mem_free(c);
}

/* text is taken, also on error. */
static weft_err call_begin(struct player *p, uint32_t entry, struct replay_text *text)
{
	struct call *c = mem_calloc(1, sizeof(*c));
	weft_err err;

	if (!c) {
		replay_text_fini(text);
		return err_set(WEFT_ENOMEM);
	}
	list_init(&c->node);
	c->player = p;
	c->entry = entry;
	c->text = *text;
	c->method = replay_string(text->line.rpc.method);
	err = c->method ? weft_scope_create(&c->scope) : err_set(WEFT_ENOMEM);
	if (!err)
		err = weft_scope_spawn(c->scope, "call", call_fiber, c);
	if (err) {
		call_free(c);
		return err;
	}
	list_push_back(&p->calls, &c->node);
	(void)counter_add(&p->replay->stats.requests, 1);
	return weft_yield(); /* it is sent before what comes next */
}

/* NULL: it was cancelled. */
static struct call *call_find(const struct player *p, uint32_t entry)
{
	list_for_each(node, &p->calls) {
		struct call *c = container_of(node, struct call, node);

		if (c->entry == entry)
			return c;
	}
	return NULL;
}

static bool is_same(const weft_replay *r, weft_json a, weft_json b)
{
	uint64_t x = 0, y = 1;

	return !replay_hash(&r->seed, a, &x) && !replay_hash(&r->seed, b, &y) && x == y;
}

static void call_cancel(struct player *p, weft_json id)
{
	list_for_each(node, &p->calls) {
		struct call *c = container_of(node, struct call, node);

		if (!is_same(p->replay, c->text.line.rpc.id, id))
			continue;
		call_free(c); /* which tells the server */
		return;
	}
}

/* ---- answers ---- */

static const char *kind_name(const weft_jsonrpc *rpc)
{
	return rpc->kind == WEFT_JSONRPC_ERROR ? "an error" : "a result";
}

static weft_json value_of(const weft_jsonrpc *rpc)
{
	return rpc->kind == WEFT_JSONRPC_ERROR ? rpc->error : rpc->result;
}

static void compare(weft_replay *r, const struct replay_entry *e, const struct call *c,
	const weft_jsonrpc *recorded)
{
	const weft_jsonrpc *came = &c->answer.rpc;
	char text[REPLAY_TEXT_MAX * 2];

	if (recorded->kind == came->kind && is_same(r, value_of(recorded), value_of(came))) {
		(void)counter_add(&r->stats.same, 1);
		return;
	}
	(void)counter_add(&r->stats.different, 1);
	if (recorded->kind != came->kind) {
		weft_json value = value_of(came);

		replay_differs(r, e, c->method, "recorded %s, came %s: %.*s", kind_name(recorded),
			kind_name(came), value.len < 200 ? (int)value.len : 200, value.text);
		return;
	}
	replay_differ(&r->seed, value_of(recorded), value_of(came), text, sizeof(text));
	replay_differs(r, e, c->method, "%s", text);
}

/* Until it is there. Errors: WEFT_ECANCELED. */
static weft_err call_await(const struct player *p, const struct call *c)
{
	weft_deadline until = weft_after_ns(p->replay->options.read_timeout_ns);
	weft_err err = WEFT_OK;

	while (!c->is_done && err != WEFT_ETIMEDOUT) {
		err = weft_park(until);
		if (err == WEFT_ECANCELED)
			return err_set(err);
	}
	return WEFT_OK;
}

static weft_err step_answer(struct player *p, const struct replay_entry *e)
{
	struct call *c = e->partner == REPLAY_NONE ? NULL : call_find(p, e->partner);
	weft_replay *r = p->replay;
	struct replay_text recorded;
	weft_err err;

	if (!c)
		return WEFT_OK;
	err = call_await(p, c);
	if (!err && (!c->is_done || c->err)) {
		(void)counter_add(&r->stats.missing, 1);
		if (c->is_done)
			replay_differs(r, e, c->method, "no answer: %s", c->detail);
		else
			replay_differs(r, e, c->method, "no answer within %lld ms",
				(long long)(r->options.read_timeout_ns / 1000000));
	} else if (!err) {
		err = replay_text_read(r, e, &recorded);
		if (!err) {
			compare(r, e, c, &recorded.line.rpc);
			replay_text_fini(&recorded);
		}
	}
	call_free(c);
	return err;
}

/* ---- what the server asks ---- */

/* The next question of that method that the recording has, and that was not asked yet. */
static weft_err question_take(struct player *p, weft_json method, uint32_t *out)
{
	weft_replay *r = p->replay;
	uint64_t key = 0;
	weft_err err = replay_method_key(&r->seed, method, &key);

	if (!err)
		err = weft_mutex_lock(p->questions, WEFT_FOREVER);
	if (err)
		return err;
	*out = r->sessions[p->session].first;
	while (*out != REPLAY_NONE) {
		struct replay_entry *e = &r->entries[*out];

		if (e->kind == WEFT_JSONRPC_REQUEST && !e->is_to_server && !e->used &&
			e->method_key == key) {
			e->used = true;
			break;
		}
		*out = e->next;
	}
	weft_mutex_unlock(p->questions);
	return WEFT_OK;
}

static weft_err question_refuse(struct player *p, weft_rpc_request *request)
{
	static const char why[] = "the client of the recording was not asked this";
	const weft_jsonrpc *m = weft_rpc_request_message(request);
	static const weft_json empty = { "{}", 2 };
	weft_replay *r = p->replay;
	char *method;

	if (weft_json_string_is(m->method, "ping"))
		return weft_rpc_request_reply(request, empty);
	(void)counter_add(&r->stats.unasked, 1);
	method = replay_string(m->method);
	if (method)
		replay_differs(r, &r->entries[r->sessions[p->session].first], method,
			"the server asks this, and did not in the recording");
	mem_free(method);
	return weft_rpc_request_reply_error(
		request, WEFT_JSONRPC_METHOD_NOT_FOUND, why, (weft_json){ NULL, 0 });
}

static weft_err question(weft_rpc_request *request, void *user)
{
	const weft_jsonrpc *m = weft_rpc_request_message(request);
	struct player *p = user;
	const struct replay_entry *asked, *answer;
	struct replay_text text;
	uint32_t n = REPLAY_NONE;
	weft_err err;

	if (m->kind == WEFT_JSONRPC_NOTIFICATION)
		return WEFT_OK;
	err = question_take(p, m->method, &n);
	if (err)
		return err;
	if (n == REPLAY_NONE)
		return question_refuse(p, request);
	asked = &p->replay->entries[n];
	if (asked->partner == REPLAY_NONE) /* was not answered then either */
		return weft_sleep_until(WEFT_FOREVER);
	answer = &p->replay->entries[asked->partner];
	err = weft_sleep_ns(replay_scaled(p->replay, answer->time_ns - asked->time_ns));
	if (!err)
		err = replay_text_read(p->replay, answer, &text);
	if (err)
		return err;
	err = replay_answer(request, &text.line.rpc);
	replay_text_fini(&text);
	return err;
}

/* ---- sessions ---- */

/* text is taken. */
static weft_err notify(struct player *p, struct replay_text *text)
{
	const weft_jsonrpc *m = &text->line.rpc;
	weft_deadline until = weft_after_ns(p->replay->options.read_timeout_ns);
	weft_err err = WEFT_OK;
	char *method;

	if (weft_json_string_is(m->method, "notifications/cancelled")) {
		call_cancel(p, m->request_id);
		replay_text_fini(text);
		return weft_yield();
	}
	method = replay_string(m->method);
	if (!method)
		err = err_set(WEFT_ENOMEM);
	/* a server that is gone is told by the answers that don't come */
	else if (weft_rpc_notify(p->rpc, method, m->params, until) == WEFT_ECANCELED)
		err = WEFT_ECANCELED;
	(void)counter_add(&p->replay->stats.notifications, 1);
	mem_free(method);
	replay_text_fini(text);
	return err;
}

static weft_err step(struct player *p, uint32_t at)
{
	const struct replay_entry *e = &p->replay->entries[at];
	bool is_answer = e->kind == WEFT_JSONRPC_RESPONSE || e->kind == WEFT_JSONRPC_ERROR;
	struct replay_text text;
	weft_err err;

	if (!e->is_to_server)
		return is_answer ? step_answer(p, e) : WEFT_OK;
	if (is_answer)
		return WEFT_OK; /* is given when it is asked for */
	err = replay_text_read(p->replay, e, &text);
	if (err)
		return err;
	return e->kind == WEFT_JSONRPC_REQUEST ? call_begin(p, at, &text) : notify(p, &text);
}

static weft_err steps(struct player *p)
{
	const weft_replay *r = p->replay;
	uint32_t first = r->sessions[p->session].first;
	weft_err err = WEFT_OK;

	p->begin = weft_now();
	for (uint32_t at = first; !err && at != REPLAY_NONE; at = r->entries[at].next) {
		const struct replay_entry *e = &r->entries[at];
		int64_t ns = e->is_to_server
			? replay_scaled(r, e->time_ns - r->entries[first].time_ns)
			: 0;

		if (ns)
			err = weft_sleep_until(p->begin + ns);
		if (!err)
			err = step(p, at);
	}
	return err;
}

static weft_err session_open(struct player *p)
{
	const weft_rpc_method any = { NULL, question, p };
	weft_rpc_options options = WEFT_RPC_OPTIONS_DEFAULT;
	weft_transport *transport;
	weft_err err = weft_mutex_create(&p->questions);

	options.methods = &any;
	options.method_count = 1;
	if (!err)
		err = weft_outgoing_connect(p->outgoing, &transport,
			weft_after_ns(p->replay->options.connect_timeout_ns));
	return err ? err : weft_rpc_create_own(&p->rpc, transport, &options);
}

static weft_err session_fiber(void *arg)
{
	struct player *p = arg;
	weft_err err;

	p->parker = weft_parker_self();
	(void)counter_add(&p->replay->stats.sessions, 1);
	err = session_open(p);
	if (!err)
		err = steps(p);
	while (!list_is_empty(&p->calls))
		call_free(container_of(p->calls.next, struct call, node));
	weft_rpc_free(p->rpc);
	weft_mutex_free(p->questions);
	weft_semaphore_release(p->places, 1);
	mem_free(p);
	return err;
}

/* With a place. */
static weft_err session_begin(weft_replay *r, weft_outgoing *outgoing, weft_semaphore *places,
	weft_scope *scope, uint32_t n)
{
	struct player *p = mem_calloc(1, sizeof(*p));
	weft_err err;

	if (!p)
		return err_set(WEFT_ENOMEM);
	p->replay = r;
	p->outgoing = outgoing;
	p->places = places;
	p->session = n;
	list_init(&p->calls);
	err = weft_scope_spawn_on(scope, weft_worker_least_loaded(), "session", session_fiber, p);
	if (err)
		mem_free(p);
	return err;
}

weft_err weft_replay_play(weft_replay *replay, weft_outgoing *outgoing)
{
	weft_deadline begin = weft_now();
	weft_semaphore *places = NULL;
	weft_scope *scope = NULL;
	weft_err err = weft_semaphore_create(&places, replay->options.sessions_max), first;

	if (!err)
		err = weft_scope_create(&scope);
	for (uint32_t n = 0; !err && n < replay->sessions_count; n++) {
		const struct replay_entry *e = &replay->entries[replay->sessions[n].first];
		int64_t ns = replay_scaled(replay, e->time_ns - replay->entries[0].time_ns);

		if (ns)
			err = weft_sleep_until(begin + ns);
		if (!err)
			err = weft_semaphore_acquire(places, 1, WEFT_FOREVER);
		if (!err && weft_cancel_is_cancelled(weft_scope_token(scope)))
			break; /* why is told below */
		if (!err)
			err = session_begin(replay, outgoing, places, scope, n);
	}
	if (err && scope)
		weft_scope_cancel(scope);
	if (scope) {
		/* a session's error says more than that no other could begin */
		first = weft_scope_wait(scope, WEFT_FOREVER);
		err = first ? first : err;
	}
	weft_scope_free(scope);
	weft_semaphore_free(places);
	return err;
}
