/* SPDX-License-Identifier: MIT */
#ifndef MODEL_INCLUDE_RT_CPU_H
#define MODEL_INCLUDE_RT_CPU_H

/* In place of src/rt/cpu.h. Loops that pause a bounded number of times. */
static inline void cpu_pause(void) {}

static inline void cpu_pauses(unsigned count)
{
	(void)count;
}

static inline void cpu_prefetch_write(const void *ptr)
{
	(void)ptr;
}

#endif
