/* SPDX-License-Identifier: MIT */
/*
 * What a handler asks of its request. The head's strings lie where they were read, each with a
 * NUL over the byte behind it; what must be decoded is copied when it is asked for.
 */
#include "base/err.h"
#include "base/mem.h"
#include "http/server.h"
#include "net/conn.h"

#include <string.h>

static const struct http1_head *head_of(const weft_http_exchange *x)
{
	return &x->hot->parser.head;
}

weft_err http_exchange_check(const weft_http_exchange *x, const char *what)
{
	if (weft_unlikely(!http_is_here(x)))
		return err_setf(WEFT_EINVAL, "%s: not on the handler's worker", what);
	if (weft_unlikely(x->upgraded))
		return err_setf(WEFT_EINVAL, "%s: the connection was upgraded", what);
	return WEFT_OK;
}

char *http_note(weft_http_exchange *x, size_t len)
{
	struct http_note *note;

	if (len > MEM_SIZE_MAX - sizeof(*note) - 1)
		return NULL;
	note = mem_alloc(sizeof(*note) + len + 1);
	if (!note)
		return NULL;
	note->next = x->notes;
	x->notes = note;
	return note->text;
}

/* ---- the request line ---- */

const char *weft_http_exchange_method(const weft_http_exchange *x)
{
	return x->head + head_of(x)->method_text.at;
}

const char *weft_http_exchange_target(const weft_http_exchange *x)
{
	return x->head + head_of(x)->target.at;
}

const char *weft_http_exchange_path(const weft_http_exchange *x)
{
	return x->path;
}

const char *weft_http_exchange_query(const weft_http_exchange *x)
{
	return x->query;
}

unsigned weft_http_exchange_version(const weft_http_exchange *x)
{
	return head_of(x)->minor ? 11 : 10;
}

/* A decoded copy; NULL: no memory, or a NUL in it, or not whole. */
static const char *decoded(weft_http_exchange *x, const char *text, size_t len, bool plus)
{
	char *copy = http_note(x, len);
	size_t decoded_len;

	if (!copy)
		return NULL;
	decoded_len = http_percent_decode(copy, text, len, plus);
	if (decoded_len == SIZE_MAX || memchr(copy, '\0', decoded_len))
		return NULL;
	copy[decoded_len] = '\0';
	return copy;
}

const char *weft_http_exchange_param(weft_http_exchange *x, const char *name)
{
	const struct http_route *route = x->hot->match.route;
	size_t len = strlen(name);

	for (uint32_t i = 0; route && i < route->params_len; i++) {
		const struct http_param *param = &x->hot->match.params[i];

		if (route->params[i].len == len &&
			memcmp(route->pattern + route->params[i].at, name, len) == 0)
			return decoded(x, param->at, param->len, false);
	}
	return NULL;
}

/* Whether text, decoded, is the name. */
static bool is_named(const char *text, size_t len, const char *name)
{
	for (size_t i = 0; i < len; name++) {
		char one[3];
		size_t step = text[i] == '%' ? 3 : 1;

		if (i + step > len || http_percent_decode(one, text + i, step, true) != 1 ||
			one[0] != *name || !*name)
			return false;
		i += step;
	}
	return !*name;
}

const char *weft_http_exchange_query_param(weft_http_exchange *x, const char *name)
{
	const char *at = x->query;

	while (at && *at) {
		size_t len = strcspn(at, "&");
		const char *equals = memchr(at, '=', len);
		size_t name_len = equals ? (size_t)(equals - at) : len;

		if (is_named(at, name_len, name))
			return equals ? decoded(x, equals + 1, len - name_len - 1, true) : "";
		at += len;
		at += *at == '&';
	}
	return NULL;
}

void http_exchange_hide_query(weft_http_exchange *x)
{
	if (x->query)
		memset(x->head + (x->query - x->head), '*', strlen(x->query));
}

/* ---- fields ---- */

static const char *value_at(const weft_http_exchange *x, const struct http1_field *field)
{
	char *value = x->head + field->value_at;

	value[field->value_len] = '\0';
	return value;
}

const char *weft_http_exchange_field(weft_http_exchange *x, const char *name)
{
	const struct http1_head *head = head_of(x);
	size_t len = strlen(name);
	enum http1_name known = http1_name_of(name, len);
	const struct http1_field *field;

	if (known != HTTP1_NAME_OTHER) {
		field = http1_head_first(head, known);
		return field ? value_at(x, field) : NULL;
	}
	for (unsigned i = 0; i < head->field_count; i++) {
		field = &head->fields[i];
		if (field->name_len == len &&
			http1_same_text(x->head + field->name_at, len, name, len))
			return value_at(x, field);
	}
	return NULL;
}

static struct weft_http_fields *fields_make(
	struct http1_field *list, size_t count, char *data, bool copies)
{
	struct weft_http_fields *fields = NULL;
	weft_err err = weft_http_fields_create(&fields);

	for (size_t i = 0; i < count && !err; i++) {
		const struct http1_field *f = &list[i];

		if (copies) {
			err = http_fields_add_span(fields, data + f->name_at, f->name_len,
				data + f->value_at, f->value_len);
			continue;
		}
		data[f->name_at + f->name_len] = '\0';
		data[f->value_at + f->value_len] = '\0';
		err = http_fields_add_view(
			fields, data + f->name_at, f->name_len, data + f->value_at, f->value_len);
	}
	if (!err)
		return fields;
	weft_http_fields_free(fields);
	return NULL;
}

const weft_http_fields *weft_http_exchange_fields(weft_http_exchange *x)
{
	const struct http1_head *head = head_of(x);

	if (!x->fields)
		x->fields = fields_make(head->fields, head->field_count, x->head, false);
	return x->fields;
}

bool http_trailers_make(weft_http_exchange *x, const char *data)
{
	if (!x->body.trailer_count)
		return true;
	/* they are copied, and data is only read */
	x->trailers =
		fields_make(x->body.trailers, x->body.trailer_count, (char *)(uintptr_t)data, true);
	return x->trailers != NULL;
}

const weft_http_fields *weft_http_exchange_trailers(weft_http_exchange *x)
{
	return x->trailers;
}

const char *weft_http_exchange_host(weft_http_exchange *x)
{
	const struct http1_head *head = head_of(x);
	const char *copy;

	if (!head->authority.len)
		return "";
	if (head->form != HTTP1_ABSOLUTE_FORM)
		return weft_http_exchange_field(x, "host");
	copy = decoded(x, x->head + head->authority.at, head->authority.len, false);
	return copy ? copy : "";
}

/* ---- the connection ---- */

const char *weft_http_exchange_peer(const weft_http_exchange *x)
{
	return x->conn ? weft_conn_peer_name(x->conn) : "";
}

const char *weft_http_exchange_local(const weft_http_exchange *x)
{
	return x->conn ? weft_conn_local_name(x->conn) : "";
}

weft_conn *weft_http_exchange_conn(const weft_http_exchange *x)
{
	return x->conn;
}

weft_http_server *weft_http_exchange_server(const weft_http_exchange *x)
{
	return x->server;
}

void weft_http_exchange_close(weft_http_exchange *x)
{
	x->close_asked = true;
	x->response.keep_alive = false;
}

/* ---- fibers ---- */

weft_err weft_http_exchange_scope(weft_http_exchange *x, weft_scope **scope)
{
	weft_err err = x->scope ? WEFT_OK : weft_scope_create(&x->scope);

	if (!err)
		*scope = x->scope;
	return err;
}

void http_exchange_join(weft_http_exchange *x)
{
	if (weft_unlikely(x->scope != NULL)) {
		weft_scope_free(x->scope);
		x->scope = NULL;
	}
	if (weft_unlikely(x->watch != NULL))
		http_watch_end(x);
}

/* ---- handing over ---- */

weft_err weft_http_exchange_upgrade(
	weft_http_exchange *x, const weft_http_fields *fields, weft_conn **out, weft_deadline until)
{
	weft_err err = http_exchange_check(x, "upgrade");

	if (err)
		return err;
	if (!head_of(x)->framing.upgrade || !x->body_ended || x->gone)
		return err_setf(WEFT_EINVAL, "upgrade: %s",
			x->gone			? "the connection is watched"
				: x->body_ended ? "the client has not asked for it"
						: "the request has a body that was not read");
	if (!weft_http_fields_get(fields, "Upgrade"))
		return err_setf(WEFT_EINVAL, "upgrade: the Upgrade field is missing");
	err = conn_unread(x->conn, x->in.base + x->in.at, x->in.len);
	if (err)
		return err;
	x->in.len = 0;
	err = http_put_upgrade(x, fields, until);
	if (!err)
		err = http_out_flush(x, until);
	if (err)
		return err;
	http_access(x, WEFT_OK);
	http_out_drop(x);
	x->phase = HTTP_HANDED_ON;
	x->upgraded = true;
	*out = x->conn;
	x->conn = NULL;
	return WEFT_OK;
}

void http_exchange_fini(weft_http_exchange *x)
{
	http_exchange_join(x);
	while (x->notes) {
		struct http_note *note = x->notes;

		x->notes = note->next;
		mem_free(note);
	}
	weft_http_fields_free(x->fields);
	weft_http_fields_free(x->trailers);
	weft_cancel_unref(x->gone);
	http_sse_free(x->sse);
}
