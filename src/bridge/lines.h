/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_LINES_H
#define BRIDGE_LINES_H

/* Inside of a transport with a message a line; see lines.c. */
#include "bridge/transport.h"
#include "sync/pushlist.h"
#include "sync/word.h"

#include <weft/mutex.h>

#define LINES_CLOSE_WAIT_NS INT64_C(1000000000)
#define LINES_REASON_MAX 200

enum { LINES_STARTED = 1, LINES_READ = 2, LINES_CLOSING = 4, LINES_SENT = 8, LINES_FAILED = 16 };

struct lines {
	weft_transport *transport;
	weft_conn *conn;
	const struct lines_owner *owner; /* NULL: the conn is the transport's */
	void *owner_arg;
	weft_scope *scope;
	weft_semaphore *room;	 /* for what is pending, in bytes */
	struct word state, role; /* see lines.c */
	struct bell sent_bell;	 /* the reader waits for SENT or FAILED */
	struct word worker;	 /* the reader's, and one; 0: none yet */
	bool has_no_reset;	 /* closing it loses nothing that was sent; constant */
	struct pushlist pending;
	weft_err send_err; /* constant from FAILED on */
	char send_text[LINES_REASON_MAX];

	/* the role's */
	struct push_node *queue, **queue_end; /* taken from pending */
	weft_buf first;			      /* goes before queue; or empty */
	unsigned alone;			      /* sends before it waits for others; 0: it does */
	size_t sent; /* bytes of the first of all that have gone, its line end included */
};

/* The reader's fiber, with a struct lines. */
weft_err lines_read(void *arg);

#endif
