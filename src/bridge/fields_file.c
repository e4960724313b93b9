/* SPDX-License-Identifier: MIT */
/* See fields_file.h. */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "bridge/fields_file.h"

#include "base/err.h"
#include "base/mem.h"
#include "bridge/text_file.h"

#include <string.h>

#define FILE_MAX ((size_t)64 << 10)

/* A line of len bytes, with a NUL in the place of its end. */
static weft_err line_add(weft_http_fields *fields, char *line, size_t len)
{
	weft_err err;

	if (strlen(line) != len)
		return err_setf(WEFT_EINVAL, "a NUL");
	if (len > 0 && line[len - 1] == '\r')
		line[len - 1] = '\0';
	if (line[strspn(line, " \t")] == '\0' || line[0] == '#')
		return WEFT_OK;
	err = weft_http_fields_add_line(fields, line);
	if (err == WEFT_EINVAL) /* its text may show the value */
		err = err_setf(
			WEFT_EINVAL, "not \"Name: value\" of characters that a field may have");
	return err;
}

weft_err fields_file_read(weft_http_fields *fields, const char *path)
{
	char *text = NULL, *line;
	unsigned number = 0;
	size_t size = 0;
	weft_err err = text_file_read(&text, &size, path, FILE_MAX);

	if (err)
		return err == WEFT_ENOMEM ? err : err_wrap(err, "%s", path);
	for (line = text; !err && line < text + size;) {
		char *end = memchr(line, '\n', size - (size_t)(line - text));

		if (!end)
			end = text + size;
		*end = '\0';
		number++;
		err = line_add(fields, line, (size_t)(end - line));
		if (err && err != WEFT_ENOMEM)
			err = err_wrap(err, "%s, line %u", path, number);
		line = end + 1;
	}
	explicit_bzero(text, size);
	mem_free(text);
	return err;
}
