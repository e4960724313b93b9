/* SPDX-License-Identifier: MIT */
#ifndef SYNC_ONCE_H
#define SYNC_ONCE_H

/* weft_once in the library's own structures. */
#include "sync/wait.h"

#include <weft/once.h>

struct weft_once {
	_Atomic(void *) value;	 /* set once, under the lock of inits; first: weft_once_head */
	uintptr_t owner;	 /* who runs init; under the lock of inits */
	struct wait_queue inits; /* would run their own init */
	struct wait_queue waits; /* only wait */
	void (*destroy)(void *value);
};

_Static_assert(offsetof(struct weft_once, value) == offsetof(struct weft_once_head, value) &&
		sizeof(_Atomic(void *)) == sizeof(void *),
	"once.h reads it");

/* Nothing to undo but what is done with the value: destroy is for weft_once_free. */
void once_init(weft_once *once, void (*destroy)(void *value));

#endif
