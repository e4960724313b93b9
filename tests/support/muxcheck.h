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
/* Whose counters to look at from now on; NULL: none, before it is freed. */
void mux_check_watch(struct mux_check *check, const weft_mux *mux);
/* Its reads and writes wait until then. */
void mux_check_stall(struct mux_check *check, weft_deadline until);
/* Looks at the counters now. */
void mux_check_counters(const struct mux_check *check);
/* The session may live on. NULL is allowed. */
void mux_check_unref(struct mux_check *check);

#endif
