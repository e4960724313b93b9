/* SPDX-License-Identifier: MIT */
#ifndef PROTO_HTTP1_HTTP1_H
#define PROTO_HTTP1_HTTP1_H

/*
 * HTTP/1.1 and 1.0 messages (RFC 9110, RFC 9112): bytes in, structures out; no I/O, no memory,
 * no clock. Three parts, each usable alone:
 *
 *	parser	the head of a message, where it lies in the caller's buffer; http1_parse
 *	body	what follows a head, in pieces where they lie; http1_body_next
 *	writer	heads, chunks and trailers into the caller's memory; http1_put_...
 *
 * One connection, reading (data .. data + len is what was read and not used yet):
 *
 *	http1_parser_reset(&parser, 0);
 *	while ((step = http1_parse(&parser, data, len)) == HTTP1_MORE)
 *		read more behind data + len; the bytes may be moved, too
 *	if (step == HTTP1_BAD)
 *		answer with http1_fault_status(parser.fault), and close
 *	head = &parser.head, the body begins at data + head->size
 *	http1_body_init(&body, &head->framing);
 *	data += head->size, len -= head->size
 *	while ((event = http1_body_next(&body, &data, &len, &piece)) != HTTP1_BODY_END)
 *		DATA: use piece; MORE: read behind data + len, which must be kept
 *	what is left at data belongs to the next message
 *
 * Copies and allocations: none. A head is looked at once, by up to 64 bytes at a time; what came
 * in single bytes costs at most twice that.
 *
 * What is refused, beyond what the grammar of the two RFCs refuses, because it is where two
 * parsers have disagreed (RFC 9112 11.2):
 *   - lines that end in LF alone, CR that is not followed by LF, anywhere (9112 2.2 allows both
 *     ways); folded lines; blanks before the colon; control bytes but HTAB in values
 *   - Content-Length more than once or as a list, also of equal values (9110 8.6 allows both
 *     ways); with a sign, blanks inside, above INT64_MAX, more than 19 digits
 *   - Content-Length beside Transfer-Encoding, also in responses; Transfer-Encoding in HTTP/1.0,
 *     and any but exactly "chunked", once; HTAB behind the value of either
 *   - blanks around a chunk's size or inside its extensions (9112 7.1.1 allows them; nobody sends
 *     them), more than 16 digits, extensions over a bound, with escaped characters, or behind
 *     another's unquoted value (llhttp before 9 took the first for the end of the value, and the
 *     second for a size)
 *   - in targets: bytes outside of ASCII, controls, blank, '"', '<', '>', '#'
 *   - userinfo in a target's or Host's authority; a CONNECT request with a body
 *   - versions other than 1.0 and 1.1
 * What is let pass although the grammar does not have it: '\\', '^', '`', '{', '|', '}' in targets
 * (browsers send them in queries), HTTP1_BLANK_LINES_MAX empty lines before a request (9112 2.2),
 * a status line that ends after the number.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- limits ---- */

#define HTTP1_FIELDS_MAX 100	      /* that callers are to give room for by default */
#define HTTP1_HEAD_MAX 65536	      /* bytes of a head, by default */
#define HTTP1_HEAD_MAX_MAX (1u << 30) /* that a caller may set */
#define HTTP1_START_MAX 16384	      /* bytes of a start line with its CRLF, by default */
#define HTTP1_METHOD_MAX 32	      /* bytes of a method */
#define HTTP1_NAME_MAX 1024	      /* bytes of a field's name */
#define HTTP1_BLANK_LINES_MAX 4	      /* before a request */
#define HTTP1_TRAILERS_MAX 8192	      /* bytes of a trailer section */
#define HTTP1_CHUNK_EXT_MAX 256	      /* bytes of one chunk's extensions */
#define HTTP1_CHUNK_EXT_SUM_MAX 16384 /* bytes of all extensions of a body */

/* ---- faults ---- */

/* X(NAME, status that a server answers with, text) */
#define HTTP1_FAULT_LIST(X)                                                     \
	X(NONE, 200, "no fault")                                                \
	X(LINE_END, 400, "line ends in a bare CR or LF")                        \
	X(BLANK_LINES, 400, "too many empty lines before the request")          \
	X(METHOD, 400, "invalid character in the method")                       \
	X(METHOD_LONG, 501, "method too long")                                  \
	X(TARGET, 400, "invalid character in the request target")               \
	X(TARGET_FORM, 400, "request target does not suit the method")          \
	X(START_LONG, 414, "start line too long")                               \
	X(VERSION_TEXT, 400, "malformed HTTP version")                          \
	X(VERSION, 505, "HTTP version is neither 1.0 nor 1.1")                  \
	X(STATUS, 400, "malformed status line")                                 \
	X(NAME, 400, "invalid character in a field's name")                     \
	X(NAME_SPACE, 400, "blank before the colon of a field")                 \
	X(NAME_LONG, 431, "field name too long")                                \
	X(FOLD, 400, "line begins with a blank (folded field)")                 \
	X(VALUE, 400, "control character in a field's value")                   \
	X(HEAD_LONG, 431, "header fields too large")                            \
	X(FIELDS, 431, "too many header fields")                                \
	X(HOST_NONE, 400, "no Host field")                                      \
	X(HOST_MANY, 400, "more than one Host field")                           \
	X(HOST, 400, "malformed Host")                                          \
	X(LENGTH, 400, "malformed Content-Length")                              \
	X(LENGTH_MANY, 400, "more than one Content-Length")                     \
	X(LENGTH_LARGE, 413, "Content-Length too large")                        \
	X(LENGTH_CODING, 400, "both Content-Length and Transfer-Encoding")      \
	X(CODING_VERSION, 400, "Transfer-Encoding in HTTP/1.0")                 \
	X(CODING, 400, "Transfer-Encoding does not end in exactly one chunked") \
	X(CODING_UNKNOWN, 501, "transfer coding not supported")                 \
	X(CONNECT_BODY, 400, "CONNECT with a body")                             \
	X(UPGRADE, 400, "101 without Upgrade and Connection: upgrade")          \
	X(CHUNK_SIZE, 400, "malformed chunk size")                              \
	X(CHUNK_LARGE, 413, "chunk too large")                                  \
	X(CHUNK_EXT, 400, "malformed chunk extension")                          \
	X(CHUNK_EXT_LONG, 400, "chunk extensions too long")                     \
	X(CHUNK_END, 400, "chunk's data is not followed by CRLF")               \
	X(TRAILER, 400, "field not allowed in a trailer section")               \
	X(TRAILERS_LONG, 431, "trailer section too large")                      \
	X(CUT, 400, "message ends early")

enum http1_fault {
#define HTTP1_FAULT_ENUM(name, status, text) HTTP1_FAULT_##name,
	HTTP1_FAULT_LIST(HTTP1_FAULT_ENUM)
#undef HTTP1_FAULT_ENUM
};

/* 400, 413, 414, 431, 501, 505: what to answer a request with that has this fault. */
unsigned http1_fault_status(enum http1_fault fault);
/* Static text, as "blank before the colon of a field". */
const char *http1_fault_text(enum http1_fault fault);

/* ---- methods and names ---- */

#define HTTP1_METHOD_LIST(X) \
	X(GET)               \
	X(HEAD)              \
	X(POST)              \
	X(PUT)               \
	X(DELETE)            \
	X(CONNECT)           \
	X(OPTIONS)           \
	X(TRACE)             \
	X(PATCH)

enum http1_method {
	HTTP1_METHOD_OTHER,
#define HTTP1_METHOD_ENUM(name) HTTP1_METHOD_##name,
	HTTP1_METHOD_LIST(HTTP1_METHOD_ENUM)
#undef HTTP1_METHOD_ENUM
};

/* Methods are told apart with their case. */
enum http1_method http1_method_of(const char *method, size_t len);

/* X(NAME, name on the wire): the names that are told apart; at most 63. */
#define HTTP1_NAME_LIST(X)                                      \
	X(ACCEPT, "accept")                                     \
	X(ACCEPT_ENCODING, "accept-encoding")                   \
	X(ACCEPT_LANGUAGE, "accept-language")                   \
	X(ALLOW, "allow")                                       \
	X(AUTHORIZATION, "authorization")                       \
	X(CACHE_CONTROL, "cache-control")                       \
	X(CONNECTION, "connection")                             \
	X(CONTENT_ENCODING, "content-encoding")                 \
	X(CONTENT_LENGTH, "content-length")                     \
	X(CONTENT_RANGE, "content-range")                       \
	X(CONTENT_TYPE, "content-type")                         \
	X(COOKIE, "cookie")                                     \
	X(DATE, "date")                                         \
	X(ETAG, "etag")                                         \
	X(EXPECT, "expect")                                     \
	X(HOST, "host")                                         \
	X(IF_MODIFIED_SINCE, "if-modified-since")               \
	X(IF_NONE_MATCH, "if-none-match")                       \
	X(KEEP_ALIVE, "keep-alive")                             \
	X(LAST_EVENT_ID, "last-event-id")                       \
	X(LAST_MODIFIED, "last-modified")                       \
	X(LOCATION, "location")                                 \
	X(MCP_PROTOCOL_VERSION, "mcp-protocol-version")         \
	X(MCP_SESSION_ID, "mcp-session-id")                     \
	X(ORIGIN, "origin")                                     \
	X(PROXY_AUTHENTICATE, "proxy-authenticate")             \
	X(PROXY_AUTHORIZATION, "proxy-authorization")           \
	X(PROXY_CONNECTION, "proxy-connection")                 \
	X(RANGE, "range")                                       \
	X(REFERER, "referer")                                   \
	X(RETRY_AFTER, "retry-after")                           \
	X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept")         \
	X(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions") \
	X(SEC_WEBSOCKET_KEY, "sec-websocket-key")               \
	X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol")     \
	X(SEC_WEBSOCKET_VERSION, "sec-websocket-version")       \
	X(SERVER, "server")                                     \
	X(SET_COOKIE, "set-cookie")                             \
	X(TE, "te")                                             \
	X(TRAILER, "trailer")                                   \
	X(TRANSFER_ENCODING, "transfer-encoding")               \
	X(UPGRADE, "upgrade")                                   \
	X(USER_AGENT, "user-agent")                             \
	X(VARY, "vary")                                         \
	X(WWW_AUTHENTICATE, "www-authenticate")

enum http1_name {
	HTTP1_NAME_OTHER,
#define HTTP1_NAME_ENUM(name, text) HTTP1_NAME_##name,
	HTTP1_NAME_LIST(HTTP1_NAME_ENUM)
#undef HTTP1_NAME_ENUM
		HTTP1_NAME_COUNT,
};

/* Names are told apart without their case. */
enum http1_name http1_name_of(const char *name, size_t len);

/* A token of RFC 9110 5.6.2: a method, a name; at least one byte. */
bool http1_is_token(const char *text, size_t len);
/* A field's value as it may be sent: no control but HTAB, no blank at either end. */
bool http1_is_value(const char *text, size_t len);
/* A request target as the parser lets it pass (its characters); at least one byte. */
bool http1_is_target(const char *text, size_t len);
/* uri-host [":" port] of RFC 9110 7.2; empty is one. */
bool http1_is_authority(const char *text, size_t len);
/* Equal but for the case of ASCII letters. */
bool http1_same_text(const char *a, size_t a_len, const char *b, size_t b_len);

struct http1_piece {
	const char *data;
	size_t len;
};

/* The next element of a comma-separated list (RFC 9110 5.6.1), without blanks around it; empty
 * ones are passed over, commas within quoted strings are text. *rest becomes what follows. False:
 * there is none. */
bool http1_list_next(struct http1_piece *rest, struct http1_piece *element);

/* ---- framing ---- */

enum http1_body_kind {
	HTTP1_NO_BODY,
	HTTP1_LENGTH,	   /* content_length bytes, at least one */
	HTTP1_CHUNKED,	   /* chunks, then perhaps trailers */
	HTTP1_UNTIL_CLOSE, /* responses only: the end of the connection ends it */
	HTTP1_TUNNEL, /* no HTTP any more: after 101 or a 2xx to CONNECT; for a request: CONNECT,
			    * what follows is the tunnel's if that is what is answered, and the next
			    * request's if not */
};

/* Where a message ends and what becomes of its connection: decided here alone (RFC 9112 6.3, 9).
 * The parser fills it in, and the writer writes what it says. */
struct http1_framing {
	enum http1_body_kind kind;
	bool keep_alive;	/* another message may follow */
	bool expect_continue;	/* request: 100 Continue is waited for (HTTP/1.1 only) */
	bool expect_other;	/* request: an expectation that nobody knows: 417 */
	bool upgrade;		/* Upgrade and Connection: upgrade are there (HTTP/1.1 only) */
	int64_t content_length; /* as it was said, also where there is no body (HEAD, 304); -1: not */
};

/* ---- parser ---- */

/* A piece of the message: bytes from data, the pointer that http1_parse was given last. */
struct http1_span {
	uint32_t at, len;
};

/*
 * A field line. Behind the name is ':', behind the value a blank or CR: a caller may put a NUL
 * over each once the head is whole (http1_head_terminate does for all).
 */
struct http1_field {
	uint32_t name_at, value_at;
	uint32_t value_len; /* without the blanks around it; may be 0 */
	uint16_t name_len;
	uint16_t name; /* enum http1_name */
};

enum http1_target_form {
	HTTP1_ORIGIN_FORM,    /* "/path?query" */
	HTTP1_ABSOLUTE_FORM,  /* "http://host/path?query" */
	HTTP1_AUTHORITY_FORM, /* "host:port": CONNECT, always */
	HTTP1_ASTERISK_FORM,  /* "*": OPTIONS only */
};

/* Valid when http1_parse has said HTTP1_DONE; spans as long as the bytes are there. */
struct http1_head {
	uint32_t size;		    /* bytes of the head: the body begins there */
	uint8_t minor;		    /* of the version: 1, or 0 for HTTP/1.0 */
	uint16_t field_count;	    /* in fields */
	struct http1_field *fields; /* the caller's */
	struct http1_framing framing;
	/* requests */
	enum http1_method method;
	enum http1_target_form form;
	struct http1_span method_text;
	struct http1_span target; /* as it came */
	struct http1_span path;	  /* of the target, with its query; len 0 means "/" (or "*" for
				      * OPTIONS) in absolute form; len 0 in authority form */
	struct http1_span
		authority; /* of the target, else Host's value (RFC 9112 3.3); len 0: none */
	/* responses */
	uint16_t status; /* 100 .. 999 */
	struct http1_span reason;
	/* names that are there, and there more than once: bits by enum http1_name */
	uint64_t seen, repeated;
	uint16_t first[64]; /* by enum http1_name, where seen: index into fields */
};

enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE };

struct http1_limits {
	uint32_t start_max; /* bytes of the start line, with its CRLF */
	uint32_t head_max;  /* bytes of the whole head, with the start line; at least start_max,
			     * HTTP1_HEAD_MAX_MAX at most */
};

enum http1_step {
	HTTP1_MORE, /* no whole head yet */
	HTTP1_DONE, /* head is filled in */
	HTTP1_BAD,  /* fault says why; for good, until the parser is reset */
};

/* Everything is the parser's own but head and fault, which may be read. About 350 bytes. */
struct http1_parser {
	enum http1_kind kind;
	struct http1_limits limits;
	struct http1_field *fields;
	uint16_t fields_max;
	uint8_t stage;	   /* 0 before the start line, 1 before the fields' end, 2 done */
	uint8_t blanks;	   /* empty lines passed over */
	bool wide;	   /* this processor has AVX2 */
	uint32_t begun;	   /* where the start line begins, behind the empty ones */
	uint32_t at;	   /* whole lines were understood up to here */
	uint32_t searched; /* no LF between at and here */
	uint32_t tried;	   /* the cut line was looked at up to here */
	enum http1_method answers;
	enum http1_fault fault;
	struct http1_head head;
};

/* Room for fields_max fields is the caller's and must live as long as the parser is used. limits
 * may be NULL. Ready for the first message; a response is taken to answer a GET. */
void http1_parser_init(struct http1_parser *parser, enum http1_kind kind,
	struct http1_field *fields, uint16_t fields_max, const struct http1_limits *limits);
/* Before the next message. A response has no body when it answers HEAD, and is the beginning of
 * a tunnel when it is a 2xx to CONNECT: `answers` is the method of its request (any value for
 * requests). Interim responses (1xx) are messages of their own: reset, and parse the next. */
void http1_parser_reset(struct http1_parser *parser, enum http1_method answers);
/*
 * data is where the message begins, len all its bytes that have come so far (and whatever
 * follows): on each call the same bytes and more, which may lie elsewhere than before. What is
 * behind the head is not looked at. After HTTP1_MORE, another call without more bytes says it
 * again. HTTP1_DONE is said again, too, as long as nothing was written over the bytes.
 */
enum http1_step http1_parse(struct http1_parser *parser, const char *data, size_t len);
/* Bytes that data must have room for, so that every head that the limits allow fits. */
static inline size_t http1_parser_room(const struct http1_parser *parser)
{
	return parser->limits.head_max;
}

/* The first field of that name, or NULL: no search. */
static inline const struct http1_field *http1_head_first(
	const struct http1_head *head, enum http1_name name)
{
	return head->seen >> name & 1 ? &head->fields[head->first[name]] : NULL;
}
/* The value of the first field of that name in the bytes at data; false: there is none. */
static inline bool http1_head_value(const struct http1_head *head, const char *data,
	enum http1_name name, struct http1_piece *value)
{
	const struct http1_field *field = http1_head_first(head, name);

	if (!field)
		return false;
	*value = (struct http1_piece){ data + field->value_at, field->value_len };
	return true;
}
/* Puts a NUL behind every name and value, the method, target and reason, over bytes of the head
 * that are needed no more: they are C strings at data + at then. The authority of an absolute
 * target has none. */
void http1_head_terminate(const struct http1_head *head, char *data);

/* ---- body ---- */

enum http1_body_event {
	HTTP1_BODY_MORE,  /* more bytes are needed; what is left at *data must be offered again */
	HTTP1_BODY_DATA,  /* piece: at least one byte of content */
	HTTP1_BODY_END,	  /* the message is whole; piece: the trailer section, its spans' base */
	HTTP1_BODY_FAULT, /* fault says why; for good */
};

/* Everything is the decoder's own but fault, total, trailers and trailer_count. */
struct http1_body {
	enum http1_body_kind kind;
	enum http1_fault fault;
	uint8_t state;
	uint8_t digits;	      /* of the chunk's size */
	uint16_t ext;	      /* bytes of the chunk's extensions */
	uint32_t ext_sum;     /* of all */
	uint32_t searched;    /* of the trailer section */
	uint64_t left;	      /* bytes of content, or of the chunk, that are still to come */
	uint64_t total;	      /* bytes of content that were handed out */
	uint32_t trailers_at; /* whole lines of it were understood up to here */
	uint16_t fields_max;
	uint16_t trailer_count;	      /* at the end, in trailers */
	struct http1_field *trailers; /* the caller's; offsets from the last piece's data */
};

/* For what follows a head with that framing. A tunnel is read until the connection's end. Trailer
 * fields are checked and thrown away. */
void http1_body_init(struct http1_body *body, const struct http1_framing *framing);
/* Right after init: trailer fields are wanted. At most fields_max of them may come. */
void http1_body_want_trailers(
	struct http1_body *body, struct http1_field *fields, uint16_t fields_max);
/*
 * The next event of the bytes at *data, of which it takes what belongs to it. A trailer section
 * is taken only when it is whole, so the caller needs room for HTTP1_TRAILERS_MAX bytes; of all
 * else nothing is left at *data after HTTP1_BODY_MORE. After HTTP1_BODY_END what is left belongs
 * to the next message, and more calls say it again.
 */
enum http1_body_event http1_body_next(
	struct http1_body *body, const char **data, size_t *len, struct http1_piece *piece);
/* The connection has ended. True: the message is whole by that, or was already; else fault is
 * HTTP1_FAULT_CUT. */
bool http1_body_eof(struct http1_body *body);
/* So many of the next bytes are content: they may be read straight to where they are wanted,
 * when http1_body_next has said MORE and left nothing, and told by http1_body_took. 0: framing is
 * next; UINT64_MAX: all, until the end. */
uint64_t http1_body_direct(const struct http1_body *body);
void http1_body_took(struct http1_body *body, uint64_t len);
/* At least so many bytes of the message are still to come, so that reading them takes none of the
 * next one's. 0 when it is whole; 1 when its end isn't known. */
uint64_t http1_body_want(const struct http1_body *body);

/* ---- writer ---- */

enum http1_write_fault {
	HTTP1_WRITE_OK,
	HTTP1_WRITE_SPACE,    /* did not fit: len says how much room it needs */
	HTTP1_WRITE_METHOD,   /* no token */
	HTTP1_WRITE_TARGET,   /* invalid character, or empty */
	HTTP1_WRITE_STATUS,   /* not 100 .. 999 */
	HTTP1_WRITE_REASON,   /* control character */
	HTTP1_WRITE_NAME,     /* no token */
	HTTP1_WRITE_VALUE,    /* control character, or a blank at its ends */
	HTTP1_WRITE_RESERVED, /* a field that the framing decides: Content-Length, Transfer-Encoding,
			       * Connection; in trailers all that mustn't be there */
	HTTP1_WRITE_FRAMING,  /* can't be said in that version, or with that status */
};

/* Static text. */
const char *http1_write_fault_text(enum http1_write_fault fault);

/* Where a head goes. The first fault stays; what comes after it only counts bytes. */
struct http1_out {
	char *data;
	size_t size; /* of data */
	size_t len;  /* bytes written; after HTTP1_WRITE_SPACE: that would have been */
	enum http1_write_fault fault;
	bool trailers; /* after http1_put_last_chunk */
};

void http1_out_init(struct http1_out *out, char *data, size_t size);
/*
 * The start line and the fields that the framing asks for. Then http1_put_field for each other
 * field, then http1_put_end. Always HTTP/1.1.
 *	HTTP1_NO_BODY	Content-Length: 0 when content_length is 0 (requests that could have a body)
 *	HTTP1_LENGTH	Content-Length: content_length
 *	HTTP1_CHUNKED	Transfer-Encoding: chunked
 *	HTTP1_TUNNEL	nothing (CONNECT)
 * Connection: close without keep_alive, upgrade with upgrade; Expect: 100-continue with
 * expect_continue.
 */
void http1_put_request(struct http1_out *out, const char *method, size_t method_len,
	const char *target, size_t target_len, const struct http1_framing *framing);
/*
 * The same for a response. minor is that of the request's version: to 0 chunked is refused,
 * Connection: keep-alive is said where it holds; the line itself says HTTP/1.1.
 *	HTTP1_NO_BODY	 Content-Length: content_length unless it is -1 (HEAD, 304; 0 for none),
 *			 never with 1xx and 204
 *	HTTP1_UNTIL_CLOSE Connection: close
 *	HTTP1_TUNNEL	 with upgrade Connection: upgrade (101), else nothing (2xx to CONNECT)
 */
void http1_put_response(struct http1_out *out, unsigned minor, unsigned status, const char *reason,
	size_t reason_len, const struct http1_framing *framing);
void http1_put_field(struct http1_out *out, const char *name, size_t name_len, const char *value,
	size_t value_len);
/* The same for one that is known to be right, as the caller's own: nothing is looked at. */
void http1_put_known(struct http1_out *out, const char *name, size_t name_len, const char *value,
	size_t value_len);
/* The empty line. True: all is written and right. */
bool http1_put_end(struct http1_out *out);
/* "0" CRLF. Then http1_put_field for trailers, then http1_put_end. */
void http1_put_last_chunk(struct http1_out *out);

#define HTTP1_CHUNK_HEAD_MAX 18 /* bytes: 16 digits, CRLF */
#define HTTP1_CHUNK_END "\r\n"	/* behind a chunk's data */
#define HTTP1_LAST_CHUNK "0\r\n\r\n"
/* Writes a chunk's size line so that it ends at `end`, right before the data if there is room in
 * front of it, and returns where it begins: HTTP1_CHUNK_HEAD_MAX bytes earlier at most. size is
 * not 0. */
char *http1_chunk_head_before(char *end, uint64_t size);

/* ---- dates (RFC 9110 5.6.7) ---- */

#define HTTP1_DATE_LEN 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */
/* Writes HTTP1_DATE_LEN bytes and no NUL. Seconds since 1970; years 0 to 9999, others as the
 * nearest of them. */
void http1_date_format(char *out, int64_t time_s);
/* Any of the three forms. now_s decides the century of a year of two digits: not more than 50
 * years after it. False: no date. */
bool http1_date_parse(const char *text, size_t len, int64_t now_s, int64_t *time_s);

#endif
