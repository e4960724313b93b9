/* SPDX-License-Identifier: MIT */
#ifndef MCP_HTTP_H
#define MCP_HTTP_H

/*
 * What comes over a connection of the load program: HTTP responses, bodies of known length or in
 * chunks, event streams in them; or the lines of a pipe. As much as servers of the Model Context
 * Protocol need: anything else ends the program.
 */
#include "bench.h"

#include <stdbool.h>
#include <strings.h>

enum { MCP_IN_MAX = 64 * 1024, MCP_SESSION_MAX = 256 };

enum mcp_phase {
	MCP_HEAD,
	MCP_BODY, /* left bytes of it */
	MCP_CHUNK_SIZE,
	MCP_CHUNK, /* left bytes of it, and its line end */
	MCP_TRAILER,
	MCP_DONE,
	MCP_LINES, /* no HTTP: all is body */
};

struct mcp_in {
	enum mcp_phase phase;
	char raw[MCP_IN_MAX]; /* not looked at yet */
	size_t raw_len;
	char body[MCP_IN_MAX]; /* not taken yet */
	size_t body_len;
	size_t left;
	int status;
	bool events, closes;
	char session[MCP_SESSION_MAX]; /* as the last response had it; "" at first */
};

static inline void mcp_in_next(struct mcp_in *in)
{
	in->phase = MCP_HEAD;
	in->body_len = in->left = 0;
	in->status = 0;
	in->events = in->closes = false;
}

static inline const char *mcp_value(const char *line, const char *name)
{
	const size_t len = strlen(name);
	if (strncasecmp(line, name, len) || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " \t");
}

static inline void mcp_field(struct mcp_in *in, const char *line)
{
	const char *value;
	if ((value = mcp_value(line, "content-length"))) {
		in->left = strtoul(value, NULL, 10);
		in->phase = in->left ? MCP_BODY : MCP_DONE;
	} else if ((value = mcp_value(line, "transfer-encoding"))) {
		in->phase = MCP_CHUNK_SIZE;
	} else if ((value = mcp_value(line, "content-type"))) {
		in->events = !strncasecmp(value, "text/event-stream", 17);
	} else if ((value = mcp_value(line, "connection"))) {
		in->closes = !strncasecmp(value, "close", 5);
	} else if ((value = mcp_value(line, "mcp-session-id"))) {
		if (strlen(value) >= sizeof in->session)
			bench_die("a session id that is too long");
		memcpy(in->session, value, strlen(value) + 1);
	}
}

/* The head's lines, each ended by NUL in the place of CR. Returns false until all have come. */
static inline bool mcp_head(struct mcp_in *in, size_t *at)
{
	char *head = in->raw + *at, *line = head;
	char *end = memmem(head, in->raw_len - *at, "\r\n\r\n", 4);
	if (!end)
		return false;
	*at = (size_t)(end + 4 - in->raw);
	in->phase = MCP_HEAD;
	in->status = strncmp(head, "HTTP/1.1 ", 9) ? 0 : atoi(head + 9);
	for (char *stop; line <= end; line = stop + 2) {
		stop = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
		*stop = 0;
		mcp_field(in, line);
	}
	if (in->status == 204 || in->status == 202)
		in->phase = in->phase == MCP_HEAD ? MCP_DONE : in->phase;
	if (in->phase == MCP_HEAD)
		bench_die("a response without a length");
	return true;
}

/* A line of chunked coding: a size, or of the trailer. */
static inline bool mcp_chunk_line(struct mcp_in *in, size_t *at)
{
	char *line = in->raw + *at, *end = memmem(line, in->raw_len - *at, "\r\n", 2);
	if (!end)
		return false;
	*at = (size_t)(end + 2 - in->raw);
	if (in->phase == MCP_TRAILER) {
		in->phase = end == line ? MCP_DONE : MCP_TRAILER;
		return true;
	}
	in->left = strtoul(line, NULL, 16) + 2;
	in->phase = in->left == 2 ? MCP_TRAILER : MCP_CHUNK;
	return true;
}

/* Moves what there is of left bytes into the body; of a chunk its last two are its line end. */
static inline bool mcp_bytes(struct mcp_in *in, size_t *at)
{
	const size_t end = in->phase == MCP_CHUNK ? 2 : 0;
	size_t have = in->raw_len - *at, n = have < in->left ? have : in->left;
	size_t text = in->left > end ? in->left - end : 0;
	if (!n)
		return false;
	text = text < n ? text : n;
	if (text > sizeof in->body - in->body_len)
		bench_die("a body that is too large");
	memcpy(in->body + in->body_len, in->raw + *at, text);
	in->body_len += text;
	in->left -= n;
	*at += n;
	if (!in->left && in->phase != MCP_LINES)
		in->phase = end ? MCP_CHUNK_SIZE : MCP_DONE;
	return true;
}

/* Reads once, and takes apart what has come. false: the peer has closed. */
static inline bool mcp_in_read(struct mcp_in *in, int fd)
{
	size_t at = 0;
	bool more = true;
	ssize_t got = read(fd, in->raw + in->raw_len, sizeof in->raw - in->raw_len);
	if (got <= 0)
		return false;
	in->raw_len += (size_t)got;
	while (more && in->phase != MCP_DONE) {
		switch (in->phase) {
		case MCP_HEAD:
			more = mcp_head(in, &at);
			break;
		case MCP_LINES:
			in->left = in->raw_len - at;
			/* fall through */
		case MCP_BODY:
		case MCP_CHUNK:
			more = mcp_bytes(in, &at);
			break;
		case MCP_CHUNK_SIZE:
		case MCP_TRAILER:
			more = mcp_chunk_line(in, &at);
			break;
		case MCP_DONE:
			break;
		}
	}
	in->raw_len -= at;
	memmove(in->raw, in->raw + at, in->raw_len);
	if (in->raw_len == sizeof in->raw)
		bench_die("a response that is too large");
	return true;
}
#endif
