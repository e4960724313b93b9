/* SPDX-License-Identifier: MIT */
/* See watch.h for the two kinds, and for what things cost. */
#include "sync/watch.h"

#include "base/err.h"
#include "base/mem.h"
#include "sync/select.h"
#include "sync/words.h"

#define COPIES_MAX 16 /* tries before a reader takes the lock */

/* --- life ------------------------------------------------------------------------------ */

static struct watch_box *box_new(const weft_watch *w, const void *value)
{
	struct watch_box *box = mem_alloc(sizeof(*box) + w->size);

	if (!box)
		return NULL;
	box->unref = w->options.unref;
	box->user = w->options.user;
	if (value && w->size != 0)
		memcpy(box->value, value, w->size);
	return box;
}

/* The box alone: its value is somebody else's. */
static void box_drop(struct watch_box *box)
{
	mem_free(box);
}

static void box_free(struct watch_box *box)
{
	if (box->unref)
		box->unref(box->value, box->user);
	box_drop(box);
}

static void box_reclaimed(struct reclaim_node *node)
{
	box_free(container_of(node, struct watch_box, node));
}

static weft_err options_check(size_t size, const weft_watch_options *options)
{
	size_t most = options->boxed ? WEFT_WATCH_BOXED_SIZE_MAX : WEFT_WATCH_SIZE_MAX;

	if (!options->ref != !options->unref)
		return err_setf(WEFT_EINVAL, "create watch: ref and unref: both or neither");
	if (options->ref && !options->boxed)
		return err_setf(WEFT_EINVAL, "create watch: ref and unref: only when boxed");
	if (size > most)
		return err_setf(WEFT_EINVAL, "create watch: size %zu: at most %zu", size, most);
	return WEFT_OK;
}

static _Atomic uint64_t *buffer_of(weft_watch *w, uint64_t version)
{
	return w->buffers + (version / 2 & 1) * w->words;
}

static weft_err value_init(weft_watch *w, const void *initial, uint64_t first)
{
	struct watch_box *box;

	atomic_init(&w->version, first);
	if (w->options.boxed) {
		box = box_new(w, initial);
		if (!box)
			return WEFT_ENOMEM;
		box->version = first;
		atomic_init(&w->box, box);
		return WEFT_OK;
	}
	w->latest = (char *)w + sizeof(*w) + 2 * w->words * sizeof(uint64_t);
	for (size_t i = 0; i < 2 * w->words; i++)
		atomic_init(&w->buffers[i], 0);
	if (w->size != 0)
		memcpy(w->latest, initial, w->size);
	words_store(buffer_of(w, first), initial, w->size);
	return WEFT_OK;
}

weft_err watch_create_at(weft_watch **out, size_t size, const void *initial,
	const weft_watch_options *options, uint64_t first)
{
	static const weft_watch_options defaults = WEFT_WATCH_OPTIONS_DEFAULT;
	size_t bytes = sizeof(weft_watch);
	weft_watch *w;
	weft_err err;

	if (!options)
		options = &defaults;
	err = options_check(size, options);
	if (err != WEFT_OK)
		return err;
	if (!options->boxed)
		bytes += 2 * WORDS_OF(size) * sizeof(uint64_t) + size;
	w = mem_aligned(CACHE_APART, bytes);
	if (!w)
		return err_set(WEFT_ENOMEM);
	memset(w, 0, sizeof(*w));
	w->options = *options;
	w->size = size;
	w->words = WORDS_OF(size);
	wait_queue_init(&w->waiters);
	wait_queue_init(&w->unwatched);
	ends_init(&w->ends);
	if (value_init(w, initial, first) != WEFT_OK) {
		mem_free(w);
		return err_set(WEFT_ENOMEM);
	}
	*out = w;
	return WEFT_OK;
}

weft_err weft_watch_create(
	weft_watch **out, size_t size, const void *initial, const weft_watch_options *options)
{
	return watch_create_at(out, size, initial, options, 0);
}

weft_watch *weft_watch_ref(weft_watch *w)
{
	refcount_hold(&w->ends.refs);
	return w;
}

void weft_watch_unref(weft_watch *w)
{
	if (!w || !refcount_drop(&w->ends.refs))
		return;
	/* relaxed: the last reference is gone, nobody else is here, nor looks at the box */
	if (w->options.boxed)
		box_free(atomic_load_explicit(&w->box, memory_order_relaxed));
	mem_free(w);
}

weft_watch *weft_watch_sender_ref(weft_watch *w)
{
	ends_sender_add(&w->ends);
	return w;
}

weft_watch *weft_watch_sender_try_ref(weft_watch *w)
{
	return !weft_watch_is_closed(w) && ends_sender_try_add(&w->ends) ? w : NULL;
}

void weft_watch_sender_unref(weft_watch *w)
{
	if (!w)
		return;
	if (refcount_drop(&w->ends.senders))
		weft_watch_close(w);
	weft_watch_unref(w);
}

/* --- changing -------------------------------------------------------------------------- */

static uint64_t version_locked(const weft_watch *w)
{
	/* relaxed: written under the lock */
	return atomic_load_explicit(&w->version, memory_order_relaxed);
}

/* Takes the lock, unless the watch is closed. */
static weft_err change_begin(weft_watch *w)
{
	rt_lock_acquire(&w->lock);
	if (weft_likely(!(version_locked(w) & WATCH_CLOSED)))
		return WEFT_OK;
	rt_lock_release(&w->lock);
	return err_set(WEFT_ECLOSED);
}

/* Releases the lock. */
static void change_end(weft_watch *w, uint64_t version)
{
	/* seq_cst; pairs with the look after entering a list: before wait_any. Publishes the
	 * value (release). */
	atomic_exchange_explicit(&w->version, version, memory_order_seq_cst);
	rt_lock_release(&w->lock);
	if (wait_any(&w->waiters))
		crowd_wake(&w->waiters);
}

static void plain_publish(weft_watch *w)
{
	uint64_t version = version_locked(w) + 2;

	words_store(buffer_of(w, version), w->latest, w->size);
	change_end(w, version);
}

static void box_publish(weft_watch *w, struct watch_box *box)
{
	struct watch_box *old;

	box->version = version_locked(w) + 2;
	/* acq_rel; pairs with the acquire of those who look: the value; and with the change
	 * before: the box that it made */
	old = atomic_exchange_explicit(&w->box, box, memory_order_acq_rel);
	change_end(w, box->version);
	reclaim_retire(&old->node, box_reclaimed);
	reclaim_help();
}

/* With the lock held: what is there now, counted for the caller. */
static void old_copy(weft_watch *w, void *old)
{
	struct watch_box *box;

	if (!w->options.boxed) {
		words_load(old, buffer_of(w, version_locked(w)), w->size);
		return;
	}
	/* relaxed: written under the lock, and not retired before it is replaced */
	box = atomic_load_explicit(&w->box, memory_order_relaxed);
	if (w->size != 0)
		memcpy(old, box->value, w->size);
	if (w->options.ref)
		w->options.ref(old, w->options.user);
}

/* A box for the new value, and the lock; NULL: *err says why not. */
static struct watch_box *boxed_begin(weft_watch *w, const void *value, weft_err *err)
{
	struct watch_box *box = box_new(w, value);

	if (!box) {
		*err = err_set(WEFT_ENOMEM);
		return NULL;
	}
	*err = change_begin(w);
	if (*err == WEFT_OK)
		return box;
	box_drop(box);
	return NULL;
}

static weft_err boxed_send(weft_watch *w, const void *value, void *old)
{
	weft_err err = WEFT_OK;
	struct watch_box *box = boxed_begin(w, value, &err);

	if (!box)
		return err;
	if (old)
		old_copy(w, old);
	box_publish(w, box);
	return WEFT_OK;
}

/* old may be NULL, or the same as value. */
static weft_err value_send(weft_watch *w, const void *value, void *old)
{
	weft_err err;

	if (w->options.boxed)
		return boxed_send(w, value, old);
	err = change_begin(w);
	if (weft_unlikely(err != WEFT_OK))
		return err;
	if (w->size != 0)
		memcpy(w->latest, value, w->size);
	if (old)
		old_copy(w, old);
	plain_publish(w);
	return WEFT_OK;
}

weft_err weft_watch_send(weft_watch *w, const void *value)
{
	return value_send(w, value, NULL);
}

weft_err weft_watch_replace(weft_watch *w, const void *value, void *old)
{
	return value_send(w, value, old);
}

/* What changes a value. */
struct change {
	bool (*fn)(void *value, void *arg);
	void *arg;
};

/* The lock is held, so that no other change comes in between: the guard makes sure that fn
 * does not park over it. */
static bool change_call(const struct change *change, void *value)
{
	bool modified;

	reclaim_enter();
	modified = change->fn(value, change->arg);
	reclaim_leave();
	return modified;
}

static weft_err plain_change(weft_watch *w, const struct change *change, bool *modified)
{
	weft_err err = change_begin(w);

	if (err != WEFT_OK)
		return err;
	*modified = change_call(change, w->latest);
	if (*modified) {
		plain_publish(w);
		return WEFT_OK;
	}
	words_load(w->latest, buffer_of(w, version_locked(w)), w->size);
	rt_lock_release(&w->lock);
	return WEFT_OK;
}

static weft_err boxed_change(weft_watch *w, const struct change *change, bool *modified)
{
	weft_err err = WEFT_OK;
	struct watch_box *box = boxed_begin(w, NULL, &err);

	if (!box)
		return err;
	old_copy(w, box->value);
	*modified = change_call(change, box->value);
	if (*modified) {
		box_publish(w, box);
		return WEFT_OK;
	}
	rt_lock_release(&w->lock);
	box_free(box);
	return WEFT_OK;
}

static weft_err value_change(weft_watch *w, const struct change *change, bool *modified)
{
	return w->options.boxed ? boxed_change(w, change, modified)
				: plain_change(w, change, modified);
}

struct modification {
	void (*fn)(void *value, void *arg);
	void *arg;
};

static bool modify_always(void *value, void *arg)
{
	struct modification *it = arg;

	it->fn(value, it->arg);
	return true;
}

weft_err weft_watch_modify(weft_watch *w, void (*fn)(void *value, void *arg), void *arg)
{
	struct modification it = { fn, arg };
	bool modified = true;

	return value_change(w, &(struct change){ modify_always, &it }, &modified);
}

weft_err weft_watch_send_if_modified(
	weft_watch *w, bool (*fn)(void *value, void *arg), void *arg, bool *modified)
{
	bool is_modified = false;
	weft_err err = value_change(w, &(struct change){ fn, arg }, &is_modified);

	if (err == WEFT_OK && modified)
		*modified = is_modified;
	return err;
}

void weft_watch_close(weft_watch *w)
{
	rt_lock_acquire(&w->lock);
	change_end(w, version_locked(w) | WATCH_CLOSED);
}

/* --- looking --------------------------------------------------------------------------- */

/* While the value changes faster than it can be copied. */
static __attribute__((noinline)) uint64_t plain_get_locked(weft_watch *w, void *value)
{
	uint64_t version;

	rt_lock_acquire(&w->lock);
	version = version_locked(w);
	words_load(value, buffer_of(w, version), w->size);
	rt_lock_release(&w->lock);
	return version & ~WATCH_CLOSED;
}

/* All of these return the version that was looked at. */
static uint64_t plain_get(weft_watch *w, void *value)
{
	for (int i = 0; i < COPIES_MAX; i++) {
		/* acquire; pairs with change_end: the words */
		uint64_t version = atomic_load_explicit(&w->version, memory_order_acquire);

		words_load(value, buffer_of(w, version), w->size);
		/* relaxed: the words' acquires come before; see words.h. A close in between
		 * does no harm. */
		if (weft_likely((atomic_load_explicit(&w->version, memory_order_relaxed) |
					WATCH_CLOSED) == (version | WATCH_CLOSED)))
			return version & ~WATCH_CLOSED;
	}
	return plain_get_locked(w, value);
}

/* In a guard. */
static const struct watch_box *box_of(const weft_watch *w)
{
	/* acquire; pairs with box_publish: the value */
	return atomic_load_explicit(&w->box, memory_order_acquire);
}

static uint64_t boxed_get(weft_watch *w, void *value)
{
	const struct watch_box *box;
	uint64_t version;

	reclaim_enter();
	box = box_of(w);
	version = box->version;
	if (w->size != 0)
		memcpy(value, box->value, w->size);
	if (w->options.ref)
		w->options.ref(value, w->options.user);
	reclaim_leave();
	return version;
}

static uint64_t get(weft_watch *w, void *value)
{
	return w->options.boxed ? boxed_get(w, value) : plain_get(w, value);
}

static weft_err view(
	weft_watch *w, void (*fn)(const void *value, void *arg), void *arg, uint64_t *version)
{
	const struct watch_box *box;

	if (!w->options.boxed)
		return err_setf(WEFT_EINVAL, "view watch: its values are not boxed");
	reclaim_enter();
	box = box_of(w);
	*version = box->version;
	fn(box->value, arg);
	reclaim_leave();
	return WEFT_OK;
}

void weft_watch_get(weft_watch *w, void *value)
{
	get(w, value);
}

weft_err weft_watch_view(weft_watch *w, void (*fn)(const void *value, void *arg), void *arg)
{
	uint64_t version;

	return view(w, fn, arg, &version);
}

bool weft_watch_is_closed(const weft_watch *w)
{
	/* acquire; pairs with the close: what its caller did before */
	return atomic_load_explicit(&w->version, memory_order_acquire) & WATCH_CLOSED;
}

size_t weft_watch_sub_count(const weft_watch *w)
{
	return (size_t)word64_peek(&w->subs);
}

size_t weft_watch_sender_count(const weft_watch *w)
{
	return refcount_get(&w->ends.senders);
}

static bool is_unwatched(const void *object)
{
	const weft_watch *w = object;

	return word64_get(&w->subs) == 0;
}

weft_err weft_watch_wait_unwatched(weft_watch *w, weft_deadline until)
{
	return wait_until(&w->unwatched, is_unwatched, w, until, "watch unwatched");
}

/* --- receivers ------------------------------------------------------------------------- */

static weft_err sub_make(weft_watch_sub **out, weft_watch *w, uint64_t seen)
{
	weft_watch_sub *sub = mem_alloc(sizeof(*sub));

	if (!sub)
		return err_set(WEFT_ENOMEM);
	sub->source = weft_watch_ref(w);
	sub->seen = seen;
	word64_add(&w->subs, 1);
	*out = sub;
	return WEFT_OK;
}

static uint64_t version_of(const weft_watch *w)
{
	/* seq_cst; pairs with change_end: the look after entering a list */
	return atomic_load_explicit(&w->version, memory_order_seq_cst);
}

weft_err weft_watch_sub_create(weft_watch_sub **out, weft_watch *w)
{
	return sub_make(out, w, version_of(w) & ~WATCH_CLOSED);
}

weft_err weft_watch_sub_copy(weft_watch_sub **out, const weft_watch_sub *sub)
{
	return sub_make(out, sub->source, sub->seen);
}

void weft_watch_sub_free(weft_watch_sub *sub)
{
	if (!sub)
		return;
	if (word64_add(&sub->source->subs, -1) == 0 && wait_any(&sub->source->unwatched))
		crowd_wake(&sub->source->unwatched);
	weft_watch_unref(sub->source);
	mem_free(sub);
}

weft_watch *weft_watch_sub_source(const weft_watch_sub *sub)
{
	return sub->source;
}

void weft_watch_sub_borrow(weft_watch_sub *sub, void *value)
{
	get(sub->source, value);
}

void weft_watch_sub_borrow_and_update(weft_watch_sub *sub, void *value)
{
	sub->seen = get(sub->source, value);
}

weft_err weft_watch_sub_view(
	weft_watch_sub *sub, void (*fn)(const void *value, void *arg), void *arg)
{
	return weft_watch_view(sub->source, fn, arg);
}

weft_err weft_watch_sub_view_and_update(
	weft_watch_sub *sub, void (*fn)(const void *value, void *arg), void *arg)
{
	return view(sub->source, fn, arg, &sub->seen);
}

/* A box may have been seen before its version was published. */
static bool is_newer(uint64_t version, uint64_t seen)
{
	return (int64_t)((version & ~WATCH_CLOSED) - seen) > 0;
}

bool weft_watch_sub_has_changed(const weft_watch_sub *sub)
{
	return is_newer(version_of(sub->source), sub->seen);
}

void weft_watch_sub_mark_changed(weft_watch_sub *sub)
{
	sub->seen = (version_of(sub->source) & ~WATCH_CLOSED) - 2;
}

weft_err watch_try_changed(weft_watch_sub *sub)
{
	uint64_t version = version_of(sub->source);

	if (is_newer(version, sub->seen)) {
		sub->seen = version & ~WATCH_CLOSED;
		return WEFT_OK;
	}
	return version & WATCH_CLOSED ? WEFT_ECLOSED : WEFT_EAGAIN;
}

bool watch_is_ready(const weft_watch_sub *sub)
{
	uint64_t version = version_of(sub->source);

	return (version & WATCH_CLOSED) || is_newer(version, sub->seen);
}

static bool sub_is_ready(const void *sub)
{
	return watch_is_ready(sub);
}

weft_err weft_watch_sub_changed(weft_watch_sub *sub, weft_deadline until)
{
	weft_err err = watch_try_changed(sub);

	while (err == WEFT_EAGAIN) {
		err = wait_until(&sub->source->waiters, sub_is_ready, sub, until, "watch changed");
		if (err != WEFT_OK)
			return err;
		err = watch_try_changed(sub);
	}
	return err == WEFT_OK ? WEFT_OK : err_set(err);
}

weft_err weft_watch_sub_wait_for(weft_watch_sub *sub, bool (*fn)(const void *value, void *arg),
	void *arg, void *value, weft_deadline until)
{
	const weft_watch_options *options = &sub->source->options;

	for (;;) {
		weft_err err;

		weft_watch_sub_borrow_and_update(sub, value);
		if (fn(value, arg))
			return WEFT_OK;
		if (options->unref)
			options->unref(value, options->user);
		err = weft_watch_sub_changed(sub, until);
		if (err != WEFT_OK)
			return err;
	}
}

/* --- in a select ----------------------------------------------------------------------- */

static const char *select_flaw(const weft_select_case *c)
{
	return c->watch ? NULL : "no receiver";
}

static weft_err select_attempt(const weft_select_case *c)
{
	weft_err err = watch_try_changed(c->watch);

	if (err == WEFT_OK && c->message)
		weft_watch_sub_borrow_and_update(c->watch, c->message);
	return err;
}

static bool select_enter(const weft_select_case *c, struct wait_node *node)
{
	wait_push(&c->watch->source->waiters, node, false);
	return watch_is_ready(c->watch);
}

static void select_leave(const weft_select_case *c, struct wait_node *node)
{
	wait_remove(&c->watch->source->waiters, node);
}

const struct select_ops select_watch = {
	.flaw = select_flaw,
	.attempt = select_attempt,
	.enter = select_enter,
	.leave = select_leave,
};
