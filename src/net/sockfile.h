/* SPDX-License-Identifier: MIT */
#ifndef NET_SOCKFILE_H
#define NET_SOCKFILE_H

/*
 * Unix listeners in the file system, where the file outlives its process.
 *
 * A file that nobody answers on is replaced, a live one never, nor what is no socket.
 * Two processes that both find a stale file must not remove each other's new one, so
 * finding and replacing is done under flock(2) of the directory, which leaves nothing
 * behind. (Where the directory can't be locked, or against programs that don't lock it,
 * a race of microseconds remains.)
 */
#include "net/addr.h"

#include <sys/stat.h>

struct socket_file {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "": none */
	dev_t dev; /* the file that the listener made */
	ino_t ino;
};

/* name: for errors. mode 0: by umask. Errors: WEFT_EINUSE, WEFT_EACCESS, WEFT_ENOTFOUND
 * (no such directory), WEFT_ETIMEDOUT, WEFT_ECANCELED, ... */
WEFT_MUST_CHECK weft_err socket_file_listen(struct io_handle **out, struct socket_file *file,
	const struct io_addr *addr, const char *name, const struct io_listen_options *options,
	unsigned mode, weft_deadline until);
/* Removes the file if it is still the listener's own. Before the listener's descriptor is
 * closed: while it is open nobody takes the file for stale, nor is its inode number
 * given to another. */
void socket_file_remove(struct socket_file *file);

#endif
