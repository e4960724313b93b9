/* SPDX-License-Identifier: MIT */
/* See flags.h. */
#include "flags.h"

#include "say.h"

#include <string.h>

#define NEAR_MAX 3	  /* edits that a suggestion may be away */
#define NAME_MAX_BYTES 32 /* longer names get no suggestion */
#define CANDIDATES_MAX 64
#define COUNT_MAX ((size_t)1000000000)
#define DURATION_MAX_NS (INT64_C(10) * 365 * 24 * 3600 * 1000000000)

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edits that turn one word into the other (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_BYTES + 1], len = strlen(b);

	for (size_t i = 0; i <= len; i++)
		row[i] = i;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = smaller(change, smaller(row[j], row[j - 1]) + 1);
		}
	}
	return row[len];
}

const char *flag_nearest(const char *text, const char *const *candidates, size_t count)
{
	size_t best = NEAR_MAX + 1;
	const char *found = NULL;

	if (strlen(text) > NAME_MAX_BYTES)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t away = strlen(candidates[i]) > NAME_MAX_BYTES
			? best
			: distance(text, candidates[i]);

		/* A word that has nothing in common with text is no suggestion. */
		if (away < best && away < strlen(candidates[i])) {
			best = away;
			found = candidates[i];
		}
	}
	return found;
}

bool flag_duration(int64_t *ns, const char *text)
{
	static const struct {
		const char *unit;
		int64_t ns;
	} units[] = { { "ms", 1000000 }, { "s", INT64_C(1000000000) },
		{ "m", INT64_C(60000000000) }, { "h", INT64_C(3600000000000) } };
	int64_t whole = 0, part = 0, scale = 1;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (at - text >= 9)
			return false;
		whole = whole * 10 + (*at - '0');
	}
	if (at == text)
		return false;
	if (*at == '.') {
		const char *point = at++;

		for (; *at >= '0' && *at <= '9' && at - point <= 6; at++) {
			part = part * 10 + (*at - '0');
			scale *= 10;
		}
		if (at == point + 1)
			return false;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(at, units[i].unit) != 0)
			continue;
		if (whole >= DURATION_MAX_NS / units[i].ns)
			return false;
		*ns = whole * units[i].ns + part * (units[i].ns / 1000000) / scale * 1000000 +
			part * (units[i].ns % 1000000) / scale;
		return true;
	}
	return false;
}

static bool count_parse(size_t *out, const char *text)
{
	size_t value = 0;

	for (const char *at = text; *at; at++) {
		if (*at < '0' || *at > '9' || value > COUNT_MAX / 10)
			return false;
		value = value * 10 + (size_t)(*at - '0');
	}
	*out = value;
	return value > 0;
}

static int duration_set(const struct flag *flag, const char *value)
{
	int64_t ns;

	if (strcmp(value, "off") == 0) {
		*(int64_t *)flag->to = flag->off_ns;
		return 0;
	}
	if (!flag_duration(&ns, value))
		return say_usage("--%s: \"%s\" is not a duration such as 500ms, 10s, 2m or off",
			flag->name, value);
	if (ns == 0 && !flag->may_be_zero)
		return say_usage("--%s: \"%s\" would leave no time; off means without limit",
			flag->name, value);
	*(int64_t *)flag->to = ns;
	return 0;
}

static int list_add(const struct flag *flag, const char *value)
{
	struct flag_list *list = flag->to;

	if (list->count == FLAG_LIST_MAX)
		return say_usage("--%s: given more than %d times", flag->name, FLAG_LIST_MAX);
	list->items[list->count++] = value;
	return 0;
}

static int value_set(const struct flag *flag, const char *value)
{
	switch (flag->kind) {
	case FLAG_COUNT:
		if (!count_parse(flag->to, value))
			return say_usage("--%s: \"%s\" is not a number from 1 to %zu", flag->name,
				value, COUNT_MAX);
		return 0;
	case FLAG_DURATION:
		return duration_set(flag, value);
	case FLAG_TEXT:
		*(const char **)flag->to = value;
		return 0;
	case FLAG_LIST:
		return list_add(flag, value);
	case FLAG_SWITCH:
	case FLAG_LATER:
		break;
	}
	return 0;
}

static int flag_unknown(const struct flags *flags, const char *text, size_t len)
{
	const char *names[CANDIDATES_MAX], *near;
	char name[NAME_MAX_BYTES + 2] = "";
	size_t count = 0;

	for (; count < flags->table_len && count < CANDIDATES_MAX; count++)
		names[count] = flags->table[count].name;
	if (len <= NAME_MAX_BYTES)
		memcpy(name, text, len);
	near = flag_nearest(name, names, count);
	if (near)
		return say_usage("unknown flag --%.*s; did you mean --%s?", (int)len, text, near);
	return say_usage("unknown flag --%.*s", (int)len, text);
}

/* text: after the dashes. *next is advanced when the value stands there. */
static int flag_parse(struct flags *flags, const char *text, const char *const **next)
{
	size_t len = strcspn(text, "=");
	const char *value = text[len] ? text + len + 1 : NULL;
	const struct flag *flag = flags->table;

	while (flag < flags->table + flags->table_len &&
		(strlen(flag->name) != len || memcmp(flag->name, text, len) != 0))
		flag++;
	if (flag == flags->table + flags->table_len)
		return flag_unknown(flags, text, len);
	if (flag->kind == FLAG_LATER)
		return say_usage("--%s comes with %s, which this build does not carry yet",
			flag->name, (const char *)flag->to);
	if (flag->kind == FLAG_SWITCH) {
		if (value)
			return say_usage("--%s takes no value", flag->name);
		*(bool *)flag->to = true;
		return 0;
	}
	if (!value) {
		value = **next;
		if (!value || strcmp(value, "--") == 0)
			return say_usage("--%s: its value is missing", flag->name);
		(*next)++;
	}
	return value_set(flag, value);
}

int flags_parse(struct flags *flags, const char *const *argv)
{
	while (*argv) {
		const char *text = *argv++;
		int status = 0;

		if (strcmp(text, "--") == 0) {
			flags->command = argv;
			return 0;
		}
		if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
			flags->wants_help = true;
			return 0;
		}
		if (strncmp(text, "--", 2) == 0)
			status = flag_parse(flags, text + 2, &argv);
		else if (text[0] == '-' && text[1])
			status = say_usage("unknown flag %s", text);
		else if (flags->args_count == flags->args_max)
			status = say_usage("one argument too many: \"%s\"", text);
		else
			flags->args[flags->args_count++] = text;
		if (status)
			return status;
	}
	return 0;
}
