/* SPDX-License-Identifier: MIT */
#ifndef RT_SWITCH_H
#define RT_SWITCH_H

/*
 * The context switch: callee-saved registers go onto the stack that is left, the stack
 * pointer into *save; the other stack's are taken back. The floating-point control words
 * are the worker's, not the fiber's.
 *
 * What a parked stack looks like, from the saved stack pointer upwards (the gdb helper
 * reads it too):
 *
 *   x86-64   r15 r14 r13 r12 rbx rbp | return address
 *   aarch64  d8..d15, x19..x28, x29, x30 (160 bytes)
 */
#include <stddef.h>

void rt_switch(void **save, void *load);

/*
 * Prepares a stack so that the first rt_switch to it calls entry(arg) on it. top is
 * its end, aligned to 16. entry never returns. The result is the pointer to load.
 */
void *rt_switch_prepare(void *top, void (*entry)(void *arg), void *arg);

#endif
