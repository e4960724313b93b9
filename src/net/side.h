/* SPDX-License-Identifier: MIT */
#ifndef NET_SIDE_H
#define NET_SIDE_H

/*
 * struct file_side: one direction of a descriptor that can't be polled, or whose flags
 * must stay: files, terminals, /dev/null, an inherited pipe that can't be opened anew.
 * Each system call that may block is made in the blocking-work pool, into or from the
 * side's own memory, so that a call that gives up loses nothing:
 *
 *   reading: what arrives after its reader left stays, and the next read takes it;
 *   writing: bytes count as taken once the pool's thread is at them, not before.
 *
 * In the pool it waits by poll(2) on the descriptor and an eventfd, so that closing ends
 * the wait; a thread is taken from the pool as long as it waits.
 * Lifetime: reference counted, shared by the conn and its request in the pool. The
 *           descriptor is closed with the last, so that none is used after its number
 *           was given to something else.
 * Threads:  one reader or writer; interrupt from anywhere.
 */
#include <weft/conn.h>

struct file_side;

/* fd is taken, also on error. Errors: WEFT_ENOMEM, WEFT_ECAPACITY (no descriptors). */
WEFT_MUST_CHECK weft_err file_side_create(struct file_side **out, int fd, const char *name);
WEFT_MUST_CHECK weft_err file_side_read(struct file_side *side, const struct iovec *iov,
	unsigned iov_count, size_t *got, weft_deadline until);
/* On an error *written says how much was taken all the same. */
WEFT_MUST_CHECK weft_err file_side_write(struct file_side *side, const struct iovec *iov,
	unsigned iov_count, size_t *written, weft_deadline until);
/* Calls under way, and later ones, return WEFT_ECLOSED. */
void file_side_interrupt(struct file_side *side);
/* No call is under way. NULL is allowed. */
void file_side_free(struct file_side *side);
int file_side_fd(const struct file_side *side);

#endif
