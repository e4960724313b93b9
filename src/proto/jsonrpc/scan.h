/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JSONRPC_SCAN_H
#define PROTO_JSONRPC_SCAN_H

/*
 * The scanner of JSON: RFC 8259's grammar over bytes in memory, once from left to right.
 *
 * Each function takes where to begin and returns where what it took ends, or NULL: then fault and
 * fault_at are set. None reads at end or behind it.
 *
 * UTF-8: strings are passed whatever bytes above 0x7f they hold, which is only noted; outside of
 * strings such a byte is a fault as any other. json_scan_utf8 looks at all of it afterwards, where
 * there was any.
 */
#include <weft/json.h>

#include <stdbool.h>
#include <stddef.h>

struct json_scan {
	const char *begin; /* of the text: offsets are from here */
	const char *end;
	unsigned depth;	    /* of what is around the next value */
	unsigned depth_max; /* up to WEFT_JSON_DEPTH_MAX */
	unsigned high;	    /* not 0: a byte above 0x7f was seen */
	const char *fault;  /* what is wrong; NULL: nothing */
	const char *fault_at;
};

/* Faults of limits rather than of the text. */
extern const char json_too_deep[];
extern const char json_too_large[];

/* depth_max and size_max as they hold. */
weft_json_limits json_limits(const weft_json_limits *limits);
struct json_scan json_scan_of(const char *text, size_t len, unsigned depth_max);
const char *json_fault(struct json_scan *s, const char *at, const char *what);

/* Space, and what is neither. Returns end when there is nothing else. */
const char *json_space(const char *p, const char *end);
/* A value that begins at p. */
const char *json_value(struct json_scan *s, const char *p);
/* From p, where the name of a member must begin, to the value behind its colon. name is the string
 * with its quotes; *escaped is set when it has escapes. */
const char *json_name(struct json_scan *s, const char *p, weft_json *name, bool *escaped);
/* Makes what was scanned from begin to p a fault when it isn't UTF-8, unless a fault before that is
 * known. False: there is a fault. */
bool json_scan_utf8(struct json_scan *s, const char *p);

/* A text as names are compared, of len bytes; string is one that was scanned, with quotes. */
bool json_string_equals(weft_json string, const char *text, size_t len);
/*
 * The next bytes of a string's text: at *p of one that was scanned, before its closing quote;
 * 1 to 4 bytes into out, *p behind what they stand for. 0: a wrong escape.
 */
unsigned json_string_step(const char **p, const char *end, char out[4]);

#endif
