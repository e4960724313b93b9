/* SPDX-License-Identifier: MIT */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H

/*
 * What every other header needs: visibility, errors, deadlines, version.
 *
 * Errors:   a fallible call returns weft_err: 0 or a negative code from the list
 *           below. Results come through out-parameters, untouched on error.
 * Blocking: a call that takes a weft_deadline parks the calling fiber, or the
 *           calling plain thread, until then at the latest. It is a cancellation
 *           point: WEFT_ECANCELED when the fiber's scope was cancelled. Only waiting
 *           is: what can complete at once does, in a cancelled fiber too.
 * Threads:  everything declared here may be called from anywhere.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define WEFT_BEGIN_DECLS extern "C" {
#define WEFT_END_DECLS }
#define WEFT_CAST(type, value) static_cast<type>(value)
#else
#define WEFT_CAST(type, value) ((type)(value))
#define WEFT_BEGIN_DECLS
#define WEFT_END_DECLS
#endif

#if defined(__GNUC__)
#define WEFT_API __attribute__((visibility("default")))
#define WEFT_MUST_CHECK __attribute__((warn_unused_result))
#define WEFT_UNUSED __attribute__((unused))
#define WEFT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#if defined(__cplusplus) || defined(__GNUC_STDC_INLINE__)
/* Fast paths of one load are compiled into the program: WEFT_INLINE functions. The library
 * has each as a symbol, too. */
#define WEFT_INLINE inline
#define WEFT_LOAD_ACQUIRE(ptr) __atomic_load_n((ptr), __ATOMIC_ACQUIRE)
#endif
#else
#define WEFT_API
#define WEFT_MUST_CHECK
#define WEFT_UNUSED
#define WEFT_PRINTF(fmt, args)
#endif

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0
#define WEFT_VERSION "0.1.0"

WEFT_BEGIN_DECLS

/* X(code, NAME, text). Codes never change meaning; new ones join at the end. */
#define WEFT_ERR_LIST(X)                          \
	X(0, OK, "success")                       \
	X(-1, EINVAL, "invalid argument")         \
	X(-2, ENOMEM, "out of memory")            \
	X(-3, ETIMEDOUT, "timed out")             \
	X(-4, ECANCELED, "cancelled")             \
	X(-5, ECLOSED, "closed")                  \
	X(-6, ERESET, "connection reset")         \
	X(-7, EREFUSED, "connection refused")     \
	X(-8, EUNREACH, "unreachable")            \
	X(-9, ERESOLVE, "name does not resolve")  \
	X(-10, EMSGSIZE, "message too large")     \
	X(-11, ECAPACITY, "limit reached")        \
	X(-12, EDUPLICATE, "already exists")      \
	X(-13, EPROTO, "protocol error")          \
	X(-14, EAUTH, "not authorized")           \
	X(-15, ETLS, "TLS failure")               \
	X(-16, ESPAWN, "cannot start process")    \
	X(-17, ECHILD, "child process failed")    \
	X(-18, ELAGGED, "receiver lagged behind") \
	X(-19, EAGAIN, "would block")             \
	X(-20, EINUSE, "address in use")          \
	X(-21, EACCESS, "permission denied")      \
	X(-22, ENOTFOUND, "not found")            \
	X(-23, EIO, "input/output error")         \
	X(-24, EDEADLOCK, "deadlock")             \
	X(-25, ENOSYS, "not supported")

typedef enum weft_err {
#define WEFT_ERR_ENUM(code, name, text) WEFT_##name = (code),
	WEFT_ERR_LIST(WEFT_ERR_ENUM)
#undef WEFT_ERR_ENUM
} weft_err;

/* Static text of a code, never NULL ("unknown error" for a foreign number). */
WEFT_API const char *weft_strerror(weft_err err);
/* Static name of a code as written in C, such as "WEFT_ETIMEDOUT". */
WEFT_API const char *weft_err_name(weft_err err);

/*
 * The calling fiber's (or plain thread's) last error with its context, outermost
 * first: "open mux session: connect tcp 127.0.0.1:9: connection refused". Empty
 * when nothing failed yet. Valid until the fiber's or thread's next failing weft
 * call; successful calls leave it alone.
 */
WEFT_API const char *weft_error_detail(void);

/*
 * A point in time on the monotonic clock, in absolute nanoseconds. Under the
 * simulator the clock is virtual. Two values are special:
 */
typedef int64_t weft_deadline;
#define WEFT_FOREVER INT64_MAX	    /* wait without limit */
#define WEFT_NOW ((weft_deadline)0) /* do not wait: WEFT_ETIMEDOUT instead */

/* Now, on the clock that deadlines are measured by (ns). */
WEFT_API weft_deadline weft_now(void);
/* A deadline that many units from now; saturates at WEFT_FOREVER, and a negative
 * duration is WEFT_NOW. */
WEFT_API weft_deadline weft_after_ns(int64_t duration_ns);
WEFT_API weft_deadline weft_after_ms(int64_t duration_ms);

/* Version of the library that is linked, which may be newer than the header. */
WEFT_API const char *weft_version(void);

WEFT_END_DECLS
#endif
