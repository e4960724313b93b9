/* SPDX-License-Identifier: MIT */
/* See flags.h. */
#include "flags.h"

#include "say.h"

#include <string.h>

#define NEAR_MAX 3	  /* edits that a suggestion may be away */
#define NAME_MAX_BYTES 32 /* longer names get no suggestion */
#define CANDIDATES_MAX 64
#define COUNT_MAX ((size_t)1000000000)
#define SIZE_MAX_BYTES (UINT64_C(1) << 62)
#define SIZE_DIGITS_MAX (UINT64_C(1) << 58) /* of a number's digits, without its point */
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

bool flag_size(uint64_t *bytes, const char *text)
{
	static const struct {
		const char *unit;
		uint64_t bytes;
	} units[] = { { "", 1 }, { "B", 1 }, { "KB", 1000 }, { "MB", 1000000 },
		{ "GB", 1000000000 }, { "TB", 1000000000000 }, { "KiB", 1 << 10 },
		{ "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { "TiB", UINT64_C(1) << 40 } };
	uint64_t value = 0, scale = 1;
	bool has_point = false;
	const char *at = text;

	for (; (*at >= '0' && *at <= '9') || (*at == '.' && !has_point && at > text); at++) {
		if (*at == '.') {
			has_point = true;
			continue;
		}
		if (value > SIZE_DIGITS_MAX || scale > 1000)
			return false;
		value = value * 10 + (uint64_t)(*at - '0');
		scale *= has_point ? 10 : 1;
	}
	if (at == text || at[-1] == '.')
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(at, units[i].unit) != 0)
			continue;
		if (value > SIZE_MAX_BYTES / units[i].bytes)
			return false;
		*bytes = value * units[i].bytes / scale;
		return *bytes > 0;
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
	case FLAG_SIZE:
		if (!flag_size(flag->to, value))
			return say_usage("--%s: \"%s\" is not a size such as 1000, 64KiB or 10MB",
				flag->name, value);
		return 0;
	case FLAG_DURATION:
		return duration_set(flag, value);
	case FLAG_TEXT:
		*(const char **)flag->to = value;
		return 0;
	case FLAG_LIST:
		return list_add(flag, value);
	case FLAG_SWITCH:
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

/* value: what follows '=' or a letter; NULL: the next argument, over which *next is moved. */
static int flag_set(const struct flag *flag, const char *value, const char *const **next)
{
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

static const struct flag *flag_find(const struct flags *flags, const char *name, size_t len)
{
	for (size_t i = 0; i < flags->table_len; i++) {
		const struct flag *flag = &flags->table[i];

		if (strlen(flag->name) == len && memcmp(flag->name, name, len) == 0)
			return flag;
	}
	return NULL;
}

/* text: after the dashes. */
static int flag_parse(struct flags *flags, const char *text, const char *const **next)
{
	size_t len = strcspn(text, "=");
	const struct flag *flag = flag_find(flags, text, len);

	if (!flag)
		return flag_unknown(flags, text, len);
	return flag_set(flag, text[len] ? text + len + 1 : NULL, next);
}

static const struct flag *letter_find(const struct flags *flags, char letter)
{
	for (size_t i = 0; i < flags->letters_len; i++) {
		if (flags->letters[i].letter == letter)
			return flag_find(
				flags, flags->letters[i].name, strlen(flags->letters[i].name));
	}
	return NULL;
}

/* text: "-xyz". */
static int letters_parse(struct flags *flags, const char *text, const char *const **next)
{
	for (const char *at = text + 1; *at; at++) {
		const struct flag *flag = letter_find(flags, *at);
		int status;

		if (!flag)
			return at == text + 1 ? say_usage("unknown flag %s", text)
					      : say_usage("unknown flag -%c in %s", *at, text);
		if (flag->kind != FLAG_SWITCH)
			return flag_set(flag, at[1] ? at + 1 : NULL, next);
		status = flag_set(flag, NULL, next);
		if (status)
			return status;
	}
	return 0;
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
			status = letters_parse(flags, text, &argv);
		else if (flags->args_count == flags->args_max)
			status = say_usage("one argument too many: \"%s\"", text);
		else
			flags->args[flags->args_count++] = text;
		if (status)
			return status;
	}
	return 0;
}
