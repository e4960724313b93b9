/* SPDX-License-Identifier: MIT */
/*
 * Endpoints as users type them. Besides memory errors: a parsed address parses again, a
 * command has words, and nothing is left allocated or half filled in after an error.
 */
#include "bridge/endpoint.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is told apart by it: TLS or not, and at which end. */
static void check_tls(const struct endpoint *e)
{
	const struct endpoint_tls *tls = &e->tls;

	CHECK(tls->is_on == (tls->host != NULL));
	if (!tls->is_on)
		CHECK(!tls->insecure && !tls->ca && !tls->cert && !tls->key && !tls->client_ca &&
			!tls->server_name && !tls->fingerprint && !tls->alpn);
	if (e->is_listener)
		CHECK(!tls->insecure && !tls->ca && !tls->server_name && !tls->fingerprint);
	else
		CHECK(!tls->client_ca);
	CHECK(!tls->key || tls->cert);
	CHECK(!tls->insecure || !(tls->ca || tls->fingerprint));
	CHECK((!tls->ca || *tls->ca) && (!tls->cert || *tls->cert) && (!tls->alpn || *tls->alpn));
}

static void check(const struct endpoint *e)
{
	check_tls(e);
	switch (e->kind) {
	case ENDPOINT_STDIO:
		CHECK(!e->is_listener && !e->address && !e->words.argv);
		break;
	case ENDPOINT_EXEC:
		CHECK(!e->is_listener && !e->address && e->words.count > 0);
		for (size_t i = 0; i < e->words.count; i++)
			CHECK(e->words.argv[i]);
		CHECK(!e->words.argv[e->words.count]);
		break;
	case ENDPOINT_HTTP:
		CHECK(e->address && !e->words.argv && !endpoint_is_mux(e));
		CHECK(!strncmp(e->address, "tcp://", strlen("tcp://")));
		CHECK(e->is_listener == (e->http.path != NULL));
		CHECK(e->is_listener == (e->http.url == NULL));
		CHECK(!e->http.path || *e->http.path == '/');
		CHECK(!e->http.url || !strncmp(e->http.url, "http", strlen("http")));
		CHECK(!e->is_listener || !(e->http.header_file || e->http.is_sse));
		break;
	case ENDPOINT_TCP:
	case ENDPOINT_UNIX:
		CHECK(e->address && !e->words.argv);
		CHECK(!strncmp(e->address, e->kind == ENDPOINT_TCP ? "tcp://" : "unix:", 5));
		CHECK(e->is_local == endpoint_address_is_local(e->address));
		CHECK(e->mux.version <= 2 && e->mux.keepalive_s <= 32767);
		CHECK(!endpoint_is_mux(e) ||
			(e->mux.sessions >= 1 && e->mux.sessions <= ENDPOINT_MUX_SESSIONS_MAX));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct endpoint e, untouched;
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	memset(&e, 0xa5, sizeof(e));
	untouched = e;
	if (endpoint_parse(&e, text)) {
		CHECK(!memcmp(&e, &untouched, sizeof(e)));
		CHECK(weft_error_detail()[0]);
	} else {
		check(&e);
		endpoint_fini(&e);
	}
	free(text);
	return 0;
}
