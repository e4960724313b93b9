/* SPDX-License-Identifier: MIT */
/*
 * The parser of event streams.
 *
 * Lines that lie whole within the bytes given are taken as they lie. Of a line that is cut, the
 * name is kept until its colon, and from there on its value goes where it belongs at once: data
 * to the event's data, which is so copied once however the bytes are cut.
 *
 *	place		on				to
 *	LINE_START	a whole line			LINE_START (its field is done)
 *			a part of one			NAME
 *	NAME		':'				AFTER_COLON
 *			end of line: no value		LINE_START
 *	AFTER_COLON	' ', or nothing of it		VALUE
 *	VALUE		end of line			LINE_START
 *
 * What goes over a limit, or has no memory, makes the event `dropped`: its data is let go of, no
 * more is kept, and nothing is dispatched at its empty line.
 *
 * Costs, an event with one data line within the bytes given: one search for the ends of its lines,
 * one look at its data for UTF-8, no copy but that of type and id, which are small; no
 * allocation once these fit.
 */
#include "base/align.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "proto/sse/line.h"

#include <weft/sse.h>

#include <string.h>

#define EVENT_MAX_DEFAULT ((size_t)10 << 20)
#define LINE_MAX_DEFAULT (EVENT_MAX_DEFAULT + 1024)
#define FIELD_MAX_DEFAULT ((size_t)8 << 10)
#define TEXT_KEPT_MAX (WEFT_SSE_KEPT_MAX / 2) /* of data and of value, each */
#define TEXT_SIZE_MIN 256
#define NAME_MAX_LEN 5 /* of a field that means something */
#define TYPE_DEFAULT "message"

enum place { LINE_START, NAME, AFTER_COLON, VALUE };
enum field { OTHER, COMMENT, DATA, EVENT, ID, RETRY };

/* Bytes that grow. */
struct text {
	char *bytes; /* NULL while size is 0 */
	size_t len;
	size_t size;
};

/* What is left of the bytes given. */
struct input {
	const uint8_t *at;
	const uint8_t *end;
};

struct weft_sse_parser {
	weft_sse_options options; /* no zeros */
	unsigned bom_len;	  /* bytes of a mark that have come; BOM_LEN: past that */
	bool swallow_lf;	  /* a CR was the last byte */
	bool dropped;		  /* of this event nothing is kept any more, as was reported */
	enum place place;
	enum field field;	 /* from AFTER_COLON on: whose value this is */
	char name[NAME_MAX_LEN]; /* NAME: its first bytes */
	size_t name_len;	 /* of all of it */
	size_t line_len;	 /* bytes of the line so far, unless at LINE_START */
	struct text data;	 /* of the event: each line with an LF behind it */
	const char *view;	 /* the only data line so far, in the bytes given; or NULL */
	size_t view_len;	 /* without its end */
	struct text value;	 /* under way: of a comment, type or id; what was replaced */
	struct text type;	 /* while has_type; NUL behind it */
	bool has_type;
	struct text id_next; /* while has_id_next: what the next dispatch makes the id */
	bool has_id_next;
	struct text id;	     /* the last event id; NUL behind it */
	bool retry_digits;   /* RETRY under way: nothing else has come */
	int64_t retry_value; /* and its value */
	int64_t retry_ms;    /* -1: none yet */
};

static const uint8_t bom[] = { 0xef, 0xbb, 0xbf };
#define BOM_LEN (sizeof(bom))

/* ---- texts ---- */

static weft_err text_reserve(struct text *text, size_t size)
{
	size_t grown = text->size * 2;
	char *bytes;

	if (size <= text->size)
		return WEFT_OK;
	if (grown < TEXT_SIZE_MIN)
		grown = TEXT_SIZE_MIN;
	if (grown < size)
		grown = size;
	bytes = mem_realloc(text->bytes, grown);
	if (!bytes)
		return WEFT_ENOMEM;
	text->bytes = bytes;
	text->size = grown;
	return WEFT_OK;
}

static weft_err text_add(struct text *text, const char *bytes, size_t len)
{
	weft_err err = text_reserve(text, text->len + len);

	if (!err && len > 0) {
		memcpy(text->bytes + text->len, bytes, len);
		text->len += len;
	}
	return err;
}

static void text_fini(struct text *text)
{
	mem_free(text->bytes);
	*text = (struct text){ NULL, 0, 0 };
}

/* bytes, repaired, and a NUL, which does not count. */
static weft_err text_set(struct text *text, const char *bytes, size_t len)
{
	size_t repaired = utf8_repaired_len(bytes, len);
	weft_err err = text_reserve(text, repaired + 1);

	if (err)
		return err;
	text->len = utf8_repair(text->bytes, bytes, len);
	text->bytes[text->len] = '\0';
	return WEFT_OK;
}

/* ---- what goes wrong ---- */

static weft_err fail(weft_err err, const char *what, size_t max)
{
	if (err == WEFT_EMSGSIZE)
		return err_setf(err, "event stream: %s is larger than %zu bytes", what, max);
	return err_setf(err, "event stream: out of memory for %s", what);
}

/* The event is dropped. Says so once for each. */
static weft_err drop(weft_sse_parser *p, weft_err err, const char *what, size_t max)
{
	p->data.len = 0;
	p->value.len = 0;
	p->view = NULL;
	p->field = OTHER;
	if (p->dropped)
		return WEFT_OK;
	p->dropped = true;
	return fail(err, what, max);
}

/* ---- the data of an event ---- */

static weft_err data_add(weft_sse_parser *p, const char *bytes, size_t len)
{
	size_t max = p->options.event_max;

	if (p->data.len > max || len > max - p->data.len)
		return drop(p, WEFT_EMSGSIZE, "the data of an event", max);
	if (text_add(&p->data, bytes, len))
		return drop(p, WEFT_ENOMEM, "the data of an event", 0);
	return WEFT_OK;
}

/* The LF behind a line, which is not part of the data when it is the last. */
static weft_err data_end_line(weft_sse_parser *p)
{
	if (p->data.len > p->options.event_max)
		return drop(p, WEFT_EMSGSIZE, "the data of an event", p->options.event_max);
	if (text_add(&p->data, "\n", 1))
		return drop(p, WEFT_ENOMEM, "the data of an event", 0);
	return WEFT_OK;
}

/* The bytes given are about to go, or another line to come. */
static weft_err keep_view(weft_sse_parser *p)
{
	const char *view = p->view;
	weft_err err;

	if (!view)
		return WEFT_OK;
	p->view = NULL;
	err = data_add(p, view, p->view_len);
	if (err || p->dropped)
		return err;
	return data_end_line(p);
}

static weft_err add_data_line(weft_sse_parser *p, const char *line, size_t len)
{
	weft_err err;

	if (p->dropped)
		return WEFT_OK;
	if (p->data.len == 0 && !p->view) {
		if (len > p->options.event_max)
			return drop(p, WEFT_EMSGSIZE, "the data of an event", p->options.event_max);
		p->view = line;
		p->view_len = len;
		return WEFT_OK;
	}
	err = keep_view(p);
	if (!err && !p->dropped)
		err = data_add(p, line, len);
	if (!err && !p->dropped)
		err = data_end_line(p);
	return err;
}

/* ---- what a field does when its value is whole ---- */

static void found(weft_sse_parser *p, weft_sse_event *event, weft_sse_kind kind)
{
	memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->type = "";
	event->id = weft_sse_parser_last_id(p);
	event->id_len = p->id.len;
}

/* Views of bytes where they are UTF-8, otherwise of a repaired copy, which is value's. */
static weft_err found_data(
	weft_sse_parser *p, weft_sse_event *event, const char *bytes, size_t len, size_t max)
{
	struct text repaired = { NULL, 0, 0 };

	if (weft_likely(utf8_valid_len(bytes, len) == len)) {
		event->data = bytes;
		event->data_len = len;
		return WEFT_OK;
	}
	if (utf8_repaired_len(bytes, len) > max)
		return WEFT_EMSGSIZE;
	if (text_set(&repaired, bytes, len))
		return WEFT_ENOMEM;
	text_fini(&p->value);
	p->value = repaired;
	event->data = repaired.bytes;
	event->data_len = repaired.len;
	p->value.len = 0;
	return WEFT_OK;
}

static weft_err set_type(weft_sse_parser *p, const char *value, size_t len)
{
	if (utf8_repaired_len(value, len) > p->options.field_max)
		return drop(p, WEFT_EMSGSIZE, "an event's type", p->options.field_max);
	if (text_set(&p->type, value, len))
		return drop(p, WEFT_ENOMEM, "an event's type", 0);
	p->has_type = len > 0;
	return WEFT_OK;
}

static weft_err set_id(weft_sse_parser *p, const char *value, size_t len)
{
	if (utf8_repaired_len(value, len) > p->options.field_max)
		return drop(p, WEFT_EMSGSIZE, "an event's id", p->options.field_max);
	if (len > 0 && memchr(value, '\0', len))
		return WEFT_OK;
	if (text_set(&p->id_next, value, len))
		return drop(p, WEFT_ENOMEM, "an event's id", 0);
	p->has_id_next = true;
	return WEFT_OK;
}

static void retry_begin(weft_sse_parser *p)
{
	p->retry_digits = true;
	p->retry_value = -1;
}

static void retry_add(weft_sse_parser *p, const char *value, size_t len)
{
	for (size_t i = 0; i < len && p->retry_digits; i++) {
		int64_t digit = value[i] - '0';

		if (digit < 0 || digit > 9)
			p->retry_digits = false;
		else if (p->retry_value < 0)
			p->retry_value = digit;
		else if (p->retry_value > (INT64_MAX - digit) / 10)
			p->retry_value = INT64_MAX;
		else
			p->retry_value = p->retry_value * 10 + digit;
	}
}

static void retry_end(weft_sse_parser *p, weft_sse_event *event)
{
	if (!p->retry_digits || p->retry_value < 0)
		return;
	p->retry_ms = p->retry_value;
	if (!p->options.report_retry)
		return;
	found(p, event, WEFT_SSE_RETRY);
	event->retry_set = true;
	event->retry_ms = (uint64_t)p->retry_value;
}

static weft_err end_comment(
	weft_sse_parser *p, const char *value, size_t len, weft_sse_event *event)
{
	weft_sse_event comment;

	if (!p->options.report_comments)
		return WEFT_OK;
	found(p, &comment, WEFT_SSE_COMMENT);
	if (len > p->options.field_max)
		len = p->options.field_max;
	if (found_data(p, &comment, len > 0 ? value : "", len, SIZE_MAX))
		return drop(p, WEFT_ENOMEM, "a comment", 0);
	*event = comment;
	return WEFT_OK;
}

/* The empty line. */
static weft_err dispatch(weft_sse_parser *p, weft_sse_event *event)
{
	const char *data = p->view ? p->view : p->data.bytes;
	size_t len = p->view ? p->view_len : p->data.len - 1;
	bool has_data = p->view || p->data.len > 0, dropped = p->dropped;
	weft_sse_event message;
	weft_err err;

	if (p->has_id_next) {
		struct text id = p->id;

		p->id = p->id_next;
		p->id_next = id;
		p->has_id_next = false;
	}
	found(p, &message, WEFT_SSE_MESSAGE);
	message.type = p->has_type ? p->type.bytes : TYPE_DEFAULT;
	message.type_len = p->has_type ? p->type.len : sizeof(TYPE_DEFAULT) - 1;
	p->has_type = false;
	p->view = NULL;
	p->data.len = 0; /* its bytes stay until the next call */
	p->dropped = false;
	if (dropped || !has_data)
		return WEFT_OK;
	err = found_data(p, &message, data, len, p->options.event_max);
	if (weft_unlikely(err))
		return fail(err, "the data of an event", p->options.event_max);
	*event = message;
	return WEFT_OK;
}

static enum field field_of(const char *name, size_t len)
{
	if (len == 4 && !memcmp(name, "data", 4))
		return DATA;
	if (len == 2 && !memcmp(name, "id", 2))
		return ID;
	if (len == 5 && !memcmp(name, "event", 5))
		return EVENT;
	if (len == 5 && !memcmp(name, "retry", 5))
		return RETRY;
	return OTHER;
}

/* ---- whole lines ---- */

static weft_err take_field(
	weft_sse_parser *p, enum field field, const char *value, size_t len, weft_sse_event *event)
{
	switch (field) {
	case COMMENT:
		return end_comment(p, value, len, event);
	case DATA:
		return add_data_line(p, value, len);
	case EVENT:
		return set_type(p, value, len);
	case ID:
		return set_id(p, value, len);
	case RETRY:
		retry_begin(p);
		retry_add(p, value, len);
		retry_end(p, event);
		return WEFT_OK;
	case OTHER:
		break;
	}
	return WEFT_OK;
}

static weft_err take_line(weft_sse_parser *p, const char *line, size_t len, weft_sse_event *event)
{
	size_t name_len = 0;
	enum field field;

	if (len == 0)
		return dispatch(p, event);
	if (weft_unlikely(len > p->options.line_max))
		return drop(p, WEFT_EMSGSIZE, "a line", p->options.line_max);
	while (name_len < len && name_len <= NAME_MAX_LEN && line[name_len] != ':')
		name_len++;
	field = name_len == 0 ? COMMENT : field_of(line, name_len);
	line += name_len;
	len -= name_len;
	for (const char *skip = ": "; *skip && len > 0 && *line == *skip; skip++) {
		line++;
		len--;
	}
	return take_field(p, field, line, len, event);
}

/* ---- lines in pieces ---- */

static weft_err begin_value(weft_sse_parser *p)
{
	p->place = AFTER_COLON;
	p->field = p->name_len == 0 ? COMMENT : field_of(p->name, p->name_len);
	p->value.len = 0;
	if (p->dropped && p->field == DATA)
		p->field = OTHER;
	if (p->field == COMMENT && !p->options.report_comments)
		p->field = OTHER;
	if (p->field == RETRY)
		retry_begin(p);
	return p->field == DATA ? keep_view(p) : WEFT_OK;
}

/* Bytes of an id or a type. */
static weft_err add_small(weft_sse_parser *p, const char *bytes, size_t len, const char *what)
{
	size_t max = p->options.field_max;

	if (len > max - p->value.len)
		return drop(p, WEFT_EMSGSIZE, what, max);
	if (text_add(&p->value, bytes, len))
		return drop(p, WEFT_ENOMEM, what, 0);
	return WEFT_OK;
}

static weft_err add_to_value(weft_sse_parser *p, const char *bytes, size_t len)
{
	size_t left = p->options.field_max - p->value.len;

	switch (p->field) {
	case COMMENT:
		return add_small(p, bytes, len < left ? len : left, "a comment");
	case DATA:
		return data_add(p, bytes, len);
	case EVENT:
		return add_small(p, bytes, len, "an event's type");
	case ID:
		return add_small(p, bytes, len, "an event's id");
	case RETRY:
		retry_add(p, bytes, len);
		return WEFT_OK;
	case OTHER:
		break;
	}
	return WEFT_OK;
}

/* The end of a line that came in pieces. */
static weft_err end_line(weft_sse_parser *p, weft_sse_event *event)
{
	weft_err err = p->place == NAME ? begin_value(p) : WEFT_OK;
	size_t len = p->value.len;

	p->place = LINE_START;
	p->value.len = 0;
	if (err)
		return err;
	if (p->field == RETRY)
		retry_end(p, event);
	else if (p->field == DATA)
		return data_end_line(p);
	else
		return take_field(p, p->field, p->value.bytes, len, event);
	return WEFT_OK;
}

/* Bytes of a line, none of them its end; at least one. */
static weft_err add_to_line(weft_sse_parser *p, const char *bytes, size_t len)
{
	weft_err err = WEFT_OK;

	if (p->line_len > p->options.line_max) {
		return WEFT_OK; /* as was reported */
	} else if (len > p->options.line_max - p->line_len) {
		p->line_len = p->options.line_max + 1;
		p->place = VALUE;
		return drop(p, WEFT_EMSGSIZE, "a line", p->options.line_max);
	}
	p->line_len += len;
	for (; p->place == NAME && len > 0 && !err; bytes++, len--) {
		if (*bytes == ':') {
			err = begin_value(p);
			continue;
		}
		if (p->name_len < NAME_MAX_LEN)
			p->name[p->name_len] = *bytes;
		p->name_len++;
	}
	if (p->place == AFTER_COLON && len > 0) {
		p->place = VALUE;
		if (*bytes == ' ') {
			bytes++;
			len--;
		}
	}
	if (p->place == VALUE && len > 0 && !err)
		err = add_to_value(p, bytes, len);
	return err;
}

static void begin_line(weft_sse_parser *p)
{
	p->place = NAME;
	p->name_len = 0;
	p->line_len = 0;
}

/* ---- bytes ---- */

static void take_line_end(weft_sse_parser *p, struct input *in)
{
	if (*in->at++ == '\n')
		return;
	if (in->at == in->end)
		p->swallow_lf = true;
	else if (*in->at == '\n')
		in->at++;
}

/* What of a byte order mark is there. One that ends otherwise begins a field's name. */
static void take_bom(weft_sse_parser *p, struct input *in)
{
	while (p->bom_len < BOM_LEN && in->at < in->end) {
		if (*in->at != bom[p->bom_len])
			break;
		p->bom_len++;
		in->at++;
	}
	if (p->bom_len == BOM_LEN || in->at == in->end)
		return;
	if (p->bom_len > 0) {
		begin_line(p);
		p->line_len = p->bom_len;
		p->name_len = NAME_MAX_LEN + 1; /* no name that is known begins like this */
	}
	p->bom_len = BOM_LEN;
}

static weft_err take(weft_sse_parser *p, struct input *in, weft_sse_event *event)
{
	const uint8_t *at = in->at, *stop;
	size_t len;
	weft_err err;

	if (weft_unlikely(p->swallow_lf)) {
		p->swallow_lf = false;
		if (*at == '\n') {
			in->at++;
			return WEFT_OK;
		}
	}
	stop = (const uint8_t *)sse_line_end((const char *)at, (const char *)in->end);
	len = (size_t)(stop - at);
	in->at = stop;
	if (p->place == LINE_START && stop < in->end) {
		take_line_end(p, in);
		return take_line(p, (const char *)at, len, event);
	}
	if (p->place == LINE_START)
		begin_line(p);
	err = len > 0 ? add_to_line(p, (const char *)at, len) : WEFT_OK;
	if (err || stop == in->end)
		return err;
	take_line_end(p, in);
	return end_line(p, event);
}

/* What the last call's views kept. */
static void give_back(struct text *text)
{
	if (weft_unlikely(text->size > TEXT_KEPT_MAX) && text->len == 0)
		text_fini(text);
}

weft_err weft_sse_parser_next(
	weft_sse_parser *p, const uint8_t **data, size_t *len, weft_sse_event *event)
{
	struct input in = { *data, *data + *len };
	weft_sse_event next = { .kind = WEFT_SSE_NONE };
	weft_err err = WEFT_OK;

	give_back(&p->data);
	give_back(&p->value);
	if (weft_unlikely(p->bom_len < BOM_LEN))
		take_bom(p, &in);
	while (in.at < in.end && next.kind == WEFT_SSE_NONE && !err)
		err = take(p, &in, &next);
	if (weft_unlikely(p->view && !err))
		err = keep_view(p);
	*data = in.at;
	*len = (size_t)(in.end - in.at);
	if (!err)
		*event = next;
	return err;
}

/* ---- the parser itself ---- */

static weft_err check_limit(const char *name, size_t *value, size_t fallback)
{
	if (*value == 0)
		*value = fallback;
	if (*value <= WEFT_BUF_SIZE_MAX)
		return WEFT_OK;
	return err_setf(WEFT_EINVAL, "event stream option %s is %zu: allowed is up to %zu", name,
		*value, WEFT_BUF_SIZE_MAX);
}

weft_err weft_sse_parser_create(weft_sse_parser **out, const weft_sse_options *options)
{
	weft_sse_options o = WEFT_SSE_OPTIONS_DEFAULT;
	weft_sse_parser *p;
	weft_err err;

	if (options)
		o = *options;
	err = check_limit("line_max", &o.line_max, LINE_MAX_DEFAULT);
	if (!err)
		err = check_limit("event_max", &o.event_max, EVENT_MAX_DEFAULT);
	if (!err)
		err = check_limit("field_max", &o.field_max, FIELD_MAX_DEFAULT);
	if (err)
		return err;
	p = mem_calloc(1, sizeof(*p));
	if (!p)
		return err_setf(WEFT_ENOMEM, "event stream: out of memory for a parser");
	p->options = o;
	p->retry_ms = -1;
	*out = p;
	return WEFT_OK;
}

void weft_sse_parser_free(weft_sse_parser *p)
{
	if (!p)
		return;
	text_fini(&p->data);
	text_fini(&p->value);
	text_fini(&p->type);
	text_fini(&p->id_next);
	text_fini(&p->id);
	mem_free(p);
}

void weft_sse_parser_reset(weft_sse_parser *p)
{
	p->bom_len = 0;
	p->swallow_lf = false;
	p->dropped = false;
	p->place = LINE_START;
	p->view = NULL;
	p->data.len = 0;
	p->value.len = 0;
	p->has_type = false;
	p->has_id_next = false;
	give_back(&p->data);
	give_back(&p->value);
}

const char *weft_sse_parser_last_id(const weft_sse_parser *p)
{
	return p->id.bytes ? p->id.bytes : "";
}

weft_err weft_sse_parser_last_id_set(weft_sse_parser *p, const char *id)
{
	size_t len = id ? strlen(id) : 0;

	if (len > 0 && strpbrk(id, "\r\n"))
		return err_setf(WEFT_EINVAL, "event stream: a line end in the last event id");
	if (len > p->options.field_max)
		return err_setf(WEFT_EMSGSIZE,
			"event stream: the last event id is larger than %zu bytes",
			p->options.field_max);
	if (text_set(&p->id, id ? id : "", len))
		return err_setf(WEFT_ENOMEM, "event stream: out of memory for the last event id");
	return WEFT_OK;
}

int64_t weft_sse_parser_retry_ms(const weft_sse_parser *p)
{
	return p->retry_ms;
}

size_t weft_sse_parser_memory(const weft_sse_parser *p)
{
	return p->data.size + p->value.size + p->type.size + p->id_next.size + p->id.size;
}
