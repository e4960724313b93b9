/* SPDX-License-Identifier: MIT */
/*
 * A request, from the caller's struct to the head of its response.
 *
 *	get a connection -> write the head, and as much of the body as goes at once -> read the head
 *	        ^                                   |                       |
 *	        +------- once more, on a new one: a kept connection died before any byte came
 */
#include "http/client.h"
#include "http/follow.h"

#include <string.h>

/* How long the first write may wait for room before the body goes on in a fiber of its own. */
#define FIRST_WRITE_NS INT64_C(20000000)
#define URL_TEXT_SIZE 512

/* --- a connection --------------------------------------------------------------------------- */

/*
 * Whether the peer has closed it, or said something unasked, while it was idle. No system call
 * where the poller has heard nothing. Errors: WEFT_ECANCELED.
 */
static bool is_alive(struct client_conn *conn, weft_err *err)
{
	char byte = 0;
	size_t got;

	*err = weft_conn_read(conn->conn, &byte, 1, &got, WEFT_NOW);
	if (*err == WEFT_ECANCELED)
		return true;
	if (*err == WEFT_ETIMEDOUT) {
		*err = WEFT_OK;
		return true;
	}
	*err = WEFT_OK;
	return false;
}

static weft_err get_conn(struct client_call *call, bool fresh, struct client_conn **out)
{
	weft_http_client *client = call->client;
	struct pool_request wanted = { call->route.key, &call->route, fresh };
	struct pool_conn *conn;
	weft_err err;

	for (;;) {
		err = pool_get(client->pool, &wanted, &conn, call->until);
		if (err)
			return err;
		if (!(conn->used || conn->kept) || is_alive(client_conn_of(conn), &err))
			break;
		counter_add(&client->stale, 1);
		pool_not_reused(client->pool, conn);
		pool_drop(client->pool, conn);
	}
	if (err) {
		pool_not_reused(client->pool, conn);
		pool_put(client->pool, conn);
	} else {
		*out = client_conn_of(conn);
	}
	return err;
}

/* --- sending -------------------------------------------------------------------------------- */

/* The whole head, in spite of a first write that was given too little time. */
static weft_err write_rest(
	struct client_call *call, const char *data, size_t size, weft_deadline until)
{
	return size ? weft_conn_write(call->response->conn->conn, data, size, NULL, until)
		    : WEFT_OK;
}

/* The head, with the beginning of a body of bytes; what is left of that goes to a fiber. */
static weft_err write_with_body(struct client_call *call, size_t head_size, weft_deadline until)
{
	struct weft_http_response *r = call->response;
	const weft_http_request *request = call->request;
	struct iovec iov[2] = { { r->data, head_size },
		{ (void *)(uintptr_t)request->body, request->body_size } };
	size_t written;
	weft_err err;

	err = weft_conn_writev(r->conn->conn, iov, 2, &written,
		client_earlier(until, weft_after_ns(FIRST_WRITE_NS)));
	if (err != WEFT_ETIMEDOUT)
		return err;
	if (written < head_size) {
		err = write_rest(call, r->data + written, head_size - written, until);
		written = head_size;
		if (err)
			return err;
	}
	return client_sender_start(r, request, written - head_size);
}

static weft_err send_request(struct client_call *call)
{
	struct weft_http_response *r = call->response;
	const weft_http_request *request = call->request;
	weft_deadline until = client_earlier(
		call->until, client_since(r->got_conn, call->client->options.stall_timeout_ns));
	bool has_body = call->framing.kind != HTTP1_NO_BODY;
	size_t size;
	weft_err err;

	err = client_head_write(call, &size);
	if (err)
		return err;
	call->awaits_continue = call->framing.expect_continue;
	if (has_body && !request->body_read && !call->awaits_continue) {
		err = write_with_body(call, size, until);
	} else {
		err = write_rest(call, r->data, size, until);
		if (!err && has_body && !call->awaits_continue)
			err = client_sender_start(r, request, 0);
	}
	r->sent = weft_now();
	return err;
}

/* A peer that stops listening may have said why. */
static bool may_have_answered(weft_err err)
{
	return err == WEFT_ERESET || err == WEFT_ECLOSED || err == WEFT_EIO;
}

/* The sender's own reason, where that is what has ended the connection. */
static weft_err reason_of(struct client_call *call, weft_err err)
{
	struct client_sender *sender = call->response->sender;

	if (!sender || !client_sender_gave_up(sender))
		return err;
	call->phase = "sending";
	return client_sender_result(sender);
}

/* The connection is about to be the caller's: nothing of the request may be behind (RFC 9110,
 * section 7.8), nor anybody who still writes to it. */
static weft_err finish_request(struct client_call *call)
{
	struct client_sender *sender = call->response->sender;

	if (call->awaits_continue)
		return err_setf(WEFT_EPROTO, "101 instead of the 100 that the body waits for");
	if (!sender)
		return WEFT_OK;
	call->phase = "sending";
	return client_sender_wait(sender, call->until);
}

/* The head has come: what it means for the connection and for a body under way. */
static void settle(struct client_call *call)
{
	struct weft_http_response *r = call->response;
	const struct http1_head *head = &r->parser.head;

	http1_head_terminate(head, r->data);
	if (!head->framing.keep_alive || call->closes || call->awaits_continue)
		r->keep = false;
	if (r->sender && head->status >= 400) {
		if (!client_sender_ended(r->sender))
			r->keep = false;
		if (r->sender && !r->keep) {
			client_sender_free(r->sender);
			r->sender = NULL;
		}
	}
	client_body_read_begin(r);
}

static weft_err converse(struct client_call *call)
{
	struct weft_http_response *r = call->response;
	weft_err err;

	call->phase = "sending";
	err = send_request(call);
	if (err && !may_have_answered(err))
		return err;
	if (err)
		r->keep = false;
	call->phase = "waiting for the response";
	err = client_read_head(call);
	if (err)
		return reason_of(call, err);
	if (r->parser.head.status == 101)
		err = finish_request(call);
	if (err)
		return err;
	settle(call);
	return WEFT_OK;
}

/* --- attempts ------------------------------------------------------------------------------- */

/* *again: the connection was a kept one, and gave no sign of life. */
static weft_err attempt(struct client_call *call, bool fresh, bool *again)
{
	struct client_conn *conn = NULL;
	struct weft_http_response *r;
	weft_err err;

	*again = false;
	call->phase = NULL;
	err = get_conn(call, fresh, &conn);
	if (err)
		return err;
	r = &conn->response;
	err = client_response_init(conn);
	if (err) {
		pool_not_reused(call->client->pool, &conn->pool);
		pool_put(call->client->pool, &conn->pool);
		return err;
	}
	call->response = r;
	r->begun = call->begun;
	r->got_conn = conn->pool.taken_at;
	r->reused = conn->pool.used;
	r->endless = call->request->endless;
	conn->pool.used = true;
	err = converse(call);
	if (!err)
		return WEFT_OK;
	*again = (r->reused || conn->pool.kept) && !r->got_bytes && err == WEFT_ERESET &&
		!(r->sender && client_sender_gave_up(r->sender));
	client_response_fini(r);
	pool_drop(call->client->pool, &conn->pool);
	call->response = NULL;
	return err;
}

/* RFC 9110, section 9.2.2. */
static bool is_idempotent(const struct client_call *call)
{
	switch ((int)call->known) {
	case HTTP1_METHOD_GET:
	case HTTP1_METHOD_HEAD:
	case HTTP1_METHOD_OPTIONS:
	case HTTP1_METHOD_TRACE:
	case HTTP1_METHOD_PUT:
	case HTTP1_METHOD_DELETE:
		return true;
	default:
		return call->request->idempotent;
	}
}

/* Whether it may be sent once more, and its body, which may have been begun, is there again. */
static bool rewind_all(const struct client_call *call)
{
	const weft_http_request *request = call->request;

	if (!is_idempotent(call))
		return false;
	if (!request->body_read)
		return true;
	return request->body_rewind && request->body_rewind(request->body_user) == WEFT_OK;
}

static weft_err attempts(struct client_call *call)
{
	bool again;
	weft_err err;

	err = attempt(call, call->request->fresh, &again);
	if (!err || !again || !rewind_all(call))
		return err;
	counter_add(&call->client->retries, 1);
	err = attempt(call, true, &again);
	if (!err)
		call->response->retries = 1;
	return err;
}

static weft_err name_error(const struct client_call *call, weft_err err)
{
	char url[URL_TEXT_SIZE];

	/* what did not parse may hold a password */
	if (!call->route.host)
		return err_wrap(err, "http %.32s", call->method);
	client_route_format(&call->route, url, sizeof(url));
	if (call->phase)
		return err_wrap(err, "http %.32s %.320s: %s", call->method, url, call->phase);
	return err_wrap(err, "http %.32s %.320s", call->method, url);
}

weft_err http_client_exchange(weft_http_client *client, const weft_http_request *request,
	weft_http_response **out, weft_deadline until)
{
	struct client_call call = { .client = client, .request = request, .until = until };
	weft_err err;

	call.begun = weft_now();
	call.method = request->method ? request->method : "GET";
	err = client_route_init(&call.route, request);
	if (!err)
		err = client_head_check(&call);
	if (!err)
		err = attempts(&call);
	if (err)
		err = name_error(&call, err);
	else
		*out = call.response;
	client_route_fini(&call.route);
	return err;
}

weft_err weft_http_client_send(weft_http_client *client, const weft_http_request *request,
	weft_http_response **out, weft_deadline until)
{
	const struct http_follow_options follow = { client->proxies,
		client->options.decode_ratio_max, client->options.body_size_max };

	if (http_follow_wanted(request, client->proxies))
		return http_follow(client, request, &follow, out, until);
	return http_client_exchange(client, request, out, until);
}
