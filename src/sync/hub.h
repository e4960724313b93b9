/* SPDX-License-Identifier: MIT */
#ifndef SYNC_HUB_H
#define SYNC_HUB_H

/*
 * A hub's parts: entries, and the table that finds them.
 *
 * An entry is in the table while it is registered, or while somebody waits for it or
 * initialises it (then it has no object, and nobody finds it but those who would).
 *
 *	new -> registered -> removed		by set, or an init that succeeded
 *	new -> (gone)				the last who waited gave up
 *
 * Its references: one while it is registered, one for each call that is under way on it,
 * one for each handle. Out of the table it is never put in again.
 *
 * Readers walk the table inside a guard (rt/reclaim.h), and take a reference unless the
 * last one is gone. Everything else happens under the hub's lock, which is short: nothing is
 * allocated under it, and nobody called.
 */
#include "base/hash.h"
#include "base/list.h"
#include "base/refcount.h"
#include "rt/reclaim.h"
#include "sync/once.h"

#include <weft/hub.h>

#define HUB_KEY_MAX (2 * (WEFT_HUB_NAME_MAX + 1))

struct weft_hub_entry {
	struct refcount refs;
	_Atomic bool registered;   /* written under the hub's lock */
	const weft_hub_type *type; /* fixed, as is all of the key */
	uint64_t hash;
	void *object;		  /* under the hub's lock from new to registered; then fixed */
	weft_once once;		  /* value: the object, once it is registered */
	struct list order;	  /* in hub->order while registered; under the hub's lock */
	struct reclaim_node node; /* at the end */
	size_t scope_len, key_len;
	char key[]; /* scope, NUL, name, NUL; a global one has the scope "", which no other has */
};

/* Open addressing. Slots change under the hub's lock; a table that is too small is replaced
 * as a whole. */
struct hub_table {
	struct reclaim_node node;
	size_t mask; /* slots - 1 */
	_Atomic(struct weft_hub_entry *) slots[];
};

struct weft_hub {
	struct rt_lock lock;
	_Atomic(struct hub_table *) table; /* NULL: no entries; written under the lock */
	size_t entries;			   /* in the table; under the lock, as all that follows */
	size_t used;			   /* slots that are not empty: entries, and gone ones */
	size_t len;			   /* registered */
	struct list order;		   /* of registered ones, oldest first */
};

/* A key, checked. */
struct hub_name {
	uint64_t hash;
	size_t scope_len, len;
	char key[HUB_KEY_MAX]; /* as an entry's */
};

/* In a guard, or under the lock. *other: a type under which the name is registered, if it
 * is not registered under this one; untouched if there is none. */
struct weft_hub_entry *hub_table_find(const struct weft_hub *hub, const struct hub_name *name,
	const weft_hub_type *type, const weft_hub_type **other);

/* These three under the lock. Slots that a table must have for one entry more, 0: the one
 * there is will do. */
size_t hub_table_wanted(const struct weft_hub *hub);
/* larger: a table with as many slots as wanted, or NULL; takes it. Not there yet. */
void hub_table_insert(struct weft_hub *hub, struct weft_hub_entry *entry, struct hub_table *larger);
/* It is there. */
void hub_table_remove(struct weft_hub *hub, struct weft_hub_entry *entry);

/* NULL: out of memory. */
struct hub_table *hub_table_alloc(size_t slots);

#endif
