/* SPDX-License-Identifier: MIT */
/*
 * A hub (hub.c, hub_table.c) over its once. Held: an entry is in the table while somebody may
 * come to want it, and no longer; an object that was found lives until who found it lets it go;
 * one of those who register a name does.
 */
#include "model.h"
#include "retired.h"

#include "sync/hub.h"

#include <weft/hub.h>

#define MAYBE 1
#define ALIVE 7

static weft_hub *hub;
static unsigned objects[MODEL_THREADS_MAX + 1];
static _Atomic unsigned registered, destroyed;

static void destroy(void *object)
{
	unsigned *alive = object;

	MODEL_CHECK(*alive == ALIVE);
	*alive = 0;
	/* relaxed: looked at in check */
	atomic_fetch_add_explicit(&destroyed, 1, memory_order_relaxed);
}

static const weft_hub_type type = { "thing", destroy };
static const weft_hub_key key = { NULL, "a", &type };

void hash_seed_process(struct hash_seed *seed)
{
	*seed = (struct hash_seed){ { 1, 3, 7 } };
}

uint64_t hash_bytes(const struct hash_seed *seed, const void *data, size_t size)
{
	(void)data;
	return seed->k[0] + size;
}

/* --- what the threads do ---------------------------------------------------------------- */

static void *object_make(void)
{
	unsigned *alive = &objects[model_self()];

	*alive = ALIVE;
	return alive;
}

static void count(_Atomic unsigned *n)
{
	/* relaxed: looked at in check */
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static void set(void)
{
	weft_err err = weft_hub_set(hub, &key, object_make());

	MODEL_CHECK(err == WEFT_OK || err == WEFT_EDUPLICATE);
	if (err == WEFT_OK)
		count(&registered);
}

static void remove_it(void)
{
	MODEL_CHECK(weft_hub_remove(hub, &key) == WEFT_OK);
}

static void remove_maybe(void)
{
	weft_err err = weft_hub_remove(hub, &key);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ENOTFOUND);
}

/* A handle's object lives until the handle ends. */
static void use(weft_hub_handle *handle, const void *object)
{
	const unsigned *alive = object;

	MODEL_CHECK(weft_hub_object(handle) == object && *alive == ALIVE);
	weft_hub_handle_fini(handle);
}

static void look(void)
{
	weft_hub_handle handle = WEFT_HUB_HANDLE(hub, NULL, "a", &type);
	void *object;
	weft_err err = weft_hub_get(&handle, &object);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ENOTFOUND);
	if (err == WEFT_OK)
		use(&handle, object);
}

static void wait_maybe(void)
{
	weft_hub_handle handle = WEFT_HUB_HANDLE(hub, NULL, "a", &type);
	void *object;
	weft_err err = weft_hub_wait(&handle, &object, MAYBE);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_ETIMEDOUT);
	if (err == WEFT_OK)
		use(&handle, object);
}

static void wait_for_it(void)
{
	weft_hub_handle handle = WEFT_HUB_HANDLE(hub, NULL, "a", &type);
	void *object;

	MODEL_CHECK(weft_hub_wait(&handle, &object, WEFT_FOREVER) == WEFT_OK);
	use(&handle, object);
}

static weft_err init_ok(void *arg, void **object)
{
	(void)arg;
	*object = object_make();
	count(&registered);
	return WEFT_OK;
}

static weft_err init_fails(void *arg, void **object)
{
	(void)arg;
	(void)object;
	return WEFT_EIO;
}

static void get_or_init(void)
{
	weft_hub_handle handle = WEFT_HUB_HANDLE(hub, NULL, "a", &type);
	void *object;

	MODEL_CHECK(weft_hub_get_or_init(&handle, &object, init_ok, NULL, WEFT_FOREVER) == WEFT_OK);
	use(&handle, object);
}

static void get_or_init_fails(void)
{
	weft_hub_handle handle = WEFT_HUB_HANDLE(hub, NULL, "a", &type);
	void *object;
	weft_err err = weft_hub_get_or_init(&handle, &object, init_fails, NULL, WEFT_FOREVER);

	MODEL_CHECK(err == WEFT_OK || err == WEFT_EIO);
	if (err == WEFT_OK)
		use(&handle, object);
}

/* --- before and after ------------------------------------------------------------------- */

static void setup(void)
{
	retired_setup();
	MODEL_CHECK(weft_hub_create(&hub) == WEFT_OK);
}

/* The table is there already. */
static void setup_other(void)
{
	const weft_hub_key other = { NULL, "bb", &type };

	setup();
	MODEL_CHECK(weft_hub_set(hub, &other, object_make()) == WEFT_OK);
	count(&registered);
}

static void setup_there(void)
{
	setup();
	set();
}

static unsigned n(const _Atomic unsigned *count_of)
{
	return atomic_load_explicit(count_of, memory_order_relaxed);
}

static void finish(unsigned made_min, unsigned made_max)
{
	MODEL_CHECK(hub->entries == hub->len && hub->len <= 2);
	weft_hub_free(hub);
	MODEL_CHECK(n(&registered) >= made_min && n(&registered) <= made_max);
	MODEL_CHECK(n(&destroyed) == n(&registered));
	retired_free();
}

static void none(void)
{
	finish(0, 0);
}

static void one(void)
{
	finish(1, 1);
}

static void two(void)
{
	finish(2, 2);
}

static void one_or_two(void)
{
	finish(1, 2);
}

const struct model models[] = {
	Q("hub-leave", "two wait and give up", setup, { wait_maybe, wait_maybe }, none),
	Q("hub-fail", "one fails to initialise, one gives up", setup,
		{ get_or_init_fails, wait_maybe }, none),
	Q("hub-set", "one registers, one waits, and may give up", setup, { set, wait_maybe }, one),
	Q("hub-set-look", "one registers, one looks", setup_other, { set, look }, two),
	Q("hub-look", "one removes, one looks", setup_there, { remove_it, look }, one),
	M("hub-set-set", "two register, one may remove", setup, { set, set, remove_maybe },
		one_or_two),
	M("hub-init", "two initialise, one fails to", setup, { get_or_init, get_or_init_fails },
		one),
	M("hub-wait", "one registers, one waits", setup, { set, wait_for_it }, one),
	M("hub-leave-set", "two give up, one registers", setup, { wait_maybe, wait_maybe, set },
		one),
};
const size_t models_count = sizeof(models) / sizeof(models[0]);
