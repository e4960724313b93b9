/* SPDX-License-Identifier: MIT */
#ifndef MUXCHECK_H
#define MUXCHECK_H

/*
 * A conn around another one that looks at each frame of smux that passes, and fails the test
 * when the session that uses it breaks a rule of the protocol towards its peer:
 *
 *   ids		of its own streams have its role's parity, begin at 3 or 2, and only grow
 *   order		SYN before all else on a stream; after a FIN no data, and no other FIN
 *   frames		no larger than max_frame_size; no NOP without keepalive
 *   windows		never more in flight than the peer's window, 262144 at first (version 2)
 *   UPD		never claims more than came, never goes backwards, offers no more than
 *			max_stream_buffer (or, tuned, max_receive_buffer)
 *   turns		of streams that have much to send (mux_check_busy) none is ahead of another
 *			by more than TURNS_AHEAD_MAX frames for each of its weight
 *   numbers		of stats never go back, and are those of what passed
 *   round trip	never less than two ways take; a measure under way ends
 *   buffers		unread bytes: max_receive_buffer and one read at most; memory held:
 *			max_memory and, in memory of its own, what one read can bring
 *
 * For simulated runs only: it takes no lock.
 */
#include <weft/weft.h>

struct mux_check;

/* Wraps conn, which it owns from now on, also on an error. options are the session's, and
 * are copied. sane_peer: the other end speaks the same version. write_max: bytes of the
 * largest write to a stream. */
weft_err mux_check_wrap(weft_conn **out, struct mux_check **check, weft_conn *conn,
	weft_mux_role role, const weft_mux_options *options, bool sane_peer, size_t write_max);
/* The least that one way may take, of those sessions that are wrapped from now on. */
void mux_check_latency(int64_t latency_min_ns);
/* Whose counters to look at from now on; NULL: none, before it is freed. */
void mux_check_watch(struct mux_check *check, const weft_mux *mux);
/* Its reads and writes wait until then. */
void mux_check_stall(struct mux_check *check, weft_deadline until);
/* Looks at the counters now. */
void mux_check_counters(struct mux_check *check);
/* The session is over, and says that all was sent; what passed is what it says. */
void mux_check_sent_all(struct mux_check *check);

/* When something of a stream came last, as the session read it; 0: never. */
struct mux_check_came {
	int64_t data, upd, fin;
	int64_t moved, moved_before; /* the last two times of SYN, data, UPD, or the program's */
};
struct mux_check_came mux_check_came(const struct mux_check *check, uint32_t id);
/* Its idle time-out from now on; 0: none, or the program is about to end the stream. */
void mux_check_idle(struct mux_check *check, uint32_t id, int64_t idle_ns);
/* The program has written or read something then; or opened it. */
void mux_check_moved(struct mux_check *check, uint32_t id, int64_t at);
/* One large write to that stream begins, which the connection alone, or the peer's weather, may
 * hold up; it ends, for whatever reason. At most MUX_CHECK_RIVALS_MAX at once. */
#define MUX_CHECK_RIVALS_MAX 4
void mux_check_busy(struct mux_check *check, uint32_t id, unsigned weight, size_t bytes);
void mux_check_calm(struct mux_check *check, uint32_t id);
/* The session may live on. NULL is allowed. */
void mux_check_unref(struct mux_check *check);

#endif
