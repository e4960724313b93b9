/* SPDX-License-Identifier: MIT */
#ifndef HTTP1SAY_H
#define HTTP1SAY_H

/*
 * What the HTTP/1 codec makes of bytes, as a line of text that tables of cases can hold:
 *
 *	GET /a 1.1 to=host length=5 keep [Host=host|Content-Length=5]
 *	1.1 200 'OK' close []
 *	!NAME_SPACE		a fault
 *	...			not whole
 *
 * Bytes come in pieces, each time from a block of its own of just that size, so that a byte over
 * is seen, and so is whoever keeps a pointer.
 */
#include "proto/http1/http1.h"

#include "support/t.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAY_MAX 4096

struct say {
	char text[SAY_MAX];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static inline void say(
	struct say *out, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out->text + out->len, sizeof(out->text) - out->len, format, args);
	va_end(args);
	T_OUGHT(n >= 0 && out->len + (size_t)n < sizeof(out->text));
	out->len += (size_t)n;
}

static inline void say_span(
	struct say *out, const char *before, const char *data, struct http1_span span)
{
	say(out, "%s%.*s", before, (int)span.len, data + span.at);
}

static inline const char *say_fault(enum http1_fault fault)
{
	static const char *const names[] = {
#define SAY_FAULT(name, status, text) #name,
		HTTP1_FAULT_LIST(SAY_FAULT)
#undef SAY_FAULT
	};

	return names[fault];
}

static inline void say_fields(
	struct say *out, const char *data, const struct http1_field *fields, size_t count)
{
	say(out, "[");
	for (size_t i = 0; i < count; i++) {
		const struct http1_field *f = &fields[i];

		T_OUGHT(f->name == (uint16_t)http1_name_of(data + f->name_at, f->name_len));
		T_OUGHT(data[f->name_at + f->name_len] == ':');
		say(out, "%s%.*s=%.*s", i ? "|" : "", (int)f->name_len, data + f->name_at,
			(int)f->value_len, data + f->value_at);
	}
	say(out, "]");
}

static inline void say_framing(struct say *out, const struct http1_framing *f)
{
	static const char *const kinds[] = { "none", "length", "chunked", "close", "tunnel" };

	say(out, " %s", kinds[f->kind]);
	if (f->content_length >= 0)
		say(out, "=%lld", (long long)f->content_length);
	say(out, "%s%s%s%s ", f->keep_alive ? " keep" : "", f->expect_continue ? " expect" : "",
		f->expect_other ? " expect-other" : "", f->upgrade ? " upgrade" : "");
}

static inline void say_head(struct say *out, const struct http1_parser *p, const char *data)
{
	static const char *const forms[] = { "", " absolute", " authority", " asterisk" };
	const struct http1_head *h = &p->head;

	T_OUGHT(h->size >= 4 && !memcmp(data + h->size - 4, "\r\n\r\n", 4));
	if (p->kind == HTTP1_REQUEST) {
		T_OUGHT(h->method == http1_method_of(data + h->method_text.at, h->method_text.len));
		say_span(out, "", data, h->method_text);
		say_span(out, " ", data, h->target);
		say(out, " 1.%u%s", h->minor, forms[h->form]);
		if (h->authority.len)
			say_span(out, " to=", data, h->authority);
		if (h->path.at != h->target.at)
			say_span(out, " path=", data, h->path);
	} else {
		say(out, "1.%u %u", h->minor, h->status);
		say_span(out, " '", data, h->reason);
		say(out, "'");
	}
	say_framing(out, &h->framing);
	say_fields(out, data, h->fields, h->field_count);
}

/* A block of just that size. */
static inline char *say_block(const char *text, size_t len)
{
	char *block = malloc(len ? len : 1);

	T_OUGHT(block);
	if (len)
		memcpy(block, text, len);
	return block;
}

struct say_how {
	enum http1_kind kind;
	enum http1_method answers;
	bool base; /* the lines that need no AVX2 */
	const struct http1_limits *limits;
	uint16_t fields_max; /* 0: 100 */
	size_t step;	     /* bytes more at a time; 0: cut twice, see below */
	size_t first, second;
};

/* All of text in the end. The parser is the caller's, to look at; its data is gone. */
static inline void say_parse(struct say *out, struct http1_parser *p, const struct say_how *how,
	const char *text, size_t len)
{
	static struct http1_field fields[100];
	enum http1_step step = HTTP1_MORE;
	size_t have = 0;

	out->len = 0;
	out->text[0] = '\0';
	http1_parser_init(
		p, how->kind, fields, how->fields_max ? how->fields_max : 100, how->limits);
	http1_parser_reset(p, how->answers);
	if (how->base)
		p->wide = false;
	while (step == HTTP1_MORE && have < len) {
		char *block;

		if (how->step)
			have = have + how->step < len ? have + how->step : len;
		else
			have = have < how->first     ? how->first
				: have < how->second ? how->second
						     : len;
		block = say_block(text, have);
		step = http1_parse(p, block, have);
		T_OUGHT(step == http1_parse(p, block, have));
		if (step == HTTP1_DONE)
			say_head(out, p, block);
		free(block);
	}
	T_OUGHT((step == HTTP1_BAD) == (p->fault != HTTP1_FAULT_NONE));
	if (step == HTTP1_BAD)
		say(out, "!%s", say_fault(p->fault));
	if (step == HTTP1_MORE)
		say(out, "...");
}

#endif
