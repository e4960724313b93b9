/* SPDX-License-Identifier: MIT */
#ifndef BASE_HASH_H
#define BASE_HASH_H

/*
 * Keyed hashes for tables: the folded multiply, as in Wang Yi's wyhash (2019): the high and
 * the low half of a product of 128 bits, one xor the other. Two multiplications a number: after
 * one, keys that differ only in their upper bits still crowd (16,384 multiples of 2^32 over
 * 1,024 buckets: up to 190 in one in place of 16; after two they fall as random ones do). For
 * a string one for every 16 bytes and two at the end.
 *
 * Against keys that were chosen to collide: each multiplication has a word of the seed in both
 * factors' making, which is random for each process and never shown; there are no other
 * constants that one could know. Not for secrets, and not a cryptographic hash: who can
 * measure the time of single look-ups might learn something of the seed.
 */
#include <stddef.h>
#include <stdint.h>

struct hash_seed {
	uint64_t k[3]; /* k[1] is odd */
};

/* The process's own, random; any thread. */
void hash_seed_process(struct hash_seed *seed);
/* One that depends on the number only: where runs must repeat. */
void hash_seed_from(struct hash_seed *seed, uint64_t number);

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_number(const struct hash_seed *seed, uint64_t number)
{
	return hash_fold(hash_fold(number ^ seed->k[0], seed->k[1]) ^ seed->k[2], seed->k[1]);
}

uint64_t hash_bytes(const struct hash_seed *seed, const void *data, size_t size);

#endif
