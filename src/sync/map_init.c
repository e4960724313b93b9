/* SPDX-License-Identifier: MIT */
/*
 * Values that are made when they are first asked for. An initialiser under way is a struct
 * map_pending in the map's list, with a weft_once that all who ask for its key wait on: so
 * turns, hand-over and cancellation are the once's.
 *
 *	begun     in the list; newcomers join
 *	closing   in the list; the value is being put into the table: newcomers come again, in
 *	          a moment, and find it there. For a joiner would get the value from here, also
 *	          when it was removed from the table before he came
 *	done      in no list; who had joined gets the value
 *
 * This lock is taken only by who finds no value.
 */
#include "base/err.h"
#include "base/mem.h"
#include "sync/map.h"

#include <weft/once.h>

struct map_pending {
	struct list link;    /* in map->inits, until done; under its lock */
	unsigned refs;	     /* callers; under the lock */
	bool closing;	     /* under the lock */
	uint64_t hash;	     /* constant */
	weft_map_key key;    /* constant; its data is that of box */
	struct map_box *box; /* NULL for plain numbers; its turn's owner's, until it is put in */
	weft_once *once;     /* its value: this struct */
	uint64_t value;	     /* a reference; valid once the once has a value */
};

/* One caller. */
struct asker {
	struct weft_map *map;
	struct map_pending *pending;
	weft_err (*init)(void *arg, uint64_t *value);
	void *arg;
};

static void pending_free(const struct weft_map *map, struct map_pending *p)
{
	if (!p)
		return;
	if (p->once && weft_once_get(p->once) && map->options.value_ref)
		map_value_unref(map, p->value);
	map_box_free(p->box);
	weft_once_free(p->once);
	mem_free(p);
}

static struct map_pending *pending_make(const struct weft_map *map, const struct map_look *look)
{
	struct map_pending *p = mem_calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	list_init(&p->link);
	p->refs = 1;
	p->hash = look->hash;
	p->key = look->key;
	if (map->boxed) {
		p->box = map_box_make(map, look->key, look->hash);
		if (p->box)
			p->key = p->box->key;
	}
	if ((map->boxed && !p->box) || weft_once_create(&p->once, NULL) != WEFT_OK) {
		pending_free(map, p);
		return NULL;
	}
	return p;
}

static bool is_same(
	const struct weft_map *map, const struct map_pending *p, const struct map_look *look)
{
	if (p->hash != look->hash)
		return false;
	if (p->closing)
		return true; /* the box may be gone; who comes again in vain does no harm */
	if (map->keys == WEFT_MAP_BYTES)
		return p->key.number == look->key.number &&
			(p->key.number == 0 ||
				memcmp(p->key.data, look->key.data, p->key.number) == 0);
	if (map->keys == WEFT_MAP_CUSTOM)
		return map->options.key_equal(p->key.data, look->key.data);
	return p->key.number == look->key.number;
}

static struct map_pending *pending_find_locked(struct weft_map *map, const struct map_look *look)
{
	list_for_each(link, &map->inits) {
		struct map_pending *p = container_of(link, struct map_pending, link);

		if (is_same(map, p, look))
			return p;
	}
	return NULL;
}

/* Joins the key's initialiser; *made, if not NULL, becomes it when there is none. NULL: there
 * is none and nothing was made, or it is closing. */
static struct map_pending *pending_join(
	struct weft_map *map, const struct map_look *look, struct map_pending **made, bool *closing)
{
	struct map_pending *p;

	rt_lock_acquire(&map->inits_lock);
	p = pending_find_locked(map, look);
	*closing = p && p->closing;
	if (*closing) {
		p = NULL;
	} else if (p) {
		p->refs++;
	} else if (*made) {
		p = *made;
		*made = NULL;
		list_push_back(&map->inits, &p->link);
	}
	rt_lock_release(&map->inits_lock);
	return p;
}

/* The last one out frees; one that nobody waits for any more is out of the list by then. */
static void pending_leave(struct weft_map *map, struct map_pending *p)
{
	bool last;

	rt_lock_acquire(&map->inits_lock);
	last = --p->refs == 0;
	if (last)
		list_remove(&p->link);
	rt_lock_release(&map->inits_lock);
	if (last)
		pending_free(map, p);
}

static void pending_close(struct weft_map *map, struct map_pending *p, bool closing, bool done)
{
	rt_lock_acquire(&map->inits_lock);
	p->closing = closing;
	if (done)
		list_remove(&p->link);
	rt_lock_release(&map->inits_lock);
}

/* What init made becomes the entry's value, or is dropped for one that is there already. */
static weft_err publish(struct asker *a, uint64_t made)
{
	struct map_pending *p = a->pending;
	weft_err err;

	map_value_ref(a->map, made); /* the pending's own, beside the map's */
	p->value = made;
	pending_close(a->map, p, true, false);
	while ((err = map_insert_own(a->map, p->key, p->hash, p->box, made)) == WEFT_EDUPLICATE) {
		uint64_t there;

		if (!map_get_hashed(a->map, p->key, p->hash, &there))
			continue;
		/* twice: the pending's reference and the map's */
		map_value_unref(a->map, made);
		if (a->map->options.value_ref)
			map_value_unref(a->map, made);
		p->value = there;
		pending_close(a->map, p, true, true);
		return WEFT_OK;
	}
	if (err == WEFT_OK) {
		p->box = NULL;
	} else {
		map_value_unref(a->map, made);
		if (a->map->options.value_ref)
			map_value_unref(a->map, made);
	}
	pending_close(a->map, p, err == WEFT_OK, err == WEFT_OK);
	return err == WEFT_OK ? err : err_set(err);
}

/* A turn: somebody may have put the key in before it came. */
static weft_err run_turn(void *arg, void **out)
{
	struct asker *a = arg;
	struct map_pending *p = a->pending;
	uint64_t made = 0;
	weft_err err;

	if (map_get_hashed(a->map, p->key, p->hash, &p->value)) {
		pending_close(a->map, p, true, true);
	} else {
		err = a->init(a->arg, &made);
		if (err == WEFT_OK)
			err = publish(a, made);
		if (err != WEFT_OK)
			return err;
	}
	*out = p;
	return WEFT_OK;
}

static weft_err ask(struct asker *a, uint64_t *value, weft_deadline until)
{
	void *done;
	weft_err err = weft_once_get_or_init(a->pending->once, &done, run_turn, a, until);

	if (err == WEFT_OK) {
		map_value_ref(a->map, a->pending->value);
		*value = a->pending->value;
	}
	pending_leave(a->map, a->pending);
	return err;
}

weft_err weft_map_get_or_insert_with(weft_map *map, weft_map_key key, uint64_t *value,
	weft_err (*init)(void *arg, uint64_t *value), void *arg, weft_deadline until)
{
	struct asker asker = { map, NULL, init, arg };
	struct map_pending *made = NULL;
	struct map_look look;
	unsigned spins = 0;
	weft_err err = WEFT_OK;
	bool closing;

	map_look_init(&look, map, key, map_hash(map, key));
	while (!map_get_hashed(map, key, look.hash, value)) {
		asker.pending = pending_join(map, &look, &made, &closing);
		if (asker.pending) {
			err = ask(&asker, value, until);
			break;
		}
		if (closing) {
			(void)rt_relax(&spins, true);
		} else {
			made = pending_make(map, &look);
			if (!made) {
				err = err_set(WEFT_ENOMEM);
				break;
			}
		}
	}
	pending_free(map, made);
	return err;
}
