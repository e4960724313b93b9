/* SPDX-License-Identifier: MIT */
#ifndef WEFT_HTTP_H
#define WEFT_HTTP_H

/*
 * What HTTP's client and server share: header fields, URLs, status codes.
 *
 * Threads:  a weft_http_fields or weft_http_url is used by one fiber or thread at a time.
 * Blocking: never.
 */
#include <weft/base.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS

/* --- header fields ------------------------------------------------------------------------ */

/*
 * weft_http_fields: header or trailer fields in the order in which they were added (RFC 9110,
 * section 5). Names are compared without regard to case and kept as they were given; a name
 * may be there more than once.
 * Lifetime: one owner. Strings are copied in; what is handed out is valid until the next
 *           change of the same fields, or as long as its message, whose header says so.
 */
typedef struct weft_http_fields weft_http_fields;

#define WEFT_HTTP_FIELDS_MAX 256		      /* fields in one */
#define WEFT_HTTP_FIELDS_SIZE_MAX ((size_t)256 << 10) /* bytes of names and values together */

/* Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_fields_create(weft_http_fields **out);
/* NULL is allowed. */
WEFT_API void weft_http_fields_free(weft_http_fields *fields);
/* Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_fields_copy(
	weft_http_fields **out, const weft_http_fields *from);

/*
 * Behind the others. The name is a token (RFC 9110, section 5.6.2); the value holds no CR, LF,
 * NUL or other control character but tab, and spaces and tabs around it are dropped (section
 * 5.5). Errors: WEFT_EINVAL (says which, and at which byte), WEFT_EMSGSIZE (a limit above),
 * WEFT_ENOMEM; nothing has changed then.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_fields_add(
	weft_http_fields *fields, const char *name, const char *value);
/* "Name: value", as a line of a file or an option has it. Errors: as add. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_fields_add_line(
	weft_http_fields *fields, const char *line);
/* In place of the first of that name, or behind the others; the rest of that name goes.
 * Errors: as add. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_fields_set(
	weft_http_fields *fields, const char *name, const char *value);
/* All of that name; how many there were. */
WEFT_API size_t weft_http_fields_remove(weft_http_fields *fields, const char *name);
WEFT_API void weft_http_fields_clear(weft_http_fields *fields);

/* The value of the first of that name; NULL: none. NULL as fields is an empty one. */
WEFT_API const char *weft_http_fields_get(const weft_http_fields *fields, const char *name);
/* The value of the n-th of that name, from 0. */
WEFT_API const char *weft_http_fields_get_nth(
	const weft_http_fields *fields, const char *name, size_t n);
WEFT_API size_t weft_http_fields_count(const weft_http_fields *fields);
/* index < count; either out-parameter may be NULL. */
WEFT_API void weft_http_fields_at(
	const weft_http_fields *fields, size_t index, const char **name, const char **value);
/* Whether a comma-separated list of tokens, over all fields of that name, has that token
 * (without regard to case; parameters after ';' are left out of the comparison): Connection,
 * Accept, Accept-Encoding, Upgrade ... A media range such as text/ * is a token like others. */
WEFT_API bool weft_http_fields_has_token(
	const weft_http_fields *fields, const char *name, const char *token);

/* --- status --------------------------------------------------------------------------------- */

/* The reason phrase of RFC 9110, section 15, or of a registered code; "Unknown" for others. */
WEFT_API const char *weft_http_status_text(unsigned status);

/* --- URLs ------------------------------------------------------------------------------------ */

#define WEFT_HTTP_URL_MAX ((size_t)16 << 10) /* bytes */

/* The parts of an http or https URL (RFC 3986; RFC 9110, section 4.2). All strings belong to it. */
typedef struct weft_http_url {
	bool is_https;
	uint16_t port;	       /* 80 or 443 when the URL has none; never 0 */
	const char *host;      /* in lower case; an IPv6 address without brackets */
	const char *authority; /* for the Host field: the host (in brackets if need be), and the
				 * port where it is not the scheme's */
	const char *target;    /* path and query, at least "/"; dot segments removed */
	const char *userinfo;  /* before '@', as it stands, still percent-encoded; NULL: none */
	const char *fragment;  /* behind '#'; NULL: none */
	char *memory;	       /* the strings' */
} weft_http_url;

/*
 * Parses an absolute URL. Control characters, and hosts that are neither an address nor a name
 * of letters, digits, '-', '.', '_' and '~', are refused; other bytes that may not stand in a
 * path, query or fragment, such as spaces and those above 0x7f, are percent-encoded.
 * Errors: WEFT_EINVAL (says what and where), WEFT_EMSGSIZE, WEFT_ENOMEM; *out is untouched then.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_url_parse(weft_http_url *out, const char *text);
/* A reference, as in a Location field, against the URL it was found at (RFC 3986, section 5.2).
 * Without a fragment of its own it inherits the base's (RFC 9110, section 10.2.2).
 * Errors: as parse. out and base may not be the same. */
WEFT_API WEFT_MUST_CHECK weft_err weft_http_url_resolve(
	weft_http_url *out, const weft_http_url *base, const char *reference);
/* Frees the strings; an empty one is allowed. */
WEFT_API void weft_http_url_fini(weft_http_url *url);
/* Scheme, host and port are the same (RFC 9110, section 4.3.1). */
WEFT_API bool weft_http_url_same_origin(const weft_http_url *a, const weft_http_url *b);
/* "https://host:port/path", without userinfo and fragment, for messages and logs: as snprintf,
 * the length it has or would have. */
WEFT_API size_t weft_http_url_format(const weft_http_url *url, char *out, size_t size);

WEFT_END_DECLS
#endif
