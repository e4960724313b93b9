/* SPDX-License-Identifier: MIT */
/* TLS where the library was built without OpenSSL. */
#include "base/err.h"

#include <weft/tls.h>

static weft_err none(void)
{
	return err_setf(
		WEFT_ENOSYS, "TLS: this build of the library has none (it needs OpenSSL 3)");
}

weft_err weft_tls_client_create(weft_tls **out, const weft_tls_client_options *options)
{
	(void)out;
	(void)options;
	return none();
}

weft_err weft_tls_server_create(weft_tls **out, const weft_tls_server_options *options)
{
	(void)out;
	(void)options;
	return none();
}

weft_tls *weft_tls_ref(weft_tls *tls)
{
	return tls;
}

void weft_tls_unref(weft_tls *tls)
{
	(void)tls;
}

weft_err weft_tls_reload(weft_tls *tls)
{
	(void)tls;
	return none();
}

/* Nobody has a weft_tls, but conn is taken on each error. */
weft_err weft_tls_connect_own(
	weft_conn **out, weft_tls *tls, weft_conn *conn, const char *host, weft_deadline until)
{
	(void)out;
	(void)tls;
	(void)host;
	(void)until;
	weft_conn_free(conn);
	return none();
}

weft_err weft_tls_connect_with_own(weft_conn **out, weft_tls *tls, weft_conn *conn,
	const weft_tls_connect_options *options, weft_deadline until)
{
	(void)options;
	return weft_tls_connect_own(out, tls, conn, NULL, until);
}

weft_err weft_tls_accept_own(weft_conn **out, weft_tls *tls, weft_conn *conn, weft_deadline until)
{
	return weft_tls_connect_own(out, tls, conn, NULL, until);
}

weft_err weft_tls_info_get(const weft_conn *conn, weft_tls_info *out)
{
	(void)conn;
	(void)out;
	return none();
}

void weft_tls_stats_get(const weft_tls *tls, weft_tls_stats *out)
{
	(void)tls;
	*out = (weft_tls_stats){ 0 };
}

weft_err weft_tls_self_signed(weft_tls_pem *out, const char *host)
{
	(void)out;
	(void)host;
	return none();
}

void weft_tls_pem_fini(weft_tls_pem *pem)
{
	(void)pem;
}
