/* SPDX-License-Identifier: MIT */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

/*
 * Random numbers that repeat from a seed: xoshiro256** (Blackman and Vigna, 2018), seeded
 * through splitmix64. Not for secrets. One owner a generator.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
	uint64_t s[4];
};

static inline uint64_t random_rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static inline uint64_t random_next(struct random *r)
{
	uint64_t *s = r->s;
	uint64_t result = random_rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = random_rotl(s[3], 45);
	return result;
}

/* Any seed will do, also 0. */
void random_seed(struct random *r, uint64_t seed);
/* 0..bound - 1, each as likely; 0 when bound is 0. */
uint64_t random_below(struct random *r, uint64_t bound);
/* A seed from the system. */
uint64_t random_entropy(void);

/* For secrets: size bytes of the system's own generator. False: it has none to give. */
bool random_secret(void *out, size_t size);

#endif
