/* SPDX-License-Identifier: MIT */
/*
 * The memory that a model lives in, and what happened to it.
 *
 *	world:	arena | stack of setup (unused) | stack of thread 1 | ...
 *	globals: the program's .data and .bss, put back to what they were before each run
 *
 * Each eight bytes remember who accessed them how, and at which of its clock's ticks. An
 * access that conflicts with one that did not happen before it is a race, even when this
 * schedule had them in a harmless order. So a message that is published without a release is
 * found, and a free that another thread's access is not ordered before.
 *
 * A thread that is not running has left everything below its saved stack pointer: nobody
 * may write there. That finds a waker that touches a waiter's node too late.
 */
#include "checker/checker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

extern char __data_start[], _end[];

void world_make(void)
{
	mc->world =
		mmap(NULL, WORLD_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mc->world == MAP_FAILED)
		abort();
	for (unsigned i = 0; i < THREADS; i++)
		mc->threads[i].stack = mc->world + ARENA_SIZE + i * STACK_SIZE;
	mc->globals = (char *)((uintptr_t)__data_start & ~(uintptr_t)7);
	mc->globals_size = (size_t)(_end - mc->globals);
	mc->globals_copy = malloc(mc->globals_size);
	if (mc->globals_size > GLOBALS_MAX || !mc->globals_copy)
		abort();
	memcpy(mc->globals_copy, mc->globals, mc->globals_size);
}

void world_reset(void)
{
	memcpy(mc->globals, mc->globals_copy, mc->globals_size);
	mc->arena_used = 0;
	mc->blocks_n = 0;
}

/* NULL: not memory of the model. */
struct cell *cell_of(uintptr_t addr)
{
	uintptr_t in_world = addr - (uintptr_t)mc->world;
	uintptr_t in_globals = addr - (uintptr_t)mc->globals;
	struct cell *cell;

	if (in_world < WORLD_SIZE)
		cell = &mc->cells[in_world / 8];
	else if (in_globals < mc->globals_size)
		cell = &mc->global_cells[in_globals / 8];
	else
		return NULL;
	if (cell->run != mc->run) {
		cell->run = mc->run;
		cell->life = in_world < ARENA_SIZE ? NEVER : ALIVE;
		cell->records_n = 0;
		memset(cell->loc, 0, sizeof(cell->loc));
	}
	return cell;
}

static const char *const access_names[] = { "read", "write", "atomic read", "atomic write" };

static void conflict(const struct record *r, unsigned thread, enum access kind, void *pc)
{
	fail_at(pc, NULL, "data race: %s by thread %u, and %s by thread %u, in no order",
		access_names[kind], thread, access_names[r->kind], r->thread);
}

static bool conflicts(enum access a, enum access b)
{
	return ((a | b) & WRITES) && !(a & b & ATOMIC);
}

/* Later accesses that conflict with a dropped record conflict with the new one, too. */
static void record_add(struct cell *cell, unsigned mask, unsigned thread, enum access kind)
{
	uint32_t clock = mc->threads[thread].view.clock[thread];
	size_t kept = 0;

	for (size_t i = 0; i < cell->records_n; i++) {
		struct record *r = &cell->records[i];

		if ((r->mask & ~mask) || (r->kind != kind && kind != WRITES) ||
			(r->thread != thread && kind != WRITES))
			cell->records[kept++] = *r;
	}
	if (kept == RECORDS)
		fail_at(NULL, NULL, "too many different accesses to eight bytes");
	cell->records[kept] =
		(struct record){ (uint8_t)mask, (uint8_t)kind, (uint8_t)thread, clock };
	cell->records_n = (uint8_t)(kept + 1);
}

static void cell_access(unsigned thread, uintptr_t addr, unsigned mask, enum access kind, void *pc)
{
	struct cell *cell = cell_of(addr);
	const uint32_t *clock = mc->threads[thread].view.clock;
	struct record *same = NULL;

	if (!cell)
		return;
	if (cell->life != ALIVE)
		fail_at(pc, NULL, "%s by thread %u of memory that is %s", access_names[kind],
			thread, cell->life == FREED ? "freed" : "not allocated");
	for (size_t i = 0; i < cell->records_n; i++) {
		struct record *r = &cell->records[i];

		if (r->thread == thread) {
			if (r->kind == kind && r->mask == mask)
				same = r;
		} else if (r->clock > clock[r->thread] && (r->mask & mask) &&
			conflicts(r->kind, kind)) {
			conflict(r, thread, kind, pc);
		}
	}
	if (kind == WRITES)
		loc_forget(cell, mask);
	if (same && (kind != WRITES || cell->records_n == 1))
		same->clock = clock[thread];
	else
		record_add(cell, mask, thread, kind);
}

static bool is_per_thread(uintptr_t addr)
{
	for (size_t i = 0; i < mc->per_thread_n; i++)
		if (addr - (uintptr_t)mc->per_thread[i].ptr < mc->per_thread[i].size)
			return true;
	return false;
}

static void stack_check(unsigned thread, uintptr_t addr, enum access kind, void *pc)
{
	uintptr_t offset = addr - (uintptr_t)(mc->world + ARENA_SIZE);
	unsigned owner = (unsigned)(offset / STACK_SIZE);

	if (offset >= STACK_SIZE * THREADS || owner == mc->self || owner == 0 || mc->starting)
		return;
	if (addr < (uintptr_t)mc->threads[owner].sp || mc->threads[owner].done)
		fail_at(pc, NULL, "%s by thread %u of a frame that thread %u has left",
			access_names[kind], thread, owner);
}

void shadow_access(unsigned thread, uintptr_t addr, size_t size, enum access kind, void *pc)
{
	stack_check(thread, addr, kind, pc);
	if (mc->per_thread_n && is_per_thread(addr))
		return;
	if (size == 8 && addr % 8 == 0) {
		cell_access(thread, addr, 0xff, kind, pc);
		return;
	}
	while (size > 0) {
		unsigned first = (unsigned)(addr % 8);
		unsigned n = size < 8 - first ? (unsigned)size : 8 - first;

		cell_access(thread, addr, ((1u << n) - 1) << first, kind, pc);
		addr += n;
		size -= n;
	}
}

/* The thread ends: what another did to its frames, and not before, would have come too late. */
void stack_leave(unsigned thread)
{
	uintptr_t top = (uintptr_t)mc->threads[thread].stack + STACK_SIZE;
	const uint32_t *clock = mc->threads[thread].view.clock;

	for (uintptr_t addr = top - LEAVE_SIZE; addr < top; addr += 8) {
		const struct cell *cell = &mc->cells[(addr - (uintptr_t)mc->world) / 8];

		if (cell->run != mc->run)
			continue;
		for (size_t i = 0; i < cell->records_n; i++) {
			const struct record *r = &cell->records[i];

			if (r->thread != thread && r->clock > clock[r->thread])
				fail_at(NULL, NULL,
					"%s by thread %u of a frame that thread %u "
					"may have left",
					access_names[r->kind], r->thread, thread);
		}
	}
}

void *model_alloc(size_t size, size_t alignment)
{
	size_t at = (mc->arena_used + alignment - 1) / alignment * alignment;
	size_t rounded = (size + 15) / 8 * 8; /* a gap behind each */
	char *ptr = mc->world + at;

	if (at + rounded > ARENA_SIZE || mc->blocks_n == BLOCKS)
		fail_at(__builtin_return_address(0), NULL, "the arena is full");
	mc->arena_used = at + rounded;
	mc->blocks[mc->blocks_n].ptr = ptr;
	mc->blocks[mc->blocks_n].size = size;
	mc->blocks[mc->blocks_n++].freed = false;
	memset(ptr, 0xa5, rounded);
	for (size_t i = 0; i < (size + 7) / 8; i++) {
		struct cell *cell = cell_of((uintptr_t)ptr + 8 * i);

		cell->life = ALIVE;
	}
	return ptr;
}

void model_free(void *ptr, void *caller)
{
	if (!ptr)
		return;
	for (size_t i = mc->blocks_n; i-- > 0;) {
		size_t size = mc->blocks[i].size;

		if (mc->blocks[i].ptr != ptr)
			continue;
		if (mc->blocks[i].freed)
			fail_at(caller, NULL, "freed twice");
		shadow_access(mc->self, (uintptr_t)ptr, size, WRITES, caller);
		mc->blocks[i].freed = true;
		for (size_t k = 0; k < (size + 7) / 8; k++)
			cell_of((uintptr_t)ptr + 8 * k)->life = FREED;
		return;
	}
	fail_at(caller, NULL, "free of what was not allocated");
}

size_t model_alloc_size(const void *ptr)
{
	for (size_t i = 0; i < mc->blocks_n; i++)
		if (mc->blocks[i].ptr == ptr)
			return mc->blocks[i].size;
	return 0;
}

void leaks_check(void)
{
	for (size_t i = 0; i < mc->blocks_n; i++)
		if (!mc->blocks[i].freed)
			fail_at(NULL, NULL, "a leak: block %zu, of %zu bytes", i,
				mc->blocks[i].size);
}

void model_per_thread(void *ptr, size_t size)
{
	if (mc->per_thread_n == PER_THREAD_MAX || size > sizeof(mc->threads[0].saved[0]))
		abort();
	for (unsigned i = 0; i < THREADS; i++)
		memcpy(mc->threads[i].saved[mc->per_thread_n], ptr, size);
	mc->per_thread[mc->per_thread_n].ptr = ptr;
	mc->per_thread[mc->per_thread_n++].size = size;
}
