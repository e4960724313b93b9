/* SPDX-License-Identifier: MIT */
/* What C programs have beside cell.c and token.c: a value under a pthread_rwlock, an atomic
 * flag, pthread_once. */
#include "../cell_rows.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static uint64_t *current;
static _Atomic bool flag;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void store(uint64_t number)
{
	uint64_t *value = malloc(sizeof *value), *old;
	if (!value)
		bench_die("malloc");
	*value = number;
	pthread_rwlock_wrlock(&lock);
	old = current;
	current = value;
	pthread_rwlock_unlock(&lock);
	free(old);
}

static void loads(void *arg, unsigned nth, uint64_t n)
{
	uint64_t sum = 0;
	(void)arg, (void)nth;
	for (; n; n--) {
		pthread_rwlock_rdlock(&lock);
		sum += *current;
		pthread_rwlock_unlock(&lock);
		bench_look_at(sum);
	}
}

static void make(void)
{
	store(1);
}

static double once_pass(void *arg, uint64_t n)
{
	uint64_t sum = 0;
	(void)arg;
	int64_t begin = bench_now_ns();
	for (; n; n--) {
		pthread_once(&once, make);
		sum += *current;
		bench_look_at(sum);
	}
	return (double)(bench_now_ns() - begin);
}

static double flag_pass(void *arg, uint64_t n)
{
	uint64_t count = 0;
	(void)arg;
	int64_t begin = bench_now_ns();
	for (; n; n--) {
		/* acquire; as who asks a token sees what the canceller did */
		count += atomic_load_explicit(&flag, memory_order_acquire);
		bench_look_at(count);
	}
	return (double)(bench_now_ns() - begin);
}

int main(int argc, char **argv)
{
	struct cell_row row;
	const char *name = argc == 2 ? argv[1] : "";
	if (!strcmp(name, "token-check") || !strcmp(name, "once-get")) {
		bench_pass *pass = *name == 't' ? flag_pass : once_pass;
		bench_report(name, bench_calibrated(pass, NULL, CELL_LOADS_MAX), "ns");
		return 0;
	}
	if (!cell_row_parse(&row, name) || row.full || row.cached)
		return cell_usage("thread_cell");
	store(1);
	bench_usable();
	row.loads = loads;
	row.store = store;
	cell_measure(&row, cell_threads_pass);
	return 0;
}
