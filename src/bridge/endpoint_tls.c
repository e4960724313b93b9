/* SPDX-License-Identifier: MIT */
/* See endpoint_tls.h. */
#include "bridge/endpoint_tls.h"

#include "base/err.h"
#include "base/mem.h"

#include <weft/net.h>

#include <stdio.h>
#include <string.h>

/* Protocols between commas, as a list; text is cut up. */
struct protocols {
	const char *list[WEFT_TLS_ALPN_MAX + 1];
	char *text; /* owned */
};

static weft_err protocols_split(struct protocols *out, const char *text)
{
	size_t count = 0;
	char *at;

	*out = (struct protocols){ .text = NULL };
	if (!text)
		return WEFT_OK;
	out->text = mem_strdup(text);
	if (!out->text)
		return err_set(WEFT_ENOMEM);
	for (at = out->text; at;) {
		char *comma = strchr(at, ',');

		if (count == WEFT_TLS_ALPN_MAX)
			return err_setf(WEFT_EINVAL, "option \"alpn\": more than %d protocols",
				WEFT_TLS_ALPN_MAX);
		out->list[count++] = at;
		if (comma)
			*comma++ = '\0';
		at = comma;
	}
	return WEFT_OK;
}

weft_err endpoint_tls_error(weft_err err)
{
	char text[ERR_TEXT_MAX];
	const char *from;

	if (!err || err == WEFT_ENOMEM || err == WEFT_ENOSYS)
		return err;
	(void)snprintf(text, sizeof(text), "%s", weft_error_detail());
	from = strncmp(text, "weft_tls_", strlen("weft_tls_")) == 0 ? strchr(text, '.') : NULL;
	return err_setf(WEFT_EINVAL, "%s", from ? from + 1 : text);
}

static weft_err client_create(
	weft_tls **out, const struct endpoint_tls *tls, const struct protocols *protocols)
{
	weft_tls_client_options o = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;

	o.ca_file = tls->ca;
	o.insecure = tls->insecure;
	o.fingerprint = tls->fingerprint;
	o.server_name = tls->server_name;
	o.alpn = protocols->list;
	o.cert.cert_file = tls->cert;
	o.cert.key_file = tls->key;
	return weft_tls_client_create(out, &o);
}

static weft_err server_create(weft_tls **out, const struct endpoint_tls *tls,
	const struct protocols *protocols, const weft_tls_pem *self_signed)
{
	weft_tls_server_options o = WEFT_TLS_SERVER_OPTIONS_DEFAULT;
	weft_tls_cert cert = { NULL, NULL, NULL, NULL };

	if (tls->cert) {
		cert.cert_file = tls->cert;
		cert.key_file = tls->key;
	} else if (self_signed) {
		cert.cert_pem = self_signed->cert_pem;
		cert.key_pem = self_signed->key_pem;
	} else {
		return err_setf(WEFT_EINVAL,
			"a listener of TLS needs ?cert= and &key=, or, for trying out, "
			"--self-signed");
	}
	o.certs = &cert;
	o.cert_count = 1;
	o.alpn = protocols->list;
	o.client_ca_file = tls->client_ca;
	o.client_auth = tls->client_ca ? WEFT_TLS_CLIENT_REQUIRED : WEFT_TLS_CLIENT_NONE;
	return weft_tls_server_create(out, &o);
}

weft_err endpoint_tls_create(
	weft_tls **out, const struct endpoint *endpoint, const weft_tls_pem *self_signed)
{
	struct protocols protocols;
	weft_err err = protocols_split(&protocols, endpoint->tls.alpn);

	if (!err && endpoint->is_listener)
		err = server_create(out, &endpoint->tls, &protocols, self_signed);
	else if (!err)
		err = client_create(out, &endpoint->tls, &protocols);
	mem_free(protocols.text);
	return endpoint_tls_error(err);
}

weft_err endpoint_dial(
	weft_conn **out, const struct endpoint *endpoint, weft_tls *tls, weft_deadline until)
{
	weft_conn *conn = NULL;
	weft_err err = weft_dial(&conn, endpoint->address, &endpoint->net, until);

	if (err)
		return err;
	if (tls)
		return weft_tls_connect_own(out, tls, conn, endpoint->tls.host, until);
	*out = conn;
	return WEFT_OK;
}

weft_err endpoint_accept(weft_conn **conn, weft_tls *tls, weft_deadline until)
{
	weft_conn *lower = *conn;

	if (!tls)
		return WEFT_OK;
	*conn = NULL;
	return weft_tls_accept_own(conn, tls, lower, until);
}
