/* SPDX-License-Identifier: MIT */
#include "http/fields.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/http1/http1.h"

#include <string.h>

#define FIRST_CAP 8

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* RFC 9110, section 5.5, with the bytes above 0x7f that it calls obs-text. */
static bool is_value_char(char c)
{
	unsigned char u = (unsigned char)c;

	return u == '\t' || (u >= 0x20 && u != 0x7f);
}

/* --- life ----------------------------------------------------------------------------------- */

void http_fields_init(struct weft_http_fields *fields)
{
	*fields = (struct weft_http_fields){ .list = NULL };
}

void http_fields_init_over(struct weft_http_fields *fields, struct http_field *list, size_t cap)
{
	*fields = (struct weft_http_fields){ .list = list, .cap = cap, .borrowed = true };
}

void weft_http_fields_clear(weft_http_fields *fields)
{
	for (size_t i = 0; i < fields->len; i++)
		mem_free(fields->list[i].owned);
	fields->len = 0;
	fields->size = 0;
}

void http_fields_fini(struct weft_http_fields *fields)
{
	weft_http_fields_clear(fields);
	if (!fields->borrowed)
		mem_free(fields->list);
	http_fields_init(fields);
}

static struct weft_http_fields *fields_new(void)
{
	struct weft_http_fields *fields = mem_alloc(sizeof(*fields));

	if (fields)
		http_fields_init(fields);
	return fields;
}

weft_err weft_http_fields_create(weft_http_fields **out)
{
	weft_http_fields *fields = fields_new();

	if (!fields)
		return err_set(WEFT_ENOMEM);
	*out = fields;
	return WEFT_OK;
}

void weft_http_fields_free(weft_http_fields *fields)
{
	if (!fields)
		return;
	http_fields_fini(fields);
	mem_free(fields);
}

weft_err weft_http_fields_copy(weft_http_fields **out, const weft_http_fields *from)
{
	weft_http_fields *copy = fields_new();
	weft_err err = WEFT_OK;

	if (!copy)
		return err_set(WEFT_ENOMEM);
	for (size_t i = 0; i < from->len && !err; i++) {
		const struct http_field *f = &from->list[i];

		err = http_fields_add_span(copy, f->name, f->name_len, f->value, f->value_len);
	}
	if (err) {
		weft_http_fields_free(copy);
		return err;
	}
	*out = copy;
	return WEFT_OK;
}

/* --- adding --------------------------------------------------------------------------------- */

static weft_err grow(struct weft_http_fields *fields)
{
	size_t cap = fields->cap < FIRST_CAP / 2 ? FIRST_CAP : fields->cap * 2;
	struct http_field *old = fields->borrowed ? NULL : fields->list;
	struct http_field *list = mem_realloc_array(old, cap, sizeof(*list));

	if (!list)
		return err_set(WEFT_ENOMEM);
	if (fields->borrowed && fields->len)
		memcpy(list, fields->list, fields->len * sizeof(*list));
	fields->list = list;
	fields->cap = cap;
	fields->borrowed = false;
	return WEFT_OK;
}

/* Room for one more of that size. */
static weft_err reserve(struct weft_http_fields *fields, size_t size)
{
	if (fields->len >= WEFT_HTTP_FIELDS_MAX)
		return err_setf(WEFT_EMSGSIZE, "more than %d header fields", WEFT_HTTP_FIELDS_MAX);
	if (size > WEFT_HTTP_FIELDS_SIZE_MAX - fields->size)
		return err_setf(WEFT_EMSGSIZE, "header fields of more than %zu bytes",
			WEFT_HTTP_FIELDS_SIZE_MAX);
	return fields->len < fields->cap ? WEFT_OK : grow(fields);
}

weft_err http_fields_add_view(struct weft_http_fields *fields, const char *name, size_t name_len,
	const char *value, size_t value_len)
{
	weft_err err = reserve(fields, name_len + value_len);

	if (err)
		return err;
	fields->list[fields->len++] =
		(struct http_field){ name, value, (uint32_t)name_len, (uint32_t)value_len, NULL };
	fields->size += name_len + value_len;
	return WEFT_OK;
}

static weft_err check_name(const char *name, size_t len)
{
	if (len == 0)
		return err_setf(WEFT_EINVAL, "header field without a name");
	for (size_t i = 0; i < len; i++)
		if (!http1_is_token(&name[i], 1))
			return err_setf(WEFT_EINVAL,
				"header field name: byte 0x%02x at %zu is none that a token has",
				(unsigned char)name[i], i);
	return WEFT_OK;
}

static weft_err check_value(const char *name, size_t name_len, const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_value_char(value[i]))
			return err_setf(WEFT_EINVAL,
				"header field %.*s: control character 0x%02x at byte %zu of the value",
				(int)(name_len > 64 ? 64 : name_len), name, (unsigned char)value[i],
				i);
	return WEFT_OK;
}

/* The text in a block of its own, as a field. */
static weft_err field_make(struct http_field *out, const char *name, size_t name_len,
	const char *value, size_t value_len)
{
	weft_err err = check_name(name, name_len);
	char *block;

	while (value_len && is_blank(value[0])) {
		value++;
		value_len--;
	}
	while (value_len && is_blank(value[value_len - 1]))
		value_len--;
	if (!err)
		err = check_value(name, name_len, value, value_len);
	if (err)
		return err;
	if (name_len > WEFT_HTTP_FIELDS_SIZE_MAX || value_len > WEFT_HTTP_FIELDS_SIZE_MAX)
		return err_setf(WEFT_EMSGSIZE, "header field of more than %zu bytes",
			WEFT_HTTP_FIELDS_SIZE_MAX);
	block = mem_alloc(name_len + value_len + 2);
	if (!block)
		return err_set(WEFT_ENOMEM);
	memcpy(block, name, name_len);
	block[name_len] = '\0';
	if (value_len)
		memcpy(block + name_len + 1, value, value_len);
	block[name_len + 1 + value_len] = '\0';
	*out = (struct http_field){ block, block + name_len + 1, (uint32_t)name_len,
		(uint32_t)value_len, block };
	return WEFT_OK;
}

weft_err http_fields_add_span(struct weft_http_fields *fields, const char *name, size_t name_len,
	const char *value, size_t value_len)
{
	struct http_field field = { .name = NULL };
	weft_err err = field_make(&field, name, name_len, value, value_len);

	if (err)
		return err;
	err = reserve(fields, (size_t)field.name_len + field.value_len);
	if (err) {
		mem_free(field.owned);
		return err;
	}
	CHECK(fields->list); /* reserved */
	fields->list[fields->len++] = field;
	fields->size += (size_t)field.name_len + field.value_len;
	return WEFT_OK;
}

weft_err weft_http_fields_add(weft_http_fields *fields, const char *name, const char *value)
{
	if (!name || !value)
		return err_setf(WEFT_EINVAL, "header field without a %s", name ? "value" : "name");
	return http_fields_add_span(fields, name, strlen(name), value, strlen(value));
}

weft_err weft_http_fields_add_line(weft_http_fields *fields, const char *line)
{
	const char *colon = strchr(line, ':');

	if (!colon)
		return err_setf(WEFT_EINVAL, "header field '%.64s': no ':' behind the name", line);
	return http_fields_add_span(
		fields, line, (size_t)(colon - line), colon + 1, strlen(colon + 1));
}

/* --- removing ------------------------------------------------------------------------------- */

/* All of that name from an index on; how many. */
static size_t remove_from(
	struct weft_http_fields *fields, const char *name, size_t name_len, size_t from)
{
	size_t first = http_fields_find(fields, name, name_len, from), kept = first, removed;

	/* all are found before the first is freed: the name may be one of theirs */
	for (size_t i = first; i < fields->len; i++) {
		struct http_field *f = &fields->list[i];

		if (http1_same_text(f->name, f->name_len, name, name_len))
			f->value = NULL;
	}
	for (size_t i = first; i < fields->len; i++) {
		struct http_field *f = &fields->list[i];

		if (f->value) {
			fields->list[kept++] = *f;
			continue;
		}
		fields->size -= (size_t)f->name_len + f->value_len;
		mem_free(f->owned);
	}
	removed = fields->len - kept;
	fields->len = kept;
	return removed;
}

size_t weft_http_fields_remove(weft_http_fields *fields, const char *name)
{
	return remove_from(fields, name, strlen(name), 0);
}

weft_err weft_http_fields_set(weft_http_fields *fields, const char *name, const char *value)
{
	struct http_field field = { .name = NULL }, *at;
	size_t size, name_len, first;
	weft_err err;

	if (!name || !value)
		return weft_http_fields_add(fields, name, value);
	name_len = strlen(name);
	first = http_fields_find(fields, name, name_len, 0);
	if (first == fields->len)
		return weft_http_fields_add(fields, name, value);
	err = field_make(&field, name, name_len, value, strlen(value));
	if (err)
		return err;
	at = &fields->list[first];
	size = fields->size - at->name_len - at->value_len + field.name_len + field.value_len;
	if (size > WEFT_HTTP_FIELDS_SIZE_MAX) {
		mem_free(field.owned);
		return err_setf(WEFT_EMSGSIZE, "header fields of more than %zu bytes",
			WEFT_HTTP_FIELDS_SIZE_MAX);
	}
	(void)remove_from(fields, name, name_len, first + 1);
	/* once more: the others may have taken room, too */
	fields->size += (size_t)field.name_len + field.value_len;
	fields->size -= (size_t)at->name_len + at->value_len;
	mem_free(at->owned);
	*at = field;
	return WEFT_OK;
}

/* --- looking -------------------------------------------------------------------------------- */

size_t http_fields_find(
	const struct weft_http_fields *fields, const char *name, size_t name_len, size_t from)
{
	size_t i;

	for (i = from; i < fields->len; i++) {
		const struct http_field *f = &fields->list[i];

		if (http1_same_text(f->name, f->name_len, name, name_len))
			break;
	}
	return i < fields->len ? i : fields->len;
}

const char *weft_http_fields_get_nth(const weft_http_fields *fields, const char *name, size_t n)
{
	size_t name_len = strlen(name), at;

	if (!fields)
		return NULL;
	at = http_fields_find(fields, name, name_len, 0);
	while (n-- > 0 && at < fields->len)
		at = http_fields_find(fields, name, name_len, at + 1);
	return at < fields->len ? fields->list[at].value : NULL;
}

const char *weft_http_fields_get(const weft_http_fields *fields, const char *name)
{
	return weft_http_fields_get_nth(fields, name, 0);
}

size_t weft_http_fields_count(const weft_http_fields *fields)
{
	return fields ? fields->len : 0;
}

void weft_http_fields_at(
	const weft_http_fields *fields, size_t index, const char **name, const char **value)
{
	CHECK(index < fields->len);
	if (name)
		*name = fields->list[index].name;
	if (value)
		*value = fields->list[index].value;
}

/* Behind the element that begins at p: at its comma, or the end. A quoted string may hold both
 * comma and semicolon (RFC 9110, section 5.6.4). */
static const char *element_end(const char *p)
{
	bool quoted = false;

	for (; *p && (quoted || *p != ','); p++) {
		if (quoted && *p == '\\' && p[1])
			p++;
		else if (*p == '"')
			quoted = !quoted;
	}
	return p;
}

bool http_list_has_token(const char *list, const char *token, size_t token_len)
{
	while (*list) {
		const char *end = element_end(list);
		size_t len;

		while (list < end && is_blank(*list))
			list++;
		for (len = 0; list + len < end && list[len] != ';' && !is_blank(list[len]);)
			len++;
		if (http1_same_text(list, len, token, token_len))
			return true;
		list = *end ? end + 1 : end;
	}
	return false;
}

bool weft_http_fields_has_token(const weft_http_fields *fields, const char *name, const char *token)
{
	size_t name_len = strlen(name), token_len = strlen(token);

	if (!fields)
		return false;
	for (size_t at = http_fields_find(fields, name, name_len, 0); at < fields->len;
		at = http_fields_find(fields, name, name_len, at + 1))
		if (http_list_has_token(fields->list[at].value, token, token_len))
			return true;
	return false;
}

/* --- status --------------------------------------------------------------------------------- */

static const struct {
	unsigned status;
	const char *text;
} texts[] = {
	{ 100, "Continue" },
	{ 101, "Switching Protocols" },
	{ 102, "Processing" },
	{ 103, "Early Hints" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 203, "Non-Authoritative Information" },
	{ 204, "No Content" },
	{ 205, "Reset Content" },
	{ 206, "Partial Content" },
	{ 207, "Multi-Status" },
	{ 208, "Already Reported" },
	{ 226, "IM Used" },
	{ 300, "Multiple Choices" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 305, "Use Proxy" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 423, "Locked" },
	{ 424, "Failed Dependency" },
	{ 425, "Too Early" },
	{ 426, "Upgrade Required" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 451, "Unavailable For Legal Reasons" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 506, "Variant Also Negotiates" },
	{ 507, "Insufficient Storage" },
	{ 508, "Loop Detected" },
	{ 511, "Network Authentication Required" },
};

const char *weft_http_status_text(unsigned status)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Unknown";
}
