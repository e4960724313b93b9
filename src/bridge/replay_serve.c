/* SPDX-License-Identifier: MIT */
/* A recording as the server: an answer for each request that it has, in the handlers of a weft_rpc. */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/replay.h"

#include <weft/runtime.h>

#define NOT_RECORDED (-32602) /* such params; of such a method: WEFT_JSONRPC_METHOD_NOT_FOUND */

/* ---- which ---- */

/* The next of those that are the same; the last again and again. */
static uint32_t group_next(weft_replay *r, uint64_t key, bool is_taken)
{
	struct replay_group *g;
	uint64_t found;
	uint32_t n;

	if (!weft_map_get(r->groups, weft_map_int(key), &found))
		return REPLAY_NONE;
	g = weft_map_pointer(found);
	rt_lock_acquire(&r->lock);
	n = g->next;
	if (is_taken && r->entries[n].same != REPLAY_NONE)
		g->next = r->entries[n].same;
	rt_lock_release(&r->lock);
	return n;
}

/* *by_method: one of the same method, as far as there is one. */
static weft_err find(weft_replay *r, const weft_jsonrpc *m, uint32_t *found, uint32_t *by_method)
{
	uint64_t key = 0;
	weft_err err = replay_key(&r->seed, m->method, m->params, &key);

	if (err)
		return err;
	*found = group_next(r, key, true);
	err = replay_method_key(&r->seed, m->method, &key);
	if (err)
		return err;
	*by_method = group_next(r, key, false);
	/* what a client says of itself is its own affair */
	if (*found == REPLAY_NONE &&
		(weft_json_string_is(m->method, "initialize") ||
			weft_json_string_is(m->method, "server/discover")))
		*found = *by_method;
	return WEFT_OK;
}

/* ---- what it gets ---- */

/* After as long a time. */
static weft_err await_turn(const weft_replay *r, weft_deadline begin,
	const struct replay_entry *from, const struct replay_entry *to)
{
	int64_t ns = replay_scaled(r, to->time_ns - from->time_ns);

	return ns ? weft_sleep_until(begin + ns) : WEFT_OK;
}

/* The params of what came meanwhile, under the token that this client has given. */
static weft_err params_make(weft_buf *out, const weft_jsonrpc *recorded, weft_json token)
{
	weft_json_edit edit = { recorded->progress_token, token };

	if (!recorded->params.text)
		return WEFT_OK;
	return weft_json_edit_buf(out, NULL, recorded->params, &edit, 1);
}

/* Tells, or asks, the client. That it does not take it is no reason not to answer. */
static weft_err aside_send(weft_replay *r, weft_rpc_request *request, const weft_jsonrpc *recorded)
{
	weft_json token = weft_rpc_request_message(request)->meta_progress_token;
	weft_rpc *rpc = weft_rpc_request_rpc(request);
	weft_deadline until = weft_after_ns(r->options.read_timeout_ns);
	weft_buf buf = WEFT_BUF_EMPTY;
	weft_message answer = { .err = WEFT_OK };
	weft_json params = { NULL, 0 };
	char *method;
	weft_err err;

	if (recorded->progress_token.text && !token.text)
		return WEFT_OK; /* it did not ask for progress */
	method = replay_string(recorded->method);
	err = method ? params_make(&buf, recorded, token) : err_set(WEFT_ENOMEM);
	if (!err) {
		if (buf.data)
			params = (weft_json){ (const char *)buf.data, buf.len };
		if (recorded->kind == WEFT_JSONRPC_REQUEST)
			err = weft_rpc_call(rpc, method, params, &answer, until);
		else
			err = weft_rpc_notify(rpc, method, params, until);
		err = err == WEFT_ECANCELED ? err : WEFT_OK;
	}
	weft_message_fini(&answer);
	weft_buf_unref(&buf);
	mem_free(method);
	return err;
}

weft_err replay_answer(weft_rpc_request *request, const weft_jsonrpc *recorded)
{
	int64_t code = WEFT_JSONRPC_INTERNAL_ERROR;
	char *text;
	weft_err err;

	if (recorded->kind == WEFT_JSONRPC_RESPONSE)
		return weft_rpc_request_reply(request, recorded->result);
	text = replay_string(recorded->error_message);
	if (!text)
		return err_set(WEFT_ENOMEM);
	(void)!weft_json_integer(recorded->error_code, &code);
	err = weft_rpc_request_reply_error(request, code, text, recorded->error_data);
	mem_free(text);
	return err;
}

static weft_err perform(weft_replay *r, weft_rpc_request *request, uint32_t n)
{
	const struct replay_entry *asked = &r->entries[n], *e;
	weft_deadline begin = weft_now();
	struct replay_text text;
	weft_err err = WEFT_OK;

	for (uint32_t at = asked->next; !err && at != REPLAY_NONE; at = e->next) {
		e = &r->entries[at];
		if ((e->is_to_server || e->owner != n) && at != asked->partner)
			continue;
		err = await_turn(r, begin, asked, e);
		if (!err)
			err = replay_text_read(r, e, &text);
		if (err)
			return err;
		err = at == asked->partner ? replay_answer(request, &text.line.rpc)
					   : aside_send(r, request, &text.line.rpc);
		replay_text_fini(&text);
		if (at == asked->partner)
			return err;
	}
	return err;
}

/* ---- requests ---- */

static weft_err refuse(weft_replay *r, weft_rpc_request *request, bool is_known)
{
	const weft_jsonrpc *m = weft_rpc_request_message(request);
	static const weft_json empty = { "{}", 2 };
	const char *why = is_known ? "the recording has this method only with other params"
				   : "the recording does not have this method";
	char *method;

	if (weft_json_string_is(m->method, "ping"))
		return weft_rpc_request_reply(request, empty);
	(void)counter_add(&r->stats.different, 1);
	method = replay_string(m->method);
	if (method)
		replay_differs(r, NULL, method, "%s%s%.*s", why, is_known ? ": " : "",
			is_known && m->params.len < REPLAY_TEXT_MAX ? (int)m->params.len : 0,
			m->params.text ? m->params.text : "");
	mem_free(method);
	return weft_rpc_request_reply_error(request,
		is_known ? NOT_RECORDED : WEFT_JSONRPC_METHOD_NOT_FOUND, why,
		(weft_json){ NULL, 0 });
}

static weft_err handle(weft_rpc_request *request, void *user)
{
	const weft_jsonrpc *m = weft_rpc_request_message(request);
	uint32_t found = REPLAY_NONE, by_method = REPLAY_NONE;
	weft_replay *r = user;
	weft_err err;

	if (m->kind == WEFT_JSONRPC_NOTIFICATION) {
		(void)counter_add(&r->stats.notifications, 1);
		return WEFT_OK;
	}
	(void)counter_add(&r->stats.requests, 1);
	err = find(r, m, &found, &by_method);
	if (err)
		return err;
	if (found == REPLAY_NONE)
		return refuse(r, request, by_method != REPLAY_NONE);
	(void)counter_add(&r->stats.same, 1);
	return perform(r, request, found);
}

weft_err weft_replay_serve(weft_replay *replay, weft_incoming *incoming)
{
	const weft_rpc_method any = { NULL, handle, replay };
	weft_rpc_options options = WEFT_RPC_OPTIONS_DEFAULT;

	options.methods = &any;
	options.method_count = 1;
	return weft_rpc_serve(incoming, &options, WEFT_FOREVER);
}
