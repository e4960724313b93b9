/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include "base/random.h"
#include "base/refcount.h"

#include <string.h>

/* The process's seed. Written once, by the first who asks: a fork's child keeps it. */
static struct {
	struct claim making;
	struct published made; /* &seed, once it is complete */
	struct hash_seed seed;
} process;

void hash_seed_from(struct hash_seed *seed, uint64_t number)
{
	struct random random;

	random_seed(&random, number);
	for (int i = 0; i < 3; i++)
		seed->k[i] = random_next(&random);
	seed->k[1] |= 1;
}

void hash_seed_process(struct hash_seed *seed)
{
	const struct hash_seed *made;

	while (!(made = published_get(&process.made))) {
		if (!claim_try(&process.making))
			continue; /* a few instructions and a system call, once */
		for (int i = 0; i < 3; i++)
			process.seed.k[i] = random_entropy();
		process.seed.k[1] |= 1;
		published_set(&process.made, &process.seed);
	}
	*seed = *made;
}

static uint64_t load8(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static uint64_t load4(const unsigned char *p)
{
	uint32_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

uint64_t hash_bytes(const struct hash_seed *seed, const void *data, size_t size)
{
	const unsigned char *p = data;
	uint64_t h = seed->k[0], a = 0, b = 0;
	size_t left = size;

	for (; left > 16; left -= 16, p += 16)
		h = hash_fold(load8(p) ^ seed->k[1], load8(p + 8) ^ h);
	/* what is left, at most 16 bytes, as two words that overlap */
	if (left >= 8) {
		a = load8(p);
		b = load8(p + left - 8);
	} else if (left >= 4) {
		a = load4(p);
		b = load4(p + left - 4);
	} else if (left > 0) {
		a = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1];
	}
	return hash_fold(hash_fold(a ^ seed->k[1], b ^ h) ^ seed->k[2], size ^ seed->k[1]);
}
