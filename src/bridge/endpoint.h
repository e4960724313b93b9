/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_ENDPOINT_H
#define BRIDGE_ENDPOINT_H

/*
 * What FROM and TO name, parsed: pure, no I/O, no look-ups.
 *
 *	endpoint = "stdio:" | "exec:" command | ["listen:"] ["mux+"] address ["?" options]
 *	         | ["listen:" | "sse+"] url ["#" options]
 *	address  = ("tcp://" | "tls://") [host] ":" port | "unix:" path | "unix:@" name
 *	url      = ("http://" | "https://") [host] [":" port] [path ["?" query]]
 *	options  = option "=" value *("&" option "=" value)
 *
 * In a unix path, and in an option that names a file, %XX is a byte, so that a path may hold
 * a question mark (%3F) or an ampersand (%26).
 */
#include "bridge/words.h"

#include <weft/net.h>

#include <stdbool.h>

#define ENDPOINT_LEN_MAX 65536 /* bytes of an endpoint as written */
#define ENDPOINT_MUX_SESSIONS_MAX 64

enum endpoint_kind {
	ENDPOINT_STDIO,
	ENDPOINT_EXEC, /* words */
	ENDPOINT_TCP,  /* address, net, perhaps tls */
	ENDPOINT_UNIX, /* address, net */
	ENDPOINT_HTTP, /* address, net, http, perhaps tls: messages */
};

#define ENDPOINT_PATH_DEFAULT "/mcp"

/* Of http: and https:. Texts are owned. */
struct endpoint_http {
	bool is_sse;	   /* dialers: HTTP+SSE and nothing else */
	char *url;	   /* dialers: without "sse+" and options */
	char *path;	   /* listeners */
	char *header_file; /* dialers: fields of each request; may be NULL */
};

/* Of tls: and mux+tls:. Texts are owned, and NULL where the option is not given. */
struct endpoint_tls {
	bool is_on;
	bool insecure;	   /* dialers: any certificate will do */
	char *host;	   /* dialers: that the certificate is to be for */
	char *ca;	   /* dialers: file */
	char *cert, *key;  /* files; key NULL: in cert */
	char *client_ca;   /* listeners: file; clients need a certificate of it */
	char *server_name; /* dialers */
	char *fingerprint; /* dialers */
	char *alpn;	   /* protocols, between commas */
};

/* Of mux+tcp:, mux+tls: and mux+unix:. */
struct endpoint_mux {
	unsigned version;     /* of smux; 0: not a mux endpoint */
	unsigned sessions;    /* connections that are kept up; dialers only */
	unsigned keepalive_s; /* between signs of life; 0: none */
};

struct endpoint {
	enum endpoint_kind kind;
	bool is_listener;
	bool is_local;	      /* sockets: only this machine reaches it, as far as can be told */
	char *address;	      /* for weft_dial and weft_listen, so without "mux+", and tcp: in
			       * place of tls:; owned */
	weft_net_options net; /* with the endpoint's options set */
	struct endpoint_mux mux;
	struct endpoint_tls tls;
	struct endpoint_http http;
	struct words words; /* owned */
};

static inline bool endpoint_is_mux(const struct endpoint *endpoint)
{
	return endpoint->mux.version != 0;
}

/* It carries messages, not bytes. */
static inline bool endpoint_is_messages(const struct endpoint *endpoint)
{
	return endpoint->kind == ENDPOINT_HTTP;
}

/* Errors: WEFT_EINVAL (a detail that says why, without repeating text), WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err endpoint_parse(struct endpoint *out, const char *text);
/* A child process, by its argv. Errors: as words_copy. */
WEFT_MUST_CHECK weft_err endpoint_command(struct endpoint *out, const char *const *argv);
/* A zeroed struct is allowed. */
void endpoint_fini(struct endpoint *endpoint);
/* False for an address that other machines may reach: whatever is not numeric loopback,
 * the name localhost, or a unix socket. */
bool endpoint_address_is_local(const char *address);
/* endpoint_http.c: address, and url or path, of text, which begins with "http:" or "https:"; *options
 * is what stands behind '#', or NULL. Errors: as endpoint_parse. */
WEFT_MUST_CHECK weft_err endpoint_http_split(
	struct endpoint *endpoint, const char *text, const char **options);

#endif
