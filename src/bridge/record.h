/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_RECORD_H
#define BRIDGE_RECORD_H

/*
 * A recorder: the messages that relays carry, a line of JSON each, appended to a file.
 *
 * Who has a message copies it into a line of its own (one block of the pool, one copy of the text),
 * puts that into a list, and goes on: no lock, no system call, and a wake only where the list was
 * empty. One fiber takes all lines that gather within RECORD_GATHER_NS, and has the blocking-work pool
 * write them: a writev for up to RECORD_BATCH lines.
 *
 * What holds:
 *  - Lines are whole, and those of a session in the order in which the relay had them. What a write
 *    that failed has left of a line is cut off again. Only a process that is killed in the middle of
 *    a write, or a machine that goes down, leaves a line that is torn: the last. Who next appends ends
 *    it, and says so in a line.
 *  - A disk that is full or slow never holds up a message. What waits for it is bounded
 *    (pending_max); above that messages are left out, and counted: the next line says how many. A
 *    disk that is full is tried again every second.
 *  - One recorder a file: it is locked.
 * The file is not synced but at the end, and when it is left for another: what was written outlives
 * this process, but not the machine.
 *
 * Lifetime: one owner; freed when nobody records any more.
 * Threads:  recorder_message from any fiber; reopen from any fiber or thread, one at a time.
 * Blocking: open, reopen and free, on the disk.
 */
#include "bridge/relay.h"

#define RECORD_GATHER_NS INT64_C(5000000)
#define RECORD_RETRY_NS INT64_C(1000000000)
#define RECORD_BATCH 1024 /* IOV_MAX */
#define RECORD_PENDING_MAX ((size_t)16 << 20)

struct recorder;

struct recorder_options {
	const char *path;    /* copied */
	size_t pending_max;  /* bytes of memory for lines that wait; 0: RECORD_PENDING_MAX */
	weft_buf_pool *pool; /* of lines; borrowed until free; may be NULL */
	/* What becomes of the file; as weft_bridge_options. May be NULL. */
	void (*on_event)(void *user, const weft_bridge_event *event);
	void *user;
};

/* What can be said before anything is opened: that is no file. Errors: WEFT_EINVAL. */
WEFT_MUST_CHECK weft_err recorder_check(const char *path);
/*
 * In a fiber. The file is made with mode 0600, or appended to.
 * Errors: WEFT_EINVAL (no regular file; one that is no recording), WEFT_EDUPLICATE (another
 * recorder has it), WEFT_ENOMEM, those of open(2) and of weft_spawn.
 */
WEFT_MUST_CHECK weft_err recorder_open(
	struct recorder **out, const struct recorder_options *options);
/* For relay_options.on_message. */
void recorder_message(struct recorder *recorder, const struct relay_message *message);
/* The file of that name, if it is another than the one that is open: that one was moved away, and is
 * complete when this returns. Errors: as open; then the one there is stays in use. */
WEFT_MUST_CHECK weft_err recorder_reopen(struct recorder *recorder);
/* Writes what waits, syncs, closes. Shielded. What a full disk does not take is lost, and said.
 * NULL is allowed. */
void recorder_free(struct recorder *recorder);

struct recorder_stats {
	uint64_t lines, bytes; /* written: messages, and all bytes */
	uint64_t lost;	       /* messages that are not in the file */
	size_t pending;	       /* bytes that wait */
};
void recorder_stats_get(const struct recorder *recorder, struct recorder_stats *out);

#endif
