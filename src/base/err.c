/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include "base/err.h"
#include "base/check.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct err_slot thread_slot;
static _Thread_local bool thread_slot_known; /* its text is freed when the thread ends */
static pthread_key_t thread_key;
static pthread_once_t thread_key_once = PTHREAD_ONCE_INIT;
static struct err_slot *(*slot_hook)(void);

const char *weft_version(void)
{
	return WEFT_VERSION;
}

const char *weft_strerror(weft_err err)
{
	switch (err) {
#define TEXT(code, name, text) \
	case WEFT_##name:      \
		return text;
		WEFT_ERR_LIST(TEXT)
#undef TEXT
	}
	return "unknown error";
}

const char *weft_err_name(weft_err err)
{
	switch (err) {
#define NAME(code, name, text) \
	case WEFT_##name:      \
		return "WEFT_" #name;
		WEFT_ERR_LIST(NAME)
#undef NAME
	}
	return "WEFT_E?";
}

void err_slot_hook_set(struct err_slot *(*hook)(void))
{
	slot_hook = hook;
}

struct err_slot *err_slot_self(void)
{
	struct err_slot *slot = slot_hook ? slot_hook() : NULL;

	return slot ? slot : &thread_slot;
}

void err_slot_fini(struct err_slot *slot)
{
	mem_free(slot->text);
	*slot = (struct err_slot){ WEFT_OK, false, NULL };
}

static void thread_end(void *arg)
{
	err_slot_fini(arg);
}

static void thread_key_make(void)
{
	CHECK(pthread_key_create(&thread_key, thread_end) == 0);
}

/* The slot's text buffer; NULL when out of memory. */
static char *text_of(struct err_slot *slot)
{
	if (slot->text)
		return slot->text;
	if (slot == &thread_slot && !thread_slot_known) {
		pthread_once(&thread_key_once, thread_key_make);
		if (pthread_setspecific(thread_key, slot) != 0)
			return NULL;
		thread_slot_known = true;
	}
	slot->text = mem_alloc(ERR_TEXT_MAX);
	return slot->text;
}

void err_slot_copy(struct err_slot *to, const struct err_slot *from)
{
	char *text;

	if (to == from)
		return;
	to->err = from->err;
	to->has_text = false;
	if (!from->has_text)
		return;
	text = text_of(to);
	if (!text)
		return;
	memcpy(text, from->text, ERR_TEXT_MAX);
	to->has_text = true;
}

const char *weft_error_detail(void)
{
	struct err_slot *slot = err_slot_self();

	if (slot->has_text)
		return slot->text;
	return slot->err ? weft_strerror(slot->err) : "";
}

weft_err err_set(weft_err code)
{
	struct err_slot *slot = err_slot_self();

	slot->err = code;
	slot->has_text = false;
	return code;
}

weft_err err_set_code(weft_err code)
{
	err_slot_self()->err = code;
	return code;
}

/* Marks a cut with "...". */
static void finish(struct err_slot *slot, weft_err code, int len)
{
	slot->err = code;
	slot->has_text = len >= 0;
	if (len >= ERR_TEXT_MAX)
		memcpy(slot->text + ERR_TEXT_MAX - 4, "...", 4);
}

WEFT_PRINTF(3, 0)
static weft_err setv(weft_err code, const char *tail, const char *format, va_list args)
{
	struct err_slot *slot = err_slot_self();
	char text[ERR_TEXT_MAX];
	int saved = errno, len;

	/* into a buffer of its own: the arguments may come from the detail */
	len = vsnprintf(text, sizeof(text), format, args);
	if (len < 0 || !text_of(slot)) {
		slot->err = code;
		slot->has_text = false;
	} else if (tail) {
		finish(slot, code, snprintf(slot->text, ERR_TEXT_MAX, "%s: %s", text, tail));
	} else {
		finish(slot, code,
			snprintf(slot->text, ERR_TEXT_MAX, "%s%s", text,
				len >= ERR_TEXT_MAX ? "..." : ""));
	}
	errno = saved;
	return code;
}

weft_err err_setf(weft_err code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	setv(code, NULL, format, args);
	va_end(args);
	return code;
}

weft_err err_sys(int errnum, const char *format, ...)
{
	weft_err code = err_from_errno(errnum);
	char reason[128];
	va_list args;

	if (strerror_r(errnum, reason, sizeof(reason)) != 0)
		snprintf(reason, sizeof(reason), "error %d", errnum);
	/* a detail is no sentence; "RFS specific error" keeps its letters */
	if (reason[0] && islower((unsigned char)reason[1]))
		reason[0] = (char)tolower((unsigned char)reason[0]);
	va_start(args, format);
	setv(code, reason, format, args);
	va_end(args);
	return code;
}

weft_err err_wrap(weft_err code, const char *format, ...)
{
	char inner[ERR_TEXT_MAX];
	va_list args;

	snprintf(inner, sizeof(inner), "%s", weft_error_detail());
	va_start(args, format);
	setv(code, inner[0] ? inner : weft_strerror(code), format, args);
	va_end(args);
	return code;
}

weft_err err_from_errno(int errnum)
{
	switch (errnum) {
	case 0:
		return WEFT_OK;
	case ENOMEM:
		return WEFT_ENOMEM;
	case ETIMEDOUT:
		return WEFT_ETIMEDOUT;
	case ECANCELED:
		return WEFT_ECANCELED;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
		return WEFT_ERESET;
	case ECONNREFUSED:
		return WEFT_EREFUSED;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case EADDRNOTAVAIL:
		return WEFT_EUNREACH;
	case EMSGSIZE:
		return WEFT_EMSGSIZE;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOSPC:
	case EAGAIN:
		return WEFT_ECAPACITY;
	case EEXIST:
		return WEFT_EDUPLICATE;
	case EADDRINUSE:
		return WEFT_EINUSE;
	case EACCES:
	case EPERM:
		return WEFT_EACCESS;
	case ENOENT:
	case ESRCH:
		return WEFT_ENOTFOUND;
	case EINVAL:
	case EBADF:
	case ENAMETOOLONG:
	case EAFNOSUPPORT:
		return WEFT_EINVAL;
	case ENOSYS:
	case EOPNOTSUPP:
		return WEFT_ENOSYS;
	case EDEADLK:
		return WEFT_EDEADLOCK;
	case EPROTO:
		return WEFT_EPROTO;
	default:
		return WEFT_EIO;
	}
}
