/* SPDX-License-Identifier: MIT */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

/*
 * Inside of weft_http_fields: a list of pairs, each either copied in, in a block of its own, or
 * a view of text that somebody else keeps: the fields of a message that was read are views of
 * its head, and cost no allocation. Few are looked up in a message, and those by a walk: lists
 * are short, and lengths tell most apart.
 */
#include <weft/http.h>

struct http_field {
	const char *name, *value; /* each with a NUL behind it */
	uint32_t name_len, value_len;
	char *owned; /* the block of both; NULL: a view */
};

struct weft_http_fields {
	struct http_field *list;
	size_t len, cap;
	size_t size;   /* bytes of names and values */
	bool borrowed; /* list is the caller's, and is not grown in place */
};

void http_fields_init(struct weft_http_fields *fields);
/* Over the caller's array, for views: until it is full no memory is asked for. */
void http_fields_init_over(struct weft_http_fields *fields, struct http_field *list, size_t cap);
void http_fields_fini(struct weft_http_fields *fields);
/* A field that was checked already, and whose text stays. Errors: as weft_http_fields_add. */
weft_err http_fields_add_view(struct weft_http_fields *fields, const char *name, size_t name_len,
	const char *value, size_t value_len);
/* The same from spans of the caller's own, checked and copied. */
weft_err http_fields_add_span(struct weft_http_fields *fields, const char *name, size_t name_len,
	const char *value, size_t value_len);

/* The index of the first at or after from with that name; len: none. */
size_t http_fields_find(
	const struct weft_http_fields *fields, const char *name, size_t name_len, size_t from);
/* Whether a comma-separated list has the token. */
bool http_list_has_token(const char *list, const char *token, size_t token_len);

#endif
