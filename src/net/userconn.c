/* SPDX-License-Identifier: MIT */
/* A conn of the caller's own functions. */
#define _GNU_SOURCE
#include "base/err.h"
#include "net/conn.h"

#include <errno.h>

struct user_conn {
	weft_conn base;
	const weft_conn_ops *ops;
	void *user;
};

static struct user_conn *self(weft_conn *conn)
{
	return (struct user_conn *)conn;
}

/* Errors of the caller's functions need not come through this library: a detail that
 * belongs to another one would mislead. */
static weft_err given(weft_err err)
{
	return err && err_slot_self()->err != err ? err_set(err) : err;
}

static weft_err user_readv(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *got, weft_deadline until)
{
	struct user_conn *c = self(conn);
	weft_err err = c->ops->readv(c->user, iov, iov_count, got, until);

	if (!err && *got == 0)
		return err_setf(WEFT_EPROTO, "read %s: its function gave no byte and no error",
			conn->peer_name);
	return given(err);
}

static weft_err user_writev(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	struct user_conn *c = self(conn);
	weft_err err = c->ops->writev(c->user, iov, iov_count, written, until);

	if (!err && *written == 0)
		return err_setf(WEFT_EPROTO, "write %s: its function took no byte and no error",
			conn->peer_name);
	return given(err);
}

static weft_err user_shutdown(weft_conn *conn)
{
	struct user_conn *c = self(conn);

	return given(c->ops->shutdown(c->user));
}

static void user_interrupt(weft_conn *conn, bool reset)
{
	struct user_conn *c = self(conn);

	if (reset && c->ops->abort)
		c->ops->abort(c->user);
	else
		c->ops->close(c->user);
}

static void user_dispose(weft_conn *conn, bool reset)
{
	(void)conn;
	(void)reset;
}

static void user_destroy(weft_conn *conn)
{
	struct user_conn *c = self(conn);

	c->ops->free(c->user);
}

static int user_fd(weft_conn *conn)
{
	struct user_conn *c = self(conn);

	return c->ops->fd ? c->ops->fd(c->user) : -1;
}

static const struct conn_type user_type = {
	.readv = user_readv,
	.writev = user_writev,
	.shutdown = user_shutdown,
	.interrupt = user_interrupt,
	.dispose = user_dispose,
	.destroy = user_destroy,
	.fd = user_fd,
};

weft_err weft_conn_create(weft_conn **out, const weft_conn_ops *ops, void *user,
	const char *local_name, const char *peer_name)
{
	weft_conn *conn;

	if (!ops || !ops->readv || !ops->writev || !ops->close || !ops->free)
		return err_setf(WEFT_EINVAL, "weft_conn_create: %s is missing",
			!ops		       ? "ops"
				: !ops->readv  ? "ops.readv"
				: !ops->writev ? "ops.writev"
				: !ops->close  ? "ops.close"
					       : "ops.free");
	conn = conn_alloc(&user_type, sizeof(struct user_conn),
		local_name ? local_name : "user:", peer_name ? peer_name : "user:");
	if (!conn)
		return err_sys(ENOMEM, "weft_conn_create");
	self(conn)->ops = ops;
	self(conn)->user = user;
	conn->no_halves = !ops->shutdown;
	*out = conn;
	return WEFT_OK;
}
