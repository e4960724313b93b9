/* SPDX-License-Identifier: MIT */
#ifndef WEFT_JSONRPC_H
#define WEFT_JSONRPC_H

#include <weft/base.h>
#include <weft/buf.h>
#include <weft/json.h>

#include <sys/uio.h> /* struct iovec */

WEFT_BEGIN_DECLS
/*
 * The envelope of JSON-RPC 2.0 messages (jsonrpc.org/specification), and what a relay of the Model
 * Context Protocol has to look at. One pass checks a message, classifies it and finds the spans of
 * its parts; nothing is built, nothing allocated.
 *
 * Memory:   all spans point into the text that was scanned and are valid as long as it is.
 * Threads:  no state: anything may be called from anywhere.
 * Blocking: never.
 */
typedef enum weft_jsonrpc_kind {
	WEFT_JSONRPC_NONE,	   /* weft_jsonrpc_batch_next: no more */
	WEFT_JSONRPC_REQUEST,	   /* method and id */
	WEFT_JSONRPC_NOTIFICATION, /* method, no id */
	WEFT_JSONRPC_RESPONSE,	   /* result and id */
	WEFT_JSONRPC_ERROR,	   /* error; id may be null, or missing */
	WEFT_JSONRPC_BATCH,	   /* an array of messages */
	WEFT_JSONRPC_INVALID,	   /* see fault */
} weft_jsonrpc_kind;

/* JSON-RPC's codes for errors. */
#define WEFT_JSONRPC_PARSE_ERROR (-32700)
#define WEFT_JSONRPC_INVALID_REQUEST (-32600)
#define WEFT_JSONRPC_METHOD_NOT_FOUND (-32601)
#define WEFT_JSONRPC_INVALID_PARAMS (-32602)
#define WEFT_JSONRPC_INTERNAL_ERROR (-32603)

/*
 * A message. Parts that it does not have are WEFT_JSON_NONE. A string has its quotes and escapes:
 * weft_json_string_is and others of json.h read it.
 */
typedef struct weft_jsonrpc {
	weft_jsonrpc_kind kind;
	/* INVALID: what to answer with: WEFT_JSONRPC_PARSE_ERROR (no JSON, not UTF-8, over a
	 * limit) or WEFT_JSONRPC_INVALID_REQUEST (JSON, but no message). */
	int fault_code;
	size_t fault_offset; /* INVALID: at which byte of the text; its length: at its end */
	const char *fault;   /* INVALID: what is wrong there; static */
	/* The message without white space around it. PARSE_ERROR: none. */
	weft_json text;
	/* A number, a string, or null. INVALID: if the message has exactly one that was read
	 * before a PARSE_ERROR: to be answered with; weft_jsonrpc_skim finds one that comes
	 * later. It need not be an integer. */
	weft_json id;
	weft_json method;	 /* a string */
	weft_json params;	 /* an object or an array */
	weft_json result;	 /* any value */
	weft_json error;	 /* an object */
	weft_json error_code;	 /* error.code: weft_json_integer reads it */
	weft_json error_message; /* error.message: a string */
	weft_json error_data;	 /* error.data: any value */
	/* The Model Context Protocol's: any values, unless a type is said. */
	weft_json meta;			 /* params._meta or result._meta */
	weft_json meta_progress_token;	 /* progressToken of meta */
	weft_json meta_protocol_version; /* io.modelcontextprotocol/protocolVersion of meta */
	weft_json meta_subscription_id;	 /* io.modelcontextprotocol/subscriptionId of meta */
	weft_json progress_token;	 /* params.progressToken */
	weft_json request_id;		 /* params.requestId */
	weft_json name;			 /* params.name */
	weft_json uri;			 /* params.uri */
	/* The name of the first member of params, result, error or _meta that is named as one of
	 * these above but for upper and lower case. Who acts on the message may ignore case and
	 * take it for that: a relay that rewrites these, or checks them for somebody, must not
	 * pass it on. */
	weft_json odd_name;
	/* The first of these that is read as something else than name or uri: those a relay does not
	 * rewrite, and servers of other protocols than the Model Context Protocol may have. */
	weft_json odd_member;
	size_t batch_count; /* BATCH: elements, at least one */
} weft_jsonrpc;

/*
 * Scans a whole text; returns out->kind. limits may be NULL. The text may have white space around
 * the message, line ends too.
 *
 * A message is a JSON object (see weft_json_check) with "jsonrpc": "2.0" and either
 *	method, a string; params, if there, an object or array; id, if there, a number, a string
 *		or null; neither result nor error; or
 *	result or error, not both; no method and no params; id as above, which only an error may
 *		lack. error: an object with code, an integer, and message, a string.
 * Other members are passed over. Refused are, because not everybody would read the same:
 *	any of the members named in weft_jsonrpc twice, escaped or not;
 *	a member of the message that is named as one of these but for upper and lower case.
 * An empty batch is invalid; what its elements are is seen only by weft_jsonrpc_batch_next.
 */
WEFT_API weft_jsonrpc_kind weft_jsonrpc_scan(
	weft_jsonrpc *out, const char *text, size_t len, const weft_json_limits *limits);

/*
 * The next element of a BATCH, each as a message of its own; *at is 0 at first and then the
 * function's. Returns element->kind: WEFT_JSONRPC_NONE when there are no more, INVALID for what
 * is no message (an array is none: batches don't nest); fault_offset is counted from the batch's
 * text. limits: those of the batch. Each may be had once, at the cost of a second scan.
 */
WEFT_API weft_jsonrpc_kind weft_jsonrpc_batch_next(const weft_jsonrpc *batch, size_t *at,
	weft_jsonrpc *element, const weft_json_limits *limits);

/*
 * A message that can't be kept, since it is over a limit: shown piece by piece as it comes, and let
 * go of. What stays is what it takes to answer it, or to end the request that it answers: what it
 * is, and its id, which may be its last member. Also for the rest of a message whose scan ended at a
 * limit before its id.
 *
 *	weft_jsonrpc_skim_init(&skim);
 *	for (each piece up to the message's end)
 *		weft_jsonrpc_skim_bytes(&skim, bytes, len);
 *	kind = weft_jsonrpc_skim_end(&skim, &id);
 *
 * Only its outermost level is looked at; that the rest is JSON is not checked. The struct is the
 * caller's memory, some 350 bytes, and needs no cleaning up.
 */
#define WEFT_JSONRPC_SKIM_ID_MAX 256 /* bytes of an id that are kept, its quotes included */
typedef struct weft_jsonrpc_skim {
	int state; /* all of it its own */
	int member;
	bool escaped;
	unsigned char seen, repeated;
	size_t depth;
	size_t name_len, id_len;
	char name[40];
	char id[WEFT_JSONRPC_SKIM_ID_MAX];
} weft_jsonrpc_skim;
WEFT_API void weft_jsonrpc_skim_init(weft_jsonrpc_skim *skim);
WEFT_API void weft_jsonrpc_skim_bytes(weft_jsonrpc_skim *skim, const char *bytes, size_t len);
/* What it is, by its members; INVALID when they fit nothing, one of them is there twice, or the
 * message has not ended. *id is a number, a string or null, or no value: there is none, or several,
 * or one that is longer than WEFT_JSONRPC_SKIM_ID_MAX. It points into skim. */
WEFT_API weft_jsonrpc_kind weft_jsonrpc_skim_end(const weft_jsonrpc_skim *skim, weft_json *id);

/* WEFT_OK unless message is INVALID. Errors: WEFT_EPROTO, WEFT_EMSGSIZE (over a limit), with a
 * detail that says at which byte and what. */
WEFT_API WEFT_MUST_CHECK weft_err weft_jsonrpc_check(const weft_jsonrpc *message);

/*
 * The writer: a message of parts. All of 0 is nothing; set what its kind has.
 * Parts that are JSON are taken as they are: they must be whole values, such as spans of a message
 * that was scanned. Texts are escaped.
 */
typedef struct weft_jsonrpc_draft {
	weft_jsonrpc_kind kind; /* REQUEST, NOTIFICATION, RESPONSE or ERROR */
	weft_json id;		/* none in a NOTIFICATION; none in an ERROR: null */
	const char *method;	/* REQUEST, NOTIFICATION: a text */
	size_t method_len;	/* 0: up to its NUL */
	weft_json params;	/* REQUEST, NOTIFICATION: object, array, or none */
	weft_json result;	/* RESPONSE; none: null */
	int64_t code;		/* ERROR */
	const char *message;	/* ERROR: a text */
	size_t message_len;	/* 0: up to its NUL */
	weft_json data;		/* ERROR: or none */
} weft_jsonrpc_draft;

/* Errors of all that take a draft: WEFT_EINVAL (a part that its kind must have is missing or can't
 * be by its first byte; one that it must not have is there). */

/* Bytes that it has written, in *size. */
WEFT_API WEFT_MUST_CHECK weft_err weft_jsonrpc_size(const weft_jsonrpc_draft *draft, size_t *size);
/* Into size bytes at to, without a NUL or line end behind it.
 * Errors: also WEFT_EMSGSIZE (does not fit; nothing was written). */
WEFT_API WEFT_MUST_CHECK weft_err weft_jsonrpc_write(
	const weft_jsonrpc_draft *draft, char *to, size_t size, size_t *written);
/* Into a new buffer, pool NULL: plain memory. *out owns it. Errors: also those of
 * weft_buf_alloc. */
WEFT_API WEFT_MUST_CHECK weft_err weft_jsonrpc_write_buf(
	weft_buf *out, weft_buf_pool *pool, const weft_jsonrpc_draft *draft);
#define WEFT_JSONRPC_IOV_MAX 5
/*
 * As pieces to be written one behind the other: params, result and data where they lie, the rest
 * in size bytes at scratch, which must stay as long; weft_jsonrpc_scratch_size tells how many it
 * takes. iov has WEFT_JSONRPC_IOV_MAX entries, of which *iov_count are set.
 * Errors: also WEFT_EMSGSIZE (does not fit).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_jsonrpc_write_iov(const weft_jsonrpc_draft *draft,
	char *scratch, size_t size, struct iovec *iov, unsigned *iov_count);
WEFT_API WEFT_MUST_CHECK weft_err weft_jsonrpc_scratch_size(
	const weft_jsonrpc_draft *draft, size_t *size);

WEFT_END_DECLS
#endif
