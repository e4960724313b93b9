/* SPDX-License-Identifier: MIT */
#ifndef WEFT_MUX_H
#define WEFT_MUX_H

#include <weft/conn.h>

WEFT_BEGIN_DECLS
/*
 * weft_mux: many streams over one connection, by the smux protocol, versions 1 and 2,
 * as Go's smux speaks it. Both ends must use the same version: nothing is negotiated.
 *
 * Lifetime: one owner. weft_mux_close and _abort stop it, from anywhere, at any time
 *           before weft_mux_free. Streams outlive it: their handles stay valid, their
 *           calls fail. Its fibers end by themselves once it is closed.
 * Threads:  every call from any fiber or plain thread, but free, which comes last. A plain thread
 *           sleeps in those that wait, no longer than until; the runtime's workers carry the
 *           session on, whoever calls.
 * Blocking: open, accept, wait, drain; cancellation points. With WEFT_NOW none waits: for loops
 *           that are not weft's mux_poller.h tells when to call again.
 * Death:    a session dies when its connection does, when the peer breaks the protocol,
 *           or when nothing is heard for keepalive_timeout_ns. Streams then get
 *           WEFT_ERESET (WEFT_EPROTO for a broken protocol), and no end of stream.
 */
typedef struct weft_mux weft_mux;

/*
 * weft_stream: one of a session's streams.
 *
 * Lifetime: one owner, who frees the handle. close may be called from anywhere, at any
 *           time before free; calls under way end with WEFT_ECLOSED.
 * Threads:  one reader and one writer at a time, each any fiber or plain thread; a second
 *           reader (writer) gets WEFT_EINVAL.
 * Blocking: read, write; cancellation points. With WEFT_NOW they do what can be done at once, and
 *           then fail with WEFT_ETIMEDOUT: a write with *written set.
 */
typedef struct weft_stream weft_stream;

#define WEFT_MUX_FRAME_SIZE_MAX 65535
#define WEFT_MUX_INITIAL_WINDOW 262144 /* of each stream in version 2; fixed by the protocol */

typedef struct weft_mux_options {
	unsigned version;	       /* of smux: 1 or 2 */
	bool keepalive_disabled;       /* then the next two are not looked at */
	int64_t keepalive_interval_ns; /* between NOPs; above 0 */
	int64_t keepalive_timeout_ns;  /* of silence, then the session is dead; at least the
					* interval */
	size_t max_frame_size;	       /* bytes of payload sent in a frame: 1..65535 */
	size_t max_receive_buffer;     /* bytes received and not read yet, of all streams:
					* 1..2^31-1; at that, the session stops reading */
	size_t max_stream_buffer;      /* window of a stream, version 2: 1..max_receive_buffer */
	/* Not of smux: */
	bool autotune_disabled;	 /* Otherwise a stream that is read as fast as it comes is given
				 * WEFT_MUX_INITIAL_WINDOW, which the protocol lets a peer send
				 * at first anyway, and more where a round trip takes so long
				 * that this would not fill the connection; as long as the
				 * windows of all streams stay within max_receive_buffer. */
	size_t max_streams;	 /* alive at once; the peer's over it are refused with a FIN;
				* 0: 65,536 */
	size_t accept_backlog;	 /* the peer's streams that wait for weft_mux_accept; those over
				* it are refused with a FIN; 0: 1,024 */
	size_t max_memory;	 /* bytes of memory held by received data, however it came; from
				* half of it on, what comes is copied to where it holds no
				* more than itself; at it, the session stops reading; 0:
				* 4 * max_receive_buffer */
	int64_t linger_ns;	 /* after close: how long what was written may still take to
				* be sent; negative: 5 s; 0: not at all */
	int64_t idle_timeout_ns; /* of each stream, see weft_stream_idle_timeout; 0: none */
} weft_mux_options;

/* What Go's smux takes by default. */
#define WEFT_MUX_OPTIONS_DEFAULT                                                             \
	{                                                                                    \
		1, false, INT64_C(10000000000), INT64_C(30000000000), 32768, 4194304, 65536, \
			false, 0, 0, 0, -1, 0                                                \
	}

typedef enum weft_mux_role {
	WEFT_MUX_CLIENT, /* its streams have odd ids, from 3 */
	WEFT_MUX_SERVER, /* even ids, from 2 */
} weft_mux_role;

/* Options as weft_mux_create_own checks them. Errors: WEFT_EINVAL, with a detail that
 * names the field, its value and what is allowed. */
WEFT_API WEFT_MUST_CHECK weft_err weft_mux_options_check(const weft_mux_options *options);
/*
 * A session over conn, which it owns from now on, also on an error. Its fibers run on
 * the calling fiber's worker. Both roles may open and accept. options may be NULL.
 * Errors: WEFT_EINVAL (options; no runtime), WEFT_ENOMEM, WEFT_ECAPACITY (fibers).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_mux_create_own(
	weft_mux **out, weft_conn *conn, weft_mux_role role, const weft_mux_options *options);
/*
 * A new stream. Tells the peer, who does not answer: whether it takes the stream shows
 * at the first read. Being over max_streams is an error at once; until is there as in every
 * call that may come to wait.
 * Errors: WEFT_ECLOSED (closed here), WEFT_ERESET, WEFT_EPROTO (the session is dead),
 * WEFT_ECAPACITY (max_streams; or ids have run out, for good), WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_mux_open(
	weft_mux *mux, weft_stream **out, weft_deadline until);
/* The next stream that the peer opened; any number of fibers and threads may wait at
 * once. Errors: as open, WEFT_ETIMEDOUT, WEFT_ECANCELED. */
WEFT_API WEFT_MUST_CHECK weft_err weft_mux_accept(
	weft_mux *mux, weft_stream **out, weft_deadline until);
/* Waits until the session is over: nothing of it uses the connection any more. Returns
 * why: WEFT_ECLOSED (closed here, and all was sent), WEFT_ERESET, WEFT_EPROTO; with a detail.
 * WEFT_ETIMEDOUT, WEFT_ECANCELED: it is not over. */
WEFT_API WEFT_MUST_CHECK weft_err weft_mux_wait(weft_mux *mux, weft_deadline until);
/* False once the session can't open streams any more. */
WEFT_API bool weft_mux_is_alive(const weft_mux *mux);
/* Stops: every stream is closed, accept and open get WEFT_ECLOSED. What was written before
 * is still sent, in the background, for linger_ns at most. Idempotent. */
WEFT_API void weft_mux_close(weft_mux *mux);
/* Stops at once: the connection is reset. Idempotent. */
WEFT_API void weft_mux_abort(weft_mux *mux);
/* Closes, and gives the handle up. NULL is allowed. */
WEFT_API void weft_mux_free(weft_mux *mux);

/*
 * Ends in order: from now on open gets WEFT_ECLOSED, and what the peer opens is refused with a
 * FIN; streams that are there go on, and accept gives those that wait for it, then WEFT_ECLOSED.
 * Waits until the last one is closed here (weft_stream_close or _free, whatever the peer does): WEFT_OK.
 * The session itself stays: weft_mux_close follows, also after WEFT_ETIMEDOUT (streams were left)
 * and WEFT_ECANCELED. WEFT_NOW only begins it. Any number of callers, at any time.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_mux_drain(weft_mux *mux, weft_deadline until);

typedef enum weft_mux_rtt_source {
	WEFT_MUX_RTT_NONE,   /* not known (yet) */
	WEFT_MUX_RTT_TCP,    /* the kernel's smoothed estimate, of TCP and of TLS over it; looked
			      * at while something comes, every 100 ms at most */
	WEFT_MUX_RTT_WINDOW, /* version 2 over anything else: the shortest time of late from a
			      * window that was given to data which needed it; never less than
			      * the round trip, but more where the peer had nothing to send */
} weft_mux_rtt_source;

/* Writes of the connection by what they took: fewer bytes than 64, 256, 1 Ki, 4 Ki, 16 Ki, 64 Ki,
 * 256 Ki; and all others. */
#define WEFT_MUX_WRITE_SIZES 8

/*
 * Numbers since the session began, but for those that say "now". Read while the session works:
 * each is right, but two may be of different moments.
 */
typedef struct weft_mux_stats {
	uint64_t opened, accepted;    /* streams */
	uint64_t refused;	      /* the peer's, over a limit, or while draining */
	uint64_t idled;		      /* ended by their idle time-out */
	size_t streams;		      /* alive now */
	uint64_t bytes_in, bytes_out; /* payload */
	/* Of these, what the session did not copy: given to weft_stream_read_buf, received into
	 * the memory of a reader that waited, or sent from the writer's own. The rest was copied once. */
	uint64_t uncopied_in, uncopied_out;
	uint64_t frames_in, frames_out;
	uint64_t wire_in, wire_out; /* bytes of the connection: payload and headers */
	uint64_t reads, writes;	    /* calls of the connection; wire_out / writes: the mean */
	uint64_t write_sizes[WEFT_MUX_WRITE_SIZES];

	/* Stalls: how often, and nanoseconds of those that are over; writers' add up. */
	uint64_t stalls_window; /* a writer waited for the peer's window (version 2) */
	uint64_t stalls_conn;	/* the connection took no more: it, or the peer, is full */
	uint64_t stalls_buffer; /* it stopped reading: max_receive_buffer */
	uint64_t stalls_memory; /* it stopped reading: max_memory */
	uint64_t stalls_reader; /* a stream's whole window lay here unread (version 2): the peer
				 * waits for its reader */
	uint64_t stalled_window_ns, stalled_conn_ns, stalled_buffer_ns, stalled_memory_ns;

	int64_t rtt_ns; /* round trip of the transport; 0: not known */
	weft_mux_rtt_source rtt_source;

	size_t unread;	    /* now: bytes received and not read yet. Of a stream's it falls by
			     * whole pieces, of a frame or 32 KiB at most; exact in
			     * weft_stream_stats */
	size_t windows;	    /* now: the windows that UPDs gave, added up (version 2) */
	size_t memory;	    /* now: bytes of memory that received data holds, but for the block
			     * that is being read into */
	size_t memory_read; /* now: bytes of that block, and of those kept for the next reads */
	size_t memory_own;  /* now: bytes of the session itself, its streams and their table;
			     * without fibers' stacks and what waits to be sent, which is at
			     * most 16 KiB a stream */
} weft_mux_stats;
WEFT_API void weft_mux_stats_get(const weft_mux *mux, weft_mux_stats *out);

/* The same of one stream; it may be closed. */
typedef struct weft_stream_stats {
	uint64_t bytes_in, bytes_out; /* payload that came; that writes took */
	uint64_t frames_in, frames_out;
	size_t unread;	   /* now */
	size_t window_in;  /* now: the last that a UPD gave; of version 2, as the next */
	size_t window_out; /* now: what may still be written before the peer reads */
	uint64_t stalls_window, stalls_conn, stalls_reader;
	uint64_t stalled_window_ns; /* in whole milliseconds each */
} weft_stream_stats;
WEFT_API void weft_stream_stats_get(const weft_stream *stream, weft_stream_stats *out);

/* Names of both ends of its connection; until free. */
WEFT_API const char *weft_mux_local_name(const weft_mux *mux);
WEFT_API const char *weft_mux_peer_name(const weft_mux *mux);

/* Up to size bytes; WEFT_OK means at least one, unless none was asked for. While it waits, what is behind
 * *got bytes of data may be written to, also on errors. Errors:
 * WEFT_ECLOSED (the peer's FIN, after all that came before it; or closed here), WEFT_ERESET,
 * WEFT_EPROTO, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EINVAL (another reads). */
WEFT_API WEFT_MUST_CHECK weft_err weft_stream_read(
	weft_stream *stream, void *data, size_t size, size_t *got, weft_deadline until);
WEFT_API WEFT_MUST_CHECK weft_err weft_stream_readv(weft_stream *stream, const struct iovec *iov,
	unsigned iov_count, size_t *got, weft_deadline until);
/* The same without a copy: up to size bytes (0: as many as lie together), in memory that
 * *out owns and the session's max_memory counts until it is unreferenced. */
WEFT_API WEFT_MUST_CHECK weft_err weft_stream_read_buf(
	weft_stream *stream, weft_buf *out, size_t size, weft_deadline until);
/*
 * All of it, or an error; *written may be NULL, and is set on errors too. Small writes
 * are copied and sent with others; a large one returns once the connection took it.
 * WEFT_OK does not mean that the peer read it. Waits for the peer's window.
 * Errors: WEFT_ECLOSED (closed or shut down here), WEFT_ERESET, WEFT_EPROTO (the session
 * is dead; or the peer claims to have read more than was sent, which ends this stream
 * only), WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EINVAL (another writes), WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_stream_write(
	weft_stream *stream, const void *data, size_t size, size_t *written, weft_deadline until);
WEFT_API WEFT_MUST_CHECK weft_err weft_stream_writev(weft_stream *stream, const struct iovec *iov,
	unsigned iov_count, size_t *written, weft_deadline until);
/* Ends the writing half with a FIN; reading goes on until the peer's. A write that is under
 * way is finished first (this returns before). Idempotent; WEFT_OK on a closed stream.
 * Errors: WEFT_ERESET, WEFT_EPROTO (the session is dead). */
WEFT_API WEFT_MUST_CHECK weft_err weft_stream_shutdown(weft_stream *stream);
/* Stops both halves: what was written is still sent, then a FIN; what is unread, and what
 * still comes, is dropped. smux does not tell the peer more than a shutdown would: a peer
 * that goes on writing is not told that nobody reads, and in version 2 waits for a window
 * in vain, so give such writes a deadline. Idempotent. */
WEFT_API void weft_stream_close(weft_stream *stream);
/* Closes and frees; no call may be under way. NULL is allowed. */
WEFT_API void weft_stream_free(weft_stream *stream);
WEFT_API uint32_t weft_stream_id(const weft_stream *stream);
/*
 * How much of the connection it gets beside others that have much to write: in proportion to
 * its weight, counted in bytes. Frames of streams alternate, whatever their weights, and one that
 * writes now and then waits for no other's: at most for the rest of a frame that the
 * connection has begun to take. Errors: WEFT_EINVAL.
 */
#define WEFT_STREAM_WEIGHT_DEFAULT 8
#define WEFT_STREAM_WEIGHT_MAX 64 /* the least is 1 */
WEFT_API WEFT_MUST_CHECK weft_err weft_stream_weight(weft_stream *stream, unsigned weight);
/*
 * For so long no byte may be written, come, be read, or be told by the peer as read; then the
 * stream fails with WEFT_ERESET, what came before may still be read, and the peer gets a FIN: smux
 * has no other word. 0: never; else at least 1 ms, and less than 2^32 ms. It ends later than said
 * by a quarter of the session's idle_timeout_ns and 2 ms at most; where that is 0, by 20 s, or twice
 * keepalive_interval_ns if that is longer. Errors: WEFT_EINVAL (out of range).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_stream_idle_timeout(
	weft_stream *stream, int64_t idle_timeout_ns);
/* The stream as a conn, which owns it from now on, also on an error: for weft_conn_copy and
 * all else that takes one. Aborting it closes the stream: smux has no reset.
 * Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_stream_conn_own(weft_conn **out, weft_stream *stream);

WEFT_END_DECLS
#endif
