/* SPDX-License-Identifier: MIT */
/* See metrics.h. Here: the listener. */
#include "bridge/metrics.h"

#include "base/err.h"
#include "base/mem.h"
#include "bridge/endpoint_tls.h"
#include "bridge/listener_names.h"

#include <stdio.h>
#include <string.h>

#define CONNECTIONS_MAX 32
#define BODY_MAX ((size_t)1024) /* of requests, which have none */
#define STOP_TIMEOUT_NS INT64_C(1000000000)
#define LISTEN_TIMEOUT_NS INT64_C(30000000000)

struct metrics {
	weft_listener *listener;
	weft_http_server *http;
	weft_http_fields *fields;
	char *name; /* its URL */
};

/* It is not to be chosen: whoever collects looks there. */
static bool is_path_good(const char *endpoint)
{
	const char *host = strstr(endpoint, "://");
	const char *path = host ? host + strlen("://") : endpoint;

	path += strcspn(path, "/#");
	return *path != '/' || strcspn(path, "#") == 1 ||
		(strcspn(path, "#") == strlen(METRICS_PATH) &&
			strncmp(path, METRICS_PATH, strlen(METRICS_PATH)) == 0);
}

weft_err metrics_check(const struct weft_bridge *bridge)
{
	const weft_bridge_options *o = &bridge->options;
	const struct endpoint *at = &bridge->metrics_at;

	if (!o->metrics)
		return WEFT_OK;
	if (at->kind != ENDPOINT_HTTP || !at->is_listener)
		return err_setf(WEFT_EINVAL,
			"metrics (--metrics) \"%.128s\": is a listener of http: or https:, such as "
			"listen:http://127.0.0.1:9100",
			o->metrics);
	if (!is_path_good(o->metrics))
		return err_setf(WEFT_EINVAL,
			"metrics (--metrics) \"%.128s\": the path is " METRICS_PATH
			", and may be left out",
			o->metrics);
	if (!at->is_local && !o->token_file && !at->tls.client_ca && !o->insecure)
		return err_setf(WEFT_EINVAL,
			"metrics (--metrics) \"%.128s\": other machines reach it: ask for a token "
			"(--token-file), or for certificates (https:// and client-ca=), or allow "
			"anybody with --insecure",
			o->metrics);
	return WEFT_OK;
}

/* ---- what is asked ---- */

static weft_err serve_metrics(weft_http_exchange *x, void *arg)
{
	struct weft_bridge *b = arg;
	struct exposition e = { .family = NULL };
	const char *text;
	weft_err err;

	if (!door_admits(&b->door, x))
		return door_refuse(x);
	metrics_write(b, &e);
	text = grown_string(&e.text);
	err = text ? weft_http_exchange_reply(
			     x, 200, b->metrics->fields, text, e.text.len, WEFT_FOREVER)
		   : err_set(WEFT_ENOMEM);
	grown_fini(&e.text);
	return err;
}

/* ---- its life ---- */

static weft_err listen_at(struct metrics *m, struct weft_bridge *b)
{
	struct endpoint *at = &b->metrics_at;
	const weft_bridge_options *o = &b->options;
	const char *scheme = at->tls.is_on ? "https" : "http", *address;
	weft_err err =
		weft_listen(&m->listener, at->address, &at->net, weft_after_ns(LISTEN_TIMEOUT_NS));
	size_t size;

	if (err)
		return err_wrap(err, "metrics");
	address = weft_listener_name(m->listener);
	/* A name may stand for another address than it seems. */
	if (!o->insecure && !at->tls.client_ca && !o->token_file &&
		!endpoint_address_is_local(address))
		return err_setf(WEFT_EAUTH,
			"metrics: listen on %s: not a loopback address, and anybody would be let in: "
			"--insecure would allow it",
			address);
	address += strlen("tcp");
	size = strlen(scheme) + strlen(address) + sizeof(METRICS_PATH);
	m->name = mem_alloc(size);
	if (!m->name)
		return err_set(WEFT_ENOMEM);
	(void)snprintf(m->name, size, "%s%s%s", scheme, address, METRICS_PATH);
	return WEFT_OK;
}

static weft_err http_make(struct metrics *m, struct weft_bridge *b)
{
	weft_http_server_options options = WEFT_HTTP_SERVER_OPTIONS_DEFAULT;
	struct listener_names *names = mem_calloc(1, sizeof(*names));
	weft_err err;

	if (!names)
		return err_set(WEFT_ENOMEM);
	err = listener_names_init(names, weft_listener_name(m->listener), b->metrics_at.tls.is_on,
		b->options.allow_origins, b->options.allow_hosts);
	options.name = "metrics";
	options.tls = b->metrics_tls;
	options.connections_max = CONNECTIONS_MAX;
	options.body_size_max = BODY_MAX;
	options.stop_timeout_ns = STOP_TIMEOUT_NS;
	options.host_rule = WEFT_HTTP_HOST_LOOPBACK;
	options.origins = names->origins;
	options.hosts = names->hosts;
	if (!err)
		err = weft_http_server_create(&m->http, &options);
	if (!err)
		err = weft_http_server_route(m->http, "GET", METRICS_PATH, serve_metrics, b);
	if (!err)
		err = weft_http_server_route(m->http, "GET", "/healthz", health_handler, b);
	listener_names_fini(names);
	mem_free(names);
	return err;
}

weft_err metrics_open(struct weft_bridge *bridge)
{
	struct metrics *m;
	weft_err err;

	if (!bridge->options.metrics)
		return WEFT_OK;
	m = mem_calloc(1, sizeof(*m));
	if (!m)
		return err_set(WEFT_ENOMEM);
	bridge->metrics = m;
	err = listen_at(m, bridge);
	if (!err)
		err = weft_http_fields_create(&m->fields);
	if (!err)
		err = weft_http_fields_add(m->fields, "Content-Type", EXPOSITION_TYPE);
	return err ? err : http_make(m, bridge);
}

weft_err metrics_start(struct weft_bridge *bridge)
{
	struct metrics *m = bridge->metrics;
	char text[ERR_TEXT_MAX];
	weft_bridge_event event = { .level = WEFT_LOG_INFO, .peer = "", .text = text };
	weft_err err;

	if (!m)
		return WEFT_OK;
	err = weft_http_server_start(m->http, m->listener);
	if (err)
		return err_wrap(err, "metrics");
	(void)snprintf(text, sizeof(text), "metrics are at %s", m->name);
	bridge_event(bridge, &event);
	return WEFT_OK;
}

void metrics_reload(struct weft_bridge *bridge, struct faults *faults)
{
	faults_add(faults, door_reload(&bridge->door));
	if (bridge->metrics_tls)
		faults_add(faults, endpoint_tls_error(weft_tls_reload(bridge->metrics_tls)));
}

void metrics_fini(struct weft_bridge *bridge)
{
	struct metrics *m = bridge->metrics;

	if (!m)
		return;
	weft_http_server_free(m->http);
	weft_listener_free(m->listener);
	weft_http_fields_free(m->fields);
	mem_free(m->name);
	mem_free(m);
	bridge->metrics = NULL;
}
