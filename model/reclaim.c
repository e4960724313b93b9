/* SPDX-License-Identifier: MIT */
/*
 * The reclamation domain: reclaim.c, reclaim_bag.c, reclaim_shared.c, with batches of one. A
 * root points to a thing; readers follow it inside a guard; who replaces it retires the old.
 * Then the cell (cell.c) in its place.
 *
 * Held: nothing is freed while a guard may still reach it, and a free is ordered after the
 * reads of those who could (the checker's own look at freed memory and races); everything is
 * freed once; workers that all sleep leave nothing behind.
 */
#include "model.h"

#include "rt/fiber.h"
#include "rt/reclaim_internal.h"

#include <weft/cell.h>

#include <linux/membarrier.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/syscall.h>

#define CALLER __builtin_return_address(0)

struct thing {
	struct reclaim_node node;
	unsigned value;
};

static _Atomic(struct thing *) root;
static _Atomic unsigned step; /* nobody writes it: a place to stop at */
static struct reclaim_record *mine[MODEL_THREADS_MAX + 1]; /* workers' */
static void *key_values[MODEL_THREADS_MAX + 1];
static void (*key_end)(void *);
static bool no_barrier, barrier_may_fail;
static struct rt_worker worker;

_Thread_local struct rt_worker *rt_tls;

/* --- what the sources call ------------------------------------------------------------ */

long syscall(long number, ...)
{
	va_list args;
	int command;

	va_start(args, number);
	command = va_arg(args, int);
	va_end(args);
	MODEL_CHECK(number == SYS_membarrier);
	if (command != MEMBARRIER_CMD_PRIVATE_EXPEDITED)
		return no_barrier ? -1 : 0;
	if (barrier_may_fail && model_choose(2) == 1)
		return -1;
	model_barrier(CALLER);
	return 0;
}

/* Both are called in setup first. */
int pthread_once(pthread_once_t *once, void (*fn)(void))
{
	if (model_self() == 0 && *once == PTHREAD_ONCE_INIT) {
		*once = PTHREAD_ONCE_INIT + 1;
		fn();
	}
	return 0;
}

int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	(void)prepare;
	(void)parent;
	(void)child;
	return 0;
}

int pthread_key_create(pthread_key_t *key, void (*end)(void *))
{
	*key = 0;
	key_end = end;
	return 0;
}

int pthread_setspecific(pthread_key_t key, const void *value)
{
	(void)key;
	key_values[model_self()] = (void *)value;
	return 0;
}

void *rt_pages_alloc(size_t bytes)
{
	(void)bytes;
	return NULL;
}

weft_deadline weft_after_ns(int64_t duration_ns)
{
	return duration_ns;
}

/* --- what the threads do -------------------------------------------------------------- */

static struct thing *thing_new(unsigned value)
{
	struct thing *t = model_alloc(sizeof(*t), 16);

	t->value = value;
	return t;
}

static void thing_free(struct reclaim_node *node)
{
	model_free(node, CALLER);
}

static void look(void)
{
	struct thing *t;

	reclaim_enter();
	/* acquire; pairs with replace */
	t = atomic_load_explicit(&root, memory_order_acquire);
	/* relaxed: the barrier may come between the two; alone a plain read is no step */
	(void)atomic_load_explicit(&step, memory_order_relaxed);
	MODEL_CHECK(t->value <= 1);
	reclaim_leave();
}

static void replace(unsigned value)
{
	/* acq_rel; pairs with look */
	struct thing *old = atomic_exchange_explicit(&root, thing_new(value), memory_order_acq_rel);

	reclaim_retire(&old->node, thing_free);
	reclaim_help();
}

static void thread_end(void)
{
	void *value = key_values[model_self()];

	key_values[model_self()] = NULL;
	if (value)
		key_end(value);
}

static void worker_begin(void)
{
	rt_tls = &worker;
	reclaim_worker_begin(mine[model_self()]);
}

static void worker_reads(void)
{
	worker_begin();
	look();
	reclaim_tick();
	look();
	reclaim_worker_end();
}

/* Comes from its wait once. */
static void worker_naps(void)
{
	int64_t until = INT64_MAX;

	worker_begin();
	while (!reclaim_offline(&until))
		reclaim_tick();
	reclaim_online();
	look();
	reclaim_worker_end();
}

static void worker_replaces(void)
{
	worker_begin();
	replace(1);
	reclaim_tick();
	reclaim_tick();
	reclaim_worker_end();
}

/* Sleeps to the end. */
static void worker_reads_and_sleeps(void)
{
	int64_t until = INT64_MAX;

	worker_begin();
	look();
	while (!reclaim_offline(&until))
		reclaim_tick();
	MODEL_CHECK(until == INT64_MAX);
}

static void worker_replaces_and_sleeps(void)
{
	int64_t until = INT64_MAX;

	worker_begin();
	replace(1);
	while (!reclaim_offline(&until))
		reclaim_tick();
	MODEL_CHECK(until == INT64_MAX);
}

static void thread_reads_twice(void)
{
	look();
	look();
	thread_end();
}

static void thread_replaces(void)
{
	replace(1);
	thread_end();
}

/* --- the cell --------------------------------------------------------------------------- */

struct counted {
	_Atomic unsigned refs;
	unsigned value;
};

static weft_cell *cell;

static void counted_ref(void *value)
{
	struct counted *c = value;

	/* relaxed: the caller knows it is there */
	MODEL_CHECK(atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed) > 0);
}

static void counted_unref(void *value)
{
	struct counted *c = value;

	/* acq_rel: who frees comes after all uses */
	if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		model_free(c, CALLER);
}

static struct counted *counted_new(unsigned value)
{
	struct counted *c = model_alloc(sizeof(*c), 16);

	atomic_store_explicit(&c->refs, 1, memory_order_relaxed);
	c->value = value;
	return c;
}

static unsigned cell_look(void)
{
	struct counted *c = weft_cell_load(cell);
	unsigned value = c->value;

	counted_unref(c);
	return value;
}

static void worker_loads(void)
{
	unsigned first;

	worker_begin();
	first = cell_look();
	reclaim_tick();
	MODEL_CHECK(cell_look() >= first);
	reclaim_worker_end();
}

static void worker_stores(void)
{
	worker_begin();
	MODEL_CHECK(weft_cell_store_own(cell, counted_new(1)) == WEFT_OK);
	reclaim_tick();
	reclaim_tick();
	reclaim_worker_end();
}

/* Its own for the value that it sees, once. */
static void worker_updates(void)
{
	struct counted *old, *next;

	worker_begin();
	old = weft_cell_load(cell);
	next = counted_new(old->value + 1);
	if (weft_cell_compare_and_swap(cell, old, next) == WEFT_OK)
		MODEL_CHECK(cell_look() > old->value);
	counted_unref(next);
	counted_unref(old);
	reclaim_tick();
	reclaim_worker_end();
}

static void worker_rereads(void)
{
	weft_cell_reader *reader;
	unsigned first;

	worker_begin();
	MODEL_CHECK(weft_cell_reader_create(&reader, cell) == WEFT_OK);
	first = ((struct counted *)weft_cell_reader_get(reader))->value;
	reclaim_tick();
	MODEL_CHECK(((struct counted *)weft_cell_reader_get(reader))->value >= first);
	weft_cell_reader_free(reader);
	reclaim_worker_end();
}

static void thread_enters(void)
{
	for (int i = 0; i < 2; i++) {
		struct counted *c = weft_cell_enter(cell);

		/* relaxed: as in look */
		(void)atomic_load_explicit(&step, memory_order_relaxed);
		MODEL_CHECK(c->value <= 1);
		weft_cell_leave(cell);
	}
	thread_end();
}

static void thread_loads(void)
{
	unsigned first = cell_look();

	MODEL_CHECK(cell_look() >= first);
	thread_end();
}

/* --- before and after ----------------------------------------------------------------- */

static void setup(void)
{
	model_per_thread(&reclaim_self, sizeof(reclaim_self));
	model_per_thread(&rt_tls, sizeof(rt_tls));
	/* once, for all threads */
	reclaim_enter();
	reclaim_leave();
	thread_end();
	atomic_store_explicit(&root, thing_new(0), memory_order_relaxed);
}

static void setup_workers(void)
{
	setup();
	mine[1] = reclaim_record_get();
	mine[2] = reclaim_record_get();
	MODEL_CHECK(mine[1] && mine[2]);
}

static void setup_3_workers(void)
{
	setup_workers();
	mine[3] = reclaim_record_get();
}

static void setup_worker(void)
{
	setup();
	mine[1] = reclaim_record_get();
}

static void setup_cell(void)
{
	weft_cell_ops ops = { counted_ref, counted_unref };

	setup_workers();
	MODEL_CHECK(weft_cell_create(&cell, NULL, &ops) == WEFT_OK);
	MODEL_CHECK(weft_cell_store_own(cell, counted_new(0)) == WEFT_OK);
}

static void setup_exchange(void)
{
	no_barrier = true;
	setup_worker();
}

static void setup_fails(void)
{
	barrier_may_fail = true;
	setup_worker();
}

static void setup_nameless(void)
{
	setup_worker();
	reclaim_limits_set(0, true);
}

static void finish(void)
{
	for (unsigned t = 1; t <= MODEL_THREADS_MAX; t++)
		reclaim_record_put(mine[t]);
	weft_cell_free(cell);
	if (reclaim_self.record)
		shared_take_stack(reclaim_self.record);
	reclaim_drain();
	thread_end();
	model_free(atomic_load_explicit(&root, memory_order_relaxed), CALLER);
}

/* Nobody helps: that nothing is left is found by the checker. */
static void finish_asleep(void)
{
	model_free(atomic_load_explicit(&root, memory_order_relaxed), CALLER);
}

const struct model models[] = {
	Q("reclaim-worker", "a worker reads in two turns, one replaces", setup_workers,
		{ worker_replaces, worker_reads }, finish),
	Q("reclaim-wait", "a worker comes from its wait, one replaces", setup_workers,
		{ worker_replaces, worker_naps }, finish),
	Q("reclaim-asleep", "a worker reads, one replaces, both sleep then", setup_workers,
		{ worker_replaces_and_sleeps, worker_reads_and_sleeps }, finish_asleep),
	Q("reclaim-thread", "a thread comes and reads twice, a worker replaces", setup_worker,
		{ worker_replaces, thread_reads_twice }, finish),
	Q("reclaim-exchange", "the same without membarrier", setup_exchange,
		{ worker_replaces, thread_reads_twice }, finish),
	Q("reclaim-fails", "the same where membarrier may fail", setup_fails,
		{ worker_replaces, thread_reads_twice }, finish),
	Q("reclaim-nameless", "the same without records", setup_nameless,
		{ worker_replaces, thread_reads_twice }, finish),
	M("reclaim-threads", "a thread reads twice, one replaces", setup,
		{ thread_replaces, thread_reads_twice }, finish),
	M("reclaim-2", "two workers read, one replaces", setup_3_workers,
		{ worker_replaces, worker_reads, worker_naps }, finish),
	Q("reclaim-cell-load", "a worker loads twice, one stores", setup_cell,
		{ worker_stores, worker_loads }, finish),
	Q("reclaim-cell-enter", "a thread looks inside twice, a worker stores", setup_cell,
		{ worker_stores, thread_enters }, finish),
	Q("reclaim-cell-thread", "a thread loads twice, a worker stores", setup_cell,
		{ worker_stores, thread_loads }, finish),
	Q("reclaim-cell-reader", "a reader's two looks, one stores", setup_cell,
		{ worker_stores, worker_rereads }, finish),
	M("reclaim-cell-update", "two compare and swap", setup_cell,
		{ worker_updates, worker_updates }, finish),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
