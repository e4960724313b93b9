/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* What a child is given: its program by PATH, its environment by the allow-list. */
#include "net/process_env.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static const char *const pass_default[] = { "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG",
	"LC_*", "TERM", "TMPDIR", "TZ", "XDG_RUNTIME_DIR", NULL };

/* 0, or why it can't be run. */
static int runnable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	return access(path, X_OK) < 0 ? errno : 0;
}

static weft_err in_directory(char *out, const char *name)
{
	size_t len = strlen(name);
	int why;

	if (len >= PATH_MAX)
		return err_setf(WEFT_ESPAWN, "start \"%.60s...\": name too long", name);
	memcpy(out, name, len + 1);
	why = runnable(out);
	if (!why)
		return WEFT_OK;
	err_sys(why, "start \"%s\"", name);
	return err_set_code(WEFT_ESPAWN);
}

weft_err process_find_program(char *out, const char *name)
{
	const char *path = getenv("PATH");
	int why = ENOENT;

	if (strchr(name, '/'))
		return in_directory(out, name);
	if (!path || !*path)
		path = PATH_DEFAULT;
	while (*name) {
		size_t len = strcspn(path, ":");
		int n = snprintf(out, PATH_MAX, "%.*s%s%s", (int)len, path, len ? "/" : "", name);
		int rc = n > 0 && n < PATH_MAX ? runnable(out) : ENAMETOOLONG;

		if (!rc)
			return WEFT_OK;
		/* one that is there but can't be run says more than one that is not */
		if (rc == EACCES)
			why = rc;
		path += len;
		if (!*path)
			break;
		path++;
	}
	if (why == EACCES)
		return err_setf(
			WEFT_ESPAWN, "start \"%s\": found in PATH, but not executable", name);
	return err_setf(WEFT_ESPAWN, "start \"%s\": no such program in PATH", name);
}

static bool name_matches(const char *pattern, const char *entry, size_t name_len)
{
	size_t len = strlen(pattern);

	if (len > 0 && pattern[len - 1] == '*')
		return name_len >= len - 1 && memcmp(pattern, entry, len - 1) == 0;
	return len == name_len && memcmp(pattern, entry, len) == 0;
}

static bool is_passed(const char *const *pass, const char *entry)
{
	const char *equals = strchr(entry, '=');

	for (; equals && *pass; pass++)
		if (name_matches(*pass, entry, (size_t)(equals - entry)))
			return true;
	return false;
}

static bool is_overridden(const char *const *env, const char *entry)
{
	size_t len = strcspn(entry, "=");

	for (; env && *env; env++)
		if (strncmp(*env, entry, len) == 0 && (*env)[len] == '=')
			return true;
	return false;
}

static size_t count_of(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

weft_err process_environment(char ***out, const char *const *env, const char *const *pass)
{
	const char *const *own = (const char *const *)environ;
	size_t len = 0, room = count_of(own) + count_of(env) + 1;
	const char **list;

	for (const char *const *e = env; e && *e; e++)
		if (!strchr(*e, '=') || **e == '=')
			return err_setf(WEFT_EINVAL,
				"start process: environment \"%s\" is not NAME=value", *e);
	list = mem_calloc(room, sizeof(*list));
	if (!list)
		return err_set(WEFT_ENOMEM);
	for (; own && *own; own++)
		if (is_passed(pass ? pass : pass_default, *own) && !is_overridden(env, *own))
			list[len++] = *own;
	for (; env && *env; env++)
		list[len++] = *env;
	/* exec takes char **, and leaves the strings alone */
	*out = (char **)(uintptr_t)list;
	return WEFT_OK;
}
