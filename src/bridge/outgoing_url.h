/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_OUTGOING_URL_H
#define BRIDGE_OUTGOING_URL_H

#include "bridge/words.h"

#include <weft/mcp_client.h>

/* The fields of requests to a URL, which are for its server alone: whoever has the outgoing keeps this
 * until that is freed. Zeroed at first. */
struct outgoing_url {
	weft_http_fields *fields;
	weft_http_request request; /* has fields */
};

/*
 * A weft_outgoing_mcp by these options, with the fields of lines ("Name: value" each; NULL: none)
 * and of a file (NULL: none). Errors: those of fields_file_read, and of weft_outgoing_mcp; what has
 * been made is of no use then but for outgoing_url_fini.
 */
WEFT_MUST_CHECK weft_err outgoing_url_make(struct outgoing_url *made, weft_outgoing **out,
	weft_http_client *client, const char *url, const struct words *lines, const char *file,
	const weft_mcp_client_options *options);
void outgoing_url_fini(struct outgoing_url *made);

#endif
