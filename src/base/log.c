/* SPDX-License-Identifier: MIT */
/*
 * Logging goes to one callback. Callback, its argument and the level belong together, so
 * they are one immutable struct, published by pointer: a line sees the old three or the
 * new three. A struct stays for the life of the process, since some line may still hold
 * it; setting what was set before uses the one there is, so that their number is bounded
 * by the number of different settings.
 */
#include "base/mem.h"
#include "base/refcount.h"

#include <weft/log.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 2048 /* of the formatted line, before escaping */
#define SHORT_MAX 256	    /* the same when memory has run out */
#define CUT "..."

struct setting {
	weft_log_fn fn;
	void *user;
	weft_log_level max_level;
	struct setting *older;
};

static struct published current; /* struct setting; NULL: silence */
static pthread_mutex_t setting_lock = PTHREAD_MUTEX_INITIALIZER;
static struct setting *settings; /* all there ever were; under setting_lock */

static struct setting *setting_find(weft_log_fn fn, void *user, weft_log_level max_level)
{
	for (struct setting *s = settings; s; s = s->older)
		if (s->fn == fn && s->user == user && s->max_level == max_level)
			return s;
	return NULL;
}

void weft_log_set(weft_log_fn fn, void *user, weft_log_level max_level)
{
	struct setting *s = NULL;

	pthread_mutex_lock(&setting_lock);
	if (fn) {
		s = setting_find(fn, user, max_level);
		if (!s) {
			s = mem_calloc(1, sizeof(*s));
			/* out of memory: silence, rather than a callback of before */
			if (s) {
				*s = (struct setting){ fn, user, max_level, settings };
				settings = s;
			}
		}
	}
	published_set(&current, s);
	pthread_mutex_unlock(&setting_lock);
}

bool weft_log_enabled(weft_log_level level)
{
	const struct setting *s = published_get(&current);

	return s && level <= s->max_level;
}

/* Makes control characters visible: a line is one line, and can't steer a terminal. */
static void escape(char *out, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = 0;

	for (; *text && len + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c != 0x7f) {
			out[len++] = (char)c;
			continue;
		}
		out[len++] = '\\';
		if (c == '\n' || c == '\t' || c == '\r') {
			out[len++] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
			continue;
		}
		out[len++] = 'x';
		out[len++] = hex[c >> 4];
		out[len++] = hex[c & 15];
	}
	out[len] = '\0';
}

/* Formats into raw, cuts with dots, escapes into line. */
WEFT_PRINTF(5, 0)
static void format_line(
	char *line, size_t line_size, char *raw, size_t raw_size, const char *format, va_list args)
{
	int len = vsnprintf(raw, raw_size, format, args);

	if (len < 0)
		raw[0] = '\0';
	else if ((size_t)len >= raw_size)
		memcpy(raw + raw_size - sizeof(CUT), CUT, sizeof(CUT));
	escape(line, line_size, raw);
}

void weft_log(weft_log_level level, const char *module, const char *format, ...)
{
	const struct setting *s = published_get(&current);
	char short_raw[SHORT_MAX], short_line[SHORT_MAX * 4 + 1];
	char *memory;
	int saved = errno;
	va_list args;

	if (!s || level > s->max_level)
		return;
	memory = mem_alloc((size_t)LINE_MAX_BYTES * 5 + 1);
	va_start(args, format);
	if (memory) {
		format_line(memory + LINE_MAX_BYTES, (size_t)LINE_MAX_BYTES * 4 + 1, memory,
			LINE_MAX_BYTES, format, args);
		s->fn(s->user, level, module, memory + LINE_MAX_BYTES);
	} else {
		format_line(
			short_line, sizeof(short_line), short_raw, sizeof(short_raw), format, args);
		s->fn(s->user, level, module, short_line);
	}
	va_end(args);
	mem_free(memory);
	errno = saved;
}

static const char *const level_names[] = { "error", "warn", "info", "debug", "trace" };

const char *weft_log_level_name(weft_log_level level)
{
	size_t i = (size_t)level;

	return i < sizeof(level_names) / sizeof(level_names[0]) ? level_names[i] : "unknown";
}

weft_err weft_log_level_parse(const char *name, weft_log_level *out)
{
	for (size_t i = 0; name && i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (weft_log_level)i;
			return WEFT_OK;
		}
	}
	return WEFT_EINVAL;
}
