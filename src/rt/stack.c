/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * Stacks and the fiber structures that go with them.
 *
 * A slab is SLAB_FIBERS stacks in one mapping and as many struct rt_fiber. The structures
 * are type-stable: once made they stay for the life of the process, so that a late
 * weft_unpark always finds a parker. Their stacks come and go with the slab's mapping,
 * which is given back when no fiber of it is in use.
 *
 * A worker keeps a cache of free fibers with warm stacks; the depot, under a lock, has the
 * rest. The cache trades with it in batches, so that the lock is off the hot path.
 *
 * A stack keeps the pages that were used once. So that a burst of fibers does not cost what it did
 * for good, a worker that runs dry rests now and then (RT_REST_NS): what lay in its cache all that
 * time but for CACHE_WARM goes to the depot, and what lies there gives its pages back, so many
 * stacks at once that nobody waits long for the lock. What is used again pays with page faults, as
 * a new one does.
 */
#include "base/check.h"
#include "rt/fiber.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define SLAB_FIBERS 64
#define CACHE_MAX 256		  /* fibers a worker keeps */
#define CACHE_BATCH 32		  /* traded with the depot at once */
#define CACHE_WARM 16		  /* that it keeps though nobody uses them */
#define REST_STACKS_MAX 128	  /* that give their pages back at once */
#define EMPTY_SLABS_MAX 4	  /* kept mapped though nobody uses them, until a worker rests */
#define MPROTECT_STACKS_MAX 30000 /* each guard splits a mapping: vm.max_map_count */
#define CANARY UINT64_C(0x9e6c63d0676a9a99)

struct rt_slab {
	struct list link;    /* in depot.partial, depot.full or depot.unmapped */
	char *memory;	     /* NULL: unmapped */
	size_t stack_size;   /* valid while mapped */
	unsigned mprotected; /* stacks of it that mprotect guards */
	unsigned free_len;
	unsigned worn_len;     /* of these, whose stacks may have pages */
	struct rt_fiber *free; /* by rt_fiber.next */
	struct rt_fiber fibers[SLAB_FIBERS];
};

enum guard_mode { GUARD_UNKNOWN, GUARD_MADVISE, GUARD_MPROTECT, GUARD_CANARY };

static struct {
	struct rt_lock lock;
	struct list partial;  /* mapped, some fiber free */
	struct list full;     /* mapped, no fiber free */
	struct list unmapped; /* structures only */
	unsigned empty_len;   /* of partial: no fiber in use */
	size_t worn_len;      /* of all slabs */
	size_t mprotected;    /* stacks guarded by mprotect now */
	uint64_t next_id;
	size_t page;
	enum guard_mode mode;
	bool ready;
} depot;

static void depot_init(void)
{
	if (depot.ready)
		return;
	list_init(&depot.partial);
	list_init(&depot.full);
	list_init(&depot.unmapped);
	depot.page = (size_t)sysconf(_SC_PAGESIZE);
	depot.ready = true;
}

/*
 * Which kind of guard the kernel gives, tried on the first stack. Emulators (qemu-user)
 * take advice they don't know for granted, so the kernel is asked to write there: it says
 * EFAULT, where we would be killed.
 */
static enum guard_mode guard_probe(char *page)
{
	if (madvise(page, depot.page, MADV_GUARD_INSTALL) == 0 &&
		getrandom(page, 1, GRND_NONBLOCK) < 0 && errno == EFAULT)
		return GUARD_MADVISE;
	return GUARD_MPROTECT;
}

static void guard_stack(struct rt_fiber *f)
{
	f->canary = false;
	if (depot.mode == GUARD_UNKNOWN)
		depot.mode = guard_probe(f->base);
	if (depot.mode == GUARD_MADVISE && madvise(f->base, depot.page, MADV_GUARD_INSTALL) == 0)
		return;
	if (depot.mprotected < MPROTECT_STACKS_MAX &&
		mprotect(f->base, depot.page, PROT_NONE) == 0) {
		depot.mprotected++;
		f->slab->mprotected++;
		return;
	}
	f->canary = true;
	*(uint64_t *)(void *)f->base = CANARY;
}

static bool slab_map(struct rt_slab *slab, size_t stack_size)
{
	size_t bytes = stack_size * SLAB_FIBERS;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (memory == MAP_FAILED)
		return false;
	/* a huge page would make every parked fiber cost 2 MiB; refused: no matter */
	(void)madvise(memory, bytes, MADV_NOHUGEPAGE);
	slab->memory = memory;
	slab->stack_size = stack_size;
	slab->free = NULL;
	slab->free_len = slab->worn_len = 0;
	for (unsigned i = SLAB_FIBERS; i-- > 0;) {
		struct rt_fiber *f = &slab->fibers[i];

		f->base = memory + i * stack_size;
		f->size = stack_size;
		f->slab = slab;
		f->next = slab->free;
		slab->free = f;
		slab->free_len++;
		f->is_worn = false;
		guard_stack(f);
	}
	return true;
}

static void slab_unmap(struct rt_slab *slab)
{
	for (unsigned i = 0; i < SLAB_FIBERS; i++) {
#ifdef RT_TSAN
		struct rt_fiber *f = &slab->fibers[i];

		if (f->tsan)
			__tsan_destroy_fiber(f->tsan);
		f->tsan = NULL;
#endif
	}
	depot.mprotected -= slab->mprotected;
	slab->mprotected = 0;
	depot.worn_len -= slab->worn_len;
	slab->worn_len = 0;
#ifdef RT_ASAN
	ASAN_UNPOISON_MEMORY_REGION(slab->memory, slab->stack_size * SLAB_FIBERS);
#endif
	munmap(slab->memory, slab->stack_size * SLAB_FIBERS);
	slab->memory = NULL;
	slab->free = NULL;
	slab->free_len = 0;
}

static struct rt_slab *slab_new(void)
{
	struct rt_slab *slab = mmap(
		NULL, sizeof(*slab), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (slab == MAP_FAILED)
		return NULL;
#ifdef RT_ASAN
	__lsan_register_root_region(slab, sizeof(*slab));
#endif
	list_init(&slab->link);
	for (unsigned i = 0; i < SLAB_FIBERS; i++) {
		slab->fibers[i].slot = ++depot.next_id;
		slab->fibers[i].parker.is_fiber = true;
	}
	return slab;
}

static void set_worn(struct rt_fiber *f, bool is_worn)
{
	if (f->is_worn == is_worn)
		return;
	f->is_worn = is_worn;
	f->slab->worn_len += is_worn ? 1U : -1U;
	depot.worn_len += is_worn ? (size_t)1 : (size_t)-1;
}

/* A mapped slab of that stack size with a free fiber, or NULL. Lock held. */
static struct rt_slab *slab_find(size_t stack_size)
{
	struct rt_slab *slab;

	list_for_each(it, &depot.partial) {
		slab = container_of(it, struct rt_slab, link);
		if (slab->stack_size == stack_size)
			return slab;
	}
	if (list_is_empty(&depot.unmapped))
		slab = slab_new();
	else
		slab = container_of(list_pop_front(&depot.unmapped), struct rt_slab, link);
	if (!slab)
		return NULL;
	if (!slab_map(slab, stack_size)) {
		list_push_front(&depot.unmapped, &slab->link);
		return NULL;
	}
	list_push_front(&depot.partial, &slab->link);
	depot.empty_len++;
	return slab;
}

static struct rt_fiber *depot_get(size_t stack_size)
{
	struct rt_slab *slab = slab_find(stack_size);
	struct rt_fiber *f;

	if (!slab)
		return NULL;
	if (slab->free_len == SLAB_FIBERS)
		depot.empty_len--;
	f = slab->free;
	slab->free = f->next;
	set_worn(f, false);
	if (--slab->free_len == 0) {
		list_remove(&slab->link);
		list_push_back(&depot.full, &slab->link);
	}
	return f;
}

static void depot_put(struct rt_fiber *f)
{
	struct rt_slab *slab = f->slab;

	if (slab->free_len == 0) {
		list_remove(&slab->link);
		list_push_back(&depot.partial, &slab->link);
	}
	f->next = slab->free;
	slab->free = f;
	set_worn(f, true);
	if (++slab->free_len < SLAB_FIBERS)
		return;
	if (depot.empty_len < EMPTY_SLABS_MAX) {
		depot.empty_len++;
		return;
	}
	list_remove(&slab->link);
	slab_unmap(slab);
	list_push_back(&depot.unmapped, &slab->link);
}

/* cache may be NULL: a plain thread. */
struct rt_fiber *rt_fiber_get(struct rt_worker *cache, size_t stack_size)
{
	struct rt_fiber *f;

	if (cache && cache->cache) {
		f = cache->cache;
		cache->cache = f->next;
		if (--cache->cache_len < cache->cache_low)
			cache->cache_low = cache->cache_len;
		return f;
	}
	rt_lock_acquire(&depot.lock);
	depot_init();
	f = depot_get(stack_size);
	for (unsigned i = 0; f && cache && i < CACHE_BATCH; i++) {
		struct rt_fiber *more = depot_get(stack_size);

		if (!more)
			break;
		more->next = cache->cache;
		cache->cache = more;
		cache->cache_len++;
	}
	rt_lock_release(&depot.lock);
	if (cache)
		cache->cache_low = 0;
	return f;
}

/* The caller may still run on the stack: it is not touched here, and nobody else gets it
 * before the owner's next rt_fiber_get or the loop's flush. */
void rt_fiber_put(struct rt_worker *cache, struct rt_fiber *fiber)
{
	fiber->next = cache->cache;
	cache->cache = fiber;
	cache->cache_len++;
	cache->is_worn = true;
}

void rt_fiber_return(struct rt_fiber *fiber)
{
	rt_lock_acquire(&depot.lock);
	depot_put(fiber);
	rt_lock_release(&depot.lock);
}

void rt_fiber_cache_flush(struct rt_worker *cache, size_t keep)
{
	if (cache->cache_len <= (keep ? CACHE_MAX : 0))
		return;
	rt_lock_acquire(&depot.lock);
	while (cache->cache_len > keep) {
		struct rt_fiber *f = cache->cache;

		cache->cache = f->next;
		cache->cache_len--;
		depot_put(f);
	}
	rt_lock_release(&depot.lock);
}

/* The last of the cache, which have lain there for longest, to the depot. Lock held. */
static void cache_cool(struct rt_worker *cache)
{
	size_t cold = cache->cache_low < cache->cache_len ? cache->cache_low : cache->cache_len;
	size_t keep = cache->cache_len - cold;
	struct rt_fiber **at = &cache->cache, *f;

	if (keep < CACHE_WARM)
		keep = CACHE_WARM;
	for (size_t i = 0; i < keep && *at; i++)
		at = &(*at)->next;
	f = *at;
	*at = NULL;
	while (f) {
		struct rt_fiber *next = f->next;

		cache->cache_len--;
		depot_put(f);
		f = next;
	}
	cache->cache_low = cache->cache_len;
}

/* The pages of its free stacks. Returns how many may be looked at yet. Lock held. */
static unsigned slab_rest(struct rt_slab *slab, unsigned max)
{
	for (struct rt_fiber *f = slab->free; f && max > 0; f = f->next) {
		if (!f->is_worn)
			continue;
		/* the guard, or the canary, stays */
		(void)madvise(f->base + depot.page, f->size - depot.page, MADV_DONTNEED);
		set_worn(f, false);
		max--;
	}
	return max;
}

static void slab_drop(struct rt_slab *slab)
{
	list_remove(&slab->link);
	slab_unmap(slab);
	list_push_back(&depot.unmapped, &slab->link);
	depot.empty_len--;
}

int64_t rt_stacks_rest(struct rt_worker *cache)
{
	unsigned max = REST_STACKS_MAX;
	int64_t after = 0;

	rt_lock_acquire(&depot.lock);
	depot_init();
	cache_cool(cache);
	list_for_each_safe(it, next, &depot.partial) {
		struct rt_slab *slab = container_of(it, struct rt_slab, link);

		if (!depot.empty_len && (!depot.worn_len || !max))
			break;
		if (slab->free_len == SLAB_FIBERS)
			slab_drop(slab);
		else if (slab->worn_len)
			max = slab_rest(slab, max);
	}
	if (depot.worn_len)
		after = RT_REST_NS / 10;
	else if (cache->cache_len > CACHE_WARM)
		after = RT_REST_NS;
	rt_lock_release(&depot.lock);
	return after;
}

void rt_stacks_trim(void)
{
	rt_lock_acquire(&depot.lock);
	depot_init();
	list_for_each_safe(it, next, &depot.partial) {
		struct rt_slab *slab = container_of(it, struct rt_slab, link);

		if (slab->free_len == SLAB_FIBERS)
			slab_drop(slab);
	}
	rt_lock_release(&depot.lock);
}

/* For stacks without a guard page: an overflow is found when the fiber next leaves. */
void rt_stack_check(struct rt_fiber *fiber)
{
	if (fiber->canary)
		CHECK(*(uint64_t *)(void *)fiber->base == CANARY);
}
