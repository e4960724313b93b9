/* SPDX-License-Identifier: MIT */
/*
 * The library's allocator: libc's, with a place for hooks in front. What always holds:
 * `made` is called once for each block that reached a caller and `gone` once for each
 * that came back; a realloc that moves or resizes a block counts as neither.
 */
#include "base/mem.h"

#include "base/align.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Written only while one thread runs; see mem_hooks_set. */
static const struct mem_hooks *hooks_now;

const struct mem_hooks *mem_hooks_set(const struct mem_hooks *hooks)
{
	const struct mem_hooks *before = hooks_now;

	hooks_now = hooks;
	return before;
}

static bool allowed(size_t size)
{
	const struct mem_hooks *hooks = hooks_now;

	if (weft_unlikely(size > MEM_SIZE_MAX))
		return false;
	return weft_likely(!hooks) || hooks->allow(hooks->user, size);
}

static void *made(void *ptr)
{
	const struct mem_hooks *hooks = hooks_now;

	if (weft_unlikely(hooks != NULL) && ptr && hooks->made)
		hooks->made(hooks->user);
	return ptr;
}

void *mem_alloc(size_t size)
{
	return allowed(size) ? made(malloc(size)) : NULL;
}

void *mem_calloc(size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes) || !allowed(bytes))
		return NULL;
	return made(calloc(count, size));
}

void *mem_realloc(void *ptr, size_t size)
{
	if (!ptr)
		return mem_alloc(size);
	if (!allowed(size))
		return NULL;
	/* realloc(ptr, 0) may free: the caller's pointer would dangle on NULL. */
	return realloc(ptr, size ? size : 1);
}

void *mem_realloc_array(void *ptr, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	return mem_realloc(ptr, bytes);
}

void *mem_aligned(size_t alignment, size_t size)
{
	if (!allowed(size) || size > MEM_SIZE_MAX - alignment)
		return NULL;
	/* C17 wants a multiple of the alignment. */
	return made(aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1)));
}

char *mem_strndup(const char *text, size_t len)
{
	char *copy = mem_alloc(len + 1);

	if (!copy)
		return NULL;
	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *mem_strdup(const char *text)
{
	return mem_strndup(text, strlen(text));
}

void mem_free(void *ptr)
{
	const struct mem_hooks *hooks = hooks_now;

	if (weft_unlikely(hooks != NULL) && ptr && hooks->gone)
		hooks->gone(hooks->user);
	free(ptr);
}

void mem_give_back(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
