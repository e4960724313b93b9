/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_RECORD_LINE_H
#define BRIDGE_RECORD_LINE_H

/*
 * The lines of a recording, each an object of JSON, in this form and order:
 *
 *	{"time":"2026-11-21T22:30:00.123456Z","run":"5b1f0c9a","session":7,"direction":"to_server",
 *	 "transport":"http","server":"name","message":{"jsonrpc":"2.0",...}}
 *
 * time	when the relay had it, in UTC
 * run		which run of the recorder: numbers of sessions begin anew with each
 * direction	"to_server" or "to_client"
 * transport	by what the client came: "http", "sse", "stdio", "tcp", "tls", "unix", "mux"
 * message	as it came, byte by byte; of what is no message a text, at most
 *		RECORD_INVALID_MAX bytes of it, and "invalid" in front of it says what is wrong
 *
 * and of the recording itself:
 *
 *	{"time":T,"run":R,"lost":3}	so many messages were left out here
 *	{"time":T,"run":R,"torn":true}	the line before is not whole
 *
 * No allocation, no state; any thread.
 */
#include "bridge/relay.h"

#define RECORD_RUN_LEN 8   /* hexadecimal digits */
#define RECORD_TIME_LEN 27 /* bytes of a time, without quotes */
#define RECORD_INVALID_MAX ((size_t)65536)
#define RECORD_MARK_MAX 128 /* bytes of a line of the recording itself */

/* ns since 1970; years 1970 to 9999. */
void record_time_write(char to[RECORD_TIME_LEN], int64_t ns);
/* False: none. */
bool record_time_read(const char *text, size_t len, int64_t *ns);

/* Bytes that the line has at most. */
size_t record_line_size(const struct relay_message *message);
/* The line, with its end; to has that many. Returns its length. */
size_t record_line_write(
	char *to, const char *run, int64_t time_ns, const struct relay_message *message);
/* These return the length, at most RECORD_MARK_MAX. */
size_t record_lost_write(char *to, const char *run, int64_t time_ns, uint64_t count);
size_t record_torn_write(char *to, const char *run, int64_t time_ns);

#endif
