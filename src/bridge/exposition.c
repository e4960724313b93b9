/* SPDX-License-Identifier: MIT */
/* See exposition.h. */
#include "bridge/exposition.h"

#include <stdio.h>

#define NUMBER_SIZE 32

/* also: what is to be escaped beside '\' and line ends. */
static void put_escaped(struct grown_text *to, const char *text, char also)
{
	for (; *text; text++) {
		if (*text == '\n') {
			grown_puts(to, "\\n");
			continue;
		}
		if (*text == '\\' || *text == also)
			grown_puts(to, "\\");
		grown_put(to, text, 1);
	}
}

void exposition_family(struct exposition *e, const char *name, const char *type, const char *help)
{
	e->family = name;
	grown_puts(&e->text, "# HELP ");
	grown_puts(&e->text, name);
	grown_puts(&e->text, " ");
	put_escaped(&e->text, help, '\n');
	grown_puts(&e->text, "\n# TYPE ");
	grown_puts(&e->text, name);
	grown_puts(&e->text, " ");
	grown_puts(&e->text, type);
	grown_puts(&e->text, "\n");
}

static void sample(struct exposition *e, const char *suffix, const struct label *labels,
	size_t count, const char *value)
{
	grown_puts(&e->text, e->family);
	grown_puts(&e->text, suffix);
	for (size_t i = 0; i < count; i++) {
		grown_puts(&e->text, i ? "," : "{");
		grown_puts(&e->text, labels[i].name);
		grown_puts(&e->text, "=\"");
		put_escaped(&e->text, labels[i].value, '"');
		grown_puts(&e->text, "\"");
	}
	grown_puts(&e->text, count ? "} " : " ");
	grown_puts(&e->text, value);
	grown_puts(&e->text, "\n");
}

void exposition_sample(struct exposition *e, const char *suffix, const struct label *labels,
	size_t count, uint64_t value)
{
	char text[NUMBER_SIZE];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	sample(e, suffix, labels, count, text);
}

void exposition_seconds(struct exposition *e, const char *suffix, const struct label *labels,
	size_t count, int64_t ns)
{
	char text[NUMBER_SIZE];

	(void)snprintf(text, sizeof(text), "%lld.%09lld", (long long)(ns / 1000000000),
		(long long)(ns % 1000000000));
	sample(e, suffix, labels, count, text);
}
