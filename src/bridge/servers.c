/* SPDX-License-Identifier: MIT */
/* See servers.h. */
#include "bridge/servers.h"

#include "base/err.h"
#include "base/mem.h"
#include "bridge/text_file.h"

#include <weft/http.h>
#include <weft/json.h>

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)65536) /* of a server's, expanded */

/* ---- lists ---- */

static void entry_fini(struct server_entry *e)
{
	mem_free(e->name);
	mem_free(e->directory);
	mem_free(e->url);
	words_fini(&e->argv);
	words_fini(&e->env);
	words_fini(&e->fields);
	*e = (struct server_entry){ .name = NULL };
}

static void list_cut(struct server_list *list, size_t count)
{
	while (list->count > count)
		entry_fini(&list->items[--list->count]);
}

void servers_fini(struct server_list *list)
{
	list_cut(list, 0);
	mem_free(list->items);
	list->items = NULL;
}

const struct server_entry *servers_find(const struct server_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].name, name) == 0)
			return &list->items[i];
	}
	return NULL;
}

static bool words_same(const struct words *a, const struct words *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->argv[i], b->argv[i]) != 0)
			return false;
	}
	return true;
}

static bool text_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool servers_same(const struct server_entry *a, const struct server_entry *b)
{
	return strcmp(a->name, b->name) == 0 && words_same(&a->argv, &b->argv) &&
		words_same(&a->env, &b->env) && words_same(&a->fields, &b->fields) &&
		text_same(a->directory, b->directory) && text_same(a->url, b->url) &&
		a->is_sse == b->is_sse;
}

static weft_err name_check(const struct server_list *list, const char *name, size_t len)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	char copy[SERVER_NAME_MAX + 1];

	if (len == 0)
		return err_setf(WEFT_EINVAL, "a server without a name");
	if (len > SERVER_NAME_MAX)
		return err_setf(WEFT_EINVAL, "a server's name has more than %d bytes: \"%.32s...\"",
			SERVER_NAME_MAX, name);
	memcpy(copy, name, len);
	copy[len] = '\0';
	if (strspn(copy, allowed) != len || copy[0] == '.')
		return err_setf(WEFT_EINVAL,
			"server \"%s\": a name has letters, digits, '-', '_' and '.', and no '.' first: "
			"it becomes part of a path",
			copy);
	if (servers_find(list, copy))
		return err_setf(WEFT_EINVAL, "server \"%s\" is there twice", copy);
	if (list->count == SERVERS_MAX)
		return err_setf(WEFT_EINVAL, "more than %d servers", SERVERS_MAX);
	return WEFT_OK;
}

/* The entry is taken, also on error. */
static weft_err list_put(struct server_list *list, struct server_entry *e)
{
	struct server_entry *items =
		mem_realloc_array(list->items, list->count + 1, sizeof(*items));

	if (!items) {
		entry_fini(e);
		return err_set(WEFT_ENOMEM);
	}
	list->items = items;
	items[list->count++] = *e;
	return WEFT_OK;
}

weft_err servers_add(struct server_list *list, const char *text)
{
	struct server_entry e = { .name = NULL };
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);
	weft_err err;

	if (!equals)
		return err_setf(WEFT_EINVAL, "\"%.64s\" is not NAME=CMD", text);
	err = name_check(list, text, len);
	if (err)
		return err;
	err = words_split(&e.argv, equals + 1);
	if (!err) {
		e.name = mem_strndup(text, len);
		err = e.name ? WEFT_OK : err_set(WEFT_ENOMEM);
	}
	if (err) {
		entry_fini(&e);
		return err == WEFT_EINVAL ? err_wrap(err, "server \"%.*s\"", (int)len, text) : err;
	}
	return list_put(list, &e);
}

/* NULL is copied as such. */
static weft_err text_copy(char **to, const char *from)
{
	*to = from ? mem_strdup(from) : NULL;
	return from && !*to ? err_set(WEFT_ENOMEM) : WEFT_OK;
}

static weft_err words_copy_all(struct words *to, const struct words *from)
{
	return from->count ? words_copy(to, (const char *const *)from->argv) : WEFT_OK;
}

static weft_err entry_copy(struct server_list *list, const struct server_entry *from)
{
	struct server_entry e = { .is_sse = from->is_sse };
	weft_err err = text_copy(&e.name, from->name);

	if (!err)
		err = text_copy(&e.directory, from->directory);
	if (!err)
		err = text_copy(&e.url, from->url);
	if (!err)
		err = words_copy_all(&e.argv, &from->argv);
	if (!err)
		err = words_copy_all(&e.env, &from->env);
	if (!err)
		err = words_copy_all(&e.fields, &from->fields);
	if (err)
		entry_fini(&e);
	return err ? err : list_put(list, &e);
}

weft_err servers_copy(struct server_list *list, const struct server_list *from, size_t count)
{
	size_t before = list->count;
	weft_err err = WEFT_OK;

	for (size_t i = 0; !err && i < count; i++)
		err = entry_copy(list, &from->items[i]);
	if (err)
		list_cut(list, before);
	return err;
}

/* ---- texts ---- */

/* A text that grows. */
struct grown {
	char *text;
	size_t len;
};

static weft_err grow(struct grown *g, const char *more, size_t len)
{
	char *text;

	if (g->len + len > TEXT_MAX)
		return err_setf(WEFT_EINVAL, "has more than %zu bytes", TEXT_MAX);
	text = mem_realloc(g->text, g->len + len + 1);
	if (!text)
		return err_set(WEFT_ENOMEM);
	memcpy(text + g->len, more, len);
	g->text = text;
	g->len += len;
	text[g->len] = '\0';
	return WEFT_OK;
}

/* text: behind "${"; *used: up to and with '}'. */
static weft_err variable(struct grown *g, const char *text, size_t *used)
{
	size_t len = strcspn(text, "}"), name_len = strcspn(text, ":}");
	const char *value, *otherwise = NULL;
	char *name;

	if (text[len] != '}')
		return err_setf(WEFT_EINVAL, "has \"${\" without \"}\"");
	*used = len + 1;
	if (name_len < len) {
		if (text[name_len + 1] != '-')
			return err_setf(WEFT_EINVAL,
				"has \"${%.*s}\": only ${NAME} and "
				"${NAME:-text} are known",
				(int)len, text);
		otherwise = text + name_len + 2;
	}
	name = mem_strndup(text, name_len);
	if (!name)
		return err_set(WEFT_ENOMEM);
	value = getenv(name);
	mem_free(name);
	if (value && (*value || !otherwise))
		return grow(g, value, strlen(value));
	if (otherwise)
		return grow(g, otherwise, (size_t)(text + len - otherwise));
	return err_setf(
		WEFT_EINVAL, "names the variable \"%.*s\", which is not set", (int)name_len, text);
}

static weft_err expand(char **out, const char *text)
{
	struct grown g = { NULL, 0 };
	weft_err err = grow(&g, "", 0);

	while (!err && *text) {
		size_t len = strcspn(text, "$"), used = 0;

		if (len == 0 && text[1] != '{')
			len = 1;
		if (len) {
			err = grow(&g, text, len);
			text += len;
		} else {
			err = variable(&g, text + 2, &used);
			text += 2 + used;
		}
	}
	if (err)
		mem_free(g.text);
	else
		*out = g.text;
	return err;
}

/* A JSON string as a text; *out is the caller's. */
static weft_err text_of(char **out, weft_json value)
{
	char *text;
	size_t len = 0;
	weft_err err;

	if (weft_json_type_of(value) != WEFT_JSON_STRING)
		return err_setf(WEFT_EINVAL, "is no string");
	text = mem_alloc(value.len);
	if (!text)
		return err_set(WEFT_ENOMEM);
	err = weft_json_string_decode(value, text, value.len - 1, &len);
	if (!err) {
		text[len] = '\0';
		err = strlen(text) == len ? expand(out, text) : err_setf(WEFT_EINVAL, "has a NUL");
	}
	mem_free(text);
	return err;
}

/* ---- members of a server ---- */

static weft_err text_member(char **to, weft_json value)
{
	if (*to)
		return err_setf(WEFT_EINVAL, "is there twice");
	return text_of(to, value);
}

static weft_err word_add_own(struct words *words, char *text)
{
	weft_err err = text ? words_add(words, text, strlen(text)) : err_set(WEFT_ENOMEM);

	mem_free(text);
	return err;
}

static weft_err command_member(struct server_entry *e, weft_json value)
{
	struct words args = e->argv;
	char *text = NULL;
	weft_err err = text_of(&text, value);

	if (!err && !text)
		err = WEFT_ENOMEM;
	if (err)
		return err;
	if (!*text) {
		mem_free(text);
		return err_setf(WEFT_EINVAL, "is empty");
	}
	/* "args" may have come before */
	e->argv = (struct words){ NULL, 0, NULL };
	err = word_add_own(&e->argv, text);
	for (size_t i = 0; !err && i < args.count; i++)
		err = words_add(&e->argv, args.argv[i], strlen(args.argv[i]));
	words_fini(&args);
	return err;
}

static weft_err args_member(struct server_entry *e, weft_json value)
{
	weft_json_iter iter = weft_json_iter_of(value);
	weft_json element;
	weft_err err;

	if (weft_json_type_of(value) != WEFT_JSON_ARRAY)
		return err_setf(WEFT_EINVAL, "is no array of strings");
	while (!(err = weft_json_next(&iter, NULL, &element))) {
		char *text = NULL;

		err = text_of(&text, element);
		if (!err)
			err = word_add_own(&e->argv, text);
		if (err)
			return err;
	}
	return err == WEFT_ENOTFOUND ? WEFT_OK : err;
}

/* An object of strings, each as name, separator, value. */
static weft_err pair_add(struct words *to, weft_json name, weft_json value, const char *separator)
{
	char *left = NULL, *right = NULL;
	struct grown g = { NULL, 0 };
	weft_err err = text_of(&left, name);

	if (!err && !left)
		err = WEFT_ENOMEM;
	if (!err && (!*left || strpbrk(left, "=:\r\n")))
		err = err_setf(WEFT_EINVAL, "has a name that can't be one: \"%.64s\"", left);
	if (!err) {
		err = text_of(&right, value);
		if (err == WEFT_EINVAL)
			err = err_wrap(err, "\"%.64s\"", left);
	}
	if (!err && !right)
		err = WEFT_ENOMEM;
	if (!err && *separator == ':' && strpbrk(right, "\r\n"))
		err = err_setf(WEFT_EINVAL, "\"%.64s\" has a line end", left);
	if (!err)
		err = grow(&g, left, strlen(left));
	if (!err)
		err = grow(&g, separator, strlen(separator));
	if (!err)
		err = grow(&g, right, strlen(right));
	if (!err)
		err = words_add(to, g.text, g.len);
	mem_free(g.text);
	mem_free(left);
	mem_free(right);
	return err;
}

static weft_err pairs_member(struct words *to, weft_json value, const char *separator)
{
	weft_json_iter iter = weft_json_iter_of(value);
	weft_json name, element;
	weft_err err;

	if (weft_json_type_of(value) != WEFT_JSON_OBJECT)
		return err_setf(WEFT_EINVAL, "is no object of strings");
	while (!(err = weft_json_next(&iter, &name, &element))) {
		err = pair_add(to, name, element, separator);
		if (err)
			return err;
	}
	return err == WEFT_ENOTFOUND ? WEFT_OK : err;
}

/* What "type" said. */
struct type {
	bool is_child, is_url;
};

static weft_err type_member(struct server_entry *e, struct type *type, weft_json value)
{
	static const struct {
		const char *name;
		bool is_url, is_sse;
	} types[] = {
		{ "stdio", false, false },
		{ "http", true, false },
		{ "streamable-http", true, false },
		{ "streamableHttp", true, false },
		{ "sse", true, true },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (weft_json_string_is(value, types[i].name)) {
			type->is_url = types[i].is_url;
			type->is_child = !types[i].is_url;
			e->is_sse = types[i].is_sse;
			return WEFT_OK;
		}
	}
	return err_setf(WEFT_EINVAL,
		"is %.*s; known are \"stdio\", \"http\", \"streamable-http\" and "
		"\"sse\"",
		(int)(value.len < 64 ? value.len : 64), value.text);
}

static weft_err member(
	struct server_entry *e, struct type *type, bool *is_off, const char *name, weft_json value)
{
	if (strcmp(name, "command") == 0)
		return command_member(e, value);
	if (strcmp(name, "args") == 0)
		return args_member(e, value);
	if (strcmp(name, "env") == 0)
		return pairs_member(&e->env, value, "=");
	if (strcmp(name, "headers") == 0)
		return pairs_member(&e->fields, value, ": ");
	if (strcmp(name, "cwd") == 0)
		return text_member(&e->directory, value);
	if (strcmp(name, "url") == 0)
		return text_member(&e->url, value);
	if (strcmp(name, "type") == 0)
		return type_member(e, type, value);
	if (strcmp(name, "disabled") == 0)
		*is_off = value.len == 4 && memcmp(value.text, "true", 4) == 0;
	return WEFT_OK;
}

static weft_err entry_check(const struct server_entry *e, const struct type *type, bool has_command)
{
	weft_http_url url = { .memory = NULL };
	weft_err err = WEFT_OK;

	if (has_command == (e->url != NULL))
		return err_setf(WEFT_EINVAL,
			has_command ? "\"command\" and \"url\" do not go together"
				    : "\"command\" or \"url\" is missing");
	if (type->is_url && !e->url)
		return err_setf(WEFT_EINVAL, "\"url\" is missing");
	if (type->is_child && !has_command)
		return err_setf(WEFT_EINVAL, "\"command\" is missing");
	if (e->url && (e->argv.count || e->env.count || e->directory))
		return err_setf(WEFT_EINVAL, "\"args\", \"env\" and \"cwd\" are for a \"command\"");
	if (has_command && e->fields.count)
		return err_setf(WEFT_EINVAL, "\"headers\" are for a \"url\"");
	if (e->url)
		err = weft_http_url_parse(&url, e->url);
	weft_http_url_fini(&url);
	return err ? err_wrap(err, "\"url\"") : WEFT_OK;
}

/* name: without quotes. */
static weft_err entry_of(struct server_list *list, const char *server, weft_json object)
{
	struct server_entry e = { .name = NULL };
	struct type type = { false, false };
	weft_json_iter iter = weft_json_iter_of(object);
	bool has_command = false, is_off = false;
	weft_json name, value;
	weft_err err;

	if (weft_json_type_of(object) != WEFT_JSON_OBJECT)
		return err_setf(WEFT_EINVAL, "is no object");
	while (!(err = weft_json_next(&iter, &name, &value))) {
		char key[16] = "";
		size_t len = 0;

		if (weft_json_string_decode(name, key, sizeof(key) - 1, &len))
			continue; /* longer than any that is known */
		key[len] = '\0';
		if (strcmp(key, "command") == 0) {
			if (has_command)
				err = err_setf(WEFT_EINVAL, "is there twice");
			has_command = true;
		}
		if (!err)
			err = member(&e, &type, &is_off, key, value);
		if (err) {
			err = err == WEFT_EINVAL ? err_wrap(err, "\"%s\"", key) : err;
			break;
		}
	}
	if (err == WEFT_ENOTFOUND)
		err = is_off ? WEFT_OK : entry_check(&e, &type, has_command);
	if (!err && !is_off) {
		e.name = mem_strdup(server);
		err = e.name ? WEFT_OK : err_set(WEFT_ENOMEM);
	}
	if (err || is_off) {
		entry_fini(&e);
		return err;
	}
	return list_put(list, &e);
}

/* ---- the file ---- */

static weft_err servers_of(struct server_list *list, weft_json object)
{
	weft_json_iter iter = weft_json_iter_of(object);
	weft_json name, value;
	weft_err err;

	if (weft_json_type_of(object) != WEFT_JSON_OBJECT)
		return err_setf(WEFT_EINVAL, "\"mcpServers\" is no object");
	while (!(err = weft_json_next(&iter, &name, &value))) {
		char text[SERVER_NAME_MAX + 2] = "";
		size_t len = 0;

		if (weft_json_string_decode(name, text, sizeof(text) - 1, &len))
			len = sizeof(text) - 1; /* too long, as is said then */
		err = name_check(list, text, len);
		if (err)
			return err;
		text[len] = '\0';
		err = entry_of(list, text, value);
		if (err)
			return err == WEFT_EINVAL ? err_wrap(err, "server \"%s\"", text) : err;
	}
	return err == WEFT_ENOTFOUND ? WEFT_OK : err;
}

/* The line of what is no JSON, beside its byte. */
static weft_err where(weft_err err, const char *text, size_t len)
{
	static const char before[] = "byte ";
	const char *at = strstr(weft_error_detail(), before);
	size_t line = 1;
	unsigned long long byte;

	if (!at)
		return err;
	byte = strtoull(at + sizeof(before) - 1, NULL, 10);
	for (size_t i = 0; i < len && i < byte; i++)
		line += text[i] == '\n';
	return err_wrap(err, "line %zu", line);
}

weft_err servers_load(struct server_list *list, const char *path)
{
	static const char *const names[] = { "mcpServers" };
	weft_json_limits limits = { .size_max = SERVERS_FILE_MAX };
	weft_json whole = { NULL, 0 }, servers = { NULL, 0 };
	size_t len = 0, count = list->count;
	char *text = NULL;
	weft_err err = text_file_read(&text, &len, path, SERVERS_FILE_MAX);

	if (!err) {
		err = weft_json_check(&whole, text, len, &limits);
		err = err ? where(err, text, len) : WEFT_OK;
	}
	if (!err) {
		err = weft_json_get_path(&servers, whole, names, 1);
		if (err == WEFT_ENOTFOUND || err == WEFT_EINVAL)
			err = err_setf(WEFT_EINVAL, "there is no member \"mcpServers\"");
	}
	if (!err)
		err = servers_of(list, servers);
	if (!err && list->count == count)
		err = err_setf(WEFT_EINVAL, "no server is there");
	mem_free(text);
	if (!err)
		return WEFT_OK;
	list_cut(list, count);
	return err == WEFT_ENOMEM ? err : err_wrap(WEFT_EINVAL, "%s", path);
}
