/* SPDX-License-Identifier: MIT */
/* A pointer under liburcu beside cell.c: with its default flavour (memb), or built with
 * -DWITH_QSBR, whose readers pay nothing for a load but must say now and then that they hold
 * none: here after every 64. */
#include "../cell_rows.h"

#ifdef WITH_QSBR
#include <urcu-qsbr.h>
#else
#include <urcu.h>
#endif

enum { QUIET_EVERY = 64 };

static uint64_t *current;

static void store(uint64_t number)
{
	uint64_t *value = malloc(sizeof *value);
	if (!value)
		bench_die("malloc");
	*value = number;
	value = rcu_xchg_pointer(&current, value);
	synchronize_rcu();
	free(value);
}

static void loads(void *arg, unsigned nth, uint64_t n)
{
	uint64_t sum = 0;
	(void)arg, (void)nth;
	rcu_register_thread();
	for (; n; n--) {
		rcu_read_lock();
		sum += *rcu_dereference(current);
		rcu_read_unlock();
		bench_look_at(sum);
#ifdef WITH_QSBR
		if (n % QUIET_EVERY == 0)
			rcu_quiescent_state();
#endif
	}
	rcu_unregister_thread();
}

int main(int argc, char **argv)
{
	struct cell_row row;
	if (argc != 2 || !cell_row_parse(&row, argv[1]) || row.full || row.cached)
		return cell_usage("urcu_cell");
	store(1);
	bench_usable();
	row.loads = loads;
	row.store = store;
	cell_measure(&row, cell_threads_pass);
	return 0;
}
