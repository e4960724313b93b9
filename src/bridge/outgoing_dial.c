/* SPDX-License-Identifier: MIT */
/* A session by a connection. */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/transport.h"

struct dial {
	char *address;
	char *host; /* of the certificate; NULL: as the configuration says */
	weft_net_options net;
	bool has_net;
	weft_tls *tls; /* held; NULL: clear */
	weft_transport_options options;
};

static weft_err dial_connect(void *user, weft_transport **out, weft_deadline until)
{
	struct dial *d = user;
	weft_deadline limit = weft_after_ns(d->options.connect_timeout_ns);
	weft_conn *conn;
	weft_err err;

	if (until > limit)
		until = limit;
	err = weft_dial(&conn, d->address, d->has_net ? &d->net : NULL, until);
	if (!err && d->tls)
		err = weft_tls_connect_own(&conn, d->tls, conn, d->host, until);
	return err ? err : weft_transport_lines_own(out, conn, &d->options);
}

static void dial_free(void *user)
{
	struct dial *d = user;

	weft_tls_unref(d->tls);
	mem_free(d->address);
	mem_free(d->host);
	mem_free(d);
}

static const weft_outgoing_ops dial_ops = { dial_connect, dial_free };

weft_err weft_outgoing_dial(weft_outgoing **out, const char *address, const weft_net_options *net,
	weft_tls *tls, const char *tls_host, const weft_transport_options *options)
{
	struct dial *d;
	weft_err err;

	if (!address)
		return err_setf(WEFT_EINVAL, "weft_outgoing_dial: no address");
	d = mem_calloc(1, sizeof(*d));
	if (!d)
		return err_set(WEFT_ENOMEM);
	err = transport_options_fill(&d->options, options);
	if (err)
		goto out;
	d->address = mem_strdup(address);
	d->host = tls_host ? mem_strdup(tls_host) : NULL;
	if (net)
		d->net = *net;
	d->has_net = net;
	d->tls = tls ? weft_tls_ref(tls) : NULL;
	if (!d->address || (tls_host && !d->host))
		err = err_set(WEFT_ENOMEM);
	else
		err = weft_outgoing_create(out, &dial_ops, d, address);
out:
	if (err)
		dial_free(d);
	return err;
}
