/* SPDX-License-Identifier: MIT */
/* The head of a request: what of it is the caller's to say, and its bytes. */
#include "base/mem.h"
#include "http/client.h"

#include <stdio.h>
#include <string.h>

/* --- checks --------------------------------------------------------------------------------- */

/* Only whether the connection stays, which is the client's to say, too. */
static weft_err check_connection(struct client_call *call, const struct http_field *field)
{
	struct http1_piece rest = { field->value, field->value_len }, element;

	while (http1_list_next(&rest, &element)) {
		if (http1_same_text(element.data, element.len, "close", 5))
			call->closes = true;
		else if (!http1_same_text(element.data, element.len, "keep-alive", 10))
			return err_setf(WEFT_EINVAL,
				"the field 'Connection: %.64s' is the client's to send",
				field->value);
	}
	return WEFT_OK;
}

static weft_err check_field(struct client_call *call, const struct http_field *field)
{
	switch ((int)http1_name_of(field->name, field->name_len)) {
	case HTTP1_NAME_HOST:
		if (call->has_host)
			return err_setf(WEFT_EINVAL, "more than one Host field");
		call->has_host = true;
		return WEFT_OK;
	case HTTP1_NAME_USER_AGENT:
		call->has_agent = true;
		return WEFT_OK;
	case HTTP1_NAME_CONNECTION:
		return check_connection(call, field);
	case HTTP1_NAME_UPGRADE:
		if (call->request->upgrade)
			return WEFT_OK;
		break;
	case HTTP1_NAME_CONTENT_LENGTH:
	case HTTP1_NAME_TRANSFER_ENCODING:
	case HTTP1_NAME_EXPECT:
	case HTTP1_NAME_KEEP_ALIVE:
	case HTTP1_NAME_PROXY_CONNECTION:
		break;
	default:
		return WEFT_OK;
	}
	return err_setf(WEFT_EINVAL, "the field '%.64s' is the client's to send", field->name);
}

/* Methods whose requests say that there is no body (RFC 9110, section 8.6). */
static bool says_no_body(enum http1_method method)
{
	return method == HTTP1_METHOD_POST || method == HTTP1_METHOD_PUT ||
		method == HTTP1_METHOD_PATCH;
}

static weft_err frame(struct client_call *call)
{
	const weft_http_request *request = call->request;
	struct http1_framing *f = &call->framing;

	*f = (struct http1_framing){
		.kind = HTTP1_NO_BODY, .content_length = -1, .upgrade = request->upgrade
	};
	if (request->body && request->body_read)
		return err_setf(WEFT_EINVAL, "both body and body_read are given");
	if (request->body_length > INT64_MAX || request->body_size > INT64_MAX)
		return err_setf(
			WEFT_EINVAL, "the body's length is above %lld", (long long)INT64_MAX);
	if (request->trailers && (!request->body_read || request->body_length))
		return err_setf(WEFT_EINVAL, "trailers need a body from a function, in chunks");
	if (request->body_read) {
		f->kind = request->body_length ? HTTP1_LENGTH : HTTP1_CHUNKED;
		f->content_length = request->body_length ? (int64_t)request->body_length : -1;
	} else if (request->body && request->body_size) {
		f->kind = HTTP1_LENGTH;
		f->content_length = (int64_t)request->body_size;
	} else if (says_no_body(call->known)) {
		f->content_length = 0;
	}
	f->expect_continue = request->expect_continue && f->kind != HTTP1_NO_BODY;
	return WEFT_OK;
}

weft_err client_head_check(struct client_call *call)
{
	const weft_http_request *request = call->request;
	const struct weft_http_fields *fields = request->fields;
	weft_err err = WEFT_OK;

	call->method = request->method ? request->method : "GET";
	call->method_len = strlen(call->method);
	if (!http1_is_token(call->method, call->method_len) || call->method_len > HTTP1_METHOD_MAX)
		return err_setf(
			WEFT_EINVAL, "the method is no token of up to %d bytes", HTTP1_METHOD_MAX);
	call->known = http1_method_of(call->method, call->method_len);
	if (call->known == HTTP1_METHOD_CONNECT)
		return err_setf(WEFT_EINVAL, "CONNECT is for proxies, and made where one is used");
	call->closes = request->fresh;
	err = frame(call);
	for (size_t i = 0; fields && i < fields->len && !err; i++)
		err = check_field(call, &fields->list[i]);
	call->framing.keep_alive = !call->closes;
	return err;
}

/* --- writing -------------------------------------------------------------------------------- */

/* To a proxy the whole URL (RFC 9112, section 3.2.2). */
static weft_err absolute_target(const struct client_call *call, char **out)
{
	const struct client_route *route = &call->route;
	size_t size = sizeof("http://") + route->authority_len + route->target_len;

	*out = mem_alloc(size);
	if (!*out)
		return err_set(WEFT_ENOMEM);
	(void)snprintf(*out, size, "http://%.*s%.*s", (int)route->authority_len, route->authority,
		(int)route->target_len, route->target);
	return WEFT_OK;
}

static void put_field(struct http1_out *out, const struct http_field *field)
{
	if (http1_name_of(field->name, field->name_len) != HTTP1_NAME_CONNECTION)
		http1_put_field(out, field->name, field->name_len, field->value, field->value_len);
}

/* absolute: in place of the route's target; NULL: not. */
static bool write_head(struct client_call *call, struct http1_out *out, const char *absolute)
{
	const struct client_route *route = &call->route;
	const struct weft_http_fields *fields = call->request->fields;
	const char *agent = call->client->user_agent;
	const char *authorization = call->response->conn->proxy_authorization;

	http1_put_request(out, call->method, call->method_len, absolute ? absolute : route->target,
		absolute ? strlen(absolute) : route->target_len, &call->framing);
	if (!call->has_host)
		http1_put_known(out, "Host", 4, route->authority, route->authority_len);
	if (!call->has_agent && agent)
		http1_put_known(out, "User-Agent", 10, agent, strlen(agent));
	if (authorization)
		http1_put_field(
			out, "Proxy-Authorization", 19, authorization, strlen(authorization));
	for (size_t i = 0; fields && i < fields->len; i++)
		put_field(out, &fields->list[i]);
	return http1_put_end(out);
}

weft_err client_head_write(struct client_call *call, size_t *size)
{
	struct weft_http_response *r = call->response;
	struct http1_out out;
	char *absolute = NULL;
	bool done = false;
	weft_err err = WEFT_OK;

	if (r->conn->absolute)
		err = absolute_target(call, &absolute);
	while (!err && !done) {
		http1_out_init(&out, r->data, r->cap);
		done = write_head(call, &out, absolute);
		if (!done && out.fault == HTTP1_WRITE_SPACE)
			err = client_block_grow(r, out.len);
		else if (!done)
			err = err_setf(WEFT_EINVAL, "the request's head: %s",
				http1_write_fault_text(out.fault));
	}
	mem_free(absolute);
	if (err)
		return err;
	*size = out.len;
	if (call->request->on_head)
		call->request->on_head(call->request->user, r->data, out.len);
	return WEFT_OK;
}
