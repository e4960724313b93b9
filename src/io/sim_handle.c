/* SPDX-License-Identifier: MIT */
/*
 * The simulator's handles: what programs do with sockets. An operation is tried when it
 * is submitted, and again whenever its end or its backlog has changed, as long as the
 * answer is IO_PENDING. A node's descriptors are counted exactly, against its limit.
 */
#include "io/sim_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>

static struct sim_handle *handle_of(struct io_handle *handle)
{
	return container_of(handle, struct sim_handle, base);
}

static enum sim_direction direction_of(enum io_kind kind)
{
	return kind == IO_WRITE || kind == IO_CONNECT ? SIM_OUT : SIM_IN;
}

static void kick_fire(struct sim *sim, struct sim_event *event)
{
	(void)sim;
	sim_handle_progress(container_of(event, struct sim_handle, kick));
}

int sim_handle_create(struct sim *sim, struct sim_handle **out, unsigned node, sa_family_t family)
{
	struct sim_node *n = sim->nodes[node];
	struct sim_handle *h;

	if (n->descriptors >= n->descriptors_max)
		return -EMFILE;
	if (!sim_events_reserve(sim, 1))
		return -ENOMEM;
	h = mem_calloc(1, sizeof(*h));
	if (!h) {
		sim_events_release(sim, 1);
		return -ENOMEM;
	}
	h->base.ops = &sim_ops;
	h->sim = sim;
	h->id = ++sim->next_id;
	h->node = node;
	h->family = family;
	h->counted = true;
	sim_event_init(&h->kick, kick_fire);
	list_init(&h->listener_link);
	list_init(&h->backlog);
	list_init(&h->waiting);
	list_push_back(&n->handles, &h->link);
	n->descriptors++;
	sim->sockets++;
	*out = h;
	return 0;
}

void sim_handle_uncount(struct sim_handle *h)
{
	if (h->counted)
		h->sim->nodes[h->node]->descriptors--;
	h->counted = false;
}

void sim_handle_free(struct sim_handle *h)
{
	sim_handle_uncount(h);
	sim_event_disarm(h->sim, &h->kick);
	sim_events_release(h->sim, 1);
	list_remove(&h->listener_link);
	list_remove(&h->link);
	h->sim->sockets--;
	mem_free(h);
}

int sim_socket(struct io *io, struct io_handle **out, int family)
{
	struct sim *sim = sim_of(io);
	unsigned node = sim->options.node_self(sim->options.user);
	struct sim_handle *h;
	int rc;

	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return -EAFNOSUPPORT;
	rc = sim_handle_create(sim, &h, node, (sa_family_t)family);
	sim_log(sim, SIM_SOCKET, node, rc ? 0 : h->id, rc);
	if (rc)
		return rc;
	*out = &h->base;
	return 0;
}

static unsigned backlog_limit(int backlog)
{
	if (backlog < 0)
		return 1;
	if (backlog >= SIM_BACKLOG_MAX)
		return SIM_BACKLOG_MAX;
	return (unsigned)backlog + 1; /* as Linux counts */
}

int sim_listen(struct io *io, struct io_handle **out, const struct io_addr *addr,
	const struct io_listen_options *options)
{
	struct sim *sim = sim_of(io);
	unsigned node = sim->options.node_self(sim->options.user);
	struct sim_handle *h = NULL;
	struct sim_name name;
	int rc;

	rc = sim_name_parse(&name, addr);
	if (rc == -ENETUNREACH)
		rc = -EADDRNOTAVAIL;
	if (rc)
		goto out;
	name.v6only = options->v6only;
	rc = sim_name_bind(sim, node, &name, options->reuse_port);
	if (rc)
		goto out;
	rc = sim_handle_create(sim, &h, node, name.family);
	if (rc)
		goto out;
	h->is_listener = true;
	h->name = name;
	h->reuse_port = options->reuse_port;
	h->backlog_max = backlog_limit(options->backlog);
	list_push_back(&sim->nodes[node]->listeners, &h->listener_link);
	*out = &h->base;
out:
	sim_log(sim, SIM_LISTEN, node, h ? h->id : 0, rc ? rc : name.port);
	return rc;
}

int sim_adopt(struct io *io, struct io_handle **out, int fd)
{
	(void)io;
	(void)out;
	(void)fd;
	return -ENOSYS;
}

static int64_t try_accept(struct sim_handle *h, struct io_op *op)
{
	struct sim *sim = h->sim;
	struct sim_handle *accepted;
	struct sim_end *end;
	int rc;

	if (!h->is_listener || h->read_shut)
		return -EINVAL;
	if (list_is_empty(&h->backlog))
		return IO_PENDING;
	if (sim_network_dice(sim, sim->net.accept_fail_permille))
		return -EMFILE;
	rc = sim_handle_create(sim, &accepted, h->node, h->family);
	if (rc)
		return rc;
	end = container_of(h->backlog.next, struct sim_end, backlog_link);
	list_remove(&end->backlog_link);
	h->backlog_len--;
	end->handle = accepted;
	accepted->end = end;
	if (op->addr)
		sim_name_format(&end->conn->ends[0].name, op->addr);
	op->accepted = &accepted->base;
	sim_listener_admit(h);
	return 0;
}

static int64_t try_connect(struct sim_handle *h, struct io_op *op)
{
	int rc;

	if (h->is_listener)
		return -EINVAL;
	if (!h->end) {
		rc = sim_conn_open(h, op->addr);
		if (rc)
			return rc;
	}
	return sim_end_connected(h->end);
}

static int64_t try_poll(struct sim_handle *h)
{
	bool ready;

	if (h->is_listener)
		ready = h->read_shut || !list_is_empty(&h->backlog);
	else
		ready = !h->end || sim_end_is_readable(h->end);
	return ready ? 0 : IO_PENDING;
}

static int64_t try_op(struct sim_handle *h, struct io_op *op)
{
	if (h->interrupted)
		return -ECANCELED;
	switch (op->kind) {
	case IO_ACCEPT:
		return try_accept(h, op);
	case IO_CONNECT:
		return try_connect(h, op);
	case IO_POLL:
		return try_poll(h);
	case IO_READ:
	case IO_WRITE:
		break;
	}
	if (!h->end || !h->end->opened)
		return -ENOTCONN;
	if (op->kind == IO_READ)
		return sim_end_read(h->end, op->iov, op->iov_count);
	return sim_end_write(h->end, op->iov, op->iov_count);
}

static void log_result(const struct sim_handle *h, const struct io_op *op, int64_t result)
{
	static const enum sim_kind kinds[] = {
		[IO_READ] = SIM_READ,
		[IO_WRITE] = SIM_WRITE,
		[IO_ACCEPT] = SIM_ACCEPT,
		[IO_CONNECT] = SIM_CONNECT,
		[IO_POLL] = SIM_POLL,
	};

	sim_log(h->sim, kinds[op->kind], h->node, h->id, result);
}

static void complete(struct sim_handle *h, enum sim_direction direction, int64_t result)
{
	struct io_op *op = h->ops[direction];

	log_result(h, op, result);
	h->ops[direction] = NULL;
	h->sim->completions++;
	op->result = result;
	op->complete(op);
}

void sim_handle_progress(struct sim_handle *h)
{
	for (int d = 0; d < SIM_DIRECTIONS; d++) {
		int64_t result;

		if (!h->ops[d])
			continue;
		result = try_op(h, h->ops[d]);
		if (result != IO_PENDING)
			complete(h, (enum sim_direction)d, result);
	}
}

int64_t sim_submit(struct io *io, struct io_op *op)
{
	struct sim_handle *h = handle_of(op->handle);
	enum sim_direction direction = direction_of(op->kind);
	int64_t result;

	CHECK(h->sim == sim_of(io));
	CHECK(!h->ops[direction]);
	result = try_op(h, op);
	if (result == IO_PENDING)
		h->ops[direction] = op;
	else
		log_result(h, op, result);
	return result;
}

bool sim_cancel(struct io_op *op)
{
	struct sim_handle *h = handle_of(op->handle);
	enum sim_direction direction = direction_of(op->kind);

	if (h->ops[direction] != op)
		return false;
	h->ops[direction] = NULL;
	sim_log(h->sim, SIM_CANCEL, h->node, h->id, op->kind);
	return true;
}

void sim_interrupt(struct io_handle *handle)
{
	struct sim_handle *h = handle_of(handle);

	if (h->interrupted)
		return;
	sim_log(h->sim, SIM_INTERRUPT, h->node, h->id, 0);
	h->interrupted = true;
	sim_handle_progress(h);
}

int sim_shutdown(struct io_handle *handle, int how)
{
	struct sim_handle *h = handle_of(handle);
	struct sim *sim = h->sim;

	sim_log(sim, SIM_SHUTDOWN, h->node, h->id, how);
	if (h->is_listener) {
		if (how != SHUT_WR)
			h->read_shut = true;
	} else if (!h->end || !h->end->opened || h->end->reset) {
		return -ENOTCONN;
	} else {
		if (how != SHUT_WR)
			h->end->read_shut = true;
		if (how != SHUT_RD)
			sim_end_fin(h->end);
	}
	sim_event_arm(sim, &h->kick, sim->now);
	return 0;
}

int sim_names(struct io_handle *handle, struct io_addr *local, struct io_addr *peer)
{
	struct sim_handle *h = handle_of(handle);
	struct sim_name none = { .family = h->family };
	struct sim_conn *conn = h->end ? h->end->conn : NULL;
	bool server = conn && h->end == &conn->ends[1];

	if (local)
		sim_name_format(conn ? &h->end->name : h->is_listener ? &h->name : &none, local);
	if (!peer)
		return 0;
	if (!conn)
		return -ENOTCONN;
	sim_name_format(&conn->ends[!server].name, peer);
	return 0;
}

int sim_fd(struct io_handle *handle)
{
	(void)handle;
	return -1;
}

void sim_close(struct io_handle *handle, bool reset)
{
	struct sim_handle *h = handle_of(handle);

	CHECK(!h->ops[SIM_IN] && !h->ops[SIM_OUT]);
	sim_log(h->sim, reset ? SIM_ABORT : SIM_CLOSE, h->node, h->id, 0);
	if (h->is_listener)
		sim_listener_close(h, false);
	else if (h->end)
		sim_end_close(h->end, reset);
	sim_handle_free(h);
}
