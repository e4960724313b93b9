/* SPDX-License-Identifier: MIT */
/* See mcp_server_check.h. */
#include "bridge/mcp_server_check.h"

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BASE64_PREFIX "=?base64?"
#define BASE64_SUFFIX "?="
#define SHOWN_MAX 64 /* bytes of a peer's text in an error */

/* ---- versions ---- */

static const char *const versions[] = {
	[MCPS_2024_10_07] = "2024-10-07",
	[MCPS_2024_11_05] = "2024-11-05",
	[MCPS_2025_03_26] = "2025-03-26",
	[MCPS_2025_06_18] = "2025-06-18",
	[MCPS_2025_11_25] = "2025-11-25",
	[MCPS_2026_07_28] = "2026-07-28",
};

enum mcps_version mcps_version_of(const char *text, size_t len)
{
	if (!text)
		return MCPS_VERSION_ABSENT;
	for (int v = MCPS_2024_10_07; v <= MCPS_2026_07_28; v++)
		if (strlen(versions[v]) == len && memcmp(versions[v], text, len) == 0)
			return (enum mcps_version)v;
	return MCPS_VERSION_UNKNOWN;
}

enum mcps_version mcps_version_of_json(weft_json value)
{
	char text[16];
	size_t len;

	if (!value.text)
		return MCPS_VERSION_ABSENT;
	if (weft_json_string_decode(value, text, sizeof(text), &len) != WEFT_OK)
		return MCPS_VERSION_UNKNOWN;
	return mcps_version_of(text, len);
}

const char *mcps_versions_json(bool sessions, bool stateless)
{
	if (sessions && stateless)
		return "[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\",\"2024-11-05\"]";
	return stateless ? "[\"2026-07-28\"]"
			 : "[\"2025-11-25\",\"2025-06-18\",\"2025-03-26\",\"2024-11-05\"]";
}

/* ---- media types ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static const char *skip_space(const char *at)
{
	while (is_space(*at))
		at++;
	return at;
}

/* A token, or a type: up to what ends it. */
static size_t token_len(const char *at)
{
	return strcspn(at, ",; \t");
}

/* "type/subtype", a range or not, against a type. */
static bool range_has(const char *range, size_t len, const char *type)
{
	size_t major = (size_t)(strchr(type, '/') - type) + 1;

	if (len == strlen(type) && strncasecmp(range, type, len) == 0)
		return true;
	if (len == 3 && memcmp(range, "*/*", 3) == 0)
		return true;
	return len == major + 1 && range[major] == '*' && strncasecmp(range, type, major) == 0;
}

/* The end of a parameter, whose value may be a quoted string (RFC 9110, section 5.6.6). */
static const char *parameter_end(const char *at)
{
	bool quoted = false;

	for (; *at && (quoted || (*at != ',' && *at != ';')); at++) {
		if (quoted && *at == '\\' && at[1])
			at++;
		else if (*at == '"')
			quoted = !quoted;
	}
	return at;
}

/* "q=0", "q=0.", "q=0.000": not wanted. */
static bool is_zero_weight(const char *at)
{
	if ((*at != 'q' && *at != 'Q') || at[1] != '=' || at[2] != '0')
		return false;
	at += 3;
	if (*at == '.')
		at++;
	at += strspn(at, "0");
	return *at < '0' || *at > '9';
}

bool mcps_accepts(const char *accept, const char *type)
{
	while (accept && *accept) {
		const char *range = skip_space(accept);
		size_t len = token_len(range);
		bool refused = false;

		accept = skip_space(range + len);
		while (*accept == ';') {
			const char *parameter = skip_space(accept + 1);

			refused |= is_zero_weight(parameter);
			accept = parameter_end(parameter);
		}
		if (!refused && range_has(range, len, type))
			return true;
		accept += strcspn(accept, ",");
		accept += *accept == ',';
	}
	return false;
}

/* Where word is in text, in whatever case; NULL: nowhere. */
static const char *find_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (; text && *text; text++) {
		if (strncasecmp(text, word, len) == 0)
			return text;
	}
	return NULL;
}

bool mcps_prefers_events(const char *accept)
{
	const char *events = find_word(accept, "text/event-stream");
	const char *json = find_word(accept, "application/json");

	return events && (!json || events < json) && !find_word(accept, "q=");
}

bool mcps_is_json(const char *content_type)
{
	static const char json[] = "application/json";
	size_t len;

	if (!content_type)
		return false;
	content_type = skip_space(content_type);
	len = token_len(content_type);
	if (len != sizeof(json) - 1 || strncasecmp(content_type, json, len) != 0)
		return false;
	content_type = skip_space(content_type + len);
	return !*content_type || *content_type == ';';
}

/* ---- ids of events ---- */

void mcps_cursor_write(char out[MCPS_CURSOR_SIZE], const struct mcps_cursor *cursor)
{
	int n = snprintf(out, MCPS_CURSOR_SIZE, "%llu-%llu%s", (unsigned long long)cursor->stream,
		(unsigned long long)cursor->seq, cursor->is_listener ? "" : "-");

	if (!cursor->is_listener && cursor->request_id.len <= MCPS_CURSOR_ID_MAX)
		base64_encode(out + n, cursor->request_id.text, cursor->request_id.len);
}

/* Digits without a zero before them. */
static bool read_number(const char **at, uint64_t *out)
{
	const char *from = *at;
	uint64_t n = 0;

	for (; **at >= '0' && **at <= '9'; ++*at) {
		unsigned digit = (unsigned)(**at - '0');

		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*out = n;
	return *at != from && (*from != '0' || *at == from + 1);
}

/* What an id may be: a string or a number. */
static bool read_request_id(struct mcps_cursor *out, char *id, const char *text)
{
	size_t len = strlen(text);
	weft_json_type type;

	if (BASE64_DECODED_MAX(len) > MCPS_CURSOR_ID_MAX || !base64_decode(id, &len, text, len))
		return false;
	if (!len)
		return true;
	if (weft_json_check(&out->request_id, id, len, NULL))
		return false;
	type = weft_json_type_of(out->request_id);
	return type == WEFT_JSON_STRING || type == WEFT_JSON_NUMBER;
}

bool mcps_cursor_read(struct mcps_cursor *out, char id[MCPS_CURSOR_ID_MAX], const char *text)
{
	*out = (struct mcps_cursor){ 0 };
	if (!read_number(&text, &out->stream) || *text++ != '-' || !read_number(&text, &out->seq))
		return false;
	out->is_listener = !*text;
	return out->is_listener || (*text == '-' && read_request_id(out, id, text + 1));
}

/* ---- the stateless era ---- */

static bool fail(struct mcps_fault *fault, int code, const char *format, ...) WEFT_PRINTF(3, 4);
static bool fail(struct mcps_fault *fault, int code, const char *format, ...)
{
	va_list args;

	fault->code = code;
	fault->status = 400;
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return false;
}

/* Visible ASCII, spaces and tabs. */
static bool is_plain(const char *value)
{
	for (; *value; value++)
		if ((*value < 0x20 && *value != '\t') || *value > 0x7e)
			return false;
	return true;
}

/* What stands between prefix and suffix; NULL: it is a plain value. */
static const char *encoded_part(const char *value, size_t *len)
{
	size_t all = strlen(value), prefix = strlen(BASE64_PREFIX), suffix = strlen(BASE64_SUFFIX);

	if (all < prefix + suffix || strncmp(value, BASE64_PREFIX, prefix) != 0 ||
		strcmp(value + all - suffix, BASE64_SUFFIX) != 0)
		return NULL;
	*len = all - prefix - suffix;
	return value + prefix;
}

weft_err mcps_value_matches(const char *value, weft_json string)
{
	const char *encoded;
	char *text;
	size_t len;
	weft_err err;

	if (!is_plain(value))
		return err_set(WEFT_EINVAL);
	encoded = encoded_part(value, &len);
	if (!encoded)
		return weft_json_string_is(string, value) ? WEFT_OK : err_set(WEFT_ENOTFOUND);
	text = mem_alloc(len + 1);
	if (!text)
		return err_set(WEFT_ENOMEM);
	err = WEFT_OK;
	if (!base64_decode(text, &len, encoded, len))
		err = err_set(WEFT_EINVAL);
	else if (!weft_json_string_is_bytes(string, text, len))
		err = err_set(WEFT_ENOTFOUND);
	mem_free(text);
	return err;
}

/* Without a fraction that is nothing but zeros. */
static size_t whole_len(const char *number, size_t len)
{
	const char *point = memchr(number, '.', len);
	size_t whole = point ? (size_t)(point - number) : len;

	return point && whole + 1 < len && strspn(point + 1, "0") >= len - whole - 1 ? whole : len;
}

weft_err mcps_param_matches(const char *value, weft_json body)
{
	size_t len = strlen(value), body_len = body.len;

	if (weft_json_type_of(body) == WEFT_JSON_STRING)
		return mcps_value_matches(value, body);
	if (!is_plain(value))
		return err_set(WEFT_EINVAL);
	if (weft_json_type_of(body) == WEFT_JSON_NUMBER) {
		len = whole_len(value, len);
		body_len = whole_len(body.text, body_len);
	}
	return len == body_len && memcmp(value, body.text, len) == 0 ? WEFT_OK
								     : err_set(WEFT_ENOTFOUND);
}

/* The value of a field that must say what the body's string says. */
static bool check_value(
	const char *field, const char *value, weft_json string, struct mcps_fault *fault)
{
	weft_err err;

	if (!value)
		return fail(fault, MCPS_HEADER_MISMATCH, "Header mismatch: %s is missing", field);
	err = mcps_value_matches(value, string);
	if (err == WEFT_OK)
		return true;
	if (err == WEFT_ENOMEM) {
		(void)fail(fault, WEFT_JSONRPC_INTERNAL_ERROR, "out of memory");
		fault->status = 503;
		return false;
	}
	if (err == WEFT_EINVAL)
		return fail(fault, MCPS_HEADER_MISMATCH,
			"Header mismatch: %s has characters that a value may not have", field);
	return fail(fault, MCPS_HEADER_MISMATCH,
		"Header mismatch: %s '%.*s' is not what the body says: %.*s", field, SHOWN_MAX,
		value, (int)(string.len < SHOWN_MAX ? string.len : SHOWN_MAX),
		string.text ? string.text : "");
}

/* params.name or params.uri, where the method has a Mcp-Name. */
static weft_json named_by(const weft_jsonrpc *rpc)
{
	if (weft_json_string_is(rpc->method, "tools/call") ||
		weft_json_string_is(rpc->method, "prompts/get"))
		return rpc->name;
	if (weft_json_string_is(rpc->method, "resources/read"))
		return rpc->uri;
	return (weft_json){ NULL, 0 };
}

/* Of the extension io.modelcontextprotocol/tasks, whose Mcp-Name is params.taskId. */
static bool names_task(const weft_jsonrpc *rpc)
{
	return weft_json_string_is(rpc->method, "tasks/get") ||
		weft_json_string_is(rpc->method, "tasks/update") ||
		weft_json_string_is(rpc->method, "tasks/cancel");
}

/* Its method is one that a Mcp-Name belongs to. */
static bool has_name(const weft_jsonrpc *rpc)
{
	return weft_json_string_is(rpc->method, "tools/call") ||
		weft_json_string_is(rpc->method, "prompts/get") ||
		weft_json_string_is(rpc->method, "resources/read");
}

static bool check_version(
	const struct mcps_heads *heads, const weft_jsonrpc *rpc, struct mcps_fault *fault)
{
	if (!heads->version)
		return fail(fault, MCPS_HEADER_MISMATCH,
			"Header mismatch: MCP-Protocol-Version is missing");
	if (!rpc->meta_protocol_version.text)
		return fail(fault, WEFT_JSONRPC_INVALID_PARAMS,
			"Invalid params: _meta lacks io.modelcontextprotocol/protocolVersion");
	if (!check_value("MCP-Protocol-Version", heads->version, rpc->meta_protocol_version, fault))
		return false;
	if (!heads->any_version &&
		mcps_version_of(heads->version, strlen(heads->version)) < MCPS_2026_07_28)
		return fail(fault, MCPS_VERSION_UNSUPPORTED, "Unsupported protocol version");
	return true;
}

static bool has_capabilities(const weft_jsonrpc *rpc)
{
	weft_json value;

	return weft_json_get(&value, rpc->meta, "io.modelcontextprotocol/clientCapabilities") ==
		WEFT_OK &&
		weft_json_type_of(value) == WEFT_JSON_OBJECT;
}

bool mcps_heads_check(
	const struct mcps_heads *heads, const weft_jsonrpc *rpc, struct mcps_fault *fault)
{
	weft_json name = named_by(rpc);
	bool is_named = weft_json_type_of(name) == WEFT_JSON_STRING;

	/* who ignores case reads another body than was compared */
	if (rpc->odd_name.text) {
		return fail(fault, WEFT_JSONRPC_INVALID_REQUEST,
			"Invalid request: %.*s differs from a member that has a meaning in case only",
			(int)(rpc->odd_name.len < SHOWN_MAX ? rpc->odd_name.len : SHOWN_MAX),
			rpc->odd_name.text);
	}
	if (heads->repeated)
		return fail(fault, MCPS_HEADER_MISMATCH,
			"Header mismatch: a field of the request is there twice");
	if (!check_version(heads, rpc, fault) ||
		!check_value("Mcp-Method", heads->method, rpc->method, fault))
		return false;
	/* that extension says less of who has to have one; of other methods nobody uses it */
	if (!is_named && heads->name && names_task(rpc) &&
		weft_json_get(&name, rpc->params, "taskId") == WEFT_OK &&
		!check_value("Mcp-Name", heads->name, name, fault))
		return false;
	if (is_named && !check_value("Mcp-Name", heads->name, name, fault))
		return false;
	if (!is_named && heads->name && has_name(rpc))
		return fail(fault, MCPS_HEADER_MISMATCH,
			"Header mismatch: Mcp-Name names what the body does not");
	if (rpc->kind == WEFT_JSONRPC_REQUEST && !has_capabilities(rpc))
		return fail(fault, WEFT_JSONRPC_INVALID_PARAMS,
			"Invalid params: _meta lacks io.modelcontextprotocol/clientCapabilities");
	return true;
}

unsigned mcps_error_status(int64_t code)
{
	switch (code) {
	case WEFT_JSONRPC_METHOD_NOT_FOUND:
		return 404;
	case MCPS_HEADER_MISMATCH:
	case MCPS_CAPABILITY_MISSING:
	case MCPS_VERSION_UNSUPPORTED:
		return 400;
	default:
		return 200;
	}
}
