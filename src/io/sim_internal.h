/* SPDX-License-Identifier: MIT */
#ifndef IO_SIM_INTERNAL_H
#define IO_SIM_INTERNAL_H

/*
 * What the parts of the simulator share.
 *
 *   sim.c         the instance: clock, event queue, random streams, hash, trace
 *   sim_name.c    addresses, nodes' names, ports, who listens where
 *   sim_conn.c    connections: two ends, and a pipe of segments from each to the other
 *   sim_handle.c  handles: the io_ops that programs call
 *   sim_fault.c   partitions, crashes, resets
 *
 *   handle --- end 0 ==pipe of segments==> end 1 --- handle
 *                    <==pipe of segments==       --- (or in a listener's backlog)
 *
 * A connection lives while one of its ends is attached: to a handle, or to a backlog.
 * Everything runs in one thread. Whatever must not fail (a FIN, a reset, an event) has
 * its memory inside the object it belongs to.
 */
#include "base/heap.h"
#include "base/list.h"
#include "base/random.h"
#include "io/sim.h"

#define SIM_NODES_MAX 250
#define SIM_NAME_MAX 63		      /* bytes of a node's name */
#define SIM_BACKLOG_MAX 4096	      /* connections that wait to be accepted */
#define SIM_OPEN_TRIES_MAX 6	      /* of a connect against a full backlog */
#define SIM_OPEN_RETRY_NS 1000000000  /* the first wait; each is twice the last */
#define SIM_START_NS 1000000000000000 /* the clock begins far from 0, which is WEFT_NOW */
#define SIM_END_NS (INT64_MAX / 2)    /* no jump goes further: sums don't overflow */
#define SIM_LATENCY_MAX_NS 3600000000000
#define SIM_WINDOW_MAX ((size_t)1 << 30)
#define SIM_PORT_FIRST 32768
#define SIM_PORT_LAST 60999

struct sim;
struct sim_conn;
struct sim_handle;

/* X(NAME, text): what is folded into the hash and traced. */
#define SIM_KIND_LIST(X)             \
	X(NODE, "node")              \
	X(STEP, "runs fiber")        \
	X(SOCKET, "socket")          \
	X(LISTEN, "listen")          \
	X(CONNECT, "connect")        \
	X(READ, "read")              \
	X(WRITE, "write")            \
	X(ACCEPT, "accept")          \
	X(POLL, "poll")              \
	X(CANCEL, "cancel")          \
	X(INTERRUPT, "interrupt")    \
	X(SHUTDOWN, "shutdown")      \
	X(CLOSE, "close")            \
	X(ABORT, "abort")            \
	X(ARRIVED, "arrived")        \
	X(CREDIT, "credit")          \
	X(HELD, "held by partition") \
	X(RESET, "reset")            \
	X(PARTITION, "partition")    \
	X(HEAL, "heal")              \
	X(CRASH, "crash")            \
	X(RESET_ALL, "reset all")    \
	X(JUMP, "clock jump")        \
	X(LIMIT, "descriptor limit") \
	X(NOTE, "note")

enum sim_kind {
#define SIM_KIND_ENUM(name, text) SIM_##name,
	SIM_KIND_LIST(SIM_KIND_ENUM)
#undef SIM_KIND_ENUM
};

enum sim_stream {
	SIM_RANDOM_SCHEDULE,
	SIM_RANDOM_NETWORK,
	SIM_RANDOM_APPLICATION,
	SIM_RANDOM_MEMORY,
	SIM_STREAMS,
};

/* Something that happens at a time. Belongs to the object it is a part of. */
struct sim_event {
	struct heap_node node;
	void (*fire)(struct sim *sim, struct sim_event *event);
};

/* An address of the simulated net, taken apart. */
struct sim_name {
	sa_family_t family;
	bool v6only; /* AF_INET6 */
	uint32_t
		ip; /* host order; of AF_INET6: ::1 is 127.0.0.1, :: is 0.0.0.0, fd00::N is 10.0.0.N */
	uint16_t port;						   /* host order */
	uint8_t path_len;					   /* AF_UNIX; 0: unnamed */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* no NUL */
};

enum sim_segment_kind {
	SIM_SEGMENT_OPEN = 1, /* client: I want to connect */
	SIM_SEGMENT_OPENED,   /* server: you are connected */
	SIM_SEGMENT_REFUSED,  /* server: you are not, see error */
	SIM_SEGMENT_DATA,
	SIM_SEGMENT_FIN,
	SIM_SEGMENT_RST,
};

/* All but DATA are part of their end, so that they need no memory. */
struct sim_segment {
	struct list link; /* in a pipe, then (DATA) in what the other end received */
	enum sim_segment_kind kind;
	int error;   /* REFUSED */
	int64_t due; /* when it arrives */
};

struct sim_data {
	struct sim_segment segment;
	size_t len, used; /* bytes in all, and how many of them were read */
	unsigned char bytes[];
};

struct sim_end {
	struct sim_conn *conn;
	struct sim_handle *handle; /* NULL: not accepted yet, or detached */
	bool attached;		   /* somebody has it: a handle or a backlog */
	bool crashed;		   /* its node forgot it */
	unsigned node;
	struct sim_name name;
	struct list backlog_link; /* in a listener's backlog or waiting list */

	/* the pipe to the other end */
	struct list pipe;
	struct sim_event pump; /* armed for the first segment, unless held */
	bool pump_held;	       /* by a partition, until it heals */
	struct sim_segment open, fin, rst;
	unsigned open_tries;
	size_t outstanding; /* bytes written, not yet known to be read: <= window */

	/* what the other end may write again: read here, and on its way there */
	struct sim_event credit;
	bool credit_held;
	size_t credit_flying, credit_next;

	struct list received; /* struct sim_data */
	size_t unread;

	bool opened;   /* this end knows that it is connected */
	int error;     /* of the connect; 0 */
	bool fin_sent; /* shut down or closed here */
	bool fin_received;
	bool read_shut;
	bool reset;	 /* a reset came */
	bool reset_told; /* a write has reported it */
};

struct sim_conn {
	struct sim *sim;
	struct list link; /* sim->conns */
	uint64_t id;
	struct sim_end ends[2]; /* client, server */
	struct sim_event reset; /* both ends, when the fault's time has come */
};

#define SIM_CONN_EVENTS 5

enum sim_direction { SIM_IN, SIM_OUT, SIM_DIRECTIONS };

struct sim_handle {
	struct io_handle base;
	struct sim *sim;
	struct list link; /* node->handles */
	uint64_t id;
	unsigned node;
	sa_family_t family;
	bool is_listener;
	bool interrupted;
	bool counted; /* against the node's descriptor limit */
	struct io_op *ops[SIM_DIRECTIONS];
	struct sim_event kick; /* looks at the pending operations again */

	struct sim_end *end; /* stream: NULL before connect and after a crash */

	/* listener */
	struct sim_name name;
	struct list listener_link; /* node->listeners */
	struct list backlog;	   /* ends that wait for an accept */
	struct list waiting;	   /* unix: ends that wait for a place in the backlog */
	unsigned backlog_len, backlog_max;
	bool reuse_port;
	bool read_shut;
};

struct sim_node {
	char name[SIM_NAME_MAX + 1];
	struct list handles;
	struct list listeners;
	size_t descriptors, descriptors_max;
	uint16_t port_next;
	uint64_t cut[(SIM_NODES_MAX + 63) / 64]; /* a bit a node that can't be reached */
};

struct sim {
	struct io base;
	struct io_sim_options options;
	weft_sim_options net; /* a copy, defaults filled in */
	int64_t now;
	struct heap events;
	uint64_t event_seq;
	size_t events_made; /* the heap has room for all of them */
	int completions;    /* in this wait */
	_Atomic bool woken;
	struct random random[SIM_STREAMS];
	uint64_t hash;
	uint64_t next_id;
	uint64_t sockets;
	struct list conns;
	unsigned node_count;
	struct sim_node *nodes[SIM_NODES_MAX];
};

static inline struct sim *sim_of(struct io *io)
{
	return container_of(io, struct sim, base);
}

/* sim.c */
extern const struct io_ops sim_ops;
void sim_event_init(struct sim_event *event, void (*fire)(struct sim *, struct sim_event *));
/* Before an object with that many events comes to be, and after it has gone: so that
 * arming never fails. False: out of memory. */
bool sim_events_reserve(struct sim *sim, size_t count);
void sim_events_release(struct sim *sim, size_t count);
/* Moves an armed one. */
void sim_event_arm(struct sim *sim, struct sim_event *event, int64_t at);
void sim_event_disarm(struct sim *sim, struct sim_event *event);
uint64_t sim_random_below(struct sim *sim, enum sim_stream stream, uint64_t bound);
bool sim_network_dice(struct sim *sim, unsigned permille);
int64_t sim_latency(struct sim *sim);
/* Folds into the hash, traces: node did kind with the handle or connection id. */
void sim_log(struct sim *sim, enum sim_kind kind, unsigned node, uint64_t id, int64_t value);
void sim_trace_conn(const struct sim_conn *conn);

/* sim_name.c */
/* 0, -EINVAL, -EAFNOSUPPORT, or -ENETUNREACH for what no node can have. */
int sim_name_parse(struct sim_name *name, const struct io_addr *addr);
#define SIM_TEXT_MAX 160
void sim_name_text(const struct sim_name *name, char *text, size_t size);
void sim_name_format(const struct sim_name *name, struct io_addr *addr);
int sim_name_bind(struct sim *sim, unsigned node, struct sim_name *name, bool reuse_port);
/* The local and remote names of a new connection, and the remote node. */
int sim_name_route(struct sim *sim, unsigned node, struct sim_name *local, struct sim_name *remote,
	unsigned *remote_node);
struct sim_handle *sim_name_listener(struct sim *sim, unsigned node, const struct sim_name *name);
int sim_node_create(struct sim *sim, const char *name);
int sim_resolve(struct io *io, const char *host, struct io_addr *out, int max);

/* sim_conn.c */
int sim_conn_open(struct sim_handle *handle, const struct io_addr *addr);
int64_t sim_end_read(struct sim_end *end, const struct iovec *iov, unsigned iov_count);
int64_t sim_end_write(struct sim_end *end, const struct iovec *iov, unsigned iov_count);
int64_t sim_end_connected(const struct sim_end *end);
bool sim_end_is_readable(const struct sim_end *end);
void sim_end_fin(struct sim_end *end);
/* Detaches from its handle or backlog; frees the connection when the other end has
 * gone as well. */
void sim_end_close(struct sim_end *end, bool reset);
void sim_end_vanish(struct sim_end *end);
void sim_conn_reset_soon(struct sim_conn *conn);
/* What a partition held goes on its way. */
void sim_conn_release(struct sim_conn *conn);
void sim_conn_free(struct sim_conn *conn);
/* A place in the backlog is free. */
void sim_listener_admit(struct sim_handle *listener);
void sim_listener_close(struct sim_handle *listener, bool vanish);

/* sim_handle.c */
int sim_handle_create(struct sim *sim, struct sim_handle **out, unsigned node, sa_family_t family);
void sim_handle_free(struct sim_handle *handle);
/* Completes what can be completed now. */
void sim_handle_progress(struct sim_handle *handle);
void sim_handle_uncount(struct sim_handle *handle);
int sim_socket(struct io *io, struct io_handle **out, int family);
int sim_listen(struct io *io, struct io_handle **out, const struct io_addr *addr,
	const struct io_listen_options *options);
int sim_adopt(struct io *io, struct io_handle **out, int fd);
int64_t sim_submit(struct io *io, struct io_op *op);
bool sim_cancel(struct io_op *op);
void sim_interrupt(struct io_handle *handle);
int sim_shutdown(struct io_handle *handle, int how);
int sim_names(struct io_handle *handle, struct io_addr *local, struct io_addr *peer);
int sim_fd(struct io_handle *handle);
void sim_close(struct io_handle *handle, bool reset);

/* sim_fault.c */
bool sim_is_cut(const struct sim *sim, unsigned a, unsigned b);

#endif
