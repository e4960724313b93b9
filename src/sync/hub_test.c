/* SPDX-License-Identifier: MIT */
#include "sync/hub.h"

#include "base/mem.h"
#include "support/crew.h"
#include "support/t.h"

#include <stdio.h>
#include <string.h>

#define ALIVE 0x0b1ec7u

/* What is registered: says when it is destroyed, and finds it if it happens twice. */
struct thing {
	unsigned alive;
	unsigned key;
};

static int things;	  /* alive */
static unsigned gone[64]; /* keys, in the order of destruction */
static unsigned gone_len;

static struct thing *thing_new(unsigned key)
{
	struct thing *t = mem_alloc(sizeof(*t));

	if (!t)
		return NULL;
	t->alive = ALIVE;
	t->key = key;
	things++;
	return t;
}

static void thing_destroy(void *object)
{
	struct thing *t = object;

	T_OUGHT(t->alive == ALIVE);
	t->alive = 0;
	if (gone_len < 64)
		gone[gone_len++] = t->key;
	things--;
	mem_free(t);
}

static const weft_hub_type thing_type = { "thing", thing_destroy };
static const weft_hub_type other_type = { "other", NULL };
static int one, two;

WEFT_HUB_TYPED(thing, struct thing, &thing_type)

static weft_hub *hub_new(void)
{
	weft_hub *hub = NULL;

	ck_assert_int_eq(weft_hub_create(&hub), WEFT_OK);
	return hub;
}

static weft_err get(weft_hub *hub, const weft_hub_key *key, void **object)
{
	weft_hub_handle h = WEFT_HUB_HANDLE(hub, key->scope, key->name, key->type);
	weft_err err = weft_hub_get(&h, object);

	weft_hub_handle_fini(&h);
	return err;
}

static void set_thing(weft_hub *hub, const char *scope, const char *name, unsigned key)
{
	ck_assert_int_eq(thing_set(hub, scope, name, thing_new(key)), WEFT_OK);
}

/* --- keys ---------------------------------------------------------------------------------- */

START_TEST(hub_key_is_scope_name_and_type)
{
	static const weft_hub_key keys[] = {
		{ NULL, "a", &thing_type },
		{ NULL, "a", &other_type },
		{ NULL, "ab", &other_type },
		{ "a", "b", &other_type },
		{ "ab", "c", &other_type },
		{ "a", "bc", &other_type },
		{ "\xc3\xa9", "\xe2\x82\xac\xf0\x9f\x98\x80", &other_type },
	};
	enum { KEYS = sizeof(keys) / sizeof(keys[0]) };
	weft_hub *hub = hub_new();
	int objects[KEYS];
	void *found;

	for (int i = 1; i < KEYS; i++)
		ck_assert_int_eq(weft_hub_set(hub, &keys[i], &objects[i]), WEFT_OK);
	ck_assert_uint_eq(weft_hub_len(hub), KEYS - 1);
	for (int i = 1; i < KEYS; i++) {
		ck_assert_int_eq(get(hub, &keys[i], &found), WEFT_OK);
		ck_assert_ptr_eq(found, &objects[i]);
	}
	found = &one;
	ck_assert_int_eq(get(hub, &keys[0], &found), WEFT_ENOTFOUND);
	ck_assert_ptr_eq(found, &one);
	for (int i = 1; i < KEYS; i++) {
		ck_assert_int_eq(weft_hub_remove(hub, &keys[i]), WEFT_OK);
		ck_assert_int_eq(weft_hub_remove(hub, &keys[i]), WEFT_ENOTFOUND);
		ck_assert_int_eq(get(hub, &keys[i], &found), WEFT_ENOTFOUND);
	}
	ck_assert_uint_eq(weft_hub_len(hub), 0);
	weft_hub_free(hub);
	weft_hub_free(NULL);
}
END_TEST

START_TEST(hub_tells_what_is_there_under_the_name)
{
	weft_hub *hub = hub_new();
	weft_hub_key key = { "tenant 7", "main", &other_type };
	void *object;

	ck_assert_int_eq(get(hub, &key, &object), WEFT_ENOTFOUND);
	ck_assert_str_eq(
		weft_error_detail(), "get \"main\" (other, scope \"tenant 7\"): not registered");
	set_thing(hub, "tenant 7", "main", 0);
	ck_assert_int_eq(get(hub, &key, &object), WEFT_ENOTFOUND);
	ck_assert_str_eq(weft_error_detail(),
		"get \"main\" (other, scope \"tenant 7\"): not registered under this type, but as "
		"thing");
	ck_assert_int_eq(weft_hub_remove(hub, &key), WEFT_ENOTFOUND);
	ck_assert_str_eq(weft_error_detail(),
		"remove \"main\" (other, scope \"tenant 7\"): not registered under this type, but "
		"as thing");
	key.scope = NULL;
	ck_assert_int_eq(get(hub, &key, &object), WEFT_ENOTFOUND);
	ck_assert_str_eq(weft_error_detail(), "get \"main\" (other, global): not registered");
	weft_hub_free(hub);
}
END_TEST

START_TEST(hub_duplicate_is_told_with_its_key)
{
	weft_hub *hub = hub_new();
	weft_hub_key key = { "s", "n", &other_type };
	void *object = NULL;

	ck_assert_int_eq(weft_hub_set(hub, &key, &one), WEFT_OK);
	ck_assert_int_eq(weft_hub_set(hub, &key, &two), WEFT_EDUPLICATE);
	ck_assert_str_eq(
		weft_error_detail(), "register \"n\" (other, scope \"s\"): registered already");
	ck_assert_int_eq(get(hub, &key, &object), WEFT_OK);
	ck_assert_ptr_eq(object, &one);
	ck_assert_int_eq(weft_hub_set(hub, &key, NULL), WEFT_EINVAL);
	weft_hub_free(hub);
}
END_TEST

static void want_bad(weft_hub *hub, const char *scope, const char *name, const weft_hub_type *type)
{
	weft_hub_key key = { scope, name, type };
	weft_hub_handle h = WEFT_HUB_HANDLE(hub, scope, name, type);
	void *object = &one;

	ck_assert_int_eq(weft_hub_set(hub, &key, &one), WEFT_EINVAL);
	ck_assert_int_eq(weft_hub_remove(hub, &key), WEFT_EINVAL);
	ck_assert_int_eq(weft_hub_get(&h, &object), WEFT_EINVAL);
	ck_assert_int_eq(weft_hub_wait(&h, &object, WEFT_FOREVER), WEFT_EINVAL);
	ck_assert_int_eq(weft_hub_get_or_init(&h, &object, NULL, NULL, WEFT_NOW), WEFT_EINVAL);
	ck_assert_ptr_eq(object, &one);
}

START_TEST(hub_names_are_short_and_utf8)
{
	static const char *const bad[] = {
		"",
		"\x80",		    /* no beginning */
		"a\xc3",	    /* cut short */
		"\xc0\x80",	    /* longer than it need be */
		"\xe0\x80\x80",	    /* the same */
		"\xed\xa0\x80",	    /* half a pair */
		"\xf4\x90\x80\x80", /* above U+10FFFF */
		"\xf8\x88\x80\x80\x80",
	};
	weft_hub *hub = hub_new();
	char text[WEFT_HUB_NAME_MAX + 2];
	weft_hub_key key = { text, text, &other_type };
	void *object;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		want_bad(hub, NULL, bad[i], &other_type);
		want_bad(hub, bad[i], "good", &other_type);
		ck_assert_uint_eq(weft_hub_remove_scope(hub, bad[i]), 0);
	}
	want_bad(hub, NULL, NULL, &other_type);
	want_bad(hub, NULL, "good", NULL);
	memset(text, 'x', sizeof(text));
	text[WEFT_HUB_NAME_MAX + 1] = '\0';
	want_bad(hub, NULL, text, &other_type);
	want_bad(hub, text, "good", &other_type);
	text[WEFT_HUB_NAME_MAX] = '\0';
	ck_assert_int_eq(weft_hub_set(hub, &key, &one), WEFT_OK);
	ck_assert_int_eq(weft_hub_set(hub, &key, &one), WEFT_EDUPLICATE);
	ck_assert_int_eq(get(hub, &key, &object), WEFT_OK);
	/* a sequence that would end beyond the limit */
	memcpy(text + WEFT_HUB_NAME_MAX - 1, "\xc3\xa9", 3);
	want_bad(hub, NULL, text, &other_type);
	weft_hub_free(hub);
}
END_TEST

START_TEST(hub_finds_each_of_very_many_and_gives_memory_back)
{
	enum { MANY = 3000 };
	weft_hub *hub = hub_new();
	int64_t live = t_malloc_live();
	uint64_t seed = t_seed();
	static bool there[MANY];
	char name[16];
	weft_hub_key key = { NULL, name, &other_type };
	void *object;

	for (int round = 0; round < 4 * MANY; round++) {
		unsigned i = (unsigned)(t_random(&seed) % MANY);

		snprintf(name, sizeof(name), "%u", i);
		if (round % 4 == 3)
			T_OUGHT(weft_hub_remove(hub, &key) ==
				(there[i] ? WEFT_OK : WEFT_ENOTFOUND));
		else
			T_OUGHT(weft_hub_set(hub, &key, &there[i]) ==
				(there[i] ? WEFT_EDUPLICATE : WEFT_OK));
		there[i] = round % 4 != 3;
	}
	for (unsigned i = 0; i < MANY; i++) {
		weft_err err;

		snprintf(name, sizeof(name), "%u", i);
		err = get(hub, &key, &object);
		T_OUGHT(err == (there[i] ? WEFT_OK : WEFT_ENOTFOUND));
		T_OUGHT(err || object == &there[i]);
	}
	weft_hub_clear(hub);
	ck_assert_uint_eq(weft_hub_len(hub), 0);
	/* one that comes and goes takes no more room */
	for (unsigned i = 0; i < 1000; i++) {
		T_OUGHT(weft_hub_set(hub, &key, &one) == WEFT_OK);
		T_OUGHT(weft_hub_remove(hub, &key) == WEFT_OK);
	}
	reclaim_synchronize();
	ck_assert_int_eq(t_malloc_live(), live);
	weft_hub_free(hub);
}
END_TEST

/* --- lifetime ------------------------------------------------------------------------------ */

START_TEST(hub_destroys_in_reverse_order_of_registration)
{
	static const unsigned all[] = { 4, 3, 1 }, scoped[] = { 5, 2, 0 };
	weft_hub *hub = hub_new();

	set_thing(hub, "s", "0", 0);
	set_thing(hub, NULL, "1", 1);
	set_thing(hub, "s", "2", 2);
	set_thing(hub, "t", "3", 3);
	set_thing(hub, NULL, "4", 4);
	set_thing(hub, "s", "5", 5);
	ck_assert_uint_eq(weft_hub_remove_scope(hub, "u"), 0);
	ck_assert_uint_eq(weft_hub_remove_scope(hub, ""), 0);
	ck_assert_uint_eq(weft_hub_remove_scope(hub, "s"), 3);
	ck_assert_uint_eq(gone_len, 3);
	ck_assert_mem_eq(gone, scoped, sizeof(scoped));
	ck_assert_uint_eq(weft_hub_len(hub), 3);
	gone_len = 0;
	weft_hub_free(hub);
	ck_assert_uint_eq(gone_len, 3);
	ck_assert_mem_eq(gone, all, sizeof(all));
	ck_assert_int_eq(things, 0);
	gone_len = 0;
	hub = hub_new();
	set_thing(hub, "s", "0", 0);
	set_thing(hub, NULL, "1", 1);
	set_thing(hub, NULL, "2", 2);
	ck_assert_uint_eq(weft_hub_remove_scope(hub, NULL), 2);
	ck_assert_uint_eq(weft_hub_clear(hub), 1);
	ck_assert(gone[0] == 2 && gone[1] == 1 && gone[2] == 0);
	weft_hub_free(hub);
}
END_TEST

START_TEST(hub_handle_keeps_its_object_alive)
{
	weft_hub *hub = hub_new();
	thing_handle a = thing_at(hub, NULL, "x"), b = thing_at(hub, NULL, "x");
	struct thing *t = NULL;

	ck_assert(!weft_hub_is_current(&a.untyped));
	set_thing(hub, NULL, "x", 1);
	ck_assert_int_eq(thing_get(&a, &t), WEFT_OK);
	ck_assert_ptr_eq(thing_object(&a), t);
	ck_assert(weft_hub_is_current(&a.untyped));
	ck_assert_int_eq(thing_remove(hub, NULL, "x"), WEFT_OK);
	ck_assert(!weft_hub_is_current(&a.untyped));
	ck_assert_uint_eq(t->alive, ALIVE);
	/* it stays with its own; a new handle has the new one */
	set_thing(hub, NULL, "x", 2);
	ck_assert_int_eq(thing_get(&a, &t), WEFT_OK);
	ck_assert_uint_eq(t->key, 1);
	ck_assert_int_eq(thing_get(&b, &t), WEFT_OK);
	ck_assert_uint_eq(t->key, 2);
	thing_handle_fini(&a);
	ck_assert(gone_len == 1 && gone[0] == 1);
	ck_assert_ptr_null(thing_object(&a));
	thing_handle_fini(&a);
	/* unbound, it may be bound again */
	ck_assert_int_eq(thing_get(&a, &t), WEFT_OK);
	ck_assert_uint_eq(t->key, 2);
	/* and may outlive the hub: using it is no look-up */
	thing_handle_fini(&a);
	weft_hub_free(hub);
	ck_assert_int_eq(things, 1);
	ck_assert_int_eq(thing_get(&b, &t), WEFT_OK);
	ck_assert_uint_eq(thing_object(&b)->key, 2);
	ck_assert(!weft_hub_is_current(&b.untyped));
	thing_handle_fini(&b);
	ck_assert_int_eq(things, 0);
}
END_TEST

static weft_hub *entered;

static void destroy_enters(void *object)
{
	weft_hub_key key = { NULL, "again", &other_type };

	ck_assert_ptr_eq(object, &one);
	ck_assert_int_eq(weft_hub_set(entered, &key, &two), WEFT_OK);
}

START_TEST(hub_may_be_called_while_it_destroys)
{
	static const weft_hub_type entering = { "entering", destroy_enters };
	weft_hub_key key = { NULL, "enters", &entering };

	entered = hub_new();
	ck_assert_int_eq(weft_hub_set(entered, &key, &one), WEFT_OK);
	ck_assert_int_eq(weft_hub_remove(entered, &key), WEFT_OK);
	ck_assert_uint_eq(weft_hub_len(entered), 1);
	ck_assert_int_eq(weft_hub_set(entered, &key, &one), WEFT_OK);
	/* what destroying registers is let go of, too */
	weft_hub_free(entered);
}
END_TEST

struct seen {
	weft_hub *hub;
	unsigned count, limit;
	bool removing;
};

static bool see(void *arg, const weft_hub_key *key, void *object)
{
	struct seen *seen = arg;
	const struct thing *t = object;
	char name[2] = { (char)('0' + seen->count), '\0' };

	ck_assert_uint_eq(t->alive, ALIVE);
	ck_assert_uint_eq(t->key, seen->count);
	ck_assert_str_eq(key->name, name);
	ck_assert_ptr_eq(key->type, &thing_type);
	ck_assert(seen->count == 1 ? strcmp(key->scope, "s") == 0 : key->scope == NULL);
	if (seen->removing)
		weft_hub_clear(seen->hub);
	ck_assert_uint_eq(t->alive, ALIVE);
	return ++seen->count < seen->limit;
}

START_TEST(hub_each_goes_in_order_over_what_was_there)
{
	weft_hub *hub = hub_new();
	struct seen seen = { hub, 0, 9, false };

	ck_assert_int_eq(weft_hub_each(hub, see, &seen), WEFT_OK);
	ck_assert_uint_eq(seen.count, 0);
	set_thing(hub, NULL, "0", 0);
	set_thing(hub, "s", "1", 1);
	set_thing(hub, NULL, "2", 2);
	ck_assert_int_eq(weft_hub_each(hub, see, &seen), WEFT_OK);
	ck_assert_uint_eq(seen.count, 3);
	seen = (struct seen){ hub, 0, 2, false };
	ck_assert_int_eq(weft_hub_each(hub, see, &seen), WEFT_OK);
	ck_assert_uint_eq(seen.count, 2);
	/* what is removed meanwhile lives until it was its turn */
	seen = (struct seen){ hub, 0, 9, true };
	ck_assert_int_eq(weft_hub_each(hub, see, &seen), WEFT_OK);
	ck_assert_uint_eq(seen.count, 3);
	ck_assert_int_eq(things, 0);
	weft_hub_free(hub);
}
END_TEST

static thing_handle of_the_process = { WEFT_HUB_HANDLE(NULL, NULL, "hub_test", &thing_type) };

START_TEST(hub_of_the_process_needs_no_creation)
{
	struct thing *t = NULL;

	ck_assert_int_eq(thing_get(&of_the_process, &t), WEFT_ENOTFOUND);
	set_thing(NULL, NULL, "hub_test", 3);
	ck_assert_uint_eq(weft_hub_len(weft_hub_global()), 1);
	ck_assert_int_eq(thing_get(&of_the_process, &t), WEFT_OK);
	ck_assert_uint_eq(thing_object(&of_the_process)->key, 3);
	thing_handle_fini(&of_the_process);
	ck_assert_int_eq(thing_remove(weft_hub_global(), NULL, "hub_test"), WEFT_OK);
	ck_assert_uint_eq(weft_hub_len(NULL), 0);
	ck_assert_int_eq(things, 0);
}
END_TEST

static weft_err init_thing(void *arg, void **object)
{
	*object = thing_new(*(unsigned *)arg);
	return *object ? WEFT_OK : WEFT_ENOMEM;
}

static void in_each_way(weft_hub *hub)
{
	thing_handle h = thing_at(hub, "s", "x");
	struct seen seen = { hub, 0, 9, true };
	struct thing *t = thing_new(0), *found;
	unsigned zero = 0;
	weft_err err = t ? thing_set(hub, NULL, "0", t) : WEFT_ENOMEM;

	T_OUGHT(err == WEFT_OK || err == WEFT_ENOMEM);
	if (err && t)
		thing_destroy(t);
	err = err ? err : weft_hub_each(hub, see, &seen);
	T_OUGHT(err == WEFT_OK || err == WEFT_ENOMEM);
	err = thing_wait(&h, &found, WEFT_NOW);
	T_OUGHT(err == WEFT_ETIMEDOUT || err == WEFT_ENOMEM);
	err = thing_get_or_init(&h, &found, init_thing, &zero, WEFT_NOW);
	T_OUGHT(err == WEFT_OK || err == WEFT_ENOMEM);
	thing_handle_fini(&h);
}

START_TEST(hub_survives_each_failing_malloc)
{
	T_EACH_FAILING_MALLOC(n) {
		weft_hub *hub = NULL;
		weft_err err = weft_hub_create(&hub);

		ck_assert(err == WEFT_OK || (err == WEFT_ENOMEM && t_malloc_failed()));
		if (hub)
			in_each_way(hub);
		if (hub)
			ck_assert_uint_eq(hub->entries, hub->len);
		weft_hub_free(hub);
		reclaim_synchronize();
		ck_assert_int_eq(things, 0);
	}
}
END_TEST

/* --- fibers of one worker ------------------------------------------------------------------ */

struct asker {
	weft_hub *hub;
	weft_chan *go; /* init waits for a word here: true: succeed */
	int *inits;
	thing_handle handle;
	struct thing *found;
	weft_err err;
	bool returned;
};

static weft_err init_when_told(void *arg, void **object)
{
	struct asker *a = arg;
	bool succeed;
	weft_err err;

	++*a->inits;
	err = weft_chan_recv(a->go, &succeed, WEFT_FOREVER);
	if (err != WEFT_OK)
		return err;
	*object = succeed ? thing_new(7) : NULL;
	return succeed ? WEFT_OK : WEFT_EPROTO;
}

static weft_err ask(void *arg)
{
	struct asker *a = arg;

	a->handle = thing_at(a->hub, "scope", "asked");
	a->err = thing_get_or_init(&a->handle, &a->found, init_when_told, a, WEFT_FOREVER);
	a->returned = true;
	thing_handle_fini(&a->handle);
	return WEFT_OK;
}

static weft_err await(void *arg)
{
	struct asker *a = arg;

	a->handle = thing_at(a->hub, "scope", "asked");
	a->err = thing_wait(&a->handle, &a->found, WEFT_FOREVER);
	a->returned = true;
	thing_handle_fini(&a->handle);
	return WEFT_OK;
}

enum { ASKERS = 5 };

struct scene {
	weft_hub *hub;
	weft_chan *go;
	weft_scope *scopes[ASKERS];
	struct asker askers[ASKERS];
	int inits;
};

/* The last of them only waits. */
static void scene_open(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	s->hub = hub_new();
	ck_assert_int_eq(weft_chan_create(&s->go, sizeof(bool), 0, NULL), WEFT_OK);
	for (size_t i = 0; i < ASKERS; i++) {
		s->askers[i] = (struct asker){ .hub = s->hub, .go = s->go, .inits = &s->inits };
		ck_assert_int_eq(weft_scope_create(&s->scopes[i]), WEFT_OK);
		ck_assert_int_eq(weft_scope_spawn(s->scopes[i], "asker",
					 i == ASKERS - 1 ? await : ask, &s->askers[i]),
			WEFT_OK);
		crew_settle();
	}
	ck_assert_int_eq(s->inits, 1);
}

static void scene_close(struct scene *s)
{
	for (size_t i = 0; i < ASKERS; i++)
		weft_scope_free(s->scopes[i]);
	weft_chan_unref(s->go);
	weft_hub_free(s->hub);
	ck_assert_int_eq(things, 0);
}

static void tell(struct scene *s, bool succeed)
{
	ck_assert_int_eq(weft_chan_try_send(s->go, &succeed), WEFT_OK);
	crew_settle();
}

static weft_err init_hands_over(void *arg)
{
	weft_hub_key key = { "scope", "asked", &thing_type };
	struct thing t = { ALIVE, 0 };
	struct scene s;

	(void)arg;
	scene_open(&s);
	/* while it is being made nobody finds it, and nobody registers another */
	ck_assert_int_eq(get(s.hub, &key, (void **)&s.askers[0].found), WEFT_ENOTFOUND);
	ck_assert_int_eq(weft_hub_remove(s.hub, &key), WEFT_ENOTFOUND);
	ck_assert_int_eq(weft_hub_set(s.hub, &key, &t), WEFT_EDUPLICATE);
	ck_assert_str_eq(
		weft_error_detail(), "register \"asked\" (thing, scope \"scope\"): is being made");
	ck_assert_uint_eq(weft_hub_len(s.hub), 0);
	tell(&s, false);
	ck_assert(s.askers[0].returned && s.askers[0].err == WEFT_EPROTO);
	ck_assert(!s.askers[1].returned && s.inits == 2);
	/* the second is cancelled inside its init: that is a failure like any other */
	weft_scope_cancel(s.scopes[1]);
	crew_settle();
	ck_assert(s.askers[1].returned && s.askers[1].err == WEFT_ECANCELED);
	ck_assert_int_eq(s.inits, 3);
	tell(&s, true);
	for (size_t i = 2; i < ASKERS; i++)
		ck_assert(s.askers[i].returned && s.askers[i].err == WEFT_OK);
	ck_assert(s.askers[2].found && s.askers[2].found == s.askers[4].found);
	ck_assert_int_eq(s.inits, 3);
	ck_assert_uint_eq(weft_hub_len(s.hub), 1);
	scene_close(&s);
	return WEFT_OK;
}

/* spec: failure 8 */
START_TEST(hub_failed_or_cancelled_init_hands_over_to_the_next)
{
	ck_assert_int_eq(crew_main(1, init_hands_over, NULL), WEFT_OK);
}
END_TEST

static weft_err all_give_up(void *arg)
{
	struct scene s;

	(void)arg;
	scene_open(&s);
	ck_assert_uint_eq(s.hub->entries, 1);
	for (size_t i = ASKERS; i-- > 0;)
		weft_scope_cancel(s.scopes[i]);
	crew_settle();
	for (size_t i = 0; i < ASKERS; i++)
		ck_assert(s.askers[i].returned && s.askers[i].err == WEFT_ECANCELED);
	ck_assert_uint_eq(s.hub->entries, 0);
	scene_close(&s);
	return WEFT_OK;
}

START_TEST(hub_keeps_nothing_of_those_who_gave_up)
{
	ck_assert_int_eq(crew_main(1, all_give_up, NULL), WEFT_OK);
}
END_TEST

static weft_err waits_for_set(void *arg)
{
	struct scene s;

	(void)arg;
	scene_open(&s);
	for (size_t i = 0; i < ASKERS - 1; i++)
		weft_scope_cancel(s.scopes[i]);
	crew_settle();
	ck_assert(!s.askers[ASKERS - 1].returned);
	set_thing(s.hub, "scope", "other", 1);
	weft_scope_cancel(s.scopes[0]);
	crew_settle();
	ck_assert(!s.askers[ASKERS - 1].returned);
	/* what has come and gone before it looks has come */
	set_thing(s.hub, "scope", "asked", 2);
	ck_assert_int_eq(thing_remove(s.hub, "scope", "asked"), WEFT_OK);
	ck_assert_int_eq(things, 2);
	crew_settle();
	ck_assert(s.askers[ASKERS - 1].returned && s.askers[ASKERS - 1].err == WEFT_OK);
	ck_assert_int_eq(things, 1);
	scene_close(&s);
	return WEFT_OK;
}

START_TEST(hub_wait_is_for_who_registers)
{
	ck_assert_int_eq(crew_main(1, waits_for_set, NULL), WEFT_OK);
}
END_TEST

static weft_err init_again(void *arg, void **object)
{
	thing_handle h = thing_at(arg, NULL, "self");
	unsigned zero = 0;
	struct thing *t;

	ck_assert_int_eq(
		thing_get_or_init(&h, &t, init_thing, &zero, WEFT_FOREVER), WEFT_EDEADLOCK);
	ck_assert_int_eq(thing_set(arg, NULL, "self", (struct thing *)&one), WEFT_EDUPLICATE);
	*object = NULL;
	return WEFT_OK;
}

START_TEST(hub_init_that_asks_for_itself_or_makes_nothing_is_told)
{
	weft_hub *hub = hub_new();
	thing_handle h = thing_at(hub, NULL, "self");
	struct thing *t;

	ck_assert_int_eq(thing_get_or_init(&h, &t, init_again, hub, WEFT_FOREVER), WEFT_EINVAL);
	ck_assert_str_eq(weft_error_detail(),
		"initialise \"self\" (thing, global): init made a NULL object");
	ck_assert_uint_eq(hub->entries, 0);
	weft_hub_free(hub);
}
END_TEST

static void hub_tests(TCase *tc)
{
	t_add(tc, hub_key_is_scope_name_and_type);
	t_add(tc, hub_tells_what_is_there_under_the_name);
	t_add(tc, hub_duplicate_is_told_with_its_key);
	t_add(tc, hub_names_are_short_and_utf8);
	t_add(tc, hub_finds_each_of_very_many_and_gives_memory_back);
	t_add(tc, hub_destroys_in_reverse_order_of_registration);
	t_add(tc, hub_handle_keeps_its_object_alive);
	t_add(tc, hub_may_be_called_while_it_destroys);
	t_add(tc, hub_each_goes_in_order_over_what_was_there);
	t_add(tc, hub_of_the_process_needs_no_creation);
	t_add(tc, hub_survives_each_failing_malloc);
	t_add(tc, hub_failed_or_cancelled_init_hands_over_to_the_next);
	t_add(tc, hub_keeps_nothing_of_those_who_gave_up);
	t_add(tc, hub_wait_is_for_who_registers);
	t_add(tc, hub_init_that_asks_for_itself_or_makes_nothing_is_told);
}
T_SUITE("hub", hub_tests)
