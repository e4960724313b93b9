/* SPDX-License-Identifier: MIT */
#include "support/webfake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SOON weft_after_ms(20000)
#define SAY_MAX 8192

struct visitor {
	struct webfake *fake;
	weft_conn *conn;
	struct webfake_request request;
};

weft_err webfake_say(weft_conn *conn, const char *format, ...)
{
	char *text = malloc(SAY_MAX);
	va_list args;
	weft_err err;
	int len;

	if (!text)
		abort();
	va_start(args, format);
	len = vsnprintf(text, SAY_MAX, format, args);
	va_end(args);
	if (len >= SAY_MAX)
		abort();
	err = weft_conn_write(conn, text, (size_t)len, NULL, SOON);
	free(text);
	return err;
}

weft_err webfake_reply(weft_conn *conn, unsigned status, const char *fields, const char *body)
{
	return webfake_say(conn, "HTTP/1.1 %u x\r\n%sContent-Length: %zu\r\n\r\n%s", status, fields,
		strlen(body), body);
}

const char *webfake_field(const struct webfake_request *request, const char *name)
{
	static char value[1024];
	size_t len = strlen(name);

	for (const char *at = strchr(request->head, '\n'); at && at[1]; at = strchr(at, '\n')) {
		at++;
		if (strncasecmp(at, name, len) != 0 || at[len] != ':')
			continue;
		(void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + len + 2, "\r"),
			at + len + 2);
		return value;
	}
	return NULL;
}

static weft_err head_read(struct visitor *v)
{
	struct webfake_request *r = &v->request;
	size_t len = 0, got;
	weft_err err;

	do {
		err = weft_conn_read_line(
			v->conn, r->head + len, sizeof(r->head) - len, &got, WEFT_FOREVER);
		if (err)
			return err;
		len += got;
	} while (strcmp(r->head + len - got, "\r\n") != 0);
	if (sscanf(r->head, "%31s %511s", r->method, r->target) != 2)
		return WEFT_EPROTO;
	return WEFT_OK;
}

static weft_err chunks_read(struct visitor *v)
{
	struct webfake_request *r = &v->request;
	size_t len = 0, got;
	weft_err err;

	for (;;) {
		char line[64];
		unsigned long size;

		err = weft_conn_read_line(v->conn, line, sizeof(line), &got, SOON);
		if (err)
			return err;
		size = strtoul(line, NULL, 16);
		if (len + size + 2 >= sizeof(r->body))
			return WEFT_EMSGSIZE;
		err = weft_conn_read_full(v->conn, r->body + len, size + 2, NULL, SOON);
		if (err)
			return err;
		len += size;
		r->body[len] = '\0';
		if (size == 0)
			return WEFT_OK;
	}
}

static weft_err body_read(struct visitor *v)
{
	struct webfake_request *r = &v->request;
	const char *length = webfake_field(r, "Content-Length");
	const char *coding = webfake_field(r, "Transfer-Encoding");
	size_t size = length ? strtoul(length, NULL, 10) : 0;

	r->body[0] = '\0';
	if (coding)
		return chunks_read(v);
	if (size >= sizeof(r->body))
		return WEFT_EMSGSIZE;
	r->body[size] = '\0';
	return size ? weft_conn_read_full(v->conn, r->body, size, NULL, SOON) : WEFT_OK;
}

static weft_err visit(void *arg)
{
	struct visitor *v = arg;
	struct webfake *fake = v->fake;
	weft_err err = WEFT_OK;

	while (!err) {
		err = head_read(v);
		if (!err)
			err = body_read(v);
		if (err)
			break;
		v->request.number = ++fake->requests;
		fake->last = v->request;
		err = fake->answer(fake, v->conn, &v->request);
	}
	weft_conn_free(v->conn);
	free(v);
	return WEFT_OK;
}

/* All on one worker: what is kept needs no lock. */
static weft_err serve_fiber(void *arg)
{
	struct webfake *fake = arg;

	for (;;) {
		weft_conn *conn = NULL;
		struct visitor *v;
		weft_err err = weft_listener_accept(fake->listener, &conn, WEFT_FOREVER);

		if (err == WEFT_ENOMEM)
			continue;
		if (err)
			return WEFT_OK;
		v = calloc(1, sizeof(*v));
		if (!v)
			abort();
		v->fake = fake;
		v->conn = conn;
		fake->connections++;
		if (weft_scope_spawn(fake->scope, "visit", visit, v)) {
			weft_conn_free(conn);
			free(v);
		}
	}
}

weft_err webfake_open(struct webfake *fake, webfake_fn answer, void *user)
{
	weft_err err;

	memset(fake, 0, sizeof(*fake));
	fake->answer = answer;
	fake->user = user;
	err = weft_listen(&fake->listener, weft_in_sim() ? "tcp://10.0.0.1:0" : "tcp://127.0.0.1:0",
		NULL, SOON);
	if (err)
		return err;
	(void)snprintf(fake->url, sizeof(fake->url), "http://%s",
		weft_listener_name(fake->listener) + strlen("tcp://"));
	err = weft_scope_create(&fake->scope);
	if (!err)
		err = weft_scope_spawn(fake->scope, "webfake", serve_fiber, fake);
	if (err)
		webfake_close(fake);
	return err;
}

void webfake_close(struct webfake *fake)
{
	weft_scope_free(fake->scope);
	weft_listener_free(fake->listener);
	fake->scope = NULL;
	fake->listener = NULL;
}
