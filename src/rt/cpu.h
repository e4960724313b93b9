/* SPDX-License-Identifier: MIT */
#ifndef RT_CPU_H
#define RT_CPU_H

/* Tells the core that this is a spin, so that its sibling runs. */
static inline void cpu_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__("yield");
#endif
}

static inline void cpu_pauses(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		cpu_pause();
}

/* The line is about to be written: one request for it, not one to read and one to write. */
static inline void cpu_prefetch_write(const void *line)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
	__builtin_prefetch(line, 1);
#endif
}

#endif
