/* SPDX-License-Identifier: MIT */
/*
 * A server's options: checked, defaults filled in, strings copied; and the rules about Host and
 * Origin that they set.
 */
#include "base/err.h"
#include "base/mem.h"
#include "http/server.h"

#include <string.h>

#define SECONDS(n) (INT64_C(1000000000) * (n))
#define HEADER_COUNT_MAX 1000
#define HEADER_SIZE_MIN ((size_t)1 << 10)
#define HEADER_SIZE_MAX ((size_t)1 << 20)
#define TIME_MAX_NS (INT64_C(365) * 86400 * 1000000000)

/* ---- filling in ---- */

static void defaults(weft_http_server_options *o)
{
	o->name = o->name ? o->name : "http";
	o->connections_max = o->connections_max ? o->connections_max : 10000;
	o->header_size_max = o->header_size_max ? o->header_size_max : HTTP1_HEAD_MAX;
	o->header_count_max = o->header_count_max ? o->header_count_max : HTTP1_FIELDS_MAX;
	o->body_size_max = o->body_size_max ? o->body_size_max : (uint64_t)10 << 20;
	o->body_drop_max = o->body_drop_max ? o->body_drop_max : (size_t)256 << 10;
	o->header_timeout_ns = o->header_timeout_ns ? o->header_timeout_ns : SECONDS(10);
	o->idle_timeout_ns = o->idle_timeout_ns ? o->idle_timeout_ns : SECONDS(60);
	o->write_timeout_ns = o->write_timeout_ns ? o->write_timeout_ns : SECONDS(30);
	o->body_rate_min = o->body_rate_min ? o->body_rate_min : 500;
	o->body_grace_ns = o->body_grace_ns ? o->body_grace_ns : SECONDS(10);
	o->stop_timeout_ns = o->stop_timeout_ns < 0 ? SECONDS(5) : o->stop_timeout_ns;
	o->sse_comment_ns = o->sse_comment_ns ? o->sse_comment_ns : SECONDS(15);
}

static weft_err check_range(const char *name, uint64_t value, uint64_t min, uint64_t max)
{
	if (value >= min && value <= max)
		return WEFT_OK;
	return err_setf(WEFT_EINVAL, "http server: %s %llu is not in %llu..%llu", name,
		(unsigned long long)value, (unsigned long long)min, (unsigned long long)max);
}

static weft_err check_time(const char *name, int64_t ns)
{
	if (ns > 0 && ns <= TIME_MAX_NS)
		return WEFT_OK;
	return err_setf(
		WEFT_EINVAL, "http server: %s %lld is not in 1 ns..1 year", name, (long long)ns);
}

static weft_err check(const weft_http_server_options *o)
{
	weft_err err = check_range("connections_max", o->connections_max, 1, HTTP_COUNT_MAX - 1);

	if (!err)
		err = check_range(
			"header_size_max", o->header_size_max, HEADER_SIZE_MIN, HEADER_SIZE_MAX);
	if (!err)
		err = check_range("header_count_max", o->header_count_max, 1, HEADER_COUNT_MAX);
	if (!err)
		err = check_time("header_timeout_ns", o->header_timeout_ns);
	if (!err)
		err = check_time("idle_timeout_ns", o->idle_timeout_ns);
	if (!err)
		err = check_time("write_timeout_ns", o->write_timeout_ns);
	if (!err)
		err = check_time("body_grace_ns", o->body_grace_ns);
	if (!err && o->stop_timeout_ns > TIME_MAX_NS)
		err = check_time("stop_timeout_ns", o->stop_timeout_ns);
	if (!err && o->sse_comment_ns > 0)
		err = check_time("sse_comment_ns", o->sse_comment_ns);
	if (!err && o->host_rule != WEFT_HTTP_HOST_ANY && o->host_rule != WEFT_HTTP_HOST_LOOPBACK)
		err = err_setf(WEFT_EINVAL, "http server: host_rule %d is none", (int)o->host_rule);
	if (!err && o->server_field &&
		(!*o->server_field || !http1_is_value(o->server_field, strlen(o->server_field))))
		err = err_setf(WEFT_EINVAL, "http server: server_field is not a field's value");
	return err;
}

/* ---- copies ---- */

/* Where strings and lists go; first pass: data NULL, counts only. */
struct store {
	char *data;
	size_t len;
};

static const char *store_text(struct store *store, const char *text)
{
	size_t size = strlen(text) + 1;
	char *at = store->data ? store->data + store->len : NULL;

	if (at)
		memcpy(at, text, size);
	store->len += size;
	return at;
}

static size_t list_len(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static const char *const *store_list(
	struct store *store, const char *const *list, const char ***places)
{
	const char **at = *places;

	if (!list)
		return NULL;
	for (size_t i = 0; list[i]; i++) {
		const char *text = store_text(store, list[i]);

		if (store->data)
			at[i] = text;
	}
	if (!store->data)
		return NULL;
	at[list_len(list)] = NULL;
	*places = at + list_len(list) + 1;
	return at;
}

static void store_all(struct store *store, weft_http_server_options *to,
	const weft_http_server_options *from, const char **places)
{
	to->name = store_text(store, from->name);
	to->server_field = from->server_field ? store_text(store, from->server_field) : NULL;
	to->hosts = store_list(store, from->hosts, &places);
	to->origins = store_list(store, from->origins, &places);
}

static weft_err copy_strings(weft_http_server *server, const weft_http_server_options *from)
{
	size_t places = list_len(from->hosts) + list_len(from->origins) + 2;
	weft_http_server_options scratch = *from;
	struct store store = { NULL, 0 };

	store_all(&store, &scratch, from, NULL);
	server->strings = mem_alloc(store.len);
	server->lists = mem_calloc(places, sizeof(*server->lists));
	if (!server->strings || !server->lists)
		return err_setf(WEFT_ENOMEM, "http server: out of memory");
	store = (struct store){ server->strings, 0 };
	store_all(&store, &server->options, from, server->lists);
	return WEFT_OK;
}

weft_err http_options_settle(weft_http_server *server, const weft_http_server_options *given)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	weft_err err;

	if (given)
		options = *given;
	defaults(&options);
	err = check(&options);
	if (err)
		return err;
	server->options = options;
	if (options.tls)
		(void)weft_tls_ref(options.tls);
	server->limits = (struct http1_limits){
		.start_max = (uint32_t)(options.header_size_max < HTTP1_START_MAX
				? options.header_size_max
				: HTTP1_START_MAX),
		.head_max = (uint32_t)options.header_size_max,
	};
	return copy_strings(server, &options);
}

void http_options_fini(weft_http_server *server)
{
	mem_free(server->strings);
	mem_free(server->lists);
	weft_tls_unref(server->options.tls);
}

/* ---- Host and Origin ---- */

static bool is_listed(const char *const *list, const char *text, size_t len)
{
	for (; *list; list++)
		if (http1_same_text(*list, strlen(*list), text, len))
			return true;
	return false;
}

/* Of "host:port" or "[address]:port", without the port. */
static size_t host_len(const char *text, size_t len)
{
	const char *colon;

	if (len && *text == '[') {
		const char *end = memchr(text, ']', len);

		return end ? (size_t)(end - text) + 1 : len;
	}
	colon = memchr(text, ':', len);
	return colon ? (size_t)(colon - text) : len;
}

static const char *const loopback_hosts[] = { "localhost", "127.0.0.1", "[::1]", NULL };

/* The connection's own end is a loopback address. */
static bool is_on_loopback(const weft_http_exchange *x)
{
	const char *local = weft_conn_local_name(x->conn);

	return strstr(local, "://127.") || strstr(local, "://[::1]") ||
		strstr(local, "://[::ffff:127.");
}

static bool host_is_allowed(const weft_http_exchange *x)
{
	const weft_http_server_options *o = &x->server->options;
	const struct http1_span *span = &x->hot->parser.head.authority;
	const char *host = x->head + span->at;
	bool is_ruled = o->host_rule == WEFT_HTTP_HOST_LOOPBACK && is_on_loopback(x);
	size_t len = host_len(host, span->len);

	if (!o->hosts && !is_ruled)
		return true;
	if (o->hosts && (is_listed(o->hosts, host, span->len) || is_listed(o->hosts, host, len)))
		return true;
	return is_ruled && is_listed(loopback_hosts, host, len);
}

static bool origin_is_allowed(const weft_http_exchange *x)
{
	const struct http1_head *head = &x->hot->parser.head;
	struct http1_piece origin;

	if (!x->server->options.origins ||
		!http1_head_value(head, x->head, HTTP1_NAME_ORIGIN, &origin))
		return true;
	if (head->repeated >> HTTP1_NAME_ORIGIN & 1)
		return false;
	return is_listed(x->server->options.origins, origin.data, origin.len);
}

unsigned http_guard(weft_http_exchange *x)
{
	if (host_is_allowed(x) && origin_is_allowed(x))
		return 0;
	counter_own_add(&x->shard->counts.forbidden, 1);
	return 403;
}
