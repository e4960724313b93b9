/* SPDX-License-Identifier: MIT */
/* See mcp_server_token.h. */
#define _DEFAULT_SOURCE
#include "bridge/mcp_server_token.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- principals ---- */

static struct mcps_principal *principal_make(
	const char *token, size_t token_len, const char *name, size_t name_len)
{
	struct mcps_principal *p = mem_calloc(1, sizeof(*p) + token_len + 1 + name_len + 1);

	if (!p)
		return NULL;
	refcount_init(&p->refs, 1);
	p->token_len = token_len;
	memcpy(p->token, token, token_len);
	p->name = p->token + token_len + 1;
	memcpy(p->name, name, name_len);
	return p;
}

struct mcps_principal *mcps_principal_anybody(void)
{
	return principal_make("", 0, "", 0);
}

struct mcps_principal *mcps_principal_ref(struct mcps_principal *principal)
{
	refcount_hold(&principal->refs);
	return principal;
}

void mcps_principal_unref(struct mcps_principal *principal)
{
	if (principal && refcount_drop(&principal->refs)) {
		explicit_bzero(principal->token, principal->token_len);
		mem_free(principal);
	}
}

/* ---- comparing ---- */

bool mcps_token_is(const struct mcps_principal *principal, const char *token, size_t len)
{
	/* as many steps whatever the principal's token is */
	size_t own = principal->token_len, at = 0;
	unsigned differs = own != len || own == 0;

	for (size_t i = 0; i < len; i++) {
		differs |= (unsigned char)(principal->token[at] ^ token[i]);
		at = at + 1 < own ? at + 1 : 0;
	}
	return !differs;
}

struct mcps_principal *mcps_tokens_find(
	const struct mcps_tokens *tokens, const char *token, size_t len)
{
	uintptr_t found = 0;

	for (size_t i = 0; i < tokens->len; i++) {
		uintptr_t mask = (uintptr_t)0 - mcps_token_is(tokens->list[i], token, len);

		found |= (uintptr_t)tokens->list[i] & mask;
	}
	return (struct mcps_principal *)found;
}

bool mcps_tokens_has(const struct mcps_tokens *tokens, const struct mcps_principal *principal)
{
	for (size_t i = 0; i < tokens->len; i++)
		if (tokens->list[i] == principal)
			return true;
	return false;
}

const char *mcps_bearer(const char *authorization)
{
	static const char scheme[] = "bearer";

	if (!authorization || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
		return NULL;
	authorization += sizeof(scheme) - 1;
	if (*authorization != ' ')
		return NULL;
	authorization += strspn(authorization, " ");
	return *authorization ? authorization : NULL;
}

/* ---- tables ---- */

void mcps_tokens_ref(void *tokens)
{
	struct mcps_tokens *t = tokens;

	refcount_hold(&t->refs);
}

void mcps_tokens_unref(void *tokens)
{
	struct mcps_tokens *t = tokens;

	if (!t || !refcount_drop(&t->refs))
		return;
	for (size_t i = 0; i < t->len; i++)
		mcps_principal_unref(t->list[i]);
	mem_free(t);
}

/* b64token of RFC 6750, section 2.1: "=" only at the end. */
static bool is_token(const char *text, size_t len)
{
	static const char others[] = "-._~+/";
	size_t i = 0;

	for (; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
			    (text[i] >= '0' && text[i] <= '9') ||
			    (text[i] && strchr(others, text[i]))))
			break;
	if (i == 0)
		return false;
	while (i < len && text[i] == '=')
		i++;
	return i == len;
}

/* What of a line is before its comment, and without blanks around it. */
static void strip(const char **at, size_t *len)
{
	const char *comment = memchr(*at, '#', *len);

	if (comment)
		*len = (size_t)(comment - *at);
	while (*len && strchr(" \t\r", **at)) {
		++*at;
		--*len;
	}
	while (*len && strchr(" \t\r", (*at)[*len - 1]))
		--*len;
}

/* A file as it is read. */
struct reading {
	struct mcps_tokens *tokens;
	const struct mcps_tokens *before;
	const char *file;
	size_t line;
	size_t lines[MCPS_TOKENS_MAX]; /* of tokens, for errors */
};

static weft_err refuse(const struct reading *r, const char *why)
{
	return err_setf(WEFT_EINVAL, "token file %s: line %zu: %s", r->file, r->line, why);
}

/* The principal that has this token already, or a new one. A name that was changed makes no other
 * of it: it is for logs. */
static weft_err take_line(struct reading *r, const char *at, size_t len)
{
	struct mcps_tokens *t = r->tokens;
	struct mcps_principal *p = NULL;
	size_t token_len = 0, name_at;

	while (token_len < len && at[token_len] != ' ' && at[token_len] != '\t')
		token_len++;
	for (name_at = token_len; name_at < len && strchr(" \t", at[name_at]); name_at++)
		;
	if (!is_token(at, token_len))
		return refuse(r, "a token has letters, digits and -._~+/ alone, '=' at its end");
	if (token_len > MCPS_TOKEN_SIZE_MAX)
		return refuse(r, "the token is longer than 1024 characters");
	if (len - name_at > MCPS_TOKEN_NAME_MAX)
		return refuse(r, "the name is longer than 128 bytes");
	if (t->len == MCPS_TOKENS_MAX)
		return refuse(r, "more than 1024 tokens");
	for (size_t i = 0; i < t->len; i++)
		if (mcps_token_is(t->list[i], at, token_len))
			return err_setf(WEFT_EINVAL,
				"token file %s: line %zu: the token of line %zu once more", r->file,
				r->line, r->lines[i]);
	if (r->before)
		p = mcps_tokens_find(r->before, at, token_len);
	p = p ? mcps_principal_ref(p) : principal_make(at, token_len, at + name_at, len - name_at);
	if (!p)
		return err_setf(WEFT_ENOMEM, "token file %s: out of memory", r->file);
	r->lines[t->len] = r->line;
	t->list[t->len++] = p;
	return WEFT_OK;
}

static weft_err take_lines(struct reading *r, const char *text, size_t len)
{
	const char *end = text + len;
	weft_err err = WEFT_OK;

	while (!err && text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *at = text;
		size_t n = (size_t)((newline ? newline : end) - text);

		text = newline ? newline + 1 : end;
		r->line++;
		strip(&at, &n);
		if (n)
			err = take_line(r, at, n);
	}
	if (!err && !r->tokens->len)
		err = err_setf(WEFT_EINVAL, "token file %s: there is no token in it", r->file);
	return err;
}

weft_err mcps_tokens_parse(struct mcps_tokens **out, const char *name, const char *text, size_t len,
	const struct mcps_tokens *before)
{
	struct mcps_tokens *tokens =
		mem_calloc(1, sizeof(*tokens) + MCPS_TOKENS_MAX * sizeof(void *));
	struct reading *r = mem_calloc(1, sizeof(*r));
	weft_err err = err_setf(WEFT_ENOMEM, "token file %s: out of memory", name);

	if (!tokens || !r)
		goto out;
	refcount_init(&tokens->refs, 1);
	r->tokens = tokens;
	r->before = before;
	r->file = name;
	err = take_lines(r, text, len);
	if (err)
		goto out;
	*out = tokens;
	tokens = NULL;
out:
	if (tokens && r)
		mcps_tokens_unref(tokens);
	else
		mem_free(tokens);
	mem_free(r);
	return err;
}

/* ---- the file ---- */

static weft_err read_file(int fd, const char *path, char *text, size_t *len)
{
	*len = 0;
	for (;;) {
		ssize_t got = read(fd, text + *len, MCPS_TOKEN_FILE_MAX + 1 - *len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(errno, "token file %s", path);
		if (got == 0)
			return WEFT_OK;
		*len += (size_t)got;
		if (*len > MCPS_TOKEN_FILE_MAX)
			return err_setf(WEFT_EINVAL, "token file %s: larger than 1 MiB", path);
	}
}

weft_err mcps_tokens_load(
	struct mcps_tokens **out, const char *path, const struct mcps_tokens *before)
{
	char *text = mem_alloc(MCPS_TOKEN_FILE_MAX + 1);
	size_t len = 0;
	weft_err err;
	int fd = -1;

	if (!text)
		return err_setf(WEFT_ENOMEM, "token file %s: out of memory", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? err_sys(errno, "token file %s", path) : read_file(fd, path, text, &len);
	if (!err)
		err = mcps_tokens_parse(out, path, text, len, before);
	if (fd >= 0)
		(void)close(fd);
	explicit_bzero(text, len);
	mem_free(text);
	return err;
}
