/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_ENDPOINT_TLS_H
#define BRIDGE_ENDPOINT_TLS_H

/* TLS as an endpoint's options say, and connections of endpoints with or without it. */
#include "bridge/endpoint.h"

#include <weft/tls.h>

/*
 * The configuration for an endpoint that is tls: or mux+tls:, of what its files hold now.
 * self_signed: a listener's certificate, where it names none; NULL: it must.
 * Errors: WEFT_EINVAL (an option, or a file: says which and why), WEFT_ENOMEM, WEFT_ENOSYS.
 */
WEFT_MUST_CHECK weft_err endpoint_tls_create(
	weft_tls **out, const struct endpoint *endpoint, const weft_tls_pem *self_signed);
/* What is wrong with a file is wrong with the option that names it: WEFT_EINVAL, and a detail
 * without the names that C programs use. */
weft_err endpoint_tls_error(weft_err err);
/* Connects; with TLS if tls is there. Errors: as weft_dial, weft_tls_connect_own. */
WEFT_MUST_CHECK weft_err endpoint_dial(
	weft_conn **out, const struct endpoint *endpoint, weft_tls *tls, weft_deadline until);
/* The handshake over an accepted *conn, in whose place the result comes; on an error *conn is
 * NULL, and closed. Nothing to do without tls. Errors: as weft_tls_accept_own. */
WEFT_MUST_CHECK weft_err endpoint_accept(weft_conn **conn, weft_tls *tls, weft_deadline until);

#endif
