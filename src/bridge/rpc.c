/* SPDX-License-Identifier: MIT */
/*
 * Calls and handlers over a transport.
 *
 * A call that waits for its answer stands in a slot; its id says which one, and how often that was
 * used, so that an answer that comes too late finds nobody. A call costs a message, a short lock
 * twice, and a wake; one that comes costs two fibers: one for the handler, which may be cancelled alone,
 * and one that waits for it. Notifications have one fiber for all that are there.
 */
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "bridge/transport.h"
#include "rt/lock.h"
#include "rt/rt.h"
#include "sync/wait.h"
#include "sync/word.h"

#include <weft/rpc.h>

#include <stdio.h>
#include <string.h>

#define HANDLERS_MAX ((size_t)1000)
#define CALLS_MAX ((size_t)1000)
#define CALLS_LIMIT ((size_t)65536)
#define BUSY_CODE (-32000)
#define CANCEL_METHOD "notifications/cancelled"
#define CANCEL_WAIT_NS INT64_C(1000000000) /* to tell that a call was given up */
#define DETAIL_MAX 512

/* A call of ours; its caller's memory. */
struct call {
	weft_parker *parker;
	struct word is_done; /* last of all, under lock: the rest is the caller's from then on */
	weft_err err;
	weft_message answer;
};

struct slot_of_call {
	struct call *call; /* NULL: free, or given up */
	uint64_t uses;	   /* the one now included */
};

struct weft_rpc {
	weft_transport *transport;
	weft_scope *scope; /* of handlers */
	weft_rpc_options options;
	weft_rpc_method *methods; /* owned, with names */
	weft_buf_pool *pool;
	struct word64 handlers;	   /* alive */
	struct wait_queue changed; /* who waits for the end */
	struct word is_over;	   /* 1: the transport has ended */

	struct rt_lock lock; /* over all below */
	weft_err end;	     /* valid once is_over */
	char end_detail[DETAIL_MAX];
	struct list requests; /* weft_rpc_request.in_rpc: calls */
	struct list notes;    /* the same: notifications that wait for the fiber that: */
	bool is_noting;	      /* there is one */
	struct slot_of_call *slots;
	uint32_t *free; /* slots; the first free_count are */
	size_t free_count;
};

struct weft_rpc_request {
	struct list in_rpc; /* under its lock */
	weft_rpc *rpc;
	weft_message message;
	const weft_rpc_method *method;
	weft_cancel *token; /* cancels the handler; held */
	bool is_answered;   /* the handler's */
};

/* ---- messages out ---- */

static weft_err send_draft(weft_rpc *rpc, const weft_jsonrpc_draft *draft, weft_deadline until)
{
	weft_message m;
	weft_err err = weft_message_write(&m, rpc->pool, draft);

	return err ? err : weft_transport_send_own(rpc->transport, &m, until);
}

static void refuse(weft_rpc *rpc, weft_json id, int code, const char *why)
{
	const weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_ERROR, .id = id, .code = code, .message = why
	};

	(void)!send_draft(rpc, &draft, WEFT_FOREVER);
}

weft_err weft_rpc_notify(weft_rpc *rpc, const char *method, weft_json params, weft_deadline until)
{
	const weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_NOTIFICATION, .method = method, .params = params
	};

	return send_draft(rpc, &draft, until);
}

/* ---- calls ---- */

/* Takes a slot. Errors: WEFT_ECAPACITY, how the session has ended. */
static weft_err enter(weft_rpc *rpc, struct call *call, int64_t *id)
{
	weft_err err = WEFT_OK;
	struct slot_of_call *s;
	uint32_t at;

	rt_lock_acquire(&rpc->lock);
	if (word_peek(&rpc->is_over)) {
		err = rpc->end;
	} else if (rpc->free_count == 0) {
		err = WEFT_ECAPACITY;
	} else {
		at = rpc->free[--rpc->free_count];
		s = &rpc->slots[at];
		s->uses++;
		s->call = call;
		*id = (int64_t)(s->uses * rpc->options.calls_max + at);
	}
	rt_lock_release(&rpc->lock);
	if (err == WEFT_ECAPACITY)
		return err_setf(err, "call: %zu are unanswered", rpc->options.calls_max);
	return err ? err_setf(err, "call: %s", rpc->end_detail) : WEFT_OK;
}

/* The call that has this id, which is not waiting any more; lock held. */
static struct call *take_locked(weft_rpc *rpc, int64_t id)
{
	size_t at = (size_t)((uint64_t)id % rpc->options.calls_max);
	struct slot_of_call *s = &rpc->slots[at];
	struct call *call = s->call;

	if (id < 0 || !call || s->uses != (uint64_t)id / rpc->options.calls_max)
		return NULL;
	s->call = NULL;
	rpc->free[rpc->free_count++] = (uint32_t)at;
	return call;
}

/* answer may be NULL. False: nobody waits for it. */
static bool finish(weft_rpc *rpc, int64_t id, weft_err err, weft_message *answer)
{
	weft_parker *parker = NULL;
	struct call *call;

	rt_lock_acquire(&rpc->lock);
	call = take_locked(rpc, id);
	if (call) {
		parker = call->parker;
		call->err = err;
		if (answer)
			weft_message_move(&call->answer, answer);
		word_put(&call->is_done, 1);
	}
	rt_lock_release(&rpc->lock);
	if (parker)
		weft_unpark(parker);
	return parker;
}

static bool give_up(weft_rpc *rpc, int64_t id)
{
	bool mine;

	rt_lock_acquire(&rpc->lock);
	mine = take_locked(rpc, id);
	rt_lock_release(&rpc->lock);
	return mine;
}

static void tell_given_up(weft_rpc *rpc, int64_t id)
{
	char params[64];
	int len = snprintf(params, sizeof(params), "{\"requestId\":%lld}", (long long)id);

	weft_shield_begin();
	(void)!weft_rpc_notify(rpc, CANCEL_METHOD, (weft_json){ params, (size_t)len },
		weft_after_ns(CANCEL_WAIT_NS));
	weft_shield_end();
}

/* Until it is done, or the caller waits no more. */
static weft_err await(weft_rpc *rpc, struct call *call, int64_t id, weft_deadline until)
{
	weft_err err = WEFT_OK;

	while (!word_peek(&call->is_done)) {
		err = rt_park(until, "rpc: an answer");
		if (err && give_up(rpc, id)) {
			tell_given_up(rpc, id);
			return err_set(err);
		}
	}
	if (call->err == WEFT_EMSGSIZE)
		return err_setf(WEFT_EMSGSIZE, "call: the answer is over the limit");
	return call->err ? err_setf(call->err, "call: %s", rpc->end_detail) : WEFT_OK;
}

weft_err weft_rpc_call(weft_rpc *rpc, const char *method, weft_json params, weft_message *answer,
	weft_deadline until)
{
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_REQUEST, .method = method, .params = params
	};
	struct call call = { .parker = rt_parker_self() };
	char digits[WEFT_JSON_INTEGER_SIZE];
	int64_t id = 0;
	weft_err err;

	if (!call.parker)
		return err_set(WEFT_ENOMEM);
	err = enter(rpc, &call, &id);
	if (err)
		return err;
	draft.id = weft_json_of_integer(id, digits);
	err = send_draft(rpc, &draft, until);
	if (!err) {
		err = await(rpc, &call, id, until);
	} else if (!give_up(rpc, id)) { /* the end was quicker */
		weft_message_fini(&call.answer);
	}
	if (!err)
		weft_message_move(answer, &call.answer);
	return err;
}

/* ---- handlers ---- */

const weft_jsonrpc *weft_rpc_request_message(const weft_rpc_request *request)
{
	return &request->message.rpc;
}

weft_rpc *weft_rpc_request_rpc(const weft_rpc_request *request)
{
	return request->rpc;
}

static weft_err answer(weft_rpc_request *request, weft_jsonrpc_draft *draft)
{
	weft_err err;

	if (request->message.rpc.kind == WEFT_JSONRPC_NOTIFICATION)
		return WEFT_OK;
	if (request->is_answered)
		return err_setf(WEFT_EDUPLICATE, "reply: it was answered");
	draft->id = request->message.rpc.id;
	err = send_draft(request->rpc, draft, WEFT_FOREVER);
	if (err != WEFT_EINVAL && err != WEFT_EMSGSIZE && err != WEFT_ENOMEM)
		request->is_answered = true;
	return err;
}

weft_err weft_rpc_request_reply(weft_rpc_request *request, weft_json result)
{
	weft_jsonrpc_draft draft = { .kind = WEFT_JSONRPC_RESPONSE, .result = result };

	if (!result.text)
		return err_setf(WEFT_EINVAL, "reply: no result");
	return answer(request, &draft);
}

weft_err weft_rpc_request_reply_error(
	weft_rpc_request *request, int64_t code, const char *message, weft_json data)
{
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_ERROR, .code = code, .message = message, .data = data
	};

	return answer(request, &draft);
}

static void answer_by(weft_rpc_request *request, weft_err err)
{
	weft_jsonrpc_draft draft = { .kind = WEFT_JSONRPC_RESPONSE };
	char detail[DETAIL_MAX];

	if (request->is_answered || weft_cancel_is_cancelled(request->token))
		return;
	if (err) {
		(void)snprintf(detail, sizeof(detail), "%s",
			err_slot_self()->err == err ? weft_error_detail() : weft_strerror(err));
		draft = (weft_jsonrpc_draft){ .kind = WEFT_JSONRPC_ERROR,
			.code = WEFT_JSONRPC_INTERNAL_ERROR,
			.message = detail };
	}
	(void)!answer(request, &draft);
}

static weft_err handle(void *arg)
{
	weft_rpc_request *request = arg;
	weft_err err = request->method->fn(request, request->method->user);

	answer_by(request, err);
	return WEFT_OK;
}

static void request_free(weft_rpc_request *request)
{
	weft_rpc *rpc = request->rpc;

	rt_lock_acquire(&rpc->lock);
	list_remove(&request->in_rpc);
	rt_lock_release(&rpc->lock);
	weft_message_fini(&request->message);
	weft_cancel_unref(request->token);
	mem_free(request);
	if (word64_add(&rpc->handlers, -1) == 0 && word_get(&rpc->is_over))
		wait_wake_all(&rpc->changed, &rpc->changed.lock, WEFT_OK);
}

/* Of a call. */
static weft_err handler_fiber(void *arg)
{
	weft_rpc_request *request = arg;
	weft_err err = weft_cancel_run(request->token, handle, request, WEFT_FOREVER);

	if (err && err != WEFT_ECANCELED) /* not even begun */
		answer_by(request, err);
	request_free(request);
	return WEFT_OK;
}

static weft_rpc_request *next_note(weft_rpc *rpc)
{
	struct list *first;

	rt_lock_acquire(&rpc->lock);
	first = list_pop_front(&rpc->notes);
	rpc->is_noting = first;
	rt_lock_release(&rpc->lock);
	return first ? container_of(first, weft_rpc_request, in_rpc) : NULL;
}

/* Of all notifications that are there. */
static weft_err notes_fiber(void *arg)
{
	weft_rpc *rpc = arg;
	weft_rpc_request *request;

	while ((request = next_note(rpc))) {
		(void)handle(request);
		request_free(request);
	}
	return WEFT_OK;
}

static const weft_rpc_method *find_method(const weft_rpc *rpc, weft_json name)
{
	for (size_t i = 0; i < rpc->options.method_count; i++) {
		if (!rpc->methods[i].name || weft_json_string_is(name, rpc->methods[i].name))
			return &rpc->methods[i];
	}
	return NULL;
}

/* Puts it where it is found. True: it needs a fiber. */
static bool enlist(weft_rpc *rpc, weft_rpc_request *request)
{
	bool is_note = request->message.rpc.kind == WEFT_JSONRPC_NOTIFICATION, wants = true;

	(void)word64_add(&rpc->handlers, 1);
	rt_lock_acquire(&rpc->lock);
	list_push_back(is_note ? &rpc->notes : &rpc->requests, &request->in_rpc);
	if (is_note) {
		wants = !rpc->is_noting;
		rpc->is_noting = true;
	}
	rt_lock_release(&rpc->lock);
	return wants;
}

static weft_err begin(weft_rpc *rpc, const weft_rpc_method *method, weft_message *message)
{
	weft_rpc_request *request = mem_calloc(1, sizeof(*request));
	bool is_note = message->rpc.kind == WEFT_JSONRPC_NOTIFICATION;
	weft_rpc_request *other;
	weft_err err;

	if (!request)
		return err_set(WEFT_ENOMEM);
	err = weft_cancel_create(&request->token, NULL);
	if (err) {
		mem_free(request);
		return err;
	}
	request->rpc = rpc;
	request->method = method;
	weft_message_move(&request->message, message);
	if (!enlist(rpc, request))
		return WEFT_OK;
	err = weft_scope_spawn_on(rpc->scope, weft_worker_self(),
		is_note		       ? "rpc: notes"
			: method->name ? method->name
				       : "rpc: call",
		is_note ? notes_fiber : handler_fiber, is_note ? (void *)rpc : request);
	if (!err)
		return WEFT_OK;
	while (is_note && (other = next_note(rpc))) {
		if (other != request)
			request_free(other);
	}
	weft_message_move(message, &request->message);
	request_free(request);
	return err;
}

/* A call or a notification. */
static void dispatch(weft_rpc *rpc, weft_message *message)
{
	const weft_rpc_method *method = find_method(rpc, message->rpc.method);
	bool is_call = message->rpc.kind == WEFT_JSONRPC_REQUEST;
	int code = BUSY_CODE;
	const char *why = "too many calls at once";
	weft_err err;

	if (!method) {
		code = WEFT_JSONRPC_METHOD_NOT_FOUND;
		why = "no such method";
	} else if (word64_peek(&rpc->handlers) < rpc->options.handlers_max) {
		err = begin(rpc, method, message);
		if (!err)
			return;
		code = WEFT_JSONRPC_INTERNAL_ERROR;
		why = weft_strerror(err);
	}
	if (is_call)
		refuse(rpc, message->rpc.id, code, why);
}

/* ---- what comes ---- */

static bool is_same(weft_json a, weft_json b)
{
	return a.text && b.text && a.len == b.len && !memcmp(a.text, b.text, a.len);
}

static void cancel(weft_rpc *rpc, weft_json id)
{
	weft_cancel *token = NULL;

	rt_lock_acquire(&rpc->lock);
	list_for_each(it, &rpc->requests) {
		weft_rpc_request *request = container_of(it, weft_rpc_request, in_rpc);

		if (!is_same(request->message.rpc.id, id))
			continue;
		token = weft_cancel_ref(request->token);
		break;
	}
	rt_lock_release(&rpc->lock);
	if (token)
		weft_cancel_trigger(token, WEFT_ECANCELED);
	weft_cancel_unref(token);
}

static void got_answer(weft_rpc *rpc, weft_err err, weft_message *message)
{
	int64_t id;

	if (weft_json_integer(message->rpc.id, &id))
		return;
	(void)finish(rpc, id, err, err ? NULL : message);
}

static void got_message(void *user, weft_message *message)
{
	weft_rpc *rpc = user;

	switch (message->rpc.kind) {
	case WEFT_JSONRPC_RESPONSE:
	case WEFT_JSONRPC_ERROR:
		got_answer(rpc, WEFT_OK, message);
		break;
	case WEFT_JSONRPC_NOTIFICATION:
		if (weft_json_string_is(message->rpc.method, CANCEL_METHOD))
			cancel(rpc, message->rpc.request_id);
		dispatch(rpc, message);
		break;
	case WEFT_JSONRPC_REQUEST:
		dispatch(rpc, message);
		break;
	case WEFT_JSONRPC_INVALID:
		if (message->would_be == WEFT_JSONRPC_RESPONSE ||
			message->would_be == WEFT_JSONRPC_ERROR)
			got_answer(rpc, WEFT_EMSGSIZE, message);
		else
			refuse(rpc, message->rpc.id, message->rpc.fault_code, message->rpc.fault);
		break;
	case WEFT_JSONRPC_NONE:
	case WEFT_JSONRPC_BATCH: /* comes as its elements */
		break;
	}
	weft_message_fini(message);
}

static void got_end(void *user, weft_err err, const char *detail)
{
	weft_rpc *rpc = user;

	rt_lock_acquire(&rpc->lock);
	rpc->end = err;
	(void)snprintf(rpc->end_detail, sizeof(rpc->end_detail), "%s: %s",
		weft_transport_name(rpc->transport), *detail ? detail : weft_strerror(err));
	(void)word_swap(&rpc->is_over, 1);
	rt_lock_release(&rpc->lock);
	for (size_t i = 0; i < rpc->options.calls_max; i++) {
		/* none is entered any more */
		uint64_t uses = rpc->slots[i].uses;

		(void)finish(rpc, (int64_t)(uses * rpc->options.calls_max + i), err, NULL);
	}
	/* in order: what was called is still answered, perhaps by somebody who reads on */
	if (err != WEFT_ECLOSED || transport_is_closed(rpc->transport))
		weft_scope_cancel(rpc->scope);
	wait_wake_all(&rpc->changed, &rpc->changed.lock, WEFT_OK);
}

/* ---- life ---- */

static weft_err check_options(const weft_rpc_options *o)
{
	if (o->calls_max > CALLS_LIMIT)
		return err_setf(
			WEFT_EINVAL, "calls_max: %zu is above %zu", o->calls_max, CALLS_LIMIT);
	if (o->method_count > 0 && !o->methods)
		return err_setf(
			WEFT_EINVAL, "methods: none, but method_count is %zu", o->method_count);
	for (size_t i = 0; i < o->method_count; i++) {
		if (!o->methods[i].fn)
			return err_setf(WEFT_EINVAL, "methods[%zu]: its function is missing", i);
	}
	return WEFT_OK;
}

static weft_err copy_methods(weft_rpc *rpc, const weft_rpc_options *o)
{
	rpc->methods = mem_calloc(o->method_count, sizeof(*rpc->methods));
	for (size_t i = 0; rpc->methods && i < o->method_count; i++) {
		rpc->methods[i] = o->methods[i];
		if (!o->methods[i].name)
			continue;
		rpc->methods[i].name = mem_strdup(o->methods[i].name);
		if (!rpc->methods[i].name)
			return err_set(WEFT_ENOMEM);
	}
	rpc->options.methods = NULL; /* the caller's */
	return rpc->methods ? WEFT_OK : err_set(WEFT_ENOMEM);
}

static weft_err make_slots(weft_rpc *rpc)
{
	size_t count = rpc->options.calls_max;

	rpc->slots = mem_calloc(count, sizeof(*rpc->slots));
	rpc->free = mem_calloc(count, sizeof(*rpc->free));
	if (!rpc->slots || !rpc->free)
		return err_set(WEFT_ENOMEM);
	for (size_t i = 0; i < count; i++)
		rpc->free[i] = (uint32_t)(count - 1 - i);
	rpc->free_count = count;
	return WEFT_OK;
}

static void rpc_dismantle(weft_rpc *rpc)
{
	weft_scope_free(rpc->scope);
	for (size_t i = 0; rpc->methods && i < rpc->options.method_count; i++)
		mem_free((void *)(uintptr_t)rpc->methods[i].name); /* our copy */
	mem_free(rpc->methods);
	mem_free(rpc->slots);
	mem_free(rpc->free);
	mem_free(rpc);
}

static weft_err rpc_make(weft_rpc **out, weft_transport *transport, const weft_rpc_options *options)
{
	static const weft_rpc_options defaults = WEFT_RPC_OPTIONS_DEFAULT;
	weft_rpc *rpc;
	weft_err err = check_options(options ? options : &defaults);

	if (err)
		return err;
	rpc = mem_calloc(1, sizeof(*rpc));
	if (!rpc) {
		(void)err_set(WEFT_ENOMEM);
		return WEFT_ENOMEM;
	}
	rpc->transport = transport;
	rpc->options = options ? *options : defaults;
	if (rpc->options.handlers_max == 0)
		rpc->options.handlers_max = HANDLERS_MAX;
	if (rpc->options.calls_max == 0)
		rpc->options.calls_max = CALLS_MAX;
	rpc->pool = transport_options(transport)->pool;
	list_init(&rpc->requests);
	list_init(&rpc->notes);
	wait_queue_init(&rpc->changed);
	err = copy_methods(rpc, &rpc->options);
	if (!err)
		err = make_slots(rpc);
	if (!err)
		err = rt_scope_create_root(&rpc->scope);
	if (err)
		rpc_dismantle(rpc);
	else
		*out = rpc;
	return err;
}

weft_err weft_rpc_create_own(
	weft_rpc **out, weft_transport *transport, const weft_rpc_options *options)
{
	static const weft_transport_sink sink = { got_message, got_end };
	weft_rpc *rpc = NULL;
	weft_err err = rpc_make(&rpc, transport, options);

	if (!err)
		err = weft_transport_start(transport, &sink, rpc);
	if (!err) {
		*out = rpc;
		return WEFT_OK;
	}
	weft_transport_free(transport);
	if (rpc)
		rpc_dismantle(rpc);
	return err;
}

static bool has_ended(const void *object)
{
	const weft_rpc *rpc = object;

	return word_get(&rpc->is_over) && word64_get(&rpc->handlers) == 0;
}

weft_err weft_rpc_wait(weft_rpc *rpc, weft_deadline until)
{
	weft_err err = wait_until(&rpc->changed, has_ended, rpc, until, "rpc: its end");

	return err ? err : err_setf(rpc->end, "%s", rpc->end_detail);
}

void weft_rpc_close(weft_rpc *rpc)
{
	weft_transport_close(rpc->transport);
	weft_scope_cancel(rpc->scope);
}

void weft_rpc_free(weft_rpc *rpc)
{
	if (!rpc)
		return;
	weft_shield_begin();
	weft_rpc_close(rpc);
	(void)!weft_scope_wait(rpc->scope, WEFT_FOREVER);
	weft_transport_free(rpc->transport);
	rpc_dismantle(rpc);
	weft_shield_end();
}

/* ---- a server ---- */

struct session {
	weft_transport *transport;
	const weft_rpc_options *options;
};

static weft_err serve_session(void *arg)
{
	struct session session = *(struct session *)arg;
	weft_rpc *rpc;

	mem_free(arg);
	if (weft_rpc_create_own(&rpc, session.transport, session.options))
		return WEFT_OK;
	(void)!weft_rpc_wait(rpc, WEFT_FOREVER);
	weft_rpc_free(rpc);
	return WEFT_OK;
}

static weft_err spawn_session(
	weft_scope *scope, weft_transport *transport, const weft_rpc_options *options)
{
	struct session *session = mem_alloc(sizeof(*session));
	weft_err err;

	if (!session) {
		weft_transport_free(transport);
		return err_set(WEFT_ENOMEM);
	}
	*session = (struct session){ transport, options };
	err = weft_scope_spawn_on(
		scope, weft_worker_least_loaded(), "rpc: session", serve_session, session);
	if (err) {
		mem_free(session);
		weft_transport_free(transport);
	}
	return err;
}

weft_err weft_rpc_serve(
	weft_incoming *incoming, const weft_rpc_options *options, weft_deadline until)
{
	weft_transport *transport;
	weft_scope *scope;
	weft_err err = weft_scope_create(&scope);

	if (err)
		return err;
	for (;;) {
		err = weft_incoming_accept(incoming, &transport, until);
		if (err == WEFT_ECLOSED || err == WEFT_ETIMEDOUT || err == WEFT_ECANCELED)
			break;
		if (!err)
			err = spawn_session(scope, transport, options);
		if (err && weft_yield())
			break;
	}
	if (err == WEFT_ECLOSED)
		err = weft_scope_wait(scope, until);
	weft_scope_free(scope);
	return err;
}
