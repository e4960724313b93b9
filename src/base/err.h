/* SPDX-License-Identifier: MIT */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/*
 * Errors with context. Every failing path ends in one of these, so that
 * weft_error_detail() is never stale: the innermost caller sets, each caller on the
 * way out may wrap.
 */
#include <weft/base.h>

#include <stdarg.h>
#include <stdbool.h>

#define ERR_TEXT_MAX 1024 /* bytes of a detail, NUL included; longer ones are cut */

/* One a fiber and one a plain thread. text is allocated at the first err_setf. */
struct err_slot {
	weft_err err;  /* last error; WEFT_OK: none yet */
	bool has_text; /* text belongs to err; otherwise weft_strerror says it */
	char *text;    /* ERR_TEXT_MAX bytes or NULL; owned */
};

/* The runtime sets this so that fibers have slots of their own. The hook returns NULL
 * in a plain thread. Set once, before main: any thread may read it. */
void err_slot_hook_set(struct err_slot *(*hook)(void));
void err_slot_fini(struct err_slot *slot);
/* Copies a fiber's error to the caller's slot (a scope's first error, a join). */
void err_slot_copy(struct err_slot *to, const struct err_slot *from);
struct err_slot *err_slot_self(void);

/* All return their code. A bare one: a few ns, for errors of the fast path. */
weft_err err_set(weft_err code);
/* The detail is exactly this text: include the cause. */
weft_err err_setf(weft_err code, const char *format, ...) WEFT_PRINTF(2, 3);
/* Another code for the detail there is. */
weft_err err_set_code(weft_err code);
/* From errno's number: the detail is "text: strerror". The code: see err_from_errno. */
weft_err err_sys(int errnum, const char *format, ...) WEFT_PRINTF(2, 3);
/* Puts "text: " in front of the detail there is; code is usually the one got. */
weft_err err_wrap(weft_err code, const char *format, ...) WEFT_PRINTF(2, 3);

/* ECONNREFUSED -> WEFT_EREFUSED, and so on; WEFT_EIO for what has no code. */
weft_err err_from_errno(int errnum);

#endif
