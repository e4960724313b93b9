/* SPDX-License-Identifier: MIT */
/* A map's calls on single entries. See map.h for how it works and why that is right. */
#include "sync/map.h"
#include "base/err.h"
#include "base/mem.h"

#define SHARDS_DEFAULT_MIN 8
#define SHARDS_DEFAULT_MAX 64
#define STRIPES_MAX 16
#define SIM_SEED 1 /* simulated runs repeat, so that their maps must */

/* --- boxes ------------------------------------------------------------------------------------ */

struct map_box *map_box_make(const struct weft_map *map, weft_map_key key, uint64_t hash)
{
	bool bytes = map->keys == WEFT_MAP_BYTES;
	size_t size = bytes ? (size_t)key.number : 0;
	struct map_box *box = mem_alloc(sizeof(*box) + size);

	if (!box)
		return NULL;
	box->hash = hash;
	box->key = key;
	box->value = 0;
	box->value_unref = NULL;
	box->key_unref = NULL;
	if (bytes) {
		box->key.data = box + 1;
		if (size)
			memcpy(box + 1, key.data, size);
	} else if (map->keys == WEFT_MAP_CUSTOM) {
		if (map->options.key_ref)
			box->key.data = map->options.key_ref(key.data);
		box->key_unref = map->options.key_unref;
		if (!box->key.data && key.data) {
			mem_free(box);
			return NULL;
		}
	}
	return box;
}

void map_box_free(struct map_box *box)
{
	if (!box)
		return;
	if (box->value_unref)
		box->value_unref(box->value);
	if (box->key_unref)
		box->key_unref((void *)(uintptr_t)box->key.data);
	mem_free(box);
}

static void box_retired(struct reclaim_node *node)
{
	map_box_free(container_of(node, struct map_box, node));
}

bool map_box_equal(
	const struct weft_map *map, const struct map_box *box, const struct map_look *look)
{
	if (box->hash != look->hash)
		return false;
	switch (map->keys) {
	case WEFT_MAP_INT:
		return box->key.number == look->key.number;
	case WEFT_MAP_BYTES:
		return box->key.number == look->key.number &&
			(box->key.number == 0 ||
				memcmp(box->key.data, look->key.data, box->key.number) == 0);
	case WEFT_MAP_CUSTOM:
	default:
		return map->options.key_equal(box->key.data, look->key.data);
	}
}

weft_map_key map_key_of(const struct weft_map *map, uint64_t key_word)
{
	if (map->boxed)
		return ((const struct map_box *)(uintptr_t)key_word)->key;
	return weft_map_int(key_word);
}

/* A value that another one took the place of, on its way to value_unref. */
struct gone {
	struct reclaim_node node;
	uint64_t value;
	void (*value_unref)(uint64_t value);
};

static void gone_retired(struct reclaim_node *node)
{
	struct gone *gone = container_of(node, struct gone, node);

	gone->value_unref(gone->value);
	mem_free(gone);
}

/* --- life ------------------------------------------------------------------------------------- */

static weft_err check_options(const weft_map_options *o)
{
	bool custom = o->keys == WEFT_MAP_CUSTOM;
	const char *field = NULL;

	if (o->keys != WEFT_MAP_INT && o->keys != WEFT_MAP_BYTES && !custom)
		field = "keys";
	else if (custom != (o->key_hash != NULL))
		field = "key_hash";
	else if (custom != (o->key_equal != NULL))
		field = "key_equal";
	else if (!custom && o->key_ref)
		field = "key_ref";
	else if (!custom && o->key_unref)
		field = "key_unref";
	else if (o->value_ref && !o->value_unref)
		field = "value_unref";
	else if (o->len_max > WEFT_MAP_LEN_MAX)
		field = "len_max";
	else if (o->len_expected > WEFT_MAP_LEN_MAX)
		field = "len_expected";
	else if (o->shards > WEFT_MAP_SHARDS_MAX || (o->shards & (o->shards - 1)) != 0)
		field = "shards";
	return field ? err_setf(WEFT_EINVAL, "create map: %s", field) : WEFT_OK;
}

static size_t power_of_two(size_t at_least, size_t min, size_t max)
{
	size_t n = min;

	while (n < at_least && n < max)
		n *= 2;
	return n;
}

static void layout(struct weft_map *map, const weft_map_options *o)
{
	size_t cores = rt_is_sim() ? 1 : rt_cores();
	size_t stripes = power_of_two(cores * 2, 1, STRIPES_MAX);

	map->shards_len = o->shards
		? o->shards
		: power_of_two(cores * 4, SHARDS_DEFAULT_MIN, SHARDS_DEFAULT_MAX);
	map->shard_bits = (unsigned)__builtin_ctzll(map->shards_len);
	map->stripes_mask = stripes - 1;
	map->stripe_len = power_of_two(
		map->shards_len, CACHE_APART / sizeof(map->lens[0]), WEFT_MAP_SHARDS_MAX);
	/* a third more, for the shards that get more than their share */
	map->first_bits = map_bits_for(o->len_expected / map->shards_len * 4 / 3);
}

static weft_map *map_alloc(const struct weft_map *shape)
{
	size_t heads = shape->shards_len * sizeof(shape->heads[0]);
	size_t size = (sizeof(*shape) + heads + CACHE_APART - 1) & ~(size_t)(CACHE_APART - 1);
	size_t lens = (shape->stripes_mask + 1) * shape->stripe_len * sizeof(shape->lens[0]);
	weft_map *map = mem_aligned(CACHE_APART, size + lens);

	if (!map)
		return NULL;
	memset((void *)map, 0, size + lens);
	memcpy((void *)map, shape, sizeof(*shape));
	map->lens = (_Atomic int64_t *)(void *)((char *)map + size);
	return map;
}

weft_err weft_map_create(weft_map **out, const weft_map_options *options)
{
	struct weft_map shape = { .options = WEFT_MAP_OPTIONS_DEFAULT };
	weft_map *map;
	weft_err err;

	if (options)
		shape.options = *options;
	err = check_options(&shape.options);
	if (err != WEFT_OK)
		return err;
	shape.keys = shape.options.keys;
	shape.boxed = shape.keys != WEFT_MAP_INT || shape.options.value_unref;
	layout(&shape, &shape.options);
	if (rt_is_sim())
		hash_seed_from(&shape.seed, SIM_SEED);
	else
		hash_seed_process(&shape.seed);
	map = map_alloc(&shape);
	if (!map)
		return err_set(WEFT_ENOMEM);
	list_init(&map->inits);
	for (size_t i = 0; i < map->shards_len; i++)
		/* relaxed: nobody else knows the map yet */
		atomic_store_explicit(
			&map->heads[i], map_head_of(&map_nothing.table), memory_order_relaxed);
	*out = map;
	return WEFT_OK;
}

static void drop_entries(struct weft_map *map, uintptr_t head)
{
	for (size_t i = 0; i < map_table(head)->len; i++) {
		const struct map_group *group = &map_groups(head)[i];

		for (uint64_t bits = map_tags(group) & MAP_FREE_BITS; bits; bits &= bits - 1) {
			const struct map_slot *slot = &group->slots[map_first(bits)];
			struct map_box *box = (struct map_box *)(uintptr_t)map_slot_key(slot);

			box->value = map_slot_value(slot);
			box->value_unref = map->options.value_unref;
			map_box_free(box);
		}
	}
}

void weft_map_free(weft_map *map)
{
	if (!map)
		return;
	CHECK(list_is_empty(&map->inits));
	for (size_t i = 0; i < map->shards_len; i++) {
		reclaim_enter();
		map_finish(map, i);
		reclaim_leave();
		if (map->boxed)
			drop_entries(map, map_head(map, i));
	}
	map_tables_free(map);
	mem_free(map);
	reclaim_help();
}

/* --- reading ---------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) bool get(
	const struct weft_map *map, struct map_look *look, uint64_t *value, const bool boxed)
{
	bool found;

	reclaim_enter();
	look->head = map_head(map, look->shard);
	found = map_find(map, look, boxed);
	if (found) {
		if (boxed)
			map_value_ref(map, look->value);
		*value = look->value;
	}
	reclaim_leave();
	return found;
}

bool map_get_hashed(const struct weft_map *map, weft_map_key key, uint64_t hash, uint64_t *value)
{
	struct map_look look;

	map_look_init(&look, map, key, hash);
	if (weft_likely(!map->boxed))
		return get(map, &look, value, false);
	return get(map, &look, value, true);
}

bool weft_map_get(const weft_map *map, weft_map_key key, uint64_t *value)
{
	struct map_look look;

	if (weft_unlikely(map->boxed))
		return map_get_hashed(map, key, map_hash(map, key), value);
	map_look_init(&look, map, key, hash_number(&map->seed, key.number));
	return get(map, &look, value, false);
}

bool weft_map_contains(const weft_map *map, weft_map_key key)
{
	struct map_look look;
	bool found;

	map_look_init(&look, map, key, map_hash(map, key));
	reclaim_enter();
	look.head = map_head(map, look.shard);
	found = map_find_any(map, &look);
	reclaim_leave();
	return found;
}

bool weft_map_view(
	const weft_map *map, weft_map_key key, void (*fn)(void *arg, uint64_t value), void *arg)
{
	struct map_look look;
	bool found;

	map_look_init(&look, map, key, map_hash(map, key));
	reclaim_enter();
	look.head = map_head(map, look.shard);
	found = map_find_any(map, &look);
	if (found)
		fn(arg, look.value);
	reclaim_leave();
	return found;
}

size_t weft_map_len(const weft_map *map)
{
	int64_t sum = 0;

	for (size_t i = 0; i < map->shards_len; i++)
		sum += map_shard_len(map, i);
	return sum > 0 ? (size_t)sum : 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

enum edit_kind { EDIT_INSERT, EDIT_SET, EDIT_REMOVE, EDIT_COMPUTE };

/* One call that may change an entry. */
struct edit {
	enum edit_kind kind;
	bool (*agrees)(void *arg, uint64_t value); /* EDIT_REMOVE: NULL: always */
	weft_map_compute_fn compute;
	void *arg;
	uint64_t value;	     /* to be stored */
	bool holds;	     /* value's reference is the map's, or will be */
	struct map_box *box; /* for a new entry; owned until it is in */
	struct gone *gone;   /* for the value that is replaced; owned until then */
	bool counted;	     /* an entry to come, in lens */
	bool bounded;	     /* ... and in bounded */
	bool wants_old;
	bool decided; /* verdict holds for found and old */
	weft_map_verdict verdict;
	/* results */
	bool found; /* before the change */
	bool removed;
	uint64_t old; /* valid if found */
};

/* The value that compute made is not wanted any more. */
static void edit_drop_made(const struct weft_map *map, struct edit *e)
{
	if (e->kind == EDIT_COMPUTE && e->holds)
		map_value_unref(map, e->value);
	if (e->kind == EDIT_COMPUTE)
		e->holds = false;
}

/* Runs what of the user's is to be run: without a lock. */
static weft_map_verdict edit_decide(
	const struct weft_map *map, struct edit *e, bool found, uint64_t value)
{
	weft_map_verdict verdict;

	switch (e->kind) {
	case EDIT_INSERT:
		return found ? WEFT_MAP_KEEP : WEFT_MAP_STORE;
	case EDIT_SET:
		return WEFT_MAP_STORE;
	case EDIT_REMOVE:
		return found && (!e->agrees || e->agrees(e->arg, value)) ? WEFT_MAP_REMOVE
									 : WEFT_MAP_KEEP;
	case EDIT_COMPUTE:
	default:
		edit_drop_made(map, e);
		e->value = found ? value : 0;
		verdict = e->compute(e->arg, found, &e->value);
		if (verdict != WEFT_MAP_STORE)
			return verdict;
		if (found && e->value == value)
			return WEFT_MAP_KEEP;
		e->holds = true;
		return verdict;
	}
}

static weft_err edit_reserve(struct weft_map *map, const struct map_look *look, struct edit *e)
{
	if (map->boxed && !e->box) {
		e->box = map_box_make(map, look->key, look->hash);
		if (!e->box)
			return WEFT_ENOMEM;
	}
	if (map->options.len_max && !e->bounded) {
		e->bounded = counter_try_add(&map->bounded, 1, map->options.len_max);
		if (!e->bounded)
			return WEFT_ECAPACITY;
	}
	if (!e->counted) {
		map_count(map, look->shard, 1);
		e->counted = true;
	}
	return WEFT_OK;
}

static void edit_hold(const struct weft_map *map, struct edit *e)
{
	if (!e->holds) {
		map_value_ref(map, e->value);
		e->holds = true;
	}
}

/* WEFT_EAGAIN from these: search again. */
static weft_err edit_put(
	struct weft_map *map, struct map_look *look, struct edit *e, bool is_moving)
{
	weft_err room = WEFT_OK, err = edit_reserve(map, look, e);
	uint64_t key_word;

	if (err != WEFT_OK)
		return err;
	if (weft_unlikely(is_moving || (map_tags(look->home) & MAP_FREE_BITS) == MAP_FREE_BITS ||
		    map_table(look->head) == &map_nothing.table))
		room = map_room(map, look);
	if (room == WEFT_EAGAIN || map_table(look->head) == &map_nothing.table)
		return room;
	edit_hold(map, e);
	key_word = map->boxed ? (uint64_t)(uintptr_t)e->box : look->key.number;
	if (!map_lock(look))
		return WEFT_EAGAIN;
	if (weft_unlikely(map_is_closed(map_table(look->head)))) {
		map_unlock(look->home, look->word);
		return WEFT_EAGAIN;
	}
	switch (map_put_locked(look, key_word, e->value)) {
	case MAP_PUT_DONE:
		e->box = NULL;
		e->counted = false;
		e->bounded = false;
		return WEFT_OK;
	case MAP_PUT_FULL:
		return room == WEFT_OK ? WEFT_EAGAIN : room;
	case MAP_PUT_BUSY:
	default:
		return WEFT_EAGAIN;
	}
}

/* Reads the value under the lock. False: not one that this edit may act on. */
static bool edit_sees(struct edit *e, const struct map_look *look)
{
	uint64_t value = map_slot_value(&look->at->slots[look->slot]);

	if (value != e->old && e->kind != EDIT_SET && (e->kind != EDIT_REMOVE || e->agrees))
		return false;
	e->old = value;
	return true;
}

static weft_err edit_replace(struct weft_map *map, struct map_look *look, struct edit *e)
{
	if (map->options.value_unref && !e->gone) {
		e->gone = mem_alloc(sizeof(*e->gone));
		if (!e->gone)
			return WEFT_ENOMEM;
	}
	edit_hold(map, e);
	if (!map_lock(look))
		return WEFT_EAGAIN;
	if (!edit_sees(e, look)) {
		map_unlock(look->home, look->word);
		return WEFT_EAGAIN;
	}
	/* release; pairs with map_slot_value: what the value points to */
	atomic_store_explicit(&look->at->slots[look->slot].value, e->value, memory_order_release);
	map_unlock(look->home, look->word);
	if (e->gone) {
		e->gone->value = e->old;
		e->gone->value_unref = map->options.value_unref;
		reclaim_retire(&e->gone->node, gone_retired);
		e->gone = NULL;
	}
	return WEFT_OK;
}

static weft_err edit_take(struct weft_map *map, struct map_look *look, struct edit *e)
{
	if (!map_lock(look))
		return WEFT_EAGAIN;
	if (!edit_sees(e, look)) {
		map_unlock(look->home, look->word);
		return WEFT_EAGAIN;
	}
	if (!map_take_locked(look))
		return WEFT_EAGAIN;
	if (map->boxed) {
		struct map_box *box = (struct map_box *)(uintptr_t)look->key_word;

		box->value = e->old;
		box->value_unref = map->options.value_unref;
		reclaim_retire(&box->node, box_retired);
	}
	if (map->options.len_max)
		(void)counter_sub(&map->bounded, 1);
	map_count(map, look->shard, -1);
	e->removed = true;
	if (weft_unlikely(map_tags(look->home) == 0))
		map_maybe_shrink(map, look->shard);
	return WEFT_OK;
}

static weft_err edit_once(struct weft_map *map, struct map_look *look, struct edit *e)
{
	uintptr_t head;
	bool is_moving, found;

	head = look->head = map_head(map, look->shard);
	is_moving = map_settle(map, look);
	found = map_find_any(map, look);
	if (!e->decided || found != e->found || (found && look->value != e->old)) {
		e->decided = true;
		e->found = found;
		e->old = look->value;
		e->verdict = edit_decide(map, e, found, look->value);
	}
	if (e->verdict == WEFT_MAP_REMOVE && found)
		return edit_take(map, look, e);
	if (e->verdict == WEFT_MAP_STORE)
		return e->found ? edit_replace(map, look, e)
				: edit_put(map, look, e, is_moving || look->head != head);
	return e->kind == EDIT_INSERT ? WEFT_EDUPLICATE : WEFT_OK;
}

static weft_err edit_run(struct weft_map *map, struct map_look *look, struct edit *e)
{
	unsigned spins = 0;
	weft_err err;

	reclaim_enter();
	while ((err = edit_once(map, look, e)) == WEFT_EAGAIN)
		(void)rt_relax(&spins, false);
	if (e->wants_old && e->found)
		map_value_ref(map, e->old);
	reclaim_leave();
	if (e->counted)
		map_count(map, look->shard, -1);
	if (e->bounded)
		(void)counter_sub(&map->bounded, 1);
	mem_free(e->gone);
	reclaim_help();
	return err;
}

/* insert and set: the map takes a reference of its own. */
static weft_err edit_borrowed(struct weft_map *map, struct map_look *look, struct edit *e)
{
	weft_err err = edit_run(map, look, e);

	map_box_free(e->box);
	if (err == WEFT_OK)
		return WEFT_OK;
	if (e->holds && map->options.value_ref)
		map_value_unref(map, e->value);
	return err_set(err);
}

weft_err map_insert_own(
	struct weft_map *map, weft_map_key key, uint64_t hash, struct map_box *box, uint64_t value)
{
	struct edit e = { .kind = EDIT_INSERT, .value = value, .holds = true, .box = box };
	struct map_look look;

	map_look_init(&look, map, key, hash);
	return edit_run(map, &look, &e);
}

weft_err weft_map_swap(
	weft_map *map, weft_map_key key, uint64_t value, bool *replaced, uint64_t *old)
{
	struct edit e = { .kind = EDIT_SET, .value = value, .wants_old = true };
	struct map_look look;
	weft_err err;

	map_look_init(&look, map, key, map_hash(map, key));
	err = edit_borrowed(map, &look, &e);
	if (err != WEFT_OK)
		return err;
	*replaced = e.found;
	if (e.found)
		*old = e.old;
	return WEFT_OK;
}

static bool remove_run(struct weft_map *map, weft_map_key key, uint64_t hash, struct edit *e)
{
	struct map_look look;

	map_look_init(&look, map, key, hash);
	(void)edit_run(map, &look, e); /* a removal needs no memory */
	return e->removed;
}

bool map_remove_hashed(struct weft_map *map, weft_map_key key, uint64_t hash,
	bool (*fn)(void *arg, uint64_t value), void *arg)
{
	struct edit e = { .kind = EDIT_REMOVE, .agrees = fn, .arg = arg };

	return remove_run(map, key, hash, &e);
}

bool weft_map_remove_if(
	weft_map *map, weft_map_key key, bool (*fn)(void *arg, uint64_t value), void *arg)
{
	return map_remove_hashed(map, key, map_hash(map, key), fn, arg);
}

weft_err weft_map_compute(weft_map *map, weft_map_key key, weft_map_compute_fn fn, void *arg)
{
	struct edit e = { .kind = EDIT_COMPUTE, .compute = fn, .arg = arg };
	struct map_look look;
	weft_err err;

	map_look_init(&look, map, key, map_hash(map, key));
	err = edit_run(map, &look, &e);
	map_box_free(e.box);
	if (err == WEFT_OK)
		return WEFT_OK;
	edit_drop_made(map, &e);
	return err_set(err);
}

/* --- plain numbers ------------------------------------------------------------------------------ */

/*
 * What is most frequent has code of its own: keys that are numbers, values without references,
 * the entry in its home or room for it there, no table being emptied. All of it is what
 * edit_run does as well. WEFT_EAGAIN: it takes more, nothing happened.
 */
static inline void prefetch_home(const struct map_look *look)
{
	const struct map_group *home = &map_groups(look->head)[map_index(look->head, look->rest)];

	cpu_prefetch_write(home);
	cpu_prefetch_write((const char *)home + CACHE_LINE);
}

static inline __attribute__((always_inline)) weft_err put_plain(
	struct weft_map *map, struct map_look *look, uint64_t value, const bool replaces)
{
	uint64_t bits;

	look->head = map_head(map, look->shard);
	prefetch_home(look);
	if (weft_unlikely(map_next(map_table(look->head)) != NULL))
		return WEFT_EAGAIN;
	if (map_find(map, look, false)) {
		if (!replaces)
			return WEFT_EDUPLICATE;
		if (weft_unlikely(!map_lock(look)))
			return WEFT_EAGAIN;
		/* release; pairs with map_slot_value: what the value points to */
		atomic_store_explicit(
			&look->at->slots[look->slot].value, value, memory_order_release);
		map_unlock(look->home, look->word);
		return WEFT_OK;
	}
	if (map->options.len_max || map_table(look->head) == &map_nothing.table ||
		map_free_slots(look->home) == 0)
		return WEFT_EAGAIN;
	map_count(map, look->shard, 1);
	if (weft_likely(map_lock(look))) {
		bits = map_free_slots(look->home);
		if (weft_likely(bits != 0 && !map_is_closed(map_table(look->head)))) {
			map_slot_write(look->home, look->word, map_first(bits), map_tag(look->hash),
				look->key.number, value);
			map_unlock(look->home, look->word + MAP_VERSION);
			return WEFT_OK;
		}
		map_unlock(look->home, look->word);
	}
	map_count(map, look->shard, -1);
	return WEFT_EAGAIN;
}

static inline __attribute__((always_inline)) weft_err take_plain(
	struct weft_map *map, struct map_look *look, uint64_t *old)
{
	look->head = map_head(map, look->shard);
	prefetch_home(look);
	if (weft_unlikely(map_next(map_table(look->head)) != NULL))
		return WEFT_EAGAIN;
	if (!map_find(map, look, false))
		return WEFT_ENOTFOUND;
	if (look->at != look->home || map->options.len_max || !map_lock(look))
		return WEFT_EAGAIN;
	*old = map_slot_value(&look->at->slots[look->slot]);
	map_slot_clear(look->home, look->slot);
	map_unlock(look->home, look->word + MAP_VERSION);
	map_count(map, look->shard, -1);
	if (weft_unlikely(map_tags(look->home) == 0))
		map_maybe_shrink(map, look->shard);
	return WEFT_OK;
}

static __attribute__((noinline)) weft_err put_any(
	struct weft_map *map, weft_map_key key, uint64_t value, enum edit_kind kind)
{
	struct edit e = { .kind = kind, .value = value };
	struct map_look look;

	map_look_init(&look, map, key, map_hash(map, key));
	return edit_borrowed(map, &look, &e);
}

static inline __attribute__((always_inline)) weft_err put(
	struct weft_map *map, weft_map_key key, uint64_t value, const enum edit_kind kind)
{
	struct map_look look;
	weft_err err;

	if (weft_likely(!map->boxed)) {
		map_look_init(&look, map, key, hash_number(&map->seed, key.number));
		reclaim_enter();
		err = put_plain(map, &look, value, kind == EDIT_SET);
		reclaim_leave();
		if (weft_likely(err == WEFT_OK))
			return err;
		if (err != WEFT_EAGAIN)
			return err_set(err);
	}
	return put_any(map, key, value, kind);
}

weft_err weft_map_insert(weft_map *map, weft_map_key key, uint64_t value)
{
	return put(map, key, value, EDIT_INSERT);
}

weft_err weft_map_set(weft_map *map, weft_map_key key, uint64_t value)
{
	return put(map, key, value, EDIT_SET);
}

static __attribute__((noinline)) bool remove_any(
	struct weft_map *map, weft_map_key key, uint64_t *old)
{
	struct edit e = { .kind = EDIT_REMOVE, .wants_old = old != NULL };

	if (!remove_run(map, key, map_hash(map, key), &e))
		return false;
	if (old)
		*old = e.old;
	return true;
}

bool weft_map_remove(weft_map *map, weft_map_key key, uint64_t *old)
{
	struct map_look look;
	uint64_t taken = 0;
	weft_err err;

	if (weft_likely(!map->boxed)) {
		map_look_init(&look, map, key, hash_number(&map->seed, key.number));
		reclaim_enter();
		err = take_plain(map, &look, &taken);
		reclaim_leave();
		if (err == WEFT_OK && old)
			*old = taken;
		if (weft_likely(err != WEFT_EAGAIN))
			return err == WEFT_OK;
	}
	return remove_any(map, key, old);
}
