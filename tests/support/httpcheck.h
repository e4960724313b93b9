/* SPDX-License-Identifier: MIT */
#ifndef HTTPCHECK_H
#define HTTPCHECK_H

/* What the clients of httptalk.h share: bytes, and what an answer may be. */
#include "support/httptalk.h"

#define HTTPCHECK_PREFIX "/ask/"
#define HTTPCHECK_UPGRADE_MAX 300 /* bytes: fit a window, so that one may write before one reads */

/* A body's bytes; up: the request's. */
void httpcheck_fill(const struct ask *ask, bool up, size_t at, void *data, size_t len);
void httpcheck_compare(const struct ask *ask, bool up, size_t at, const void *data, size_t len);
/* Bytes of the next read or write. */
size_t httpcheck_piece(const struct talks *talks);
/* A moment, or more. */
void httpcheck_dawdle(bool slow);
/* Fails the test unless the status has a reason. True: what follows is the answer. */
bool httpcheck_status(const struct talks *talks, const struct ask *ask, unsigned status);
/* The end of an answer of len bytes, or events; WEFT_ECLOSED: in order. */
void httpcheck_answered(struct talks *talks, const struct ask *ask, weft_err err, size_t len);
/* There was none: fails the test unless the error has a reason. */
void httpcheck_unanswered(const struct talks *talks, const struct ask *ask, weft_err err);
/* A handler's error, which it returns. */
weft_err httpcheck_handled_badly(const struct talks *talks, const struct ask *ask, weft_err err);

#endif
