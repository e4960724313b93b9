/* SPDX-License-Identifier: MIT */
#ifndef WEFT_MUX_POLLER_H
#define WEFT_MUX_POLLER_H

#include <weft/mux.h>

WEFT_BEGIN_DECLS
/*
 * weft_mux_poller: one descriptor for any number of sessions and streams, for a loop that is
 * not weft's: epoll, libuv, GLib. Its thread runs no fiber and waits in no call of weft's.
 *
 *	weft_mux_poller_create(&poller);
 *	weft_mux_poller_add(poller, mux, &peer);
 *	the loop polls weft_mux_poller_fd(poller) for reading; when it is readable:
 *		while ((n = weft_mux_poller_take(poller, events, 64)) > 0)
 *			for each: weft_mux_accept, weft_stream_read, _write until WEFT_NOW
 *
 * Lifetime: one owner. Sessions and streams may be freed before it or after it; while they are
 *           there it may be freed too. Free comes last of its calls.
 * Threads:  every call from any thread or fiber; several may take at once, each gets other events.
 * Blocking: none.
 * Bounds:   each session and each stream waits at most once to be taken, with all its events
 *           together, in the order in which they came; so there is no more of them than was added.
 * Cost:     an allocation of some 100 bytes for what is added, kept until that is freed; nothing
 *           for what is not. An event: two locks that are held for a few instructions. A write
 *           to the descriptor once take has found nothing, by the next event; a read of it by
 *           the next take that finds nothing.
 */
typedef struct weft_mux_poller weft_mux_poller;

/*
 * Events come once, each by itself: one says that a call which would have had to wait need not
 * any more, and is not said again until such a call has failed with WEFT_ETIMEDOUT once more
 * (WEFT_NOW, or any other deadline that passed); one that succeeds takes back what a failed one
 * before it asked for. So call until WEFT_ETIMEDOUT, or keep in mind that there may be more. What
 * comes after that error is not lost: whoever fails so has looked again after he began to wait.
 * An event may come late, for what a call found already: the next call then fails with
 * WEFT_ETIMEDOUT, and asks for the next event.
 */
enum {
	/* Streams. Something may be read, or the peer's end. Adding counts as a read that failed. */
	WEFT_MUX_READABLE = 1 << 0,
	/* Something may be written. Not before a write has failed. */
	WEFT_MUX_WRITABLE = 1 << 1,
	/* Sessions. A stream may be accepted, or none will come any more. Adding counts as an
	 * accept that failed. */
	WEFT_MUX_ACCEPTABLE = 1 << 2,
	/* weft_mux_drain would not wait: once, whether it was called or not. */
	WEFT_MUX_DRAINED = 1 << 3,
	/*
	 * A stream: it failed, its session died, or it was closed here; with it come READABLE and
	 * WRITABLE, what came before may still be read. A session: it is over, weft_mux_wait would
	 * not wait. Once, whether a call failed or not, and the last event there is.
	 */
	WEFT_MUX_ENDED = 1 << 4,
};

typedef struct weft_mux_event {
	void *user;	 /* as it was added with */
	unsigned events; /* WEFT_MUX_...; not 0 */
} weft_mux_event;

/* Errors: WEFT_ENOMEM, WEFT_ECAPACITY (no descriptors left). */
WEFT_API WEFT_MUST_CHECK weft_err weft_mux_poller_create(weft_mux_poller **out);
/* Gives it up, with all that was added to it. NULL is allowed. */
WEFT_API void weft_mux_poller_free(weft_mux_poller *poller);
/*
 * Readable while there may be something to take: to be polled, not read, not closed. It is the
 * poller's. Level-triggered: it stays so until a take finds nothing, and a loop may take as much at a
 * time as it likes. With EPOLLET take until nothing is found.
 */
WEFT_API int weft_mux_poller_fd(const weft_mux_poller *poller);

/*
 * From now on its events come, with user, which is only handed back. Each session and each stream is
 * in one poller at a time. Errors: WEFT_EDUPLICATE (it is in one), WEFT_ENOMEM; of a stream
 * WEFT_ECLOSED (closed here), WEFT_EINVAL (another call reads it, or writes to it).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_mux_poller_add(
	weft_mux_poller *poller, weft_mux *mux, void *user);
WEFT_API WEFT_MUST_CHECK weft_err weft_mux_poller_add_stream(
	weft_mux_poller *poller, weft_stream *stream, void *user);
/*
 * Takes that begin after this have no event of it; what one took before stays with its caller. As
 * weft_mux_free and weft_stream_free do by themselves. It may then be added to another. Nothing, if
 * it is not in this poller.
 */
WEFT_API void weft_mux_poller_remove(weft_mux_poller *poller, weft_mux *mux);
WEFT_API void weft_mux_poller_remove_stream(weft_mux_poller *poller, weft_stream *stream);

/* Up to max events, oldest first; how many. 0: nothing is there now, and the descriptor tells. */
WEFT_API size_t weft_mux_poller_take(weft_mux_poller *poller, weft_mux_event *events, size_t max);

WEFT_END_DECLS
#endif
