/* SPDX-License-Identifier: MIT */
#ifndef WEFT_MAP_H
#define WEFT_MAP_H

#include <weft/base.h>

#include <stdbool.h>
#include <string.h>

WEFT_BEGIN_DECLS
/*
 * weft_map: a hash map that any number of fibers and plain threads use at once.
 *
 * A key is a number, a string of bytes that the map copies, or a pointer with a small table
 * of functions. A value is one word: a number, or a pointer with optional functions to
 * take and to drop a reference.
 *
 * Order:    every call is atomic for its key, in one order with all other calls on that
 *           key. iterate, retain, clear and len look at the map while it changes.
 * Lifetime: one owner; freed when no call on it is under way.
 * Threads:  every call but create and free from any fiber or thread at any time, from a
 *           callback of the same map too: no lock is ever handed out, and no callback
 *           runs while the map holds one. The table functions (hash, equal, ref, unref)
 *           are the exception: they must not call the map, and must not block.
 * Blocking: only get_or_insert_with, for another caller's initialiser; it is a
 *           cancellation point. get, view and contains take no lock, write to no shared
 *           memory and never wait for a writer or for the map's growth; writers wait for
 *           one another only for some instructions, and only at the same few entries.
 * Callbacks: those of view, compute, remove_if, iterate and retain must not park (it is
 *           asserted): memory that the map drops is kept while they run. The initialiser
 *           of get_or_insert_with may park.
 * Memory:   grows and shrinks by parts while it is used; one call moves a bounded number
 *           of entries. WEFT_ENOMEM: nothing was changed.
 */
typedef struct weft_map weft_map;

#define WEFT_MAP_LEN_MAX ((size_t)1 << 40)
#define WEFT_MAP_SHARDS_MAX 1024
#define WEFT_MAP_KEY_SIZE_MAX ((size_t)1 << 30)

/* --- keys ------------------------------------------------------------------------------- */

typedef enum weft_map_keys {
	WEFT_MAP_INT,	/* weft_map_int */
	WEFT_MAP_BYTES, /* weft_map_bytes, weft_map_text; compared byte by byte; copied */
	WEFT_MAP_CUSTOM /* weft_map_custom */
} weft_map_keys;

/* A key as it is given to a call, borrowed for it. One made for another kind of keys than
 * the map's is a bug that is not found. */
typedef struct weft_map_key {
	const void *data; /* bytes, or the custom key; a number: NULL */
	uint64_t number;  /* the number; bytes: how many; custom: 0 */
} weft_map_key;

static inline weft_map_key weft_map_int(uint64_t number)
{
	weft_map_key key;

	key.data = NULL;
	key.number = number;
	return key;
}

/* size: at most WEFT_MAP_KEY_SIZE_MAX; asserted. data may be NULL when size is 0. */
static inline weft_map_key weft_map_bytes(const void *data, size_t size)
{
	weft_map_key key;

	key.data = data;
	key.number = size;
	return key;
}

static inline weft_map_key weft_map_text(const char *text)
{
	return weft_map_bytes(text, strlen(text));
}

static inline weft_map_key weft_map_custom(const void *data)
{
	return weft_map_bytes(data, 0);
}

/* --- values ------------------------------------------------------------------------------ */

/* A pointer as a value, and back. */
static inline uint64_t weft_map_word(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

static inline void *weft_map_pointer(uint64_t value)
{
	return (void *)(uintptr_t)value;
}

/* --- life --------------------------------------------------------------------------------- */

/*
 * Zero is a good value of each field. Functions may be called from any fiber, thread or
 * worker's loop.
 */
typedef struct weft_map_options {
	weft_map_keys keys;
	/* WEFT_MAP_CUSTOM: both needed, pure functions of the key. Equal keys have equal
	 * hashes; the map mixes them with a seed of the process. equal is called only for
	 * keys whose hashes are the same. */
	uint64_t (*key_hash)(const void *key);
	bool (*key_equal)(const void *a, const void *b);
	/* WEFT_MAP_CUSTOM: what the map keeps for a key that it puts in: the key itself with
	 * a reference more, or a copy; NULL: out of memory. Without it: the pointer as it is
	 * given. key_unref gets it when nobody can be looking at it any more. */
	void *(*key_ref)(const void *key);
	void (*key_unref)(void *key);
	/* The map holds one reference of each value in it. Both or neither; or value_unref
	 * alone: the map owns its values (insert takes them over), and get gives a pointer
	 * that is good only as long as nobody removes it: use view. */
	void (*value_ref)(uint64_t value);
	void (*value_unref)(uint64_t value);
	size_t len_max;	     /* entries, exactly; above: WEFT_ECAPACITY. 0: WEFT_MAP_LEN_MAX */
	size_t len_expected; /* so many fit without growing; a hint */
	unsigned shards;     /* a power of two; parts that grow by themselves. 0: by cores */
} weft_map_options;

#define WEFT_MAP_OPTIONS_DEFAULT                                          \
	{                                                                 \
		WEFT_MAP_INT, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0 \
	}

/* options may be NULL. Errors: WEFT_EINVAL (names the field), WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_map_create(weft_map **out, const weft_map_options *options);
/*
 * Drops what is in it. NULL is allowed. Not from a callback of the map. Of values and keys
 * that were removed shortly before, the map's references may be dropped a moment later, by
 * any worker or thread: unref functions must stay callable.
 */
WEFT_API void weft_map_free(weft_map *map);

/* --- reading ------------------------------------------------------------------------------- */

/* True: found; *value is the caller's own reference (value_ref was called). */
WEFT_API bool weft_map_get(const weft_map *map, weft_map_key key, uint64_t *value);
WEFT_API bool weft_map_contains(const weft_map *map, weft_map_key key);
/* Calls fn once with the value, which stays valid until fn returns, removed or not. No
 * reference is taken. False: not found, fn was not called. */
WEFT_API bool weft_map_view(
	const weft_map *map, weft_map_key key, void (*fn)(void *arg, uint64_t value), void *arg);
/* Entries; exact when nobody inserts or removes. A walk over some counters. */
WEFT_API size_t weft_map_len(const weft_map *map);

/* --- writing ------------------------------------------------------------------------------- */

/*
 * The value is borrowed: the map takes a reference of its own (with value_unref alone it
 * takes the value over, on WEFT_OK only).
 */
/* Errors: WEFT_EDUPLICATE (the key is there: nothing changed), WEFT_ECAPACITY, WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_map_insert(weft_map *map, weft_map_key key, uint64_t value);
/* Inserts, or puts the value in the place of the one there. Errors: WEFT_ECAPACITY, WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_map_set(weft_map *map, weft_map_key key, uint64_t value);
/*
 * As set. *replaced: the key was there, *old is its value before, a reference of the caller's
 * own (with value_unref alone: not to be used but for comparing). Neither may be NULL.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_map_swap(
	weft_map *map, weft_map_key key, uint64_t value, bool *replaced, uint64_t *old);
/* False: not found. old may be NULL; otherwise as in swap. Never fails for want of memory. */
WEFT_API bool weft_map_remove(weft_map *map, weft_map_key key, uint64_t *old);
/* Removes if fn says true of the value; fn is asked again when the value changed meanwhile:
 * what is removed is what fn agreed to last. True: removed. */
WEFT_API bool weft_map_remove_if(
	weft_map *map, weft_map_key key, bool (*fn)(void *arg, uint64_t value), void *arg);

typedef enum weft_map_verdict {
	WEFT_MAP_KEEP,	/* as it is; if there is no entry, none is made */
	WEFT_MAP_STORE, /* *value, in an entry that is made if there is none */
	WEFT_MAP_REMOVE /* no entry */
} weft_map_verdict;

/*
 * One entry, read and changed as one step. found: there is an entry, *value is its value
 * (else 0). For WEFT_MAP_STORE fn writes to *value what is to be stored, which the map takes
 * over: of a value that fn made it holds the reference that fn had; to store the same
 * value once more changes nothing and takes nothing. No lock is held: when another was
 * faster the map drops what fn made (value_unref) and calls fn again with what is there
 * now, so fn must be fit to be called several times; the last call counts.
 */
typedef weft_map_verdict (*weft_map_compute_fn)(void *arg, bool found, uint64_t *value);

/* Errors: WEFT_ECAPACITY, WEFT_ENOMEM (either only of WEFT_MAP_STORE; what fn made was dropped). */
WEFT_API WEFT_MUST_CHECK weft_err weft_map_compute(
	weft_map *map, weft_map_key key, weft_map_compute_fn fn, void *arg);

/*
 * The value, the caller's own reference; when there is none yet, init(arg, &value) makes it, in
 * the calling fiber or thread, while all others who ask for this key here wait, parked, and
 * get the same value. The map takes over the reference that init made. If init fails or is
 * cancelled, its error goes to its caller and the next waiter runs its own init. If
 * somebody else puts the key in by another call meanwhile, that value is everybody's and
 * what init made is dropped. init may use the map, but not ask for its own key here:
 * WEFT_EDEADLOCK.
 * Errors: init's own, WEFT_ETIMEDOUT and WEFT_ECANCELED (while waiting for another's),
 * WEFT_ECAPACITY, WEFT_ENOMEM, WEFT_EDEADLOCK.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_map_get_or_insert_with(weft_map *map, weft_map_key key,
	uint64_t *value, weft_err (*init)(void *arg, uint64_t *value), void *arg,
	weft_deadline until);

/* --- all entries --------------------------------------------------------------------------- */

/* Key and value are valid until it returns. False: enough. */
typedef bool (*weft_map_entry_fn)(void *arg, weft_map_key key, uint64_t value);

/*
 * Calls fn for each entry. What is there from the beginning to the end is seen exactly
 * once, however the map grows or shrinks meanwhile; what is put in or removed meanwhile may
 * be seen or not; no key is seen twice. Errors: WEFT_ENOMEM (only where dozens of keys have
 * one hash).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_map_iterate(
	const weft_map *map, weft_map_entry_fn fn, void *arg);
/* Removes each entry of which keep says false, as remove_if does. removed, which may be NULL:
 * how many. Errors: as iterate's; what was removed stays so. */
WEFT_API WEFT_MUST_CHECK weft_err weft_map_retain(
	weft_map *map, weft_map_entry_fn keep, void *arg, size_t *removed);
/* Removes what is there and gives memory back. What is put in meanwhile may stay. */
WEFT_API void weft_map_clear(weft_map *map);

WEFT_END_DECLS
#endif
