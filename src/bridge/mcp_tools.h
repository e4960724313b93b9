/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_MCP_TOOLS_H
#define BRIDGE_MCP_TOOLS_H

/*
 * Tools whose arguments go into header fields, too ("x-mcp-header" in their schemas), as the answers
 * to tools/list told them. Source: modelcontextprotocol.io/specification/2026-07-28, "Streamable
 * HTTP", "Custom Headers from Tool Parameters".
 *
 * Threads: any. Blocking: never.
 */
#include <weft/http.h>
#include <weft/json.h>
#include <weft/transport.h>

#define MCP_TOOLS_MAX 1000		     /* that are remembered: the oldest give way */
#define MCP_TOOLS_SIZE_MAX ((size_t)4 << 20) /* bytes of their schemas, likewise */
#define MCP_TOOL_FIELDS_MAX 64		     /* of one */
#define MCP_TOOL_DEPTH_MAX 16		     /* properties within properties */

struct mcp_tools;

/* Errors: WEFT_ENOMEM. */
WEFT_MUST_CHECK weft_err mcp_tools_create(struct mcp_tools **out);
/* NULL is allowed. */
void mcp_tools_free(struct mcp_tools *tools);

/*
 * An answer to tools/list: its tools are remembered, and those whose annotations break the rules are
 * taken out of it, with a line in the log. Errors: WEFT_ENOMEM; the message is as it was.
 */
WEFT_MUST_CHECK weft_err mcp_tools_learn(
	struct mcp_tools *tools, weft_message *answer, weft_buf_pool *pool);
/* Adds a field: value is a string, a number or a boolean. */
typedef weft_err mcp_tools_set_fn(void *user, const char *name, weft_json value);
/* The fields of a tools/call. Errors: WEFT_ENOMEM, set's. */
WEFT_MUST_CHECK weft_err mcp_tools_fields(
	struct mcp_tools *tools, const weft_message *call, mcp_tools_set_fn *set, void *user);

/* Why the annotations of a schema break the rules; NULL: they don't. Static. *count: how many. */
const char *mcp_tools_fault(weft_json schema, unsigned *count);

#endif
