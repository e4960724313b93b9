/* SPDX-License-Identifier: MIT */
#ifndef WEFT_CONN_H
#define WEFT_CONN_H

#include <weft/base.h>
#include <weft/buf.h>

#include <stdbool.h>
#include <sys/uio.h>

WEFT_BEGIN_DECLS
/*
 * weft_conn: a stream of bytes in both directions, over anything.
 *
 * Lifetime: one owner. weft_conn_close stops it and may be called from anywhere, at
 *           any time before weft_conn_free; calls under way end with WEFT_ECLOSED.
 *           weft_conn_free closes and frees; no call may be under way then.
 * Threads:  one reader and one writer at a time, each any fiber or thread; a second
 *           reader (writer) gets WEFT_EINVAL.
 * Blocking: read, write, copy; cancellation points. A conn is served by the worker
 *           that first waited on it.
 * Reading:  WEFT_OK means at least one byte (unless none was asked for); the end of
 *           the stream is WEFT_ECLOSED; a peer or transport that died is WEFT_ERESET.
 * Writing:  WEFT_OK means everything was taken. On an error, *written (where offered)
 *           says how much was.
 */
typedef struct weft_conn weft_conn;

#define WEFT_CONN_LINE_MAX ((size_t)1 << 20)

/* Up to size bytes. Errors: WEFT_ECLOSED (end of stream, or closed here), WEFT_ERESET,
 * WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EINVAL, WEFT_EIO. */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_read(
	weft_conn *conn, void *data, size_t size, size_t *got, weft_deadline until);
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_readv(weft_conn *conn, const struct iovec *iov,
	unsigned iov_count, size_t *got, weft_deadline until);
/* Exactly size bytes. When the stream ends within them: WEFT_ERESET, or WEFT_ECLOSED
 * when it ended before the first. *got (may be NULL) is set on errors too. */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_read_full(
	weft_conn *conn, void *data, size_t size, size_t *got, weft_deadline until);
/*
 * A line up to and with its '\n', into data, NUL added ('\n' kept; *got counts it, not
 * the NUL). The last line may lack the '\n'. Reads ahead into a buffer that later
 * reads drain. Errors: as read; WEFT_EMSGSIZE when no '\n' within size - 1 bytes
 * (what was read is consumed). size 2..WEFT_CONN_LINE_MAX.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_read_line(
	weft_conn *conn, char *data, size_t size, size_t *got, weft_deadline until);

/* All of it, or an error; *written may be NULL, and is set on errors too.
 * Errors: WEFT_ECLOSED (closed or shut down here), WEFT_ERESET (the peer is gone),
 * WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EINVAL, WEFT_EIO. */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_write(
	weft_conn *conn, const void *data, size_t size, size_t *written, weft_deadline until);
/* iov is not changed. iov_count up to 1024. */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_writev(weft_conn *conn, const struct iovec *iov,
	unsigned iov_count, size_t *written, weft_deadline until);

typedef struct weft_copy_options {
	size_t buffer_size;  /* 0: 64 KiB */
	weft_buf_pool *pool; /* where the buffer comes from; NULL: plain memory */
	int64_t idle_ns;     /* give up with WEFT_ETIMEDOUT after that long without
			       * progress; 0: never */
	/* Called after each write with the bytes it moved; may be NULL. */
	void (*progress)(void *user, size_t bytes);
	void *user;
} weft_copy_options;

#define WEFT_COPY_OPTIONS_DEFAULT      \
	{                              \
		0, NULL, 0, NULL, NULL \
	}

/* From src to dst until src ends: WEFT_OK then (dst is not shut down). *copied (may
 * be NULL) is set on errors too. *failed_dst (may be NULL) says, on an error, whether
 * writing failed rather than reading. options may be NULL. */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_copy(weft_conn *dst, weft_conn *src, uint64_t *copied,
	bool *failed_dst, const weft_copy_options *options, weft_deadline until);

/* Ends the writing half: the peer reads everything written, then the end. A write that
 * is under way is finished first (this returns before); later ones get WEFT_ECLOSED.
 * Idempotent; WEFT_OK on a closed conn. Errors: WEFT_ERESET (the peer is gone already),
 * WEFT_ENOSYS where the transport has no halves. */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_shutdown(weft_conn *conn);
/* Stops both halves; idempotent. What the kernel has not sent is still sent. */
WEFT_API void weft_conn_close(weft_conn *conn);
/* Closes so that the peer sees a reset (RST) where the transport can; idempotent. */
WEFT_API void weft_conn_abort(weft_conn *conn);
/* NULL is allowed. */
WEFT_API void weft_conn_free(weft_conn *conn);

/* Names of both ends, such as "tcp://127.0.0.1:80"; never NULL; valid until free. */
WEFT_API const char *weft_conn_local_name(const weft_conn *conn);
WEFT_API const char *weft_conn_peer_name(const weft_conn *conn);
/* The descriptor underneath, still the conn's own; -1 where there is none. */
WEFT_API int weft_conn_fd(const weft_conn *conn);

/* Two ends in memory, each with a buffer of that many bytes towards the other
 * (0: 64 KiB). Closing one end is the end of stream at the other; aborting is a reset.
 * Errors: WEFT_EINVAL (above 1 GiB), WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_pair(weft_conn *ends[2], size_t buffer_size);

/*
 * Adopts descriptors: the conn owns and closes them, also on error. read_fd or
 * write_fd may be -1 (that half is closed), and they may be equal. Sockets and pipes
 * are polled; what can't be polled (files, terminals, /dev/null) and, with
 * keep_flags, every inherited descriptor that lacks O_NONBLOCK, goes through the
 * blocking-work pool, its flags untouched. name is copied, may be NULL.
 * Errors: WEFT_EINVAL (not a descriptor, not open for that direction, no runtime),
 * WEFT_ENOMEM, WEFT_ECAPACITY, WEFT_ENOSYS (simulated).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_adopt_own(
	weft_conn **out, int read_fd, int write_fd, bool keep_flags, const char *name);
/* This process's stdin and stdout as one conn, O_NONBLOCK never set on them; closing
 * it leaves 0 and 1 open on /dev/null. Once a process. Errors: as adopt;
 * WEFT_EDUPLICATE. */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_stdio(weft_conn **out);

/*
 * A conn of the caller's own functions. Each may park. read and write as above for
 * readv and one write of at least a byte (the library loops); until is given on.
 * close must make calls under way return, from any thread; free comes last, once.
 * NULL is allowed for abort (close is called), shutdown (WEFT_ENOSYS), fd (-1).
 */
typedef struct weft_conn_ops {
	weft_err (*readv)(void *user, const struct iovec *iov, unsigned iov_count, size_t *got,
		weft_deadline until);
	weft_err (*writev)(void *user, const struct iovec *iov, unsigned iov_count, size_t *written,
		weft_deadline until);
	weft_err (*shutdown)(void *user);
	void (*close)(void *user);
	void (*abort)(void *user);
	void (*free)(void *user);
	int (*fd)(void *user);
} weft_conn_ops;

/* ops is borrowed for the conn's life; names are copied, may be NULL. On an error user
 * is still the caller's. Errors: WEFT_EINVAL, WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_conn_create(weft_conn **out, const weft_conn_ops *ops,
	void *user, const char *local_name, const char *peer_name);

WEFT_END_DECLS
#endif
