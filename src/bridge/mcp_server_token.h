/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MCP_SERVER_TOKEN_H
#define BRIDGE_MCP_SERVER_TOKEN_H

/*
 * Who may come. A principal is somebody with a token; without a token file there is one, anybody.
 *
 * A table of tokens never changes; a reload makes another one, in which a principal whose token is
 * still there is the same object: so sessions go on. Tables are in a cell; each holds its
 * principals, and so does each session its own.
 *
 * Comparing takes as long for each token that is not the one, and looks at all of them: time says
 * nothing but how many there are.
 */
#include "base/counter.h"
#include "base/refcount.h"
#include "sync/word.h"

#include <weft/base.h>

#include <stdbool.h>

#define MCPS_TOKENS_MAX 1024
#define MCPS_TOKEN_SIZE_MAX ((size_t)1024)
#define MCPS_TOKEN_FILE_MAX ((size_t)1 << 20)
#define MCPS_TOKEN_NAME_MAX ((size_t)128)

struct mcps_principal {
	struct refcount refs;
	struct counter sessions; /* now: a limit that holds exactly */
	struct word gone;	 /* 1: its token is in no table any more */
	char *name;		 /* for logs; "" where it has none; in this block */
	size_t token_len;
	char token[];
};

struct mcps_tokens {
	struct refcount refs;
	size_t len;
	struct mcps_principal *list[]; /* a reference each */
};

/* Who needs no token. NULL: no memory. */
struct mcps_principal *mcps_principal_anybody(void);
struct mcps_principal *mcps_principal_ref(struct mcps_principal *principal);
/* NULL is allowed. */
void mcps_principal_unref(struct mcps_principal *principal);

/*
 * The table of a file's text: a token a line, "TOKEN" or "TOKEN NAME", '#' begins a comment. before,
 * which may be NULL, is where principals come from that stay. name is the file's, for errors.
 * Errors: WEFT_EINVAL (no token, one twice, too long or with characters that none has: says the
 * line), WEFT_ENOMEM.
 */
WEFT_MUST_CHECK weft_err mcps_tokens_parse(struct mcps_tokens **out, const char *name,
	const char *text, size_t len, const struct mcps_tokens *before);
/* The same from the file. Blocks on it. Errors: also WEFT_EIO and others of a file. */
WEFT_MUST_CHECK weft_err mcps_tokens_load(
	struct mcps_tokens **out, const char *path, const struct mcps_tokens *before);
void mcps_tokens_ref(void *tokens);
void mcps_tokens_unref(void *tokens);
bool mcps_tokens_has(const struct mcps_tokens *tokens, const struct mcps_principal *principal);

/* The token of an Authorization field's value, "Bearer TOKEN" (RFC 6750, section 2.1); NULL: it has
 * none. It ends with the value. */
const char *mcps_bearer(const char *authorization);
/* In constant time. */
bool mcps_token_is(const struct mcps_principal *principal, const char *token, size_t len);
/* Whose token it is, borrowed; NULL: nobody's. In constant time. */
struct mcps_principal *mcps_tokens_find(
	const struct mcps_tokens *tokens, const char *token, size_t len);

#endif
