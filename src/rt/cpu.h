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

#endif
