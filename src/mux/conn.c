/* SPDX-License-Identifier: MIT */
/* A stream as a weft_conn. */
#include "net/conn.h"
#include "base/err.h"
#include "mux/session.h"

#include <errno.h>
#include <stdio.h>

#define NAME_MAX_LEN 512

struct stream_conn {
	weft_conn base;
	weft_stream *stream;
};

static weft_stream *stream_of(weft_conn *conn)
{
	return ((struct stream_conn *)conn)->stream;
}

static weft_err conn_readv(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *got, weft_deadline until)
{
	return weft_stream_readv(stream_of(conn), iov, iov_count, got, until);
}

static weft_err conn_writev(weft_conn *conn, const struct iovec *iov, unsigned iov_count,
	size_t *written, weft_deadline until)
{
	return weft_stream_writev(stream_of(conn), iov, iov_count, written, until);
}

static weft_err conn_shutdown(weft_conn *conn)
{
	return weft_stream_shutdown(stream_of(conn));
}

static void conn_interrupt(weft_conn *conn, bool reset)
{
	(void)reset;
	weft_stream_close(stream_of(conn));
}

static void conn_dispose(weft_conn *conn, bool reset)
{
	(void)conn;
	(void)reset;
}

static void conn_destroy(weft_conn *conn)
{
	weft_stream_free(stream_of(conn));
}

static const struct conn_type stream_type = {
	.readv = conn_readv,
	.writev = conn_writev,
	.shutdown = conn_shutdown,
	.interrupt = conn_interrupt,
	.dispose = conn_dispose,
	.destroy = conn_destroy,
};

weft_err weft_stream_conn_own(weft_conn **out, weft_stream *stream)
{
	char local[NAME_MAX_LEN], peer[NAME_MAX_LEN];
	weft_conn *conn;

	snprintf(local, sizeof(local), "%s#%u", stream->mux->local_name, stream->id);
	snprintf(peer, sizeof(peer), "%s#%u", stream->mux->peer_name, stream->id);
	conn = conn_alloc(&stream_type, sizeof(struct stream_conn), local, peer);
	if (!conn) {
		weft_stream_free(stream);
		return err_sys(ENOMEM, "stream as a connection");
	}
	((struct stream_conn *)conn)->stream = stream;
	*out = conn;
	return WEFT_OK;
}
