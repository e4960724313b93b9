/* SPDX-License-Identifier: MIT */
#ifndef ROUGHHTTP_H
#define ROUGHHTTP_H

/*
 * A client of MCP over HTTP that writes and reads bytes, over conns that may break at any moment: what
 * goes wrong is returned, not judged. A request a connection.
 */
#include "support/both.h"

#define ROUGH_SESSION_SIZE 128
#define ROUGH_EVENT_ID_SIZE 256

struct rough_ask {
	const char *method;   /* NULL: POST */
	const char *path;     /* NULL: /mcp */
	const char *host;     /* NULL: x */
	const char *session;  /* as the next: NULL, "": none */
	const char *event_id; /* Last-Event-ID */
	const char *version;  /* NULL: 2025-11-25 */
	const char *fields;   /* more, each with its line end; NULL: none */
	const char *body;     /* NULL: none */
};

struct rough_head {
	unsigned status;
	size_t length; /* of a body that is no stream */
	bool is_stream;
	char session[ROUGH_SESSION_SIZE]; /* that it names; "": none */
};

struct rough_event {
	char id[ROUGH_EVENT_ID_SIZE], name[32]; /* "": none */
	char *data;				/* size bytes, the caller's */
	size_t size;
};

weft_err rough_send(weft_conn *conn, const struct rough_ask *ask, weft_deadline until);
weft_err rough_head(weft_conn *conn, struct rough_head *head, weft_deadline until);
/* What is no stream, with a NUL. WEFT_EMSGSIZE: size is too small. */
weft_err rough_body(weft_conn *conn, const struct rough_head *head, char *text, size_t size,
	weft_deadline until);
/* The next event that has an id or data. WEFT_ECLOSED: the stream has ended in order; others: it was
 * lost. */
weft_err rough_event(weft_conn *conn, struct rough_event *event, weft_deadline until);

#endif
