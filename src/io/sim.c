/* SPDX-License-Identifier: MIT */
/*
 * The simulator's instance: virtual clock, event queue, random streams, hash and trace.
 *
 * What always holds: time never goes back and moves only in wait() and by a clock jump;
 * events fire in the order (time, sequence); everything that happens is folded into the
 * hash in the order it happens. So the run is a function of the seed and of what the
 * program does.
 */
#include "io/sim_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_texts[] = {
#define SIM_KIND_TEXT(name, text) [SIM_##name] = (text),
	SIM_KIND_LIST(SIM_KIND_TEXT)
#undef SIM_KIND_TEXT
};

void sim_event_init(struct sim_event *event, void (*fire)(struct sim *, struct sim_event *))
{
	heap_node_init(&event->node);
	event->fire = fire;
}

bool sim_events_reserve(struct sim *sim, size_t count)
{
	if (!heap_reserve(&sim->events, sim->events_made + count))
		return false;
	sim->events_made += count;
	return true;
}

void sim_events_release(struct sim *sim, size_t count)
{
	sim->events_made -= count;
}

void sim_event_arm(struct sim *sim, struct sim_event *event, int64_t at)
{
	bool pushed;

	sim_event_disarm(sim, event);
	event->node.key = at;
	event->node.seq = sim->event_seq++;
	pushed = heap_push(&sim->events, &event->node);
	CHECK(pushed); /* there is room for every event that was made */
}

void sim_event_disarm(struct sim *sim, struct sim_event *event)
{
	if (heap_contains(&event->node))
		heap_remove(&sim->events, &event->node);
}

uint64_t sim_random_below(struct sim *sim, enum sim_stream stream, uint64_t bound)
{
	return random_below(&sim->random[stream], bound);
}

bool sim_network_dice(struct sim *sim, unsigned permille)
{
	return permille > 0 && sim_random_below(sim, SIM_RANDOM_NETWORK, 1000) < permille;
}

int64_t sim_latency(struct sim *sim)
{
	uint64_t span = (uint64_t)(sim->net.latency_max_ns - sim->net.latency_min_ns) + 1;

	return sim->net.latency_min_ns + (int64_t)sim_random_below(sim, SIM_RANDOM_NETWORK, span);
}

static void fold(struct sim *sim, uint64_t value)
{
	uint64_t h = sim->hash ^ value;

	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u; /* the mixer of splitmix64 */
	h = (h ^ h >> 27) * 0x94d049bb133111ebu;
	sim->hash = (h ^ h >> 31) + 0x9e3779b97f4a7c15u;
}

/* A count, what kind of segment arrived, or why something failed. */
static void value_text(char *text, size_t size, enum sim_kind kind, int64_t value)
{
	static const char *const segments[] = {
		[SIM_SEGMENT_OPEN] = "open",
		[SIM_SEGMENT_OPENED] = "opened",
		[SIM_SEGMENT_REFUSED] = "refused",
		[SIM_SEGMENT_FIN] = "end",
		[SIM_SEGMENT_RST] = "reset",
	};

	if (value >= 0)
		snprintf(text, size, "%" PRId64, value);
	else if (kind == SIM_ARRIVED)
		snprintf(text, size, "%s", segments[-value]);
	else
		snprintf(text, size, "%s", strerror((int)-value));
}

static void trace(const struct sim *sim, unsigned node, uint64_t id, const char *what)
{
	int64_t elapsed = sim->now - SIM_START_NS;

	fprintf(stderr, "sim %" PRId64 ".%09" PRId64 " %s #%" PRIu64 " %s\n", elapsed / 1000000000,
		elapsed % 1000000000, sim->nodes[node]->name, id, what);
}

void sim_log(struct sim *sim, enum sim_kind kind, unsigned node, uint64_t id, int64_t value)
{
	char text[64], line[128];

	fold(sim, (uint64_t)kind << 32 | node);
	fold(sim, (uint64_t)(sim->now - SIM_START_NS));
	fold(sim, id);
	fold(sim, (uint64_t)value);
	if (!sim->net.trace)
		return;
	value_text(text, sizeof(text), kind, value);
	snprintf(line, sizeof(line), "%s %s", kind_texts[kind], text);
	trace(sim, node, id, line);
}

void sim_trace_conn(const struct sim_conn *conn)
{
	const struct sim_end *client = &conn->ends[0];
	char from[SIM_TEXT_MAX], to[SIM_TEXT_MAX], line[2 * SIM_TEXT_MAX + 64];

	if (!conn->sim->net.trace)
		return;
	sim_name_text(&client->name, from, sizeof(from));
	sim_name_text(&conn->ends[1].name, to, sizeof(to));
	snprintf(line, sizeof(line), "is the connection of #%" PRIu64 ", %s -> %s",
		client->handle->id, from, to);
	trace(conn->sim, client->node, conn->id, line);
}

static int64_t sim_now(struct io *io)
{
	return sim_of(io)->now;
}

static void fire_first(struct sim *sim)
{
	struct sim_event *event = container_of(heap_peek(&sim->events), struct sim_event, node);

	sim_event_disarm(sim, event);
	event->fire(sim, event);
}

static int sim_wait(struct io *io, int64_t until)
{
	struct sim *sim = sim_of(io);

	sim->completions = 0;
	for (;;) {
		struct heap_node *first = heap_peek(&sim->events);

		if (first && first->key <= sim->now) {
			fire_first(sim);
			continue;
		}
		/* acquire; pairs with the release in sim_wake: what the waker wrote. */
		if (atomic_exchange_explicit(&sim->woken, false, memory_order_acquire))
			return sim->completions;
		if (sim->completions > 0 || until <= sim->now)
			return sim->completions;
		if (!first && until == IO_FOREVER)
			return -EDEADLK;
		sim->now = first && first->key < until ? first->key : until;
	}
}

static void sim_wake(struct io *io)
{
	/* release; pairs with the acquire in sim_wait: publishes what the caller wrote. */
	atomic_store_explicit(&sim_of(io)->woken, true, memory_order_release);
}

static bool sim_has_work(struct io *io)
{
	struct sim *sim = sim_of(io);

	/* relaxed: a hint; wait looks again. */
	return heap_peek(&sim->events) || atomic_load_explicit(&sim->woken, memory_order_relaxed);
}

static void sim_destroy(struct io *io)
{
	struct sim *sim = sim_of(io);

	list_for_each_safe(it, tmp, &sim->conns)
		sim_conn_free(container_of(it, struct sim_conn, link));
	for (unsigned i = 0; i < sim->node_count; i++) {
		list_for_each_safe(it, tmp, &sim->nodes[i]->handles)
			sim_handle_free(container_of(it, struct sim_handle, link));
		mem_free(sim->nodes[i]);
	}
	CHECK(!heap_peek(&sim->events));
	heap_fini(&sim->events);
	mem_free(sim);
}

const struct io_ops sim_ops = {
	.name = "sim",
	.now = sim_now,
	.wait = sim_wait,
	.wake = sim_wake,
	.has_work = sim_has_work,
	.destroy = sim_destroy,
	.socket = sim_socket,
	.listen = sim_listen,
	.adopt = sim_adopt,
	.resolve = sim_resolve,
	.submit = sim_submit,
	.cancel = sim_cancel,
	.interrupt = sim_interrupt,
	.shutdown = sim_shutdown,
	.names = sim_names,
	.fd = sim_fd,
	.close = sim_close,
};

static int options_check(weft_sim_options *net)
{
	if (net->latency_min_ns == 0 && net->latency_max_ns == 0) {
		net->latency_min_ns = 50 * 1000;
		net->latency_max_ns = 5 * 1000 * 1000;
	}
	if (net->window == 0)
		net->window = 64 * 1024;
	if (net->latency_min_ns < 0 || net->latency_max_ns < net->latency_min_ns ||
		net->latency_max_ns > SIM_LATENCY_MAX_NS || net->window > SIM_WINDOW_MAX)
		return -EINVAL;
	if (net->partial_permille > 1000 || net->reset_permille > 1000 ||
		net->refuse_permille > 1000 || net->accept_fail_permille > 1000 ||
		net->memory_fail_permille > 1000)
		return -EINVAL;
	return 0;
}

int io_sim_create(struct io **out, const struct io_sim_options *options)
{
	struct sim *sim;
	int rc;

	sim = mem_calloc(1, sizeof(*sim));
	if (!sim)
		return -ENOMEM;
	sim->base.ops = &sim_ops;
	sim->options = *options;
	sim->net = *options->public_options;
	sim->options.public_options = NULL;
	sim->now = SIM_START_NS;
	list_init(&sim->conns);
	heap_init(&sim->events);
	rc = options_check(&sim->net);
	if (rc)
		goto out;
	for (unsigned i = 0; i < SIM_STREAMS; i++)
		random_seed(&sim->random[i], sim->net.seed * SIM_STREAMS + i);
	fold(sim, sim->net.seed);
	rc = sim_node_create(sim, "node0");
	if (rc)
		goto out;
	*out = &sim->base;
	sim = NULL;
out:
	if (sim)
		sim_destroy(&sim->base);
	return rc;
}

uint64_t io_sim_random_schedule(struct io *io, uint64_t bound)
{
	return sim_random_below(sim_of(io), SIM_RANDOM_SCHEDULE, bound);
}

uint64_t io_sim_random_application(struct io *io)
{
	return random_next(&sim_of(io)->random[SIM_RANDOM_APPLICATION]);
}

void io_sim_step(struct io *io, unsigned node, uint64_t fiber)
{
	sim_log(sim_of(io), SIM_STEP, node, 0, (int64_t)fiber);
}

void io_sim_note(struct io *io, uint64_t value)
{
	struct sim *sim = sim_of(io);
	unsigned node = sim->options.node_self(sim->options.user);

	sim_log(sim, SIM_NOTE, node < sim->node_count ? node : 0, 0, (int64_t)value);
}

bool io_sim_memory_fails(struct io *io)
{
	struct sim *sim = sim_of(io);

	return sim->net.memory_fail_permille > 0 &&
		sim_random_below(sim, SIM_RANDOM_MEMORY, 1000) < sim->net.memory_fail_permille;
}

uint64_t io_sim_hash(struct io *io)
{
	return sim_of(io)->hash;
}

uint64_t io_sim_sockets(struct io *io)
{
	return sim_of(io)->sockets;
}

int64_t io_sim_elapsed(struct io *io)
{
	return sim_of(io)->now - SIM_START_NS;
}

int io_sim_node_add(struct io *io, unsigned *node, const char *name)
{
	struct sim *sim = sim_of(io);
	int rc = sim_node_create(sim, name);

	if (rc == 0)
		*node = sim->node_count - 1;
	return rc;
}

unsigned io_sim_node_count(struct io *io)
{
	return sim_of(io)->node_count;
}

void io_sim_clock_jump(struct io *io, int64_t forward_ns)
{
	struct sim *sim = sim_of(io);

	if (forward_ns <= 0)
		return;
	if (forward_ns > SIM_END_NS - sim->now)
		forward_ns = SIM_END_NS - sim->now;
	sim->now += forward_ns;
	sim_log(sim, SIM_JUMP, 0, 0, forward_ns);
}
