/* SPDX-License-Identifier: MIT */
#ifndef NET_CONN_H
#define NET_CONN_H

/*
 * Inside of weft_conn. conn.c keeps the rules that every transport shares (one reader
 * and one writer, close at any moment, read-ahead, loops over partial results); a
 * transport gives a table of functions.
 */
#include "base/counter.h"
#include "base/refcount.h"
#include "io/io.h"
#include "sync/gate.h"

#include <weft/conn.h>

#define CONN_IOV_MAX 1024 /* the kernel's own limit (UIO_MAXIOV) */

struct conn_type {
	/* At most one call at a time. At least a byte is asked for. WEFT_OK: *got >= 1. */
	weft_err (*readv)(weft_conn *conn, const struct iovec *iov, unsigned iov_count, size_t *got,
		weft_deadline until);
	/* The same; WEFT_OK: at least one byte was taken. On errors *written may say that
	 * some was. */
	weft_err (*writev)(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
		size_t *written, weft_deadline until);
	/* No write is under way, and none follows. */
	weft_err (*shutdown)(weft_conn *conn);
	/* Until readv has something to return; in place of a readv. Where it is there readv with
	 * WEFT_NOW never waits. NULL: no_await. */
	weft_err (*await)(weft_conn *conn, weft_deadline until);
	/* Makes the calls under way return WEFT_ECLOSED, and those that are about to begin.
	 * Called once, perhaps beside any of the above. */
	void (*interrupt)(weft_conn *conn, bool reset);
	/* Called once, when nothing is under way any more: gives descriptors back. */
	void (*dispose)(weft_conn *conn, bool reset);
	/* Frees what dispose left but conn itself. May be NULL. */
	void (*destroy)(weft_conn *conn);
	/* Not after dispose. NULL: -1. */
	int (*fd)(weft_conn *conn);
};

/* What was read beyond what was asked for. Reader only. */
struct conn_ahead {
	char *data;
	size_t cap;
	size_t head, len; /* the bytes are data[head .. head + len) */
	size_t scanned;	  /* of those, known to have no '\n' */
};

/* How many conns of a listener are alive: shared by it and them. */
struct conn_quota {
	struct refcount refs;
	struct counter alive;
};

/* Head of every transport's own struct. */
struct weft_conn {
	const struct conn_type *type;
	struct gate gate;
	/* set before it is handed out: */
	bool no_halves; /* shutdown is WEFT_ENOSYS */
	bool no_await;
	struct conn_ahead ahead;
	struct conn_quota *quota; /* NULL unless a listener made it; given back at dispose */
	const char *local_name, *peer_name; /* in the same block */
};

/* size bytes, cleared, and copies of the names behind them. NULL: no memory. */
weft_conn *conn_alloc(
	const struct conn_type *type, size_t size, const char *local_name, const char *peer_name);
/* Of a conn that was never handed out, and whose transport's parts are gone. */
void conn_discard(weft_conn *conn);

/*
 * Puts bytes back, to be read before all others: what a protocol that hands its conn on has read
 * too much. Copied. By the reader; none is under way. Errors: WEFT_ENOMEM.
 */
WEFT_MUST_CHECK weft_err conn_unread(weft_conn *conn, const void *data, size_t size);

/* The kernel's smoothed round trip of a TCP connection, also under TLS. 0: none yet; negative: it
 * is no TCP, or closed. Any thread. */
int64_t conn_rtt_ns(weft_conn *conn);

/* Whether conn_await may be called; for the whole of its life. */
static inline bool conn_can_await(const weft_conn *conn)
{
	return conn->type->await && !conn->no_await;
}
/* By the reader: waits until there is something to read, and does not read it; then weft_conn_readv
 * with WEFT_NOW, which does not wait, finds it as a rule. Errors: as read. */
WEFT_MUST_CHECK weft_err conn_await(weft_conn *conn, weft_deadline until);

void conn_quota_unref(struct conn_quota *quota);

/* The code of a failed read or write (errnum > 0), its detail set. */
weft_err conn_errno(int errnum, const char *what, const char *name);

#endif
