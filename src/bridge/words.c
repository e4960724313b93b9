/* SPDX-License-Identifier: MIT */
/* Splitting command lines; see words.h. The words are written into one copy of the line,
 * which they fit because quotes and backslashes only take bytes away. */
#include "bridge/words.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <string.h>

struct splitter {
	const char *line; /* as given */
	const char *at;
	char *to; /* where the next byte of a word goes */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static weft_err unfinished(const struct splitter *s, const char *from, const char *what)
{
	return err_setf(
		WEFT_EINVAL, "%s at offset %zu of the command", what, (size_t)(from - s->line));
}

static weft_err single_quoted(struct splitter *s)
{
	const char *open = s->at++;

	while (*s->at && *s->at != '\'')
		*s->to++ = *s->at++;
	if (!*s->at)
		return unfinished(s, open, "a ' without its end");
	s->at++;
	return WEFT_OK;
}

static weft_err double_quoted(struct splitter *s)
{
	const char *open = s->at++;

	while (*s->at && *s->at != '"') {
		if (*s->at == '\\' && s->at[1] && strchr("\\\"$`\n", s->at[1]))
			s->at++;
		*s->to++ = *s->at++;
	}
	if (!*s->at)
		return unfinished(s, open, "a \" without its end");
	s->at++;
	return WEFT_OK;
}

/* s->at is at the word's first character. */
static weft_err word(struct splitter *s)
{
	weft_err err = WEFT_OK;

	while (!err && *s->at && !is_blank(*s->at)) {
		if (*s->at == '\'') {
			err = single_quoted(s);
		} else if (*s->at == '"') {
			err = double_quoted(s);
		} else if (*s->at == '\\' && !s->at[1]) {
			err = unfinished(s, s->at, "a backslash with nothing after it");
		} else {
			if (*s->at == '\\')
				s->at++;
			*s->to++ = *s->at++;
		}
	}
	*s->to++ = '\0';
	return err;
}

static weft_err words_index(struct words *words)
{
	char *at = words->text;

	words->argv = mem_calloc(words->count + 1, sizeof(*words->argv));
	if (!words->argv)
		return err_set(WEFT_ENOMEM);
	for (size_t i = 0; i < words->count; i++) {
		words->argv[i] = at;
		at += strlen(at) + 1;
	}
	return WEFT_OK;
}

weft_err words_split(struct words *out, const char *line)
{
	struct words words = { 0 };
	struct splitter s = { line, line, NULL };
	weft_err err = WEFT_OK;

	/* Each word ends in a NUL where the line has a blank or its own end. */
	words.text = mem_alloc(strlen(line) + 2);
	if (!words.text)
		return err_set(WEFT_ENOMEM);
	s.to = words.text;
	while (!err) {
		while (is_blank(*s.at))
			s.at++;
		if (!*s.at)
			break;
		if (++words.count > WORDS_MAX)
			err = err_setf(WEFT_EINVAL, "more than %d words in the command", WORDS_MAX);
		else
			err = word(&s);
	}
	if (!err && (words.count == 0 || words.text[0] == '\0'))
		err = err_setf(WEFT_EINVAL, "the command is missing");
	if (!err)
		err = words_index(&words);
	if (err)
		words_fini(&words);
	else
		*out = words;
	return err;
}

weft_err words_copy(struct words *out, const char *const *argv)
{
	struct words words = { 0 };
	size_t size = 0, used = 0;
	weft_err err;

	for (; argv[words.count]; words.count++) {
		if (words.count == WORDS_MAX)
			return err_setf(
				WEFT_EINVAL, "more than %d words in the command", WORDS_MAX);
		size += strlen(argv[words.count]) + 1;
	}
	if (words.count == 0 || argv[0][0] == '\0')
		return err_setf(WEFT_EINVAL, "the command is missing");
	words.text = mem_alloc(size);
	if (!words.text)
		return err_set(WEFT_ENOMEM);
	for (size_t i = 0; i < words.count; i++) {
		size_t len = strlen(argv[i]) + 1;

		memcpy(words.text + used, argv[i], len);
		used += len;
	}
	err = words_index(&words);
	if (err)
		words_fini(&words);
	else
		*out = words;
	return err;
}

weft_err words_add(struct words *words, const char *text, size_t len)
{
	struct words more = { .count = words->count + 1 };
	size_t used = 0;
	weft_err err;

	if (words->count == WORDS_MAX)
		return err_setf(WEFT_EINVAL, "more than %d words", WORDS_MAX);
	if (words->count > 0) {
		const char *last = words->argv[words->count - 1];

		used = (size_t)(last - words->text) + strlen(last) + 1;
	}
	more.text = mem_alloc(used + len + 1);
	if (!more.text)
		return err_set(WEFT_ENOMEM);
	if (used)
		memcpy(more.text, words->text, used);
	memcpy(more.text + used, text, len);
	more.text[used + len] = '\0';
	err = words_index(&more);
	if (err) {
		words_fini(&more);
		return err;
	}
	words_fini(words);
	*words = more;
	return WEFT_OK;
}

void words_fini(struct words *words)
{
	mem_free(words->argv);
	mem_free(words->text);
	*words = (struct words){ 0 };
}
