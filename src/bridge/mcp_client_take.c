/* SPDX-License-Identifier: MIT */
/* What comes from an MCP server: whose answer it is, and that each request gets one. */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/mcp_client.h"
#include "bridge/message.h"

#include <weft/log.h>

#include <stdio.h>
#include <string.h>

/* ---- claims ---- */

static bool has_id(const weft_message *message)
{
	weft_json_type type = weft_json_type_of(message->rpc.id);

	return type == WEFT_JSON_STRING || type == WEFT_JSON_NUMBER;
}

/* Under the lock. */
static void unlist(struct mcp_client *c, struct mcp_post *post)
{
	list_remove(&post->node);
	(void)counter_sub(&c->in_flight, 1);
}

bool mcp_claim(struct mcp_client *c, struct mcp_post *post)
{
	bool is_mine;

	rt_lock_acquire(&c->lock);
	is_mine = !list_is_empty(&post->node);
	if (is_mine)
		unlist(c, post);
	rt_lock_release(&c->lock);
	post->is_answered = true;
	return is_mine;
}

bool mcp_claim_id(struct mcp_client *c, weft_json id, weft_cancel **token, bool *is_stateless)
{
	struct mcp_post *found = NULL;

	rt_lock_acquire(&c->lock);
	list_for_each(node, &c->in_post) {
		struct mcp_post *post = container_of(node, struct mcp_post, node);

		if (message_same_id(id, post->message.rpc.id)) {
			found = post;
			break;
		}
		if (!found && message_answers_id(id, post->message.rpc.id))
			found = post;
	}
	if (found) {
		*token = weft_cancel_ref(found->token);
		*is_stateless = found->is_stateless;
		unlist(c, found);
	}
	rt_lock_release(&c->lock);
	return found != NULL;
}

/* ---- errors in the place of answers ---- */

/* In the server's place. why: WEFT_OK: it is the server's. */
static void say(struct mcp_client *c, const weft_jsonrpc_draft *draft, weft_err why)
{
	weft_message message;

	if (weft_message_write(&message, c->remote->options.transport.pool, draft)) {
		mcp_end(c, WEFT_ENOMEM, "no memory for an answer");
		return;
	}
	message.err = why;
	weft_transport_deliver_own(c->transport, &message);
}

static void refuse_id(struct mcp_client *c, weft_json id, const char *text)
{
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_ERROR, .id = id, .code = MCP_LOST, .message = text
	};

	say(c, &draft, WEFT_ERESET);
}

void mcp_refuse(struct mcp_post *post, const char *text)
{
	if (mcp_claim(post->client, post))
		refuse_id(post->client, post->message.rpc.id, text);
}

void mcp_take_error(struct mcp_post *post, const weft_jsonrpc *error, const char *also)
{
	size_t also_len = also ? strlen(also) : 0, len = 0;
	size_t size = error->error_message.len + also_len;
	weft_jsonrpc_draft draft = {
		.kind = WEFT_JSONRPC_ERROR, .id = post->message.rpc.id, .data = error->error_data
	};
	char *text = mem_alloc(size);

	if (!mcp_claim(post->client, post)) {
		mem_free(text);
		return;
	}
	if (weft_json_integer(error->error_code, &draft.code))
		draft.code = MCP_LOST;
	if (!text) {
		mcp_end(post->client, WEFT_ENOMEM, "no memory for an answer");
		return;
	}
	if (weft_json_string_decode(error->error_message, text, size, &len))
		len = 0;
	for (size_t i = 0; i < also_len; i++)
		text[len + i] = also[i];
	draft.message = len + also_len ? text : "";
	draft.message_len = len + also_len;
	say(post->client, &draft, post->why);
	mem_free(text);
}

void mcp_unsubscribed(struct mcp_post *post)
{
	struct mcp_client *c = post->client;
	weft_json id = post->message.rpc.id;
	weft_jsonrpc_draft draft = { .kind = WEFT_JSONRPC_NOTIFICATION,
		.method = "notifications/cancelled" };
	size_t size = id.len + sizeof("{\"requestId\":}");
	char *params;

	if (!mcp_claim(c, post))
		return;
	params = mem_alloc(size);
	if (!params) {
		mcp_end(c, WEFT_ENOMEM, "no memory for the end of a subscription");
		return;
	}
	draft.params.text = params;
	draft.params.len =
		(size_t)snprintf(params, size, "{\"requestId\":%.*s}", (int)id.len, id.text);
	say(c, &draft, WEFT_OK);
	mem_free(params);
}

/* ---- messages ---- */

static void nobodys(weft_message *message, const char *what)
{
	weft_log(WEFT_LOG_DEBUG, "mcp", "%s: dropped", what);
	weft_message_fini(message);
}

/* What tools there are, before anybody calls one. Errors: WEFT_ENOMEM. */
static weft_err take_tools(struct mcp_post *post, weft_message *message)
{
	const struct mcp_remote *remote = post->client->remote;
	weft_json cursor;
	weft_err err;

	if (!post->is_stateless || message->rpc.kind != WEFT_JSONRPC_RESPONSE ||
		!weft_json_string_is(post->message.rpc.method, "tools/list"))
		return WEFT_OK;
	err = mcp_tools_learn(remote->tools, message, remote->options.transport.pool);
	if (err || !post->is_own || weft_json_get(&cursor, message->rpc.result, "nextCursor") ||
		weft_json_type_of(cursor) != WEFT_JSON_STRING)
		return err;
	mem_free(post->cursor);
	post->cursor = mem_strndup(cursor.text, cursor.len);
	return post->cursor ? WEFT_OK : err_set(WEFT_ENOMEM);
}

/* True: it is an answer, and was taken. */
static bool take_own(struct mcp_post *post, weft_message *message)
{
	struct mcp_client *c = post->client;

	if (!has_id(message)) {
		if (message->rpc.kind != WEFT_JSONRPC_ERROR || post->is_answered)
			return false;
		mcp_take_error(post, &message->rpc, NULL);
		weft_message_fini(message);
		return true;
	}
	if (!message_answers_id(message->rpc.id, post->message.rpc.id))
		return false;
	if (message->rpc.kind == WEFT_JSONRPC_INVALID) {
		char text[MCP_REASON_MAX];

		(void)snprintf(text, sizeof(text), "the server's answer is no message: %s",
			message->rpc.fault ? message->rpc.fault : "too large");
		mcp_refuse(post, text);
	} else if (take_tools(post, message)) {
		mcp_refuse(post, "no memory for the tools of the server");
	} else if (mcp_claim(c, post)) {
		if (mcp_is_initialize(&post->message)) {
			post->is_welcomed = message->rpc.kind == WEFT_JSONRPC_RESPONSE;
			mcp_learn_version(c, message);
			/* before it is given on: who gets it may at once say more */
			weft_cancel_trigger(c->greeted, WEFT_OK);
		}
		weft_transport_deliver_own(c->transport, message);
		return true;
	}
	weft_message_fini(message);
	return true;
}

/* Over the stream of HTTP+SSE. True: it is an answer, and was taken. */
static bool take_shared(struct mcp_client *c, weft_message *message)
{
	weft_cancel *token = NULL;
	bool is_stateless;

	if (!has_id(message) || !mcp_claim_id(c, message->rpc.id, &token, &is_stateless))
		return false;
	/* before the answer is given on: who gets it may wait for what the post's fiber does last */
	weft_cancel_trigger(token, WEFT_OK);
	weft_cancel_unref(token);
	if (message->rpc.kind == WEFT_JSONRPC_INVALID) {
		refuse_id(c, message->rpc.id, "the server's answer is no message");
		weft_message_fini(message);
	} else {
		weft_transport_deliver_own(c->transport, message);
	}
	return true;
}

static void take_one(struct mcp_client *c, struct mcp_post *post, weft_message *message)
{
	weft_jsonrpc_kind kind = message->rpc.kind;
	bool is_answer = kind == WEFT_JSONRPC_RESPONSE || kind == WEFT_JSONRPC_ERROR;

	if (is_answer || kind == WEFT_JSONRPC_INVALID) {
		if (post ? take_own(post, message)
			 : word_get(&c->mode) == MCP_MODE_SSE && take_shared(c, message))
			return;
		if (is_answer) {
			nobodys(message, "an answer that nobody waits for");
			return;
		}
	} else if (kind == WEFT_JSONRPC_REQUEST && post && post->is_stateless) {
		nobodys(message, "a server's request, which there are none of without sessions");
		return;
	}
	weft_transport_deliver_own(c->transport, message);
}

void mcp_take(struct mcp_client *c, struct mcp_post *post, weft_message *message)
{
	weft_json_limits limits = mcp_limits(c);
	weft_message element;
	size_t at = 0;

	if (message->rpc.kind != WEFT_JSONRPC_BATCH) {
		take_one(c, post, message);
		return;
	}
	while (message_batch_next(message, &at, &element, &limits))
		take_one(c, post, &element);
	weft_message_fini(message);
}

weft_err mcp_take_text(struct mcp_client *c, struct mcp_post *post, const char *text, size_t len)
{
	weft_json_limits limits = mcp_limits(c);
	weft_message message;

	if (weft_message_copy(&message, c->remote->options.transport.pool, text, len, &limits)) {
		mcp_end(c, WEFT_ENOMEM, "no memory for a message that came");
		return err_set(WEFT_ENOMEM);
	}
	mcp_take(c, post, &message);
	return WEFT_OK;
}

void mcp_take_oversize(struct mcp_client *c, struct mcp_post *post)
{
	char text[MCP_REASON_MAX];

	(void)snprintf(text, sizeof(text), "a message of the server's is larger than %zu bytes",
		c->remote->options.transport.message_size_max);
	weft_log(WEFT_LOG_WARN, "mcp", "%s: %s", c->remote->url_text, text);
	if (post)
		mcp_refuse(post, text);
	else if (word_get(&c->mode) == MCP_MODE_SSE && counter_get(&c->in_flight) > 0)
		/* somebody's answer, perhaps: whose can't be known */
		mcp_end(c, WEFT_ERESET, text);
}
