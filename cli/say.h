/* SPDX-License-Identifier: MIT */
#ifndef SAY_H
#define SAY_H

/*
 * What the command writes to stderr: one line at a time, each by a single write, so that
 * lines of several threads do not mix. Bytes that would break a line or garble a terminal
 * are escaped. Any thread.
 */
#include <weft/bridge.h>
#include <weft/log.h>

#include <stdbool.h>

enum {
	EXIT_DONE = 0,
	EXIT_WORLD = 1, /* something outside failed */
	EXIT_USAGE = 2, /* something is wrong in the arguments */
};

/* "weft: ...", plain in either format. */
void say(const char *format, ...) WEFT_PRINTF(1, 2);
/* A line without "weft: " in front. */
void say_line(const char *format, ...) WEFT_PRINTF(1, 2);
/* The same of prefix and text, however long they are. */
void say_long(const char *prefix, const char *text);
/* say, and EXIT_USAGE. */
int say_usage(const char *format, ...) WEFT_PRINTF(1, 2);
/* What stdio holds goes to standard output. EXIT_DONE, or EXIT_WORLD: the error has been said. */
int say_flush(void);

/* Log lines from now on; before this call there are none. */
void say_log_start(bool is_json, weft_log_level max_level);
/* For weft_bridge_options.on_event. */
void say_event(void *user, const weft_bridge_event *event);
/* What ends the command, after say_log_start in its format. */
void say_fatal(weft_err err, const char *text);

#endif
