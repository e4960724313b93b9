/* SPDX-License-Identifier: MIT */
/* What every transport shares; see net/conn.h. */
#define _GNU_SOURCE
#include "net/conn.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/addr.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define AHEAD_CAP_MIN ((size_t)8 << 10)	  /* bytes that read_line asks for at least */
#define AHEAD_CAP_KEEP ((size_t)64 << 10) /* more than that is not kept when empty */
#define COPY_BUFFER_SIZE ((size_t)64 << 10)
/* Rounds of a copy that never waited before it lets other fibers run. */
#define COPY_ROUNDS_MAX 16
#define WINDOW_LEN 64 /* iovecs of the second and later writes of a writev */

weft_conn *conn_alloc(
	const struct conn_type *type, size_t size, const char *local_name, const char *peer_name)
{
	size_t local_size = strlen(local_name) + 1, peer_size = strlen(peer_name) + 1;
	weft_conn *conn = mem_calloc(1, size + local_size + peer_size);
	char *names;

	if (!conn)
		return NULL;
	names = (char *)conn + size;
	memcpy(names, local_name, local_size);
	memcpy(names + local_size, peer_name, peer_size);
	conn->type = type;
	conn->local_name = names;
	conn->peer_name = names + local_size;
	return conn;
}

void conn_discard(weft_conn *conn)
{
	mem_free(conn);
}

void conn_quota_unref(struct conn_quota *quota)
{
	if (quota && refcount_drop(&quota->refs))
		mem_free(quota);
}

weft_err conn_errno(int errnum, const char *what, const char *name)
{
	switch (errnum) {
	case ECANCELED: /* interrupted: closed here */
		return err_set(WEFT_ECLOSED);
	case EPIPE:
	case ECONNRESET:
	case ECONNABORTED:
	case ETIMEDOUT: /* the kernel's: keepalive or retransmissions gave up */
	case ENETRESET:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENOTCONN:
		return err_setf(WEFT_ERESET, "%s %s: %s", what, name, net_reason(errnum));
	case ENOMEM:
	case ENOBUFS:
		return err_sys(ENOMEM, "%s %s", what, name);
	default:
		return err_setf(WEFT_EIO, "%s %s: %s", what, name, net_reason(errnum));
	}
}

static weft_err refused(enum gate_enter why, const char *what)
{
	if (why == GATE_REFUSED_BUSY)
		return err_setf(
			WEFT_EINVAL, "%s: another %s is under way on this conn", what, what);
	return err_set(WEFT_ECLOSED);
}

static void tear_down(weft_conn *conn)
{
	struct conn_quota *quota = conn->quota;

	conn->type->dispose(conn, gate_word(&conn->gate) & GATE_RESET);
	gate_finish(&conn->gate);
	/* The owner may have freed conn by now. */
	if (quota) {
		counter_sub(&quota->alive, 1);
		conn_quota_unref(quota);
	}
}

/* Leaves, and does what falls to the one who left. */
static inline void leave(weft_conn *conn, uint32_t what)
{
	for (;;) {
		enum gate_leave then = gate_leave(&conn->gate, what);

		if (weft_likely(then == GATE_LEFT))
			return;
		if (then == GATE_LAST) {
			tear_down(conn);
			return;
		}
		/* Nobody waits for this shutdown any more; a reader learns of the failure. */
		(void)conn->type->shutdown(conn);
	}
}

/* Total bytes; false: too many for one call. */
static bool iov_total(const struct iovec *iov, unsigned iov_count, size_t *total)
{
	*total = 0;
	for (unsigned i = 0; i < iov_count; i++) {
		if (__builtin_add_overflow(*total, iov[i].iov_len, total))
			return false;
	}
	return *total <= SSIZE_MAX;
}

static weft_err check_args(
	const struct iovec *iov, unsigned iov_count, const char *what, size_t *total)
{
	if (iov_count > CONN_IOV_MAX)
		return err_setf(
			WEFT_EINVAL, "%s: iov_count %u is above %d", what, iov_count, CONN_IOV_MAX);
	if (!iov_total(iov, iov_count, total))
		return err_setf(WEFT_EINVAL, "%s: the sizes exceed %zd", what, SSIZE_MAX);
	return rt_check_cancelled();
}

/* ---- reading ---- */

static void ahead_consume(struct conn_ahead *ahead, size_t bytes)
{
	ahead->head += bytes;
	ahead->len -= bytes;
	ahead->scanned = ahead->scanned > bytes ? ahead->scanned - bytes : 0;
	if (ahead->len)
		return;
	ahead->head = 0;
	if (ahead->cap > AHEAD_CAP_KEEP) {
		mem_free(ahead->data);
		ahead->data = NULL;
		ahead->cap = 0;
	}
}

static size_t ahead_drain(struct conn_ahead *ahead, const struct iovec *iov, unsigned iov_count)
{
	size_t done = 0;

	for (unsigned i = 0; i < iov_count && ahead->len; i++) {
		size_t n = iov[i].iov_len < ahead->len ? iov[i].iov_len : ahead->len;

		memcpy(iov[i].iov_base, ahead->data + ahead->head, n);
		ahead_consume(ahead, n);
		done += n;
	}
	return done;
}

weft_err conn_unread(weft_conn *conn, const void *data, size_t size)
{
	struct conn_ahead *ahead = &conn->ahead;
	char *joined;

	if (size == 0)
		return WEFT_OK;
	joined = mem_alloc(size + ahead->len);
	if (!joined)
		return err_set(WEFT_ENOMEM);
	memcpy(joined, data, size);
	if (ahead->len)
		memcpy(joined + size, ahead->data + ahead->head, ahead->len);
	mem_free(ahead->data);
	*ahead = (struct conn_ahead){ joined, size + ahead->len, 0, size + ahead->len, 0 };
	return WEFT_OK;
}

/* Inside the gate; total >= 1. */
static inline weft_err read_some(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *got, weft_deadline until)
{
	if (weft_unlikely(conn->ahead.len)) {
		*got = ahead_drain(&conn->ahead, iov, iov_count);
		return WEFT_OK;
	}
	return conn->type->readv(conn, iov, iov_count, got, until);
}

weft_err weft_conn_readv(weft_conn *conn, const struct iovec *iov, unsigned iov_count, size_t *got,
	weft_deadline until)
{
	enum gate_enter entered;
	size_t total, n = 0;
	weft_err err;

	err = check_args(iov, iov_count, "read", &total);
	if (weft_unlikely(err))
		return err;
	entered = gate_enter(&conn->gate, GATE_READ);
	if (weft_unlikely(entered != GATE_ENTERED))
		return refused(entered, "read");
	if (weft_likely(total))
		err = read_some(conn, iov, iov_count, &n, until);
	leave(conn, GATE_READ);
	if (!err)
		*got = n;
	return err;
}

weft_err weft_conn_read(weft_conn *conn, void *data, size_t size, size_t *got, weft_deadline until)
{
	struct iovec iov = { data, size < SSIZE_MAX ? size : SSIZE_MAX };

	return weft_conn_readv(conn, &iov, 1, got, until);
}

weft_err conn_await(weft_conn *conn, weft_deadline until)
{
	enum gate_enter entered = gate_enter(&conn->gate, GATE_READ);
	weft_err err = WEFT_OK;

	if (entered != GATE_ENTERED)
		return refused(entered, "read");
	if (conn->ahead.len == 0)
		err = conn->type->await(conn, until);
	leave(conn, GATE_READ);
	return err;
}

static weft_err read_full(
	weft_conn *conn, void *data, size_t size, size_t *done, weft_deadline until)
{
	while (*done < size) {
		struct iovec iov = { (char *)data + *done, size - *done };
		size_t n = 0;
		weft_err err = read_some(conn, &iov, 1, &n, until);

		*done += n;
		if (err == WEFT_ECLOSED && *done && !(gate_word(&conn->gate) & GATE_CLOSED))
			return err_setf(WEFT_ERESET,
				"read %s: the stream ended after %zu of %zu bytes", conn->peer_name,
				*done, size);
		if (err)
			return err;
	}
	return WEFT_OK;
}

weft_err weft_conn_read_full(
	weft_conn *conn, void *data, size_t size, size_t *got, weft_deadline until)
{
	struct iovec iov = { data, size };
	enum gate_enter entered;
	size_t total, done = 0;
	weft_err err;

	if (got)
		*got = 0;
	err = check_args(&iov, 1, "read", &total);
	if (err)
		return err;
	entered = gate_enter(&conn->gate, GATE_READ);
	if (entered != GATE_ENTERED)
		return refused(entered, "read");
	err = read_full(conn, data, size, &done, until);
	leave(conn, GATE_READ);
	if (got)
		*got = done;
	return err;
}

/* Room for at least a byte more, and for no more than want in all. */
static weft_err ahead_reserve(struct conn_ahead *ahead, size_t want)
{
	size_t cap = ahead->cap ? ahead->cap * 2 : AHEAD_CAP_MIN;
	char *data;

	if (ahead->head && ahead->head + ahead->len == ahead->cap) {
		memmove(ahead->data, ahead->data + ahead->head, ahead->len);
		ahead->head = 0;
	}
	if (ahead->head + ahead->len < ahead->cap)
		return WEFT_OK;
	if (cap > want) /* which is more than there is: the buffer is full and too short */
		cap = want > AHEAD_CAP_MIN ? want : AHEAD_CAP_MIN;
	data = mem_realloc(ahead->data, cap);
	if (!data)
		return err_set(WEFT_ENOMEM);
	ahead->data = data;
	ahead->cap = cap;
	return WEFT_OK;
}

static weft_err ahead_fill(weft_conn *conn, size_t want, weft_deadline until)
{
	struct conn_ahead *ahead = &conn->ahead;
	struct iovec iov;
	size_t n = 0;
	weft_err err;

	err = ahead_reserve(ahead, want);
	if (err)
		return err;
	iov.iov_base = ahead->data + ahead->head + ahead->len;
	iov.iov_len = ahead->cap - ahead->head - ahead->len;
	err = conn->type->readv(conn, &iov, 1, &n, until);
	if (!err)
		ahead->len += n;
	return err;
}

static void take_line(struct conn_ahead *ahead, char *data, size_t len, size_t *got)
{
	memcpy(data, ahead->data + ahead->head, len);
	data[len] = '\0';
	ahead_consume(ahead, len);
	ahead->scanned = 0;
	*got = len;
}

/* Length of the first line, its '\n' included, if that is within limit bytes; else 0. */
static size_t find_newline(struct conn_ahead *ahead, size_t limit)
{
	const char *line, *end;

	if (ahead->scanned >= limit)
		return 0;
	line = ahead->data + ahead->head;
	end = memchr(line + ahead->scanned, '\n', limit - ahead->scanned);
	ahead->scanned = limit;
	return end ? (size_t)(end - line) + 1 : 0;
}

static weft_err read_line(
	weft_conn *conn, char *data, size_t size, size_t *got, weft_deadline until)
{
	struct conn_ahead *ahead = &conn->ahead;

	for (;;) {
		size_t limit = ahead->len < size - 1 ? ahead->len : size - 1;
		size_t len = find_newline(ahead, limit);
		weft_err err;

		if (len) {
			take_line(ahead, data, len, got);
			return WEFT_OK;
		}
		if (limit == size - 1) {
			take_line(ahead, data, limit, got);
			return err_setf(WEFT_EMSGSIZE, "read %s: a line is longer than %zu bytes",
				conn->peer_name, size - 1);
		}
		err = ahead_fill(conn, size, until);
		if (err == WEFT_ECLOSED && ahead->len && !(gate_word(&conn->gate) & GATE_CLOSED)) {
			take_line(ahead, data, ahead->len, got);
			return WEFT_OK;
		}
		if (err)
			return err;
	}
}

weft_err weft_conn_read_line(
	weft_conn *conn, char *data, size_t size, size_t *got, weft_deadline until)
{
	enum gate_enter entered;
	weft_err err;

	if (size < 2 || size > WEFT_CONN_LINE_MAX)
		return err_setf(WEFT_EINVAL, "read_line: size %zu is not in 2..%zu", size,
			WEFT_CONN_LINE_MAX);
	err = rt_check_cancelled();
	if (err)
		return err;
	entered = gate_enter(&conn->gate, GATE_READ);
	if (entered != GATE_ENTERED)
		return refused(entered, "read");
	err = read_line(conn, data, size, got, until);
	leave(conn, GATE_READ);
	return err;
}

/* ---- writing ---- */

/* A place within an array of iovecs that is not to be changed. */
struct cursor {
	const struct iovec *iov;
	unsigned left; /* iovecs from iov on */
	size_t skip;   /* bytes of iov[0] that are done */
};

static void cursor_advance(struct cursor *at, size_t bytes)
{
	bytes += at->skip;
	while (at->left && bytes >= at->iov->iov_len) {
		bytes -= at->iov->iov_len;
		at->iov++;
		at->left--;
	}
	at->skip = bytes;
}

static unsigned cursor_window(const struct cursor *at, struct iovec *window)
{
	unsigned count = at->left < WINDOW_LEN ? at->left : WINDOW_LEN;

	memcpy(window, at->iov, count * sizeof(*window));
	window[0].iov_base = (char *)window[0].iov_base + at->skip;
	window[0].iov_len -= at->skip;
	return count;
}

/* What the first write left over. */
static weft_err write_rest(weft_conn *conn, struct cursor *at, size_t *done, weft_deadline until)
{
	struct iovec window[WINDOW_LEN];

	while (at->left) {
		unsigned count = cursor_window(at, window);
		size_t n = 0;
		weft_err err = conn->type->writev(conn, window, count, &n, until);

		*done += n;
		if (err)
			return err;
		cursor_advance(at, n);
	}
	return WEFT_OK;
}

static weft_err write_all(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t total, size_t *done, weft_deadline until)
{
	struct cursor at = { iov, iov_count, 0 };
	weft_err err;

	err = conn->type->writev(conn, iov, iov_count, done, until);
	if (err || weft_likely(*done == total))
		return err;
	cursor_advance(&at, *done);
	return write_rest(conn, &at, done, until);
}

weft_err weft_conn_writev(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	enum gate_enter entered;
	size_t total, done = 0;
	weft_err err;

	if (written)
		*written = 0;
	err = check_args(iov, iov_count, "write", &total);
	if (weft_unlikely(err))
		return err;
	entered = gate_enter(&conn->gate, GATE_WRITE);
	if (weft_unlikely(entered != GATE_ENTERED))
		return refused(entered, "write");
	if (weft_likely(total))
		err = write_all(conn, iov, iov_count, total, &done, until);
	leave(conn, GATE_WRITE);
	if (written)
		*written = done;
	return err;
}

weft_err weft_conn_write(
	weft_conn *conn, const void *data, size_t size, size_t *written, weft_deadline until)
{
	/* An iovec has no const; nothing writes through this one. */
	union {
		const void *in;
		void *out;
	} base = { data };
	struct iovec iov = { base.out, size };

	return weft_conn_writev(conn, &iov, 1, written, until);
}

/* ---- copying ---- */

struct copy {
	weft_conn *dst, *src;
	const weft_copy_options *options;
	weft_deadline until;
	uint64_t copied;
	bool failed_dst;
};

static weft_deadline copy_deadline(const struct copy *copy)
{
	weft_deadline idle;

	if (copy->options->idle_ns <= 0)
		return copy->until;
	idle = weft_after_ns(copy->options->idle_ns);
	return idle < copy->until ? idle : copy->until;
}

static weft_err copy_round(struct copy *copy, weft_buf *buf, size_t *got)
{
	size_t written = 0;
	weft_err err;

	err = weft_conn_read(copy->src, buf->data, buf->len, got, copy_deadline(copy));
	if (err)
		return err;
	err = weft_conn_write(copy->dst, buf->data, *got, &written, copy_deadline(copy));
	copy->copied += written;
	copy->failed_dst = err != WEFT_OK;
	if (written && copy->options->progress)
		copy->options->progress(copy->options->user, written);
	return err;
}

/* A stream that never makes its copy wait must not starve the worker's other fibers. */
static weft_err copy_all(struct copy *copy, weft_buf *buf)
{
	unsigned rounds = 0;
	weft_err err;

	do {
		size_t got = 0;

		if (++rounds % COPY_ROUNDS_MAX == 0) {
			err = weft_yield();
			if (err)
				return err;
		}
		err = copy_round(copy, buf, &got);
	} while (!err);
	if (err == WEFT_ECLOSED && !copy->failed_dst &&
		!(gate_word(&copy->src->gate) & GATE_CLOSED))
		return WEFT_OK;
	return err;
}

weft_err weft_conn_copy(weft_conn *dst, weft_conn *src, uint64_t *copied, bool *failed_dst,
	const weft_copy_options *options, weft_deadline until)
{
	static const weft_copy_options defaults = WEFT_COPY_OPTIONS_DEFAULT;
	struct copy copy = { dst, src, options ? options : &defaults, until, 0, false };
	size_t size = copy.options->buffer_size;
	weft_buf buf = WEFT_BUF_EMPTY;
	weft_err err;

	err = weft_buf_alloc(&buf, copy.options->pool, size ? size : COPY_BUFFER_SIZE);
	if (err)
		goto out;
	err = copy_all(&copy, &buf);
out:
	weft_buf_unref(&buf);
	if (copied)
		*copied = copy.copied;
	if (err && failed_dst)
		*failed_dst = copy.failed_dst;
	return err;
}

/* ---- ending ---- */

weft_err weft_conn_shutdown(weft_conn *conn)
{
	weft_err err = WEFT_OK;

	if (conn->no_halves)
		return err_setf(WEFT_ENOSYS, "shutdown %s: it has no halves", conn->peer_name);
	if (gate_shutdown(&conn->gate) == GATE_SHUTDOWN_MINE) {
		err = conn->type->shutdown(conn);
		leave(conn, GATE_WRITE);
	}
	return err;
}

static void stop(weft_conn *conn, bool reset)
{
	if (!gate_close(&conn->gate, reset))
		return;
	conn->type->interrupt(conn, reset);
	leave(conn, GATE_VISIT);
}

void weft_conn_close(weft_conn *conn)
{
	stop(conn, false);
}

void weft_conn_abort(weft_conn *conn)
{
	stop(conn, true);
}

void weft_conn_free(weft_conn *conn)
{
	if (!conn)
		return;
	stop(conn, false);
	gate_wait_gone(&conn->gate);
	if (conn->type->destroy)
		conn->type->destroy(conn);
	mem_free(conn->ahead.data);
	mem_free(conn);
}

const char *weft_conn_local_name(const weft_conn *conn)
{
	return conn->local_name;
}

const char *weft_conn_peer_name(const weft_conn *conn)
{
	return conn->peer_name;
}

int weft_conn_fd(const weft_conn *conn)
{
	/* The visit is the only thing that changes; conn is whole for its owner. */
	union {
		const weft_conn *in;
		weft_conn *out;
	} self = { conn };
	int fd = -1;

	if (!conn->type->fd || !gate_visit(&self.out->gate))
		return -1;
	fd = conn->type->fd(self.out);
	leave(self.out, GATE_VISIT);
	return fd;
}

int64_t conn_rtt_ns(weft_conn *conn)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int64_t ns = -1;
	int fd;

	if (!conn->type->fd || !gate_visit(&conn->gate))
		return -1;
	fd = conn->type->fd(conn);
	if (fd >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
		len > offsetof(struct tcp_info, tcpi_rtt))
		ns = (int64_t)info.tcpi_rtt * 1000;
	leave(conn, GATE_VISIT);
	return ns;
}
