/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * A stack overflow is reported with the fiber's name: the guard page below its stack
 * faults, and the handler, on a stack of its own, finds the address there. Every other
 * fault goes to the handler that was there before.
 */
#include "base/mem.h"
#include "rt/fiber.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define ALTSTACK_SIZE ((size_t)64 << 10)
#define GUARD_REACH ((uintptr_t)4096) /* a frame may begin below the guard page's top */

static struct sigaction old_segv, old_bus;

static void put(const char *text)
{
	ssize_t rc = write(STDERR_FILENO, text, strlen(text));

	(void)rc;
}

static void put_number(size_t n)
{
	char digits[24];
	size_t i = sizeof(digits) - 1;

	digits[i] = '\0';
	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	put(digits + i);
}

static bool is_overflow(struct rt_fiber *f, uintptr_t address)
{
	uintptr_t base = (uintptr_t)f->base;

	return f->base && address + GUARD_REACH >= base && address < base + 2 * GUARD_REACH;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
	struct sigaction *old = number == SIGSEGV ? &old_segv : &old_bus;

	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(number, info, context);
		return;
	}
	if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
		old->sa_handler(number);
		return;
	}
	if (old->sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	/* returning repeats the fault, now with the default action; a signal that was sent
	 * (kill) would be lost */
	signal(number, SIG_DFL);
	if (info->si_code <= 0)
		raise(number);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	struct rt_fiber *f = rt_current();

	if (!f || !is_overflow(f, (uintptr_t)info->si_addr)) {
		pass_on(number, info, context);
		return;
	}
	put("weft: fiber \"");
	put(f->name[0] ? f->name : "(no name)");
	put("\" (id ");
	put_number((size_t)f->id);
	put(") overflowed its stack of ");
	put_number(f->size >> 10);
	put(" KiB; see weft_run_options.stack_size\n");
	signal(number, SIG_DFL);
}

void rt_fault_install(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	sigemptyset(&sa.sa_mask);
	sigaction(SIGSEGV, &sa, &old_segv);
	sigaction(SIGBUS, &sa, &old_bus);
}

void rt_fault_uninstall(void)
{
	sigaction(SIGSEGV, &old_segv, NULL);
	sigaction(SIGBUS, &old_bus, NULL);
}

weft_err rt_fault_thread_begin(void **altstack)
{
	stack_t st = { .ss_size = ALTSTACK_SIZE }, old;

	*altstack = NULL;
	/* a sanitizer, or the program, has one already: keep it */
	if (sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_DISABLE))
		return WEFT_OK;
	st.ss_sp = mem_alloc(ALTSTACK_SIZE);
	if (!st.ss_sp)
		return err_set(WEFT_ENOMEM);
	if (sigaltstack(&st, NULL) != 0) {
		mem_free(st.ss_sp);
		return WEFT_OK;
	}
	*altstack = st.ss_sp;
	return WEFT_OK;
}

void rt_fault_thread_end(void *altstack)
{
	stack_t st = { .ss_flags = SS_DISABLE };

	if (!altstack)
		return;
	sigaltstack(&st, NULL);
	mem_free(altstack);
}
