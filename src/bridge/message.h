/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MESSAGE_H
#define BRIDGE_MESSAGE_H

/* What transports need of messages beyond weft/transport.h. */
#include <weft/transport.h>

/* Of what is told of a message over the limit: so much of its beginning. */
#define MESSAGE_BEGINNING_MAX ((size_t)4096)

/* text, which nobody shares, becomes a message; out was not there before. It may be changed. */
void message_adopt(weft_message *out, weft_buf text, const weft_json_limits *limits);
/* A message that was too large, all of which skim was shown. Errors: those of weft_buf_alloc. */
WEFT_MUST_CHECK weft_err message_too_large(weft_message *out, weft_buf_pool *pool,
	const char *beginning, size_t len, const weft_jsonrpc_skim *skim);
/* Of the era without sessions: by the revision that it names, which is 2026-07-28, a later one, or
 * no date; or because there was no such method before. */
bool message_is_stateless(const weft_jsonrpc *rpc);
/* The same value, however it is written: numbers that are integers, and texts of up to 1 KiB. A number
 * and a text are never the same. What is none is the same as nothing. */
bool message_same_id(weft_json a, weft_json b);
/* The id of an answer is that of what was asked: the same, or the text of that number, as some servers
 * give it back. */
bool message_answers_id(weft_json answer, weft_json asked);
/* The next element of a batch, which shares its text; false: there are no more. *at is 0 at
 * first. */
bool message_batch_next(const weft_message *batch, size_t *at, weft_message *element,
	const weft_json_limits *limits);

#endif
