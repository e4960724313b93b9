/* SPDX-License-Identifier: MIT */
#ifndef MCP_JSON_H
#define MCP_JSON_H

/*
 * Members of JSON objects, for the programs around a bridge that is measured: bridges may write a
 * message anew, in any order and with any white space. Only of what is well formed; nothing is
 * copied.
 */
#include "bench.h"

#include <stdbool.h>

/* A value; of a string with its quotes. len 0: there is none. */
struct json_span {
	const char *at;
	size_t len;
};

static inline const char *json_blank_end(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
		at++;
	return at;
}

static inline const char *json_string_end(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		at += *at == '\\';
	return at < end ? at + 1 : end;
}

static inline const char *json_value_end(const char *at, const char *end)
{
	size_t depth = 0;
	if (at < end && *at == '"')
		return json_string_end(at, end);
	if (at == end || (*at != '{' && *at != '[')) {
		while (at < end && !strchr(",}] \t\r\n", *at))
			at++;
		return at;
	}
	while (at < end) {
		if (*at == '"') {
			at = json_string_end(at, end);
			continue;
		}
		depth += *at == '{' || *at == '[';
		depth -= *at == '}' || *at == ']';
		at++;
		if (!depth)
			break;
	}
	return at;
}

/* The first element of an array. */
static inline struct json_span json_first(struct json_span array)
{
	struct json_span first = { NULL, 0 };
	const char *end = array.at + array.len;
	if (!array.len || *array.at != '[')
		return first;
	first.at = json_blank_end(array.at + 1, end);
	first.len = (size_t)(json_value_end(first.at, end) - first.at);
	return first;
}

/* What name, without escapes, stands for in an object. */
static inline struct json_span json_member(struct json_span object, const char *name)
{
	struct json_span value = { NULL, 0 };
	const char *end = object.at + object.len, *at = object.at;
	const size_t len = strlen(name);
	if (!object.len || *at != '{')
		return value;
	for (at++; at < end; at++) {
		const char *key = json_blank_end(at, end);
		if (key == end || *key != '"')
			break;
		at = json_string_end(key, end);
		const bool found = (size_t)(at - key) == len + 2 && !memcmp(key + 1, name, len);
		at = json_blank_end(at, end);
		if (at == end || *at != ':')
			break;
		value.at = json_blank_end(at + 1, end);
		at = json_value_end(value.at, end);
		value.len = (size_t)(at - value.at);
		if (found)
			return value;
		at = json_blank_end(at, end);
		if (at == end || *at != ',')
			break;
	}
	return (struct json_span){ NULL, 0 };
}

/* Is it that text, as it stands in JSON, quotes included where it is a string? */
static inline bool json_is(struct json_span value, const char *text)
{
	return value.len == strlen(text) && !memcmp(value.at, text, value.len);
}
#endif
