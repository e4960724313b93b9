/* SPDX-License-Identifier: MIT */
/*
 * Models and the library's sources are compiled for the thread sanitizer and linked with
 * this in place of its runtime: so every access, with its order, comes here, and the sources
 * are what they are. (Only gcc's names are here.)
 */
#include "checker/checker.h"

#include <string.h>

#define PC __builtin_return_address(0)

static void plain(const void *addr, size_t size, enum access kind, void *pc)
{
	shadow_access(mc->self, (uintptr_t)addr, size, kind, pc);
}

#define PLAIN(n)                                         \
	void __tsan_read##n(const void *addr);           \
	void __tsan_write##n(void *addr);                \
	void __tsan_unaligned_read##n(const void *addr); \
	void __tsan_unaligned_write##n(void *addr);      \
	void __tsan_read##n(const void *addr)            \
	{                                                \
		plain(addr, n, READS, PC);               \
	}                                                \
	void __tsan_write##n(void *addr)                 \
	{                                                \
		plain(addr, n, WRITES, PC);              \
	}                                                \
	void __tsan_unaligned_read##n(const void *addr)  \
	{                                                \
		plain(addr, n, READS, PC);               \
	}                                                \
	void __tsan_unaligned_write##n(void *addr)       \
	{                                                \
		plain(addr, n, WRITES, PC);              \
	}

PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_init(void);
void __tsan_read_range(const void *addr, unsigned long size);
void __tsan_write_range(void *addr, unsigned long size);
void *model_memcpy(void *to, const void *from, size_t size);
void *model_memmove(void *to, const void *from, size_t size);
void *model_memset(void *to, int byte, size_t size);

void __tsan_init(void) {}

void __tsan_read_range(const void *addr, unsigned long size)
{
	plain(addr, size, READS, PC);
}

void __tsan_write_range(void *addr, unsigned long size)
{
	plain(addr, size, WRITES, PC);
}

void *model_memcpy(void *to, const void *from, size_t size)
{
	plain(from, size, READS, PC);
	plain(to, size, WRITES, PC);
	return memcpy(to, from, size);
}

void *model_memmove(void *to, const void *from, size_t size)
{
	plain(from, size, READS, PC);
	plain(to, size, WRITES, PC);
	return memmove(to, from, size);
}

void *model_memset(void *to, int byte, size_t size)
{
	plain(to, size, WRITES, PC);
	return memset(to, byte, size);
}

static uint64_t atomic_op(enum op_kind kind, const volatile void *addr, size_t size,
	uint64_t operand, int order, enum rmw rmw, void *pc)
{
	return op_run(&(struct op){ .kind = kind,
		.rmw = rmw,
		.size = (uint8_t)size,
		.order = (uint8_t)order,
		.addr = (uintptr_t)addr,
		.operand = operand,
		.pc = pc });
}

static bool atomic_cas(const volatile void *addr, size_t size, uint64_t expected, uint64_t operand,
	int order, int fail_order, uint64_t *seen, void *pc)
{
	*seen = op_run(&(struct op){ .kind = OP_CAS,
		.size = (uint8_t)size,
		.order = (uint8_t)order,
		.fail_order = (uint8_t)fail_order,
		.addr = (uintptr_t)addr,
		.operand = operand,
		.expected = expected,
		.pc = pc });
	return op_ok();
}

#define RMW_OP(bits, type, name, which)                                                        \
	type __tsan_atomic##bits##_##name(volatile type *addr, type operand, int order);       \
	type __tsan_atomic##bits##_##name(volatile type *addr, type operand, int order)        \
	{                                                                                      \
		return (type)atomic_op(OP_RMW, addr, sizeof(type), operand, order, which, PC); \
	}

#define CAS_OP(bits, type, name)                                                                   \
	int __tsan_atomic##bits##_compare_exchange_##name(                                         \
		volatile type *addr, type *expected, type operand, int order, int fail_order);     \
	int __tsan_atomic##bits##_compare_exchange_##name(                                         \
		volatile type *addr, type *expected, type operand, int order, int fail_order)      \
	{                                                                                          \
		uint64_t seen;                                                                     \
		if (atomic_cas(                                                                    \
			    addr, sizeof(type), *expected, operand, order, fail_order, &seen, PC)) \
			return 1;                                                                  \
		*expected = (type)seen;                                                            \
		return 0;                                                                          \
	}

#define ATOMIC(bits, type)                                                                   \
	type __tsan_atomic##bits##_load(const volatile type *addr, int order);               \
	void __tsan_atomic##bits##_store(volatile type *addr, type value, int order);        \
	type __tsan_atomic##bits##_load(const volatile type *addr, int order)                \
	{                                                                                    \
		return (type)atomic_op(OP_LOAD, addr, sizeof(type), 0, order, RMW_XCHG, PC); \
	}                                                                                    \
	void __tsan_atomic##bits##_store(volatile type *addr, type value, int order)         \
	{                                                                                    \
		atomic_op(OP_STORE, addr, sizeof(type), value, order, RMW_XCHG, PC);         \
	}                                                                                    \
	RMW_OP(bits, type, exchange, RMW_XCHG)                                               \
	RMW_OP(bits, type, fetch_add, RMW_ADD)                                               \
	RMW_OP(bits, type, fetch_sub, RMW_SUB)                                               \
	RMW_OP(bits, type, fetch_or, RMW_OR)                                                 \
	RMW_OP(bits, type, fetch_and, RMW_AND)                                               \
	RMW_OP(bits, type, fetch_xor, RMW_XOR)                                               \
	CAS_OP(bits, type, weak)                                                             \
	CAS_OP(bits, type, strong)

ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)
