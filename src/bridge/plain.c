/* SPDX-License-Identifier: MIT */
/*
 * See plain.h. States, by what an escape sequence may go on with:
 *
 *	TEXT    ESC -> ESCAPE
 *	ESCAPE  '[' -> CONTROL; ']', 'P', 'X', '^', '_' -> STRING; blank to '/': stays; else TEXT
 *	CONTROL up to '?': stays; else, its last byte, TEXT
 *	STRING  BEL, or ESC and '\': TEXT; else stays
 */
#include "bridge/plain.h"

#include "base/utf8.h"

#include <string.h>

enum { TEXT, ESCAPE, CONTROL, STRING, STRING_ESCAPE };

void plain_init(struct plain *p)
{
	p->state = TEXT;
	p->is_cut = false;
	p->len = 0;
}

/* In place: what is no UTF-8, and the C1 controls, become question marks. */
static void mend(struct plain *p)
{
	size_t at = 0;

	while (at < p->len) {
		at += utf8_valid_len(p->line + at, p->len - at);
		if (at < p->len)
			p->line[at++] = '?';
	}
	for (at = 0; at + 1 < p->len; at++) {
		if ((unsigned char)p->line[at] == 0xc2 && (unsigned char)p->line[at + 1] < 0xa0)
			p->line[at] = p->line[at + 1] = '?';
	}
}

/* Not within a character. */
static void cut(struct plain *p)
{
	while (p->len > 0 && ((unsigned char)p->line[p->len - 1] & 0xc0) == 0x80)
		p->len--;
	if (p->len > 0 && (unsigned char)p->line[p->len - 1] >= 0xc0)
		p->len--;
}

static void line_ended(struct plain *p, plain_fn fn, void *user)
{
	if (p->is_cut)
		cut(p);
	mend(p);
	if (p->is_cut) {
		memcpy(p->line + p->len, PLAIN_CUT, sizeof(PLAIN_CUT) - 1);
		p->len += sizeof(PLAIN_CUT) - 1;
	}
	p->line[p->len] = '\0';
	if (p->len > 0)
		fn(user, p->line);
	plain_init(p);
}

static void add(struct plain *p, char c)
{
	if (p->len == PLAIN_LINE_MAX)
		p->is_cut = true;
	else
		p->line[p->len++] = c;
}

static void text_byte(struct plain *p, char c)
{
	unsigned char byte = (unsigned char)c;

	if (c == 0x1b)
		p->state = ESCAPE;
	else if (c == '\t')
		add(p, ' ');
	else if (byte >= 0x20 && byte != 0x7f)
		add(p, c);
}

static int after_escape(char c)
{
	if (c == '[')
		return CONTROL;
	if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_')
		return STRING;
	return c >= ' ' && c <= '/' ? ESCAPE : TEXT;
}

static void feed_byte(struct plain *p, char c)
{
	switch (p->state) {
	case ESCAPE:
		p->state = c == 0x1b ? ESCAPE : after_escape(c);
		break;
	case CONTROL:
		if (c == 0x1b)
			p->state = ESCAPE;
		else if (c >= '@')
			p->state = TEXT;
		break;
	case STRING:
		if (c == 0x07)
			p->state = TEXT;
		else if (c == 0x1b)
			p->state = STRING_ESCAPE;
		break;
	case STRING_ESCAPE:
		p->state = c == '\\' ? TEXT : STRING;
		break;
	default:
		text_byte(p, c);
		break;
	}
}

void plain_feed(struct plain *p, const char *bytes, size_t len, plain_fn fn, void *user)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '\n' || bytes[i] == '\r')
			line_ended(p, fn, user);
		else
			feed_byte(p, bytes[i]);
	}
}

void plain_end(struct plain *p, plain_fn fn, void *user)
{
	line_ended(p, fn, user);
}
