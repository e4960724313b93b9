/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MCP_SERVER_CHECK_H
#define BRIDGE_MCP_SERVER_CHECK_H

/*
 * What a request of the Model Context Protocol says in its header fields, and whether that is as it
 * should be. Pure functions; no I/O, and no state.
 *
 * Source: modelcontextprotocol.io/specification, "Transports" of 2025-11-25 (sessions), "Streamable
 * HTTP" of 2026-07-28 (stateless: "Request Metadata", "Server Validation").
 */
#include <weft/http.h>
#include <weft/jsonrpc.h>

#include <stdbool.h>

/* In the order of time, so that they compare. */
enum mcps_version {
	MCPS_VERSION_ABSENT,  /* no field */
	MCPS_VERSION_UNKNOWN, /* a field that names none of these */
	MCPS_2024_10_07,
	MCPS_2024_11_05,
	MCPS_2025_03_26,
	MCPS_2025_06_18,
	MCPS_2025_11_25,
	MCPS_2026_07_28, /* and from here on stateless */
};

#define MCPS_HEADER_MISMATCH (-32020)
#define MCPS_CAPABILITY_MISSING (-32021)
#define MCPS_VERSION_UNSUPPORTED (-32022)

/* text may be NULL: ABSENT. */
enum mcps_version mcps_version_of(const char *text, size_t len);
/* The same of a string in a message; WEFT_JSON_NONE: ABSENT. */
enum mcps_version mcps_version_of_json(weft_json value);
/* The versions served, as a JSON array. */
const char *mcps_versions_json(bool sessions, bool stateless);

/* Whether Accept fields list a media type such as "application/json", or a range that has it
 * (RFC 9110, section 12.5.1), with a weight other than 0. NULL: they do not. */
bool mcps_accepts(const char *accept, const char *type);
/* Whether it names event streams before JSON, and gives no weights: who takes both hardly says
 * otherwise which of them it would rather have. NULL: it does not. */
bool mcps_prefers_events(const char *accept);
/* Whether a Content-Type is application/json, with or without parameters. NULL: it is not. */
bool mcps_is_json(const char *content_type);

/*
 * The id of an event: the stream it belongs to, its number there, and, of a request's stream, the
 * request's id: so that who comes back for an answer that is not kept any more can be told so.
 * Streams are numbered within their session, so that ids are unique in it.
 *
 *	3-17		of a GET's stream
 *	4-2-MTI=	of that of request 12, whose id is here in base 64
 *	4-2-		of that of a batch, or of a request whose id is long
 */
struct mcps_cursor {
	uint64_t stream, seq;
	bool is_listener;     /* of a GET's stream */
	weft_json request_id; /* as it stands in its request; none: not said */
};
#define MCPS_CURSOR_ID_MAX 96				     /* bytes of a request's id */
#define MCPS_CURSOR_SIZE (43 + (MCPS_CURSOR_ID_MAX / 3 * 4)) /* with the NUL */
void mcps_cursor_write(char out[MCPS_CURSOR_SIZE], const struct mcps_cursor *cursor);
/* request_id lies in id. False: it is none that _write has made. */
bool mcps_cursor_read(struct mcps_cursor *out, char id[MCPS_CURSOR_ID_MAX], const char *text);

/* --- the stateless era --- */

/* Fields of a request; NULL: it has none, or no such. repeated: one of them is there twice. */
struct mcps_heads {
	const char *version, *method, *name;
	bool repeated;
	bool any_version; /* is served */
};

/* What is wrong with a request: the error it is answered with. */
struct mcps_fault {
	int code; /* 0: nothing */
	unsigned status;
	char text[256];
};

/*
 * Whether the header fields of a request say what its body says (-32020), with a version that is
 * served (-32022), and its _meta has what each request must have (-32602). False: *fault says what
 * is wrong. Errors in out of memory count as -32603.
 */
bool mcps_heads_check(
	const struct mcps_heads *heads, const weft_jsonrpc *rpc, struct mcps_fault *fault);
/*
 * Whether a field's value, which may be "=?base64?...?=", reads as a string of the body.
 * WEFT_EINVAL: it has characters that a value may not have, or is no such text;
 * WEFT_ENOTFOUND: another; WEFT_ENOMEM.
 */
WEFT_MUST_CHECK weft_err mcps_value_matches(const char *value, weft_json string);
/* The same for a string, a number (42.0 is 42) or a boolean of the body. */
WEFT_MUST_CHECK weft_err mcps_param_matches(const char *value, weft_json body);
/* The status of a response with this error: 200 where none is said. */
unsigned mcps_error_status(int64_t code);

#endif
