/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * epoll, edge-triggered, behind the completion-shaped table.
 *
 * submit tries the system call; what would block is stored in the handle's side, and the
 * poller tries it again when the edge comes. Each side of a handle has two words:
 *
 *	op     the operation that waits, or NULL. Whoever takes it out (exchange or
 *	       compare-and-swap to NULL) completes it or puts it back: the poller, cancel,
 *	       interrupt, or submit itself.
 *	ready  1: the system call may succeed; 0: it would block, an edge will come.
 *
 * No edge is lost between "would block" and "stored":
 *
 *	submit:  ready = 0 ; try ; op = mine ; ready? take it back and try again
 *	poller:  ready = 1 ; op? take it and try
 *
 * all sequentially consistent: either the poller sees the operation, or submit sees ready.
 *
 * A read that returned less than was asked for has drained the socket: ready stays 0, and
 * the next read skips the call that would fail (epoll(7)). That holds for TCP and pipes
 * until the peer has hung up, or sent urgent data, either of which sets `eager`.
 *
 * Expected cost of an echo request: one recv, one send, and 1/n of an epoll_wait that
 * brings n connections; no call that fails.
 *
 * Freeing: close may come from another thread while the poller holds a batch of events
 * with the handle's address. So it goes to its poller's graveyard, which is emptied before
 * the next epoll_wait: the kernel forgot the descriptor before it went there.
 */
#include "io/io.h"

#include "base/align.h"
#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define AGAIN (INT64_MIN + 1) /* try: would block */

enum {
	OP_CONNECTING = 1, /* connect() was called: its outcome is in SO_ERROR */
};

struct side {
	_Atomic(struct io_op *) op;
	_Atomic(struct io_op *) cancelled; /* cancel() came for it; not to be followed */
	_Atomic uint32_t ready;
};

struct ep_handle {
	struct io_handle base;
	int fd;
	bool is_socket;
	bool is_stream;		    /* TCP or a pipe: a short read means drained */
	_Atomic uint32_t eager;	    /* hang-up or urgent data seen: always try */
	_Atomic uint32_t closed;    /* interrupted, for good */
	_Atomic(struct ep *) owner; /* NULL: not attached yet */
	struct side in, out;
	struct ep_handle *next; /* in the graveyard */
};

struct ep {
	struct io base;
	int epfd, wakefd;
	struct epoll_event events[EVENTS_MAX]; /* owner only */
	_Alignas(CACHE_LINE) _Atomic(struct ep_handle *) graveyard;
	_Atomic uint64_t attached;
};

static const struct io_ops epoll_ops;

static struct ep *ep_of(struct io *io)
{
	return container_of(io, struct ep, base);
}

static struct ep_handle *handle_of(struct io_handle *h)
{
	return container_of(h, struct ep_handle, base);
}

static struct side *side_of(struct ep_handle *h, enum io_kind kind)
{
	return kind == IO_WRITE || kind == IO_CONNECT ? &h->out : &h->in;
}

/* --- system calls --------------------------------------------------------------------- */

static size_t iov_bytes(const struct io_op *op)
{
	size_t sum = 0;

	for (unsigned i = 0; i < op->iov_count; i++)
		sum += op->iov[i].iov_len;
	return sum;
}

/* MSG_DONTWAIT: an inherited socket keeps its flags, and need not be O_NONBLOCK. */
static int64_t try_read(struct ep_handle *h, struct io_op *op, bool *more)
{
	struct msghdr msg = { 0 };
	ssize_t n;

	if (op->iov_count == 1 && h->is_socket) {
		n = recv(h->fd, op->iov[0].iov_base, op->iov[0].iov_len, MSG_DONTWAIT);
	} else if (h->is_socket) {
		msg.msg_iov = (struct iovec *)(uintptr_t)op->iov;
		msg.msg_iovlen = op->iov_count;
		n = recvmsg(h->fd, &msg, MSG_DONTWAIT);
	} else if (op->iov_count == 1) {
		n = read(h->fd, op->iov[0].iov_base, op->iov[0].iov_len);
	} else {
		n = readv(h->fd, op->iov, (int)op->iov_count);
	}
	if (n < 0)
		return -errno;
	*more = !h->is_stream || n == 0 || (size_t)n == iov_bytes(op);
	return n;
}

static int64_t try_write(struct ep_handle *h, struct io_op *op)
{
	const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	struct msghdr msg = { 0 };
	ssize_t n;

	if (h->is_socket && op->iov_count == 1) {
		n = send(h->fd, op->iov[0].iov_base, op->iov[0].iov_len, flags);
	} else if (h->is_socket) {
		msg.msg_iov = (struct iovec *)(uintptr_t)op->iov;
		msg.msg_iovlen = op->iov_count;
		n = sendmsg(h->fd, &msg, flags);
	} else if (op->iov_count == 1) {
		n = write(h->fd, op->iov[0].iov_base, op->iov[0].iov_len);
	} else {
		n = writev(h->fd, op->iov, (int)op->iov_count);
	}
	return n < 0 ? -errno : n;
}

static struct ep_handle *handle_make(int fd)
{
	struct ep_handle *h = mem_calloc(1, sizeof(*h));
	struct stat st;
	int domain = 0;
	socklen_t len = sizeof(domain);

	if (!h)
		return NULL;
	h->base.ops = &epoll_ops;
	h->fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0) {
		h->is_socket = true;
		h->is_stream = domain == AF_INET || domain == AF_INET6;
	} else {
		h->is_stream = fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
	}
	/* relaxed: nobody else knows the handle yet */
	atomic_store_explicit(&h->in.ready, 1, memory_order_relaxed);
	atomic_store_explicit(&h->out.ready, 1, memory_order_relaxed);
	return h;
}

static int64_t try_accept(struct ep_handle *h, struct io_op *op)
{
	struct io_addr scratch, *addr = op->addr ? op->addr : &scratch;
	struct ep_handle *accepted;
	int fd;

	addr->len = sizeof(*addr) - offsetof(struct io_addr, sa);
	fd = accept4(h->fd, &addr->sa, &addr->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	accepted = handle_make(fd);
	if (!accepted) {
		close(fd);
		return -ENOMEM;
	}
	op->accepted = &accepted->base;
	return 0;
}

static int64_t try_connect(struct ep_handle *h, struct io_op *op)
{
	int error = 0;
	socklen_t len = sizeof(error);
	struct tcp_info info;

	/* relaxed: the flag is only the holder's of the operation */
	if (!(atomic_load_explicit(&op->flags, memory_order_relaxed) & OP_CONNECTING)) {
		if (connect(h->fd, &op->addr->sa, op->addr->len) == 0)
			return 0;
		if (errno != EINPROGRESS && errno != EINTR)
			/* EAGAIN: a unix listener's backlog is full, and no edge will tell */
			return errno == EAGAIN ? -ENOBUFS : -errno;
		/* relaxed: only the holder of the operation looks at the flag */
		atomic_fetch_or_explicit(&op->flags, OP_CONNECTING, memory_order_relaxed);
		return AGAIN;
	}
	if (getsockopt(h->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error)
		return -error;
	/* no error yet may also mean no answer yet: a stray edge */
	len = sizeof(info);
	if (getsockopt(h->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
		(info.tcpi_state == TCP_SYN_SENT || info.tcpi_state == TCP_SYN_RECV))
		return AGAIN;
	return 0;
}

static int64_t try_poll(struct ep_handle *h)
{
	struct pollfd p = { .fd = h->fd, .events = POLLIN };
	int n = poll(&p, 1, 0);

	return n < 0 ? -errno : n > 0 ? 0 : AGAIN;
}

/* more: the call may succeed again at once. */
static int64_t try_op(struct ep_handle *h, struct io_op *op, bool *more)
{
	int64_t result;

	*more = true;
	do {
		switch (op->kind) {
		case IO_READ:
			result = try_read(h, op, more);
			break;
		case IO_WRITE:
			result = try_write(h, op);
			break;
		case IO_ACCEPT:
			result = try_accept(h, op);
			break;
		case IO_CONNECT:
			result = try_connect(h, op);
			break;
		case IO_POLL:
		default:
			result = try_poll(h);
			break;
		}
	} while (result == -EINTR);
	return result == -EAGAIN || result == -EWOULDBLOCK ? AGAIN : result;
}

/* --- sides ---------------------------------------------------------------------------- */

static void set_ready(struct side *side)
{
	/* seq_cst: head of the file */
	atomic_store_explicit(&side->ready, 1, memory_order_seq_cst);
}

static bool is_ready(struct side *side)
{
	/* seq_cst: head of the file */
	return atomic_load_explicit(&side->ready, memory_order_seq_cst) != 0;
}

static bool is_closed(struct ep_handle *h)
{
	/* seq_cst: in one order with the stores of op: interrupt sees it, or it is seen */
	return atomic_load_explicit(&h->closed, memory_order_seq_cst) != 0;
}

static struct io_op *take_op(struct side *side)
{
	/* seq_cst: head of the file; also acquires what submit wrote */
	return atomic_exchange_explicit(&side->op, NULL, memory_order_seq_cst);
}

static bool take_back(struct side *side, struct io_op *op)
{
	/* seq_cst both: head of the file */
	return atomic_compare_exchange_strong_explicit(
		&side->op, &op, NULL, memory_order_seq_cst, memory_order_seq_cst);
}

/* Tries with ready cleared first, so that an edge during the call is kept. */
static int64_t try_side(struct ep_handle *h, struct side *side, struct io_op *op)
{
	bool more;
	int64_t result;

	/* seq_cst: before the call; an exchange, so that what the poller wrote is seen */
	atomic_exchange_explicit(&side->ready, 0, memory_order_seq_cst);
	result = try_op(h, op, &more);
	/* relaxed: a hint, set once and for good */
	if (result != AGAIN && (more || atomic_load_explicit(&h->eager, memory_order_relaxed)))
		set_ready(side);
	return result;
}

static int attach(struct ep *ep, struct ep_handle *h)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
		.data.ptr = h };
	struct ep *expected = NULL;

	/* relaxed first look: only the owner's address, fixed once set */
	if (atomic_load_explicit(&h->owner, memory_order_relaxed))
		return 0;
	/* acq_rel: one of two submitters attaches; relaxed on failure: the other one did */
	if (!atomic_compare_exchange_strong_explicit(
		    &h->owner, &expected, ep, memory_order_acq_rel, memory_order_relaxed))
		return 0;
	/* relaxed: a count, whose readers want a hint */
	atomic_fetch_add_explicit(&ep->attached, 1, memory_order_relaxed);
	if (epoll_ctl(ep->epfd, EPOLL_CTL_ADD, h->fd, &ev) == 0)
		return 0;
	return -errno;
}

static void complete(struct io_op *op, int64_t result)
{
	op->result = result;
	op->complete(op);
}

/* The kernel would not watch the descriptor: nothing that waits on it can be woken. */
static void fail_side(struct side *side, int64_t result)
{
	struct io_op *op = take_op(side);

	if (op)
		complete(op, result);
}

static bool is_cancelled(struct side *side, const struct io_op *op)
{
	/* seq_cst: in one order with cancel's store and look */
	return atomic_load_explicit(&side->cancelled, memory_order_seq_cst) == op;
}

/* After the operation was stored (again): true when the caller took it back, because an
 * edge, a cancel or an interrupt came meanwhile. Once stored it may be withdrawn, and its
 * memory be gone: op is compared here, and not followed. */
static bool must_look_again(struct ep_handle *h, struct side *side, struct io_op *op)
{
	return (is_ready(side) || is_cancelled(side, op) || is_closed(h)) && take_back(side, op);
}

static int64_t epoll_submit(struct io *io, struct io_op *op)
{
	struct ep_handle *h = handle_of(op->handle);
	struct side *side = side_of(h, op->kind);
	bool skip = !is_ready(side);
	int64_t result;
	int rc;

	/* relaxed: only to catch two submitters of one direction */
	if (atomic_load_explicit(&side->op, memory_order_relaxed))
		return -EBUSY;
	/* relaxed: the store of the operation publishes it */
	atomic_store_explicit(&side->cancelled, NULL, memory_order_relaxed);
	for (;;) {
		if (is_closed(h))
			return -ECANCELED;
		if (!skip) {
			result = try_side(h, side, op);
			if (result != AGAIN)
				return result;
		}
		skip = false;
		/* seq_cst: head of the file; publishes the operation */
		atomic_store_explicit(&side->op, op, memory_order_seq_cst);
		rc = attach(ep_of(io), h);
		if (rc < 0) {
			/* seq_cst: see is_closed; nothing can ever wait here */
			atomic_store_explicit(&h->closed, 1, memory_order_seq_cst);
			fail_side(&h->in, rc);
			fail_side(&h->out, rc);
			return IO_PENDING; /* completed just now */
		}
		if (!must_look_again(h, side, op))
			return IO_PENDING;
	}
}

/* The poller, on an edge: tries the operation that waits. */
static int wake_side(struct ep_handle *h, struct side *side)
{
	struct io_op *op;
	int64_t result;

	set_ready(side);
	op = take_op(side);
	while (op) {
		result = try_side(h, side, op);
		if (result != AGAIN) {
			complete(op, result);
			return 1;
		}
		/* seq_cst: head of the file */
		atomic_store_explicit(&side->op, op, memory_order_seq_cst);
		if (!must_look_again(h, side, op))
			return 0;
		if (is_closed(h) || is_cancelled(side, op)) {
			complete(op, -ECANCELED);
			return 1;
		}
	}
	return 0;
}

static bool epoll_cancel(struct io_op *op)
{
	struct side *side = side_of(handle_of(op->handle), op->kind);

	/* seq_cst: before the look at the side, in one order with the poller's */
	atomic_store_explicit(&side->cancelled, op, memory_order_seq_cst);
	return take_back(side, op);
}

static void epoll_interrupt(struct io_handle *handle)
{
	struct ep_handle *h = handle_of(handle);

	/* seq_cst: in one order with the looks of is_closed */
	atomic_store_explicit(&h->closed, 1, memory_order_seq_cst);
	fail_side(&h->in, -ECANCELED);
	fail_side(&h->out, -ECANCELED);
}

/* --- wait ----------------------------------------------------------------------------- */

static void bury(struct ep *ep)
{
	struct ep_handle *h;

	/* relaxed: a hint that spares the exchange */
	if (!atomic_load_explicit(&ep->graveyard, memory_order_relaxed))
		return;
	/* acquire; pairs with close's push */
	h = atomic_exchange_explicit(&ep->graveyard, NULL, memory_order_acquire);
	while (h) {
		struct ep_handle *next = h->next;

		mem_free(h);
		h = next;
	}
}

static int dispatch(const struct epoll_event *ev)
{
	struct ep_handle *h = ev->data.ptr;
	uint32_t mask = ev->events;
	int done = 0;

	if (!h)
		return 0; /* wakefd: edge-triggered, never read */
	/* acquire; pairs with the exchange in attach, perhaps in another thread: what was
	 * written to the handle before. epoll_ctl orders it as well, and epoll_pwait2, which
	 * the thread sanitizer does not know. */
	if (!atomic_load_explicit(&h->owner, memory_order_acquire))
		return 0;
	if (mask & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		/* relaxed: the store of ready that follows publishes it */
		atomic_store_explicit(&h->eager, 1, memory_order_relaxed);
	/* the handle may be closed by whoever an operation's completion wakes on another
	 * thread; its memory stays until bury */
	if (mask & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		done += wake_side(h, &h->in);
	if (mask & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		done += wake_side(h, &h->out);
	return done;
}

static int64_t epoll_now(struct io *io)
{
	struct timespec ts;

	(void)io;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int poll_events(struct ep *ep, int64_t until)
{
	struct timespec ts;
	int64_t left, left_ms;
	int n;

	if (until == 0)
		return epoll_wait(ep->epfd, ep->events, EVENTS_MAX, 0);
	if (until == IO_FOREVER)
		return epoll_wait(ep->epfd, ep->events, EVENTS_MAX, -1);
	left = until - epoll_now(&ep->base);
	if (left < 0)
		left = 0;
	ts.tv_sec = (time_t)(left / 1000000000);
	ts.tv_nsec = (long)(left % 1000000000);
	n = epoll_pwait2(ep->epfd, ep->events, EVENTS_MAX, &ts, NULL);
	if (n >= 0 || errno != ENOSYS)
		return n;
	/* emulators and sandboxes that lag behind the kernel: rounded up, not to spin */
	left_ms = (left + 999999) / 1000000;
	return epoll_wait(
		ep->epfd, ep->events, EVENTS_MAX, left_ms < INT_MAX ? (int)left_ms : INT_MAX);
}

static int epoll_wait_events(struct io *io, int64_t until)
{
	struct ep *ep = ep_of(io);
	int n, done = 0;

	bury(ep);
	n = poll_events(ep, until);
	for (int i = 0; i < n; i++)
		done += dispatch(&ep->events[i]);
	return done;
}

static void epoll_wake(struct io *io)
{
	uint64_t one = 1;
	int saved = errno;
	ssize_t rc = write(ep_of(io)->wakefd, &one, sizeof(one));

	(void)rc; /* full after 2^64 - 1 wakes: then it is readable anyway */
	errno = saved;
}

static bool epoll_has_work(struct io *io)
{
	/* relaxed: a hint; a handle attached by another thread counts from the next turn */
	return atomic_load_explicit(&ep_of(io)->attached, memory_order_relaxed) > 0;
}

/* --- handles -------------------------------------------------------------------------- */

static int epoll_adopt(struct io *io, struct io_handle **out, int fd)
{
	struct ep_handle *h = handle_make(fd);

	(void)io;
	if (!h)
		return -ENOMEM;
	*out = &h->base;
	return 0;
}

static int socket_make(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int epoll_socket(struct io *io, struct io_handle **out, int family)
{
	int fd = socket_make(family);
	int rc = fd < 0 ? fd : epoll_adopt(io, out, fd);

	if (rc < 0 && fd >= 0)
		close(fd);
	return rc;
}

static int listen_on(int fd, const struct io_addr *addr, const struct io_listen_options *options)
{
	int on = 1;

	if (addr->sa.sa_family != AF_UNIX &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (options->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		return -errno;
	if (options->v6only && addr->sa.sa_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	/* bind gives the file the socket's own mode, less the umask: never more than asked */
	if (options->unix_mode && addr->sa.sa_family == AF_UNIX &&
		fchmod(fd, options->unix_mode) < 0)
		return -errno;
	if (bind(fd, &addr->sa, addr->len) < 0 || listen(fd, options->backlog) < 0)
		return -errno;
	return 0;
}

static int epoll_listen(struct io *io, struct io_handle **out, const struct io_addr *addr,
	const struct io_listen_options *options)
{
	int fd = socket_make(addr->sa.sa_family);
	int rc = fd < 0 ? fd : listen_on(fd, addr, options);

	if (rc == 0)
		rc = epoll_adopt(io, out, fd);
	if (rc < 0 && fd >= 0)
		close(fd);
	return rc;
}

static int epoll_shutdown(struct io_handle *handle, int how)
{
	return shutdown(handle_of(handle)->fd, how) < 0 ? -errno : 0;
}

static int epoll_names(struct io_handle *handle, struct io_addr *local, struct io_addr *peer)
{
	int fd = handle_of(handle)->fd;

	if (local) {
		local->len = sizeof(*local) - offsetof(struct io_addr, sa);
		if (getsockname(fd, &local->sa, &local->len) < 0)
			return -errno;
	}
	if (peer) {
		peer->len = sizeof(*peer) - offsetof(struct io_addr, sa);
		if (getpeername(fd, &peer->sa, &peer->len) < 0)
			return -errno;
	}
	return 0;
}

static int epoll_fd(struct io_handle *handle)
{
	return handle_of(handle)->fd;
}

static void send_to_graveyard(struct ep *ep, struct ep_handle *h)
{
	/* relaxed: only compared by the exchange below */
	struct ep_handle *head = atomic_load_explicit(&ep->graveyard, memory_order_relaxed);

	do {
		h->next = head;
		/* release; pairs with bury; relaxed on failure: tried again */
	} while (!atomic_compare_exchange_weak_explicit(
		&ep->graveyard, &head, h, memory_order_release, memory_order_relaxed));
}

static void epoll_close(struct io_handle *handle, bool reset)
{
	struct ep_handle *h = handle_of(handle);
	/* acquire; pairs with attach */
	struct ep *ep = atomic_load_explicit(&h->owner, memory_order_acquire);
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	/* relaxed: no operation is under way, says the caller */
	CHECK(!atomic_load_explicit(&h->in.op, memory_order_relaxed) &&
		!atomic_load_explicit(&h->out.op, memory_order_relaxed));
	if (reset && h->is_socket)
		(void)setsockopt(h->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	/* close alone would not do: a child between vfork and exec holds the description */
	if (ep)
		(void)epoll_ctl(ep->epfd, EPOLL_CTL_DEL, h->fd, NULL);
	close(h->fd);
	if (!ep) {
		mem_free(h);
		return;
	}
	/* relaxed: a count, whose readers want a hint */
	atomic_fetch_sub_explicit(&ep->attached, 1, memory_order_relaxed);
	send_to_graveyard(ep, h);
}

static void epoll_destroy(struct io *io)
{
	struct ep *ep = ep_of(io);

	bury(ep);
	close(ep->wakefd);
	close(ep->epfd);
	mem_free(ep);
}

static const struct io_ops epoll_ops = {
	.name = "epoll",
	.now = epoll_now,
	.wait = epoll_wait_events,
	.wake = epoll_wake,
	.has_work = epoll_has_work,
	.destroy = epoll_destroy,
	.socket = epoll_socket,
	.listen = epoll_listen,
	.adopt = epoll_adopt,
	.submit = epoll_submit,
	.cancel = epoll_cancel,
	.interrupt = epoll_interrupt,
	.shutdown = epoll_shutdown,
	.names = epoll_names,
	.fd = epoll_fd,
	.close = epoll_close,
};

int io_epoll_create(struct io **out)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = NULL };
	struct ep *ep = mem_aligned(CACHE_LINE, sizeof(*ep));
	int rc = -ENOMEM;

	if (!ep)
		return rc;
	memset(ep, 0, sizeof(*ep));
	ep->base.ops = &epoll_ops;
	ep->wakefd = -1;
	ep->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (ep->epfd < 0)
		goto fail;
	ep->wakefd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (ep->wakefd < 0 || epoll_ctl(ep->epfd, EPOLL_CTL_ADD, ep->wakefd, &ev) < 0)
		goto fail;
	*out = &ep->base;
	return 0;
fail:
	rc = -errno;
	if (ep->wakefd >= 0)
		close(ep->wakefd);
	if (ep->epfd >= 0)
		close(ep->epfd);
	mem_free(ep);
	return rc;
}
