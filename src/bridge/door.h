/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_DOOR_H
#define BRIDGE_DOOR_H

/*
 * Who may look at a bridge over HTTP: anybody who reaches it, or, with a token file, who has one of its
 * tokens.
 * Threads: admits in any handler; the rest by its owner, one at a time.
 */
#include "bridge/mcp_server_token.h"

#include <weft/cell.h>
#include <weft/http_server.h>

struct door {
	char *token_file;  /* owned; NULL: anybody */
	weft_cell *tokens; /* struct mcps_tokens */
};

/* token_file may be NULL. Blocks on it. Errors: as mcps_tokens_load. A door that failed is closed as
 * any. */
WEFT_MUST_CHECK weft_err door_init(struct door *door, const char *token_file);
void door_fini(struct door *door);
/* The file again; on an error the tokens stay. Errors: as mcps_tokens_load. */
WEFT_MUST_CHECK weft_err door_reload(struct door *door);
bool door_admits(struct door *door, weft_http_exchange *x);
/* 401, as RFC 6750 has it. */
weft_err door_refuse(weft_http_exchange *x);

#endif
