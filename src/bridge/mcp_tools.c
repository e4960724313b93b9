/* SPDX-License-Identifier: MIT */
/*
 * See mcp_tools.h.
 *
 * Of a tool with annotations its schema is kept, and walked again for each of its calls: the same
 * walk that checks it. Tools without any cost a walk when they are listed, and nothing when called.
 */
#include "bridge/mcp_tools.h"

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "proto/http1/http1.h"
#include "rt/lock.h"

#include <weft/log.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ANNOTATION "x-mcp-header"
#define PREFIX "Mcp-Param-"
#define FIELD_NAME_MAX ((size_t)128) /* bytes of an annotation */
#define NESTING_MAX 64		     /* of a schema */

/* ---- the walk through a schema ---- */

struct walk {
	const char *fault; /* the first; static */
	unsigned count;
	char names[MCP_TOOL_FIELDS_MAX][FIELD_NAME_MAX]; /* as they were given */
	weft_json path[MCP_TOOL_DEPTH_MAX];		 /* names of properties */
	/* Called for each annotation, with its path; may be NULL. */
	weft_err (*found)(struct walk *walk, const char *name, unsigned depth);
	weft_err err; /* of found */
	void *user;
};

static bool fault(struct walk *w, const char *text)
{
	if (!w->fault)
		w->fault = text;
	return false;
}

static bool has_type(weft_json schema)
{
	weft_json type;

	return !weft_json_get(&type, schema, "type") &&
		(weft_json_string_is(type, "string") || weft_json_string_is(type, "integer") ||
			weft_json_string_is(type, "boolean"));
}

/* An annotation of the property at the path. */
static bool take_annotation(struct walk *w, weft_json schema, weft_json value, unsigned depth)
{
	char *name = w->names[w->count % MCP_TOOL_FIELDS_MAX];
	size_t len;

	if (depth == 0)
		return fault(
			w, ANNOTATION " is not in a property that \"properties\" alone lead to");
	if (w->count == MCP_TOOL_FIELDS_MAX)
		return fault(w, "there are more of " ANNOTATION " than may be");
	if (weft_json_string_decode(value, name, FIELD_NAME_MAX - 1, &len))
		return fault(w, ANNOTATION " is no text, or too long");
	if (len == 0 || !http1_is_token(name, len))
		return fault(w, ANNOTATION " can't be a part of a field's name");
	if (!has_type(schema))
		return fault(w, ANNOTATION " is on something else than string, integer, boolean");
	name[len] = '\0';
	for (unsigned i = 0; i < w->count; i++) {
		if (strcasecmp(w->names[i], name) == 0)
			return fault(w, ANNOTATION " has a name twice");
	}
	w->count++;
	if (w->found)
		w->err = w->found(w, name, depth);
	return w->err == WEFT_OK;
}

/* What is no schema, but a value of some instance. */
static bool is_data(weft_json keyword)
{
	return weft_json_string_is(keyword, "const") || weft_json_string_is(keyword, "enum") ||
		weft_json_string_is(keyword, "default") || weft_json_string_is(keyword, "examples");
}

/* Where no annotation may be, one is a fault: a member with that name that can't be a property's
 * schema. */
static bool walk_closed(struct walk *w, weft_json value, unsigned nesting)
{
	weft_json_iter iter = weft_json_iter_of(value);
	weft_json name, member;

	if (nesting > NESTING_MAX)
		return fault(w, "the schema is nested too deeply");
	while (!weft_json_next(&iter, &name, &member)) {
		weft_json_type type = weft_json_type_of(member);

		if (type != WEFT_JSON_OBJECT && weft_json_string_is(name, ANNOTATION))
			return fault(w,
				ANNOTATION
				" is not in a property that \"properties\" alone lead to");
		if ((type == WEFT_JSON_OBJECT || type == WEFT_JSON_ARRAY) && !is_data(name) &&
			!walk_closed(w, member, nesting + 1))
			return false;
	}
	return true;
}

static bool walk_schema(struct walk *w, weft_json schema, unsigned depth);

static bool walk_properties(struct walk *w, weft_json properties, unsigned depth)
{
	weft_json_iter iter = weft_json_iter_of(properties);
	weft_json name, schema;

	if (depth == MCP_TOOL_DEPTH_MAX)
		return walk_closed(w, properties, depth);
	while (!weft_json_next(&iter, &name, &schema)) {
		w->path[depth] = name;
		if (weft_json_type_of(schema) == WEFT_JSON_OBJECT &&
			!walk_schema(w, schema, depth + 1))
			return false;
	}
	return true;
}

/* False: a fault, or found's error. */
static bool walk_schema(struct walk *w, weft_json schema, unsigned depth)
{
	weft_json_iter iter = weft_json_iter_of(schema);
	weft_json name, value;

	while (!weft_json_next(&iter, &name, &value)) {
		weft_json_type type = weft_json_type_of(value);
		bool ok = true;

		if (weft_json_string_is(name, ANNOTATION))
			ok = take_annotation(w, schema, value, depth);
		else if (type == WEFT_JSON_OBJECT && weft_json_string_is(name, "properties"))
			ok = walk_properties(w, value, depth);
		else if ((type == WEFT_JSON_OBJECT || type == WEFT_JSON_ARRAY) && !is_data(name))
			ok = walk_closed(w, value, depth);
		if (!ok)
			return false;
	}
	return true;
}

static struct walk *walk_make(void)
{
	return mem_calloc(1, sizeof(struct walk));
}

const char *mcp_tools_fault(weft_json schema, unsigned *count)
{
	struct walk *w = walk_make();
	const char *text;

	*count = 0;
	if (!w)
		return "there is no memory to look at it";
	(void)walk_schema(w, schema, 0);
	*count = w->count;
	text = w->fault;
	mem_free(w);
	return text;
}

/* ---- what is remembered ---- */

struct tool {
	struct list node; /* of tools->list; the oldest first */
	size_t name_len, schema_len;
	char *name;   /* behind the struct, as it reads */
	char *schema; /* likewise */
};

struct mcp_tools {
	struct rt_lock lock;
	struct list list;
	size_t count, size;
};

weft_err mcp_tools_create(struct mcp_tools **out)
{
	struct mcp_tools *tools = mem_calloc(1, sizeof(*tools));

	if (!tools)
		return err_set(WEFT_ENOMEM);
	list_init(&tools->list);
	*out = tools;
	return WEFT_OK;
}

void mcp_tools_free(struct mcp_tools *tools)
{
	struct list *node;

	if (!tools)
		return;
	while ((node = list_pop_front(&tools->list)))
		mem_free(container_of(node, struct tool, node));
	mem_free(tools);
}

/* Under the lock. */
static struct tool *find(struct mcp_tools *tools, weft_json name)
{
	list_for_each(node, &tools->list) {
		struct tool *tool = container_of(node, struct tool, node);

		if (weft_json_string_is_bytes(name, tool->name, tool->name_len))
			return tool;
	}
	return NULL;
}

static void take_out(struct mcp_tools *tools, struct tool *tool, struct list *gone)
{
	list_remove(&tool->node);
	list_push_back(gone, &tool->node);
	tools->count--;
	tools->size -= tool->schema_len;
}

/* In the place of what was known of that name; fresh NULL: nothing. */
static void put(struct mcp_tools *tools, weft_json name, struct tool *fresh)
{
	struct list gone, *node;
	struct tool *old;

	list_init(&gone);
	rt_lock_acquire(&tools->lock);
	old = find(tools, name);
	if (old)
		take_out(tools, old, &gone);
	if (fresh) {
		list_push_back(&tools->list, &fresh->node);
		tools->count++;
		tools->size += fresh->schema_len;
	}
	while (tools->count > MCP_TOOLS_MAX || tools->size > MCP_TOOLS_SIZE_MAX)
		take_out(tools, container_of(tools->list.next, struct tool, node), &gone);
	rt_lock_release(&tools->lock);
	while ((node = list_pop_front(&gone)))
		mem_free(container_of(node, struct tool, node));
}

static weft_err remember(struct mcp_tools *tools, weft_json name, weft_json schema)
{
	struct tool *tool = mem_alloc(sizeof(*tool) + name.len + schema.len);

	if (!tool)
		return err_set(WEFT_ENOMEM);
	tool->name = (char *)(tool + 1);
	tool->schema = tool->name + name.len;
	tool->schema_len = schema.len;
	if (weft_json_string_decode(name, tool->name, name.len, &tool->name_len)) {
		mem_free(tool);
		return WEFT_OK; /* nobody can call it */
	}
	memcpy(tool->schema, schema.text, schema.len);
	put(tools, name, tool);
	return WEFT_OK;
}

/* ---- answers to tools/list ---- */

/* Whether the tool stays in the list; remembers it, if there is anything to remember. */
static weft_err learn_one(struct mcp_tools *tools, weft_json tool, bool *stays)
{
	const char *text;
	weft_json name, schema;
	unsigned count;

	*stays = true;
	if (weft_json_get(&name, tool, "name") || weft_json_get(&schema, tool, "inputSchema"))
		return WEFT_OK;
	text = mcp_tools_fault(schema, &count);
	if (text) {
		weft_log(WEFT_LOG_WARN, "mcp", "tool %.*s is left out: %s",
			(int)(name.len < 128 ? name.len : 128), name.text, text);
		*stays = false;
	}
	if (text || count == 0) {
		put(tools, name, NULL);
		return WEFT_OK;
	}
	return remember(tools, name, schema);
}

weft_err mcp_tools_learn(struct mcp_tools *tools, weft_message *answer, weft_buf_pool *pool)
{
	weft_json list, tool;
	weft_json_iter iter;
	weft_json_edit edit;
	size_t len = 0, left_out = 0;
	char *kept;
	weft_err err = WEFT_OK;

	if (weft_json_get(&list, answer->rpc.result, "tools") ||
		weft_json_type_of(list) != WEFT_JSON_ARRAY)
		return WEFT_OK;
	kept = mem_alloc(list.len);
	if (!kept)
		return err_set(WEFT_ENOMEM);
	kept[len++] = '[';
	iter = weft_json_iter_of(list);
	while (!err && !weft_json_next(&iter, NULL, &tool)) {
		bool stays;

		err = learn_one(tools, tool, &stays);
		left_out += !stays;
		if (!stays)
			continue;
		if (len > 1)
			kept[len++] = ',';
		memcpy(kept + len, tool.text, tool.len);
		len += tool.len;
	}
	kept[len++] = ']';
	edit = (weft_json_edit){ list, { kept, len } };
	if (!err && left_out)
		err = weft_message_edit(answer, pool, &edit, 1);
	mem_free(kept);
	return err;
}

/* ---- calls ---- */

struct call {
	weft_json arguments;
	mcp_tools_set_fn *set;
	void *user;
};

/* The member of that name, which is JSON itself. Errors: WEFT_ENOTFOUND, WEFT_ENOMEM, ... */
static weft_err member_of(weft_json *out, weft_json object, weft_json name)
{
	char *text = mem_alloc(name.len);
	size_t len;
	weft_err err;

	if (!text)
		return err_set(WEFT_ENOMEM);
	err = weft_json_string_decode(name, text, name.len - 1, &len);
	if (!err && memchr(text, '\0', len))
		err = err_set(WEFT_ENOTFOUND);
	if (!err) {
		text[len] = '\0';
		err = weft_json_get(out, object, text);
	}
	mem_free(text);
	return err;
}

/* The value at the path of the walk. Errors: as member_of. */
static weft_err value_at(weft_json *value, const struct walk *w, unsigned depth)
{
	weft_err err = WEFT_OK;

	for (unsigned i = 0; i < depth && !err; i++)
		err = member_of(value, *value, w->path[i]);
	return err;
}

/* Nothing but strings, numbers and booleans is mirrored. */
static weft_err mirror(struct walk *w, const char *name, unsigned depth)
{
	struct call *call = w->user;
	weft_json value = call->arguments;
	char field[sizeof(PREFIX) + FIELD_NAME_MAX];
	weft_json_type type;
	weft_err err = value_at(&value, w, depth);

	if (err)
		return err == WEFT_ENOMEM ? err : WEFT_OK;
	type = weft_json_type_of(value);
	if (type != WEFT_JSON_STRING && type != WEFT_JSON_NUMBER && type != WEFT_JSON_BOOLEAN)
		return WEFT_OK;
	(void)snprintf(field, sizeof(field), PREFIX "%s", name);
	return call->set(call->user, field, value);
}

/* A copy of what is known, none if nothing is. */
static weft_err schema_of(struct mcp_tools *tools, weft_json name, char **text, size_t *len)
{
	struct tool *tool;
	size_t room = 0;

	*text = NULL;
	for (;;) { /* the lock is held for a copy, not for an allocation */
		rt_lock_acquire(&tools->lock);
		tool = find(tools, name);
		*len = tool ? tool->schema_len : 0;
		if (tool && *text && *len <= room)
			memcpy(*text, tool->schema, *len);
		rt_lock_release(&tools->lock);
		if (*len <= room)
			return WEFT_OK;
		mem_free(*text);
		room = *len;
		*text = mem_alloc(room);
		if (!*text)
			return err_set(WEFT_ENOMEM);
	}
}

weft_err mcp_tools_fields(
	struct mcp_tools *tools, const weft_message *message, mcp_tools_set_fn *set, void *user)
{
	struct call call = { .set = set, .user = user };
	struct walk *w = NULL;
	char *schema;
	size_t len;
	weft_err err;

	err = schema_of(tools, message->rpc.name, &schema, &len);
	if (!err && len > 0 && !weft_json_get(&call.arguments, message->rpc.params, "arguments")) {
		w = walk_make();
		if (!w)
			err = err_set(WEFT_ENOMEM);
	}
	if (w) {
		w->found = mirror;
		w->user = &call;
		(void)walk_schema(w, (weft_json){ schema, len }, 0);
		err = w->err;
	}
	mem_free(w);
	mem_free(schema);
	return err;
}
