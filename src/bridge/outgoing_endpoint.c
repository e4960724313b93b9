/* SPDX-License-Identifier: MIT */
/* An outgoing by an endpoint's text, with whatever it needs to live. */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/endpoint_tls.h"
#include "bridge/outgoing_url.h"

#include <weft/http_client.h>
#include <weft/mcp_client.h>
#include <weft/transport.h>

#define CONNECTIONS_MAX 10000

struct outgoing_endpoint {
	struct endpoint endpoint;
	weft_tls *tls;		 /* NULL: none */
	weft_http_client *http;	 /* of http: */
	struct outgoing_url url; /* the same */
	weft_outgoing *inner;
};

static weft_err endpoint_connect(void *user, weft_transport **out, weft_deadline until)
{
	struct outgoing_endpoint *o = user;

	return weft_outgoing_connect(o->inner, out, until);
}

static void endpoint_free(void *user)
{
	struct outgoing_endpoint *o = user;

	weft_outgoing_free(o->inner);
	outgoing_url_fini(&o->url);
	weft_http_client_unref(o->http);
	weft_tls_unref(o->tls);
	endpoint_fini(&o->endpoint);
	mem_free(o);
}

static weft_err url_make(struct outgoing_endpoint *o, const weft_transport_options *options)
{
	weft_http_client_options http = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	weft_mcp_client_options mcp = WEFT_MCP_CLIENT_OPTIONS_DEFAULT;
	const struct endpoint *e = &o->endpoint;
	weft_err err;

	http.tls = o->tls;
	http.net = &e->net;
	http.connect_timeout_ns = options->connect_timeout_ns;
	/* each session may have some */
	http.connections_max = http.connections_per_key_max = CONNECTIONS_MAX;
	http.proxy_env = true;
	err = weft_http_client_create(&o->http, &http);
	if (err)
		return err;
	mcp.transport = *options;
	mcp.era = e->http.is_sse ? WEFT_MCP_SSE : WEFT_MCP_AUTO;
	return outgoing_url_make(
		&o->url, &o->inner, o->http, e->http.url, NULL, e->http.header_file, &mcp);
}

static weft_err inner_make(struct outgoing_endpoint *o, const weft_transport_options *options)
{
	weft_process_options process = WEFT_PROCESS_OPTIONS_DEFAULT;
	const struct endpoint *e = &o->endpoint;

	if (e->kind == ENDPOINT_HTTP)
		return url_make(o, options);
	if (e->kind != ENDPOINT_EXEC)
		return weft_outgoing_dial(&o->inner, e->address, &e->net, o->tls,
			e->tls.server_name ? e->tls.server_name : e->tls.host, options);
	process.argv = (const char *const *)e->words.argv;
	return weft_outgoing_process(&o->inner, e->words.argv[0], &process, options, NULL, NULL);
}

static weft_err parse(struct endpoint *e, const char *to, const char *const *command)
{
	weft_err err;

	if (to && command)
		return err_setf(WEFT_EINVAL, "both TO \"%.128s\" and a command are given", to);
	if (!to && !command)
		return err_setf(WEFT_EINVAL, "TO is missing: an endpoint, or -- and a command");
	if (command) {
		err = endpoint_command(e, command);
		return err == WEFT_EINVAL ? err_wrap(err, "command after --") : err;
	}
	err = endpoint_parse(e, to);
	if (!err && e->is_listener)
		err = err_setf(WEFT_EINVAL, "TO is connected to: leave listen: out");
	if (!err && e->kind == ENDPOINT_STDIO)
		err = err_setf(WEFT_EINVAL, "there is no server on standard input");
	if (!err && endpoint_is_mux(e))
		err = err_setf(WEFT_EINVAL, "mux+ carries many streams: a bridge can be between");
	return err == WEFT_EINVAL ? err_wrap(err, "TO \"%.128s\"", to) : err;
}

weft_err weft_outgoing_endpoint(weft_outgoing **out, const char *to, const char *const *command,
	const weft_transport_options *options)
{
	static const weft_transport_options defaults = WEFT_TRANSPORT_OPTIONS_DEFAULT;
	static const weft_outgoing_ops ops = { endpoint_connect, endpoint_free };
	struct outgoing_endpoint *o = mem_calloc(1, sizeof(*o));
	weft_err err;

	if (!o)
		return err_set(WEFT_ENOMEM);
	err = parse(&o->endpoint, to, command);
	if (!err && o->endpoint.tls.is_on) {
		err = endpoint_tls_create(&o->tls, &o->endpoint, NULL);
		err = err == WEFT_EINVAL ? err_wrap(err, "TO \"%.128s\"", to) : err;
	}
	if (!err)
		err = inner_make(o, options ? options : &defaults);
	if (!err)
		err = weft_outgoing_create(out, &ops, o, weft_outgoing_name(o->inner));
	if (err)
		endpoint_free(o);
	return err;
}
