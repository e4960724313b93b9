/* SPDX-License-Identifier: MIT */
#ifndef WEFT_HUB_H
#define WEFT_HUB_H

#include <weft/base.h>

#include <stdbool.h>

WEFT_BEGIN_DECLS
/*
 * weft_hub: objects that parts of a program find by name, without knowing one another.
 *
 * A key is (scope, name, type). The scope is global (NULL) or named. The type is the address
 * of a weft_hub_type: the same name under two types is two keys.
 *
 * Objects:  the hub owns what is registered. An object lives while it is registered or a
 *           handle is bound to it, whichever is longer; then its type's destroy gets it,
 *           once, in the fiber or thread that let go last (removed, freed the hub, or
 *           ended the last handle). A type whose objects count references themselves has
 *           its unref there, and callers may ref what a handle gives them.
 * Handles:  whoever uses an object holds a weft_hub_handle, which is bound to it by the
 *           first look-up that succeeds; from then on using it costs one load. It stays
 *           with its object when that is removed, and when another is registered.
 * Lifetime: one owner; weft_hub_free destroys, in the reverse order of registration, what
 *           no handle is bound to. Handles may end after the hub, but must not look up.
 *           weft_hub_global() is there always, and never freed.
 * Threads:  everything but free from any fiber or thread, a handle that many share
 *           included; handle_fini only when nobody uses the handle.
 * Blocking: weft_hub_wait, and weft_hub_get_or_init while another initialises; they are
 *           cancellation points. Looking up takes no lock. No lock is held while init,
 *           destroy or a callback runs: all may call the hub.
 */
typedef struct weft_hub weft_hub;

/* Constant, and there as long as anything of that type is: a static. */
typedef struct weft_hub_type {
	const char *name;	       /* for messages */
	void (*destroy)(void *object); /* may be NULL */
} weft_hub_type;

/* Scope and name: UTF-8, 1 to WEFT_HUB_NAME_MAX bytes each; borrowed for the call. */
typedef struct weft_hub_key {
	const char *scope; /* NULL: global */
	const char *name;
	const weft_hub_type *type;
} weft_hub_key;

#define WEFT_HUB_NAME_MAX 255
#define WEFT_HUB_OBJECTS_MAX ((size_t)1 << 24)

/* Errors: WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_hub_create(weft_hub **out);
/* When no call on it is under way, and nobody waits. NULL is allowed. */
WEFT_API void weft_hub_free(weft_hub *hub);
/* The process's own: needs no creation. A hub that is NULL stands for it, in all that
 * follows. What is in it at the process's end is not destroyed: see weft_hub_clear. */
WEFT_API weft_hub *weft_hub_global(void);

/*
 * Registers an object. On WEFT_OK the hub owns it; on any error it is still the caller's.
 * Errors: WEFT_EDUPLICATE (the key is taken, or somebody's init runs for it: of any number
 * of racing sets one succeeds), WEFT_EINVAL (NULL object, bad name), WEFT_ECAPACITY
 * (WEFT_HUB_OBJECTS_MAX), WEFT_ENOMEM. The detail has scope, name and type, in all calls.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_hub_set(
	weft_hub *hub, const weft_hub_key *key, void *object);
/* Takes the object out, and lets go of it. Errors: WEFT_ENOTFOUND, WEFT_EINVAL. */
WEFT_API WEFT_MUST_CHECK weft_err weft_hub_remove(weft_hub *hub, const weft_hub_key *key);
/* All of a scope (NULL: the global one) at once; lets go of them in the reverse order of
 * registration. How many they were. */
WEFT_API size_t weft_hub_remove_scope(weft_hub *hub, const char *scope);
/* All of all scopes, in the same way. */
WEFT_API size_t weft_hub_clear(weft_hub *hub);
/* Objects registered now. */
WEFT_API size_t weft_hub_len(const weft_hub *hub);

/*
 * Calls fn for what is registered at the moment of the call, in the order of registration,
 * until fn returns false. Each object lives until fn has returned. fn may call anything,
 * and may block. Errors: WEFT_ENOMEM; then fn was not called.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_hub_each(
	weft_hub *hub, bool (*fn)(void *arg, const weft_hub_key *key, void *object), void *arg);

/* --- handles ----------------------------------------------------------------------------- */

/*
 * Begins as WEFT_HUB_HANDLE(hub, scope, name, type), also a static one. The
 * caller's memory, its strings borrowed until it is bound; the fields are for the functions
 * below.
 */
typedef struct weft_hub_handle {
	void *object;		      /* NULL: not bound */
	struct weft_hub_entry *entry; /* what it holds */
	weft_hub *hub;
	weft_hub_key key;
} weft_hub_handle;

#define WEFT_HUB_HANDLE(hub, scope, name, type) \
	{                                       \
		NULL, NULL, (hub),              \
		{                               \
			scope, name, type       \
		}                               \
	}

/*
 * These three give the object of a bound handle, and otherwise look it up and bind the
 * handle. *object is good until weft_hub_handle_fini.
 *
 * weft_hub_look: now. Errors: WEFT_ENOTFOUND (the detail tells when the name is there under
 * another type), WEFT_EINVAL (bad name).
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_hub_look(weft_hub_handle *handle, void **object);
/* Waits until somebody registers it. Errors: WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EINVAL,
 * WEFT_ECAPACITY, WEFT_ENOMEM. */
WEFT_API WEFT_MUST_CHECK weft_err weft_hub_wait(
	weft_hub_handle *handle, void **object, weft_deadline until);
/*
 * When it is not registered, init(arg, &object) makes it in the calling fiber or thread and
 * it is registered: once, however many race; the others wait and get the same object. When
 * init fails, or its fiber is cancelled inside it, its error goes to its caller, and the
 * next one that waits runs its own. A NULL object is WEFT_EINVAL; init asking for its own
 * key from the same fiber is told WEFT_EDEADLOCK.
 * Errors: init's own, WEFT_ETIMEDOUT, WEFT_ECANCELED (both while another's runs),
 * WEFT_EINVAL, WEFT_ECAPACITY, WEFT_ENOMEM.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_hub_get_or_init(weft_hub_handle *handle, void **object,
	weft_err (*init)(void *arg, void **object), void *arg, weft_deadline until);

#ifdef WEFT_INLINE
/* The object, or NULL while the handle is not bound. One load. */
WEFT_API WEFT_INLINE void *weft_hub_object(const weft_hub_handle *handle)
{
	/* acquire; pairs with the release of who bound it: what the object points to */
	return WEFT_LOAD_ACQUIRE(&handle->object);
}

/* weft_hub_look; one load when the handle is bound. */
WEFT_API WEFT_MUST_CHECK WEFT_INLINE weft_err weft_hub_get(weft_hub_handle *handle, void **object)
{
	void *there = weft_hub_object(handle);

	if (!there)
		return weft_hub_look(handle, object);
	*object = there;
	return WEFT_OK;
}
#else
WEFT_API void *weft_hub_object(const weft_hub_handle *handle);
WEFT_API WEFT_MUST_CHECK weft_err weft_hub_get(weft_hub_handle *handle, void **object);
#endif

/* True while what the handle is bound to is registered; false when it is not bound. */
WEFT_API bool weft_hub_is_current(const weft_hub_handle *handle);
/* Lets go of the object: the handle is unbound, and may be bound again. Idempotent. */
WEFT_API void weft_hub_handle_fini(weft_hub_handle *handle);

/* --- typed handles ----------------------------------------------------------------------- */

/*
 * The same with the type in the hands of the compiler. For example
 *
 *	static const weft_hub_type metrics_type = { "metrics", metrics_destroy };
 *	WEFT_HUB_TYPED(metrics, struct metrics, &metrics_type)
 *
 * defines metrics_handle and these, inline and each as above:
 *
 *	metrics_handle metrics_at(weft_hub *hub, const char *scope, const char *name);
 *	struct metrics *metrics_object(const metrics_handle *handle);
 *	weft_err metrics_get(metrics_handle *handle, struct metrics **object);
 *	weft_err metrics_wait(metrics_handle *handle, struct metrics **object,
 *		weft_deadline until);
 *	weft_err metrics_get_or_init(metrics_handle *handle, struct metrics **object,
 *		weft_err (*init)(void *arg, void **object), void *arg, weft_deadline until);
 *	void metrics_handle_fini(metrics_handle *handle);
 *	weft_err metrics_set(weft_hub *hub, const char *scope, const char *name,
 *		struct metrics *object);
 *	weft_err metrics_remove(weft_hub *hub, const char *scope, const char *name);
 *
 * A static handle: static metrics_handle h = { WEFT_HUB_HANDLE(NULL, NULL, "main",
 * &metrics_type) };
 */
#define WEFT_HUB_TYPED(prefix, T, hub_type)                                                      \
	typedef struct prefix##_handle {                                                         \
		weft_hub_handle untyped;                                                         \
	} prefix##_handle;                                                                       \
	WEFT_UNUSED static inline prefix##_handle prefix##_at(                                   \
		weft_hub *hub, const char *scope, const char *name)                              \
	{                                                                                        \
		prefix##_handle handle = { WEFT_HUB_HANDLE(hub, scope, name, hub_type) };        \
		return handle;                                                                   \
	}                                                                                        \
	WEFT_UNUSED static inline T *prefix##_object(const prefix##_handle *handle)              \
	{                                                                                        \
		return WEFT_CAST(T *, weft_hub_object(&handle->untyped));                        \
	}                                                                                        \
	WEFT_UNUSED WEFT_MUST_CHECK static inline weft_err prefix##_get(                         \
		prefix##_handle *handle, T **object)                                             \
	{                                                                                        \
		void *there = NULL;                                                              \
		weft_err err = weft_hub_get(&handle->untyped, &there);                           \
		if (err == WEFT_OK)                                                              \
			*object = WEFT_CAST(T *, there);                                         \
		return err;                                                                      \
	}                                                                                        \
	WEFT_UNUSED WEFT_MUST_CHECK static inline weft_err prefix##_wait(                        \
		prefix##_handle *handle, T **object, weft_deadline until)                        \
	{                                                                                        \
		void *there = NULL;                                                              \
		weft_err err = weft_hub_wait(&handle->untyped, &there, until);                   \
		if (err == WEFT_OK)                                                              \
			*object = WEFT_CAST(T *, there);                                         \
		return err;                                                                      \
	}                                                                                        \
	WEFT_UNUSED WEFT_MUST_CHECK static inline weft_err prefix##_get_or_init(                 \
		prefix##_handle *handle, T **object, weft_err (*init)(void *arg, void **object), \
		void *arg, weft_deadline until)                                                  \
	{                                                                                        \
		void *there = weft_hub_object(&handle->untyped);                                 \
		weft_err err = WEFT_OK;                                                          \
		if (!there)                                                                      \
			err = weft_hub_get_or_init(&handle->untyped, &there, init, arg, until);  \
		if (err == WEFT_OK)                                                              \
			*object = WEFT_CAST(T *, there);                                         \
		return err;                                                                      \
	}                                                                                        \
	WEFT_UNUSED static inline void prefix##_handle_fini(prefix##_handle *handle)             \
	{                                                                                        \
		weft_hub_handle_fini(&handle->untyped);                                          \
	}                                                                                        \
	WEFT_UNUSED WEFT_MUST_CHECK static inline weft_err prefix##_set(                         \
		weft_hub *hub, const char *scope, const char *name, T *object)                   \
	{                                                                                        \
		weft_hub_key key = { scope, name, hub_type };                                    \
		return weft_hub_set(hub, &key, object);                                          \
	}                                                                                        \
	WEFT_UNUSED WEFT_MUST_CHECK static inline weft_err prefix##_remove(                      \
		weft_hub *hub, const char *scope, const char *name)                              \
	{                                                                                        \
		weft_hub_key key = { scope, name, hub_type };                                    \
		return weft_hub_remove(hub, &key);                                               \
	}

WEFT_END_DECLS
#endif
