/* SPDX-License-Identifier: MIT */
/* See door.h. */
#include "bridge/door.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

weft_err door_init(struct door *door, const char *token_file)
{
	static const weft_cell_ops ops = { mcps_tokens_ref, mcps_tokens_unref };
	struct mcps_tokens *tokens;
	weft_err err;

	*door = (struct door){ .token_file = NULL };
	if (!token_file)
		return WEFT_OK;
	door->token_file = mem_strdup(token_file);
	if (!door->token_file)
		return err_set(WEFT_ENOMEM);
	err = mcps_tokens_load(&tokens, token_file, NULL);
	if (err)
		return err;
	err = weft_cell_create(&door->tokens, tokens, &ops);
	mcps_tokens_unref(tokens);
	return err;
}

void door_fini(struct door *door)
{
	weft_cell_free(door->tokens);
	mem_free(door->token_file);
	*door = (struct door){ .token_file = NULL };
}

weft_err door_reload(struct door *door)
{
	struct mcps_tokens *before, *next = NULL;
	weft_err err;

	if (!door->tokens)
		return WEFT_OK;
	before = weft_cell_load(door->tokens);
	err = mcps_tokens_load(&next, door->token_file, before);
	if (!err)
		err = weft_cell_store(door->tokens, next);
	mcps_tokens_unref(before);
	mcps_tokens_unref(next);
	return err;
}

bool door_admits(struct door *door, weft_http_exchange *x)
{
	const char *token;
	bool is_known;

	if (!door->token_file)
		return true;
	token = mcps_bearer(weft_http_exchange_field(x, "Authorization"));
	if (!token)
		return false;
	is_known = mcps_tokens_find(weft_cell_enter(door->tokens), token, strlen(token)) != NULL;
	weft_cell_leave(door->tokens);
	return is_known;
}

weft_err door_refuse(weft_http_exchange *x)
{
	static const char text[] = "a bearer token is needed\n";
	weft_http_fields *fields = NULL;
	weft_err err = weft_http_fields_create(&fields);

	if (!err)
		err = weft_http_fields_add(fields, "WWW-Authenticate", "Bearer realm=\"weft\"");
	if (!err)
		err = weft_http_fields_add(fields, "Content-Type", "text/plain");
	if (!err)
		err = weft_http_exchange_reply(
			x, 401, fields, text, sizeof(text) - 1, WEFT_FOREVER);
	weft_http_fields_free(fields);
	return err;
}
