/* SPDX-License-Identifier: MIT */
/* See proxy.h: the tunnel through a proxy. One allocation; a write and, as a rule, a read. */
#include "http/proxy.h"

#include "base/err.h"
#include "base/mem.h"
#include "proto/http1/http1.h"

#include <stdio.h>
#include <string.h>

#define HOST_MAX 253 /* weft_http_url's */
#define TARGET_SIZE (HOST_MAX + sizeof("[]:65535"))

struct tunnel {
	weft_conn *conn;
	const char *proxy;	  /* its authority, for messages */
	char target[TARGET_SIZE]; /* "host:port" */
	size_t len;		  /* of data */
	struct http1_parser parser;
	struct http1_field fields[PROXY_REPLY_FIELDS_MAX];
	char data[PROXY_REPLY_MAX];
};

static weft_err fail(const struct tunnel *t, weft_err err, const char *why)
{
	return err_setf(err, "proxy %s: CONNECT %s: %s", t->proxy, t->target, why);
}

static weft_err wrap(const struct tunnel *t, weft_err err)
{
	return err_wrap(err, "proxy %s: CONNECT %s", t->proxy, t->target);
}

static void put_field(struct http1_out *out, const char *name, const char *value)
{
	if (value && *value)
		http1_put_field(out, name, strlen(name), value, strlen(value));
}

static weft_err ask(
	struct tunnel *t, const struct proxy *proxy, const char *user_agent, weft_deadline until)
{
	struct http1_framing framing = {
		.kind = HTTP1_TUNNEL, .keep_alive = true, .content_length = -1
	};
	struct http1_out out;
	weft_err err;

	http1_out_init(&out, t->data, sizeof(t->data));
	http1_put_request(
		&out, "CONNECT", strlen("CONNECT"), t->target, strlen(t->target), &framing);
	put_field(&out, "Host", t->target);
	put_field(&out, "User-Agent", user_agent);
	put_field(&out, "Proxy-Authorization", proxy->authorization);
	if (!http1_put_end(&out))
		return fail(t, WEFT_EINVAL, http1_write_fault_text(out.fault));
	err = weft_conn_write(t->conn, out.data, out.len, NULL, until);
	return err ? wrap(t, err) : WEFT_OK;
}

static bool is_too_large(enum http1_fault fault)
{
	unsigned status = http1_fault_status(fault);

	return status == 414 || status == 431;
}

/* Reads until a whole head stands at the beginning of data. */
static weft_err head_read(struct tunnel *t, weft_deadline until)
{
	enum http1_step step;
	weft_err err;
	size_t got;

	http1_parser_reset(&t->parser, HTTP1_METHOD_CONNECT);
	while ((step = http1_parse(&t->parser, t->data, t->len)) == HTTP1_MORE) {
		if (t->len == sizeof(t->data))
			return fail(t, WEFT_EMSGSIZE, "its reply is too large");
		err = weft_conn_read(
			t->conn, t->data + t->len, sizeof(t->data) - t->len, &got, until);
		if (err == WEFT_ECLOSED)
			return fail(t, WEFT_ERESET, "it ended the connection");
		if (err)
			return wrap(t, err);
		t->len += got;
	}
	if (step == HTTP1_DONE)
		return WEFT_OK;
	return fail(t, is_too_large(t->parser.fault) ? WEFT_EMSGSIZE : WEFT_EPROTO,
		http1_fault_text(t->parser.fault));
}

static weft_err refused(const struct tunnel *t, unsigned status)
{
	weft_err err = status == 407 ? WEFT_EAUTH : WEFT_EREFUSED;

	return err_setf(err, "proxy %s: CONNECT %s: refused with status %u (%s)", t->proxy,
		t->target, status, weft_http_status_text(status));
}

static weft_err answer(struct tunnel *t, weft_deadline until)
{
	unsigned status;
	weft_err err;

	t->len = 0;
	for (int interim = 0; interim <= PROXY_INTERIM_MAX; interim++) {
		err = head_read(t, until);
		if (err)
			return err;
		status = t->parser.head.status;
		t->len -= t->parser.head.size;
		if (status >= 200 && status < 300)
			/* TLS begins with us: nobody can have anything to say yet */
			return t->len ? fail(t, WEFT_EPROTO, "bytes follow its reply") : WEFT_OK;
		if (status >= 200 || status == 101)
			return refused(t, status);
		memmove(t->data, t->data + t->parser.head.size, t->len);
	}
	return fail(t, WEFT_EPROTO, "too many interim replies");
}

weft_err proxy_connect(weft_conn *conn, const struct proxy *proxy, const weft_http_url *url,
	const char *user_agent, weft_deadline until)
{
	const struct http1_limits limits = { .start_max = PROXY_REPLY_MAX,
		.head_max = PROXY_REPLY_MAX };
	bool is_ipv6 = strchr(url->host, ':') != NULL;
	struct tunnel *t = mem_alloc(sizeof(*t));
	weft_err err;

	if (!t)
		return err_set(WEFT_ENOMEM);
	t->conn = conn;
	t->proxy = proxy->url.authority;
	(void)snprintf(t->target, sizeof(t->target), is_ipv6 ? "[%s]:%u" : "%s:%u", url->host,
		(unsigned)url->port);
	http1_parser_init(&t->parser, HTTP1_RESPONSE, t->fields, PROXY_REPLY_FIELDS_MAX, &limits);
	err = ask(t, proxy, user_agent, until);
	if (!err)
		err = answer(t, until);
	mem_free(t);
	return err;
}
