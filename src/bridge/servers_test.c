/* SPDX-License-Identifier: MIT */
/* Named servers, by tables. */
#define _POSIX_C_SOURCE 200809L
#include "bridge/servers.h"
#include "support/t.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file with that text, in the working directory of the test. */
static weft_err load(struct server_list *list, const char *text)
{
	char path[] = "/tmp/weft-servers-XXXXXX";
	int fd = mkstemp(path);
	weft_err err;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	err = servers_load(list, path);
	unlink(path);
	return err;
}

START_TEST(servers_of_the_command_line)
{
	struct server_list list = { NULL, 0 };

	ck_assert_int_eq(servers_add(&list, "a=cat -n 'x y'"), WEFT_OK);
	ck_assert_int_eq(servers_add(&list, "B.2-c_=env A=b"), WEFT_OK);
	ck_assert_uint_eq(list.count, 2);
	ck_assert_str_eq(list.items[0].name, "a");
	ck_assert_uint_eq(list.items[0].argv.count, 3);
	ck_assert_str_eq(list.items[0].argv.argv[2], "x y");
	ck_assert_str_eq(list.items[1].argv.argv[1], "A=b");
	ck_assert_ptr_eq(servers_find(&list, "a"), &list.items[0]);
	ck_assert_ptr_null(servers_find(&list, "b"));
	servers_fini(&list);
}
END_TEST

static const char whole[] =
	"{\"mcpServers\": {\n"
	" \"files\": {\"args\": [\"s\\u00e9\", \"${HERE}\"], \"command\": \"npx\",\n"
	"   \"env\": {\"A\": \"b=${HERE}\", \"C\": \"${NOT_HERE:-x}y\"}, \"cwd\": \"/\",\n"
	"   \"autoApprove\": [1, {}], \"a-name-that-is-longer-than-any\": null},\n"
	" \"off\": {\"disabled\": true, \"nothing\": 1},\n"
	" \"far\": {\"type\": \"sse\", \"url\": \"https://h/sse\",\n"
	"   \"headers\": {\"Authorization\": \"Bearer ${HERE}$\"}},\n"
	" \"near\": {\"url\": \"http://127.0.0.1:1/mcp\", \"disabled\": false}\n"
	"}, \"other\": 1}\n";

START_TEST(servers_of_a_file)
{
	struct server_list list = { NULL, 0 }, again = { NULL, 0 };
	const struct server_entry *e;

	ck_assert_int_eq(setenv("HERE", "there", 1), 0);
	unsetenv("NOT_HERE");
	ck_assert_int_eq(servers_add(&list, "first=cat"), WEFT_OK);
	ck_assert_msg(load(&list, whole) == WEFT_OK, "%s", weft_error_detail());
	ck_assert_uint_eq(list.count, 4);
	e = servers_find(&list, "files");
	ck_assert_uint_eq(e->argv.count, 3);
	ck_assert_str_eq(e->argv.argv[0], "npx");
	ck_assert_str_eq(e->argv.argv[1], "s\xc3\xa9");
	ck_assert_str_eq(e->argv.argv[2], "there");
	ck_assert_uint_eq(e->env.count, 2);
	ck_assert_str_eq(e->env.argv[0], "A=b=there");
	ck_assert_str_eq(e->env.argv[1], "C=xy");
	ck_assert_str_eq(e->directory, "/");
	e = servers_find(&list, "far");
	ck_assert(e->is_sse);
	ck_assert_str_eq(e->url, "https://h/sse");
	ck_assert_str_eq(e->fields.argv[0], "Authorization: Bearer there$");
	e = servers_find(&list, "near");
	ck_assert(!e->is_sse && e->fields.count == 0 && e->argv.count == 0);
	ck_assert_ptr_null(servers_find(&list, "off"));

	ck_assert_int_eq(load(&again, whole), WEFT_OK);
	ck_assert(servers_same(&again.items[0], servers_find(&list, "files")));
	ck_assert(!servers_same(&again.items[0], &again.items[1]));
	ck_assert_int_eq(load(&again, whole), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "server \"files\" is there twice"));
	ck_assert_uint_eq(again.count, 3);
	servers_fini(&again);
	servers_fini(&list);
}
END_TEST

struct bad {
	const char *text; /* of a file, if it begins with '{' */
	const char *why;
};

#define S(members) "{\"mcpServers\": {\"s\": {" members "}}}"

static const struct bad bads[] = {
	{ "a", "\"a\" is not NAME=CMD" },
	{ "=cat", "without a name" },
	{ "a=", "server \"a\": the command is missing" },
	{ "a b=cat", "a name has letters" },
	{ ".a=cat", "a name has letters" },
	{ "a/b=cat", "a name has letters" },
	{ "a=cat '", "server \"a\": a ' without its end" },
	{ "taken=cat", "server \"taken\" is there twice" },
	{ "0123456789012345678901234567890123456789012345678901234567890123x=cat",
		"more than 64 bytes" },
	{ "{", "/tmp/weft-servers-" },
	{ "{\"mcpServers\": 1}", "is no object" },
	{ "{\"servers\": {}}", "no member \"mcpServers\"" },
	{ "{\"mcpServers\": {}}", "no server is there" },
	{ "{\"mcpServers\": {\"a/b\": {}}}", "a name has letters" },
	{ "{\"mcpServers\": {\"taken\": {}}}", "server \"taken\" is there twice" },
	{ "{\"mcpServers\": {\"s\": []}}", "server \"s\": is no object" },
	{ S(""), "\"command\" or \"url\" is missing" },
	{ S("\"command\": \"a\", \"url\": \"http://h\""), "do not go together" },
	{ S("\"command\": \"\""), "\"command\": is empty" },
	{ S("\"command\": 1"), "\"command\": is no string" },
	{ S("\"command\": \"a\", \"command\": \"b\""), "\"command\": is there twice" },
	{ S("\"command\": \"a\\u0000b\""), "\"command\": has a NUL" },
	{ S("\"command\": \"a\", \"args\": \"b\""), "\"args\": is no array" },
	{ S("\"command\": \"a\", \"args\": [1]"), "\"args\": is no string" },
	{ S("\"command\": \"a\", \"args\": [\"${NOT_HERE}\"]"), "\"NOT_HERE\", which is not set" },
	{ S("\"command\": \"a\", \"args\": [\"${NOT\"]"), "\"${\" without \"}\"" },
	{ S("\"command\": \"a\", \"args\": [\"${NOT:x}\"]"), "only ${NAME}" },
	{ S("\"command\": \"a\", \"env\": [\"A=b\"]"), "\"env\": is no object" },
	{ S("\"command\": \"a\", \"env\": {\"A=\": \"b\"}"),
		"\"env\": has a name that can't be one" },
	{ S("\"command\": \"a\", \"env\": {\"A\": 1}"), "\"env\": \"A\": is no string" },
	{ S("\"command\": \"a\", \"headers\": {\"A\": \"b\"}"), "\"headers\" are for a \"url\"" },
	{ S("\"command\": \"a\", \"type\": \"http\""), "\"url\" is missing" },
	{ S("\"url\": \"http://h\", \"type\": \"stdio\""), "\"command\" is missing" },
	{ S("\"url\": \"http://h\", \"type\": \"ws\""), "\"type\": is \"ws\"; known are" },
	{ S("\"url\": \"http://h\", \"cwd\": \"/\""), "are for a \"command\"" },
	{ S("\"url\": \"ftp://h\""), "\"url\"" },
	{ S("\"url\": \"http://h\", \"headers\": {\"A\": \"b\\nC: d\"}"), "has a line end" },
};

START_TEST(servers_that_can_not_be_say_why)
{
	const struct bad *b = &bads[_i];
	struct server_list list = { NULL, 0 };
	weft_err err;

	unsetenv("NOT_HERE");
	ck_assert_int_eq(servers_add(&list, "taken=cat"), WEFT_OK);
	err = b->text[0] == '{' ? load(&list, b->text) : servers_add(&list, b->text);
	ck_assert_int_eq(err, WEFT_EINVAL);
	ck_assert_msg(strstr(weft_error_detail(), b->why), "\"%s\" gives \"%s\", without \"%s\"",
		b->text, weft_error_detail(), b->why);
	ck_assert_uint_eq(list.count, 1);
	servers_fini(&list);
}
END_TEST

START_TEST(servers_of_no_file)
{
	struct server_list list = { NULL, 0 };

	ck_assert_int_eq(servers_load(&list, "/nowhere/x.json"), WEFT_EINVAL);
	ck_assert_str_eq(weft_error_detail(), "/nowhere/x.json: No such file or directory");
	ck_assert_int_eq(servers_load(&list, "/"), WEFT_EINVAL);
	ck_assert_ptr_nonnull(strstr(weft_error_detail(), "directory"));
	ck_assert_ptr_null(list.items);
}
END_TEST

START_TEST(servers_survive_every_failing_malloc)
{
	char path[] = "/tmp/weft-servers-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, whole, strlen(whole)), (ssize_t)strlen(whole));
	close(fd);
	ck_assert_int_eq(setenv("HERE", "there", 1), 0);
	T_EACH_FAILING_MALLOC(n) {
		struct server_list list = { NULL, 0 };
		weft_err err = servers_add(&list, "first=cat");

		if (!err)
			err = servers_load(&list, path);
		ck_assert(err == WEFT_OK || err == WEFT_ENOMEM);
		ck_assert(err == WEFT_OK || t_malloc_failed());
		servers_fini(&list);
	}
	unlink(path);
}
END_TEST

static void servers_tests(TCase *tc)
{
	t_add(tc, servers_of_the_command_line);
	t_add(tc, servers_of_a_file);
	t_add_loop(tc, servers_that_can_not_be_say_why, 0, (int)(sizeof(bads) / sizeof(bads[0])));
	t_add(tc, servers_of_no_file);
	t_add(tc, servers_survive_every_failing_malloc);
}

T_SUITE("servers", servers_tests)
