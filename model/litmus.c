/* SPDX-License-Identifier: MIT */
/*
 * The checker's own tests: small programs whose outcomes are known. Those named "weak-..."
 * and "bad-..." must fail: the outcome that they call impossible is possible.
 */
#include "model.h"

#include <stdatomic.h>

static _Atomic unsigned x, y;
static unsigned data;
static unsigned r1, r2, r3, r4;

#define STORE(var, value, order) atomic_store_explicit(&(var), value, memory_order_##order)
#define LOAD(var, order) atomic_load_explicit(&(var), memory_order_##order)

/* store buffering */
static void sb_1(void)
{
	STORE(x, 1, seq_cst);
	r1 = LOAD(y, seq_cst);
}
static void sb_2(void)
{
	STORE(y, 1, seq_cst);
	r2 = LOAD(x, seq_cst);
}
static void sb_weak_1(void)
{
	STORE(x, 1, release);
	r1 = LOAD(y, acquire);
}
static void sb_half_1(void)
{
	STORE(x, 1, seq_cst);
	r1 = LOAD(y, acquire);
}
static void sb_rmw_1(void)
{
	atomic_exchange_explicit(&x, 1, memory_order_acq_rel);
	r1 = LOAD(y, acquire);
}
static void sb_rmw_2(void)
{
	atomic_exchange_explicit(&y, 1, memory_order_acq_rel);
	r2 = LOAD(x, acquire);
}
static void sb_weak_2(void)
{
	STORE(y, 1, release);
	r2 = LOAD(x, acquire);
}
static void sb_check(void)
{
	MODEL_CHECK(r1 || r2);
}
/* both may be 1, one may be 0 */
static void sb_seen(void)
{
	MODEL_CHECK(!(r1 == 1 && r2 == 1));
}

/* message passing */
static void mp_1(void)
{
	data = 7;
	STORE(x, 1, release);
}
static void mp_2(void)
{
	if (LOAD(x, acquire))
		MODEL_CHECK(data == 7);
}
static void mp_weak_1(void)
{
	data = 7;
	STORE(x, 1, relaxed);
}
static void mp_weak_2(void)
{
	if (LOAD(x, relaxed))
		MODEL_CHECK(data == 7);
}
static void mp_atomic_1(void)
{
	STORE(y, 1, relaxed);
	STORE(x, 1, release);
}
static void mp_atomic_2(void)
{
	if (LOAD(x, relaxed))
		MODEL_CHECK(LOAD(y, relaxed));
}
static void mp_spin(void)
{
	while (!LOAD(x, acquire))
		model_spin(NULL);
	MODEL_CHECK(data == 7);
}
static void mp_spin_weak(void)
{
	while (!LOAD(x, relaxed))
		model_spin(NULL);
	MODEL_CHECK(data == 7);
}
static void mp_spin_never(void)
{
	while (LOAD(x, acquire) != 2)
		model_spin(NULL);
}

/* independent reads of independent writes */
static void iriw_1(void)
{
	STORE(x, 1, seq_cst);
}
static void iriw_2(void)
{
	STORE(y, 1, seq_cst);
}
static void iriw_3(void)
{
	r1 = LOAD(x, seq_cst);
	r2 = LOAD(y, seq_cst);
}
static void iriw_4(void)
{
	r3 = LOAD(y, seq_cst);
	r4 = LOAD(x, seq_cst);
}
static void iriw_weak_3(void)
{
	r1 = LOAD(x, acquire);
	r2 = LOAD(y, acquire);
}
static void iriw_weak_4(void)
{
	r3 = LOAD(y, acquire);
	r4 = LOAD(x, acquire);
}
static void iriw_check(void)
{
	MODEL_CHECK(!(r1 && !r2 && r3 && !r4));
}

/* coherence: nobody reads backwards */
static void corr_1(void)
{
	STORE(x, 1, relaxed);
	STORE(x, 2, relaxed);
}
static void corr_2(void)
{
	r1 = LOAD(x, relaxed);
	r2 = LOAD(x, relaxed);
	MODEL_CHECK(r1 <= r2);
}

/* release sequence through a relaxed read-modify-write */
static void seq_2(void)
{
	atomic_fetch_add_explicit(&x, 1, memory_order_relaxed);
}
static void seq_3(void)
{
	if (LOAD(x, acquire) == 2)
		MODEL_CHECK(data == 7);
}
static void seq_2_store(void)
{
	if (LOAD(x, relaxed) == 1)
		STORE(x, 2, relaxed);
}

/* counting */
static void add(void)
{
	atomic_fetch_add_explicit(&x, 1, memory_order_relaxed);
}
static void add_lossy(void)
{
	STORE(x, LOAD(x, seq_cst) + 1, seq_cst);
}
static void add_cas(void)
{
	unsigned old = LOAD(x, relaxed);

	while (!atomic_compare_exchange_weak_explicit(
		&x, &old, old + 1, memory_order_relaxed, memory_order_relaxed))
		;
}
static void add_check_3(void)
{
	MODEL_CHECK(x == 3);
}
static void add_check_2(void)
{
	MODEL_CHECK(x == 2);
}

/* locks, parkers, memory */
static _Atomic unsigned lock, parker, parker_2;
static void locked(void)
{
	model_lock(&lock, NULL);
	data++;
	model_unlock(&lock, NULL);
}
static void locked_check(void)
{
	MODEL_CHECK(data == 3);
}
static void unlocked(void)
{
	data++;
}
static void cross_1(void)
{
	model_lock(&lock, NULL);
	model_lock(&parker, NULL);
	model_unlock(&parker, NULL);
	model_unlock(&lock, NULL);
}
static void cross_2(void)
{
	model_lock(&parker, NULL);
	model_lock(&lock, NULL);
	model_unlock(&lock, NULL);
	model_unlock(&parker, NULL);
}
static void sleeper(void)
{
	STORE(x, 1, seq_cst);
	if (!LOAD(y, seq_cst))
		(void)model_park(&parker_2, false, NULL);
}
static void waker(void)
{
	STORE(y, 1, seq_cst);
	if (LOAD(x, seq_cst))
		model_unpark(&parker_2, NULL);
}
static void waker_weak(void)
{
	STORE(y, 1, release);
	if (LOAD(x, acquire))
		model_unpark(&parker_2, NULL);
}
static void waker_never(void)
{
	if (LOAD(x, seq_cst))
		model_unpark(&parker_2, NULL);
}

static _Atomic(unsigned *) shared;
static void mem_setup(void)
{
	unsigned *p = model_alloc(4, 4);
	*p = 1;
	atomic_store_explicit(&shared, p, memory_order_relaxed);
	STORE(x, 2, relaxed);
}
static void mem_drop(void)
{
	unsigned *p = LOAD(shared, relaxed);
	if (atomic_fetch_sub_explicit(&x, 1, memory_order_acq_rel) == 1)
		model_free(p, NULL);
}
static void mem_use_drop(void)
{
	unsigned *p = LOAD(shared, relaxed);
	MODEL_CHECK(*p == 1);
	if (atomic_fetch_sub_explicit(&x, 1, memory_order_acq_rel) == 1)
		model_free(p, NULL);
}
static void mem_use_drop_weak(void)
{
	unsigned *p = LOAD(shared, relaxed);
	MODEL_CHECK(*p == 1);
	if (atomic_fetch_sub_explicit(&x, 1, memory_order_relaxed) == 1)
		model_free(p, NULL);
}
static void mem_keep(void)
{
	unsigned *p = LOAD(shared, relaxed);
	MODEL_CHECK(*p == 1);
}
/* a frame that is left */
static __attribute__((noinline)) void frame_use(void)
{
	unsigned room[64];

	room[7] = 0;
	atomic_store_explicit(&shared, &room[7], memory_order_release);
	if (LOAD(y, acquire))
		r2 = room[7];
}
static void frame_leave(void)
{
	frame_use();
	(void)LOAD(x, relaxed);
}
static void frame_write(void)
{
	unsigned *p = LOAD(shared, acquire);
	if (p)
		*p = 1;
	STORE(y, 1, release);
}

/* a full fence in all threads, for the price of a plain store here */
static void barrier_1(void)
{
	STORE(x, 1, relaxed);
	r1 = LOAD(y, relaxed);
}
static void barrier_2(void)
{
	STORE(y, 1, relaxed);
	model_barrier(NULL);
	r2 = LOAD(x, relaxed);
}
static void barrier_none(void)
{
	STORE(y, 1, relaxed);
	r2 = LOAD(x, relaxed);
}

const struct model models[] = {
	Q("sb", "seq_cst", NULL, { sb_1, sb_2 }, sb_check),
	Q("weak-sb", "release, acquire", NULL, { sb_weak_1, sb_weak_2 }, sb_check),
	Q("weak-sb-half", "seq_cst on one side", NULL, { sb_half_1, sb_2 }, sb_check),
	Q("weak-sb-rmw", "read-modify-writes, then acquires", NULL, { sb_rmw_1, sb_rmw_2 },
		sb_check),
	Q("bad-sb-seen", "both see 1", NULL, { sb_1, sb_2 }, sb_seen),
	Q("mp", "release, acquire", NULL, { mp_1, mp_2 }),
	Q("weak-mp-store", "relaxed store", NULL, { mp_weak_1, mp_2 }),
	Q("weak-mp-load", "relaxed load", NULL, { mp_1, mp_weak_2 }),
	Q("weak-mp-atomic", "relaxed load, atomic data", NULL, { mp_atomic_1, mp_atomic_2 }),
	Q("mp-spin", "a loop that waits", NULL, { mp_1, mp_spin }),
	Q("weak-mp-spin", "a loop that waits, relaxed", NULL, { mp_1, mp_spin_weak }),
	Q("bad-mp-spin", "a loop that waits for ever", NULL, { mp_1, mp_spin_never }),
	Q("iriw", "seq_cst", NULL, { iriw_1, iriw_2, iriw_3, iriw_4 }, iriw_check),
	Q("weak-iriw", "acquire loads", NULL, { iriw_1, iriw_2, iriw_weak_3, iriw_weak_4 },
		iriw_check),
	Q("corr", "relaxed", NULL, { corr_1, corr_2 }),
	Q("release-sequence", "by a read-modify-write", NULL, { mp_1, seq_2, seq_3 }),
	Q("weak-release-sequence", "a store ends it", NULL, { mp_1, seq_2_store, seq_3 }),
	Q("add", "fetch_add", NULL, { add, add, add }, add_check_3),
	Q("add-cas", "compare and swap", NULL, { add_cas, add_cas, add_cas }, add_check_3),
	Q("bad-add", "load, store", NULL, { add_lossy, add_lossy }, add_check_2),
	Q("lock", "three threads", NULL, { locked, locked, locked }, locked_check),
	Q("bad-lock", "one does not", NULL, { locked, unlocked }),
	Q("bad-lock-order", "two locks", NULL, { cross_1, cross_2 }),
	Q("sleep", "one wakes one", NULL, { sleeper, waker }),
	Q("weak-sleep", "one wakes one, acquire and release", NULL, { sleeper, waker_weak }),
	Q("bad-sleep", "no change before the wake", NULL, { sleeper, waker_never }),
	Q("refcount", "the last one frees", mem_setup, { mem_use_drop, mem_use_drop }),
	Q("weak-refcount", "the last one frees, relaxed", mem_setup,
		{ mem_use_drop_weak, mem_use_drop_weak }),
	Q("bad-use", "after the free", mem_setup, { mem_drop, mem_drop, mem_keep }),
	Q("bad-leak", "nobody frees", mem_setup, { mem_keep }),
	Q("bad-frame", "written after it was left", NULL, { frame_leave, frame_write }),
	Q("barrier", "membarrier on one side", NULL, { barrier_1, barrier_2 }, sb_check),
	Q("weak-barrier", "no barrier", NULL, { barrier_1, barrier_none }, sb_check),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
