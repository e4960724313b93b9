/* SPDX-License-Identifier: MIT */
/* See text_file.h. */
#define _POSIX_C_SOURCE 200809L
#include "bridge/text_file.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Up to max + 1 bytes. False: errno says why. */
static bool read_up_to(int fd, char *text, size_t max, size_t *len)
{
	ssize_t got = 1;

	*len = 0;
	while (got != 0 && *len <= max) {
		got = read(fd, text + *len, max + 1 - *len);
		if (got > 0)
			*len += (size_t)got;
		else if (got < 0 && errno != EINTR)
			return false;
	}
	return true;
}

weft_err text_file_read(char **out, size_t *len, const char *path, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	weft_err err = WEFT_OK;
	char *text;

	if (fd < 0)
		return err_setf(WEFT_EINVAL, "%s", strerror(errno));
	text = mem_alloc(max + 2);
	if (!text) {
		(void)close(fd);
		return err_set(WEFT_ENOMEM);
	}
	if (!read_up_to(fd, text, max, len))
		err = err_setf(WEFT_EINVAL, "%s", strerror(errno));
	else if (*len > max)
		err = err_setf(WEFT_EINVAL, "has more than %zu bytes", max);
	(void)close(fd);
	if (err) {
		mem_free(text);
		return err;
	}
	text[*len] = '\0';
	*out = text;
	return WEFT_OK;
}
