/* SPDX-License-Identifier: MIT */
/* The grammar of endpoints; see endpoint.h. */
#include "bridge/endpoint.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "net/addr.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 64	      /* bytes of the user's that an error repeats */
#define KEEPALIVE_MAX_S 32767 /* TCP_KEEPIDLE's own bound */
#define BACKLOG_MAX 65535
#define MUX_PREFIX "mux+"
#define SSE_PREFIX "sse+"
#define MUX_VERSION_DEFAULT 2
#define MUX_KEEPALIVE_DEFAULT_S 10

struct scheme {
	const char *name;
	enum endpoint_kind kind;
	bool is_carried; /* false: known, and refused until its part is built */
	bool may_listen;
	bool is_mux;
	bool is_tls;
};

static const struct scheme schemes[] = {
	{ "stdio", ENDPOINT_STDIO, true, false, false, false },
	{ "exec", ENDPOINT_EXEC, true, false, false, false },
	{ "tcp", ENDPOINT_TCP, true, true, false, false },
	{ "unix", ENDPOINT_UNIX, true, true, false, false },
	{ "tls", ENDPOINT_TCP, true, true, false, true },
	{ "mux+tcp", ENDPOINT_TCP, true, true, true, false },
	{ "mux+unix", ENDPOINT_UNIX, true, true, true, false },
	{ "mux+tls", ENDPOINT_TCP, true, true, true, true },
	{ "http", ENDPOINT_HTTP, true, true, false, false },
	{ "https", ENDPOINT_HTTP, true, true, false, true },
	{ "sse+http", ENDPOINT_HTTP, true, false, false, false },
	{ "sse+https", ENDPOINT_HTTP, true, false, false, true },
	{ "ws", ENDPOINT_TCP, false, true, false, false },
	{ "wss", ENDPOINT_TCP, false, true, false, false },
};
#define SCHEMES (sizeof(schemes) / sizeof(schemes[0]))
#define CARRIED                                                                                 \
	"stdio:, exec:CMD, tcp://host:port, tls://host:port, unix:/path, mux+tcp://host:port, " \
	"mux+tls://host:port, mux+unix:/path, http://host:port/path, https:// and sse+http://"

/* Where an option makes sense: on one of these, as one of those. */
enum {
	ON_TCP = 1,
	ON_UNIX = 2,
	ON_MUX_TCP = 4,
	ON_MUX_UNIX = 8,
	ON_TLS = 16,
	ON_MUX_TLS = 32,
	ON_HTTP = 64,
	ON_HTTPS = 128,
	AS_LISTENER = 1,
	AS_DIALER = 2,
};

struct option {
	const char *name;
	unsigned on, as;
	unsigned min, max;
	int base;	    /* of the number; 0: it is text */
	const char *values; /* for the error */
	void (*set)(struct endpoint *e, unsigned value);
	size_t text; /* offset of the text's pointer in struct endpoint */
};

static void set_nodelay(struct endpoint *e, unsigned value)
{
	e->net.nodelay = value != 0;
}

static void set_keepalive(struct endpoint *e, unsigned value)
{
	e->net.keepalive = value != 0;
	e->net.keepalive_idle_s = value;
}

/* By frames, which tell more than the kernel's probes: that the process lives. */
static void set_mux_keepalive(struct endpoint *e, unsigned value)
{
	e->mux.keepalive_s = value;
}

static void set_backlog(struct endpoint *e, unsigned value)
{
	e->net.backlog = value;
}

static void set_reuse_port(struct endpoint *e, unsigned value)
{
	e->net.reuse_port = value != 0;
}

static void set_mode(struct endpoint *e, unsigned value)
{
	e->net.unix_mode = value;
}

static void set_version(struct endpoint *e, unsigned value)
{
	e->mux.version = value;
}

static void set_sessions(struct endpoint *e, unsigned value)
{
	e->mux.sessions = value;
}

static void set_insecure(struct endpoint *e, unsigned value)
{
	e->tls.insecure = value != 0;
}

#define ON_MUX (ON_MUX_TCP | ON_MUX_UNIX | ON_MUX_TLS)
#define ON_EACH_HTTP (ON_HTTP | ON_HTTPS)
#define ON_EACH_TLS (ON_TLS | ON_MUX_TLS | ON_HTTPS)
#define ON_EACH_TCP (ON_TCP | ON_MUX_TCP | ON_HTTP | ON_EACH_TLS)
#define ON_EACH (ON_EACH_TCP | ON_UNIX | ON_MUX_UNIX)
#define AS_BOTH (AS_LISTENER | AS_DIALER)
#define SECONDS_OR_0 "seconds, or 0 for none, to 32767"

#define NUMBER(min, max, values, set) min, max, 10, values, set, 0
#define TEXT(values, field) 0, 0, 0, values, NULL, offsetof(struct endpoint, field)

static const struct option options[] = {
	{ "nodelay", ON_EACH_TCP, AS_BOTH, NUMBER(0, 1, "0 or 1", set_nodelay) },
	{ "keepalive", ON_TCP | ON_TLS | ON_EACH_HTTP, AS_BOTH,
		NUMBER(0, KEEPALIVE_MAX_S, SECONDS_OR_0, set_keepalive) },
	{ "keepalive", ON_MUX, AS_BOTH,
		NUMBER(0, KEEPALIVE_MAX_S, SECONDS_OR_0, set_mux_keepalive) },
	{ "backlog", ON_EACH, AS_LISTENER, NUMBER(1, BACKLOG_MAX, "1..65535", set_backlog) },
	{ "reuseport", ON_EACH_TCP, AS_LISTENER, NUMBER(0, 1, "0 or 1", set_reuse_port) },
	{ "mode", ON_UNIX | ON_MUX_UNIX, AS_LISTENER, 1, 0777, 8, "an octal number, 1..0777",
		set_mode, 0 },
	{ "v", ON_MUX, AS_BOTH, NUMBER(1, 2, "1 or 2, the version of smux", set_version) },
	{ "sessions", ON_MUX, AS_DIALER,
		NUMBER(1, ENDPOINT_MUX_SESSIONS_MAX, "1..64", set_sessions) },
	{ "cert", ON_EACH_TLS, AS_BOTH, TEXT("a file", tls.cert) },
	{ "key", ON_EACH_TLS, AS_BOTH, TEXT("a file", tls.key) },
	{ "alpn", ON_TLS | ON_MUX_TLS, AS_BOTH, TEXT("protocols between commas", tls.alpn) },
	{ "client-ca", ON_EACH_TLS, AS_LISTENER, TEXT("a file", tls.client_ca) },
	{ "ca", ON_EACH_TLS, AS_DIALER, TEXT("a file", tls.ca) },
	{ "servername", ON_EACH_TLS, AS_DIALER, TEXT("a host", tls.server_name) },
	{ "fingerprint", ON_EACH_TLS, AS_DIALER,
		TEXT("sha256: and 64 hexadecimal digits", tls.fingerprint) },
	{ "insecure", ON_EACH_TLS, AS_DIALER, NUMBER(0, 1, "0 or 1", set_insecure) },
	{ "header-file", ON_EACH_HTTP, AS_DIALER, TEXT("a file", http.header_file) },
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* The user's own bytes in an error, on one line and not endless. */
static const char *shown(char out[SHOWN_MAX + 1], const char *text, size_t len)
{
	size_t n = len < SHOWN_MAX ? len : SHOWN_MAX;

	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)text[i] < ' ' || text[i] == 127 ? '?' : text[i];
	out[n] = '\0';
	if (n < len)
		memcpy(out + n - 3, "...", 3);
	return out;
}

static const struct scheme *scheme_find(const char *name, size_t len)
{
	for (size_t i = 0; i < SCHEMES; i++) {
		if (strlen(schemes[i].name) == len && memcmp(schemes[i].name, name, len) == 0)
			return &schemes[i];
	}
	return NULL;
}

static weft_err scheme_unknown(const char *text)
{
	char known[256], part[SHOWN_MAX + 1];
	size_t len = strcspn(text, ":"), used = 0;

	for (size_t i = 0; i < SCHEMES; i++)
		used += (size_t)snprintf(
			known + used, sizeof(known) - used, " %s:", schemes[i].name);
	if (text[len] == '\0' && scheme_find(text, len))
		return err_setf(WEFT_EINVAL, "a colon is missing: \"%s:\"", shown(part, text, len));
	if (text[len] == '\0')
		return err_setf(
			WEFT_EINVAL, "no scheme; known are:%s, and listen: in front", known);
	return err_setf(WEFT_EINVAL, "unknown scheme \"%s:\"; known are:%s, and listen: in front",
		shown(part, text, len), known);
}

/* ---- options ---- */

/* Digits only; false: not a number, or out of range. */
static bool number(unsigned *out, const char *text, size_t len, const struct option *option)
{
	unsigned value = 0;

	if (len == 0 || len > 9)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] >= '0' + option->base)
			return false;
		value = value * (unsigned)option->base + (unsigned)(text[i] - '0');
	}
	*out = value;
	return value >= option->min && value <= option->max;
}

static bool option_applies(const struct option *option, const struct endpoint *e)
{
	unsigned on = e->kind == ENDPOINT_UNIX ? ON_UNIX : e->tls.is_on ? ON_TLS : ON_TCP;

	if (e->kind == ENDPOINT_HTTP)
		on = e->tls.is_on ? ON_HTTPS : ON_HTTP;
	else if (endpoint_is_mux(e))
		on = e->kind == ENDPOINT_UNIX ? ON_MUX_UNIX
			: e->tls.is_on	      ? ON_MUX_TLS
					      : ON_MUX_TCP;
	return option->on & on && option->as & (e->is_listener ? AS_LISTENER : AS_DIALER);
}

static weft_err option_unknown(const struct endpoint *e, const char *name, size_t len)
{
	char part[SHOWN_MAX + 1], known[256] = " none";
	size_t used = 0;

	for (size_t i = 0; i < OPTIONS; i++) {
		if (option_applies(&options[i], e))
			used += (size_t)snprintf(
				known + used, sizeof(known) - used, " %s", options[i].name);
	}
	for (size_t i = 0; i < OPTIONS; i++) {
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return err_setf(WEFT_EINVAL,
				"option \"%s\" does not go with this endpoint; those that do:%s",
				options[i].name, known);
	}
	return err_setf(WEFT_EINVAL, "unknown option \"%s\"; this endpoint has:%s",
		shown(part, name, len), known);
}

/* In place. */
static weft_err percent_decode(char *text)
{
	const char *start = text;
	char *to = text;

	for (; *text; text++) {
		if (*text != '%') {
			*to++ = *text;
			continue;
		}
		if (hex_digit(text[1]) < 0 || hex_digit(text[2]) < 0)
			return err_setf(WEFT_EINVAL,
				"%% at offset %zu is not followed by two hexadecimal digits",
				(size_t)(text - start));
		*to = (char)(hex_digit(text[1]) * 16 + hex_digit(text[2]));
		if (!*to)
			return err_setf(WEFT_EINVAL, "%%00 can't be in a path");
		to++;
		text += 2;
	}
	*to = '\0';
	return WEFT_OK;
}

/* value: len bytes. */
static weft_err text_set(
	struct endpoint *e, const struct option *option, const char *value, size_t len)
{
	char **to = (char **)(void *)((char *)e + option->text);
	weft_err err;

	if (len == 0)
		return err_setf(
			WEFT_EINVAL, "option \"%s\" is empty: %s", option->name, option->values);
	*to = mem_strndup(value, len);
	if (!*to)
		return err_set(WEFT_ENOMEM);
	err = percent_decode(*to);
	return err ? err_wrap(err, "option \"%s\"", option->name) : WEFT_OK;
}

/* text: one "name=value" of len bytes; seen: a bit an option. */
static weft_err option_parse(struct endpoint *e, const char *text, size_t len, unsigned *seen)
{
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;
	char part[SHOWN_MAX + 1];
	unsigned value;

	for (size_t i = 0; i < OPTIONS; i++) {
		const struct option *o = &options[i];

		if (strlen(o->name) != name_len || memcmp(o->name, text, name_len) != 0 ||
			!option_applies(o, e))
			continue;
		if (*seen & 1u << i)
			return err_setf(WEFT_EINVAL, "option \"%s\" is given twice", o->name);
		if (!equals)
			return err_setf(
				WEFT_EINVAL, "option \"%s\" has no value: %s", o->name, o->values);
		*seen |= 1u << i;
		if (o->base == 0)
			return text_set(e, o, equals + 1, len - name_len - 1);
		if (!number(&value, equals + 1, len - name_len - 1, o))
			return err_setf(WEFT_EINVAL, "option \"%s\": \"%s\" is not %s", o->name,
				shown(part, equals + 1, len - name_len - 1), o->values);
		o->set(e, value);
		return WEFT_OK;
	}
	if (name_len == 0)
		return err_setf(
			WEFT_EINVAL, "an option without a name after \"?\", \"#\" or \"&\"");
	return option_unknown(e, text, name_len);
}

static weft_err options_parse(struct endpoint *e, const char *text)
{
	unsigned seen = 0;

	for (;;) {
		size_t len = strcspn(text, "&");
		weft_err err = option_parse(e, text, len, &seen);

		if (err)
			return err;
		if (!text[len])
			return WEFT_OK;
		text += len + 1;
	}
}

/* ---- addresses ---- */

bool endpoint_address_is_local(const char *address)
{
	struct net_addr addr;

	if (net_addr_parse(&addr, address, strlen(address), NET_LISTEN))
		return false;
	if (addr.kind == NET_UNIX || addr.numeric)
		return net_addr_is_local(&addr.addr);
	return strcmp(addr.host, "localhost") == 0 || strcmp(addr.host, "127.0.0.1") == 0;
}

static weft_err host_copy(struct endpoint *e, const struct net_addr *addr)
{
	e->tls.host = mem_strdup(addr->host);
	return e->tls.host ? WEFT_OK : err_set(WEFT_ENOMEM);
}

static weft_err tls_check(const struct endpoint *e)
{
	const struct endpoint_tls *tls = &e->tls;

	if (tls->key && !tls->cert)
		return err_setf(WEFT_EINVAL, "option \"key\" is of no use without \"cert\"");
	if (tls->insecure && (tls->fingerprint || tls->ca))
		return err_setf(WEFT_EINVAL,
			"option \"insecure\" takes any certificate: it does not go with \"%s\"",
			tls->ca ? "ca" : "fingerprint");
	if (tls->fingerprint && tls->ca)
		return err_setf(WEFT_EINVAL,
			"option \"fingerprint\" names the certificate: it does not go with \"ca\"");
	return WEFT_OK;
}

/* text: from the scheme on. */
static weft_err address_parse(struct endpoint *e, const char *text)
{
	size_t len = strcspn(text, "?");
	struct net_addr addr;
	weft_err err = WEFT_OK;

	e->address = mem_strndup(text, len);
	if (!e->address)
		return err_set(WEFT_ENOMEM);
	if (e->tls.is_on)
		memcpy(e->address, "tcp", strlen("tcp"));
	if (e->kind == ENDPOINT_UNIX)
		err = percent_decode(e->address);
	if (!err)
		err = net_addr_parse(&addr, e->address, strlen(e->address),
			e->is_listener ? NET_LISTEN : NET_DIAL);
	if (!err && e->tls.is_on)
		err = host_copy(e, &addr);
	if (!err && text[len] == '?')
		err = options_parse(e, text + len + 1);
	if (!err && e->tls.is_on)
		err = tls_check(e);
	e->is_local = !err && endpoint_address_is_local(e->address);
	return err;
}

/* text: from "http" on. */
static weft_err http_parse(struct endpoint *e, const char *text)
{
	const char *given = NULL;
	weft_err err = endpoint_http_split(e, text, &given);

	/* a server that is silent for long is everyday life, and one that has gone without a word
	 * would be waited for without an end */
	e->net.keepalive = !e->is_listener;

	if (!err && given)
		err = options_parse(e, given);
	if (!err && e->tls.is_on)
		err = tls_check(e);
	e->is_local = !err && endpoint_address_is_local(e->address);
	return err;
}

/* ---- endpoints ---- */

static weft_err scheme_check(const struct scheme *scheme, bool is_listener)
{
	if (!scheme->is_carried)
		return err_setf(WEFT_EINVAL, "this build does not carry %s: yet; it carries %s",
			scheme->name, CARRIED);
	if (is_listener && !scheme->may_listen)
		return err_setf(WEFT_EINVAL,
			"listen: goes with tcp://, tls://, unix:, mux+ and http://, not with %s:%s",
			scheme->name,
			scheme->kind == ENDPOINT_HTTP ? " (listen:http:// serves HTTP+SSE, too)"
						      : "");
	return WEFT_OK;
}

static weft_err body_parse(struct endpoint *e, const struct scheme *scheme, const char *text)
{
	const char *body = text + strlen(scheme->name) + 1;

	switch (scheme->kind) {
	case ENDPOINT_STDIO:
		if (*body)
			return err_setf(WEFT_EINVAL, "nothing may follow stdio:");
		return WEFT_OK;
	case ENDPOINT_EXEC:
		return words_split(&e->words, body);
	case ENDPOINT_HTTP:
		e->tls.is_on = scheme->is_tls;
		e->http.is_sse = strncmp(text, SSE_PREFIX, strlen(SSE_PREFIX)) == 0;
		return http_parse(e, text + (e->http.is_sse ? strlen(SSE_PREFIX) : 0));
	case ENDPOINT_TCP:
	case ENDPOINT_UNIX:
		break;
	}
	e->tls.is_on = scheme->is_tls;
	if (scheme->is_mux) {
		e->mux = (struct endpoint_mux){ .version = MUX_VERSION_DEFAULT,
			.sessions = 1,
			.keepalive_s = MUX_KEEPALIVE_DEFAULT_S };
		text += strlen(MUX_PREFIX);
	}
	return address_parse(e, text);
}

weft_err endpoint_parse(struct endpoint *out, const char *text)
{
	struct endpoint e = { .net = WEFT_NET_OPTIONS_DEFAULT };
	const struct scheme *scheme;
	size_t scheme_len;
	weft_err err;

	if (strlen(text) > ENDPOINT_LEN_MAX)
		return err_setf(WEFT_EINVAL, "longer than %d bytes", ENDPOINT_LEN_MAX);
	if (strncmp(text, "listen:", strlen("listen:")) == 0) {
		e.is_listener = true;
		text += strlen("listen:");
	}
	scheme_len = strcspn(text, ":");
	scheme = text[scheme_len] ? scheme_find(text, scheme_len) : NULL;
	if (!scheme)
		return scheme_unknown(text);
	err = scheme_check(scheme, e.is_listener);
	if (err)
		return err;
	e.kind = scheme->kind;
	err = body_parse(&e, scheme, text);
	if (err)
		endpoint_fini(&e);
	else
		*out = e;
	return err;
}

weft_err endpoint_command(struct endpoint *out, const char *const *argv)
{
	struct endpoint e = { .kind = ENDPOINT_EXEC };
	weft_err err = words_copy(&e.words, argv);

	if (!err)
		*out = e;
	return err;
}

void endpoint_fini(struct endpoint *endpoint)
{
	struct endpoint_tls *tls = &endpoint->tls;

	mem_free(tls->host);
	mem_free(tls->ca);
	mem_free(tls->cert);
	mem_free(tls->key);
	mem_free(tls->client_ca);
	mem_free(tls->server_name);
	mem_free(tls->fingerprint);
	mem_free(tls->alpn);
	mem_free(endpoint->http.url);
	mem_free(endpoint->http.path);
	mem_free(endpoint->http.header_file);
	mem_free(endpoint->address);
	words_fini(&endpoint->words);
	*endpoint = (struct endpoint){ 0 };
}
