/* SPDX-License-Identifier: MIT */
/* glibc's ucontext beside runtime.c: contexts that swap to one another in a
 * ring, and makecontext plus two swaps for creating and ending on a kept stack. */
#include "../bench.h"

#include <sys/mman.h>
#include <ucontext.h>

enum { STACK_SIZE = 65536 };

static size_t contexts;
static uint64_t turns;
static ucontext_t *ring, home;

static void relay(unsigned self)
{
	size_t next = (self + 1) % contexts;
	for (uint64_t i = 0; i < turns; i++)
		swapcontext(&ring[self], &ring[next]);
	/* The first to finish ends the pass: each has made its turns but for one. */
	setcontext(&home);
}

static double relay_pass_ns(uint64_t count)
{
	char *stacks = mmap(NULL, contexts * STACK_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stacks == MAP_FAILED)
		bench_die("mmap");
	turns = count;
	for (size_t i = 0; i < contexts; i++) {
		getcontext(&ring[i]);
		ring[i].uc_stack.ss_sp = stacks + i * STACK_SIZE;
		ring[i].uc_stack.ss_size = STACK_SIZE;
		ring[i].uc_link = NULL;
		makecontext(&ring[i], (void (*)(void))relay, 1, (unsigned)i);
	}
	int64_t begin = bench_now_ns();
	swapcontext(&home, &ring[0]);
	int64_t end = bench_now_ns();
	munmap(stacks, contexts * STACK_SIZE);
	return (double)(end - begin) / ((double)count * (double)contexts);
}

static void run_switch(const char *row)
{
	contexts = strtoul(row + strlen("switch-"), NULL, 10);
	ring = calloc(contexts, sizeof *ring);
	uint64_t count = bench_count(8000000) / contexts;
	relay_pass_ns(count / 10);
	bench_report(row, relay_pass_ns(count), "ns");
}

static uint64_t ended;

static void nothing(void)
{
	ended++;
}

static void spawn_pass(uint64_t count)
{
	static char stack[STACK_SIZE];
	ucontext_t context;
	for (uint64_t i = 0; i < count; i++) {
		getcontext(&context);
		context.uc_stack.ss_sp = stack;
		context.uc_stack.ss_size = sizeof stack;
		context.uc_link = &home;
		makecontext(&context, nothing, 0);
		swapcontext(&home, &context);
	}
}

static void run_spawn(const char *row)
{
	uint64_t count = bench_count(1000000);
	spawn_pass(count / 10);
	int64_t begin = bench_now_ns();
	spawn_pass(count);
	bench_report(row, (double)(bench_now_ns() - begin) / (double)count, "ns");
}

int main(int argc, char **argv)
{
	static const struct bench_row rows[] = {
		{ "switch-2", run_switch },
		{ "switch-1000", run_switch },
		{ "spawn-join", run_spawn },
		{ NULL, NULL },
	};
	return bench_main(argc, argv, rows);
}
