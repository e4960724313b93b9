/* SPDX-License-Identifier: MIT */
/* Stand-ins for src/base: errors have no texts, memory is the arena's. */
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "model.h"

#include <string.h>

#define CALLER __builtin_return_address(0)

weft_err err_set(weft_err code)
{
	return code;
}

weft_err err_setf(weft_err code, const char *format, ...)
{
	(void)format;
	return code;
}

weft_err err_set_code(weft_err code)
{
	return code;
}

weft_err err_wrap(weft_err code, const char *format, ...)
{
	(void)format;
	return code;
}

void check_failed(const char *file, int line, const char *what)
{
	model_fail("CHECK at %s:%d: %s", file, line, what);
}

void *mem_alloc(size_t size)
{
	return model_alloc(size, 16);
}

void *mem_calloc(size_t count, size_t size)
{
	return memset(model_alloc(count * size, 16), 0, count * size);
}

void *mem_aligned(size_t alignment, size_t size)
{
	return model_alloc(size, alignment);
}

void mem_free(void *ptr)
{
	model_free(ptr, CALLER);
}
