/* SPDX-License-Identifier: MIT */
#ifndef IO_IO_H
#define IO_IO_H

/*
 * The netpoll backends behind one table of functions, shaped by completions: an
 * operation is submitted, and either is done at once or completes later, exactly once.
 * epoll does that by trying the system call, and again when the edge comes; the
 * simulator by a virtual net; io_uring could by itself.
 *
 * Who completes an operation, exactly once:
 *   submit returned a result   -> it is over; complete is not called.
 *   submit returned IO_PENDING -> complete(op) is called once, in the thread that runs
 *                                 wait() of the io that the handle is attached to ...
 *   cancel returned true       -> ... except then: it was withdrawn, complete will not
 *                                 be called. False: complete was called, is running, or
 *                                 will be called soon: wait for it.
 *   interrupt(handle)          -> pending operations complete with -ECANCELED in the
 *                                 caller's thread; later submits return -ECANCELED.
 * complete may not submit, park or free the handle: it stores and wakes.
 *
 * A handle belongs to no io until its first operation that must wait; that attaches it
 * to the io it was submitted through, for good. One operation of each direction
 * (READ, ACCEPT or POLL; WRITE or CONNECT) may be under way on a handle at a time; the two
 * may be submitted from different threads.
 */
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define IO_PENDING INT64_MIN
#define IO_FOREVER INT64_MAX

struct io_addr {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
};

enum io_kind {
	IO_READ,    /* iov; result: bytes, 0 at the end of the stream */
	IO_WRITE,   /* iov; result: bytes taken, at least one */
	IO_ACCEPT,  /* accepted and addr (the peer's, may be NULL) are set; result 0 */
	IO_CONNECT, /* addr; result 0 */
	IO_POLL,    /* result 0 once the handle is readable (a pidfd, an eventfd) */
};

struct io_ops;

/* Head of every backend instance. */
struct io {
	const struct io_ops *ops;
};

/* Head of every backend's handle. */
struct io_handle {
	const struct io_ops *ops;
};

struct io_op {
	struct io_handle *handle;
	enum io_kind kind;
	unsigned iov_count;
	const struct iovec *iov; /* memory and array stay until the operation is over */
	struct io_addr *addr;
	struct io_handle *accepted; /* out, IO_ACCEPT */
	int64_t result;		    /* valid once complete; -errno on failure */
	void (*complete)(struct io_op *op);
	void *user;		/* the submitter's */
	_Atomic uint32_t flags; /* the backend's; 0 before submit */
};

struct io_listen_options {
	int backlog;
	bool reuse_port;
	bool v6only;
	unsigned unix_mode; /* permissions of a socket file, less the umask; 0: by umask */
};

struct io_ops {
	const char *name;

	/* Monotonic nanoseconds; virtual in the simulator. Any thread. */
	int64_t (*now)(struct io *io);
	/*
	 * Delivers what is complete; waits for the first completion, for wake(), or until
	 * then (0: does not wait; IO_FOREVER). Owner thread only. Returns completions
	 * delivered, or -EDEADLK (simulator: nothing will ever happen).
	 */
	int (*wait)(struct io *io, int64_t until);
	/* Makes wait return soon, or the next one at once. Any thread; async-signal-safe. */
	void (*wake)(struct io *io);
	/* True when wait(io, 0) might deliver something: handles are attached. */
	bool (*has_work)(struct io *io);
	void (*destroy)(struct io *io); /* every handle is closed by then */

	/* Handles: 0 or -errno. Any thread. io says which instance (the simulator's
	 * net); it does not attach. */
	int (*socket)(struct io *io, struct io_handle **out, int family);
	int (*listen)(struct io *io, struct io_handle **out, const struct io_addr *addr,
		const struct io_listen_options *options);
	/* A descriptor that can be polled: a socket, whatever its flags, or either end of
	 * a pipe, a pidfd, an eventfd, already O_NONBLOCK. Taken, unless an error is
	 * returned. -ENOSYS in the simulator; what can't be polled is found by the caller
	 * beforehand. */
	int (*adopt)(struct io *io, struct io_handle **out, int fd);
	/* Addresses of a host's name: how many were stored, or -errno. NULL where the
	 * system's resolver serves. */
	int (*resolve)(struct io *io, const char *host, struct io_addr *out, int max);

	int64_t (*submit)(struct io *io, struct io_op *op);
	bool (*cancel)(struct io_op *op);
	void (*interrupt)(struct io_handle *handle);

	int (*shutdown)(struct io_handle *handle, int how); /* SHUT_RD, SHUT_WR, SHUT_RDWR */
	int (*names)(struct io_handle *handle, struct io_addr *local, struct io_addr *peer);
	int (*fd)(struct io_handle *handle); /* -1: none */
	/* No operation is under way; reset: the peer is to see a reset. Any thread. */
	void (*close)(struct io_handle *handle, bool reset);
};

/* Backends. 0 or -errno. */
int io_epoll_create(struct io **out);

struct io_sim_options;
/* See io/sim.h for what the simulator adds. */
int io_sim_create(struct io **out, const struct io_sim_options *options);

#endif
