/* SPDX-License-Identifier: MIT */
#ifndef SYNC_WORDS_H
#define SYNC_WORDS_H

/*
 * Bytes that one writer changes while others may be reading them, as words. A reader can't
 * keep a writer out; it asks afterwards whether what it copied was all of one piece:
 *
 *	writer:  say so in a word beside (release) ; words_store
 *	reader:  words_load ; look at that word: did anybody say so?
 *
 * Each word is stored with release and loaded with acquire: a reader that got one of the new
 * words sees what the writer had said before it. On x86-64 both are plain moves. A fence
 * would do as well, but the thread sanitizer sees none.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WORDS_OF(bytes) (((bytes) + sizeof(uint64_t) - 1) / sizeof(uint64_t))

static inline void words_store(_Atomic uint64_t *to, const void *from, size_t size)
{
	const char *bytes = from;
	uint64_t word;

	for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word), to++) {
		memcpy(&word, bytes, sizeof(word));
		/* release; pairs with the acquire in words_load: what was said before */
		atomic_store_explicit(to, word, memory_order_release);
	}
	if (size == 0)
		return;
	word = 0;
	memcpy(&word, bytes, size);
	/* release; pairs with the acquire in words_load: as above */
	atomic_store_explicit(to, word, memory_order_release);
}

static inline void words_load(void *to, const _Atomic uint64_t *from, size_t size)
{
	char *bytes = to;
	uint64_t word;

	for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word), from++) {
		/* acquire; pairs with the release in words_store: what was said before */
		word = atomic_load_explicit(from, memory_order_acquire);
		memcpy(bytes, &word, sizeof(word));
	}
	if (size == 0)
		return;
	/* acquire; pairs with the release in words_store: as above */
	word = atomic_load_explicit(from, memory_order_acquire);
	memcpy(bytes, &word, size);
}

#endif
