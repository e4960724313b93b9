/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_SERVERS_H
#define BRIDGE_SERVERS_H

/*
 * Several servers behind one listener, each with a name: what --server NAME=CMD and --servers FILE
 * say. Pure but for the file and, for ${NAME}, this process's environment.
 *
 * The file has the form that clients of the Model Context Protocol use:
 *
 *	{ "mcpServers": {
 *		"files": { "command": "npx", "args": ["server", "/tmp"], "env": { "A": "b" }, "cwd": "/" },
 *		"far":   { "url": "https://host/mcp", "headers": { "Authorization": "Bearer ${TOKEN}" } } } }
 *
 * "type" may be "stdio", "http", "streamable-http" or "sse", and is otherwise guessed; servers that
 * are "disabled" are left out; members with other names are passed over. In the texts of a server
 * ${NAME} is a variable of the environment, ${NAME:-text} one with a text for when it is not set.
 */
#include "bridge/words.h"

#include <stdbool.h>

#define SERVERS_MAX 256
#define SERVER_NAME_MAX 64
#define SERVERS_FILE_MAX ((size_t)1 << 20)

/* Texts are owned. Either argv or url. */
struct server_entry {
	char *name;	     /* letters, digits, '-', '_' and '.'; not a '.' first */
	struct words argv;   /* a child */
	char *directory;     /* its; may be NULL */
	struct words env;    /* its; NAME=value */
	char *url;	     /* http: or https: */
	bool is_sse;	     /* url: HTTP+SSE and nothing else */
	struct words fields; /* url: "Name: value" */
};

/* All of 0 is an empty one. */
struct server_list {
	struct server_entry *items;
	size_t count;
};

/* Adds "NAME=CMD ARG...", split as words_split does. Errors: WEFT_EINVAL (says what; also a name
 * that is there already), WEFT_ENOMEM; the list is as it was. */
WEFT_MUST_CHECK weft_err servers_add(struct server_list *list, const char *text);
/* Adds those of a file. Blocks on it. Errors: WEFT_EINVAL (names the file, the server and the
 * member), WEFT_ENOMEM; the list is as it was. */
WEFT_MUST_CHECK weft_err servers_load(struct server_list *list, const char *path);
/* Adds the first of another, which has others. Errors: WEFT_ENOMEM; the list is as it was. */
WEFT_MUST_CHECK weft_err servers_copy(
	struct server_list *list, const struct server_list *from, size_t count);
/* NULL: there is none of that name. */
const struct server_entry *servers_find(const struct server_list *list, const char *name);
/* They say the same. */
bool servers_same(const struct server_entry *a, const struct server_entry *b);
void servers_fini(struct server_list *list);

#endif
