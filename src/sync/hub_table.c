/* SPDX-License-Identifier: MIT */
/*
 * The table of a hub. A look-up is a hash, and mostly one slot: two loads, and the key.
 *
 * Types of one name have one hash, so that who looks for one finds the others on the way.
 */
#include "sync/hub.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

#define SLOTS_MIN 16

/* In the slot of an entry that was taken out; a later one may have it. */
static struct weft_hub_entry gone;

struct hub_table *hub_table_alloc(size_t slots)
{
	struct hub_table *t = mem_calloc(1, sizeof(*t) + slots * sizeof(t->slots[0]));

	if (t)
		t->mask = slots - 1;
	return t;
}

static void table_free(struct reclaim_node *node)
{
	mem_free(container_of(node, struct hub_table, node));
}

static struct weft_hub_entry *slot_get(struct hub_table *t, size_t at)
{
	/* acquire; pairs with slot_set: the entry's fields */
	return atomic_load_explicit(&t->slots[at & t->mask], memory_order_acquire);
}

static void slot_set(struct hub_table *t, size_t at, struct weft_hub_entry *entry)
{
	/* release; pairs with slot_get: the entry's fields */
	atomic_store_explicit(&t->slots[at & t->mask], entry, memory_order_release);
}

static struct hub_table *table_of(const struct weft_hub *hub)
{
	/* acquire; pairs with table_set: the slots */
	return atomic_load_explicit(&hub->table, memory_order_acquire);
}

static void table_set(struct weft_hub *hub, struct hub_table *t)
{
	struct hub_table *old = table_of(hub);

	/* release; pairs with table_of: the slots */
	atomic_store_explicit(&hub->table, t, memory_order_release);
	if (old)
		reclaim_retire(&old->node, table_free);
}

struct weft_hub_entry *hub_table_find(const struct weft_hub *hub, const struct hub_name *name,
	const weft_hub_type *type, const weft_hub_type **other)
{
	struct hub_table *t = table_of(hub);
	struct weft_hub_entry *e;

	if (!t)
		return NULL;
	/* ends: a part of the slots is always empty */
	for (size_t at = name->hash; (e = slot_get(t, at)); at++) {
		if (e == &gone || e->hash != name->hash || e->key_len != name->len ||
			memcmp(e->key, name->key, name->len) != 0)
			continue;
		if (e->type == type)
			return e;
		if (weft_once_get(&e->once))
			*other = e->type;
	}
	return NULL;
}

size_t hub_table_wanted(const struct weft_hub *hub)
{
	struct hub_table *t = table_of(hub);
	size_t slots = SLOTS_MIN;

	if (t && hub->used + 1 <= (t->mask + 1) / 4 * 3)
		return 0;
	while (hub->entries + 1 > slots / 2)
		slots *= 2;
	return slots;
}

static void put(struct weft_hub *hub, struct hub_table *t, struct weft_hub_entry *entry)
{
	size_t at = entry->hash;
	struct weft_hub_entry *e;

	while ((e = slot_get(t, at)) && e != &gone)
		at++;
	if (!e)
		hub->used++;
	slot_set(t, at, entry);
}

void hub_table_insert(struct weft_hub *hub, struct weft_hub_entry *entry, struct hub_table *larger)
{
	struct hub_table *old = table_of(hub);

	if (larger) {
		hub->used = 0;
		for (size_t at = 0; old && at <= old->mask; at++) {
			struct weft_hub_entry *e = slot_get(old, at);

			if (e && e != &gone)
				put(hub, larger, e);
		}
		table_set(hub, larger);
	}
	put(hub, table_of(hub), entry);
	hub->entries++;
}

void hub_table_remove(struct weft_hub *hub, struct weft_hub_entry *entry)
{
	struct hub_table *t = table_of(hub);
	size_t at = entry->hash;

	while (slot_get(t, at) != entry)
		at++;
	slot_set(t, at, &gone);
	if (--hub->entries == 0) {
		table_set(hub, NULL);
		hub->used = 0;
	}
}
