/* SPDX-License-Identifier: MIT */
/*
 * Hubs: see hub.h for entries, their references, and what the lock guards.
 *
 * Registering is making the value of the entry's once, so that racing calls of set and of
 * get_or_init, those who wait, and the hand-over of an init that failed, are the once's
 * affair. Between the registration (under the lock) and the once's value (what look-ups
 * see) the entry may be removed already: those who waited get the object all the same, as
 * if they had come in time.
 *
 * What it costs: a bound handle one load. A look-up that binds: the hash, no lock, two
 * read-modify-writes (the entry's count, the handle's entry). A registration: one
 * allocation, and the lock three times; a removal once.
 */
#include "sync/hub.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>

static struct weft_hub global = { .order = { &global.order, &global.order } };

weft_hub *weft_hub_global(void)
{
	return &global;
}

static weft_hub *hub_of(weft_hub *hub)
{
	return hub ? hub : &global;
}

weft_err weft_hub_create(weft_hub **out)
{
	weft_hub *hub = mem_calloc(1, sizeof(*hub));

	if (!hub)
		return err_set(WEFT_ENOMEM);
	list_init(&hub->order);
	*out = hub;
	return WEFT_OK;
}

/* --- names ------------------------------------------------------------------------------- */

/* The bytes of the UTF-8 sequence at p, 0: there is none. */
static size_t utf8_len(const unsigned char *p)
{
	uint32_t c = p[0], least;
	size_t len;

	if (c < 0x80)
		return 1;
	len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	least = len == 4 ? 0x10000 : len == 3 ? 0x800 : 0x80;
	c &= 0x7fu >> len;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0; /* a NUL, too */
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : len;
}

/* Copies text and its NUL; its length, 0: it is no name. */
static size_t name_part(char *to, const char *text)
{
	size_t len = 0, step;

	for (; text[len]; len += step) {
		step = utf8_len((const unsigned char *)text + len);
		if (step == 0 || len + step > WEFT_HUB_NAME_MAX)
			return 0;
		memcpy(to + len, text + len, step);
	}
	to[len] = '\0';
	return len;
}

static weft_err bad_name(const char *what)
{
	return err_setf(
		WEFT_EINVAL, "hub: a %s is 1 to %d bytes of UTF-8", what, WEFT_HUB_NAME_MAX);
}

static weft_err name_make(struct hub_name *out, const weft_hub_key *key)
{
	struct hash_seed seed;
	size_t name_len;

	if (!key->name || !key->type)
		return err_setf(
			WEFT_EINVAL, "hub: a key without a %s", key->name ? "type" : "name");
	out->scope_len = 0;
	out->key[0] = '\0';
	if (key->scope) {
		out->scope_len = name_part(out->key, key->scope);
		if (out->scope_len == 0)
			return bad_name("scope");
	}
	name_len = name_part(out->key + out->scope_len + 1, key->name);
	if (name_len == 0)
		return bad_name("name");
	out->len = out->scope_len + 1 + name_len + 1;
	hash_seed_process(&seed);
	out->hash = hash_bytes(&seed, out->key, out->len);
	return WEFT_OK;
}

static const char *type_name(const weft_hub_type *type)
{
	return type->name ? type->name : "?";
}

/* For messages: "main" (metrics, scope "tenant 7"). Only for a key that name_make took. */
#define KEY_FORMAT "\"%s\" (%s, %s%s%s)"
#define KEY_ARGS(key)                                                              \
	(key)->name, type_name((key)->type), (key)->scope ? "scope \"" : "global", \
		(key)->scope ? (key)->scope : "", (key)->scope ? "\"" : ""

static weft_err not_found(const char *what, const weft_hub_key *key, const weft_hub_type *other)
{
	if (other)
		return err_setf(WEFT_ENOTFOUND,
			"%s " KEY_FORMAT ": not registered under this type, but as %s", what,
			KEY_ARGS(key), type_name(other));
	return err_setf(WEFT_ENOTFOUND, "%s " KEY_FORMAT ": not registered", what, KEY_ARGS(key));
}

/* --- entries ----------------------------------------------------------------------------- */

static void entry_free(struct reclaim_node *node)
{
	mem_free(container_of(node, struct weft_hub_entry, node));
}

static struct weft_hub_entry *entry_alloc(const struct hub_name *name, const weft_hub_type *type)
{
	struct weft_hub_entry *e = mem_calloc(1, sizeof(*e) + name->len);

	if (!e)
		return NULL;
	refcount_init(&e->refs, 1);
	e->type = type;
	e->hash = name->hash;
	once_init(&e->once, NULL);
	list_init(&e->order);
	e->scope_len = name->scope_len;
	e->key_len = name->len;
	memcpy(e->key, name->key, name->len);
	return e;
}

/* Without its last reference. */
static void entry_end(struct weft_hub_entry *e)
{
	if (e->object && e->type->destroy)
		e->type->destroy(e->object);
	reclaim_retire(&e->node, entry_free);
	reclaim_help();
}

/* For entries that have an object: the others are dropped by entry_leave. */
static void entry_drop(struct weft_hub_entry *e)
{
	if (refcount_drop(&e->refs))
		entry_end(e);
}

static bool is_registered(const struct weft_hub_entry *e)
{
	/* relaxed: under the lock; or a moment in a concurrent life */
	return atomic_load_explicit(&e->registered, memory_order_relaxed);
}

static void registered_set(struct weft_hub_entry *e, bool registered)
{
	/* relaxed: the lock publishes it */
	atomic_store_explicit(&e->registered, registered, memory_order_relaxed);
}

/* With the lock held. The registration's reference is the caller's now. */
static void unregister_locked(weft_hub *hub, struct weft_hub_entry *e)
{
	hub_table_remove(hub, e);
	list_remove(&e->order);
	registered_set(e, false);
	hub->len--;
}

/* A call that got no object out of it is over: an entry that nobody else waits for leaves
 * the table. */
static void entry_leave(weft_hub *hub, struct weft_hub_entry *e)
{
	bool last;

	rt_lock_acquire(&hub->lock);
	/* Under the lock, as references to what has no object are taken: were it after, two
	 * could leave at once, each seeing the other's reference, and the entry stay. */
	last = refcount_drop(&e->refs);
	/* one with an object left with its registration */
	if (last && !e->object)
		hub_table_remove(hub, e);
	rt_lock_release(&hub->lock);
	if (last)
		entry_end(e);
}

/* A search for the entry of a key, which makes one if there is none. */
struct search {
	weft_hub *hub;
	const weft_hub_type *type;
	struct hub_name name;
	struct weft_hub_entry *fresh; /* to be put in; NULL: not yet allocated, or taken */
	struct hub_table *larger;     /* to put it in; as fresh */
	size_t wanted;		      /* slots that larger must have; 0: not needed */
	bool full;		      /* the hub is */
};

/* With the lock held: a reference, or NULL when something must be allocated first. */
static struct weft_hub_entry *search_locked(struct search *s)
{
	const weft_hub_type *other;
	struct weft_hub_entry *e = hub_table_find(s->hub, &s->name, s->type, &other);

	if (e) {
		refcount_hold(&e->refs);
		return e;
	}
	s->full = s->hub->entries >= WEFT_HUB_OBJECTS_MAX;
	s->wanted = hub_table_wanted(s->hub);
	if (s->full || !s->fresh || (s->wanted && (!s->larger || s->larger->mask + 1 < s->wanted)))
		return NULL;
	e = s->fresh;
	hub_table_insert(s->hub, e, s->wanted ? s->larger : NULL);
	if (s->wanted)
		s->larger = NULL;
	s->fresh = NULL;
	return e;
}

static weft_err search_allocate(struct search *s)
{
	if (s->full)
		return err_setf(WEFT_ECAPACITY, "hub: %zu objects (WEFT_HUB_OBJECTS_MAX)",
			WEFT_HUB_OBJECTS_MAX);
	if (!s->fresh)
		s->fresh = entry_alloc(&s->name, s->type);
	if (s->wanted && (!s->larger || s->larger->mask + 1 < s->wanted)) {
		mem_free(s->larger);
		s->larger = hub_table_alloc(s->wanted);
	}
	return s->fresh && (!s->wanted || s->larger) ? WEFT_OK : err_set(WEFT_ENOMEM);
}

/* A reference to the entry of that key, which is there now. */
static weft_err entry_get(weft_hub *hub, const weft_hub_key *key, struct weft_hub_entry **out)
{
	struct search s = { .hub = hub, .type = key->type };
	weft_err err = name_make(&s.name, key);
	struct weft_hub_entry *e = NULL;

	while (!err && !e) {
		rt_lock_acquire(&hub->lock);
		e = search_locked(&s);
		rt_lock_release(&hub->lock);
		if (!e)
			err = search_allocate(&s);
	}
	mem_free(s.fresh);
	mem_free(s.larger);
	reclaim_help();
	if (!err)
		*out = e;
	return err;
}

/* --- registering ------------------------------------------------------------------------- */

struct making {
	weft_hub *hub;
	struct weft_hub_entry *entry;
	weft_err (*init)(void *arg, void **object); /* NULL: arg is the object */
	void *arg;
	bool made;
};

/* The once's init. */
static weft_err make(void *arg, void **object)
{
	struct making *m = arg;
	weft_err err = WEFT_OK;
	void *made = m->arg;

	if (m->init) {
		made = NULL;
		err = m->init(m->arg, &made);
	}
	if (!err && !made)
		err = err_setf(WEFT_EINVAL, "init made a NULL object");
	if (err)
		return err;
	rt_lock_acquire(&m->hub->lock);
	m->entry->object = made;
	refcount_hold(&m->entry->refs);
	list_push_back(&m->hub->order, &m->entry->order);
	registered_set(m->entry, true);
	m->hub->len++;
	rt_lock_release(&m->hub->lock);
	m->made = true;
	*object = made;
	return WEFT_OK;
}

weft_err weft_hub_set(weft_hub *hub, const weft_hub_key *key, void *object)
{
	struct making m = { .hub = hub_of(hub), .arg = object };
	void *there;
	weft_err err;

	if (!object)
		return err_setf(WEFT_EINVAL, "hub: register a NULL object");
	err = entry_get(m.hub, key, &m.entry);
	if (err)
		return err;
	err = weft_once_get_or_init(&m.entry->once, &there, make, &m, WEFT_NOW);
	if (m.made) {
		entry_drop(m.entry);
		return WEFT_OK;
	}
	entry_leave(m.hub, m.entry);
	if (err == WEFT_OK || err == WEFT_ETIMEDOUT || err == WEFT_EDEADLOCK)
		return err_setf(WEFT_EDUPLICATE, "register " KEY_FORMAT ": %s", KEY_ARGS(key),
			err ? "is being made" : "registered already");
	return err_wrap(err, "register " KEY_FORMAT, KEY_ARGS(key));
}

weft_err weft_hub_remove(weft_hub *hub, const weft_hub_key *key)
{
	const weft_hub_type *other = NULL;
	struct weft_hub_entry *e;
	struct hub_name name;
	weft_err err = name_make(&name, key);

	if (err)
		return err;
	hub = hub_of(hub);
	rt_lock_acquire(&hub->lock);
	e = hub_table_find(hub, &name, key->type, &other);
	if (e && is_registered(e))
		unregister_locked(hub, e);
	else
		e = NULL;
	rt_lock_release(&hub->lock);
	if (!e)
		return not_found("remove", key, other);
	entry_drop(e);
	return WEFT_OK;
}

/* scope: as in a key, with its length; NULL: all. */
static size_t remove_all(weft_hub *hub, const char *scope, size_t scope_len)
{
	struct list *link, removed;
	size_t count = 0;

	hub = hub_of(hub);
	list_init(&removed);
	rt_lock_acquire(&hub->lock);
	for (link = hub->order.prev; link != &hub->order;) {
		struct weft_hub_entry *e = container_of(link, struct weft_hub_entry, order);

		link = link->prev;
		if (scope && (e->scope_len != scope_len || memcmp(e->key, scope, scope_len) != 0))
			continue;
		unregister_locked(hub, e);
		list_push_back(&removed, &e->order);
		count++;
	}
	rt_lock_release(&hub->lock);
	while ((link = list_pop_front(&removed)))
		entry_drop(container_of(link, struct weft_hub_entry, order));
	return count;
}

size_t weft_hub_remove_scope(weft_hub *hub, const char *scope)
{
	size_t len = scope ? strlen(scope) : 0;

	/* "" is no scope's name, but the global one's here */
	return scope && len == 0 ? 0 : remove_all(hub, scope ? scope : "", len);
}

size_t weft_hub_clear(weft_hub *hub)
{
	return remove_all(hub, NULL, 0);
}

void weft_hub_free(weft_hub *hub)
{
	if (!hub)
		return;
	CHECK(hub != &global);
	/* destroying one may register another */
	while (weft_hub_clear(hub) != 0)
		;
	CHECK(hub->entries == 0); /* nobody waits */
	mem_free(hub);
}

size_t weft_hub_len(const weft_hub *hub)
{
	/* the lock is no part of what const promises */
	weft_hub *locked = hub_of((weft_hub *)(uintptr_t)hub);
	size_t len;

	rt_lock_acquire(&locked->lock);
	len = locked->len;
	rt_lock_release(&locked->lock);
	return len;
}

/* References to what is registered, oldest first; as many as there is room for. */
static size_t snapshot(weft_hub *hub, struct weft_hub_entry **out, size_t room)
{
	size_t count = 0;

	rt_lock_acquire(&hub->lock);
	if (hub->len <= room) {
		list_for_each(it, &hub->order) {
			out[count] = container_of(it, struct weft_hub_entry, order);
			refcount_hold(&out[count++]->refs);
		}
	}
	count = hub->len;
	rt_lock_release(&hub->lock);
	return count;
}

weft_err weft_hub_each(
	weft_hub *hub, bool (*fn)(void *arg, const weft_hub_key *key, void *object), void *arg)
{
	size_t room = weft_hub_len(hub), count;
	struct weft_hub_entry **entries = NULL;
	bool on = true;

	hub = hub_of(hub);
	for (;; room = count) {
		mem_free(entries);
		entries = mem_calloc(room, sizeof(struct weft_hub_entry *));
		if (!entries)
			return err_set(WEFT_ENOMEM);
		count = snapshot(hub, entries, room);
		if (count <= room)
			break;
	}
	for (size_t i = 0; i < count; i++) {
		struct weft_hub_entry *e = entries[i];
		weft_hub_key key = { e->scope_len ? e->key : NULL, e->key + e->scope_len + 1,
			e->type };

		on = on && fn(arg, &key, e->object);
		entry_drop(e);
	}
	mem_free(entries);
	return WEFT_OK;
}

/* --- handles ----------------------------------------------------------------------------- */

/* A handle's fields as atomics: its layout is for C++, too. */
static inline _Atomic(void *) *object_of(weft_hub_handle *handle)
{
	void *field = &handle->object;

	return field;
}

static inline _Atomic(struct weft_hub_entry *) *entry_of(const weft_hub_handle *handle)
{
	return (void *)(uintptr_t)&handle->entry;
}

_Static_assert(sizeof(_Atomic(void *)) == sizeof(void *), "a handle's fields are used as atomics");

/* The symbols of what hub.h has inline. */
extern void *weft_hub_object(const weft_hub_handle *handle);
extern weft_err weft_hub_get(weft_hub_handle *handle, void **object);

/* The caller's reference becomes the handle's, unless another was faster. */
static void handle_bind(weft_hub_handle *handle, struct weft_hub_entry *e, void **object)
{
	struct weft_hub_entry *bound = NULL, *surplus = NULL;

	/* acq_rel; pairs with itself: the loser reads the winner's entry */
	if (!atomic_compare_exchange_strong_explicit(
		    entry_of(handle), &bound, e, memory_order_acq_rel, memory_order_acquire)) {
		surplus = e;
		e = bound;
	}
	/* release; pairs with the acquire in weft_hub_object: the object. The loser stores the
	 * same: for its caller the handle is bound */
	atomic_store_explicit(object_of(handle), e->object, memory_order_release);
	*object = e->object;
	if (surplus)
		entry_drop(surplus);
}

weft_err weft_hub_look(weft_hub_handle *handle, void **object)
{
	weft_hub *hub = hub_of(handle->hub);
	const weft_hub_type *other = NULL;
	struct weft_hub_entry *e;
	struct hub_name name;
	weft_err err;

	err = name_make(&name, &handle->key);
	if (err)
		return err;
	reclaim_enter();
	e = hub_table_find(hub, &name, handle->key.type, &other);
	if (e && (!weft_once_get(&e->once) || !refcount_try_hold(&e->refs)))
		e = NULL;
	reclaim_leave();
	if (!e)
		return not_found("get", &handle->key, other);
	handle_bind(handle, e, object);
	return WEFT_OK;
}

weft_err weft_hub_wait(weft_hub_handle *handle, void **object, weft_deadline until)
{
	weft_hub *hub = hub_of(handle->hub);
	struct weft_hub_entry *e;
	void *there = weft_hub_object(handle);
	weft_err err;

	if (there) {
		*object = there;
		return WEFT_OK;
	}
	err = entry_get(hub, &handle->key, &e);
	if (err)
		return err;
	err = weft_once_wait(&e->once, &there, until);
	if (err == WEFT_OK) {
		handle_bind(handle, e, object);
		return WEFT_OK;
	}
	entry_leave(hub, e);
	return err_wrap(err, "wait for " KEY_FORMAT, KEY_ARGS(&handle->key));
}

weft_err weft_hub_get_or_init(weft_hub_handle *handle, void **object,
	weft_err (*init)(void *arg, void **object), void *arg, weft_deadline until)
{
	struct making m = { .hub = hub_of(handle->hub), .init = init, .arg = arg };
	void *there = weft_hub_object(handle);
	weft_err err;

	if (there) {
		*object = there;
		return WEFT_OK;
	}
	if (!init)
		return err_setf(WEFT_EINVAL, "hub: no init");
	err = entry_get(m.hub, &handle->key, &m.entry);
	if (err)
		return err;
	err = weft_once_get_or_init(&m.entry->once, &there, make, &m, until);
	if (err == WEFT_OK) {
		handle_bind(handle, m.entry, object);
		return WEFT_OK;
	}
	entry_leave(m.hub, m.entry);
	return err_wrap(err, "initialise " KEY_FORMAT, KEY_ARGS(&handle->key));
}

bool weft_hub_is_current(const weft_hub_handle *handle)
{
	/* acquire; pairs with the exchange in handle_bind: the entry */
	const struct weft_hub_entry *e =
		atomic_load_explicit(entry_of(handle), memory_order_acquire);

	return e && is_registered(e);
}

void weft_hub_handle_fini(weft_hub_handle *handle)
{
	struct weft_hub_entry *e = handle->entry;

	handle->object = NULL;
	handle->entry = NULL;
	if (e)
		entry_drop(e);
}
