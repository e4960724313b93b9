/* SPDX-License-Identifier: MIT */
/*
 * The lock (rt/lock.h, lock.c) on the kernel's futex. Held: one holder at a time, who sees what
 * the last one did; nobody sleeps while it is free.
 */
#include "model.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

static long model_syscall(long number, ...)
{
	va_list args;
	uint32_t *word, value;
	int op;

	va_start(args, number);
	word = va_arg(args, uint32_t *);
	op = va_arg(args, int);
	value = va_arg(args, uint32_t);
	va_end(args);
	MODEL_CHECK(number == SYS_futex);
	if (op == FUTEX_WAKE_PRIVATE) {
		model_futex_wake(word, (int)value, __builtin_return_address(0));
		return 0;
	}
	errno = model_futex_wait(word, value, false, __builtin_return_address(0));
	return errno ? -1 : 0;
}

#define syscall model_syscall
#include "rt/lock.c"

static struct rt_lock lock;
static unsigned data;

/* More than one look before it sleeps changes only how often it looks. */
unsigned rt_cores(void)
{
	return 1;
}

static void once(void)
{
	rt_lock_acquire(&lock);
	data++;
	rt_lock_release(&lock);
}

static void twice(void)
{
	once();
	once();
}

static void is_3(void)
{
	MODEL_CHECK(data == 3);
}

static void is_4(void)
{
	MODEL_CHECK(data == 4);
}

const struct model models[] = {
	{ "lock-2", "two threads, two turns each", NULL, { twice, twice }, is_4, .quick = true },
	{ "lock-3", "three threads", NULL, { once, once, once }, is_3 },
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
