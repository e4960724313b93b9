/* SPDX-License-Identifier: MIT */
/* Values of a JSON text: whole texts, members, elements, numbers. */
#include "base/err.h"
#include "proto/jsonrpc/scan.h"

#include <stdint.h>
#include <string.h>

/* The fault of a scan as an error. */
static weft_err fault_err(const struct json_scan *s)
{
	bool limit = s->fault == json_too_deep || s->fault == json_too_large;

	return err_setf(limit ? WEFT_EMSGSIZE : WEFT_EPROTO, "JSON: byte %zu: %s",
		(size_t)(s->fault_at - s->begin), s->fault);
}

weft_err weft_json_check(
	weft_json *out, const char *text, size_t len, const weft_json_limits *limits)
{
	weft_json_limits l = json_limits(limits);
	struct json_scan s;
	const char *first, *p, *rest;

	if (len > l.size_max)
		return err_setf(WEFT_EMSGSIZE, "JSON: %zu bytes, at most %zu", len, l.size_max);
	if (!text)
		text = "";
	json_scan_init(&s, text, len, text, true, l.depth_max);
	first = json_next(&s);
	p = json_value(&s, first);
	rest = p ? json_next(&s) : json_no_token;
	if (rest != json_no_token)
		json_fault(&s, rest, "something stands behind the value");
	if (!json_scan_utf8(&s, s.end))
		return fault_err(&s);
	*out = (weft_json){ first, (size_t)(p - first) };
	return WEFT_OK;
}

weft_json_type weft_json_type_of(weft_json value)
{
	return value.text && value.len > 0 ? json_type_by(value.text[0]) : WEFT_JSON_NONE;
}

/* ---- members and elements ---- */

enum { ITER_END, ITER_OBJECT_FIRST, ITER_OBJECT, ITER_ARRAY_FIRST, ITER_ARRAY };

weft_json_iter weft_json_iter_of(weft_json value)
{
	weft_json_type type = weft_json_type_of(value);
	weft_json_iter iter = { { NULL, 0 }, ITER_END };

	if (type != WEFT_JSON_OBJECT && type != WEFT_JSON_ARRAY)
		return iter;
	iter.rest = (weft_json){ value.text + 1, value.len - 1 };
	iter.state = type == WEFT_JSON_OBJECT ? ITER_OBJECT_FIRST : ITER_ARRAY_FIRST;
	return iter;
}

/*
 * The next member or element of what is walked. WEFT_ENOTFOUND, without a text, at its end; other
 * errors: s has the fault.
 */
static weft_err walk(struct json_scan *s, int state, weft_json *name, weft_json *value)
{
	bool object = state == ITER_OBJECT_FIRST || state == ITER_OBJECT;
	const char *p = json_next(s), *end;

	if (*p == (object ? '}' : ']'))
		return WEFT_ENOTFOUND;
	if (state == ITER_OBJECT || state == ITER_ARRAY) {
		if (*p != ',') {
			json_fault(s, p, "',' or a closing bracket must be here");
			return WEFT_EPROTO;
		}
		p = json_next(s);
	}
	*name = (weft_json){ NULL, 0 };
	if (object) {
		struct json_cursor c = json_cursor_of(s);

		p = json_name(&c, p, name);
		json_cursor_pause(&c);
	}
	end = p ? json_value(s, p) : NULL;
	if (!end)
		return WEFT_EPROTO;
	*value = (weft_json){ p, (size_t)(end - p) };
	return WEFT_OK;
}

weft_err weft_json_next(weft_json_iter *iter, weft_json *name, weft_json *value)
{
	struct json_scan s;
	weft_json found_name, found;
	weft_err err = WEFT_ENOTFOUND;

	json_scan_init(
		&s, iter->rest.text, iter->rest.len, iter->rest.text, false, WEFT_JSON_DEPTH_MAX);
	if (iter->state != ITER_END)
		err = walk(&s, iter->state, &found_name, &found);
	if (err) {
		iter->state = ITER_END;
		return err == WEFT_ENOTFOUND ? err_set(err) : fault_err(&s);
	}
	if (iter->state == ITER_OBJECT_FIRST)
		iter->state = ITER_OBJECT;
	else if (iter->state == ITER_ARRAY_FIRST)
		iter->state = ITER_ARRAY;
	if (name)
		*name = found_name;
	*value = found;
	iter->rest.text = found.text + found.len;
	iter->rest.len = (size_t)(s.end - iter->rest.text);
	return WEFT_OK;
}

weft_err weft_json_get(weft_json *out, weft_json object, const char *name)
{
	struct json_scan s;
	weft_json found = { NULL, 0 }, member, value;
	size_t len = strlen(name);
	int state = ITER_OBJECT_FIRST;
	weft_err err;

	if (weft_json_type_of(object) != WEFT_JSON_OBJECT)
		return err_setf(WEFT_EINVAL, "JSON: member \"%s\" of what is no object", name);
	json_scan_init(&s, object.text, object.len, object.text + 1, true, WEFT_JSON_DEPTH_MAX);
	while (!(err = walk(&s, state, &member, &value))) {
		state = ITER_OBJECT;
		if (!json_string_equals(member, name, len))
			continue;
		if (found.text)
			return err_setf(WEFT_EDUPLICATE, "JSON: more than one member \"%s\"", name);
		found = value;
	}
	if (err != WEFT_ENOTFOUND)
		return fault_err(&s);
	if (!found.text)
		return err_setf(WEFT_ENOTFOUND, "JSON: no member \"%s\"", name);
	*out = found;
	return WEFT_OK;
}

weft_err weft_json_get_path(
	weft_json *out, weft_json value, const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		weft_err err;

		if (i > 0 && weft_json_type_of(value) != WEFT_JSON_OBJECT)
			return err_setf(WEFT_ENOTFOUND,
				"JSON: no member \"%s\": \"%s\" is no object", names[i],
				names[i - 1]);
		err = weft_json_get(&value, value, names[i]);
		if (err)
			return err;
	}
	*out = value;
	return WEFT_OK;
}

/* ---- numbers ---- */

weft_err weft_json_integer(weft_json value, int64_t *out)
{
	uint64_t most = INT64_MAX, n = 0;
	const char *p, *end;
	bool minus;

	if (weft_json_type_of(value) != WEFT_JSON_NUMBER)
		return err_setf(WEFT_EINVAL, "JSON: no number");
	p = value.text;
	end = p + value.len;
	minus = *p == '-';
	if (minus) {
		p++;
		most++;
	}
	if (p == end)
		return err_setf(WEFT_EINVAL, "JSON: no number");
	for (; p < end; p++) {
		unsigned digit = (unsigned char)(*p - '0');

		if (digit > 9)
			return err_setf(WEFT_EINVAL, "JSON: a number that is no integer");
		if (n > (most - digit) / 10)
			return err_setf(WEFT_EINVAL, "JSON: an integer that is too large");
		n = n * 10 + digit;
	}
	/* -2^63 has no positive counterpart */
	*out = minus ? (int64_t)(0 - n) : (int64_t)n;
	return WEFT_OK;
}

weft_json weft_json_of_integer(int64_t number, char *to)
{
	uint64_t n = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
	char digits[WEFT_JSON_INTEGER_SIZE];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	if (number < 0)
		digits[--at] = '-';
	memcpy(to, digits + at, sizeof(digits) - at);
	return (weft_json){ to, sizeof(digits) - at };
}

/* ---- lines ---- */

#if defined(HAVE_VECTOR16)
/* The same for 64 bytes. */
static unsigned block_to_one_line(char *block)
{
	vector16 bytes[4], ends[4];
	uint64_t all;

	for (unsigned i = 0; i < 4; i++) {
		bytes[i] = vector16_load(block + 16 * i);
		ends[i] = vector16_is(bytes[i], '\n') | vector16_is(bytes[i], '\r');
	}
	all = vector16_mask64(ends[0], ends[1], ends[2], ends[3]);
	for (unsigned i = 0; i < 4 && all; i++)
		vector16_store(
			block + 16 * i, (bytes[i] & ~ends[i]) | (vector16_of(' ') & ends[i]));
	return (unsigned)__builtin_popcountll(all);
}
#endif

size_t weft_json_to_one_line(char *text, size_t len)
{
	size_t count = 0, i = 0;

#if defined(HAVE_VECTOR16)
	for (; len - i >= 64; i += 64)
		count += block_to_one_line(text + i);
#endif
	for (; i < len; i++) {
		if (text[i] != '\n' && text[i] != '\r')
			continue;
		text[i] = ' ';
		count++;
	}
	return count;
}
