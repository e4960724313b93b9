/* SPDX-License-Identifier: MIT */
/* See say.h. */
#define _POSIX_C_SOURCE 200809L
#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096 /* longer lines are cut */
#define LINE_SPARE 512	    /* of these, kept for what is not text: names, numbers, the end */
#define TEXT_MAX 2048
#define SHOWN_MAX 16   /* bytes that a character is shown as, with a NUL */
#define SHOWN_GROWTH 4 /* a byte becomes "\x1b" at worst */

static bool is_json;
static weft_log_level level_max = WEFT_LOG_WARN;

/* A line as it grows. Text is cut before it takes the room of what follows it. */
struct line {
	char bytes[LINE_MAX_BYTES];
	size_t len;
};

static void put(struct line *line, const char *bytes, size_t len)
{
	if (len >= sizeof(line->bytes) - line->len)
		return;
	memcpy(line->bytes + line->len, bytes, len);
	line->len += len;
}

static void put_text(struct line *line, const char *bytes, size_t len)
{
	if (line->len + len <= sizeof(line->bytes) - LINE_SPARE)
		put(line, bytes, len);
}

static void puts_to(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

static void put_number(struct line *line, const char *name, uint64_t value)
{
	char text[64];

	(void)snprintf(text, sizeof(text), ",\"%s\":%llu", name, (unsigned long long)value);
	puts_to(line, text);
}

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 127;
}

/* How many bytes of text are one character of UTF-8; 0: they are none. */
static size_t utf8_len(const char *text)
{
	unsigned char first = (unsigned char)*text;
	size_t len = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	unsigned char second;

	if (first > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
	}
	second = len > 1 ? (unsigned char)text[1] : 0;
	if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
		(first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
		return 0; /* too long a form, a surrogate, or above U+10FFFF */
	return len;
}

/* A character as a terminal may get it: controls, those of U+0080 to U+009F too, and what is no
 * UTF-8 byte by byte in hexadecimal. How many bytes of text it was. */
static size_t shown(char out[SHOWN_MAX], const char *text)
{
	size_t len = utf8_len(text);
	unsigned char first = (unsigned char)text[0];

	if (len == 2 && first == 0xc2 && (unsigned char)text[1] < 0xa0)
		len = 0;
	if (len == 0 || is_control(*text)) {
		(void)snprintf(out, SHOWN_MAX, "\\x%02x", (unsigned)first);
		return 1;
	}
	memcpy(out, text, len);
	out[len] = '\0';
	return len;
}

static void put_plain(struct line *line, const char *text)
{
	char out[SHOWN_MAX];

	while (*text) {
		text += shown(out, text);
		put_text(line, out, strlen(out));
	}
}

/* A JSON string; what is no UTF-8 becomes U+FFFD. */
static void put_quoted(struct line *line, const char *text)
{
	char escaped[8];

	puts_to(line, "\"");
	while (*text) {
		size_t len = utf8_len(text);

		if (len == 0) {
			put_text(line, "\xef\xbf\xbd", 3);
			len = 1;
		} else if (*text == '"' || *text == '\\' || is_control(*text)) {
			(void)snprintf(escaped, sizeof(escaped), "\\u%04x",
				(unsigned)(unsigned char)*text);
			put_text(line, escaped, strlen(escaped));
		} else {
			put_text(line, text, len);
		}
		text += len;
	}
	puts_to(line, "\"");
}

static void put_field(struct line *line, const char *name, const char *text)
{
	puts_to(line, ",\"");
	puts_to(line, name);
	puts_to(line, "\":");
	put_quoted(line, text);
}

static void put_time(struct line *line)
{
	struct timespec now;
	struct tm tm;
	char text[64];

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	(void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ",
		tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		now.tv_nsec / 1000);
	puts_to(line, "{\"time\":");
	put_quoted(line, text);
}

static void write_all(const char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(STDERR_FILENO, bytes + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody to tell that to */
		done += (size_t)n;
	}
}

static void flush(struct line *line)
{
	line->bytes[line->len++] = '\n';
	write_all(line->bytes, line->len);
}

static void say_text(const char *text)
{
	struct line line = { .len = 0 };

	puts_to(&line, "weft: ");
	put_plain(&line, text);
	flush(&line);
}

void say(const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_text(text);
}

void say_line(const char *format, ...)
{
	struct line line = { .len = 0 };
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put_plain(&line, text);
	flush(&line);
}

void say_long(const char *prefix, const char *text)
{
	char *line = malloc(strlen(prefix) + strlen(text) * SHOWN_GROWTH + SHOWN_MAX);
	char out[SHOWN_MAX], *end;

	if (!line) {
		say_line("%s%s", prefix, text); /* cut is better than not at all */
		return;
	}
	end = stpcpy(line, prefix);
	while (*text) {
		text += shown(out, text);
		end = stpcpy(end, out);
	}
	*end++ = '\n';
	write_all(line, (size_t)(end - line));
	free(line);
}

int say_flush(void)
{
	/* what filled the buffer earlier may have failed already, and then errno is of that */
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	say("write standard output: %s", strerror(errno));
	return EXIT_WORLD;
}

int say_usage(const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_text(text);
	return EXIT_USAGE;
}

static void json_begin(struct line *line, weft_log_level level, const char *module)
{
	put_time(line);
	put_field(line, "level", weft_log_level_name(level));
	put_field(line, "module", module);
}

static void log_line(void *user, weft_log_level level, const char *module, const char *text)
{
	struct line line = { .len = 0 };

	(void)user;
	if (!is_json) {
		say_text(text);
		return;
	}
	json_begin(&line, level, module);
	put_field(&line, "msg", text);
	puts_to(&line, "}");
	flush(&line);
}

static void event_plain(const weft_bridge_event *event)
{
	struct line line = { .len = 0 };
	char prefix[64];

	puts_to(&line, "weft: ");
	if (event->session) {
		(void)snprintf(prefix, sizeof(prefix), "session %llu from ",
			(unsigned long long)event->session);
		puts_to(&line, prefix);
		put_plain(&line, event->peer);
		puts_to(&line, ": ");
	}
	put_plain(&line, event->text);
	flush(&line);
}

static void event_json(const weft_bridge_event *event)
{
	struct line line = { .len = 0 };

	json_begin(&line, event->level, "bridge");
	put_field(&line, "msg", event->text);
	if (event->err)
		put_field(&line, "error", weft_err_name(event->err));
	if (event->session) {
		put_number(&line, "session", event->session);
		put_field(&line, "peer", event->peer);
		put_number(&line, "bytes_in", event->bytes_in);
		put_number(&line, "bytes_out", event->bytes_out);
	}
	puts_to(&line, "}");
	flush(&line);
}

void say_event(void *user, const weft_bridge_event *event)
{
	(void)user;
	if (event->level > level_max)
		return;
	if (is_json)
		event_json(event);
	else
		event_plain(event);
}

void say_log_start(bool json, weft_log_level max_level)
{
	is_json = json;
	level_max = max_level;
	weft_log_set(log_line, NULL, max_level);
}

void say_fatal(weft_err err, const char *text)
{
	weft_bridge_event event = { .level = WEFT_LOG_ERROR, .peer = "", .err = err, .text = text };

	if (is_json)
		event_json(&event);
	else
		event_plain(&event);
}
