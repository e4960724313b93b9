/* SPDX-License-Identifier: MIT */
/*
 * Header fields of requests to an MCP server. Source: modelcontextprotocol.io/specification,
 * "Transports" of 2025-11-25; "Streamable HTTP" of 2026-07-28.
 */
#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "bridge/mcp_client.h"

#include <string.h>

#define VALUE_MAX ((size_t)8 << 10) /* bytes of a value made of the body's */

/* ---- values of the body as fields ---- */

/* As it stands: printable ASCII, no space at an end, and not like an encoded one. */
static bool is_plain(const char *text, size_t len)
{
	static const char begin[] = "=?base64?";

	if (len == 0 || text[0] == ' ' || text[len - 1] == ' ' ||
		(len >= strlen(begin) && memcmp(text, begin, strlen(begin)) == 0))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return true;
}

static weft_err value_set(weft_http_fields *fields, const char *name, const char *text, size_t len)
{
	static const char begin[] = "=?base64?", end[] = "?=";
	size_t size = strlen(begin) + BASE64_LEN(len) + sizeof(end);
	bool plain = is_plain(text, len);
	char *value = mem_alloc(plain ? len + 1 : size);
	weft_err err;

	if (!value)
		return err_set(WEFT_ENOMEM);
	if (plain) {
		memcpy(value, text, len);
		value[len] = '\0';
	} else {
		memcpy(value, begin, strlen(begin));
		base64_encode(value + strlen(begin), text, len);
		memcpy(value + strlen(begin) + BASE64_LEN(len), end, sizeof(end));
	}
	err = weft_http_fields_set(fields, name, value);
	mem_free(value);
	return err;
}

/* A string of the body; none: no field. */
static weft_err string_set(weft_http_fields *fields, const char *name, weft_json string)
{
	size_t len = 0;
	char *text;
	weft_err err;

	if (weft_json_type_of(string) != WEFT_JSON_STRING)
		return WEFT_OK;
	if (string.len > VALUE_MAX)
		return err_setf(WEFT_EINVAL, "%s would have more than %zu bytes", name, VALUE_MAX);
	text = mem_alloc(string.len);
	if (!text)
		return err_set(WEFT_ENOMEM);
	err = weft_json_string_decode(string, text, string.len, &len);
	if (!err)
		err = value_set(fields, name, text, len);
	mem_free(text);
	return err;
}

static weft_err tool_field_set(void *user, const char *name, weft_json value)
{
	weft_http_fields *fields = user;

	if (weft_json_type_of(value) == WEFT_JSON_STRING)
		return string_set(fields, name, value);
	return value_set(fields, name, value.text, value.len);
}

static bool method_is(const weft_message *message, const char *name)
{
	return weft_json_string_is(message->rpc.method, name);
}

/* The extension io.modelcontextprotocol/tasks: who stands between routes by the task. */
static bool names_task(const weft_message *message)
{
	return method_is(message, "tasks/get") || method_is(message, "tasks/update") ||
		method_is(message, "tasks/cancel");
}

static weft_json member(weft_json object, const char *name)
{
	weft_json value = { NULL, 0 };

	if (weft_json_get(&value, object, name))
		value = (weft_json){ NULL, 0 };
	return value;
}

static weft_err stateless_fields(
	weft_http_fields *fields, const struct mcp_client *c, const weft_message *message)
{
	weft_err err = weft_http_fields_set(fields, "MCP-Protocol-Version", MCP_STATELESS_VERSION);

	/* what the message itself says: the server compares */
	if (!err)
		err = string_set(
			fields, "MCP-Protocol-Version", message->rpc.meta_protocol_version);
	if (!err)
		err = string_set(fields, "Mcp-Method", message->rpc.method);
	if (!err && (method_is(message, "tools/call") || method_is(message, "prompts/get")))
		err = string_set(fields, "Mcp-Name", message->rpc.name);
	if (!err && method_is(message, "resources/read"))
		err = string_set(fields, "Mcp-Name", message->rpc.uri);
	if (!err && names_task(message))
		err = string_set(fields, "Mcp-Name", member(message->rpc.params, "taskId"));
	if (!err && method_is(message, "tools/call"))
		err = mcp_tools_fields(c->remote->tools, message, tool_field_set, fields);
	return err;
}

/* ---- all fields ---- */

static weft_err session_fields(weft_http_fields *fields, struct mcp_client *c)
{
	const char *session, *version;
	weft_err err = WEFT_OK;

	rt_lock_acquire(&c->lock); /* once set they stay */
	session = c->session;
	version = c->version;
	rt_lock_release(&c->lock);
	if (session)
		err = weft_http_fields_set(fields, "Mcp-Session-Id", session);
	if (!err && version)
		err = weft_http_fields_set(fields, "MCP-Protocol-Version", version);
	return err;
}

weft_err mcp_fields(weft_http_fields **out, struct mcp_client *c, const weft_message *message)
{
	const weft_http_fields *own = c->remote->request.fields;
	weft_http_fields *fields = NULL;
	weft_err err = own ? weft_http_fields_copy(&fields, own) : weft_http_fields_create(&fields);

	if (!err && message)
		err = weft_http_fields_set(fields, "Content-Type", "application/json");
	if (!err && message)
		err = weft_http_fields_set(fields, "Accept", "application/json, text/event-stream");
	if (!err && message && mcp_is_stateless(c, message))
		err = stateless_fields(fields, c, message);
	else if (!err && word_get(&c->mode) != MCP_MODE_SSE)
		err = session_fields(fields, c);
	if (err)
		weft_http_fields_free(fields);
	else
		*out = fields;
	return err;
}
