/* SPDX-License-Identifier: MIT */
#ifndef HTTP_PROXY_H
#define HTTP_PROXY_H

/*
 * HTTP proxies: which one the environment names for a URL, what a proxy's URL says, and the
 * tunnel through one.
 *
 *	http URL	the request goes to the proxy with its target in absolute form (RFC 9112,
 *			section 3.2.2), and Proxy-Authorization beside the other fields
 *	https URL	a tunnel by CONNECT (RFC 9110, section 9.3.6), TLS inside it
 */
#include <weft/conn.h>
#include <weft/http.h>

/* ---- which proxy ---- */

/*
 * What the environment said when it was read. Unchanging: any thread.
 *
 *	http_proxy		for http URLs; not HTTP_PROXY, which a CGI program's client sets by
 *				a field "Proxy:" of its request
 *	https_proxy, HTTPS_PROXY for https URLs
 *	all_proxy, ALL_PROXY	where the one above is not there
 *	no_proxy, NO_PROXY	hosts that are gone to directly, separated by commas or blanks: a
 *				name, which stands for its subdomains too (a dot or "*." in front
 *				changes nothing); an address; addresses as 10.0.0.0/8 or fd00::/8; any of
 *				them with ":port"; "*" for all
 * The lower-case name goes first; an empty value is none.
 */
struct proxies;

#define PROXY_TEXT_MAX ((size_t)16 << 10) /* bytes of one of these values */

/* get is given the names above, as getenv. Errors: WEFT_EMSGSIZE (names the variable),
 * WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err proxies_create(
	struct proxies **out, const char *(*get)(void *user, const char *name), void *user);
/* The proxy's URL as it was written, unchecked; NULL: none. Until free. */
const char *proxies_choose(const struct proxies *proxies, const weft_http_url *url);
/* Whether a list as no_proxy's has the URL's host. list may be NULL. */
bool proxy_is_excluded(const char *list, const weft_http_url *url);
/* NULL is allowed. */
void proxies_free(struct proxies *proxies);

/* ---- a proxy ---- */

struct proxy {
	weft_http_url url;   /* http: connect to its host and port; https: TLS to it first */
	char *authorization; /* value of Proxy-Authorization: "Basic ..."; NULL: none; owned */
};

/* "http://user:password@host:port", without "http://" too; without a port: the scheme's. What
 * stands behind the port is passed over. Messages do not show user and password.
 * Errors: WEFT_EINVAL, WEFT_ENOSYS (another scheme, such as socks5), WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err proxy_parse(struct proxy *out, const char *text);
/* A zeroed one is allowed. */
void proxy_fini(struct proxy *proxy);

/* ---- a tunnel ---- */

#define PROXY_REPLY_MAX 16384	  /* bytes of a reply's head */
#define PROXY_REPLY_FIELDS_MAX 64 /* fields in it */
#define PROXY_INTERIM_MAX 8	  /* 1xx replies before the one */

/*
 * Asks the proxy at the other end of conn for a connection to the URL's host and port; conn is
 * then that connection. The caller still owns it, and closes it on an error.
 * Errors: WEFT_EAUTH (407), WEFT_EREFUSED (another status: it is named), WEFT_EPROTO (no HTTP;
 * bytes behind the reply, though we have sent nothing yet), WEFT_EMSGSIZE, WEFT_ERESET (ended),
 * those of weft_conn_read and _write, WEFT_ENOMEM.
 */
WEFT_MUST_CHECK weft_err proxy_connect(weft_conn *conn, const struct proxy *proxy,
	const weft_http_url *url, const char *user_agent, weft_deadline until);

#endif
