/* SPDX-License-Identifier: MIT */
#ifndef WEFT_WATCH_H
#define WEFT_WATCH_H

#include <weft/base.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * weft_watch: one value; whoever looks gets the latest, whoever waits is told of a change.
 *
 * A receiver (weft_watch_sub) knows which version it has seen. Versions in between may be
 * skipped; the last is never missed.
 *
 * Lifetime: reference counted; weft_watch_create gives one reference, and each receiver has
 *           one of its own. The value stays to be looked at after a close.
 * Threads:  every call from any fiber or thread that holds a reference. A receiver is used by
 *           one fiber or thread at a time.
 * Blocking: weft_watch_sub_changed, _wait_for and weft_watch_wait_unwatched; cancellation
 *           points. One that can complete without waiting does, cancelled or not. Looking
 *           writes nothing that others read, so that any number may look at once, and waits
 *           for nobody, unless the value changes faster than it can be copied.
 * Close:    changes get WEFT_ECLOSED at once; receivers that have seen the last version get
 *           it when they wait. By weft_watch_close, or when the last counted sender goes.
 *
 * Two kinds. Plain: values are bytes, copied in and out; a change allocates nothing. Boxed:
 * each value has memory of its own, from one allocation a change: so it may be large, it can
 * be looked at in place, and it may hold references to something counted.
 */
typedef struct weft_watch weft_watch;
typedef struct weft_watch_sub weft_watch_sub;

#define WEFT_WATCH_SIZE_MAX 4096 /* plain */
#define WEFT_WATCH_BOXED_SIZE_MAX ((size_t)1 << 30)

/*
 * ref and unref, both or neither, boxed only: for values that are, or contain, references to
 * something counted. Each gets the address of a value; neither may block nor use this watch.
 *
 * ref:   one more of what the value refers to, for a copy that is handed out.
 * unref: gives up what a value holds; called once for each that was sent (and for the
 *        initial one), when it was replaced and nobody looks at it any more: some time later,
 *        in any fiber or thread, perhaps after the last unref of the watch.
 */
typedef struct weft_watch_options {
	bool boxed;
	void (*ref)(void *value, void *user);
	void (*unref)(void *value, void *user);
	void *user;
} weft_watch_options;

#define WEFT_WATCH_OPTIONS_DEFAULT      \
	{                               \
		false, NULL, NULL, NULL \
	}

/* size: 0..WEFT_WATCH_SIZE_MAX bytes (.._BOXED_SIZE_MAX). initial: the first value, taken over
 * as by send; nothing on error. options may be NULL. Errors: WEFT_EINVAL, WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_create(
	weft_watch **out, size_t size, const void *initial, const weft_watch_options *options);
WEFT_API weft_watch *weft_watch_ref(weft_watch *w);
/* The last one frees; NULL is allowed. */
WEFT_API void weft_watch_unref(weft_watch *w);

/*
 * Counted senders: references that count as a sender as well. Any reference may change the
 * value; when the last counted one goes the watch closes. One that never had any ends by
 * weft_watch_close only.
 *
 * ref: the caller holds a reference of any kind. unref: gives up what one ref gave, the
 * reference included; NULL is allowed. try_ref: from a plain reference, which the caller
 * keeps; NULL: closed, or no counted sender is left (or was ever there).
 */
WEFT_API weft_watch *weft_watch_sender_ref(weft_watch *w);
WEFT_API void weft_watch_sender_unref(weft_watch *w);
WEFT_API WEFT_MUST_CHECK weft_watch *weft_watch_sender_try_ref(weft_watch *w);

/*
 * Changes, one after the other; each makes a new version and wakes all who wait. They park
 * nobody, and wait for each other shortly. Errors of all four: WEFT_ECLOSED, WEFT_ENOMEM
 * (boxed); then nothing changed, and what was to be taken over is still the caller's.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_send(weft_watch *w, const void *value);
/* As send; old, which may be where value is, gets the value before. With ref and unref it is
 * the caller's. */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_replace(weft_watch *w, const void *value, void *old);
/*
 * fn changes a copy of the value, which becomes the value when it returns. No other change
 * comes in between; looks see the old one meanwhile. With ref and unref fn is given a copy of
 * its own: it gives up what it replaces. fn must not block (asserted), nor change this watch.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_modify(
	weft_watch *w, void (*fn)(void *value, void *arg), void *arg);
/* The same, where fn says whether it has modified anything; if not, the copy is dropped, and
 * nobody is told. *modified (may be NULL): what fn said. */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_send_if_modified(
	weft_watch *w, bool (*fn)(void *value, void *arg), void *arg, bool *modified);

/* Copies the latest value out. With ref and unref the copy is the caller's, who unrefs. */
WEFT_API void weft_watch_get(weft_watch *w, void *value);
/* Calls fn with the latest value in place, which stays as it is until fn returns. fn must not
 * block or yield (asserted). Errors: WEFT_EINVAL (not boxed). */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_view(
	weft_watch *w, void (*fn)(const void *value, void *arg), void *arg);

/* Idempotent; wakes everyone who waits. */
WEFT_API void weft_watch_close(weft_watch *w);

/* Moments in a concurrent life: true when read, perhaps not after. */
WEFT_API bool weft_watch_is_closed(const weft_watch *w);
WEFT_API size_t weft_watch_sub_count(const weft_watch *w);
WEFT_API size_t weft_watch_sender_count(const weft_watch *w); /* counted ones */
/* Waits until there is no receiver (which may change). Errors: WEFT_ETIMEDOUT,
 * WEFT_ECANCELED, WEFT_ENOMEM (to park a plain thread for the first time). */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_wait_unwatched(weft_watch *w, weft_deadline until);

/* A receiver that has seen the version there is now. Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_sub_create(weft_watch_sub **out, weft_watch *w);
/* Another one that has seen what sub has. Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_sub_copy(
	weft_watch_sub **out, const weft_watch_sub *sub);
/* NULL is allowed. */
WEFT_API void weft_watch_sub_free(weft_watch_sub *sub);
/* What it watches; valid while sub is. */
WEFT_API weft_watch *weft_watch_sub_source(const weft_watch_sub *sub);

/* As weft_watch_get and weft_watch_view: what it has seen stays as it was. */
WEFT_API void weft_watch_sub_borrow(weft_watch_sub *sub, void *value);
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_sub_view(
	weft_watch_sub *sub, void (*fn)(const void *value, void *arg), void *arg);
/* The same, and it has seen the version that it gets. */
WEFT_API void weft_watch_sub_borrow_and_update(weft_watch_sub *sub, void *value);
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_sub_view_and_update(
	weft_watch_sub *sub, void (*fn)(const void *value, void *arg), void *arg);

/* There is a version that it has not seen. One load. */
WEFT_API bool weft_watch_sub_has_changed(const weft_watch_sub *sub);
/* As if it had not seen the latest version: changed returns at once. */
WEFT_API void weft_watch_sub_mark_changed(weft_watch_sub *sub);
/* Waits for a version that it has not seen, which it has seen then. Errors: WEFT_ECLOSED
 * (closed, and it has seen the last), WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_ENOMEM (to park a
 * plain thread for the first time). */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_sub_changed(weft_watch_sub *sub, weft_deadline until);
/*
 * Waits for a value of which fn says true, the latest first, seen or not. fn gets each value
 * that it comes by where value points to, as borrow_and_update leaves it; the one that it
 * accepts stays there. Errors: as changed (closed, and fn said false of the last value); then
 * what value points to has no meaning, and with ref and unref nothing of it is the caller's.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_watch_sub_wait_for(weft_watch_sub *sub,
	bool (*fn)(const void *value, void *arg), void *arg, void *value, weft_deadline until);

WEFT_END_DECLS
#endif
