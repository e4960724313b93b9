/* SPDX-License-Identifier: MIT */
/*
 * A connection: two ends, and from each a pipe of segments to the other. Segments of a
 * pipe arrive in order, each after a latency of its own. A partition holds a pipe's
 * segments back, as retransmission would; nothing is ever lost but by a reset or a
 * crash.
 *
 * The life of an end; any state may go to RESET, and close leaves every state:
 *
 *   client  OPENING --opened--> OPEN      server  (in the backlog from the start) OPEN
 *           OPENING --refused-> FAILED
 *   OPEN    fin_sent and fin_received are independent: half-closes
 *   RESET   what had arrived can still be read, as on Linux
 *
 * A closed end answers data with a reset; a crashed one answers everything so.
 */
#include "io/sim_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>

static struct sim_end *other_end(struct sim_end *end)
{
	return &end->conn->ends[end == &end->conn->ends[0]];
}

static void segments_free(struct list *segments)
{
	struct list *link;

	while ((link = list_pop_front(segments)) != NULL) {
		struct sim_segment *segment = container_of(link, struct sim_segment, link);

		if (segment->kind == SIM_SEGMENT_DATA)
			mem_free(container_of(segment, struct sim_data, segment));
	}
}

/* Whatever is on its way from this end is lost. */
static void pipe_purge(struct sim_end *end)
{
	segments_free(&end->pipe);
	sim_event_disarm(end->conn->sim, &end->pump);
	end->outstanding = 0;
}

/* One that is due earlier than those before it arrives with them. */
static void pipe_push_at(struct sim_end *end, struct sim_segment *segment, int64_t due)
{
	bool first = list_is_empty(&end->pipe);

	CHECK(list_is_empty(&segment->link));
	segment->due = due;
	list_push_back(&end->pipe, &segment->link);
	if (first && !end->pump_held)
		sim_event_arm(end->conn->sim, &end->pump, due);
}

static void pipe_push(struct sim_end *end, struct sim_segment *segment)
{
	struct sim *sim = end->conn->sim;

	pipe_push_at(end, segment, sim->now + sim_latency(sim));
}

static void end_progress(struct sim_end *end)
{
	if (end->handle)
		sim_handle_progress(end->handle);
}

static void end_send_reset(struct sim_end *end)
{
	if (list_is_empty(&end->rst.link))
		pipe_push(end, &end->rst);
}

/* The end learns that its connection is dead. */
static void end_reset(struct sim_end *end)
{
	if (!end->attached || end->reset)
		return;
	sim_log(end->conn->sim, SIM_RESET, end->node, end->conn->id, 0);
	end->reset = true;
	pipe_purge(end);
	end_progress(end);
}

static void conn_refuse(struct sim_end *server, int error)
{
	server->open.kind = SIM_SEGMENT_REFUSED;
	server->open.error = error;
	pipe_push(server, &server->open);
}

static void conn_admit(struct sim_handle *listener, struct sim_end *server)
{
	struct sim *sim = listener->sim;

	list_remove(&server->backlog_link);
	list_push_back(&listener->backlog, &server->backlog_link);
	listener->backlog_len++;
	server->attached = true;
	server->opened = true;
	server->open.kind = SIM_SEGMENT_OPENED;
	pipe_push(server, &server->open);
	if (sim_network_dice(sim, sim->net.reset_permille)) {
		uint64_t span = (uint64_t)sim->net.latency_max_ns * 40 + 1;

		sim_event_arm(sim, &server->conn->reset,
			sim->now + (int64_t)sim_random_below(sim, SIM_RANDOM_NETWORK, span));
	}
	sim_handle_progress(listener);
}

/* Nobody has room: a tcp client tries again, as often as the limit says; a unix client
 * waits its turn. */
static void conn_open_later(struct sim_handle *listener, struct sim_end *client)
{
	struct sim_end *server = other_end(client);

	if (client->name.family == AF_UNIX)
		list_push_back(&listener->waiting, &server->backlog_link);
	else if (client->open_tries == SIM_OPEN_TRIES_MAX)
		conn_refuse(server, ETIMEDOUT);
	else
		pipe_push_at(client, &client->open,
			client->conn->sim->now +
				((int64_t)SIM_OPEN_RETRY_NS << client->open_tries++));
}

static void deliver_open(struct sim_end *server)
{
	struct sim *sim = server->conn->sim;
	struct sim_handle *listener = sim_name_listener(sim, server->node, &server->name);

	if (!listener)
		conn_refuse(server, server->name.family == AF_UNIX ? ENOENT : ECONNREFUSED);
	else if (sim_network_dice(sim, sim->net.refuse_permille))
		conn_refuse(server, ECONNREFUSED);
	else if (listener->backlog_len == listener->backlog_max)
		conn_open_later(listener, other_end(server));
	else
		conn_admit(listener, server);
}

static void deliver_data(struct sim_end *to, struct sim_data *data)
{
	if (!to->attached || to->reset) {
		if (!to->reset)
			end_send_reset(to);
		mem_free(data);
		return;
	}
	list_push_back(&to->received, &data->segment.link);
	to->unread += data->len;
	end_progress(to);
}

static void deliver(struct sim_end *to, struct sim_segment *segment)
{
	enum sim_segment_kind kind = segment->kind;

	sim_log(to->conn->sim, SIM_ARRIVED, to->node, to->conn->id,
		kind == SIM_SEGMENT_DATA
			? (int64_t)container_of(segment, struct sim_data, segment)->len
			: -(int64_t)kind);
	if (kind == SIM_SEGMENT_DATA) {
		deliver_data(to, container_of(segment, struct sim_data, segment));
	} else if (kind == SIM_SEGMENT_OPEN) {
		deliver_open(to);
	} else if (!to->attached) {
		if (to->crashed && kind != SIM_SEGMENT_RST)
			end_send_reset(to);
	} else if (kind == SIM_SEGMENT_RST) {
		end_reset(to);
	} else {
		if (kind == SIM_SEGMENT_FIN)
			to->fin_received = true;
		else if (kind == SIM_SEGMENT_OPENED)
			to->opened = true;
		else
			to->error = segment->error;
		end_progress(to);
	}
}

static void pump_fire(struct sim *sim, struct sim_event *event)
{
	struct sim_end *end = container_of(event, struct sim_end, pump);
	struct sim_end *to = other_end(end);

	if (sim_is_cut(sim, end->node, to->node)) {
		sim_log(sim, SIM_HELD, end->node, end->conn->id, 0);
		end->pump_held = true;
		return;
	}
	while (!list_is_empty(&end->pipe)) {
		struct sim_segment *segment =
			container_of(end->pipe.next, struct sim_segment, link);

		if (segment->due > sim->now) {
			sim_event_arm(sim, &end->pump, segment->due);
			break;
		}
		list_remove(&segment->link);
		deliver(to, segment);
	}
}

static void credit_send(struct sim_end *end)
{
	struct sim *sim = end->conn->sim;

	if (end->credit_flying || !end->credit_next || end->credit_held)
		return;
	end->credit_flying = end->credit_next;
	end->credit_next = 0;
	sim_event_arm(sim, &end->credit, sim->now + sim_latency(sim));
}

static void credit_fire(struct sim *sim, struct sim_event *event)
{
	struct sim_end *end = container_of(event, struct sim_end, credit);
	struct sim_end *to = other_end(end);
	size_t got = end->credit_flying;

	if (sim_is_cut(sim, end->node, to->node)) {
		end->credit_held = true;
		return;
	}
	sim_log(sim, SIM_CREDIT, to->node, to->conn->id, (int64_t)got);
	end->credit_flying = 0;
	to->outstanding -= got < to->outstanding ? got : to->outstanding;
	credit_send(end);
	end_progress(to);
}

static void reset_fire(struct sim *sim, struct sim_event *event)
{
	struct sim_conn *conn = container_of(event, struct sim_conn, reset);

	(void)sim;
	if (!conn->ends[1].attached)
		list_remove(&conn->ends[1].backlog_link);
	for (int i = 0; i < 2; i++)
		pipe_purge(&conn->ends[i]);
	for (int i = 0; i < 2; i++)
		end_reset(&conn->ends[i]);
}

void sim_conn_reset_soon(struct sim_conn *conn)
{
	sim_event_arm(conn->sim, &conn->reset, conn->sim->now);
}

void sim_conn_release(struct sim_conn *conn)
{
	struct sim *sim = conn->sim;

	if (sim_is_cut(sim, conn->ends[0].node, conn->ends[1].node))
		return;
	for (int i = 0; i < 2; i++) {
		struct sim_end *end = &conn->ends[i];

		if (end->pump_held) {
			end->pump_held = false;
			if (!list_is_empty(&end->pipe))
				sim_event_arm(sim, &end->pump, sim->now + sim_latency(sim));
		}
		if (end->credit_held) {
			end->credit_held = false;
			if (end->credit_flying)
				sim_event_arm(sim, &end->credit, sim->now + sim_latency(sim));
		}
	}
}

static void end_init(struct sim_conn *conn, struct sim_end *end)
{
	end->conn = conn;
	list_init(&end->backlog_link);
	list_init(&end->pipe);
	list_init(&end->received);
	list_init(&end->open.link);
	list_init(&end->fin.link);
	list_init(&end->rst.link);
	end->open.kind = SIM_SEGMENT_OPEN;
	end->fin.kind = SIM_SEGMENT_FIN;
	end->rst.kind = SIM_SEGMENT_RST;
	sim_event_init(&end->pump, pump_fire);
	sim_event_init(&end->credit, credit_fire);
}

static struct sim_conn *conn_create(struct sim *sim)
{
	struct sim_conn *conn;

	if (!sim_events_reserve(sim, SIM_CONN_EVENTS))
		return NULL;
	conn = mem_calloc(1, sizeof(*conn));
	if (!conn) {
		sim_events_release(sim, SIM_CONN_EVENTS);
		return NULL;
	}
	conn->sim = sim;
	conn->id = ++sim->next_id;
	sim_event_init(&conn->reset, reset_fire);
	end_init(conn, &conn->ends[0]);
	end_init(conn, &conn->ends[1]);
	list_push_back(&sim->conns, &conn->link);
	return conn;
}

int sim_conn_open(struct sim_handle *handle, const struct io_addr *addr)
{
	struct sim *sim = handle->sim;
	struct sim_conn *conn;
	struct sim_name local, remote;
	unsigned remote_node;
	int rc;

	rc = sim_name_parse(&remote, addr);
	if (rc)
		return rc;
	if (remote.family != handle->family)
		return -EAFNOSUPPORT;
	rc = sim_name_route(sim, handle->node, &local, &remote, &remote_node);
	if (rc)
		return rc;
	conn = conn_create(sim);
	if (!conn)
		return -ENOMEM;
	conn->ends[0].node = handle->node;
	conn->ends[0].name = local;
	conn->ends[0].handle = handle;
	conn->ends[0].attached = true;
	conn->ends[1].node = remote_node;
	conn->ends[1].name = remote;
	handle->end = &conn->ends[0];
	sim_trace_conn(conn);
	pipe_push(&conn->ends[0], &conn->ends[0].open);
	return 0;
}

void sim_conn_free(struct sim_conn *conn)
{
	for (int i = 0; i < 2; i++) {
		struct sim_end *end = &conn->ends[i];

		pipe_purge(end);
		segments_free(&end->received);
		sim_event_disarm(conn->sim, &end->credit);
		list_remove(&end->backlog_link);
	}
	sim_event_disarm(conn->sim, &conn->reset);
	sim_events_release(conn->sim, SIM_CONN_EVENTS);
	list_remove(&conn->link);
	mem_free(conn);
}

static void end_detach(struct sim_end *end)
{
	if (end->handle)
		end->handle->end = NULL;
	end->handle = NULL;
	end->attached = false;
	list_remove(&end->backlog_link);
	segments_free(&end->received);
	end->unread = 0;
	if (!other_end(end)->attached)
		sim_conn_free(end->conn);
}

/* A server's end of which the client has not heard. */
static bool is_opening(const struct sim_end *end)
{
	return end->opened && !list_is_empty(&end->open.link);
}

/* Linux resets instead of closing in order when what came was not read; what was
 * written before may still arrive then, or not. */
void sim_end_close(struct sim_end *end, bool reset)
{
	struct sim *sim = end->conn->sim;
	bool rude = reset || end->unread > 0 || !end->opened;
	bool opening = is_opening(end);

	if (reset || (rude && sim_random_below(sim, SIM_RANDOM_NETWORK, 2)))
		pipe_purge(end);
	if (opening && list_is_empty(&end->open.link)) /* the client hears of that first */
		pipe_push_at(end, &end->open, end->open.due);
	if (end->reset || end->error)
		pipe_purge(end);
	else if (rude)
		end_send_reset(end);
	else
		sim_end_fin(end);
	end_detach(end);
}

/* A client that still connects would ask again, and be refused. */
void sim_end_vanish(struct sim_end *end)
{
	bool opening = is_opening(end);

	end->crashed = true;
	pipe_purge(end);
	if (opening)
		end_send_reset(end);
	end_detach(end);
}

void sim_end_fin(struct sim_end *end)
{
	if (end->fin_sent || end->reset)
		return;
	end->fin_sent = true;
	pipe_push(end, &end->fin);
}

int64_t sim_end_connected(const struct sim_end *end)
{
	if (end->error)
		return -end->error;
	if (end->opened)
		return 0;
	return end->reset ? -ECONNREFUSED : IO_PENDING;
}

bool sim_end_is_readable(const struct sim_end *end)
{
	return end->unread || end->fin_received || end->reset || end->read_shut;
}

static size_t iov_total(const struct iovec *iov, unsigned iov_count)
{
	size_t total = 0;

	for (unsigned i = 0; i < iov_count; i++)
		total += iov[i].iov_len;
	return total;
}

/* How much of n bytes a call moves: all, or with a fault at least one. */
static size_t cut_short(struct sim *sim, size_t n)
{
	if (n < 2 || !sim_network_dice(sim, sim->net.partial_permille))
		return n;
	return 1 + (size_t)sim_random_below(sim, SIM_RANDOM_NETWORK, n - 1);
}

static void take(struct sim_end *end, unsigned char *to, size_t n)
{
	while (n > 0) {
		struct sim_data *data =
			container_of(end->received.next, struct sim_data, segment.link);
		size_t part = data->len - data->used;

		if (part > n)
			part = n;
		memcpy(to, data->bytes + data->used, part);
		data->used += part;
		to += part;
		n -= part;
		if (data->used == data->len) {
			list_remove(&data->segment.link);
			mem_free(data);
		}
	}
}

int64_t sim_end_read(struct sim_end *end, const struct iovec *iov, unsigned iov_count)
{
	size_t n = iov_total(iov, iov_count);
	size_t left;

	if (n == 0)
		return 0;
	if (end->unread == 0) {
		if (end->fin_received || (end->read_shut && !end->reset))
			return 0;
		return end->reset ? -ECONNRESET : IO_PENDING;
	}
	if (n > end->unread)
		n = end->unread;
	n = cut_short(end->conn->sim, n);
	left = n;
	for (unsigned i = 0; left > 0; i++) {
		size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

		take(end, iov[i].iov_base, part);
		left -= part;
	}
	end->unread -= n;
	end->credit_next += n;
	credit_send(end);
	return (int64_t)n;
}

/* As Linux has it: the first write after the reset tells, later ones are only refused. */
static int64_t write_after_reset(struct sim_end *end)
{
	if (end->fin_received || end->reset_told)
		return -EPIPE;
	end->reset_told = true;
	return -ECONNRESET;
}

int64_t sim_end_write(struct sim_end *end, const struct iovec *iov, unsigned iov_count)
{
	struct sim *sim = end->conn->sim;
	size_t n = iov_total(iov, iov_count);
	size_t room = sim->net.window - end->outstanding;
	struct sim_data *data;

	if (end->fin_sent)
		return -EPIPE;
	if (end->reset)
		return write_after_reset(end);
	if (n == 0)
		return 0;
	if (room == 0)
		return IO_PENDING;
	n = cut_short(sim, n < room ? n : room);
	data = mem_alloc(sizeof(*data) + n);
	if (!data)
		return -ENOMEM;
	memset(data, 0, sizeof(*data));
	list_init(&data->segment.link);
	data->segment.kind = SIM_SEGMENT_DATA;
	for (unsigned i = 0; data->len < n; i++) {
		size_t part = n - data->len;

		if (part > iov[i].iov_len)
			part = iov[i].iov_len;
		if (part)
			memcpy(data->bytes + data->len, iov[i].iov_base, part);
		data->len += part;
	}
	end->outstanding += n;
	pipe_push(end, &data->segment);
	return (int64_t)n;
}

void sim_listener_admit(struct sim_handle *listener)
{
	if (!list_is_empty(&listener->waiting) && listener->backlog_len < listener->backlog_max)
		conn_admit(listener,
			container_of(listener->waiting.next, struct sim_end, backlog_link));
}

void sim_listener_close(struct sim_handle *listener, bool vanish)
{
	struct list *link;

	while ((link = list_pop_front(&listener->waiting)) != NULL)
		conn_refuse(container_of(link, struct sim_end, backlog_link), ECONNREFUSED);
	while ((link = list_pop_front(&listener->backlog)) != NULL) {
		struct sim_end *end = container_of(link, struct sim_end, backlog_link);

		if (vanish)
			sim_end_vanish(end);
		else
			sim_end_close(end, true);
	}
	listener->backlog_len = 0;
}
