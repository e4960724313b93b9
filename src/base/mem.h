/* SPDX-License-Identifier: MIT */
#ifndef BASE_MEM_H
#define BASE_MEM_H

/*
 * Every allocation of the library goes through here, so that tests and the simulator
 * can make any of them fail and count what is left.
 *
 * All return NULL when memory has run out; none sets an error: the caller knows what
 * it wanted the memory for. A size of 0 gives a pointer that may only be freed.
 * Without hooks each is the libc function behind a test of one pointer. Any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEM_SIZE_MAX ((size_t)PTRDIFF_MAX) /* larger requests fail */
#define MEM_RESULT __attribute__((warn_unused_result))

MEM_RESULT __attribute__((malloc, alloc_size(1))) void *mem_alloc(size_t size);
/* Cleared; NULL too when count * size overflows. */
MEM_RESULT __attribute__((malloc, alloc_size(1, 2))) void *mem_calloc(size_t count, size_t size);
/* ptr may be NULL and is untouched on failure. Not for memory of mem_aligned. */
MEM_RESULT __attribute__((alloc_size(2))) void *mem_realloc(void *ptr, size_t size);
/* For arrays that grow: NULL too when count * size overflows. */
MEM_RESULT void *mem_realloc_array(void *ptr, size_t count, size_t size);
/* alignment: a power of two, at least sizeof(void *). Not cleared. */
MEM_RESULT __attribute__((malloc)) void *mem_aligned(size_t alignment, size_t size);
/* A copy of a string, or of the first len bytes and a NUL. */
MEM_RESULT __attribute__((malloc)) char *mem_strdup(const char *text);
MEM_RESULT __attribute__((malloc)) char *mem_strndup(const char *text, size_t len);
/* For whatever came from here; NULL is allowed. */
void mem_free(void *ptr);
/* Gives what is free back to the system, where libc can; milliseconds for a large heap. */
void mem_give_back(void);

/* May be called from any thread at once; must not allocate through mem_*. */
struct mem_hooks {
	bool (*allow)(void *user, size_t size); /* false: this allocation fails */
	void (*made)(void *user);		/* a block came to be; NULL: not wanted */
	void (*gone)(void *user);		/* a block was freed; NULL: not wanted */
	void *user;
};

/*
 * Hooks of the whole process; NULL: none. Returns those before, to be put back. hooks
 * must stay. A plain store: only while no other thread allocates (before the runtime
 * starts or after it has ended).
 */
const struct mem_hooks *mem_hooks_set(const struct mem_hooks *hooks);

#endif
