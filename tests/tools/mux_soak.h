/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_MUX_SOAK_H
#define TOOLS_MUX_SOAK_H

/* Of mux_soak.c: what it counts, its sessions, and what it does as a server. */
#include "base/counter.h"
#include "base/list.h"
#include "base/mem.h"

#include <weft/weft.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAMS_MAX 400000 /* a session's */
#define PIECE 16384
#define SLOW_PIECES 16
#define SOON weft_after_ms(60000)

/* A stream's first byte says what becomes of it. */
enum {
	KIND_ECHO = 'o', /* a byte back, and closed */
	KIND_HOLD = 'h', /* kept, until KIND_DROP or the session's end */
	KIND_DROP = 'd', /* all that are kept are closed; then as KIND_ECHO */
	KIND_SLOW = 's', /* read slowly, and closed in the middle */
	KIND_BACK = 'c', /* a stream the other way; then as KIND_ECHO */
};

struct session {
	struct list link; /* in book.sessions */
	weft_mux *mux;
	weft_scope *scope; /* of the fibers that serve its streams; made when one is needed */
	weft_stream **held;
	size_t held_len, held_cap;
};

static struct {
	pthread_mutex_t lock; /* of sessions */
	struct list sessions;
	struct counter sessions_len;
	struct counter opened, freed; /* streams, of either side */
	struct counter served;
	struct counter blocks; /* of the library's memory */
	uint64_t leak_stream, leak_block;
} book = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- what goes wrong ---- */

_Noreturn static void die(const char *what, weft_err err)
{
	printf("{\"failed\": \"%s: %s: %s\"}\n", what, weft_err_name(err),
		err ? weft_error_detail() : "");
	fflush(stdout);
	_exit(1);
}

static void must(weft_err err, const char *what)
{
	if (err)
		die(what, err);
}

static void *must_alloc(size_t size)
{
	void *p = mem_calloc(1, size);

	if (!p)
		die("malloc", WEFT_ENOMEM);
	return p;
}

/* ---- the library's memory ---- */

static bool allow(void *user, size_t size)
{
	(void)user;
	(void)size;
	return true;
}

static void made(void *user)
{
	(void)user;
	(void)counter_add(&book.blocks, 1);
}

static void gone(void *user)
{
	(void)user;
	(void)counter_sub(&book.blocks, 1);
}

static const struct mem_hooks hooks = { allow, made, gone, NULL };

/* ---- sessions, streams ---- */

static weft_mux_options options_of(unsigned version)
{
	weft_mux_options o = WEFT_MUX_OPTIONS_DEFAULT;

	o.version = version;
	o.max_streams = STREAMS_MAX;
	return o;
}

static weft_err session_begin(
	struct session *s, weft_conn *conn, weft_mux_role role, const weft_mux_options *options)
{
	weft_err err = weft_mux_create_own(&s->mux, conn, role, options);

	if (err)
		return err;
	(void)pthread_mutex_lock(&book.lock);
	list_push_back(&book.sessions, &s->link);
	(void)pthread_mutex_unlock(&book.lock);
	(void)counter_add(&book.sessions_len, 1);
	return WEFT_OK;
}

static void stream_free(weft_stream *stream)
{
	weft_stream_free(stream);
	(void)counter_add(&book.freed, 1);
}

static void held_push(struct session *s, weft_stream *stream)
{
	if (s->held_len == s->held_cap) {
		s->held_cap = s->held_cap ? s->held_cap * 2 : 64;
		s->held = mem_realloc_array(s->held, s->held_cap, sizeof(weft_stream *));
		if (!s->held)
			die("malloc", WEFT_ENOMEM);
	}
	s->held[s->held_len++] = stream;
}

static void held_drop(struct session *s)
{
	while (s->held_len > 0)
		stream_free(s->held[--s->held_len]);
	mem_free(s->held);
	s->held = NULL;
	s->held_cap = 0;
}

static void session_end(struct session *s, bool by_abort)
{
	weft_err err;

	weft_scope_free(s->scope);
	s->scope = NULL;
	if (by_abort)
		weft_mux_abort(s->mux);
	held_drop(s);
	weft_mux_close(s->mux);
	err = weft_mux_wait(s->mux, SOON);
	if (err != WEFT_ECLOSED && err != WEFT_ERESET && err != WEFT_ECANCELED)
		die("a session's end", err);
	(void)pthread_mutex_lock(&book.lock);
	list_remove(&s->link);
	(void)pthread_mutex_unlock(&book.lock);
	weft_mux_free(s->mux);
	s->mux = NULL;
	(void)counter_sub(&book.sessions_len, 1);
}

/* ---- serving ---- */

struct served {
	struct session *session;
	weft_stream *stream;
};

static weft_err read_slowly(void *arg)
{
	weft_stream *stream = arg;
	char *data = must_alloc(PIECE);
	size_t got;

	for (int i = 0; i < SLOW_PIECES; i++) {
		if (weft_stream_read(stream, data, PIECE, &got, SOON) || weft_sleep_ms(1))
			break;
	}
	mem_free(data);
	stream_free(stream);
	return WEFT_OK;
}

static void spawn_slow(struct session *s, weft_stream *stream)
{
	if (!s->scope)
		must(weft_scope_create(&s->scope), "weft_scope_create");
	if (weft_scope_spawn(s->scope, "slow reader", read_slowly, stream))
		stream_free(stream);
}

/* The peer accepts it, and answers. */
static void call_back(struct session *s)
{
	weft_stream *stream = NULL;
	size_t got;
	char byte;

	if (weft_mux_open(s->mux, &stream, SOON))
		return;
	(void)counter_add(&book.opened, 1);
	if (!weft_stream_write(stream, "x", 1, NULL, SOON))
		(void)!weft_stream_read(stream, &byte, 1, &got, SOON);
	stream_free(stream);
}

/* Freed, or lost on purpose. */
static void serve_end(weft_stream *stream)
{
	uint64_t n = counter_add(&book.served, 1) + 1;

	if (book.leak_block && n % book.leak_block == 0 && !mem_alloc(256))
		die("malloc", WEFT_ENOMEM);
	if (book.leak_stream && n % book.leak_stream == 0) {
		weft_stream_close(stream);
		(void)counter_add(&book.freed, 1);
	} else {
		stream_free(stream);
	}
}

static void serve_stream(struct session *s, weft_stream *stream)
{
	char byte = 0;
	size_t got;

	/* the peer may have gone, or closed it at once */
	if (weft_stream_read(stream, &byte, 1, &got, SOON))
		byte = 0;
	switch (byte) {
	case KIND_HOLD:
		held_push(s, stream);
		return;
	case KIND_SLOW:
		spawn_slow(s, stream);
		return;
	case KIND_BACK:
		call_back(s);
		break;
	case KIND_DROP:
		held_drop(s);
		break;
	default:
		break;
	}
	if (byte)
		(void)!weft_stream_write(stream, "k", 1, NULL, SOON);
	serve_end(stream);
}

static weft_err serve(weft_conn *conn, void *arg)
{
	weft_mux_options options = options_of(*(const unsigned *)arg);
	struct session s = { .mux = NULL };
	weft_stream *stream;

	must(session_begin(&s, conn, WEFT_MUX_SERVER, &options), "serve a session");
	while (!weft_mux_accept(s.mux, &stream, WEFT_FOREVER)) {
		(void)counter_add(&book.opened, 1);
		serve_stream(&s, stream);
	}
	session_end(&s, false);
	return WEFT_OK;
}

#endif
