/* SPDX-License-Identifier: MIT */
/* See grown_text.h. */
#include "bridge/grown_text.h"

#include "base/mem.h"

#include <weft/json.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ROOM_FIRST ((size_t)4096)
#define FORMAT_SIZE 257

/* For so many more, and a NUL. */
static bool reserve(struct grown_text *text, size_t len)
{
	size_t room = text->room ? text->room : ROOM_FIRST;
	char *grown;

	if (text->has_failed)
		return false;
	while (room <= GROWN_TEXT_MAX && room - text->len <= len)
		room *= 2;
	if (room == text->room)
		return true;
	grown = room > GROWN_TEXT_MAX ? NULL : mem_realloc(text->text, room);
	text->has_failed = !grown;
	if (!grown)
		return false;
	text->text = grown;
	text->room = room;
	return true;
}

void grown_put(struct grown_text *text, const char *bytes, size_t len)
{
	if (!reserve(text, len))
		return;
	memcpy(text->text + text->len, bytes, len);
	text->len += len;
	text->text[text->len] = '\0';
}

void grown_puts(struct grown_text *text, const char *string)
{
	grown_put(text, string, strlen(string));
}

void grown_putf(struct grown_text *text, const char *format, ...)
{
	char made[FORMAT_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(made, sizeof(made), format, args);
	va_end(args);
	grown_puts(text, made);
}

void grown_put_json(struct grown_text *text, const char *string)
{
	size_t len = strlen(string), size = weft_json_string_size(string, len), written = 0;

	if (!reserve(text, size))
		return;
	if (weft_json_string_encode(string, len, text->text + text->len, size, &written))
		text->has_failed = true;
	text->len += written;
	text->text[text->len] = '\0';
}

const char *grown_string(const struct grown_text *text)
{
	return text->has_failed ? NULL : text->text ? text->text : "";
}

void grown_fini(struct grown_text *text)
{
	mem_free(text->text);
	*text = (struct grown_text){ .text = NULL };
}
