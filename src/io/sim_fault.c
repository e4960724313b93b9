/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong on command: partitions, crashes, resets, few descriptors. All take
 * effect through events and completions, as faults that the dice make do.
 */
#include "io/sim_internal.h"

#include <errno.h>

bool sim_is_cut(const struct sim *sim, unsigned a, unsigned b)
{
	return sim->nodes[a]->cut[b / 64] >> (b % 64) & 1;
}

static void set_cut(struct sim *sim, unsigned a, unsigned b, bool on)
{
	uint64_t bit = (uint64_t)1 << (b % 64);

	if (on)
		sim->nodes[a]->cut[b / 64] |= bit;
	else
		sim->nodes[a]->cut[b / 64] &= ~bit;
}

void io_sim_partition(struct io *io, unsigned a, unsigned b, bool on)
{
	struct sim *sim = sim_of(io);

	sim_log(sim, on ? SIM_PARTITION : SIM_HEAL, a < sim->node_count ? a : 0, a, b);
	for (unsigned i = 0; i < sim->node_count; i++) {
		for (unsigned j = 0; j < sim->node_count; j++) {
			if (i == j || (a != i && a != WEFT_SIM_ALL) ||
				(b != j && b != WEFT_SIM_ALL))
				continue;
			set_cut(sim, i, j, on);
			set_cut(sim, j, i, on);
		}
	}
	if (on)
		return;
	list_for_each(it, &sim->conns)
		sim_conn_release(container_of(it, struct sim_conn, link));
}

void io_sim_crash(struct io *io, unsigned node)
{
	struct sim *sim = sim_of(io);

	if (node >= sim->node_count)
		return;
	sim_log(sim, SIM_CRASH, node, 0, 0);
	list_for_each(it, &sim->nodes[node]->handles) {
		struct sim_handle *h = container_of(it, struct sim_handle, link);

		sim_handle_uncount(h);
		list_remove(&h->listener_link);
		if (h->is_listener)
			sim_listener_close(h, true);
		else if (h->end)
			sim_end_vanish(h->end);
		h->interrupted = true;
		sim_handle_progress(h);
	}
	if (sim->options.node_crashed)
		sim->options.node_crashed(sim->options.user, node);
}

void io_sim_reset_all(struct io *io, unsigned node)
{
	struct sim *sim = sim_of(io);

	if (node >= sim->node_count)
		return;
	sim_log(sim, SIM_RESET_ALL, node, 0, 0);
	list_for_each(it, &sim->conns) {
		struct sim_conn *conn = container_of(it, struct sim_conn, link);

		if (conn->ends[0].node == node || conn->ends[1].node == node)
			sim_conn_reset_soon(conn);
	}
}

void io_sim_descriptor_limit(struct io *io, unsigned node, size_t limit)
{
	struct sim *sim = sim_of(io);

	if (node >= sim->node_count)
		return;
	sim_log(sim, SIM_LIMIT, node, 0, (int64_t)limit);
	sim->nodes[node]->descriptors_max = limit;
}
